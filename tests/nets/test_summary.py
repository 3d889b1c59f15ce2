"""The printed description of a network against the papers' numbers (docs/sources.md §2)."""

import re

import pytest

from alexnet.errors import UserError
from alexnet.nets.summary import describe, overview
from alexnet.nets.zoo import ZOO, find


def cells(text: str, first: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(first))
    return re.split(r"\s{2,}", line)


def test_totals_of_alexnet_are_those_of_the_paper() -> None:
    total = cells(describe(find("alexnet")), "total")
    assert total[1:4] == ["659,272", "60,965,224", "724,406,816"]


def test_a_layer_has_shape_units_costs_and_field() -> None:
    name, kind, *figures = cells(describe(find("alexnet")), "conv2")
    assert (name, kind) == ("conv2", "5×5 / 1, pad 2, own column")
    assert figures == ["256×27×27", "186,624", "307,456", "223,948,800", "51 px", "8 px", "746.5 kB"]


def test_memory_grows_with_the_batch_and_nothing_else_does() -> None:
    one, many = (cells(describe(find("alexnet"), batch), "total") for batch in (1, 1000))
    assert one[:-1] == many[:-1]
    assert (one[-1], many[-1]) == ("7.7 MB", "7.7 GB")


def test_another_input_size_changes_the_maps() -> None:
    assert cells(describe(find("zfnet"), input_size=300), "conv1")[2] != cells(describe(find("zfnet")), "conv1")[2]


def test_an_input_too_small_is_refused_by_layer() -> None:
    with pytest.raises(UserError, match="pool5"):
        describe(find("alexnet"), input_size=20)


def test_overview_has_a_line_for_each_network_and_each_can_be_described() -> None:
    lines = overview(ZOO.values()).splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(ZOO)
    assert all(describe(table) for table in ZOO.values())
