"""Where pictures come from: every kind of source as one ``Source`` of (key, label, bytes)."""

import os
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from alexnet.data.sources.base import Item, Source, SourceSplit, grouped, split, split_unless_there
from alexnet.data.sources.builtin import PREFIX, open_builtin
from alexnet.data.sources.caltech import caltech_folder, open_caltech
from alexnet.data.sources.cifar import cifar_folder, open_cifar
from alexnet.data.sources.folder import open_folder, open_zip
from alexnet.data.sources.found import output_of, skipped_in_words
from alexnet.data.sources.ilsvrc import edition_of, open_ilsvrc
from alexnet.data.sources.kaggle import kaggle_folder, open_kaggle
from alexnet.data.sources.labelme import is_labelme, open_labelme
from alexnet.data.sources.norb import is_norb, open_norb
from alexnet.data.sources.parquet import open_parquet, parquet_files
from alexnet.data.sources.table import SUFFIXES, open_table
from alexnet.data.sources.tiny_imagenet import is_tiny_imagenet, open_tiny_imagenet
from alexnet.errors import UsageError, UserError
from alexnet.files.atomic import expanded

__all__ = ["Item", "Source", "SourceSplit", "open_source", "split"]


def open_source(
    spec: Any,
    *,
    holdout: float | Literal["auto"] | None = None,
    seed: int = 0,
    known: Mapping[str, str] = MappingProxyType({}),
    group: str = "",
    root: str | Path | None = None,
    background: bool = False,
    own: Collection[Path] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Source:
    """The pictures at ``spec``, whatever kind of source it is: a folder or zip archive of class folders, a table of
    files and labels (CSV, TSV, a pandas or Polars data frame), ImageNet, CIFAR-10, the built-in set …

    ``holdout`` splits that share of the training pictures off as "val", by ``seed``; without it a source that has
    no validation split stays without; "auto" makes one where there is none (see ``split_unless_there``). ``known``: key
    → split of pictures that stay in it. ``group``: a regular expression; pictures whose keys agree in what it finds are
    never parted by a split; or the title of a table's column. ``root``: the folder of the files in a table.
    ``background`` keeps the clutter of a Caltech set as a class. ``own``: outputs of the running command, which may be
    inside ``spec`` and do not belong to it. ``progress`` is called with (done, all) while the built-in set is drawn.
    Raises ``UserError`` with the remedy if the source is damaged, ``UsageError`` if ``holdout`` does not fit.
    """
    table = spec if hasattr(spec, "columns") else Path(expanded(spec))
    is_table = table is spec or (str(table).lower().endswith(SUFFIXES) and table.is_file())
    where = "the data frame" if table is spec else str(spec)
    if root is not None and not is_table:
        raise UsageError(f"--root: only for a table of files, CSV or TSV, not for {where}")
    if is_table:
        source = open_table(table, None if root is None else Path(expanded(root)), group)
    elif where.startswith(PREFIX):
        source = open_builtin(where, progress)
    elif zipfile.is_zipfile(table):
        source = open_zip(table)
    else:
        _check_folder(table)
        source = _open(table, background, own)
    if rest := [line for line in source.ignored if not any(note.endswith(line) for note in source.notes)]:
        source = replace(source, notes=(*source.notes, f"{where}: {skipped_in_words(rest)}"))
    if group and not is_table:
        source = grouped(source, group, where)
    if holdout == "auto":
        return split_unless_there(source, seed, where, known)
    return source if holdout is None else split(source, holdout, seed, where, known)


def _open(root: Path, background: bool, own: Collection[Path]) -> Source:
    """Each kind by what only it has; a folder per class is what is left."""
    if cifar := cifar_folder(root):
        return open_cifar(cifar)
    if is_norb(root):
        return open_norb(root)
    if data := kaggle_folder(root):
        return open_kaggle(data)
    if edition := edition_of(root):
        return open_ilsvrc(root, edition)
    if is_tiny_imagenet(root):
        return open_tiny_imagenet(root)
    if is_labelme(root):
        return open_labelme(root)
    if caltech := caltech_folder(root):
        return open_caltech(caltech, background=background)
    if files := parquet_files(root):
        return open_parquet(root, files)
    return open_folder(root, own)


def _check_folder(root: Path) -> None:
    if not root.exists():
        raise UserError(f"{root}: there is no such folder")
    if not root.is_dir():
        raise UserError(
            f"{root}: a file, where a folder, a zip archive or a table (.csv, .tsv) of pictures is expected; "
            "unpack it if it is another archive"
        )
    if not os.access(root, os.R_OK | os.X_OK):
        raise UserError(f"{root}: this folder may not be read; see its permissions")
    if output := output_of(root):
        raise UserError(f"{root}: is {output}, not a folder of pictures")
