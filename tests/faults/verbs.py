"""The commands that faults are injected into: how each is started, what it has saved, what it ends with.

All work in one folder, `case`, which is laid out anew for each fault: paths are part of some results.
"""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from alexnet.data.sources import open_source
from alexnet.data.store import layout
from alexnet.data.store.journal import load_journal
from alexnet.data.store.prepare import prepare
from alexnet.data.store.read import Store
from alexnet.data.store.records import Options
from alexnet.data.store.shards import Shard, prepare_shard
from alexnet.features.options import IndexOptions
from alexnet.features.similar.index import build
from alexnet.files.atomic import is_temporary
from alexnet.files.tensors import load_tensors, tensor_digest
from alexnet.measure.run import Run
from alexnet.measure.verify import verify_run
from alexnet.runs.folder import RunFolder
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions

SIDE, CLASSES = 40, 3
MAX_BAD = 0.1
FINISHED = 1 << 40
"""How far a command is that has ended: further than any other."""
SMALL = {"net": "toy", "batch": 32, "precision": "fp32", "threads": 1, "device": "cpu"}


# ── what they work on ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Place:
    """`inputs`: made once and never changed; `case`: where a command works."""

    inputs: Path
    case: Path

    @property
    def pictures(self) -> Path:
        return self.inputs / "pictures"


def make_inputs(inputs: Path) -> None:
    """150 drawn pictures of three classes, four of them bad, in two parts; a store of them, its halves, a short run."""
    noise = np.random.default_rng(0)
    for number in range(150):
        path = inputs / "pictures" / ("val" if number % 5 == 0 else "train") / f"c{number % CLASSES}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number % 37 == 3:
            path.write_bytes(b"not a picture")
            continue
        stripes = 60 * np.sin(np.arange(SIDE + 10) * (0.4 + 0.5 * (number % CLASSES)) + noise.uniform(0, 6))
        pixels = 128 + stripes[:, None, None] + noise.normal(0, 25, (SIDE + 10, SIDE + 10, 3))
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
    source = open_source(inputs / "pictures")
    store = prepare(source, inputs / "store", size=SIDE, max_bad=MAX_BAD)
    for number in (1, 2):
        prepare_shard(source, inputs / "shards", Shard(number, 2), Options(size=SIDE), max_bad=MAX_BAD)
    train(store, inputs / "run", TrainOptions(epochs=2, snapshots=True, **SMALL), quiet=True)


def tree(folder: Path, *, leftovers: bool = True) -> dict[str, str]:
    """Every file below a folder with a digest of its bytes; what a killed writer has left only if asked for."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and (leftovers or not is_temporary(path)))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# ── verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Verb:
    """One command. `makes`: where it writes, in the case; `processes`: how many of them it is."""

    name = ""
    makes = ""
    processes = 1
    copies: tuple[str, ...] = ()
    """What it works on, of the inputs."""

    def lay_out(self, place: Place) -> None:
        """Everything it needs in the case."""
        for name in self.copies:
            shutil.copytree(place.inputs / name, place.case / name)

    def words(self, place: Place) -> list[str]:
        """The command line; with --resume or the like where going on needs to be asked for."""
        raise NotImplementedError

    def saved(self, place: Place) -> int:
        """How far what it has saved is. AssertionError, or the product's own error, if that can't be loaded."""
        raise NotImplementedError

    def result(self, place: Place, said: str) -> Any:
        """What it ended with, to be compared with that of an unbroken run."""
        raise NotImplementedError

    def complaints(self, place: Place) -> list[str]:
        """What the product's own checks find wrong with it."""
        return []

    def left_alone(self, path: Path) -> bool:
        """Whether no byte of this file is ever flipped: what nothing is read back from."""
        return is_temporary(path) or path.name.endswith((".lock", "log.jsonl")) or "tfevents" in path.name


