"""The arithmetic of a comparison, with a clock that does as it is told."""

import json
import math
from collections.abc import Callable
from itertools import count

import pytest

from alexnet.bench import timing
from alexnet.bench.timing import Row, compare, race
from alexnet.files.schema import to_json
from peers.rows import compare_durations, fastest, reaching, within


class Clock:
    """A clock that stands still, but for what the contenders take."""

    def __init__(self) -> None:
        self.now, self.turns = 0.0, list[str]()

    def __call__(self) -> float:
        return self.now

    def contender(self, name: str, seconds: Callable[[int], float]) -> Callable[[], None]:
        turn = count()

        def act() -> None:
            self.now += seconds(next(turn))
            self.turns.append(name)

        return act


def test_contenders_take_turns_and_the_first_turn_does_not_count() -> None:
    clock = Clock()
    contenders = {
        "slow": clock.contender("slow", lambda turn: 100.0 if turn == 0 else 3.0),
        "fast": clock.contender("fast", lambda turn: float(turn)),
    }
    told: list[tuple[int, int]] = []
    times = race(contenders, 3, progress=lambda done, total: told.append((done, total)), clock=clock)
    assert clock.turns == ["slow", "fast"] * 4
    assert times == {"slow": [3.0, 3.0, 3.0], "fast": [1.0, 2.0, 3.0]}
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert fastest(times, ["slow", "fast"]) == "fast"
    assert fastest(times, ["slow"]) == "slow"


def test_the_ratio_is_the_median_of_the_rounds_not_the_ratio_of_the_medians() -> None:
    """The machine slows down in the last rounds: both slow down, the ratio of a round stays."""
    ours, peer = [1.0, 1.0, 4.0, 4.0, 4.0], [2.0, 2.0, 8.0, 8.0, 12.0]
    row = compare("train.plain", "img/s", ours, peer, work=128, at_least=2.0, note="bf16")
    assert (row.ours, row.peer, row.ratio, row.spread) == (32.0, 16.0, 2.0, (2.0, 3.0))
    ours, peer = [1.0, 2.0, 3.0], [3.0, 2.0, 1.0]  # medians 2 and 2
    assert compare("x", "img/s", ours, peer).ratio == 1.0
    ours, peer = [1.0, 2.0, 10.0], [10.0, 4.0, 1.0]  # ratios 10, 2, 0.1; ratio of medians 2
    assert compare("x", "img/s", ours, peer).ratio == 2.0
    ours, peer = [1.0, 5.0, 2.0], [3.0, 5.0, 1.0]  # ratios 3, 1, 0.5; ratio of medians 1.5
    assert compare("x", "img/s", ours, peer).ratio == 1.0


def test_different_work_is_taken_into_account() -> None:
    row = compare("views", "views/s", [10.0], [0.5], work=1280, peer_work=128)
    assert (row.ours, row.peer, row.ratio) == (128.0, 256.0, 0.5)


def test_of_times_less_is_better() -> None:
    row = compare_durations("train.cifar", [2.0, 2.0], [5.0, 6.0], unit="s/epoch", factor=10, at_least=2)
    assert (row.ours, row.peer, row.ratio, row.spread) == (20.0, 55.0, 2.75, (2.5, 3.0))
    assert not row.missed


def test_limits_and_wanted_figures_stand_in_the_peer_s_place() -> None:
    assert within("memory", "GB", 2.0, 2.5).ratio == 1.25
    assert within("memory", "GB", 2.6, 2.5).missed
    assert not within("memory", "GB", 2.5, 2.5).missed
    assert reaching("data.records", "records/s", 4000, 8000).ratio == 0.5
    assert reaching("data.records", "records/s", 4000, 8000).missed
    assert not reaching("data.records", "records/s", 8000, 8000).missed
    assert "limit" in within("memory", "GB", 2.0, 2.5, "peak").note


@pytest.mark.parametrize(
    ("ratio", "at_least", "missed"),
    [
        (1.0, 1.0, False),
        (0.99, 1.0, True),
        (0.1, None, False),
        (None, None, False),
        (None, 1.0, True),
        (math.nan, 1.0, True),
    ],
)
def test_what_counts_as_missed(ratio: float | None, at_least: float | None, missed: bool) -> None:
    assert Row("x", "img/s", 1.0, 1.0, ratio, at_least).missed is missed


ROWS = [
    Row("machine.copy", "GB/s", 26.25, note="both counted"),
    Row("train.plain", "img/s", 1234.5, 23.0, 53.67, 8.0, (50.0, 60.0), "bf16"),
    Row("lrn.conv1", "img/s", 2.0, 1.0, 2.0, 20.0, (1.0, 3.0)),
]


def test_json_has_the_fields_that_are_promised() -> None:
    found = json.loads(json.dumps(to_json(ROWS)))
    assert all(set(row) == {"name", "ours", "peer", "ratio", "at_least", "unit", "spread", "note"} for row in found)
    assert found[0]["peer"] is None
    assert found[1]["at_least"] == 8.0
    assert found[1]["spread"] == [50.0, 60.0]


def test_the_table_says_what_was_met_and_what_missed() -> None:
    lines = timing.describe(ROWS).splitlines()
    assert len({len(line) for line in lines}) == 1, "its columns stand below each other"
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[2][:5] == ["machine.copy", "26.2", "", "GB/s", ""]
    assert cells[3] == ["train.plain", "1,234", "23", "img/s", "53.7", "50 – 60", "8", "met", "bf16"]
    assert cells[4][7] == "missed"
    assert [row.name for row in ROWS if row.missed] == ["lrn.conv1"]
