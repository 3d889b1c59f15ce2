"""Averages of kept probabilities: by hand; weights by search against brute force; the submission's form; nine views."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet import cli
from alexnet.data.views import VIEW_NUMBERS, all_views, views_of
from alexnet.errors import UsageError, UserError
from alexnet.measure.ensemble import GRID, average, search_weights, submission, weights_from
from alexnet.measure.probabilities import Probabilities
from alexnet.measure.run import Run

MakeRun = Callable[..., Run]


def kept(values: np.ndarray, labels: np.ndarray | None = None, **about: object) -> Probabilities:
    labels = np.zeros(len(values), np.int64) if labels is None else labels
    keys = tuple(f"{n}.jpg" for n in range(len(values)))
    classes = [f"c{k}" for k in range(values.shape[1])]
    return Probabilities(values.astype(np.float32), labels, keys, {"class_ids": classes, **about})


def random_members(count: int, seed: int, pictures: int = 60, classes: int = 8) -> list[Probabilities]:
    """Networks of differing skill: softmax outputs that lean to the truth."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, pictures)
    members = []
    for place in range(count):
        logits = random.normal(size=(pictures, classes))
        logits[np.arange(pictures), labels] += 0.4 + 0.5 * place
        values = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        members.append(kept(values, labels))
    return members


def errors(members: list[Probabilities], weights: tuple[float, ...], top: int) -> int:
    """Counted anew: pictures whose class is not among the `top` of the weighted sum."""
    total = sum(w * m.values.astype(float) for w, m in zip(weights, members, strict=True))
    best = np.argsort(-total, axis=1, kind="stable")[:, :top]
    return int((best != members[0].labels[:, None]).all(axis=1).sum())


def test_averages_by_hand() -> None:
    one, two = kept(np.array([[0.2, 0.8]]), run="a"), kept(np.array([[0.6, 0.4]]), run="b")
    assert average([one, two]).values == pytest.approx(np.array([[0.4, 0.6]]))
    weighed = average([one, two], [3, 1])
    assert weighed.values == pytest.approx(np.array([[0.3, 0.7]]))
    assert (weighed.about["weights"], weighed.about["members"]) == ([0.75, 0.25], ["a", "b"])


@pytest.mark.parametrize("weights", [(1,), (0, 0), (1, -1), (float("nan"), 1)])
def test_weights_that_make_no_average(weights: tuple[float, ...]) -> None:
    member = kept(np.array([[0.2, 0.8]]))
    with pytest.raises(UsageError, match="--weights"):
        average([member, member], weights)
    with pytest.raises(UsageError, match="--weights x: numbers"):
        weights_from("x")
    assert (weights_from(""), weights_from("0.5,1")) == (None, (0.5, 1.0))


def test_other_pictures_or_classes_are_refused() -> None:
    one, other = kept(np.ones((2, 3)) / 3), kept(np.ones((3, 3)) / 3)
    with pytest.raises(UserError, match="the pictures of networks 1 and 2 differ"):
        average([one, other])
    with pytest.raises(UserError, match="the classes of networks 1 and 2 differ"):
        average([one, Probabilities(one.values, one.labels, one.keys, {"class_ids": ["x", "y", "z"]})])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("by", "top"), [("top1", 1), ("top5", 5)])
def test_search_of_two_against_brute_force(seed: int, by: str, top: int) -> None:
    members = random_members(2, seed)
    found = search_weights(members, by)  # type: ignore[arg-type]
    everything = [w for w in itertools.product(GRID, repeat=2) if sum(w) > 0]
    assert found.errors == errors(members, found.weights, top)
    assert found.errors == min(errors(members, w, top) for w in everything)


@pytest.mark.parametrize("seed", range(3))
def test_no_single_weight_of_the_grid_is_better(seed: int) -> None:
    members = random_members(4, seed)
    found = search_weights(members, "top1")
    assert found.errors <= errors(members, (1.0,) * 4, 1)
    for place, value in itertools.product(range(4), GRID):
        trial = (*found.weights[:place], value, *found.weights[place + 1 :])
        assert not sum(trial) or errors(members, trial, 1) >= found.errors


