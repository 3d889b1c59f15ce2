"""Pictures into a store, asked for or on the way to a training."""

import shlex
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from tyro.conf import Positional, arg

from alexnet.errors import UsageError, UserError

if TYPE_CHECKING:
    from alexnet.data.sources import Source
    from alexnet.data.store.read import Store

Made = TypeVar("Made")


@dataclass(frozen=True)
class Prepare:
    """Turn pictures into a store, which trains without decoding anything again.

    It holds square RGB records of one size, labels, class names, the mean image, the colour statistics of the training
    pictures, and a report of every odd file. The same command goes on with a store that was begun and stopped.

    Example:
        alexnet prepare photos/ photos.store --holdout 0.1    # a folder per class, a tenth kept for validation
        alexnet prepare photos/ photos.store --part 1/2    # on one machine, 2/2 on another; then once:
        alexnet prepare photos/ photos.store --join
    """

    source: Annotated[Positional[str], arg(metavar="SOURCE")]
    """Where the pictures are: a folder with one folder per class, or with train/ and val/ of such; the folder of
    ILSVRC-2010 or -2012 as downloaded, of Tiny-ImageNet, CIFAR-10, Caltech-101 or -256, LabelMe, small NORB; or
    synthetic: for the built-in set."""
    store: Annotated[Positional[Path], arg(metavar="STORE")]
    """The folder to make."""
    size: Annotated[int, arg(metavar="PIXELS")] = 256
    """Side of a record, pixels: the shorter side is resized to it, the centre square kept."""
    resample: Literal["bicubic", "bilinear", "lanczos", "box"] = "bicubic"
    """The resizing filter; averages where it shrinks."""
    format: Literal["raw", "jpeg"] = "raw"
    """raw: PIXELS² · 3 bytes a picture (1.28 million at 256: 252 GB); jpeg: about a third, decoded at each reading."""
    holdout: Annotated[float | None, arg(metavar="SHARE", help_behavior_hint="(default: the source's own parts)")] = (
        None
    )
    """Share of the training pictures, 0 to 1, to set apart as part "val"."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Which pictures --holdout takes."""
    background: bool = False
    """Keep the clutter of a Caltech set as a class."""
    decode: Literal["full", "scaled"] = "full"
    """scaled: JPEGs with a shorter side of 4 · PIXELS or more are decoded at 1/2, 1/4 or 1/8 of their size: faster, and
    about one level of 255 off."""
    exif: bool = False
    """Turn pictures as their EXIF orientation says; in 2012 they were not."""
    strict: bool = False
    """Stop at the first file that cannot be decoded."""
    max_bad: Annotated[float, arg(metavar="SHARE")] = 0.01
    """Stop when more than this share of the files, 0 to 1, cannot be decoded; below, they are left out and listed."""
    workers: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: one per core)")] = None
    """Threads that decode; the default obeys a container's CPU quota and OMP_NUM_THREADS."""
    part: Annotated[str | None, arg(metavar="I/N", help_behavior_hint="(default: all of it)")] = None
    """Prepare part I of N only, as one of N machines that share STORE and do the rest."""
    join: bool = False
    """Make one store of the N parts: the same bytes as one machine makes."""

    def run(self) -> None:
        from alexnet.data.store.prepare import prepare
        from alexnet.data.store.records import Options
        from alexnet.data.store.shards import Shard, join, prepare_shard

        if self.part is not None and self.join:
            raise UsageError("--part and --join: give one of them; parts are joined when all are there.")
        shard = None if self.part is None else Shard.parse(self.part)
        asked = {"holdout": self.holdout, "seed": self.seed, "background": self.background}
        source = open_shown(self.source, own=(self.store,), **asked)
        records = {name: getattr(self, name) for name in ("size", "resample", "format", "decode", "exif")}
        limits = {"strict": self.strict, "max_bad": self.max_bad}
        if shard is not None:
            make = partial(prepare_shard, shard=shard, options=Options(**records), workers=self.workers)
            print(prepare_shown(source, self.store, make, **limits))
        elif self.join:
            print(describe(prepare_shown(source, self.store, join, options=Options(**records), **limits)))
        else:
            print(describe(prepare_shown(source, self.store, prepare, workers=self.workers, **records, **limits)))


def open_shown(spec: str | Path, own: tuple[Path, ...], **options: Any) -> "Source":
    """`alexnet.data.sources.open_source`, on stderr the progress of drawing where the built-in set has to be drawn.
    `own`: what the command makes, which may lie in the source."""
    from alexnet.data.sources import open_source
    from alexnet.terminal import progress

    if any(path.exists() for path in own):
        options["own"] = own
    with progress("pictures") as report:
        return open_source(spec, progress=partial(report, "drawing"), **options)


def prepare_shown(source: "Source", destination: Path, make: Callable[..., Made], **options: Any) -> Made:
    """What `make` (`alexnet.data.store.prepare.prepare` or one like it) makes, its progress and its words on stderr."""
    from alexnet.terminal import progress, say

    for line in source.notes:
        say(line)
    with progress("pictures") as report:

        def follow(part: str, done: int, total: int, refused: int) -> None:
            report(part, done, total, f"{refused:,} refused so far" if refused else "")

        return make(source, destination, progress=follow, say=say, **options)


def describe(store: "Store") -> str:
    """What is in the store, and how many files were left out or odd."""
    from alexnet.text import counted

    parts = ", ".join(f"{name} {len(part):,}" for name, part in store.parts.items())
    odd = Counter(entry["outcome"] for entry in store.report())
    told = f"{store.path}: {len(store.class_names):,} classes, pictures: {parts}"
    if odd:
        left_out, taken = counted(odd["refused"], "file"), counted(odd["noted"], "odd one")
        told += f"\n{left_out} left out, {taken} taken: see {store.path / 'report.json'}"
    return told


def ready_store(pictures: Path, run: Path) -> "Store":
    """The store at `pictures`, or the one made of the pictures there, with a tenth held out if there is no "val"."""
    from alexnet.data.sources import split
    from alexnet.data.store.description import is_store
    from alexnet.data.store.prepare import OptionNeeded, prepare
    from alexnet.data.store.read import Store

    if is_store(pictures):
        return Store.open(pictures)
    store = run.resolve().with_name(run.resolve().name + ".store")
    source, holdout = open_shown(pictures, own=(run, store)), []
    if "val" not in source.parts:
        source, holdout = split(source, 0.1, 0, str(pictures)), ["--holdout", "0.1"]
    try:
        return prepare_shown(source, store, prepare)
    except OptionNeeded as fault:
        command = shlex.join(["alexnet", "prepare", str(pictures), str(store), *holdout])
        train = shlex.join(["alexnet", "train", str(store), "--out", str(run)])
        raise UserError(f"{fault}. To give options: {command} {fault.option}; then: {train} …") from None
