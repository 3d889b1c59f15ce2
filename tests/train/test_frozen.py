"""Training on the output of frozen layers, computed once: the same weights as when it is computed in every epoch."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.measure.evaluation import evaluate_run
from alexnet.measure.run import Run
from alexnet.measure.viewer import ViewAverager
from alexnet.report.run import write_report
from alexnet.runs.folder import RunFolder
from alexnet.train import checks, frozen, loop
from alexnet.train.checks import with_decided_defaults
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions

SMALL = {"net": "toy", "epochs": 4, "batch": 32, "precision": "fp32", "threads": 1, "device": "cpu"}


def options(**changes: object) -> TrainOptions:
    return TrainOptions(**(SMALL | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def base(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(store, tmp_path_factory.mktemp("base") / "run", options(epochs=2), quiet=True).path


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return RunFolder.open(folder).network.state_dict()


def figures(folder: Path) -> list[list[float]]:
    lines = (json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines())
    exact = ("train_loss", "train_top1_error", "val_nll", "val_top1_error")
    return [[line[name] for name in exact] for line in lines if line["event"] == "epoch"]


def same(one: Path, other: Path) -> bool:
    ours, theirs = weights_of(one), weights_of(other)
    return all(torch.equal(ours[name], theirs[name]) for name in theirs) and figures(one) == figures(other)


@pytest.mark.parametrize(
    ("kept", "plain"),
    [
        ("centre", {"crops": "centre"}),
        ("centre", {"crops": "centre", "mirror": False}),
        ("ten", {"crops": "ten"}),
        (4, {"crops": "random"}),
        (4, {"crops": "random", "freeze": "conv1-fc6"}),
        (4, {"crops": "random", "freeze": "conv1-conv2", "accumulation_steps": 2}),
    ],
)
def test_the_weights_are_those_of_computing_it_in_every_epoch(
    store: Store, base: Path, tmp_path: Path, kept: str | int, plain: dict
) -> None:
    """Four random crops are those of the first four epochs. The last bits of a convolution depend on its batch."""
    common = {"start_from": base, "freeze": "conv1-conv5", "net": None} | {
        name: value for name, value in plain.items() if name != "crops"
    }
    train(store, tmp_path / "cached", options(**common, frozen_features=kept), quiet=True)
    train(store, tmp_path / "plain", options(**common, crops=plain["crops"], colour_noise="off"), quiet=True)
    ours, theirs = weights_of(tmp_path / "cached"), weights_of(tmp_path / "plain")
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(figures(tmp_path / "cached"), figures(tmp_path / "plain"), rtol=1e-4)
    assert not (tmp_path / "cached.features").exists()
    assert not torch.equal(ours["fc8.weight"], weights_of(base)["fc8.weight"])


def test_a_killed_training_finds_what_was_computed_and_ends_with_the_same_bits(
    store: Store, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = options(net=None, start_from=base, freeze="conv1-conv5", frozen_features="ten", save_minutes=0)
    train(store, tmp_path / "whole", given, quiet=True)
    plain, maps, counted = loop.train_batch, ViewAverager.maps, []

    def dying(state, *rest):
        if state.cursor.step == 9:
            raise KeyboardInterrupt
        return plain(state, *rest)

    def counting(self, *rest):
        counted.append(1)
        return maps(self, *rest)

    monkeypatch.setattr(loop, "train_batch", dying)
    monkeypatch.setattr(ViewAverager, "maps", counting)
    with pytest.raises(KeyboardInterrupt):
        train(store, tmp_path / "run", given, quiet=True)
    assert len(counted) == 2 * 10 + 1, "two batches of ten views, and the validation pictures"
    values = tmp_path / "run.features" / "train.npy"
    assert np.load(values, mmap_mode="r").shape == (200, 10, RunFolder.open(base).network.layer("pool5").leaving.units)
    monkeypatch.setattr(loop, "train_batch", plain)
    for damage in (lambda: None, lambda: values.write_bytes(values.read_bytes()[:-4])):
        damage()
        with monkeypatch.context() as patch:
            patch.setattr(loop, "train_batch", dying)
            with pytest.raises(KeyboardInterrupt):
                train(store, tmp_path / "run", given, resume=True, quiet=True)
    assert len(counted) == 21 + 20, "only the damaged file was made again"
    train(store, tmp_path / "run", given, resume=True, quiet=True)
    assert same(tmp_path / "run", tmp_path / "whole")
    assert not (tmp_path / "run.features").exists()


def test_the_run_is_one_like_any_other(store: Store, base: Path, tmp_path: Path) -> None:
    """Its log says what an evaluation of the whole network finds, and its options which views were kept."""
    given = options(net=None, start_from=base, freeze="conv1-fc6", frozen_features=3)
    run = train(store, tmp_path / "run", given, quiet=True)
    assert run.value("options", "frozen_features") == 3
    assert run.value("recipe", "augmentation") | {"crops": "random", "colour": "off"} == run.value(
        "recipe", "augmentation"
    )
    assert "Frozen layers" in (page := write_report(Run.open(run.path, device="cpu")).read_text())
    assert "computed once, for these views: 3" in page
    assert "the layers up to relu6 are computed once, for 3 random crops of each picture" in page
    counts = evaluate_run(run, Run.open(run.path, device="cpu").viewer, store, split="val", views=(1,))[0][1].counts
    assert figures(run.path)[-1][2:] == pytest.approx([counts.mean_nll, counts.top1], rel=1e-5)


def features(folder: Path, store: Store, base: Path, **changes: object) -> np.ndarray:
    run = Run.open(base, device="cpu")
    viewer = ViewAverager(run.network, run.viewer.inputs)
    given = {"layer": "pool5", "views": frozen.Views("centre", mirror=True)} | changes
    return frozen.cached_features(viewer, store, "train", folder=folder, **given)  # type: ignore[arg-type]


def test_features_of_another_origin_are_made_again_and_strangers_files_left_alone(
    store: Store, base: Path, tmp_path: Path
) -> None:
    first = np.array(features(tmp_path, store, base))
    inode = (tmp_path / "train.npy").stat().st_mtime_ns
    assert np.array_equal(features(tmp_path, store, base), first)
    assert (tmp_path / "train.npy").stat().st_mtime_ns >= inode
    other = np.array(features(tmp_path, store, base, views=frozen.Views("centre", mirror=False)))
    assert other.shape[1] == 1
    assert np.array_equal(other[:, 0], first[:, 0])
    assert features(tmp_path, store, base, layer="pool2").shape[2] != first.shape[2]
    for damage in (lambda data: data[:-1], lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:]):
        values = tmp_path / "train.npy"
        np.array(features(tmp_path, store, base))
        values.write_bytes(damage(values.read_bytes()))
        assert np.array_equal(features(tmp_path, store, base), first)
    for name, left in (("train.json", b"{}"), ("train.npy", b"mine")):
        (tmp_path / name).write_bytes(left)
        if name == "train.npy":
            (tmp_path / "train.json").unlink()
        with pytest.raises(UserError, match="was not written by this command"):
            features(tmp_path, store, base)
        assert (tmp_path / name).read_bytes() == left


def test_a_full_disk_is_reported_before_anything_is_computed(
    store: Store, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(UserError, match=r"2 views of each picture takes .* too little\. Free some, or keep fewer"):
        features(tmp_path, store, base)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frozen_features": "ten"}, "--frozen-features ten: no layer is frozen at the network's beginning"),
        ({"frozen_features": "ten", "freeze": "conv2-conv5"}, "no layer is frozen at the network's beginning"),
        ({"frozen_features": 0, "freeze": "conv1-conv5"}, "--frozen-features 0: at least 1 is needed"),
        ({"frozen_features": 3, "freeze": "conv1", "colour_noise": "code"}, "--colour-noise code: --frozen-features 3"),
        ({"frozen_features": "centre", "freeze": "conv1", "crops": "ten"}, "--crops ten: --frozen-features centre"),
        ({"frozen_features": 3, "freeze": "conv1", "cutout": 4}, "--cutout 4"),
    ],
)
def test_what_does_not_fit_is_refused(store: Store, tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        train(store, tmp_path / "run", options(**changes), quiet=True)
    assert not list(tmp_path.iterdir())


def test_the_default_is_the_centre_for_few_pictures_of_ones_own(
    store: Store, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"net": None, "start_from": base, "freeze": "conv1-conv5"}

    def decided(**changes: object) -> object:
        return with_decided_defaults(options(**given | changes), store, tmp_path).frozen_features

    assert decided() == decided(keep="last") == "centre"
    assert decided(frozen_features=7) == 7
    assert decided(freeze="fc6") is None
    assert decided(crops="random") is None
    assert decided(recipe="zf") is None
    assert with_decided_defaults(options(**given), store, tmp_path, alone=False).frozen_features is None
    monkeypatch.setattr(checks, "FEW_PICTURES", 200)
    assert decided() is None
    assert with_decided_defaults(options(**given), store, tmp_path).keep == "best"
