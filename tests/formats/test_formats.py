"""Stores and run folders of every format that was given out are read, trained on and gone on with; newer ones refused.

Made by `python tools/formats.py`, which never overwrites one.
"""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from alexnet import cli
from alexnet.data.store import layout
from alexnet.data.store.read import Store
from alexnet.files.tensors import tensor_digest
from alexnet.measure.run import Run
from alexnet.measure.verify import verify_run
from alexnet.runs.formats import FORMAT_VERSION
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions

FORMATS = sorted(path for path in Path(__file__).parent.iterdir() if path.is_dir() and path.name.startswith("store-"))


@pytest.fixture(params=FORMATS, ids=lambda path: path.name)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy: what is read may be locked or swept."""
    return shutil.copytree(request.param, tmp_path / "kept")


def test_today_s_formats_are_among_those_kept() -> None:
    assert f"store-{layout.FORMAT_VERSION}-run-{FORMAT_VERSION}" in [path.name for path in FORMATS]
    for folder in FORMATS:
        assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 200_000


@pytest.mark.parametrize(("name", "apart"), [("raw", 0), ("jpeg", 12)])
def test_stores_are_read(kept: Path, name: str, apart: int) -> None:
    """The raw records to the bit; of the JPEG ones the mean, since decoders differ by a level."""
    store, raw = Store.open(kept / f"{name}.store"), Store.open(kept / "raw.store")
    assert store.verify() == []
    assert store.class_names == raw.class_names
    assert {part: len(pictures) for part, pictures in store.splits.items()} == {"train": 6, "val": 2}
    for part, pictures in store.splits.items():
        numbers = np.arange(len(pictures))
        assert pictures.labels.tolist() == raw.splits[part].labels.tolist()
        there = raw.splits[part].pictures.astype(int)
        assert np.abs(pictures.read(numbers).astype(int) - there).mean() <= apart
    assert store.statistics.mean_image.shape == (26, 26, 3)


def test_a_run_is_sound_answers_and_measures_what_it_did(kept: Path) -> None:
    found = list(verify_run(kept / "run", Store.open(kept / "raw.store")))
    assert [one for one in found if not one.sound] == []
    assert "wrong" in found[-1].words
    run = Run.open(kept / "run", device="cpu")
    answer = run.predict(Store.open(kept / "raw.store").splits["val"].read(np.array([0]))[0])
    assert {label.name for label in answer.labels} == set(run.class_names)


def test_a_run_that_was_begun_is_gone_on_with(kept: Path) -> None:
    """From its own first weights, so it ends near the run that was trained unbroken, whatever machine that was on."""
    options = TrainOptions(
        net="toy", width=0.25, input_size=26, epochs=1, batch=3, precision="fp32", threads=1, snapshots=True
    )
    if "compiled" not in json.loads((kept / "begun-run" / "config.json").read_text())["machine"]["kernels"]:
        pytest.skip("begun with other kernels than those of today")
    run = train(Store.open(kept / "raw.store"), kept / "begun-run", options, resume=True, quiet=True)
    ended = Run.open(kept / "run", device="cpu").network.state_dict()
    for name, tensor in run.network.state_dict().items():
        assert (tensor - ended[name]).abs().max() < 1e-4, name
    assert tensor_digest(run.network.state_dict())


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("raw.store/store.json", ["check", "raw.store"]),
        ("run/config.json", ["verify", "run"]),
        ("run/config.json", ["train", "raw.store", "--out", "run", "--resume"]),
    ],
)
def test_a_newer_format_is_refused_in_a_sentence(
    kept: Path, file: str, command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(kept)
    text = (kept / file).read_text()
    newer, count = re.subn(r'"format_version": \d+', '"format_version": 99', text)
    assert count == 1
    (kept / file).write_text(newer)
    assert cli.main(command) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "99" in line
    assert "pdate alexnet" in line
