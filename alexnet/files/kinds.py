"""What a file is that holds no picture, or no weights, by its first bytes, and what to do about it."""

import re
from functools import cache

from alexnet.files.packaged import read_toml

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@cache
def _kinds(table: str) -> dict[re.Pattern[bytes], str]:
    """A table of kinds.toml, its patterns compiled; a value may be the name of a sentence above the tables."""
    content = read_toml("alexnet.files", "kinds.toml")
    return {
        re.compile(pattern.encode("latin-1"), re.DOTALL): content.get(kind, kind)
        for pattern, kind in content[table].items()
    }


def _found(table: str, head: bytes) -> str:
    return next((kind for pattern, kind in _kinds(table).items() if pattern.match(head)), "")


def unread(kind: str) -> str:
    """The sentence on a file of ``kind``, "camera_raw" or "targa", recognised otherwise than by its first bytes."""
    return f"not a picture that is read here but {read_toml('alexnet.files', 'kinds.toml')[kind]}"


def in_place_of_a_file(data: bytes) -> str:
    """What is there instead of a file, with a remedy: a web page, a pointer, a packed file; "" for others."""
    return _found("in_place_of_files", data[:1024].removeprefix(BYTE_ORDER_MARK))


def described(data: bytes) -> str:
    """A sentence on a file that holds no picture: its kind with a remedy, or how it begins."""
    if data[-18:-2] == b"TRUEVISION-XFILE":
        return unread("targa")
    kind = in_place_of_a_file(data) or _found("no_pictures", data[:1024].removeprefix(BYTE_ORDER_MARK))
    if not kind and not any(data):
        return f"{len(data)} zero bytes, not a picture"
    if not kind and (words := text_in(data[:80])):
        kind = f"text that begins with {words[:40]!r}"
    if not kind:
        return f"not a picture, or damaged at its beginning (first bytes: {data[:8].hex(' ')})"
    return f"not a picture that is read here but {kind}"


def text_in(head: bytes) -> str:
    """The text that a file begins with, in one line; "" if these bytes are no text in UTF-8 or UTF-16."""
    head = head.removeprefix(BYTE_ORDER_MARK)
    utf_16 = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    words = " ".join(head.decode("utf-16" if utf_16 else "utf-8", "replace").rstrip("\ufffd").split())
    return words if "\ufffd" not in words and words.isprintable() else ""
