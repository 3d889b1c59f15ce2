"""Commands killed, stopped, starved of disk, reads and permissions: nothing saved is lost, the rerun ends the same.

A short choice of what `python tools/faults.py` tries in the hundreds; that one's figures are in docs/reliability.md.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from faults import Cut, faults_of
from ground import Ground
from verbs import VERBS, Prepare

SHORT = [
    ("prepare raw", "disk full"),
    ("prepare jpeg", "failing read"),
    ("prepare --join", "kill"),
    ("train", "disk full"),
    ("train", "no permission"),
    ("train", "flipped byte"),
    ("train by two", "cut a worker"),
    ("evaluate", "failing reads"),
    ("similar build", "kill"),
    ("similar build", "flipped byte"),
    ("similar", "stop"),
    ("serve", "disk full"),
    ("serve", "kill"),
]


@pytest.mark.parametrize(("verb", "fault"), SHORT)
def test_a_fault_is_survived(tried: Ground, verb: str, fault: str) -> None:
    assert tried.survive(seed=1, verbs=[verb], faults=[fault]).hit


@pytest.mark.parametrize("verb", ["prepare raw", "train"])
def test_killed_again_and_again(tried: Ground, verb: str) -> None:
    assert tried.survive_again_and_again(VERBS[verb], seed=2, kills=5) >= 2


def test_every_fault_has_its_verbs() -> None:
    """The table is whole: each verb is put to every fault, several processes to the loss of one too."""
    assert {len(faults_of(verb)) for verb in VERBS.values() if verb.processes == 1} == {9}
    assert Cut in faults_of(VERBS["train by two"])


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("verb", ["prepare raw", "prepare jpeg", "prepare --join", "train", "similar build"])
def test_killed_twenty_times(tried: Ground, verb: str, seed: int) -> None:
    assert tried.survive_again_and_again(VERBS[verb], seed, kills=20) >= 5


@pytest.mark.long
def test_killed_twenty_times_on_real_pictures(tried: Ground, shared_pack: Callable[[str], Path]) -> None:
    verb = Prepare(source=shared_pack("imagenette224"))
    tried.known.pop(verb.name, None)  # of other pictures
    try:
        assert tried.survive_again_and_again(verb, seed=0, kills=20) >= 10
    finally:
        tried.known.pop(verb.name, None)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(40))
def test_any_fault_is_survived(tried: Ground, seed: int) -> None:
    tried.survive(seed)