@dataclass
class Prepare(Verb):
    """`alexnet prepare`."""

    format: layout.Format = "raw"
    source: Path | None = None
    """Other pictures than those that are drawn."""
    makes = "store"

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"prepare {self.format}"

    def words(self, place: Place) -> list[str]:
        fixed = ["--size", str(SIDE), "--max-bad", "0.1", "--format", self.format, "--workers", "2"]
        return ["prepare", str(self.source or place.pictures), str(place.case / "store"), *fixed]

    def saved(self, place: Place) -> int:
        return made_of_store(place.case / "store")

    def result(self, place: Place, said: str) -> Any:
        return tree(place.case / "store")

    def complaints(self, place: Place) -> list[str]:
        return Store.open(place.case / "store").verify()


def made_of_store(store: Path) -> int:
    """Items of a store that are in it for good."""
    if (store / layout.DESCRIPTION).exists():
        Store.open(store)
        return FINISHED
    state = load_journal(store)
    if state is None:
        return 0
    for name, split in state.splits.items():
        for file, length in split.lengths.items():
            path = store / name / file
            assert split.cursor == 0 or path.stat().st_size >= length, f"{path}: shorter than its journal says"
    return 1 + state.seen


class Join(Prepare):
    """`alexnet prepare --join` of two halves."""

    name = "prepare --join"  # type: ignore[assignment]

    def lay_out(self, place: Place) -> None:
        shutil.copytree(place.inputs / "shards", place.case / "store")

    def words(self, place: Place) -> list[str]:
        return ["prepare", str(place.pictures), str(place.case / "store"), "--size", str(SIDE), "--max-bad", "0.1", "--join"]  # fmt: skip  # noqa: E501


@dataclass
class Train(Verb):
    """`alexnet train`, alone or as two processes that hold a column each; saved after every update."""

    apart: bool = False
    makes = "run"
    copies = ("store",)

    @property
    def name(self) -> str:  # type: ignore[override]
        return "train by two" if self.apart else "train"

    @property
    def processes(self) -> int:  # type: ignore[override]
        return 2 if self.apart else 1

    def words(self, place: Place) -> list[str]:
        fixed = "--net toy --batch 32 --precision fp32 --threads 1 --device cpu --snapshots --save-minutes 0 --resume"
        layouts = ["--columns", "2", "--epochs", "2", "--timeout", "60"] if self.apart else ["--epochs", "3"]
        return ["train", str(place.case / "store"), "--out", str(place.case / "run"), *fixed.split(), *layouts]

    def saved(self, place: Place) -> int:
        folder = place.case / "run"
        if not (folder / "config.json").exists():
            return 0
        run = RunFolder.open(folder)
        if run.value("finished"):
            load_tensors(folder / "model.safetensors")
            return FINISHED
        tensors, about, complaints = run.latest_checkpoint()
        assert not complaints, complaints
        for path in [*run.snapshots.values(), *folder.glob("model.safetensors")]:
            load_tensors(path)
        return 1 if tensors is None else 2 + about["cursor"]["step"]

    def result(self, place: Place, said: str) -> Any:
        folder = place.case / "run"
        run = RunFolder.open(folder)
        weights = {"model": folder / "model.safetensors"} | {str(e): path for e, path in run.snapshots.items()}
        events = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        return {
            "weights": {name: tensor_digest(load_tensors(path)[0]) for name, path in weights.items()},
            "inputs": tensor_digest(load_tensors(folder / "inputs.safetensors")[0]),
            "log": [without(event, "time", "pictures_per_second") for event in events if event["event"] != "note"],
            "config": without(run.config, "starts", "checksum"),
            "files": [name for name in tree(folder) if not name.startswith("tensorboard")],
        }

    def complaints(self, place: Place) -> list[str]:
        store = Store.open(place.case / "store")
        findings = verify_run(place.case / "run")
        return [*store.verify(), *(f"{found.what}: {found.words}" for found in findings if not found.sound)]


def without(facts: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in names}