def test_search_needs_labels() -> None:
    member = kept(np.ones((2, 6)) / 6, np.full(2, -1))
    with pytest.raises(UserError, match="without labels"):
        search_weights([member, member])


def test_a_submission_has_five_labels_a_line_from_1() -> None:
    values = np.array([[0.05, 0.3, 0.1, 0.2, 0.15, 0.2], [1, 0, 0, 0, 0, 0]])
    assert submission(kept(values)) == "2 4 6 5 3\n1 2 3 4 5\n"
    with pytest.raises(UserError, match="only 4"):
        submission(kept(np.ones((1, 4))))


def test_the_command_averages_saves_and_submits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    members = random_members(2, 0)
    files = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    for member, file in zip(members, files, strict=True):
        member.save(file)
    words = ["average", *map(str, files), "--weights", "1,3", "--save", str(tmp_path / "both.safetensors")]
    assert cli.main([*words, "--submission", str(tmp_path / "answers.txt")]) == 0
    shown = capsys.readouterr().out
    assert "0.2500" in shown
    assert "top-1 error" in shown
    saved = Probabilities.load(tmp_path / "both.safetensors")
    assert saved.values == pytest.approx(average(members, [1, 3]).values)
    assert (tmp_path / "answers.txt").read_text() == submission(saved)
    assert cli.main(["average", *map(str, files), "--search", "top1"]) == 0
    assert cli.main(["average", *map(str, files), "--search", "top1", "--weights", "1,1"]) == 2
    assert cli.main(["average"]) == 2


# ── nine views ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_nine_views_are_a_grid_without_mirrors() -> None:
    expected = {(row, column, False) for row in (0, 4, 8) for column in (0, 4, 8)}
    assert set(views_of(32, 24, 9)) == expected
    assert len(views_of(32, 24, 9)) == 9
    assert tuple(all_views(32, 24)[number] for number in VIEW_NUMBERS[9]) == views_of(32, 24, 9)
    for count in (1, 5, 10):
        assert tuple(all_views(256, 224)[number] for number in VIEW_NUMBERS[count]) == views_of(256, 224, count)


def test_nine_views_average_the_softmax_of_nine_crops(make_run: MakeRun) -> None:
    """Against cutting the crops by hand: records of 40 pixels, crops of 32."""
    run = make_run()
    records = torch.randint(0, 256, (3, 40, 40, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    inputs = records.permute(0, 3, 1, 2).float() - run.mean_image
    crops = [inputs[:, :, r : r + 32, c : c + 32] for r in (0, 4, 8) for c in (0, 4, 8)]
    with torch.inference_mode():
        expected = torch.stack([run.network(crop).softmax(dim=1) for crop in crops]).mean(dim=0)
    torch.testing.assert_close(run.viewer.probabilities(records, 9), expected, rtol=1e-4, atol=1e-6)


def test_predictions_of_pictures_without_labels_are_kept(make_run: MakeRun, tmp_path: Path) -> None:
    from PIL import Image

    run, folder = make_run(), tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (50, 40), (80 * number, 10, 200)).save(folder / f"{number}.png")
    out = tmp_path / "kept.safetensors"
    assert cli.main(["predict", str(run.path), str(folder), "--device", "cpu", "--save-probabilities", str(out)]) == 0
    found = Probabilities.load(out)
    assert found.labels.tolist() == [-1, -1, -1]
    assert [Path(key).name for key in found.keys] == ["0.png", "1.png", "2.png"]
    assert found.values.sum(axis=1) == pytest.approx(np.ones(3))


def test_files_of_an_earlier_version_call_the_split_part(tmp_path: Path):
    path = tmp_path / "kept.safetensors"
    kept(np.full((2, 2), 0.5), views=1, part="val").save(path)
    assert Probabilities.load(path).about["split"] == "val"
