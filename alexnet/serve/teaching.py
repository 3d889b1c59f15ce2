"""Teaching: people's own classes, collected in one folder, and runs trained on them from the explored one.

    FOLDER/pictures/CLASS/000012.jpg   a picture collected here; the folder is one that `alexnet train` takes
    FOLDER/removed/CLASS/000012.jpg    a picture that was removed
    FOLDER/runs/NAME                   a run, next to its NAME.store and NAME.log

Nothing is written elsewhere. A client's name becomes a folder's only if `folder_name` lets it pass; pictures, classes
and runs are looked up among those that are there. A training is a process of its own, `alexnet train`: the explorer
stays quick, and a pause is the trainer's own interruption.
"""

import io
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image

import alexnet
from alexnet.data.sources.base import LEAST_TO_SPLIT
from alexnet.data.sources.folder import same_name
from alexnet.data.sources.found import why_skipped
from alexnet.data.sources.layouts import split_names
from alexnet.errors import UserError
from alexnet.files.atomic import DiskFull, faults_named, write_atomically
from alexnet.images.decode import decode
from alexnet.runs.folder import RunFolder
from alexnet.runs.history import read_history, read_now, validation_of
from alexnet.serve.cache import LRUCache
from alexnet.serve.open_networks import Absent, version_of
from alexnet.serve.uploads import LIMIT_PIXELS
from alexnet.text import counted

MOST_CLASSES, MOST_PICTURES = 100, 2_000
"""Classes, and pictures of each."""
SHORTER_SIDE, LONGER_SIDE, QUALITY = 512, 4096, 92
"""Larger pictures are made smaller: pixels, and JPEG's quality."""
LONGEST_NAME = 60
COLLECTED = re.compile(r"\d{6}\.jpg")
SHOWN, LOG_LINES, RUNS = 12, 12, 64
NICENESS = 10
"""Of a training, beside which people look at pages."""
FEW_PICTURES = ("--batch", "16", "--patience", "10")
"""Options of a fine-tuning: a few hundred pictures are few updates an epoch."""
Head = Literal["linear", "network"]


def folder_name(words: str, what: str) -> str:
    """A name that a person gave, as that of a folder. Raises UserError for one that could lead elsewhere, or that
    means something to file systems or to `alexnet prepare`."""
    name = " ".join(unicodedata.normalize("NFC", words).split())
    if not name or len(name) > LONGEST_NAME:
        raise UserError(f"the name of a {what} has 1 to {LONGEST_NAME} characters")
    if not name.isprintable() or re.search(r'[/\\:*?"<>|]', name) or name[-1] == ".":
        raise UserError(
            f"{name!r} can't be the name of a {what}: leave out / \\ : * ? \" < > | and a full stop at its end"
        )
    if why_skipped(name, True) or split_names([name]):
        raise UserError(f"{name!r} can't be the name of a {what}: it means something else to file systems or `prepare`")
    return name


@dataclass(frozen=True)
class Training:
    """A training that was started here."""

    run: Path
    words: list[str]
    """Of the command line, after `alexnet train`."""
    process: "subprocess.Popen[bytes]"

    @property
    def alive(self) -> bool:
        return self.process.poll() is None