class Evaluate(Verb):
    """`alexnet evaluate`."""

    name = "evaluate"
    makes = "kept"
    copies = ("store", "run")

    def lay_out(self, place: Place) -> None:
        super().lay_out(place)
        (place.case / "kept").mkdir()

    def words(self, place: Place) -> list[str]:
        folders = [str(place.case / "run"), str(place.case / "store")]
        return ["evaluate", *folders, "--json", "--save-probabilities", str(place.case / "kept" / "p.safetensors")]

    def saved(self, place: Place) -> int:
        for name in self.copies:
            assert tree(place.case / name) == tree(place.inputs / name), f"{name} has changed"
        kept = place.case / "kept" / "p.safetensors"
        return int(kept.exists() and bool(load_tensors(kept)))

    def result(self, place: Place, said: str) -> Any:
        return {"said": said, "kept": tree(place.case / "kept", leftovers=False)}


class SimilarBuild(Verb):
    """`alexnet similar build`, with codes."""

    name = "similar build"
    makes = "index"
    copies = ("store", "run")

    def words(self, place: Place) -> list[str]:
        folders = [str(place.case / name) for name in ("run", "store")]
        return ["similar", "build", *folders, "--index", str(place.case / "index"), "--bits", "32"]

    def saved(self, place: Place) -> int:
        index = place.case / "index"
        if (index / "features.npy").exists():
            return FINISHED
        journal = index / "features.npy.journal"
        return json.loads(journal.read_bytes())["items"] if journal.exists() else 0

    def result(self, place: Place, said: str) -> Any:
        return tree(place.case / "index")


class Similar(Verb):
    """`alexnet similar`."""

    name = "similar"
    makes = "found"
    copies = ("store", "run", "index")

    def lay_out(self, place: Place) -> None:
        if not (place.inputs / "index").exists():  # it knows its store by path
            for name in ("store", "run"):
                shutil.copytree(place.inputs / name, place.case / name)
            build(
                Run.open(place.case / "run"),
                Store.open(place.case / "store"),
                place.case / "index",
                IndexOptions(bits=32),
            )
            shutil.copytree(place.case / "index", place.inputs / "index")
        else:
            super().lay_out(place)
        (place.case / "found").mkdir()

    def words(self, place: Place) -> list[str]:
        pictures = [str(place.pictures / "val" / "c0" / name) for name in ("0.png", "15.png")]
        where = ["--index", str(place.case / "index"), "--out", str(place.case / "found")]
        return ["similar", str(place.case / "run"), *pictures, *where, "--by", "codes", "--json"]

    def saved(self, place: Place) -> int:
        for name in self.copies:
            assert tree(place.case / name) == tree(place.inputs / name), f"{name} has changed"
        found = place.case / "found" / "similar.json"
        return int(found.exists() and bool(json.loads(found.read_bytes())))

    def result(self, place: Place, said: str) -> Any:
        return {"said": said, "found": tree(place.case / "found", leftovers=False)}


class Serve(Verb):
    """`alexnet serve`, and somebody who asks it for looks, answers and neighbours."""

    name = "serve"
    makes = "run/explorer"
    copies = ("store", "run")

    def words(self, place: Place) -> list[str]:
        return ["serve", str(place.case / "run"), "--store", str(place.case / "store"), "--port", "0"]

    def saved(self, place: Place) -> int:
        for name in self.copies:
            now = {path: digest for path, digest in tree(place.case / name).items() if not path.startswith("explorer")}
            assert now == tree(place.inputs / name), f"{name} has changed"
        kept = list((place.case / "run" / "explorer").glob("*.safetensors"))
        return sum(bool(load_tensors(path)) for path in kept)

    def result(self, place: Place, said: str) -> Any:
        raise NotImplementedError("its answers are what it ends with: see asking")


VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        Prepare("raw"),
        Prepare("jpeg"),
        Join(),
        Train(),
        Train(apart=True),
        Evaluate(),
        SimilarBuild(),
        Similar(),
        Serve(),
    )
}
