"""Make the fixtures of tests/formats anew: `python tools/formats.py`. Only beside a new format version.

A store of eight built-in drawings, raw and as JPEG, a run of the toy network on it and one that has just begun, small
enough to be kept. The old ones stay where they are, under the number of their format: whatever reads stores and runs
must go on reading them.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image

from alexnet.data.sources import open_source
from alexnet.data.store import layout
from alexnet.data.store.prepare import prepare
from alexnet.data.synthetic import CLASSES, draw
from alexnet.runs.formats import FORMAT_VERSION
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions
from alexnet.train.state import start_run

FORMATS = Path(__file__).parents[1] / "tests" / "formats"
SIDE, TRAIN, VAL = 26, 3, 1


def draw_pictures(folder: Path) -> Path:
    """Two classes, four pictures each; labels of the built-in set take turns."""
    for label, name in enumerate(CLASSES[:2]):
        for part, count in (("train", TRAIN), ("val", VAL)):
            for number in range(count):
                place = folder / part / name / f"{number}.png"
                place.parent.mkdir(parents=True, exist_ok=True)
                pixels = draw(0, part, label + number * len(CLASSES), side=SIDE).pixels
                Image.fromarray(pixels).save(place)
    return folder


def main() -> int:
    target = FORMATS / f"store-{layout.FORMAT_VERSION}-run-{FORMAT_VERSION}"
    if target.exists():
        print(f"{target}: is there already; a format that was given out is not made anew", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        source = open_source(draw_pictures(Path(folder) / "pictures"))
        store = prepare(source, target / "raw.store", size=SIDE)
        prepare(source, target / "jpeg.store", size=SIDE, format="jpeg")
    options = TrainOptions(
        net="toy", width=0.25, input_size=SIDE, epochs=1, batch=3, precision="fp32", threads=1, snapshots=True
    )
    run = train(store, target / "run", options, quiet=True)
    shutil.rmtree(run.path / "tensorboard")
    state, _ = start_run(store, target / "begun-run", options)
    state.save_checkpoint(0)
    for folder in (run, state.run):
        folder.write_config(data=folder.config["data"] | {"path": "raw.store"})
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
