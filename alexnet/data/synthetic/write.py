"""The built-in set as a folder of JPEG files, one folder per class, with what is true of each picture beside it."""

import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL
from PIL import Image

from alexnet.data.synthetic.paint import CLASSES, PARTS, draw
from alexnet.errors import UsageError, UserError
from alexnet.files.atomic import faults_named, write_atomically
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

    file: path below the part's folder ("face/face_00012.jpg"); size_bytes: of the file; width and height in pixels.
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
    result. The pixels depend on (seed, part, index) only; the bytes of the files on Pillow's JPEG encoder, too.
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
        found = {part: read_annotations(folder, part) for part in PARTS}
    except UserError:
        return False
    counts_right = all(len(found[part]) == settings["per_class"][part] * len(CLASSES) for part in PARTS)
    return counts_right and all(
        size_of(folder / part / annotation.file) == annotation.size_bytes
        for part in PARTS
        for annotation in found[part]
    )


def size_of(path: Path) -> int:
    """Bytes of the file; −1 without one."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def draw_all(folder: Path, settings: dict[str, Any], progress: Progress | None, workers: int | None) -> None:
    """Draws both parts, all cores busy, and writes the annotations of each part when its last picture is there."""
    counts = {part: settings["per_class"][part] * len(CLASSES) for part in PARTS}
    done = 0
    with ThreadPoolExecutor(workers or os.cpu_count() or 1, "synthetic") as pool:
        for part in PARTS:
            for name in CLASSES:
                with faults_named(folder / part / name):
                    (folder / part / name).mkdir(parents=True, exist_ok=True)
            annotations: list[dict[str, Any]] = []

            def one(index: int, part: str = part) -> dict[str, Any]:
                return write_picture(folder, settings["seed"], part, index, settings["side"])

            try:
                for annotation in pool.map(one, range(counts[part])):
                    annotations.append(annotation)
                    done += 1
                    if progress:
                        progress(done, sum(counts.values()))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
            document = {"classes": list(CLASSES), "pictures": annotations}
            write_atomically(folder / f"annotations-{part}.json", json_bytes(document))


def write_picture(folder: Path, seed: int, part: str, index: int, side: int | None) -> dict[str, Any]:
    """Draws one picture into its file, whole or not at all; gives its annotation."""
    drawing = draw(seed, part, index, side=side)
    name = CLASSES[drawing.label]
    file = f"{name}/{name}_{index // len(CLASSES):05d}.jpg"
    encoded = io.BytesIO()
    Image.fromarray(drawing.pixels).save(encoded, "JPEG", quality=JPEG_QUALITY)
    path = folder / part / file
    temporary = path.with_suffix(".unfinished")
    # No fsync for each of thousands of files: the set can be drawn again, and its lengths are looked at.
    with faults_named(path):
        temporary.write_bytes(encoded.getbuffer())
        temporary.replace(path)
    height, width, _ = drawing.pixels.shape
    size = encoded.getbuffer().nbytes
    about = (file, index, drawing.label, width, height, drawing.box, drawing.keypoints, drawing.palette, size)
    return to_json(Annotation(*about))


@dataclass(frozen=True)
class _Annotations:
    """What is read of a part's annotations-….json."""

    pictures: list[Annotation]


def read_annotations(folder: Path | str, part: str) -> list[Annotation]:
    """The annotations of "train" or "val" of a written set, by index. UserError where they are absent or damaged."""
    path = Path(folder) / f"annotations-{part}.json"
    return read(path, _Annotations, "Remove the folder and write the built-in set again.").pictures
