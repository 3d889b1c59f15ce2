"""What the notebooks share: the built-in pictures and a thin network trained on them, made once in `files`."""

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
    """`alexnet` at a quarter of its width after eight epochs on these pictures: a minute on two cores, once."""
    store()
    options = ["--width", "0.25", "--batch", "64", "--epochs", EPOCHS, "--snapshots", "--resume"]
    if not (RUN / "model.safetensors").exists():
        _alexnet("train", STORE, "--out", RUN, *options)
    return alexnet.load(RUN, device="cpu")


def _alexnet(*words: object) -> None:
    if main([*map(str, words)]):
        raise RuntimeError(f"alexnet {' '.join(map(str, words))}")
