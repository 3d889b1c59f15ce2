"""Options of the commands that make and check stores."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from alexnet.choices import Decode, Format, Resample
from alexnet.commands.options.common import StoreArgument, option


@dataclass(frozen=True)
class Prepare:
    """Turn pictures into a store, from which training reads without decoding anything again.

    A store holds square RGB records of one size, labels, class names, the mean image, the colour statistics of the
    training pictures, and a report of every unusual file. If interrupted, rerun the same command to resume. When
    pictures were added to SOURCE, rerun it to add them.

    Examples:
        alexnet prepare photos/ photos.store    # a folder per class; a tenth becomes the validation split
        alexnet prepare photos/ photos.store --shard 1/2    # on one machine, 2/2 on another; then once:
        alexnet prepare photos/ photos.store --join
    """

    source: Annotated[Positional[str], arg(metavar="SOURCE")]
    """Where the pictures are: a folder with one folder per class, or with train/ and val/ of such, or a zip archive of
    that; a CSV or TSV file with columns for file, label and perhaps split; the folder of ILSVRC-2010 or -2012 as
    downloaded, of Tiny-ImageNet, CIFAR-10, Caltech-101 or -256, LabelMe, small NORB; or synthetic: for the built-in
    set."""
    store: Annotated[Positional[Path], arg(metavar="STORE")]
    """The folder to make."""
    size: Annotated[int, arg(metavar="PIXELS")] = 256
    """Side of a record: the shorter side is resized to it and the centre square kept."""
    resample: Resample = "bicubic"
    """The resizing filter; it averages when it shrinks."""
    format: Format = "raw"
    """raw: PIXELS² · 3 bytes a picture (1.28 million at 256: 252 GB); jpeg: about a third, decoded at every read."""
    holdout: Annotated[float | None, option("SHARE", default="0.1 if SOURCE has no validation split")] = None
    """Share of each class's training pictures, 0 to 1, to set apart as the split "val"; 0: none. By default classes of
    fewer than 5 pictures give none."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Random seed that decides which pictures become "val"."""
    group: Annotated[str, option("PATTERN", default="each picture alone")] = ""
    """Never part pictures of one person or one burst: those whose paths agree in what this regular expression finds (in
    its parentheses, if it has some), as '([^/]+)_\\d+' in a_01.jpg and a_02.jpg; or in this column of a CSV or TSV."""
    corrections: Annotated[Path | None, option("FILE.csv", default="none")] = None
    """Corrected labels: the columns file, suggested (a class or "leave out") and, if you like, apply (yes or no).
    `alexnet check --write` makes such a file; edit it first. The pictures themselves are not touched."""
    root: Annotated[Path | None, option("FOLDER", default="that of the CSV or TSV file")] = None
    """Folder of the files that a CSV or TSV file names."""
    background: bool = False
    """Keep the clutter of a Caltech set as a class."""
    decode: Decode = "full"
    """scaled: decode JPEGs with a shorter side of 4 · PIXELS or more at 1/2, 1/4 or 1/8 of their size: faster, and
    about one level of 255 off."""
    exif: Annotated[bool | None, option("", default="yes for your own pictures, no for research sets")] = None
    """Rotate pictures by their EXIF orientation; in 2012 they were not."""
    strict: bool = False
    """Stop at the first file that cannot be decoded."""
    max_bad: Annotated[float, arg(metavar="SHARE")] = 0.01
    """Stop if more than this share of the files, 0 to 1, cannot be decoded; fewer are skipped and listed."""
    workers: Annotated[int | None, option("N", default="one per core")] = None
    """Decoding threads; the default respects a container's CPU quota and OMP_NUM_THREADS."""
    shard: Annotated[str | None, option("I/N", default="everything")] = None
    """Prepare only the I-th of N shards, as one of N machines that share STORE."""
    join: bool = False
    """Join the N shards into one store, with the same bytes as one machine would make."""


@dataclass(frozen=True)
class Check:
    """Check a store: damage, classes, copies within and between splits, odd pictures, suspect labels.

    Odd pictures are of one tone, dark, bright, blurred or elongated; for suspect labels a run is needed. Reads every
    picture. The exit code is 1 if the store is damaged; the rest is only reported.

    Examples:
        alexnet check photos.store
        alexnet check photos.store --json --sheet odd.png
        alexnet check photos.store --run runs/photos --write corrections.csv
    """

    store: StoreArgument
    sheet: Annotated[Path | None, option("FILE.png", default="STORE.check.png")] = None
    """Where to write the contact sheet of odd pictures and copies, if there are any."""
    json: bool = False
    """Print one JSON object: remarks, counts by class, copies, odd pictures; with --run the suspect pictures."""
    run: Annotated[Path | None, arg(metavar="RUN", help_behavior_hint="(default: labels are not checked)")] = None
    """A run, or pretrained weights by name: on its features suspect labels and outliers are found by
    cross-validation."""
    write: Annotated[Path | None, option("FILE.csv", default="not written")] = None
    """With --run: where to list the suspect pictures for `prepare --corrections`, to be checked and edited: each with
    the class suggested, or "leave out". Unless the suggestion is usually right, the column apply says no. The first 24
    are drawn next to it, FILE.suspects.png; without --write, STORE.suspects.png."""
