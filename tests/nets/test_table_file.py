"""A table of one's own as TOML: the zoo survives it, and what is wrong is named by its row and field."""

import re
from pathlib import Path

import pytest

from alexnet.errors import UserError
from alexnet.nets.table import Conv, Dense, Table
from alexnet.nets.table_file import find_table, read_table, to_toml
from alexnet.nets.zoo import ZOO

TOY = to_toml(ZOO["toy"])


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "name", ["toy", "alexnet", "alexnet-145", "bvlc-alexnet", "alexnet-bn", "zfnet", "cifar-11pct"]
)
def test_the_zoo_survives_toml(name: str, tmp_path: Path) -> None:
    assert read_table(written(tmp_path, to_toml(ZOO[name]))) == ZOO[name]


def test_a_person_writes_only_what_is_no_default(tmp_path: Path) -> None:
    text = """
        name = "small"  # a comment
        input_size = 20
        rows = [
          { row = "Conv", name = "first", maps = 4, kernel = 3, padding = [1, 0] },
          { row = "Dense", name = "answer", units = 2 },
        ]
    """
    rows = Conv("first", 4, 3, padding=(1, 0)), Dense("answer", 2)
    assert read_table(written(tmp_path, text)) == Table("small", rows, input_size=20)
    assert find_table(str(tmp_path / "mine.toml"), 7).classes == 7
    assert find_table("toy") == ZOO["toy"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("maps = 16", "maps = 0"), "row 1, the Conv row 'conv1': maps is 0, which can't be"),
        (("kernel = 5", 'kernel = "five"'), "row 1, the Conv row 'conv1': kernel is 'five', which can't be"),
        (("kernel = 5", "kernl = 5"), "row 1, the Conv row 'conv1': kernl is not known"),
        (("kernel = 5, ", ""), "row 1, the Conv row 'conv1': kernel is missing"),
        (('row = "Conv"', 'row = "Cnv"'), "row 1: there is no kind of row 'Cnv'. There are: Conv, Local, Dense"),
        (('row = "Conv", ', ""), "row 1: row, its kind, is missing"),
        (('name = "relu1"', 'name = "conv1"'), "two rows are called 'conv1'"),
        (('name = "relu1"', 'name = "forward"'), "no layer can be called 'forward'"),
        (('name = "relu1"', 'name = "order"'), "no layer can be called 'order'"),
        (("input_size = 32", "input_size = 3"), "conv1: a window of 5 leaves nothing"),
        (("input_size = 32", "size = 32"), "size is not known"),
        (("columns = 2", "columns = 3"), "does not fit 3 columns"),
        (('name = "toy"\n', ""), "name is missing"),
        (('name = "toy"', 'name = "../toy"'), r"name is '../toy'; letters, digits"),
        (
            ("]\n", '  { row = "Pool", name = "pool9" },\n]\n'),
            "'pool9' is a Pool row, which needs maps, and stands",
        ),
        (("]\n", '  { row = "Activation", name = "x" },\n]\n'), "the last row, 'x', is no Dense row"),
        (("rows = [", "rows = [["), "no TOML"),
        (("about", "rows"), "no TOML"),
    ],
)
def test_what_is_wrong_is_named(change: tuple[str, str], message: str, tmp_path: Path) -> None:
    assert change[0] in TOY
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        read_table(written(tmp_path, TOY.replace(*change, 1)))
    assert str(caught.value).startswith(str(tmp_path / "mine.toml"))
    assert "damaged" not in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.toml"):
        read_table(tmp_path / "absent.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"bytes\.toml: no TOML"):
        read_table(tmp_path / "bytes.toml")
