"""Bytes of a sound file → bytes of an unsound one: at random places, or by what its format is made of.

All functions take a seeded `random.Random`; the same seed gives the same bytes.
"""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

Change = Callable[[Random, bytes], bytes]

WHOLE_NUMBERS = (0, 1, 2, 3, 7, 127, 128, 255, 256, 4096, 32767, 32768, 65535, 65536, (1 << 24) + 1)
WHOLE_NUMBERS += ((1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 62) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
LONGEST = 1 << 16
"""No case becomes longer by repeating parts of it."""


# ── any bytes ────────────────────────────────────────────────────────────────────────────────────────────────────


def any_bytes(random: Random, data: bytes) -> bytes:
    """One to four changes at random places."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4))):
        random.choice(BYTE_CHANGES)(random, changed)
    return bytes(changed)


def _place(random: Random, data: bytearray) -> int:
    """Anywhere; a quarter of the time near the beginning, where headers are."""
    return random.randrange(min(len(data), 64) if random.random() < 0.25 else len(data)) if data else 0


def _flip(random: Random, data: bytearray) -> None:
    if data:
        data[_place(random, data)] ^= 1 << random.randrange(8)


def _set(random: Random, data: bytearray) -> None:
    if data:
        data[_place(random, data)] = random.randrange(256)


def _insert(random: Random, data: bytearray) -> None:
    place = _place(random, data)
    data[place:place] = random.randbytes(random.choice((1, 1, 2, 4, 8, 32)))


def _delete(random: Random, data: bytearray) -> None:
    place = _place(random, data)
    del data[place : place + random.choice((1, 1, 2, 4, 8, 64))]


def _repeat(random: Random, data: bytearray) -> None:
    place, length = _place(random, data), random.choice((1, 4, 16, 128))
    if len(data) < LONGEST:
        data[place:place] = data[place : place + length] * random.choice((1, 2, 16))


def _cut(random: Random, data: bytearray) -> None:
    del data[_place(random, data) :]


def _splice(random: Random, data: bytearray) -> None:
    """A part of it over another part."""
    first, second, length = _place(random, data), _place(random, data), random.choice((2, 8, 32, 256))
    data[first : first + length] = data[second : second + length]


def _number(random: Random, data: bytearray) -> None:
    width, order = random.choice((1, 2, 4, 8)), random.choice(("little", "big"))
    place = _place(random, data)
    place -= place % width if random.random() < 0.7 else 0
    if place + width <= len(data):
        if random.random() < 0.3:
            value = int.from_bytes(data[place : place + width], order) + random.choice((-1, 1, 16, -16))
        else:
            value = random.choice(WHOLE_NUMBERS)
        data[place : place + width] = (value & ((1 << (8 * width)) - 1)).to_bytes(width, order)


BYTE_CHANGES = (_flip, _flip, _set, _insert, _delete, _repeat, _cut, _splice, _number, _number)


def spliced(random: Random, first: bytes, second: bytes) -> bytes:
    """The beginning of one file, the end of another."""
    return first[: random.randrange(len(first) + 1)] + second[random.randrange(len(second) + 1) :]


# ── text ─────────────────────────────────────────────────────────────────────────────────────────────────────────

WORDS = (
    b"",
    b"\0",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"../../x",
    b"/etc/passwd",
    b"9" * 400,
    b"-1",
    b"1e309",
    b"nan",
    b"\n\n",
)
WORDS += (b"\r", b"\x85", b"\xe2\x80\xa8", b"\xc2\xb2", b"\xd9\xa3", b" ", b"\t", b"n00000001", b"#", b"%00", b"0" * 40)


def text(random: Random, data: bytes) -> bytes:
    """A line or a word taken out, repeated, moved or replaced."""
    if random.random() < 0.4:
        return any_bytes(random, data)
    end = random.choice((b"\n", b" ", b"\t", b",", b"/"))
    parts = data.split(end)
    place = random.randrange(len(parts))
    kind = random.randrange(5)
    if kind == 0:
        del parts[place]
    elif kind == 1:
        parts.insert(random.randrange(len(parts)), parts[place])
    elif kind == 2:
        parts[place] = random.choice(WORDS)
    elif kind == 3:
        parts[place] += random.choice(WORDS)
    else:
        other = random.randrange(len(parts))
        parts[place], parts[other] = parts[other], parts[place]
    return end.join(parts)


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────────────────────

DEEP, DIGITS = "<a value nested without end>", "<a number of thousands of digits>"
PLAIN: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    3.5,
    1 << 31,
    1 << 62,
    1 << 64,
    10**30,
    -(10**18),
    1e308,
    -0.0,
)
PLAIN += (
    float("nan"),
    float("inf"),
    -float("inf"),
    "",
    "x",
    "1",
    "../../x",
    "/dev/zero",
    "\ud800",
    "\0",
    "é\n",
    "a" * 5000,
)
PLAIN += ([], {}, [[]], [0], [-1], ["a"], [None], {"a": 1}, [1, 2], [1, 2, 3], [[1]], [1 << 62] * 3, DEEP, DIGITS)


def json_value(random: Random, value: Any) -> Any:
    """A value with one part of it changed; the value itself is left as it is."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        return _changed_table(random, value)
    if isinstance(value, list) and value and random.random() < 0.85:
        return _changed_list(random, value)
    if isinstance(value, bool | None):
        return random.choice(PLAIN)
    if isinstance(value, int) and random.random() < 0.6:
        near = value if abs(value) < 1 << 70 else 0
        return random.choice((near + 1, near - 1, -value, near * 1000, float(near), str(near), 0, near << 40))
    if isinstance(value, float) and random.random() < 0.5:
        return random.choice((-value, value * 1e300, 0.0, 1e-320, float("nan"), float("inf"), str(value)))
    if isinstance(value, str) and random.random() < 0.4:
        return random.choice(
            (value + "x", value[:-1], value.upper(), value * 3, value + "\n", value[::-1], value + "/..")
        )
    return random.choice(PLAIN)


def _changed_table(random: Random, table: dict[str, Any]) -> dict[str, Any]:
    key, kind = random.choice(list(table)), random.random()
    changed = dict(table)
    if kind < 0.86:
        changed[key] = json_value(random, table[key])
    elif kind < 0.91:
        del changed[key]
    elif kind < 0.94:
        changed[random.choice(("", "x", key + "x", "é\u2028", "__proto__", "../x"))] = table[key]
    elif kind < 0.96:
        changed = {("x" if name == key else name): one for name, one in table.items()}
    else:
        changed[key] = table[random.choice(list(table))]
    return changed


def _changed_list(random: Random, values: list[Any]) -> list[Any]:
    place, kind = random.randrange(len(values)), random.random()
    changed = list(values)
    if kind < 0.8:
        changed[place] = json_value(random, values[place])
    elif kind < 0.87:
        del changed[place]
    elif kind < 0.93:
        changed.insert(random.randrange(len(values)), values[place])
    elif kind < 0.96:
        other = random.randrange(len(values))
        changed[place], changed[other] = values[other], values[place]
    elif kind < 0.98:
        changed = changed[:1] * random.choice((2, 100))
    else:
        changed = []
    return changed


def json_text(value: Any) -> bytes:
    """The value as JSON, with what Python writes of NaN, and what it would not write of depth and digits."""
    words = json.dumps(value)
    if DEEP in words:
        words = words.replace(f'"{DEEP}"', "[" * 100_000 + "]" * 100_000)
    return words.replace(f'"{DIGITS}"', "9" * 4200).encode()


def holds_marks(value: Any) -> bool:
    """Whether the value stands for one that json.dumps can't write."""
    words = json.dumps(value)
    return DEEP in words or DIGITS in words


def json_file(random: Random, data: bytes) -> bytes:
    """A JSON file with one to three parts changed, or its text."""
    if random.random() < 0.15:
        return text(random, data)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return any_bytes(random, data)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        value = json_value(random, value)
    return json_text(value)


def json_lines(random: Random, data: bytes) -> bytes:
    """One line of JSON among several."""
    lines = data.split(b"\n")
    if random.random() < 0.3:
        return text(random, data)
    place = random.randrange(len(lines))
    lines[place] = json_file(random, lines[place])
    return b"\n".join(lines)


# ── protocol buffers ─────────────────────────────────────────────────────────────────────────────────────────────


def _varint(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
        if shift > 63:
            raise ValueError


def message_fields(data: bytes) -> list[tuple[int, int, Any]] | None:
    """(number, kind, value) of a message's fields; None if these bytes are none."""
    found, place = [], 0
    try:
        while place < len(data):
            key, place = _read_varint(data, place)
            number, kind = key >> 3, key & 7
            if number == 0:
                return None
            if kind == 0:
                value, place = _read_varint(data, place)
            else:
                length = {1: 8, 5: 4}.get(kind, -1)
                if kind == 2:
                    length, place = _read_varint(data, place)
                if length < 0 or place + length > len(data):
                    return None
                value, place = data[place : place + length], place + length
            found.append((number, kind, value))
    except (IndexError, ValueError):
        return None
    return found


def _field(number: int, kind: int, value: Any, length: int | None = None) -> bytes:
    key = _varint(number << 3 | kind)
    if kind == 0:
        return key + _varint(value & ((1 << 64) - 1))
    return key + (_varint(len(value) if length is None else length) if kind == 2 else b"") + value


def message(random: Random, data: bytes, depth: int = 0) -> bytes:
    """A message with one field changed, dropped, repeated, or lying about its length."""
    found = message_fields(data)
    if not found or (depth == 0 and random.random() < 0.2):
        return any_bytes(random, data)
    place = random.randrange(len(found))
    number, kind, value = found[place]
    parts = [_field(*one) for one in found]
    choice = random.random()
    if kind == 2 and choice < 0.6:
        parts[place] = _field(number, kind, message(random, value, depth + 1))
    elif choice < 0.68:
        del parts[place]
    elif choice < 0.74:
        parts.insert(place, parts[place])
    elif choice < 0.8:
        parts[place] = _field(random.choice((1, 2, 3, 5, 6, 7, 8, 100, 1 << 20)), kind, value)
    elif choice < 0.86 and kind == 2:
        parts[place] = _field(number, kind, value, random.choice(WHOLE_NUMBERS))
    elif choice < 0.92:
        other = random.choice((0, 1, 2, 3, 5))
        plain = value if isinstance(value, bytes) else _varint(value)
        parts[place] = _field(number, other, random.choice(WHOLE_NUMBERS) if other == 0 else plain)
    elif kind == 0:
        parts[place] = _field(number, kind, random.choice(WHOLE_NUMBERS))
    else:
        parts[place] = _field(number, kind, any_bytes(random, value))
    return b"".join(parts)


# ── tar ──────────────────────────────────────────────────────────────────────────────────────────────────────────

TAR_FIELDS = {"name": (0, 100), "mode": (100, 8), "size": (124, 12), "checksum": (148, 8), "kind": (156, 1)}
TAR_FIELDS |= {"link": (157, 100), "magic": (257, 8), "major": (329, 8), "prefix": (345, 155), "sparse": (386, 40)}
TAR_NUMBERS = (b"77777777777\0", b"00000000000\0", b"\x80" + b"\0" * 10 + b"\x01", b"\x80" + b"\xff" * 11, b"\xff" * 12)
TAR_NUMBERS += (b"99999999999\0", b"-0000000001\0", b"00000000010\0", b"            ", b"\0" * 12, b"00000001000\0")
TAR_NAMES = (b"../../x", b"/etc/x", b"a" * 100, b"", b"\xff\xfe", b"./", b"n00000001/x.JPEG", b"data/meta.mat", b"\n")


def tar(random: Random, data: bytes) -> bytes:
    """A tar with a field of one header changed, its checksum right most of the time."""
    heads = [at for at in range(0, len(data), 512) if data[at + 257 : at + 262] == b"ustar"]
    if not heads or random.random() < 0.15:
        return any_bytes(random, data)
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2))):
        head = random.choice(heads)
        if random.random() < 0.1:
            end = head + 512 * random.choice((1, 2))
            changed[head:end] = b"" if random.random() < 0.5 else changed[head:end] * 2
            break
        name = random.choice(list(TAR_FIELDS))
        start, width = TAR_FIELDS[name]
        if name == "kind":
            value = random.choice(
                (b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"g", b"x", b"L", b"K", b"S", b"D", b"\0", b"V")
            )
        elif name in ("size", "mode", "major"):
            value = random.choice(TAR_NUMBERS)
        elif name in ("name", "link", "prefix"):
            value = random.choice(TAR_NAMES)
        else:
            value = random.randbytes(width)
        changed[head + start : head + start + width] = value[:width].ljust(width, b"\0")
        if name != "checksum" and random.random() < 0.95:
            changed[head + 148 : head + 156] = b" " * 8
            changed[head + 148 : head + 156] = b"%06o\0 " % sum(changed[head : head + 512])
    return bytes(changed)


