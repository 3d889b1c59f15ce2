"""Files from strangers: what their readers raise becomes one sentence, and values are held against what they must be.

A file may be cut short, changed or made with ill intent. Nothing is allocated or believed on its word alone.
"""

import errno
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from alexnet.errors import UserError
from alexnet.files.atomic import file_fault, read_bounded

LONGEST_WORDS = 200
LARGEST_WHOLE = 1 << 53
"""No count, size or step of ours is larger; JSON knows numbers of any length."""


@contextmanager
def reading_errors(where: Path | str, remedy: str, kind: type[UserError] = UserError) -> Iterator[None]:
    """Inside, whatever reading the bytes of a file raises becomes a UserError: where, what, and the remedy.

    Readers raise every kind of fault for damaged bytes, from struct.error to RecursionError. Only for what reads.
    """
    try:
        yield
    except UserError:
        raise
    except MemoryError as fault:
        raise kind(f"{where}: too large for this machine's memory, or damaged. {remedy}") from fault
    except OSError as fault:
        if fault.errno is not None and fault.errno != errno.EINVAL:
            raise file_fault(fault, where) from fault
        raise kind(f"{where}: damaged ({describe(fault)}). {remedy}") from fault
    except Exception as fault:
        raise kind(f"{where}: damaged ({describe(fault)}). {remedy}") from fault


def describe(fault: BaseException) -> str:
    """A fault in a line: its kind and the beginning of its message."""
    words = " ".join(str(fault).split())
    words = f"{words[:LONGEST_WORDS]}…" if len(words) > LONGEST_WORDS else words
    return f"{type(fault).__name__}: {words}" if words else type(fault).__name__


# ── what values must be ──────────────────────────────────────────────────────────────────────────────────────────

Form = Any
"""A type; a function that says whether a value will do; a list of one form, for lists; a dictionary of forms by name,
for tables, where a name that ends in "?" may be absent, one that ends in "??" also null, and "*" is all others. Without
"*" the others may be what they like."""


def validate(value: Any, form: Form, where: Path | str, remedy: str, what: str = "") -> Any:
    """The value itself. UserError, naming the part, unless it has the form."""
    if isinstance(form, list):
        _need(isinstance(value, list | tuple), value, where, remedy, what)
        for number, one in enumerate(value):
            validate(one, form[0], where, remedy, f"{what}[{number}]")
    elif isinstance(form, Mapping):
        _need(isinstance(value, dict), value, where, remedy, what)
        _hold_table(value, form, where, remedy, what)
    elif isinstance(form, type):
        _need(type(value) is form, value, where, remedy, what)
    else:
        _need(form(value), value, where, remedy, what)
    return value


def _hold_table(table: dict[str, Any], form: Mapping[str, Form], where: Path | str, remedy: str, what: str) -> None:
    for name, inner in form.items():
        plain = name.rstrip("?")
        path = f"{what}.{plain}" if what else plain
        if name == "*":
            for other in table.keys() - {known.rstrip("?") for known in form}:
                validate(table[other], inner, where, remedy, f"{what}.{other[:40]}" if what else other[:40])
        elif plain not in table:
            if plain == name:
                raise UserError(f"{where}: damaged, {path} is missing. {remedy}")
        elif table[plain] is not None or not name.endswith("??"):
            validate(table[plain], inner, where, remedy, path)


def _need(holds: bool, value: Any, where: Path | str, remedy: str, what: str) -> None:
    if not holds:
        raise UserError(f"{where}: damaged, {what or 'it'} is {repr(value)[:60]}, which can't be. {remedy}")


def whole(low: int = 0, high: int = LARGEST_WHOLE) -> Callable[[Any], bool]:
    """Whether a value is a whole number from `low` to `high`."""
    return lambda value: type(value) is int and low <= value <= high


def number(value: Any) -> bool:
    """Whether a value is a finite number that a float can hold."""
    return type(value) in (int, float) and -1e300 <= value <= 1e300


def any_number(value: Any) -> bool:
    """The same, or NaN or infinite, as figures of a training that went astray are."""
    return number(value) or (type(value) is float and not math.isfinite(value))


def one_of(*values: Any) -> Callable[[Any], bool]:
    """Whether a value is one of these words."""
    return lambda value: isinstance(value, str) and value in values


def json_bytes(value: Any) -> bytes:
    """``value`` as readable JSON, always the same bytes for the same value (keys keep their order)."""
    return (json.dumps(value, indent=1, ensure_ascii=True, allow_nan=False) + "\n").encode()


def canonical_digest(value: Any) -> str:
    """sha256 hex of ``value`` as JSON with sorted keys and no spaces: independent of layout and key order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def sealed(table: dict[str, Any]) -> dict[str, Any]:
    """The table with, last, "checksum" over all the rest, as it will be read back from JSON."""
    rest = {name: value for name, value in table.items() if name != "checksum"}
    return {**rest, "checksum": canonical_digest(json.loads(json.dumps(rest, allow_nan=False)))}


def is_altered(table: dict[str, Any]) -> bool:
    """Whether a table that was read has a checksum, and that of something else."""
    try:
        return bool(table.get("checksum")) and sealed(table)["checksum"] != table["checksum"]
    except (ValueError, RecursionError):  # what was never written by us
        return True


def read_json(path: Path, limit_bytes: int = 1 << 26) -> dict[str, Any]:
    """The JSON object in ``path``. UserError where it is absent, larger than ``limit_bytes`` or no JSON object."""
    data = read_bounded(path, limit_bytes)
    try:
        value = parsed(data)
    except ValueError as error:
        raise UserError(f"{path}: damaged, not JSON ({error}); restore it or make it anew") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: damaged, a JSON object was expected; restore it or make it anew")
    return value


def parsed(data: bytes | str, *, strange_numbers: bool = False) -> Any:
    """The value in JSON text. ValueError for what is none, nested without end, or (unless ``strange_numbers``) holds a
    number that is NaN or infinite."""
    try:
        if strange_numbers:
            return json.loads(data)
        return json.loads(data, parse_constant=_refused, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested without end") from None


def _refused(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _finite(digits: str) -> float:
    if not math.isfinite(value := float(digits)):
        raise ValueError(f"{digits[:20]} is too large")
    return value
