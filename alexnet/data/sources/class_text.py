"""Lists of classes as people write them: lines of text, CSV, JSON, a printed Python dict, the names of a YOLO data set.

Every list of classes is read here, whether it names the outputs of weights or the class folders of pictures. Whatever
its form, a list becomes a table of texts, and `_of_table` finds the columns of numbers, ids and names in it.
"""

import ast
import codecs
import csv
import json
import re
import warnings
from collections.abc import Collection, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from alexnet.errors import UserError
from alexnet.files.atomic import read_bounded

WNID = re.compile(r"n\d{8}")
FORMS = (
    "Give one class per line (n01440764 tench; 0 tench; or tench), a CSV file with the columns index and name, or JSON "
    '({"0": "tench", …}, {"0": ["n01440764", "tench"], …} or ["tench", …])'
)
MOST_BYTES = 1 << 26
MOST_PYTHON_BYTES = 1 << 22
"""The list of ImageNet's 21,841 classes has 1 MB."""
LONGEST_LINE = 1000
HOLDERS = ("id2label", "label2id", "idx_to_class", "class_to_idx", "classes", "class_names")
HOLDERS += ("names", "labels", "label_names", "categories")
"""What a JSON file may call the list in it: Hugging Face's and timm's config.json, a run's, a store's, COCO's."""
HEADER = re.compile(r"((class|label|category|synset)_?)?(id|idx|index|names?)|class|label|category|wnid|synset|words|")
LONE_HEADER = re.compile(r"(?P<sure>(class|label|category)_?names?|classes|labels|names)|name|class|label")
ID_COLUMN, NAME_COLUMN = re.compile(r"id\b|wnid|synset|code|key"), re.compile(r"name|words|label|class\b|description")
TITLES = {1: ["name"], 2: ["id", "name"], 3: ["", "id", "name"]}
HEAD = re.compile(r"\d{1,7}|n\d{8}")
SEPARATOR = r"(?:\s*[,;:|=]>?\s*|\s+->?\s+|[.)]\s+|\s+)"
LEADING = re.compile(rf"""["']?(?P<head>\d{{1,7}}|n\d{{8}})["']?(?:{SEPARATOR}(?P<rest>.+)|$)""")
TRAILING = re.compile(rf"""(?P<rest>.*\S){SEPARATOR}["']?(?P<head>\d{{1,7}}|n\d{{8}})["']?""")
YAML_NAMES = re.compile(r"(?:names|id2label)\s*:\s*|(?:classes|labels)\s*:\s*$")
PRINTED = re.compile(r"[\w.]+\(\s*(?P<value>[\[{(].*[\]})])\s*(?:,\s*\w+=[^\[{(]*)?\)", re.DOTALL)
"""What Python prints of an OrderedDict, a NumPy array, an Index of pandas."""
NO_CLASS = re.compile(r"<.*|.*[{\[]|.+[:(]|[}\]]|(\W)\1\1+|(%|--|/\*|\*/)\s.*|.*=\s*[\[{(].*|[\w.]+\([\[{(].*")
"""A line that is markup, code, a comment or a heading."""
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class Entry(NamedTuple):
    """A class of a list: its number there (None: the list has no numbers), its id ("": none), its name."""

    number: int | None
    ident: str
    name: str


def entries_in(data: bytes, where: str, known: Collection[str] = ()) -> list[Entry]:
    """The classes of a list in the order of their numbers, else as they stand. ``known``: what may be an id besides
    wnids.

    Raises ``UserError``, which says what is expected, if the list can be read in no way or in several, if numbers are
    missing or occur twice, or if only some of its lines have them.
    """
    try:
        lines = _lines_in(data)
        lines = [line for line in lines if line.strip() and not line.lstrip().startswith(("#", "//"))]
        value = re.sub(r"\A(\w+\s+)?\w+\s*=\s*(?=[\[{(])", "", "\n".join(lines)).strip().rstrip(";")
        value = printed["value"] if (printed := PRINTED.fullmatch(value)) else value
        if value.startswith(("{", "[")) or (value[:1], value[-1:]) == ("(", ")"):
            return _of_value(_value(value))
        return _of_lines(lines, frozenset(known))
    except RecursionError:
        raise UserError(f"{where}: nested without end, no list of classes. {FORMS}.") from None
    except ValueError as fault:
        raise UserError(f"{where}: not read as a list of classes: {fault}. {FORMS}.") from None