# ── XML ──────────────────────────────────────────────────────────────────────────────────────────────────────────

XML_PIECES = (
    b"<!DOCTYPE a>",
    b'<!DOCTYPE a [<!ENTITY b "cc"><!ENTITY c "&b;&b;">]>',
    b"&b;",
    b"&#0;",
    b"&#x10ffff;",
    b"&amp;",
)
XML_PIECES += (
    b'<!DOCTYPE a SYSTEM "file:///etc/passwd">',
    b"<x>" * 40,
    b"<x>" * 3000 + b"</x>" * 3000,
    b"<![CDATA[x]]>",
)
XML_PIECES += (
    b"<?xml version='1.1' encoding='utf-16'?>",
    b"<!-- -->",
    b"<?x y?>",
    b"<a:b xmlns:a='c'/>",
    b"<object/>",
    b"\0",
)
XML_TEXTS = (
    b"nan",
    b"inf",
    b"1e309",
    b"-5",
    b"",
    b"1_000",
    b"9" * 5000,
    b"../x",
    b"a/b",
    b".",
    b"..",
    b"\xc3\xa9",
    b"&lt;",
    b" \n ",
)


def xml(random: Random, data: bytes) -> bytes:
    """A piece of markup put in, an element dropped or repeated, a text replaced."""
    kind = random.random()
    if kind < 0.25:
        return any_bytes(random, data)
    ends = [place + 1 for place, byte in enumerate(data) if byte == ord(">")]
    if len(ends) < 2:
        return any_bytes(random, data)
    place = random.choice(ends)
    if kind < 0.5:
        return data[:place] + random.choice(XML_PIECES) + data[place:]
    begin = data.find(b"<", place)
    if kind < 0.75 and begin >= 0:
        return data[:place] + random.choice(XML_TEXTS) + data[begin:]
    first, second = sorted(random.sample(ends, 2))
    return data[:first] + (b"" if random.random() < 0.5 else data[first:second] * 2) + data[second:]


