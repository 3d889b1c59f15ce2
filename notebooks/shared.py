"""What the notebooks share: the built-in pictures and a thin network trained on them, made once in `files`."""

import json
from pathlib import Path

import alexnet
from alexnet.cli import main

FILES = Path("files")
PICTURES, STORE, RUN = FILES / "pictures", FILES / "built-in.store", FILES / "run"
EPOCHS = 8


def store() -> alexnet.Store:
    """Twelve drawn classes, 3,600 pictures to train and 600 for validation: half a minute, once."""
    if not (STORE / "store.json").exists():
        _alexnet("prepare", f"synthetic:{PICTURES}", STORE)
    return alexnet.Store.open(STORE)


def run() -> alexnet.Run:
    """`alexnet` at a quarter of its width after eight epochs on these pictures, or a run that is there already: one to
    three minutes on two cores, once."""
    store()
    options = ["--width", "0.25", "--batch", "64", "--patience", "3", "--snapshots", "--resume"]
    config = RUN / "config.json"
    if not config.exists() or json.loads(config.read_text()).get("epochs_trained", 0) < EPOCHS:
        _alexnet("train", STORE, "--out", RUN, "--epochs", EPOCHS, *options)
    return alexnet.load(RUN, device="cpu")


def _alexnet(*words: object) -> None:
    if main([*map(str, words)]):
        raise RuntimeError(f"alexnet {' '.join(map(str, words))}")
