"""A dataset of the Hugging Face Hub: Parquet files with the bytes of pictures, as they are downloaded, or Arrow files,
as `datasets` saves them with `save_to_disk`. Both are read by pyarrow."""

import importlib
import json
import re
import threading
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.data.sources.base import Source, SourceSplit, check, in_order
from alexnet.data.sources.layouts import SPLITS
from alexnet.data.sources.table import LABEL
from alexnet.errors import UserError
from alexnet.images.decode import Undecodable


def parquet_files(root: Path) -> list[Path]:
    """The Parquet files in the folder or in its ``data/``, or the saved Arrow files, by name; none if there are other
    folders, as of classes."""
    if (root / "dataset_dict.json").is_file() or (root / "state.json").is_file():
        return sorted([*root.glob("data-*.arrow"), *root.glob("*/data-*.arrow")])
    if any(one.is_dir() and one.name != "data" and not one.name.startswith(".") for one in root.iterdir()):
        return []
    return sorted([*root.glob("*.parquet"), *root.glob("data/*.parquet")])


def open_parquet(root: Path, files: Sequence[Path]) -> Source:
    """The source in these files: a file's split is the first word of its name (train-00000-of-00004.parquet), or its
    folder (train/data-00000-of-00001.arrow).

    The pictures are the column with their bytes, the labels that of kind ClassLabel, or called as in a table. A split
    without labels (-1) is skipped. Raises UserError without pyarrow, for a damaged file and without such columns.
    """
    try:
        arrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise UserError(
            f"{root}: Parquet and Arrow files are read by pyarrow; pip install 'alexnet[datasets]'"
        ) from None
    try:
        opened = {file: _Arrow(arrow, file) if file.suffix == ".arrow" else parquet.ParquetFile(file) for file in files}
        schema = opened[files[0]].schema_arrow
        features: dict[str, Any] = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = features.get("info", {}).get("features", {})
        pictures = [
            one.name for one in schema if arrow.types.is_struct(one.type) and one.type.get_field_index("bytes") >= 0
        ]
        labels = [name for name, kind in features.items() if kind.get("_type") == "ClassLabel"]
        labels = labels or [name for name in schema.names if name.lower() in LABEL]
        if not pictures or not labels:
            raise UserError(f"{root}: its files have no column of pictures' bytes, or none of labels")
        values = {file: one.read([labels[0]]).column(0).to_pylist() for file, one in opened.items()}
    except (arrow.ArrowException, OSError, ValueError, IndexError) as error:
        raise UserError(f"{root}: its files cannot be read ({error}); download or save them again") from None
    names = features.get(labels[0], {}).get("names") or in_order(
        {str(one) for found in values.values() for one in found if one not in (None, -1)}
    )
    short = {file: str(file.relative_to(root)).removeprefix("data/") for file in files}
    number = {str(name): place for place, name in enumerate(names)}
    of_split: dict[str, list[Path]] = {}
    for file in files:
        of_split.setdefault(SPLITS.get(re.split(r"[\W_]", short[file])[0].lower(), "train"), []).append(file)
    splits: dict[str, SourceSplit] = {}
    ignored: list[str] = []
    for split in filter(of_split.__contains__, ("train", "val", "test")):
        found = [one for file in of_split[split] for one in values[file]]
        if all(one in (None, -1) for one in found):
            ignored += [f"{short[file]}: without labels" for file in of_split[split]]
            continue
        keys = [f"{short[file]}#{row}" for file in of_split[split] for row in range(len(values[file]))]
        classes = [one if isinstance(one, int) and features else number.get(str(one), -1) for one in found]
        if min(classes) < 0 or max(classes) >= len(names):
            raise UserError(f"{root}: its {split} split has rows without a label, or with one that is no class")
        reader = _Reader([opened[file] for file in of_split[split]], pictures[0])
        splits[split] = SourceSplit(keys, np.array(classes, np.int64), reader)
    if "train" not in splits:
        raise UserError(f"{root}: has no files of a training split with labels")
    ids = tuple(map(str, names))
    return check(Source("parquet", ids, ids, "the dataset's", splits, tuple(ignored), upright=True), str(root))


class _Arrow:
    """An Arrow file, memory-mapped, as a Parquet file with one row group."""

    num_row_groups = 1

    def __init__(self, arrow: Any, file: Path) -> None:
        self.table = arrow.ipc.open_stream(arrow.memory_map(str(file))).read_all()
        self.table.validate(full=True)  # lengths and offsets: pyarrow follows them unseen
        self.schema_arrow, self.num_rows, self.metadata = self.table.schema, self.table.num_rows, self

    def row_group(self, _: int) -> "_Arrow":
        return self

    def read(self, columns: Sequence[str]) -> Any:
        return self.table.select(columns)

    def read_row_group(self, _: int, columns: Sequence[str]) -> Any:
        return self.read(columns)


class _Reader:
    """Reads the bytes of pictures, by row. A row group is read at once, and the last few are kept in memory."""

    def __init__(self, files: Sequence[Any], column: str) -> None:
        self.column, self.lock = column, threading.Lock()
        self.groups = [(file, group) for file in files for group in range(file.num_row_groups)]
        self.ends = [*accumulate(file.metadata.row_group(group).num_rows for file, group in self.groups)]
        self.read: dict[int, Any] = {}

    def __call__(self, position: int) -> bytes:
        place = bisect_right(self.ends, position)
        try:
            with self.lock:
                if place not in self.read:
                    file, group = self.groups[place]
                    self.read = dict([*self.read.items()][-3:])
                    self.read[place] = file.read_row_group(group, columns=[self.column]).column(0)
                row = self.read[place][position - (self.ends[place - 1] if place else 0)].as_py()
        except (ValueError, IndexError, OSError, NotImplementedError) as error:  # what pyarrow raises for damaged data
            raise Undecodable(f"damaged in its file ({error})", f"row {position}") from None
        if not row or not row["bytes"]:
            raise Undecodable("a row without a picture", f"row {position}")
        return row["bytes"]
