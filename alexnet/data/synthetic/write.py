"""The built-in set as a folder of JPEG files, one folder per class, with what is true of each picture beside it."""

import io
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import PIL
from PIL import Image

from alexnet.data.ahead import in_threads
from alexnet.data.synthetic.paint import CLASSES, draw
from alexnet.errors import UsageError, UserError
from alexnet.files.atomic import faults_named, remove_temporaries, write_atomically
from alexnet.files.locks import locked
from alexnet.files.schema import json_bytes, read, read_json, to_json

MANIFEST = "synthetic.json"
DRAWING_VERSION = 3  # goes up whenever a picture changes
JPEG_QUALITY = 90
TRAIN_PER_CLASS, VAL_PER_CLASS = 300, 50

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Annotation:
    """What is true of one file of the set; see `Drawing` for box and keypoints.

    file: path below the split's folder ("face/face_00012.jpg"); size_bytes: of the file; width and height in pixels.
    """

    file: str
    index: int
    label: int
    width: int
    height: int
    box: tuple[int, int, int, int]
    keypoints: dict[str, tuple[float, float]]
    palette: int
    size_bytes: int


def write(
    folder: Path | str,
    *,
    train_per_class: int = TRAIN_PER_CLASS,
    val_per_class: int = VAL_PER_CLASS,
    seed: int = 0,
    side: int | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Path:
    """Draws the built-in set into `folder` and gives that path back.

    folder/train/CLASS/CLASS_00000.jpg, folder/val/…, annotations-train.json, annotations-val.json and a manifest.
    A finished set with the same settings is kept as it is; an unfinished or damaged one is drawn again, with the same
    result. The pixels depend on (seed, split, index) only; the bytes of the files on Pillow's JPEG encoder, too.
    side: shorter side of every picture in pixels, at least 16 (by default 200–400, each its own); progress: called
    with the number of pictures done and of all; workers: threads, by default one per core.
    Raises UsageError for counts, seed or side out of range; UserError if the folder holds something else, another
    built-in set, or cannot be written.
    """
    folder = Path(folder)
    settings = checked_settings(train_per_class, val_per_class, seed, side)
    refuse_foreign(folder, settings)
    if is_complete(folder, settings):
        return folder
    with faults_named(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock", f"{folder}: another process is drawing the built-in pictures here; wait for it"):
        if not is_complete(folder, settings):
            write_atomically(folder / MANIFEST, json_bytes({**settings, "complete": False}))
            draw_all(folder, settings, progress, workers)
            write_atomically(folder / MANIFEST, json_bytes({**settings, "complete": True}))
    return folder


def checked_settings(train_per_class: int, val_per_class: int, seed: int, side: int | None) -> dict[str, Any]:
    """All that the pictures depend on, as the manifest has it."""
    if not 1 <= train_per_class <= 99_999 or not 1 <= val_per_class <= 99_999:
        raise UsageError(
            f"{train_per_class} training and {val_per_class} validation pictures per class: 1 to 99999 each"
        )
    if seed < 0:
        raise UsageError(f"seed {seed}: the built-in set takes 0 or more")
    if side is not None and not 16 <= side <= 4096:
        raise UsageError(f"side {side}: the built-in pictures have a shorter side of 16 to 4096 pixels")
    return {
        "what": "the built-in picture set of alexnet",
        "drawing_version": DRAWING_VERSION,
        "per_class": {"train": train_per_class, "val": val_per_class},
        "seed": seed,
        "side": side,
        "classes": list(CLASSES),
        "jpeg_encoder": f"Pillow {PIL.__version__}",
    }


def refuse_foreign(folder: Path, settings: dict[str, Any]) -> None:
    """UserError unless the folder is absent, empty, or holds a finished or begun set with these settings."""
    with faults_named(folder):
        if not folder.exists() or (folder.is_dir() and all(path.name == ".lock" for path in folder.iterdir())):
            return
    if not (folder / MANIFEST).is_file():
        raise UserError(f"{folder}: not empty, and no built-in set; choose another folder for the built-in pictures")
    found = read_json(folder / MANIFEST)
    different = [name for name, value in settings.items() if found.get(name) != value]
    if different:
        named = ", ".join(f"{name} {found.get(name)} instead of {settings[name]}" for name in different)
        raise UserError(f"{folder}: holds another built-in set ({named}); remove it or choose another folder")


def is_complete(folder: Path, settings: dict[str, Any]) -> bool:
    """Whether the manifest says so and every file is there with its length."""
    manifest = folder / MANIFEST
    if not manifest.is_file() or not read_json(manifest).get("complete"):
        return False
    try:
        for split, per_class in settings["per_class"].items():
            annotations = read_annotations(folder, split)
            sizes = [(folder / split / annotation.file).stat().st_size for annotation in annotations]
            if len(sizes) != per_class * len(CLASSES) or sizes != [annotation.size_bytes for annotation in annotations]:
                return False
    except (UserError, OSError):
        return False
    return True


def draw_all(folder: Path, settings: dict[str, Any], progress: Progress | None, workers: int | None) -> None:
    """Draws both splits, all cores busy, and writes the annotations of each when its last picture is there."""
    counts = {split: per_class * len(CLASSES) for split, per_class in settings["per_class"].items()}
    threads, done = workers or os.cpu_count() or 1, 0
    for split, count in counts.items():
        for name in CLASSES:
            with faults_named(folder / split / name):
                (folder / split / name).mkdir(parents=True, exist_ok=True)
                remove_temporaries(folder / split / name)
        calls = (partial(write_picture, folder, settings, split, index) for index in range(count))
        annotations = []
        with closing(in_threads(calls, threads=threads, depth=4 * threads)) as drawn:
            for annotation in drawn:
                annotations.append(to_json(annotation))
                done += 1
                if progress:
                    progress(done, sum(counts.values()))
        document = {"classes": list(CLASSES), "pictures": annotations}
        write_atomically(folder / f"annotations-{split}.json", json_bytes(document))


def write_picture(folder: Path, settings: dict[str, Any], split: str, index: int) -> Annotation:
    """Draws one picture into its file, whole or not at all."""
    drawing, encoded = draw(settings["seed"], split, index, side=settings["side"]), io.BytesIO()
    Image.fromarray(drawing.pixels).save(encoded, "JPEG", quality=JPEG_QUALITY)
    name = CLASSES[drawing.label]
    file = f"{name}/{name}_{index // len(CLASSES):05d}.jpg"
    # No fsync for each of thousands of files: the set can be drawn again, and its lengths are checked.
    write_atomically(folder / split / file, encoded.getbuffer(), durable=False)
    height, width, _ = drawing.pixels.shape
    known = (drawing.label, width, height, drawing.box, drawing.keypoints, drawing.palette)
    return Annotation(file, index, *known, size_bytes=encoded.getbuffer().nbytes)


@dataclass(frozen=True)
class _Annotations:
    """What is read of a split's annotations-….json."""

    pictures: list[Annotation]


def read_annotations(folder: Path | str, split: str) -> list[Annotation]:
    """The annotations of "train" or "val" of a written set, by index. UserError where they are absent or damaged."""
    path = Path(folder) / f"annotations-{split}.json"
    return read(path, _Annotations, "Remove the folder and write the built-in set again.").pictures
