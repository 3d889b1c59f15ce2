"""A linear classifier on frozen layers: its run is that of scikit-learn's own fit, and a run like any other."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import alexnet
from alexnet.cli import main
from alexnet.commands.train import side_of
from alexnet.data.store.read import Store
from alexnet.data.views import views_of
from alexnet.errors import UsageError, UserError
from alexnet.features.linear_head import train_linear_head
from alexnet.features.probes import STRENGTHS
from alexnet.measure.viewer import ViewAverager
from alexnet.report.recipe import repeating_command
from alexnet.report.run import write_report
from alexnet.runs.folder import RunFolder
from alexnet.train import frozen
from alexnet.train.checks import balanced_weights
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions


@pytest.fixture(scope="module")
def base(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = TrainOptions(net="toy", epochs=2, batch=20, input_size=32, precision="fp32", device="cpu", threads=1)
    return train(store, tmp_path_factory.mktemp("base") / "run", options, quiet=True).path


def head(store: Store, folder: Path, base: Path, **changes: object) -> RunFolder:
    options = TrainOptions(start_from=base, head="linear", device="cpu", threads=1, **changes)  # type: ignore[arg-type]
    return train_linear_head(store, folder, options, quiet=True)


@pytest.mark.parametrize(("kept", "views"), [(None, 2), ("ten", 10), (3, 3)])
def test_it_gives_what_scikit_learn_gives_on_the_features(
    store: Store, base: Path, tmp_path: Path, kept: str | int | None, views: int
) -> None:
    run = head(store, tmp_path / "run", base, frozen_features=kept)
    assert run.value("head")["views"] == views
    opened = alexnet.Run.open(run.path, device="cpu")
    network, records = opened.network, torch.from_numpy(store.splits["val"].read(np.arange(60)))
    seen = opened.viewer.view(records, views_of(40, 32, 1)[0])
    with torch.inference_mode():
        logits = network(seen)
        features = network.activations(seen)["pool5"].flatten(1)
    theirs = RunFolder.open(base).network
    with torch.inference_mode():
        torch.testing.assert_close(features, theirs.activations(seen)["pool5"].flatten(1))
    if kept is None:  # the same problem, solved where the features are
        train_records = torch.from_numpy(store.splits["train"].read(np.arange(200)))
        row, column, _ = views_of(40, 32, 1)[0]
        with torch.inference_mode():
            both = [
                theirs.activations(opened.viewer.view(train_records, (row, column, mirrored)))["pool5"].flatten(1)
                for mirrored in (False, True)
            ]
        x = torch.stack(both, dim=1).flatten(0, 1).double().numpy()
        centre, labels = x.mean(axis=0), np.repeat(store.splits["train"].labels, 2)
        scale = np.sqrt(((x - centre) ** 2).sum(axis=1).mean())
        model = LogisticRegression(C=run.value("head")["C"], max_iter=20_000, tol=1e-8).fit(
            (x - centre) / scale, labels
        )
        wanted = model.predict_proba((features.double().numpy() - centre) / scale)
        np.testing.assert_allclose(logits.softmax(dim=1).numpy(), wanted, atol=0.03)  # both stop within their tolerance


def test_the_run_is_one_like_any_other(
    store: Store, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    line = ["train", str(store.path), "--out", str(out), "--from", str(base), "--head", "linear", "--device", "cpu"]
    assert main(line) == 0
    said = capsys.readouterr()
    assert "softmax regression on pool5 of run: 2 views of each of 200 pictures" in said.err
    assert said.out.strip() == str(out)
    run = RunFolder.open(out)
    assert run.table.rows[-1].name == "linear"
    assert run.value("finished")
    assert {path.name for path in out.iterdir()} >= {
        "config.json",
        "model.safetensors",
        "inputs.safetensors",
        "log.jsonl",
    }
    assert not (out / "features.npy").exists()
    for words in (
        ["evaluate", str(out), str(store.path)],
        ["see", "filters", str(out)],
        ["report", str(out), "--store", str(store.path)],
        ["export", str(out), "--to", "safetensors", "--out", str(tmp_path / "out.safetensors")],
        [*line, "--resume"],
        ["verify", str(out)],
    ):
        assert main(words) == 0, words
    capsys.readouterr()
    assert main([*line, "--resume", "--epochs", "100"]) == 2
    assert "--epochs 100" in (words := capsys.readouterr().err)
    assert "is a linear classifier, which is fitted without epochs" in words


def test_pictures_in_a_folder_get_the_size_of_the_run_s_records(base: Path) -> None:
    assert side_of(TrainOptions()) == side_of(TrainOptions(start_from=base, net="toy")) == 256
    assert side_of(TrainOptions(start_from=base, head="linear")) == RunFolder.open(base).inputs.side != 256


def test_the_report_tells_what_was_fitted_and_the_command(store: Store, base: Path, tmp_path: Path) -> None:
    run = alexnet.Run.open(head(store, tmp_path / "run", base).path, device="cpu")
    page = write_report(run).read_text()
    assert "softmax regression, C = " in page
    assert "0 epochs" not in page
    assert "No epoch has ended" not in page
    assert "momentum" not in page, "the recipe's figures had no part in it"
    wrong = run.evaluate(store, views=1).top1_error
    assert f"{wrong:.2%}" in page
    assert "centre, validation, linear classifier" in page
    options = f"--threads 1 --device cpu --from {base} --head linear --precision fp32"
    assert repeating_command(run, None) == f"alexnet train {store.path} --out {run.path} {options}"


def test_two_classes_and_a_layer_further_up(base: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (40, 40, 40, 3)).astype(np.uint8)
    pictures[::2] //= 2
    model = alexnet.Classifier(start_from=base, head="linear", freeze="conv1-fc7", device="cpu", threads=1)
    model.fit(pictures, np.arange(40) % 2)
    assert model.run_.folder.table.rows[-2].name in ("relu7", "dropout7")
    assert (model.predict(pictures) == np.arange(40) % 2).mean() > 0.9


def test_balance_weighs_the_classes_alike(store: Store, base: Path, tmp_path: Path) -> None:
    labels = np.array([0, 0, 0, 1, 2, 2])
    np.testing.assert_allclose(balanced_weights(labels), np.array([2, 2, 2, 6, 3, 3]) / 3)
    line = ["train", str(store.path), "--from", str(base), "--device", "cpu", "--balance", "--out"]
    assert main([*line, str(tmp_path / "head"), "--head", "linear"]) == 0
    assert main([*line, str(tmp_path / "whole"), "--epochs", "1", "--batch", "50"]) == 0
    assert "sample_weights" not in RunFolder.open(tmp_path / "whole").config, "the classes are of one size already"


def test_sample_weights_count(store: Store, base: Path, tmp_path: Path) -> None:
    plain = head(store, tmp_path / "plain", base)
    weights = np.where(store.splits["train"].labels == 0, 20, 1).astype(np.float32)
    options = TrainOptions(start_from=base, head="linear", device="cpu", threads=1)
    heavy = train_linear_head(store, tmp_path / "heavy", options, quiet=True, sample_weights=weights)
    shares = [
        alexnet.Run.open(run.path, device="cpu").viewer.probabilities(
            torch.from_numpy(store.splits["val"].read(np.arange(60)))
        )
        for run in (plain, heavy)
    ]
    assert shares[1][:, 0].mean() > shares[0][:, 0].mean()


def test_features_that_an_interruption_left_are_continued(
    store: Store, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = head(store, tmp_path / "whole", base)
    plain, counted = ViewAverager.maps, []

    def maps(self: ViewAverager, inputs: torch.Tensor, names: list[str]) -> dict[str, torch.Tensor]:
        counted.append(len(inputs))
        if len(counted) == 3:  # two views of the first batch of 128 are done
            raise KeyboardInterrupt
        return plain(self, inputs, names)

    monkeypatch.setattr(ViewAverager, "maps", maps)
    monkeypatch.setattr(frozen, "SAVE_SECONDS", -1.0)
    with pytest.raises(KeyboardInterrupt):
        head(store, tmp_path / "run", base)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("run")] == ["run.features"]
    run = head(store, tmp_path / "run", base)
    assert counted == [128, 128, 72, 72, 72]
    weights, wanted = run.network.state_dict(), whole.network.state_dict()
    assert all(torch.equal(weights[name], wanted[name]) for name in wanted)
    assert not (tmp_path / "run.features").exists()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"start_from": None}, UsageError, "name the run or the pretrained weights to build on with --from"),
        ({"freeze": "conv2-conv3"}, UsageError, "freeze the first layers"),
        ({"freeze": "conv1-fc8"}, UsageError, "and not the last one"),
        ({"frozen_features": "exact"}, UsageError, "is fitted to fixed views"),
        ({"crops": "ten"}, UsageError, "--crops ten: --frozen-features centre says which views"),
        ({"freeze": "conv9"}, UsageError, "there is no layer 'conv9'"),
    ],
)
def test_what_does_not_fit_is_refused(
    store: Store, base: Path, tmp_path: Path, changes: dict, error: type[UserError], message: str
) -> None:
    options = TrainOptions(**{"start_from": base, "head": "linear", "device": "cpu", "threads": 1} | changes)
    with pytest.raises(error, match=message):
        train_linear_head(store, tmp_path / "run", options, quiet=True)
    assert not (tmp_path / "run").exists()


def test_the_strengths_are_the_probes_own() -> None:
    assert STRENGTHS["softmax"] == (1.0, 10.0, 100.0)
