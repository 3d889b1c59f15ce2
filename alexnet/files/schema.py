"""JSON that others may have written: parsed, checked against a dataclass that is its schema, and sealed by a checksum.

A file may be truncated, altered or malicious. Nothing in it is trusted, and no memory is taken, before it is checked.
"""

import errno
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NoReturn,
    NotRequired,
    Required,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from alexnet.errors import UsageError, UserError
from alexnet.files.atomic import file_fault, read_bounded
from alexnet.text import option_name

LONGEST_WORDS = 200
LARGEST_WHOLE = 1 << 53
"""No count, size or step of ours is larger; JSON knows numbers of any length."""
T = TypeVar("T")


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


# ── a dataclass is its own schema ────────────────────────────────────────────────────────────────────────────────

STRANGE = "may be NaN or infinite"


@dataclass(frozen=True)
class Range:
    """In `Annotated[int, Range(1, 4096)]`: the numbers from `low` to `high`."""

    low: float = 0
    high: float = LARGEST_WHOLE

    def __call__(self, value: float) -> bool:
        return self.low <= value <= self.high


def check_ranges(options: Any) -> None:
    """Raises UsageError for an option (a field of a dataclass) whose number lies outside the `Range` in its type."""
    for name, hint in get_type_hints(type(options), include_extras=True).items():
        value, option = getattr(options, name), option_name(name)
        kinds = (hint, *get_args(hint))  # of a `Range`, or of a union with None
        for limits in (one for kind in kinds for one in getattr(kind, "__metadata__", ()) if isinstance(one, Range)):
            if not isinstance(value, int | float):  # a word, where the option takes one
                continue
            if not math.isfinite(value):
                raise UsageError(f"{option} {value}: a finite number is needed.")
            if value < limits.low:
                raise UsageError(f"{option} {value}: at least {limits.low:g} is needed.")
            if value > limits.high:
                raise UsageError(f"{option} {value}: at most {limits.high:g} is possible.")


Count = Annotated[int, Range()]
"""A whole number from 0."""
AnyFloat = Annotated[float, STRANGE]
"""A float that may be NaN or infinite too, as the figures of a diverged training are."""