def lines_of(path: Path) -> list[str]:
    """The lines of a text file, whatever its line ends. UserError if it is not there, too large, or no text."""
    try:
        return _lines_in(read_bounded(path, MOST_BYTES))
    except ValueError as fault:
        raise UserError(f"{path}: {fault}") from None


def codec_of(data: bytes) -> str:
    """The codec that a byte order mark, or a zero in the first two bytes, indicates; "" if there is neither."""
    zero = {b"\0": "utf-16-be"}.get(data[:1], "utf-16-le" if data[1:2] == b"\0" else "")
    return next((codec for bom, codec in BOMS.items() if data.startswith(bom)), zero)


def _lines_in(data: bytes) -> list[str]:
    try:
        text = data.decode(codec_of(data) or "utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if re.search(r"[\0-\x08\x0e-\x1f\x7f]", text):
        raise ValueError("no text in UTF-8 or UTF-16; save it as UTF-8")
    return re.split(r"\r\n|\r|\n", text)


def _of_table(rows: Sequence[Sequence[str]], titles: Sequence[str] = ()) -> list[Entry]:
    """The classes in rows of one width. Columns of numbers and wnids are known by what is in them, texts by titles."""
    if len({len(row) for row in rows}) > 1:
        raise ValueError("its lines, or entries, do not all have the same form")
    columns = list(zip(*rows, strict=True))
    titles = titles or TITLES.get(len(columns), [""] * len(columns))
    kinds = [_kind(column) for column in columns] if len(columns) > 1 else [""]
    number, ident = (kinds.index(kind) if kind in kinds else None for kind in ("number", "wnid"))
    texts = [index for index in range(len(columns)) if index not in (number, ident)]
    counts = [columns[index] for index in texts if len(columns) > 1 and _digits(columns[index])]
    if number is None and counts:
        raise ValueError(f"its numbers must run from 0, or from 1, each once and without a gap; {_gap(counts[0])}")
    if ident is None and len(texts) > 1:
        ident = next((index for index in texts if ID_COLUMN.search(titles[index])), None)
        texts = [index for index in texts if index != ident]
    names = texts if len(texts) < 2 else [index for index in texts if NAME_COLUMN.search(titles[index])]
    if len(names) > 1 or (not names and (ident is None or texts)):
        raise ValueError(f"{'several' if names else 'none'} of its columns may be the names")
    if ident is not None and kinds[ident] != "wnid" and any(HEAD.fullmatch(row[ident]) for row in rows):
        raise ValueError("only some of its classes have a number or a wnid")
    name = names[0] if names else ident or 0
    found = [
        Entry(None if number is None else int(row[number]), "" if ident is None else row[ident], row[name].strip())
        for row in rows
    ]
    if not all(entry.name for entry in found):
        raise ValueError("a class in it has no name")
    return sorted(found, key=lambda entry: entry.number or 0)


def _kind(column: Sequence[str]) -> str:
    if _digits(column) and not _gap(column):
        return "number"
    return "wnid" if all(map(WNID.fullmatch, column)) else ""


def _digits(column: Sequence[str]) -> bool:
    return all(re.fullmatch(r"\d{1,7}", field) for field in column)


def _gap(column: Sequence[str]) -> str:
    """What keeps numbers from being a numbering from 0 or 1."""
    numbers = sorted(map(int, column))
    for wanted, number in enumerate(numbers, min(1, numbers[0])):
        if number != wanted:
            return f"{number} occurs twice" if number < wanted else f"{wanted} is missing"
    return ""


# --- JSON and Python ------------------------------------------------------------------------------------------------


def _value(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError:
        pass
    except RecursionError:
        raise ValueError("nested without end") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of strings like '\d'
            tree = ast.parse(text[: MOST_PYTHON_BYTES + 1], mode="eval")
        value = ast.literal_eval(tree)
        dicts = [node.keys for node in ast.walk(tree) if isinstance(node, ast.Dict)]
        keys = [[(ast.literal_eval(key), None) for key in found if key] for found in dicts]
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ValueError("neither JSON nor a Python dict or list") from None
    for found in keys:
        _once(found)
    return value


def _once(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{str(key)[:40]!r} occurs twice")
        found[key] = value
    return found


def _of_value(value: Any) -> list[Entry]:
    """A list of names, pairs or tables; or a dictionary index → name, index → (id, name), name → index, id → name."""
    if isinstance(value, list | tuple):
        return _of_table([_fields(item) for item in value])
    if not isinstance(value, dict):
        raise ValueError("no list and no dictionary")
    for holder in HOLDERS:
        if isinstance(value.get(holder), dict | list):
            return _held(value, holder)
    # {"7": 0} gives the index of a name; {"0": "7"} gives the name of an index.
    return _of_table([_fields([item, key] if isinstance(item, int) else [key, item]) for key, item in value.items()])


def _held(value: dict[str, Any], holder: str) -> list[Entry]:
    """The list that a larger file holds, with its ids. ValueError if the file contradicts itself."""
    found = _of_value(value[holder])
    ids = value.get("ids", value.get("class_ids"))
    if isinstance(ids, list) and len(ids) == len(found):
        found = [entry._replace(ident=str(ident)) for ident, entry in zip(ids, found, strict=True)]
    if holder == "id2label" and isinstance(value.get("label2id"), dict):
        there = {entry.name: entry.number for entry in found}
        if strange := next((e.name for e in _of_value(value["label2id"]) if there.get(e.name) != e.number), None):
            raise ValueError(f"its id2label and label2id disagree about {strange!r}")
    return found


def _fields(item: Any) -> list[str]:
    """An item of JSON as a row of texts, a table by its "id" and "name"."""
    if isinstance(item, dict):
        item = [item[key] for key in ("id", "name") if key in item]
    if isinstance(item, list | tuple):
        return [field for inner in item for field in _fields(inner)]
    if not isinstance(item, str | int) or isinstance(item, bool):
        raise ValueError(f"{str(item)[:40]!r} is no class")
    return [str(item)]


# --- lines ----------------------------------------------------------------------------------------------------------


def _of_lines(raw: Sequence[str], known: frozenset[str] = frozenset()) -> list[Entry]:
    if not raw:
        return []
    if (start := next((n for n, line in enumerate(raw) if YAML_NAMES.match(line)), -1)) >= 0:
        return _of_yaml(raw, start)
    lines = [re.sub(r"\s#\s.*", "", line).strip() for line in raw]
    for line in lines:
        if len(line) > LONGEST_LINE or NO_CLASS.fullmatch(line):
            raise ValueError(f"{line[:40]!r} is no class")
    if all(line.startswith(("- ", "* ")) for line in lines):
        lines = [line[2:].strip() for line in lines]
    if all(line.endswith(",") for line in lines):
        lines = [line[:-1].strip() for line in lines]
    if title := LONE_HEADER.fullmatch(lines[0].lower().replace(" ", "_")):
        if not title["sure"]:
            raise ValueError(f"its first line, {lines[0]!r}, may be a header or a class")
        lines = lines[1:]
    return _of_known(lines, known) or _of_columns(lines) or _of_table(_peeled(lines))


def _of_yaml(raw: Sequence[str], start: int) -> list[Entry]:
    """The names of YOLO's data.yaml: in brackets, a "- name" in each line, or an "index: name" in each line."""
    text = "\n".join([YAML_NAMES.sub("", raw[start]), *raw[start + 1 :]]).strip()
    lines = [re.sub(r"\s#.*", "", line) for line in takewhile(lambda line: line[0] in " \t-", raw[start + 1 :])]
    if text[:1] in ("[", "{"):
        text = text[: text.find("]" if text[0] == "[" else "}") + 1]
        lines = [name for name in text[1:-1].split(",") if name.strip()]
    elif strange := next((line for line in lines if re.match(r"[-\s]*[A-Za-z_]\w*:\s", line)), None):
        raise ValueError(f"{strange.strip()[:40]!r} is no class")
    try:
        found = _of_value(_value(text))
    except ValueError:
        found = _of_lines(lines)
    count = re.search(r"^nc\s*:\s*(\d{1,7})\b", "\n".join(raw), re.M)
    if count and int(count[1]) != len(found):
        raise ValueError(f"it says nc: {count[1]} and names {len(found)} classes")
    return found


def _of_known(lines: Sequence[str], known: frozenset[str]) -> list[Entry]:
    """Lines that begin with ids of which some are known; [] if none of them does."""
    pairs = [re.split(r"\s*\t\s*" if "\t" in line else SEPARATOR, line, maxsplit=1) for line in lines]
    if not any(pair[0] in known for pair in pairs):
        return []
    pairs = [pair for pair in pairs if len(pair) == 2]
    numbered = [match for pair in pairs if (match := re.fullmatch(r"(\d{1,7})\s+(\S.*)", pair[1]))]
    if len(numbered) == len(pairs) > 1 and not _gap([match[1] for match in numbered]):  # map_clsloc.txt
        pairs = [[pair[0], match[2]] for pair, match in zip(pairs, numbered, strict=True)]
    return [Entry(None, ident, _unquoted(name)) for ident, name in pairs]


def _of_columns(lines: Sequence[str]) -> list[Entry]:
    """Lines with tabs, or CSV under a header; [] if they are neither."""
    mark = "\t" if all("\t" in line for line in lines) else next((mark for mark in ",;|" if mark in lines[0]), "")
    if not mark or len(lines) < 2:
        return []
    table = csv.reader(lines, delimiter=mark, skipinitialspace=True)
    header, *rows = [[field.strip() for field in row] for row in table]
    if len(rows) != len(lines) - 1:
        raise ValueError("a quote in it is not closed")
    width = len(header)
    rows = [[*row[: width - 1], f"{mark} ".join(row[width - 1 :])] if len(row) > width else row for row in rows]
    titles = [title.lower().replace(" ", "_") for title in header]
    by_kind = (_kind(column) and not HEAD.fullmatch(title) for title, *column in zip(header, *rows, strict=False))
    if not titles[0] or all(map(HEADER.fullmatch, titles)) or any(by_kind):
        return _of_table(rows, titles)
    return _of_table([header, *rows]) if mark == "\t" else []


def _peeled(lines: Sequence[str]) -> list[list[str]]:
    """Lines that begin, or end, with a number or a wnid, or both, split there; else names alone."""
    rows, kinds = [[line] for line in lines], [""]
    for pattern in (LEADING, LEADING, TRAILING):
        found = [pattern.fullmatch(row[-1]) for row in rows]
        heads, rests = ([match[group] for match in found if match] for group in ("head", "rest"))
        first = len(kinds) == 1 and pattern is LEADING
        if first and len(heads) < len(rows) and (any(map(WNID.fullmatch, heads)) or 2 * len(heads) > len(rows)):
            strange = lines[found.index(None)]
            raise ValueError(f"{strange[:40]!r} does not begin with a number or a wnid as other lines do")
        if len(heads) < len(rows) or not any(rests):
            continue
        if lone := next((head for head, rest in zip(heads, rests, strict=True) if not rest and head[0] != "n"), ""):
            raise ValueError(f"{lone!r} has no name")
        kind = _kind(heads)
        if first and kind == "number" and len(set(rests)) == 1 < len(rows):
            break  # "1 euro", "2 euro"
        if first or (kind not in kinds and (pattern is LEADING or len(set(rests)) == len(rests))):
            rows = [[*row[:-1], head, rest or head] for row, head, rest in zip(rows, heads, rests, strict=True)]
            kinds.append(kind)
    if len(kinds) == 1 and all(re.match(r"""[^"'].*\S[,;]\S""", line) for line in lines):
        raise ValueError("its columns have no header that is known, and none holds numbers or wnids")
    return [[*row[:-1], _unquoted(row[-1])] for row in rows]


def _unquoted(text: str) -> str:
    """A field without the quotes around it, and a comma after them."""
    found = re.fullmatch(r"""(["'])(.*)\1,?""", text)
    return found[2].replace(found[1] * 2, found[1]) if found else text
