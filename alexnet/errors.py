"""Errors for people: the file or option, the fault and the remedy."""

from importlib import import_module
from types import ModuleType

LONGEST, KEPT_END = 2_000, 400


class UserError(Exception):
    """A fault that the user can mend. The message says where, what and how; no traceback is shown. Exit code 1.

    It may quote a file at any length: the middle of a long message is left out.
    """

    exit_code = 1

    def __init__(self, words: str) -> None:
        too_long = len(words) > LONGEST
        super().__init__(f"{words[: LONGEST - KEPT_END - 3]} … {words[-KEPT_END:]}" if too_long else words)


class UsageError(UserError):
    """A wrong option or argument. Exit code 2."""

    exit_code = 2


def optional_package(name: str, extra: str, purpose: str) -> ModuleType:
    """The package `name`, imported. Raises UserError if it is not installed: which of our extras brings it."""
    try:
        return import_module(name)
    except ImportError:
        raise UserError(f"{purpose} needs the package {name}: pip install 'alexnet[{extra}]'") from None