class Key:
    """In `Annotated[float, Key("learning_rate", "rate")]`: the field is written under the first of these keys, and also
    read from the others, under which older versions wrote it."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys


def read(path: Path, kind: type[T], remedy: str, limit_bytes: int = 1 << 26) -> T:
    """The dataclass or TypedDict `kind` in a JSON file. Raises UserError as `read_json` and `from_json` do."""
    return from_json(read_json(path, limit_bytes), kind, path, remedy)


def check(value: Any, kind: Any, where: Path | str, remedy: str) -> Any:
    """The `value` itself, unknown keys included, after the checks of `from_json`."""
    from_json(value, kind, where, remedy)
    return value


def from_json(
    value: Any, kind: Any, where: Path | str, remedy: str, *, strict: bool = False, by_hand: bool = False
) -> Any:
    """What parsed JSON describes: a dataclass, a TypedDict or any other type `kind` whose annotations say what it is.

    Known are int (up to ±2**53), float (finite; whole numbers too), str, bool, Path, None, Any, dict, list, Literal,
    unions, list[X], tuple[X, ...], tuple[X, Y], dict[K, X], and Annotated[X, test, ...] with functions that say whether
    a value will do. Fields with defaults may be absent. Unknown keys are ignored (a TypedDict keeps them); at the top
    they are refused if `strict`. Raises UserError that names `where`, the path of keys and the `remedy`, and calls it
    damaged unless people write it `by_hand`; so does a ValueError of a dataclass's `__post_init__`.
    """
    try:
        if strict and isinstance(value, dict):
            known = {key for one in _fields_of(kind) for key in one.keys}
            if unknown := value.keys() - known:
                raise _Wrong("is not known", f".{min(map(str, unknown))[:40]}")
        return _read(value, kind)
    except _Wrong as wrong:
        path = wrong.path.removeprefix(".") or "it"
        raise UserError(f"{where}: {'' if by_hand else 'damaged, '}{path} {wrong.fault}. {remedy}") from None


def to_json(value: Any) -> Any:
    """What `from_json` reads: dataclasses as dictionaries by their keys, tuples, arrays and tensors as lists, paths as
    text."""
    if is_dataclass(value):
        return {one.keys[0]: to_json(getattr(value, one.name)) for one in _fields_of(type(value))}
    if isinstance(value, Mapping):
        return {key: to_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(inner) for inner in value]
    if hasattr(value, "tolist"):  # an array or a tensor
        return value.tolist()
    return str(value) if isinstance(value, Path) else value


def attributes(value: Any, *names: str) -> dict[str, Any]:
    """Fields and properties of an object under their names, as `to_json` writes them."""
    return {name: to_json(getattr(value, name)) for name in names}


class _Wrong(Exception):
    """A value that does not fit. `path`: where it is, known only after the exception has left all levels around it."""

    def __init__(self, fault: str, path: str = "") -> None:
        super().__init__(fault, path)
        self.fault, self.path = fault, path


@dataclass(frozen=True)
class _Field:
    """A field of a dataclass or TypedDict: its `keys` in JSON and its annotation."""

    name: str
    keys: tuple[str, ...]
    kind: Any
    required: bool


@cache
def _fields_of(kind: Any) -> tuple[_Field, ...]:
    hints = get_type_hints(kind, include_extras=True)
    if is_typeddict(kind):
        required = kind.__required_keys__
        hints = {n: get_args(h)[0] if get_origin(h) in (NotRequired, Required) else h for n, h in hints.items()}
    else:
        required = {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}
        hints = {f.name: hints[f.name] for f in fields(kind)}
    keys = {
        name: next((one.keys for one in get_args(hint) if isinstance(one, Key)), (name,))
        for name, hint in hints.items()
    }
    return tuple(_Field(name, keys[name], hint, name in required) for name, hint in hints.items())


def _read(value: Any, kind: Any) -> Any:
    if kind in _PLAIN:  # first, since files hold millions of plain values
        return _need(_PLAIN[kind](value), value)
    origin, args = get_origin(kind), get_args(kind)
    if is_dataclass(kind) or is_typeddict(kind):
        return _read_table(_need(isinstance(value, dict), value), kind)
    if origin is Annotated:
        strange = STRANGE in args and type(value) is float and not math.isfinite(value)
        inner = value if strange else _read(value, args[0])
        _need(all(test(inner) for test in args[1:] if callable(test)), value)
        return inner
    if origin in (Union, UnionType):
        return _read_union(value, args)
    if origin is Literal:
        return _need(any(type(value) is type(one) and value == one for one in args), value)
    if origin is dict:
        _need(isinstance(value, dict), value)
        return {
            _inside(f".{key[:40]}", key, args[0]): _inside(f".{key[:40]}", one, args[1]) for key, one in value.items()
        }
    if origin in (list, tuple):
        return _read_sequence(value, origin, args)
    if kind is Path:
        return Path(_need(type(value) is str, value))
    return _need(type(value) is kind, value)


def _read_table(table: dict[str, Any], kind: Any) -> Any:
    found = {}
    for one in _fields_of(kind):
        key = next((key for key in one.keys if key in table), None)
        if key is not None:
            found[one.name] = _inside(f".{key}", table[key], one.kind)
        elif one.required:
            raise _Wrong("is missing", f".{one.keys[0]}")
    if is_typeddict(kind):
        return table | found
    try:
        return kind(**found)
    except ValueError as fault:
        raise _Wrong(f"does not fit together: {fault}") from None


def _read_union(value: Any, kinds: tuple[Any, ...]) -> Any:
    if value is None and NoneType in kinds:
        return None
    others = [kind for kind in kinds if kind is not NoneType]
    for kind in others:
        try:
            return _read(value, kind)
        except _Wrong:
            if len(others) == 1:
                raise
    return _need(False, value)


def _read_sequence(value: Any, kind: Any, args: tuple[Any, ...]) -> Any:
    _need(isinstance(value, list | tuple), value)
    if kind is tuple and args[-1] is not ...:
        _need(len(value) == len(args), value)
    else:
        args = args[:1] * len(value)
    return kind(_inside(number, one, inner) for number, (one, inner) in enumerate(zip(value, args, strict=True)))


def _inside(key: str | int, value: Any, kind: Any) -> Any:
    """Reads a value that lies under `key`: a number of a list, or ".name" in a table."""
    try:
        return _read(value, kind)
    except _Wrong as wrong:
        path = f"[{key}]" if isinstance(key, int) else key
        raise _Wrong(wrong.fault, path + wrong.path) from None


_PLAIN: dict[Any, Callable[[Any], bool]] = {
    Any: lambda _: True,
    None: lambda value: value is None,
    str: lambda value: type(value) is str,
    int: lambda value: type(value) is int and abs(value) <= LARGEST_WHOLE,
    float: lambda value: number(value),
}


def _need(holds: bool, value: Any) -> Any:
    if not holds:
        raise _Wrong(f"is {repr(value)[:60]}, which can't be")
    return value


# ── JSON text ────────────────────────────────────────────────────────────────────────────────────────────────────


def number(value: Any) -> bool:
    """Whether a value is a finite number that a float can hold."""
    return type(value) in (int, float) and -1e300 <= value <= 1e300


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


def is_sealed(table: Mapping[str, Any]) -> bool:
    """Whether a table that was read has the checksum of its own content."""
    try:
        return sealed(dict(table))["checksum"] == table.get("checksum")
    except (ValueError, RecursionError):  # what was never written by us
        return False


def is_altered(table: Mapping[str, Any]) -> bool:
    """Whether a table that was read has a checksum, and that of something else."""
    return bool(table.get("checksum")) and not is_sealed(table)


def read_json(path: Path, limit_bytes: int = 1 << 26) -> dict[str, Any]:
    """The JSON object in ``path``. UserError where it is absent, larger than ``limit_bytes`` or no JSON object."""
    data = read_bounded(path, limit_bytes)
    try:
        value = parsed(data)
    except ValueError as error:
        raise UserError(f"{path}: damaged, not JSON ({error}); restore it or create it again") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: damaged, a JSON object was expected; restore it or create it again")
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
