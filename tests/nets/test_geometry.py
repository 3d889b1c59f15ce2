"""The ceil rule and receptive fields against counting by hand, and against networks that are poked."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from alexnet.errors import UserError
from alexnet.geometry import Field, Window, outputs_or_refuse, unit_box
from alexnet.nets.network import build


@given(
    size=st.integers(1, 60),
    kernel=st.integers(1, 12),
    stride=st.integers(1, 6),
    before=st.integers(0, 4),
    after=st.integers(0, 4),
)
def test_outputs_by_sliding(size: int, kernel: int, stride: int, before: int, after: int) -> None:
    """ "floor": windows that end inside the padded map; "ceil": one more where some of the map is still unread."""
    ends = [start + kernel for start in range(0, 200, stride)]
    inside = sum(end <= before + size + after for end in ends)
    if inside:
        assert Window(kernel, stride, before, after, "floor").outputs(size) == inside
        leftover = ends[inside - 1] < before + size + after
        assert Window(kernel, stride, before, after, "ceil").outputs(size) == inside + leftover


@given(size=st.integers(12, 60), kernel=st.integers(1, 12), stride=st.integers(1, 6), before=st.integers(0, 4))
def test_far_padding_lets_the_last_window_end(size: int, kernel: int, stride: int, before: int) -> None:
    window = Window(kernel, stride, before)
    padded = torch.zeros(1, 1, 1, before + size + window.far_padding(size))
    assert padded.unfold(3, kernel, stride).shape[3] == window.outputs(size)


def test_sizes_of_the_papers() -> None:
    assert [Window(11, 4).outputs(224), Window(3, 2).outputs(55), Window(3, 2).outputs(27)] == [55, 27, 13]
    assert Window(3, 2).outputs(13) == 6
    assert Window(11, 4).far_padding(224) == 3
    assert [Window(7, 2).outputs(224), Window(3, 2).outputs(110), Window(5, 2).outputs(55)] == [110, 55, 26]
    assert Window(3, 2).outputs(26) == 13


def test_a_map_too_small_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="conv2: a window of 5 leaves nothing of a map of 1×1"):
        outputs_or_refuse("conv2", Window(5), 1)


def test_field_of_alexnet_conv5_as_published() -> None:
    """163 pixels, every 16: the chain 11/4, 3/2, 5, 3/2, 3, 3, 3 by its well-known sums."""
    size, jump = 1, 1
    for kernel, stride in ((11, 4), (3, 2), (5, 1), (3, 2), (3, 1), (3, 1), (3, 1)):
        size, jump = size + (kernel - 1) * jump, jump * stride
    field = build("alexnet", width=0.05).layer("conv5").field
    assert (field.size, field.jump) == (size, jump) == (163, 16)


def test_box_is_clipped_to_the_picture() -> None:
    assert unit_box(Field(start=-5, size=11, jump=4), 0, 2, 10) == (3, 0, 10, 6)


@pytest.mark.parametrize(
    "name", ["toy", "alexnet", "alexnet-145", "zfnet", "torchvision", "cifar-18pct", "cifar-11pct"]
)
def test_a_unit_sees_its_box_and_nothing_else(name: str) -> None:
    """The gradient of a unit is zero outside its box, and not zero in its box's outermost rows and columns."""
    torch.manual_seed(0)
    network = build(name, width=1.0 if name == "toy" else 0.1).eval().double()
    for weight in network.parameters():  # all positive: no ReLU and no maximum hides an influence for long
        weight.data.abs_()
    side = network.input_size
    for layer in network.layers:
        if layer.leaving.side == 1:
            break
        picture = torch.rand(1, 3, side, side, dtype=torch.double, requires_grad=True)
        unit = layer.leaving.side // 2
        maps = network.activations(picture * 100)[layer.row.name]
        (gradient,) = torch.autograd.grad(maps[0, :, unit, unit].sum(), picture)
        left, top, right, bottom = unit_box(layer.field, unit, unit, side)
        seen = gradient.abs().sum(dim=(0, 1)) > 0
        inside = torch.zeros_like(seen)
        inside[top:bottom, left:right] = True
        assert not seen[~inside].any(), layer.row.name
        if layer.row.name.startswith("conv"):
            near = max(1, layer.field.jump) * 2  # a pool's maximum may leave the outermost pixels out
            assert seen[top : top + near].any()
            assert seen[bottom - near : bottom].any()
            assert seen[:, left : left + near].any()
            assert seen[:, right - near : right].any()
