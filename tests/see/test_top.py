"""The strongest pictures of every channel: against sorting everything at once; merged; what their patches show."""

from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.measure.run import Run
from alexnet.see import figures
from alexnet.see.evolution import evolve
from alexnet.see.forward_pass import centre_views, inputs_of, run_forward
from alexnet.see.patches import patches_of
from alexnet.see.top import NONE, Strongest, Top, find_top, merge
from alexnet.see.units import Unit, box_of

LAYERS = ["conv1", "norm1", "relu5", "fc6", "fc8"]


def everything(run: Run, store: Store, layer: str, part: str = "val") -> Tensor:
    """The whole part's maps, from whole networks' unfused rows."""
    records = torch.from_numpy(store.splits[part].pictures[:].copy())
    return run_forward(run.network, inputs_of(run.viewer, records))[layer]


@pytest.fixture(scope="module")
def top(run: Run, store: Store) -> Top:
    return find_top(run.viewer, store.splits["val"], LAYERS, about={"split": "val"})


@pytest.mark.parametrize("layer", LAYERS)
def test_one_pass_finds_what_sorting_everything_finds(top: Top, run: Run, store: Store, layer: str) -> None:
    maps = everything(run, store, layer)
    values_cn = maps.flatten(2).amax(dim=2).T if maps.ndim == 4 else maps.T
    found = top[layer]
    assert found.values.shape == (maps.shape[1], 9)
    for channel in range(maps.shape[1]):
        order = sorted(range(len(maps)), key=lambda n: (-float(values_cn[channel, n]), n))[:9]
        torch.testing.assert_close(found.values[channel], values_cn[channel, order], rtol=1e-4, atol=1e-4)
        for rank, picture in enumerate(found.pictures[channel].tolist()):
            assert float(values_cn[channel, picture]) == pytest.approx(float(values_cn[channel, order[rank]]), rel=1e-4)
            if maps.ndim == 4:
                peak = maps[picture, channel].flatten()
                assert float(peak[found.positions[channel, rank]]) == pytest.approx(float(peak.max()), rel=1e-4)
        assert len(set(found.pictures[channel].tolist())) == 9


def test_of_equal_values_the_earlier_picture_comes_first() -> None:
    maps = torch.tensor([[1.0, 0], [3, 0], [3, 0], [2, 0]])
    start = Strongest.none(2, 3)
    once = start.with_batch(maps, torch.arange(4))
    assert once.pictures.tolist() == [[1, 2, 3], [0, 1, 2]]
    for order in permutations(range(4)):
        found = start
        for number in order:
            found = found.merged(start.with_batch(maps[[number]], torch.tensor([number])))
        assert found.pictures.tolist() == once.pictures.tolist()
        assert torch.equal(found.values, once.values)


def test_fewer_pictures_than_nine_leave_gaps() -> None:
    found = Strongest.none(2, 9).with_batch(torch.ones(3, 2), torch.arange(3))
    assert found.pictures[0].tolist() == [0, 1, 2, *[NONE] * 6]
    assert found.values[0, 3:].tolist() == [-torch.inf] * 6


def test_channels_that_nothing_excites_are_dead() -> None:
    found = Strongest.none(3, 2).with_batch(torch.tensor([[0.0, 1.0, -2.0], [0.0, 0.5, -1.0]]), torch.arange(2))
    assert found.dead.tolist() == [0, 2]


def test_a_dead_channel_has_no_patches(top: Top, run: Run, store: Store) -> None:
    best = top["conv1"]
    quiet = Strongest(best.values.clone(), best.pictures, best.positions)
    quiet.values[1], quiet.values[2, 4:] = 0, -1
    found = patches_of(run.viewer, store.splits["val"], Top({"conv1": quiet}, {}), "conv1", [0, 1, 2])
    assert [len(some) for some in found.values()] == [9, 0, 4]
    assert figures.top_figure(found, "conv1").axes[1].get_title() == "conv1 · 1: nothing excites it"
    silent = patches_of(run.viewer, store.splits["val"], Top({"conv1": quiet}, {}), "conv1", [1], silent=True)
    assert len(silent[1]) == 9


def test_the_most_negative_are_those_that_sorting_everything_finds(run: Run, store: Store, tmp_path: Path) -> None:
    split, layers = store.splits["val"], ["conv2", "relu2", "fc8"]
    shards = [find_top(run.viewer, split, layers, negative=True, shard=(number, 2)) for number in (0, 1)]
    for number, shard in enumerate(shards):
        shard.save(tmp_path / f"{number}.safetensors")
    found = merge([Top.load(tmp_path / f"{number}.safetensors") for number in (1, 0)])
    for layer in layers:
        maps = everything(run, store, layer)
        lowest = maps.flatten(2).amin(dim=2) if maps.ndim == 4 else maps
        ordered = lowest.T.sort(dim=1, stable=True)
        torch.testing.assert_close(-found.negative[layer].values, ordered.values[:, :9], rtol=1e-4, atol=1e-4)
        near = lowest.T.gather(1, found.negative[layer].pictures)
        torch.testing.assert_close(near, ordered.values[:, :9], rtol=1e-4, atol=1e-4)
    assert len(found.negative["relu2"].dead) == 32
    patches = patches_of(run.viewer, split, Top(found.negative, found.about), "conv2", [3])[3]
    assert all(
        one.value == pytest.approx(-float(v)) for one, v in zip(patches, found.negative["conv2"].values[3], strict=True)
    )
    with pytest.raises(UserError, match="they differ in negative"):
        merge([shards[0], find_top(run.viewer, split, layers, shard=(1, 2))])