# ── arrays, archives of them, MATLAB's files ─────────────────────────────────────────────────────────────────────

NPY_SHAPES = (
    "()",
    "(0,)",
    "(-1,)",
    "(3,)",
    "(1, 3)",
    "(4611686018427387905,)",
    "(1 << 3,)",
    "(3, 2, 2, 0)",
    "(2147483648, 2147483648, 4)",
)
NPY_SHAPES += ("(99999999999,)", "(" + "1," * 40 + ")", "(True,)", "(3.0,)", "('a',)", "[3]", "(" * 90 + ")" * 90)
NPY_TYPES = (
    "<f4",
    "<f8",
    "<f2",
    "|u1",
    "<i8",
    "|O",
    "<c8",
    "|S4",
    "<U3",
    "<M8[s]",
    "|V8",
    "<f16",
    "|b1",
    "<i4,<f4",
    "x",
    "",
)


def npy(random: Random, data: bytes) -> bytes:
    """An .npy file with another shape or type in its header."""
    if random.random() < 0.35 or data[:6] != b"\x93NUMPY" or len(data) < 12:
        return any_bytes(random, data)
    length = int.from_bytes(data[8:10], "little")
    shape, kind = random.choice(NPY_SHAPES), random.choice(NPY_TYPES)
    head = data[10 : 10 + length].decode("latin-1")
    if random.random() < 0.5:
        begin, end = head.find("'shape':"), head.rfind(")")
        head = f"{head[:begin]}'shape': {shape}{head[end + 1 :]}" if 0 <= begin < end else head
    elif random.random() < 0.8:
        begin = head.find("'descr':")
        end = head.find(",", begin)
        head = f"{head[:begin]}'descr': '{kind}'{head[end:]}" if 0 <= begin < end else head
    else:
        head = head.replace("False", random.choice(("True", "0", "None", "x")))
    encoded = head.encode("latin-1", "replace")
    return (
        data[:6]
        + random.choice((b"\1\0", b"\1\0", b"\2\0", b"\3\0", b"\4\0"))
        + len(encoded).to_bytes(2, "little")
        + encoded
        + data[10 + length :]
    )


