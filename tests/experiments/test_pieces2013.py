"""What the results of [Z] are made of, against plain reckoning."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from alexnet.errors import UsageError
from alexnet.experiments import running
from alexnet.experiments.lab import Lab
from alexnet.experiments.registry import find
from alexnet.experiments.zeiler2014.figures import class_share, dead_share, share_by_chance
from alexnet.experiments.zeiler2014.pictures import correlation, energy_below
from alexnet.experiments.zeiler2014.tables import sizes, trial_of
from alexnet.experiments.zeiler2014.training import our_model, replication
from alexnet.see.evolution import Evolution
from alexnet.see.faces import drawn_faces, mask_over
from alexnet.see.top import Strongest
from alexnet.train import loop
from alexnet.train.recipes import find as find_recipe
from alexnet.train.stop import Interrupted

MakeLab = Callable[..., Lab]


def test_a_map_has_settled_when_its_strongest_picture_stays() -> None:
    strongest = {"conv1": torch.tensor([[7, 1, 4], [7, 2, 4], [7, 2, 5]])}
    found = Evolution((1, 5, 20), {}, strongest, "train", 9)
    assert found.settled("conv1").tolist() == [1.0, 5.0, 20.0]
    assert Evolution((3,), {}, {"conv1": torch.tensor([[1]])}, "train", 9).settled("conv1").tolist() == [3.0]


def test_energy_below_a_square_is_the_sum_of_its_pixels() -> None:
    projection = np.random.default_rng(0).standard_normal((3, 12, 12)).astype(np.float32)
    corners, size = [0, 3, 6, 7], 5
    found = energy_below(projection, corners, size)
    for row, top in enumerate(corners):
        for column, left in enumerate(corners):
            plain = np.square(projection[:, top : top + size, left : left + size], dtype=np.float64).sum()
            assert found[row, column] == pytest.approx(plain)
    assert correlation(found, 2 * found + 1) == pytest.approx(1)
    assert correlation(found, np.ones_like(found)) == 0


def test_shares_of_a_class_count_living_maps_only() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    pictures = torch.tensor([[0, 1, 3], [0, 3, 5], [0, 1, 2]])
    values = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [0.0, 0.0, 0.0]])
    best = Strongest(values, pictures, torch.zeros_like(pictures))
    assert class_share(best, labels) == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert dead_share(best) == pytest.approx(1 / 3)
    assert share_by_chance(np.zeros(20, dtype=int)) == 1
    assert 1 / 9 < share_by_chance(np.arange(90) % 10) < 0.5


def test_the_recipe_of_section_3(make_lab: MakeLab) -> None:
    recipe = find_recipe("zf")
    assert (recipe.learning_rate, recipe.momentum, recipe.epochs, recipe.rms_limit, recipe.init) == (
        0.01,
        0.9,
        70,
        0.1,
        "zf",
    )
    assert (recipe.augmentation.crops, recipe.batch) == ("ten", 128)
    lab = make_lab(net=None, input_size=None)
    assert our_model(lab).table.name == "zfnet"
    assert our_model(lab).options.snapshots
    assert not our_model(lab, "512").options.snapshots
    assert replication(lab, "no-fc7").table.name == "alexnet-no-fc7"
    assert replication(lab).options.recipe == "zf"


def test_every_size_of_table_3_is_a_network_of_its_own(make_lab: MakeLab) -> None:
    lab = make_lab(net=None, input_size=None)
    assert len({trial_of(lab, size).fingerprint(0) for size in sizes().values()}) == 12
    assert [trial_of(lab, size).table.name for size in sizes().values()] == list(sizes())


def test_only_some_sizes(make_lab: MakeLab) -> None:
    result = running.read_result(running.run_experiment(find("Z/table3"), make_lab(only="zfnet,zfnet-512", seeds=1)))
    assert [row.what for row in result.rows[::3]] == [
        "our model: training top-1 error", "our model, 512-1024-512: training top-1 error",
    ]  # fmt: skip
    assert len(result.verdicts) == 1
    with pytest.raises(UsageError, match="there is no 'vgg' here"):
        running.run_experiment(find("Z/table3"), make_lab(only="vgg"))


def test_snapshots_are_in_the_disk_that_is_told(make_lab: MakeLab) -> None:
    lab = make_lab(epochs=6)
    assert our_model(lab).kept_bytes == 5 * our_model(lab).weight_bytes, "epochs 1, 2, 5 and 6, and the run's own"
    assert replication(lab).kept_bytes == replication(lab).weight_bytes


def test_faces_stand_alike_and_masks_cover_an_eye() -> None:
    faces = drawn_faces(3, 64, 56)
    assert faces.records.shape == (3, 64, 64, 3)
    for points, (left, top, right, bottom) in zip(faces.points, faces.boxes, strict=True):
        assert max(right - left, bottom - top) == pytest.approx(64 / 1.5)
        assert (left + right) / 2 == pytest.approx(28)
        assert left < points["left_eye"][0] < points["right_eye"][0] < right
        assert points["left_eye"][1] < points["nose"][1] < points["mouth"][1]
    assert mask_over(224, 256) == 40
    assert mask_over(28, 32) == 5


def test_without_key_points_other_pictures_have_no_table_1(make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lab, "built_in", False)
    result = running.read_result(running.run_experiment(find("Z/table1"), make_lab()))
    assert result.agrees == "unmeasured"
    assert "--keypoints" in result.verdicts[0].why


def test_stopped_in_its_second_training_it_goes_on(make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, steps = loop.train_batch, []

    def stopping(job, *rest):
        if len(steps) == 4:
            raise Interrupted("stopped")
        steps.append(1)
        return plain(job, *rest)

    lab = make_lab(seeds=1)
    monkeypatch.setattr(loop, "train_batch", stopping)
    with pytest.raises(Interrupted, match="Rerun the same command to resume"):
        running.run_experiment(find("Z/fig6"), lab)
    resumed: list[int] = []
    monkeypatch.setattr(loop, "train_batch", lambda job, *rest: (resumed.append(1), plain(job, *rest))[1])
    assert running.run_experiment(find("Z/fig6"), make_lab(lab.folder, seeds=1)).is_file()
    assert len(resumed) in (5, 6), "nine updates in all; the first network's three are not made again"
