"""Stores made at a terminal: progress and notices on stderr, and the store that a training needs, made on the way."""

import re
import shlex
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from alexnet.data.sources import Source, open_source, split
from alexnet.data.sources.base import split_unless_there
from alexnet.data.store.description import is_store
from alexnet.data.store.layout import REPORT
from alexnet.data.store.prepare import OptionNeeded, prepare
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.terminal import progress, say
from alexnet.text import counted

Made = TypeVar("Made")
ORIENTATION = re.compile(r"EXIF orientation \d (applied|not applied)")
"""A note of the decoder."""


def open_shown(spec: Any, own: tuple[Path, ...], **options: Any) -> Source:
    """`open_source`, with progress where the built-in set has to be drawn. `own`: what the command makes, which may be
    inside the source."""
    if any(path.exists() for path in own):
        options["own"] = own
    with progress("pictures") as report:
        return open_source(spec, progress=partial(report, "drawing"), **options)


def prepare_shown(source: Source, destination: Path, make: Callable[..., Made], **options: Any) -> Made:
    """What `make` (`prepare` or a function like it) makes, with its progress and notices."""
    for line in source.notes:
        say(line)
    with progress("pictures") as report:

        def follow(split: str, done: int, total: int, refused: int) -> None:
            report(split, done, total, f"{refused:,} refused so far" if refused else "")

        return make(source, destination, progress=follow, say=say, **options)


def describe(store: Store) -> str:
    """What is in the store, and how many files were skipped or odd."""
    splits = ", ".join(f"{name} {len(split):,}" for name, split in store.splits.items())
    text = f"{store.path}: {len(store.class_names):,} classes, pictures: {splits}"
    odd = store.report()
    outcomes = Counter(one.outcome for one in odd)
    skipped, taken = counted(outcomes["refused"], "file"), counted(outcomes["noted"], "unusual one")
    orientations = Counter(match[1] for one in odd for why in one.why if (match := ORIENTATION.fullmatch(why)))
    text += f"\n{skipped} skipped, {taken} taken, {orientations['applied']:,} rotated by EXIF orientation"
    if orientations["not applied"]:
        text += f" ({orientations['not applied']:,} with one were not; --exif rotates them)"
    return f"{text}: see {store.path / REPORT}" if odd else text


def ready_store(pictures: Path, run: Path, size: int = 256) -> Store:
    """The store at `pictures`, or the one made of the pictures there, with records of `size` pixels a side and a tenth
    held out if there is no "val"."""
    if is_store(pictures):
        return Store.open(pictures)
    store = run.resolve().with_name(run.resolve().name + ".store")
    source, holdout = open_shown(pictures, own=(run, store)), []
    if "val" not in source.splits:
        source, holdout = split_unless_there(source, 0, str(pictures)), []
    if "val" not in source.splits:  # fewer than five pictures in each class
        source, holdout = split(source, 0.1, 0, str(pictures)), ["--holdout", "0.1"]
    try:
        return prepare_shown(source, store, prepare, size=size)
    except OptionNeeded as fault:
        command = shlex.join(["alexnet", "prepare", str(pictures), str(store), *holdout])
        train = shlex.join(["alexnet", "train", str(store), "--out", str(run)])
        raise UserError(f"{fault}. To give options: {command} {fault.option}; then: {train} …") from None