def zipped(inner: Change) -> Change:
    """A zip file with one member changed by `inner`, renamed, repeated or dropped; or its bytes."""

    def change(random: Random, data: bytes) -> bytes:
        if random.random() < 0.3:
            return any_bytes(random, data)
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                members = {name: archive.read(name) for name in archive.namelist()}
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError, zlib.error):
            return any_bytes(random, data)
        if not members:
            return data
        name, kind = random.choice(list(members)), random.random()
        if kind < 0.8:
            members[name] = inner(random, members[name])
        elif kind < 0.9:
            del members[name]
        else:
            members[random.choice(("x.npy", "../x", "conv1.weights.0.npy", "archive/data.pkl", ""))] = members[name]
        return zip_of(members)

    return change


def zip_of(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return stream.getvalue()


def mat(random: Random, data: bytes) -> bytes:
    """A MATLAB file; a packed variable is unpacked, changed and packed again."""
    if len(data) < 144 or random.random() < 0.3:
        return any_bytes(random, data)
    order = "<" if data[126:128] == b"IM" else ">"
    kind, length = struct.unpack_from(order + "II", data, 128)
    if kind != 15:
        return data[:128] + any_bytes(random, data[128:])
    try:
        plain = zlib.decompressobj().decompress(data[136 : 136 + length], 1 << 20)
    except zlib.error:
        return any_bytes(random, data)
    packed = zlib.compress(any_bytes(random, plain), 1)
    return data[:128] + struct.pack(order + "II", 15, len(packed)) + packed + data[136 + length :]


# ── safetensors ──────────────────────────────────────────────────────────────────────────────────────────────────


def safetensors(random: Random, data: bytes) -> bytes:
    """A safetensors file with its header changed: offsets, shapes, types, names, metadata."""
    length = int.from_bytes(data[:8], "little")
    if random.random() < 0.3 or 8 + length > len(data):
        return any_bytes(random, data)
    try:
        header = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError):
        return any_bytes(random, data)
    for _ in range(random.choice((1, 1, 2))):
        header = json_value(random, header)
    words = json_text(header)
    return len(words).to_bytes(8, "little") + words + data[8 + length :]


