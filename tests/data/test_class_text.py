"""Lists of classes in the forms that people and tools write: read as meant, or refused with the expected format."""

import json
from pathlib import Path

import pytest

from alexnet.data.sources.class_text import entries_in
from alexnet.data.sources.classes import read_classes
from alexnet.errors import UserError

WNIDS, NAMES = ("n01440764", "n01443537", "n01484850"), ("tench, Tinca tinca", "goldfish", "great white shark")
PAIRS = dict(zip(WNIDS, NAMES, strict=True))


def lines(form: str, start: int = 0, end: str = "\n") -> str:
    """A line for each class: {k} its number, {w} its wnid, {n} its name."""
    return "".join(form.format(k=k, w=w, n=n) + end for k, (w, n) in enumerate(PAIRS.items(), start))


WITH_WNIDS = {
    "Caffe's synset_words.txt": lines("{w} {n}"),
    "tabs": lines("{w}\t{n}"),
    "CRLF": lines("{w} {n}", end="\r\n"),
    "CR": lines("{w} {n}", end="\r"),
    "no last line end": lines("{w} {n}").rstrip(),
    "comments and blank lines": "# classes\n\n// of three\n" + lines("{w}: {n}", end="\n\n"),
    "CSV": lines('{w},"{n}"'),
    "CSV, commas without quotes": lines("{w},{n}"),
    "CSV with a header": "wnid,name\n" + lines('{w},"{n}"'),
    "CSV with numbers": "index,wnid,name\n" + lines('{k},{w},"{n}"'),
    "CSV with columns in another order": 'Class Name;Synset ID;Index\n"' + lines('{n}";{w};{k}', end='\n"').rstrip('"'),
    "an index of pandas": ",wnid,name\n" + lines('{k},{w},"{n}"'),
    "number, wnid, name": lines("{k} {w} {n}"),
    "name, then wnid": lines('"{n}",{w}'),
    "wnid, number from 1, name (map_clsloc.txt)": lines("{w} {k} {n}", 1),
    "Keras's class index": json.dumps({str(k): pair for k, pair in enumerate(PAIRS.items())}),
    "the same from the end": json.dumps({str(k): pair for k, pair in reversed(list(enumerate(PAIRS.items())))}),
    "JSON by wnid": json.dumps(PAIRS),
    "pairs in JSON": json.dumps(list(PAIRS.items())),
    "a printed dict of pairs": str(dict(enumerate(PAIRS.items()))),
    "a run's config.json": json.dumps(
        {"classes": {"names": NAMES, "ids": WNIDS, "order": "sorted synset"}, "data": {}}
    ),
    "a store.json": json.dumps({"class_order": "x", "class_ids": WNIDS, "class_names": NAMES}),
}
NAMES_ALONE = {
    "names": lines("{n}"),
    "names in quotes": lines('"{n}",'),
    "numbers": lines("{k} {n}"),
    "numbers and colons": lines("{k}: {n}"),
    "numbers in another order": "\n".join(reversed(lines("{k},{n}").splitlines())),
    "numbers from 1 with points": lines("{k}. {n}", 1),
    "numbers with arrows": lines("{k} -> {n}"),
    "numbers and tabs": lines("{k}\t{n}"),
    "numbers behind (Places365)": lines("{n} {k}"),
    "CSV": "index,name\n" + lines('{k},"{n}"'),
    "CSV, the name first": "class,label\n" + lines('"{n}",{k}'),
    "CSV with a header of no known words": "idx,breed\n" + lines('{k},"{n}"'),
    "an index of pandas": ",0\n" + lines('{k},"{n}"'),
    "a lone header": "class_name\n" + lines('"{n}"'),
    "a printed dict (imagenet1000_clsidx_to_labels.txt)": "{" + lines(" {k}: '{n}'", end=",\n").rstrip(",\n") + "}",
    "the inside of a printed dict": lines("{k}: '{n}',"),
    "an assignment": f"# the classes\nCLASSES = {list(NAMES)}\n",
    "JavaScript": f"const labels = {json.dumps(NAMES)};",
    "a tuple": str(NAMES),
    "a JSON list": json.dumps(NAMES, indent=1),
    "id2label": json.dumps(dict(enumerate(NAMES))),
    "label2id": json.dumps({name: k for k, name in enumerate(NAMES)}),
    "label2id of texts": str({name: str(k) for k, name in enumerate(NAMES)}),
    "Hugging Face's config.json": json.dumps(
        {
            "architectures": ["AlexNet"],
            "id2label": dict(enumerate(NAMES)),
            "label2id": {name: k for k, name in enumerate(NAMES)},
        }
    ),
    "COCO": json.dumps({"images": [], "categories": [{"id": k, "name": n} for k, n in enumerate(NAMES, 1)]}),
    "YOLO": "path: x\nnc: 3\nnames:\n" + lines("- {n}") + "roboflow: y\n",
    "YOLO, indented, with comments": "names:\n" + lines("  - {n}  # {k}"),
    "YOLO by number": "names:\n" + lines("  {k}: {n}"),
    "YOLO in brackets": f"train: x\nnames: {list(NAMES)}\nnc: 3",
    "a YAML list": lines("- {n}"),
    "a YAML list under a heading": "classes:\n" + lines("  - {n}"),
    "a list in Markdown": lines("* {n}"),
    "comments behind names": lines("{n}  # number {k}"),
    "an OrderedDict": "OrderedDict([" + lines("({k}, '{n}')", end=",\n").rstrip(",\n") + "])",
    "a NumPy array": f"array({list(NAMES)},\n      dtype='<U8')",
    "an Index of pandas": f"Index({list(NAMES)},\n      dtype='object', name='class')",
}
CODECS = {"utf-8": b"", "utf-8-sig": b"", "utf-16": b"", "utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}


def read(folder: Path, text: str, codec: str = "utf-8") -> tuple[tuple[str, ...], tuple[str, ...]]:
    (folder / "list").write_bytes(CODECS[codec] + text.encode(codec))
    found = read_classes(folder / "list")
    return found.ids, found.names


@pytest.mark.parametrize("form", WITH_WNIDS)
def test_lists_with_wnids(tmp_path: Path, form: str) -> None:
    for codec in CODECS:
        assert read(tmp_path, WITH_WNIDS[form], codec) == (WNIDS, NAMES)


@pytest.mark.parametrize("form", NAMES_ALONE)
def test_lists_of_names(tmp_path: Path, form: str) -> None:
    for codec in CODECS:
        assert read(tmp_path, NAMES_ALONE[form], codec) == (NAMES, NAMES)


@pytest.mark.parametrize(
    "text", ['{"0": "ox", "1": "up"}', "{0: 'ox', 1: 'up'}", '["ox", "up"]', "ox\nup", "0 ox\n1 up"]
)
def test_names_of_two_letters_are_names(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == (("ox", "up"), ("ox", "up"))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("0\n1\n2\n", ("0", "1", "2")),  # digits are names
        ('{"0": "0", "1": "1"}', ("0", "1")),
        ('{"1": 0, "2": 1, "3": 2}', ("1", "2", "3")),  # class_to_idx of folders called 1, 2, 3
        ("Acura RL Sedan 2012\nAudi S4 2007\n", ("Acura RL Sedan 2012", "Audi S4 2007")),
        ("digit 0\ndigit 1\n", ("digit 0", "digit 1")),
        ("1 001.Albatross\n2 002.Auklet\n", ("001.Albatross", "002.Auklet")),  # CUB-200
        ("001.ak47\n002.american-flag\n", ("001.ak47", "002.american-flag")),
        ("no\nyes\n", ("no", "yes")),
        ("(none)\ncat\n", ("(none)", "cat")),
        ("1 euro\n2 euro\n", ("1 euro", "2 euro")),
        ("{'classes': ['cat', 'dog'], 'class_to_idx': {'dog': 1, 'cat': 0}}", ("cat", "dog")),
        ("7 up\ncola\nlemonade\n", ("7 up", "cola", "lemonade")),
        ("crane\nowl\ncrane\n", ("crane (crane)", "owl", "crane (crane 2)")),
        ("C#\nC++\n", ("C#", "C++")),
        ("café\n日本\n", ("café", "日本")),
        ("cat\tHauskatze\ndog\tHaushund\n", ("Hauskatze", "Haushund")),
        ("0 'a \"b\" c'\n1 'd'\n", ('a "b" c', "d")),
        ("names: [yes, no]\n", ("yes", "no")),
        ("{0: 'a\\d', 1: 'b'}", ("a\\d", "b")),
    ],
)  # fmt: skip
def test_what_may_be_mistaken(tmp_path: Path, text: str, names: tuple[str, ...]) -> None:
    assert (
        read(tmp_path, text)[1] == names
        if "crane" not in text
        else read(tmp_path, text)[0] == ("crane", "owl", "crane 2")
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"0 a\n2 b\n", "1 is missing"),
        (b"0 a\n0 b\n", "0 occurs twice"),
        (b"5 a\n6 b\n", "1 is missing"),
        (b'{"0": "a", "7": "b"}', "1 is missing"),
        (b'{"0": "a", "0": "b"}', "'0' occurs twice"),
        (b"{0: 'a', 0: 'b'}", "'0' occurs twice"),
        (b'{"0": "a", "b": "c"}', "only some"),
        (b'{"0": "a", "1": ["b", "c"]}', "same form"),
        (b'{"0": null, "1": "a"}', "'None' is no class"),
        (b'{"0": true, "1": false}', "no class"),
        (b"n01440764 tench\ngoldfish\n", "'goldfish' does not begin with a number or a wnid"),
        (b"0 a\n1 b\nc\n", "'c' does not begin"),
        (b"0 a\n1\n2 c\n", "'1' has no name"),
        (b'{"0": "", "1": "a"}', "has no name"),
        (b'0\t"a\n1\tb\n2\tc\n', "a quote in it is not closed"),
        (b"name\ncat\ndog\n", "may be a header or a class"),
        (b"id,name,words\na,b,c\ne,f\n", "same form"),
        (b"id,name,extra,more\na,b,c,d\n", "no header that is known"),
        (b"names: [a, b]\nnc: 3\n", "says nc: 3 and names 2"),
        (b'{"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 1, "b": 0}}', "disagree about"),
        (b"item {\n  id: 1\n  name: 'cat'\n}\n", "'item {' is no class"),
        (b"<!DOCTYPE html>\n<html>\n", "no class"),
        (b"Classes:\ncat\ndog\n", "'Classes:' is no class"),
        (b"% made by hand\ncat\ndog\n", "'% made by hand' is no class"),
        (b"animals\n=======\ncat\n", "'=======' is no class"),
        (b"import os\nCLASSES = ['cat', 'dog']\n", "is no class"),
        (b"caf\xe9\nbar\n", "save it as UTF-8"),
        (b"\x80\x04\x95\x00\x00\n\x00", "save it as UTF-8"),
        (b"[" * 100_000, "nested without end|neither JSON"),
        (b"{0: __import__('os').system('true'), 1: 'b'}", "neither JSON nor a Python dict"),
        (b"['a' 'b']", "fewer than two"),
        (b"", "fewer than two classes are in it. Give one class per line"),
        (b"# cat\n", "fewer than two"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "list").write_bytes(data)
    with pytest.raises(UserError, match=words) as caught:
        read_classes(tmp_path / "list")
    assert str(tmp_path / "list") in str(caught.value)
    assert "fewer" in words or '["tench", …]' in str(caught.value)


def test_ids_that_are_known() -> None:
    text = b"cat Felis catus\nn01440764 tench\nowl: Strix\n"
    assert [entry[1:] for entry in entries_in(text, "x", {"cat", "owl"})][0::2] == [
        ("cat", "Felis catus"),
        ("owl", "Strix"),
    ]
