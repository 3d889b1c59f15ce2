"""What results are computed with: epochs to a level, colourfulness, nearest pictures."""

import numpy as np
import pytest

from alexnet.experiments.krizhevsky2012.figures import (
    colourfulness,
    epochs_to,
    share_of_same_class,
    slower,
    specialisation,
)


def test_epochs_to_a_level_lie_between_two_by_a_straight_line() -> None:
    assert epochs_to([0.5, 0.3, 0.2], 0.25) == pytest.approx(2.5)
    assert epochs_to([0.25], 0.25) == 1
    assert epochs_to([0.5, 0.25, 0.1], 0.25) == 2
    assert epochs_to([0.5, 0.4], 0.25) is None
    assert epochs_to([], 0.25) is None


def test_a_unit_that_does_not_reach_the_level_needs_more_than_the_epochs_given() -> None:
    late = slower("tanh", {"ReLU": [6.9, 6.8, 7.0], "tanh": [None, 39.0, None]}, 40)
    assert (late.agrees, late.why) == ("yes", "at least 32.8 epochs more; 2 of 3 were not there in 40")
    assert slower("tanh", {"ReLU": [9.0, 2.0], "tanh": [None, None]}, 10).agrees == "undecided", "10 might be too few"
    assert slower("tanh", {"ReLU": [6.9, None], "tanh": [None, None]}, 40).agrees == "undecided"
    assert slower("tanh", {"tanh": [None, 20.0]}, 40).agrees == "undecided"
    assert slower("tanh", {"ReLU": [6.9, 6.8], "tanh": [None, None]}, 40, ["tanh"]).agrees == "undecided", (
        "one ran away"
    )
    assert slower("tanh", {"ReLU": [9.0, 9.1], "tanh": [3.0, 3.1]}, 40).agrees == "no"


def test_grey_kernels_have_no_colour_and_opposed_ones_only_colour() -> None:
    random = np.random.default_rng(0)
    grey = np.repeat(random.normal(size=(1, 1, 5, 5)), 3, axis=1)
    opposed = np.zeros((1, 3, 5, 5))
    opposed[:, 0], opposed[:, 1] = 1, -1
    red = np.zeros((1, 3, 5, 5))
    red[:, 0] = random.normal(size=(5, 5))
    kernels = np.concatenate([grey, opposed, red, np.zeros((1, 3, 5, 5))])
    assert colourfulness(kernels) == pytest.approx([0, 1, 2 / 3, 0])


def test_columns_that_differ_are_told_from_a_random_deal() -> None:
    random = np.random.default_rng(1)
    grey = np.repeat(random.normal(size=(20, 1, 5, 5)), 3, axis=1) + 0.1 * random.normal(size=(20, 3, 5, 5))
    colourful = random.normal(size=(20, 3, 5, 5))
    apart = specialisation(np.concatenate([grey, colourful]), 2)
    assert apart.difference > 5 * apart.by_chance
    assert apart.chance_of_as_much == 0
    alike = specialisation(colourful, 2)
    assert alike.chance_of_as_much > 0.01


def test_share_of_the_same_class() -> None:
    order = np.array([[0, 1], [2, 0]])
    assert share_of_same_class(order, np.array([5, 6]), np.array([5, 7, 6])) == 0.5
