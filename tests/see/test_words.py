"""Units and layers by their names and numbers; tiles of pictures."""

import numpy as np
import pytest
from made_networks import noise, small

from alexnet.drawing import mosaic
from alexnet.errors import UsageError, UserError
from alexnet.see.display import contrast, tile
from alexnet.see.forward_pass import run_forward
from alexnet.see.units import (
    Unit,
    box_of,
    feature_row,
    frame_of,
    hidden_row,
    last_convolution,
    layers_in,
    numbers_in,
    strongest_units,
)


def test_layers_of_the_paper_by_number() -> None:
    network = small("alexnet")
    assert [feature_row(network, n) for n in range(1, 9)] == [*(f"relu{n}" for n in range(1, 8)), "fc8"]
    assert (hidden_row(network), last_convolution(network)) == ("relu7", "relu5")
    assert last_convolution(small("alexnet-conv6")) == "relu_conv6"
    assert last_convolution(small("cifar-19pct")) == "conv3" or "relu" in last_convolution(small("cifar-19pct"))
    with pytest.raises(UserError, match=r"alexnet has no layer 9; its layers with weights are 1 … 8"):
        feature_row(network, 9)


def test_layers_and_numbers_in_words() -> None:
    network = small("toy")
    assert layers_in(network, "conv2-conv4,relu7") == ["conv2", "conv3", "conv4", "relu7"]
    assert layers_in(network, "") == []
    assert numbers_in("3,17-19,3", 20, "channels") == [3, 17, 18, 19, 3]
    for words, message in (("x", "'x': name channels by number"), ("20", "no channel 20; there are 0 … 19")):
        with pytest.raises(UsageError, match=message):
            numbers_in(words, 20, "channels")
    with pytest.raises(UsageError, match="a span runs from one layer with weights to a later one"):
        layers_in(network, "conv4-conv2")
    with pytest.raises(UserError, match=r"there is no layer 'conv9'\. There are: conv1"):
        layers_in(network, "conv1-conv9")


def test_frames_are_boxes_whose_edges_are_not_cut_off() -> None:
    network = small("alexnet", input_size=224)
    corner, middle = Unit("conv5", 0, 0, 0), Unit("conv5", 0, 6, 6)
    assert box_of(network, middle) == frame_of(network, middle)
    left, top, right, bottom = frame_of(network, corner)
    assert (right - left, bottom - top) == (163, 163)
    assert left < 0
    assert box_of(network, corner) == (0, 0, right, bottom)
    assert box_of(network, Unit("fc6", 3)) == frame_of(network, Unit("fc6", 3)) == (0, 0, 224, 224)


def test_the_strongest_units_stand_at_their_maps_peaks() -> None:
    network = small("toy")
    maps = run_forward(network, noise(1, 32))["conv5"]
    units = strongest_units(network, maps, "conv5", 4)
    peaks = sorted((float(maps[0, c].max()) for c in range(32)), reverse=True)[:4]
    assert [float(maps[0, unit.channel, unit.row, unit.column]) for unit in units] == pytest.approx(peaks)


def test_tiles_put_grey_where_the_unit_looks_beyond_the_edge() -> None:
    patch = np.full((4, 2, 3), 200, np.uint8)
    made = tile(patch, 40, box=(0, 3, 2, 7), frame=(-2, 3, 2, 7))
    assert made.shape == (40, 40, 3)
    assert (made[:, :15] == 128).all()
    assert (made[:, 25:] == 200).all()
    assert mosaic([made] * 4, 3, gap=2).shape == (82, 124, 3)


def test_contrast_is_mid_grey_at_zero_and_fills_the_range() -> None:
    signal = np.zeros((3, 20, 20), np.float32)
    assert (contrast(signal) == 128).all()
    signal[0, 3, 4], signal[1, 5, 5] = 0.5, -0.5
    shown = contrast(signal)
    assert (shown[3, 4, 0], shown[5, 5, 1], shown[0, 0, 0]) == (255, 0, 128)
