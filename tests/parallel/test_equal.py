"""Every layout of processes against one process with the same batches: the same losses and the same weights."""

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from processes import together
from steps import Case, Outcome, toy, train, train_apart

from alexnet.nets import zoo
from alexnet.nets.table import BatchNorm, Table, change, insert_after, with_width
from alexnet.train.options import TrainOptions
from alexnet.train.schedule import Rates
from alexnet.train.update import Lars

COLUMNS, FOUR, DATA = TrainOptions(columns=2), TrainOptions(columns=4), TrainOptions()
HYBRID, PIECES = TrainOptions(hybrid=True), TrainOptions(accumulation_steps=2)
LARS, LARGE = Lars(0.001), Rates(10.0, 0.02)


def unmet() -> Table:
    """Columns that meet in the last layer only, as in run 150."""
    table = toy()
    for name in ("conv3", "fc6", "fc7"):
        table = change(table, name, reads="own")
    return table


def normed() -> Table:
    """With batch normalisation: of the whole batch, however it is dealt out."""
    return insert_after(insert_after(toy(), "conv2", BatchNorm("batch2")), "conv4", BatchNorm("batch4"))


def largest_difference(one: Outcome, other: Outcome) -> float:
    assert one.weights.keys() == other.weights.keys()
    weights = max(float(np.abs(one.weights[name] - other.weights[name]).max()) for name in one.weights)
    return max(weights, float(np.abs(np.subtract(one.losses, other.losses)).max()))


@pytest.mark.parametrize(
    ("processes", "case"),
    [
        (2, Case(toy(), COLUMNS)),
        (4, Case(zoo.four_columns(toy()), FOUR)),
        (2, Case(unmet(), COLUMNS)),
        (2, Case(toy(), DATA)),
        (4, Case(toy(), DATA)),
        (4, Case(toy(), COLUMNS)),
        (2, Case(toy(), HYBRID)),
        (3, Case(toy(), HYBRID, classes=10)),
        (3, Case(normed(), DATA)),
        (4, Case(normed(), COLUMNS)),
        (2, Case(normed(), HYBRID)),
        (2, Case(toy(), COLUMNS, frozen="conv1,conv2,conv3")),
        (2, Case(toy(), HYBRID, frozen="conv1,conv2,conv3,conv4,conv5")),
        (3, Case(toy(), PIECES)),
        (4, Case(normed(), replace(PIECES, columns=2))),
        (2, Case(normed(), replace(PIECES, hybrid=True), lars=LARS, rates=LARGE)),
        (4, Case(toy(), COLUMNS, lars=LARS, rates=LARGE, decays={"conv3": 0.1, "fc7": 0.05, "fc8": 0.02})),
    ],
    ids=["columns", "4-columns", "no-communication", "data-2", "data-4", "columns×data", "hybrid-2", "hybrid-3",
         "batch-norm-data", "batch-norm-both", "batch-norm-hybrid",
         "columns-frozen", "hybrid-frozen", "pieces-data", "pieces-both", "pieces-hybrid-lars", "lars-both"],
)  # fmt: skip
def test_ten_updates_in_float64(processes: int, case: Case) -> None:
    """Dropout on, over units and over maps; batches that can't be dealt out evenly among them."""
    alone, apart = train(case), together(processes, train_apart, case)
    assert largest_difference(alone, apart[0]) < 1e-9
    assert all(rank.losses == apart[0].losses for rank in apart)
    assert np.abs(alone.weights["velocity/fc8.weight"]).max() > 1e-4  # it did learn


@pytest.mark.parametrize(
    ("processes", "options"),
    [(2, COLUMNS), (2, DATA), (4, COLUMNS), (2, HYBRID)],
    ids=["columns", "data", "both", "hybrid"],
)
def test_three_updates_in_fp32(processes: int, options: TrainOptions) -> None:
    """With the compiled kernels, where there are any."""
    case = Case(toy(), options, torch.float32, updates=3)
    assert largest_difference(train(case), together(processes, train_apart, case)[0]) < 1e-5


@pytest.mark.parametrize("width", [0.25, pytest.param(1.0, marks=pytest.mark.long)])
def test_the_whole_alexnet_in_columns(width: float) -> None:
    """[A] with all its layers, fp32, two updates of a few pictures; at its size in the long form."""
    table = with_width(zoo.ALEXNET, width)
    case = Case(table, COLUMNS, torch.float32, updates=2, batches=(2,), classes=1000)
    alone, apart = train(case), together(2, train_apart, case)
    assert largest_difference(alone, apart[0]) < 1e-5
    assert np.abs(alone.weights["velocity/conv1.weight"]).max() > 1e-6


def test_it_would_be_noticed_if_a_column_read_too_little() -> None:
    """The comparison can fail: columns that do not meet in fc7 are another network."""
    case = Case(toy(), COLUMNS, updates=2)
    apart = together(2, train_apart, replace(case, table=unmet()))[0]
    assert abs(train(case).losses[1] - apart.losses[1]) > 1e-4


@pytest.mark.parametrize(("wire", "least", "most"), [("bf16", 1e-4, 0.03), ("fp16", 1e-5, 0.005)])
@pytest.mark.parametrize("options", [COLUMNS, HYBRID], ids=["columns", "hybrid"])
def test_half_precision_on_the_wire(options: TrainOptions, wire: str, least: float, most: float) -> None:
    """Run 170-quant: half the bytes, and nearly the same gradients."""
    plain, half = (after_one_update(replace(options, wire=name)) for name in ("same", wire))
    assert half.sent == plain.sent
    assert half.sent_bytes * 2 == plain.sent_bytes
    assert least < relative_difference(plain, half) < most


def test_bf16_gradients() -> None:
    plain, half = after_one_update(DATA), after_one_update(replace(DATA, gradients="bf16"))
    assert plain.losses == half.losses
    assert 1e-4 < relative_difference(plain, half) < 0.01


@functools.cache
def after_one_update(options: TrainOptions) -> Outcome:
    return together(2, train_apart, Case(toy(), options, torch.float32, updates=1, batches=(24,)))[0]


def relative_difference(one: Outcome, other: Outcome) -> float:
    """Of the dense layers' velocities, which after one update are their gradients. (Further down a unit that changes
    its sign by rounding, or a maximum its place, weighs more than rounding itself.)"""
    names = [name for name in one.weights if name.startswith("velocity/fc")]
    first, second = (np.concatenate([found.weights[name].ravel() for name in names]) for found in (one, other))
    return float(np.linalg.norm(first - second) / np.linalg.norm(first))