def arrays(random: Random, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Named arrays with one of them changed: dropped, renamed, of another shape or type, with strange numbers."""
    if not tensors:
        return {"x": np.zeros(3, np.float32)}
    changed, name, kind = dict(tensors), random.choice(list(tensors)), random.randrange(8)
    array = tensors[name]
    if kind == 0:
        del changed[name]
    elif kind == 1:
        changed[random.choice(("x", name + "x", "../x", "", name.rpartition(".")[0]))] = changed.pop(name)
    elif kind == 2:
        changed[name] = random.choice(
            (
                array.reshape(-1),
                array[None],
                array.reshape(-1)[:0],
                array[..., None],
                np.float32(0) + array.sum(dtype=np.float32),
            )
        )
    elif kind == 3:
        changed[name] = np.nan_to_num(array).astype(random.choice(("f4", "f8", "f2", "u1", "i8", "i4", "bool")))
    elif kind == 4:
        changed[name] = np.resize(
            array, random.choice(((3,), (1,), (2, 2), (0,), (3, 4, 4), (1, 1, 1, 1), (0, 3), (7, 1)))
        )
    else:
        flat = array.reshape(-1).copy()
        if flat.size:
            strange = (
                (float("nan"), float("inf"), -1.0, 1e30, 0.0) if array.dtype.kind == "f" else (-1, 0, 1, 100, 1 << 40)
            )
            with np.errstate(all="ignore"):
                flat[random.randrange(flat.size)] = np.array(random.choice(strange)).astype(array.dtype)
        changed[name] = flat.reshape(array.shape)
    return changed


def one_of(*changes: Change) -> Change:
    """Each of these as often."""
    return lambda random, data: random.choice(changes)(random, data)


def in_tar(change: Change) -> Change:
    """The content of one member changed in place, its length kept."""

    def changed(random: Random, data: bytes) -> bytes:
        heads = [at for at in range(0, len(data), 512) if data[at + 257 : at + 262] == b"ustar"]
        if not heads:
            return any_bytes(random, data)
        head = random.choice(heads)
        try:
            size = max(0, min(int(data[head + 124 : head + 135], 8), len(data) - head - 512))
        except ValueError:
            return any_bytes(random, data)
        body = change(random, data[head + 512 : head + 512 + size])[:size].ljust(size, b"\n")
        return data[: head + 512] + body + data[head + 512 + size :]

    return changed