@pytest.mark.parametrize("shards", [2, 3, 7])
def test_parts_of_a_pass_merge_into_the_whole(top: Top, run: Run, store: Store, shards: int, tmp_path: Path) -> None:
    part = store.splits["val"]
    for number in range(shards):
        some = find_top(run.viewer, part, LAYERS, shard=(number, shards), about={"split": "val"})
        some.save(tmp_path / f"{number}.safetensors")
    loaded = [Top.load(tmp_path / f"{number}.safetensors") for number in reversed(range(shards))]
    merged = merge(loaded)
    assert merged.about == top.about
    for layer in LAYERS:
        torch.testing.assert_close(merged[layer].values, top[layer].values, rtol=1e-5, atol=1e-5)
        assert float((merged[layer].pictures == top[layer].pictures).float().mean()) > 0.99


def test_what_can_t_be_merged_or_asked(top: Top, run: Run, store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="they differ in split"):
        merge([top, Top(top.layers, top.about | {"split": "train"})])
    with pytest.raises(UserError, match="pictures of conv2 were not looked for; there are: conv1, norm1"):
        _ = top["conv2"]
    with pytest.raises(UsageError, match=r"shard 4 of 3"):
        find_top(run.viewer, store.splits["val"], ["conv1"], shard=(3, 3))
    with pytest.raises(UserError, match="has no layer 'conv7'"):
        find_top(run.viewer, store.splits["val"], ["conv7"])
    Run.open(run.path, device="cpu").folder.inputs  # noqa: B018 - a file of tensors that is no list of pictures
    with pytest.raises(UserError, match=r"inputs.safetensors: .*layers is missing"):
        Top.load(run.path / "inputs.safetensors")


def test_patches_show_the_exact_patch_of_the_unit(top: Top, run: Run, store: Store) -> None:
    part = store.splits["val"]
    found = patches_of(run.viewer, part, top, "conv1", [3, 0])
    views = centre_views(part.pictures[:], run.inputs.size)
    assert list(found) == [3, 0]
    for channel, some in found.items():
        assert [one.picture for one in some] == top["conv1"].pictures[channel].tolist()
        for one in some:
            left, top_edge, right, bottom = box_of(run.network, one.unit)
            assert one.box == (left, top_edge, right, bottom)
            assert np.array_equal(one.patch, views[one.picture][top_edge:bottom, left:right])
            assert one.projection.shape == (3, bottom - top_edge, right - left)
            assert one.key == part.keys[one.picture]
            assert one.label == part.labels[one.picture]
            # A first layer's projection is its filter times the activation, cut at the picture's edge.
            weight = run.network.get_parameter("conv1.weight")[channel].detach().numpy() * one.value
            expected = weight[:, : bottom - top_edge, : right - left]
            np.testing.assert_allclose(one.projection, expected, rtol=1e-4, atol=1e-5)


def test_evolution_follows_the_strongest_picture_over_the_snapshots(run: Run, store: Store) -> None:
    part = store.splits["val"]
    told: list[tuple[int, int]] = []
    found = evolve(run, part, {"conv2": [1, 4], "fc7": [0]}, progress=lambda done, total: told.append((done, total)))
    assert found.epochs == (1, 2, 5)
    assert told[-1] == (180, 180)
    for position, epoch in enumerate(found.epochs):
        network = run.folder.load_weights(run.folder.snapshots[epoch])
        records = torch.from_numpy(part.pictures[:].copy())
        maps = run_forward(network, inputs_of(run.viewer, records))["conv2"]
        for channel in (1, 4):
            one = found.features["conv2"][channel][position]
            assert one.value == pytest.approx(float(maps[:, channel].max().detach()), rel=1e-4)
            assert isinstance(one.unit, Unit)
    pictures = [one.picture for one in found.features["conv2"][1]]
    assert found.jumps("conv2", 1) == (pictures[0] != pictures[1]) + (pictures[1] != pictures[2])
    assert [feature["channel"] for feature in found.as_json()["features"]] == [1, 4, 0]
    assert evolve(run, part, {"conv2": [1]}, epochs=[2]).epochs == (2,)


def test_runs_without_snapshots_are_told_how_to_make_them(make: Callable[..., Run], store: Store, run: Run) -> None:
    with pytest.raises(UserError, match=r"has no snapshots. Train with .*--snapshots"):
        evolve(make(), store.splits["val"], {"conv2": [0]})
    with pytest.raises(UserError, match="no snapshot of epoch 3; there are: 1, 2, 5"):
        evolve(run, store.splits["val"], {"conv2": [0]}, epochs=[3])