class Teaching:
    """The folder and the training in progress. Thread-safe."""

    def __init__(self, folder: Path, start: Path) -> None:
        """`start`: the run that trainings start from. Raises UserError if the folder can't be made."""
        self.folder, self.start = folder.resolve(), start.resolve()
        self.pictures, self.runs = self.folder / "pictures", self.folder / "runs"
        self._lock = threading.Lock()
        self._training: Training | None = None
        self._known: LRUCache[tuple[str, str], dict[str, Any]] = LRUCache(RUNS)
        with faults_named(self.folder):
            for place in (self.pictures, self.runs):
                place.mkdir(parents=True, exist_ok=True)

    # ── classes and their pictures ───────────────────────────────────────────────────────────────────────────────

    @property
    def classes(self) -> list[str]:
        return _names(self.pictures, folders=True)

    def add_class(self, words: str) -> str:
        """Make a class, or find the one of that name; its name."""
        name = folder_name(words, "class")
        with self._lock:
            known = {same_name(one): one for one in self.classes}
            if same_name(name) in known:
                return known[same_name(name)]
            if len(known) >= MOST_CLASSES:
                raise UserError(f"there are {MOST_CLASSES} classes already, which is the most that can be taught here")
            with faults_named(self.pictures / name):
                (self.pictures / name).mkdir()
        return name

    def pictures_of(self, name: str) -> list[str]:
        """The pictures of a class, in order. Raises Absent for no class."""
        return _names(self._class(name), folders=False)

    def picture(self, name: str, file: str) -> Path:
        """Raises Absent if there is none of that name."""
        if file not in self.pictures_of(name):
            raise Absent("there is no such picture")
        return self.pictures / name / file

    def add_picture(self, name: str, data: bytes) -> str:
        """Add the picture in `data` to a class, as a JPEG without what cameras note of place and time; the name of its
        file. Raises Undecodable if it is none, UserError if there are too many or the disk is full."""
        place = self._class(name)
        jpeg = _as_jpeg(data)
        with self._lock:
            files = _names(place, folders=False)
            there = [one for one in (*files, *self._removed(name)) if COLLECTED.fullmatch(one)]
            if len(files) >= MOST_PICTURES:
                raise UserError(f"{name} has {MOST_PICTURES:,} pictures already, the most that a class can have here")
            file = f"{max((int(one[:6]) for one in there), default=0) + 1:06}.jpg"
            try:
                write_atomically(place / file, jpeg, durable=False)
            except DiskFull as fault:
                raise DiskFull(f"{fault.fact}: nothing more can be collected; free some space, then go on") from None
        return file

    def remove(self, name: str, file: str | None = None) -> int:
        """Move a picture that was collected here, or without `file` all of the class, to the folder `removed`; an empty
        class goes. How many were moved. Raises UserError for a picture that a person put there."""
        files = self.pictures_of(name) if file is None else [self.picture(name, file).name]
        collected = [one for one in files if COLLECTED.fullmatch(one)]
        if file is not None and not collected:
            raise UserError(f"{file} was put there by hand; remove it from {self.pictures / name} yourself")
        place = self.folder / "removed" / name
        with self._lock, faults_named(place):
            place.mkdir(parents=True, exist_ok=True)
            for one in collected:
                os.replace(self.pictures / name / one, place / one)
            if file is None:
                with suppress(OSError):  # what was put there by hand stays
                    (self.pictures / name).rmdir()
        return len(collected)

    def _class(self, name: str) -> Path:
        if name not in self.classes:
            raise Absent("there is no such class")
        return self.pictures / name

    def _removed(self, name: str) -> list[str]:
        place = self.folder / "removed" / name
        return _names(place, folders=False) if place.is_dir() else []

    # ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self, name: str) -> Path:
        """The folder of a run that was trained here. Raises Absent if there is none."""
        if name not in _names(self.runs, folders=True) or not (self.runs / name / "config.json").is_file():
            raise Absent("there is no such run")
        return self.runs / name

    def train(self, words: str, head: Head, epochs: int, learning_rate: float) -> str:
        """Start a training; the name of its run. Raises UserError if one is in progress, or if there is too little to
        train on."""
        name = folder_name(words, "run")
        counts = {one: len(self.pictures_of(one)) for one in self.classes}
        few = [f"{one} has {counted(count, 'picture')}" for one, count in counts.items() if count < LEAST_TO_SPLIT]
        if len(counts) < 2:
            raise UserError("collect pictures of at least two classes first")
        if few:
            raise UserError(f"{few[0]}: every class needs {LEAST_TO_SPLIT} or more, of which one checks the training")
        run = self.runs / name
        if run.exists() or run.with_name(f"{name}.store").exists():
            raise UserError(f"there is a run called {name}, finished or not; choose another name")
        how = ["--head", "linear"]
        if head == "network":
            how = ["--epochs", str(epochs), "--learning-rate", f"{learning_rate:g}", *FEW_PICTURES]
        self._begin(run, [str(self.pictures), "--out", str(run), "--from", str(self.start), *how, "--balance"])
        return name

    def resume(self, name: str) -> None:
        """Resume a training that was paused, or whose explorer was ended; one that had just begun begins again."""
        if self._training and self._training.run.name == name and not (self._training.run / "config.json").exists():
            return self._begin(self._training.run, self._training.words)
        run = self.run(name)
        return self._begin(run, [str(run.with_name(f"{name}.store")), "--out", str(run), "--resume"])

    def pause(self) -> None:
        """Have the trainer save a checkpoint and stop, as SIGTERM does; what it has prepared so far is kept too."""
        with self._lock:
            if self._training and self._training.alive:
                self._training.process.send_signal(signal.SIGTERM)

    def close(self, seconds: float = 30.0) -> None:
        """Pause, and wait until everything is saved."""
        self.pause()
        if self._training:
            with suppress(subprocess.TimeoutExpired):
                self._training.process.wait(seconds)

    def _begin(self, run: Path, words: list[str]) -> None:
        with self._lock:
            if self._training and self._training.alive:
                raise UserError(f"{self._training.run.name} is being trained; wait for it, or pause it")
            log = run.with_name(f"{run.name}.log")
            home = str(Path(alexnet.__file__).parents[1])
            path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
            with faults_named(log), open(log, "ab") as output:
                output.write(f"$ {shlex.join(['alexnet', 'train', *words])}\n".encode())
                output.flush()
                process = subprocess.Popen(
                    [sys.executable, "-m", "alexnet", "train", *words],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=os.environ | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"},
                    start_new_session=True,  # Ctrl-C at the explorer's terminal is passed on once, by `close`
                )
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
            self._training = Training(run, words, process)

    # ── as JSON ──────────────────────────────────────────────────────────────────────────────────────────────────

    def as_json(self) -> dict[str, Any]:
        """All that the page shows."""
        return {
            "folder": str(self.folder),
            "start": {"name": self.start.name, "path": str(self.start)},
            "classes": [self.class_json(name) for name in self.classes],
            "least": LEAST_TO_SPLIT,
            **self.progress(),
        }

    def progress(self) -> dict[str, Any]:
        """The training in progress, or that ended last, and all runs."""
        return {
            "training": self._training and self._training_json(self._training),
            "runs": [found for name in _names(self.runs, folders=True) if (found := self._run_json(name))],
        }

    def class_json(self, name: str, *, every: bool = False) -> dict[str, Any]:
        """A class with its newest pictures, or with `every` one, the newest first."""
        files = self.pictures_of(name)
        newest = files[::-1] if every else files[: -SHOWN - 1 : -1]
        shown = [{"file": file, "collected": bool(COLLECTED.fullmatch(file))} for file in newest]
        return {"name": name, "pictures": len(files), "latest": shown}

    def _training_json(self, training: Training) -> dict[str, Any]:
        log = training.run.with_name(f"{training.run.name}.log").read_text("utf-8", "replace").splitlines()
        begun = max((number for number, line in enumerate(log) if line.startswith("$ ")), default=0)
        return {
            "run": training.run.name,
            "alive": training.alive,
            "code": training.process.poll(),
            "command": log[begun].removeprefix("$ ") if log else "",
            "log": log[begun + 1 :][-LOG_LINES:],
            "now": read_now(training.run / "now.json"),
        }

    def _run_json(self, name: str) -> dict[str, Any] | None:
        """A run at a glance; None for a folder that is none (yet)."""
        path = self.runs / name
        version = "-".join(version_of(path / file) for file in ("config.json", "log.jsonl"))
        with suppress(UserError):
            return self._known.get_or_make((name, version), lambda: self._read_run(path))

    def _read_run(self, path: Path) -> dict[str, Any]:
        config, history = RunFolder.open(path).config, read_history(path / "log.jsonl")
        validation = validation_of(config, history)
        return {
            "name": path.name,
            "path": str(path),
            "head": "linear" if "head" in config else "network",
            "finished": bool(config.get("finished")),
            "classes": config["classes"]["names"],
            "pictures": config.get("data", {}).get("pictures", {}),
            "planned": config.get("options", {}).get("epochs"),
            "epochs": list(history.epochs),
            "val": validation and validation[0] | {"when": validation[1]},
        }


def _names(folder: Path, *, folders: bool) -> list[str]:
    """What is in a folder: the folders, or the files that may be pictures, by name."""
    with faults_named(folder), os.scandir(folder) as found:
        names = [one.name for one in found if one.is_dir() is folders]
    return sorted(name for name in names if not why_skipped(name, folders))


def _as_jpeg(data: bytes) -> bytes:
    with Image.fromarray(decode(data, exif=True, limit_pixels=LIMIT_PIXELS).pixels) as picture:
        scale = min(1, SHORTER_SIDE / min(picture.size), LONGER_SIDE / max(picture.size))
        picture.thumbnail((round(picture.width * scale), round(picture.height * scale)))
        written = io.BytesIO()
        picture.save(written, "JPEG", quality=QUALITY)
    return written.getvalue()
