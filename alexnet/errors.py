"""What a person is told when something is wrong: the file or option, the fault and the remedy."""


class UserError(Exception):
    """A fault that the user can mend. The message says where, what and how; no traceback is shown. Exit code 1."""

    exit_code = 1


class UsageError(UserError):
    """A wrong option or argument. Exit code 2."""

    exit_code = 2
