"""Several networks as one: saved probabilities averaged by weights, given or searched, and the answers that a
competition asks for ([A] §6; the 2012 tools avg-test, avg-valid, txt-preds).

N pictures · K classes · R networks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from alexnet.errors import UsageError, UserError
from alexnet.isolation import isolated
from alexnet.measure.accuracy import TOP, count
from alexnet.measure.probabilities import Probabilities

GRID = tuple(round(0.05 * step, 2) for step in range(21))  # 2012's avg-valid: 0 to 1 in steps of 0.05
PASSES = 5  # and up to five passes over the networks
UNLABELLED = -1


@dataclass(frozen=True)
class Found:
    """Weights found, one for each network, and the errors in pictures that they leave, by the criterion searched."""

    weights: tuple[float, ...]
    errors: int


@isolated()
def average(members: Sequence[Probabilities], weights: Sequence[float] | None = None) -> Probabilities:
    """The members' weighted mean; without `weights` all count alike. Raises UserError if they are not of the same
    pictures and classes, UsageError for weights that can't be used."""
    check_alike(members)
    shares = _shares(len(members), weights)
    values = sum(share * member.values.astype(np.float64) for share, member in zip(shares, members, strict=True))
    about = {
        **members[0].about,
        "run": "average",
        "members": [member.about.get("run") for member in members],
        "weights": shares.tolist(),
        "seen": sorted({number for member in members for number in member.about.get("seen") or ()}),
    }
    return Probabilities(np.asarray(values, np.float32), members[0].labels, members[0].keys, about)


def weights_from(words: str) -> tuple[float, ...] | None:
    """Weights as the command line gives them, "0.7,1"; None where none are. Raises UsageError for what is no number."""
    try:
        return tuple(float(word) for word in words.split(",")) if words else None
    except ValueError:
        raise UsageError(f"--weights {words}: numbers separated by commas are needed, as in 0.7,1.") from None


def _shares(members: int, weights: Sequence[float] | None) -> np.ndarray:
    given = np.ones(members) if weights is None else np.asarray(weights, np.float64)
    if len(given) != members:
        raise UsageError(f"--weights: {len(given)} given for {members} networks; one each is needed.")
    if not np.isfinite(given).all() or (given < 0).any() or given.sum() <= 0:
        raise UsageError("--weights: numbers from 0 up are needed, not all of them 0.")
    return given / given.sum()


def check_alike(members: Sequence[Probabilities]) -> None:
    """Raises UserError, saying what differs, if the members are not of the same pictures, labels and classes."""
    first = members[0]
    for place, member in enumerate(members[1:], 2):
        for what, ours, theirs in (
            ("pictures", first.keys, member.keys),
            ("labels", first.labels.tolist(), member.labels.tolist()),
            ("classes", first.about.get("class_ids"), member.about.get("class_ids")),
        ):
            if ours != theirs:
                raise UserError(
                    f"the {what} of networks 1 and {place} differ: only probabilities of the same split of the same "
                    "store can be averaged. Make both with `alexnet evaluate … --save-probabilities`."
                )


@isolated()
def search_weights(members: Sequence[Probabilities], by: Literal["top1", "top5"] = "top5") -> Found:
    """Weights by coordinate search, as in 2012: from all alike, one network's weight after another is set to the value
    of `GRID` with the fewest errors, until a pass changes none or `PASSES` are done.

    Of weights with equal errors those with the smaller nll win, then the previous ones. Raises UserError
    for pictures without labels. Note that errors on the pictures searched on are no test of the weights found.
    """
    check_alike(members)
    if (members[0].labels == UNLABELLED).any():
        raise UserError("weights can't be searched on pictures without labels; give --weights, or labelled pictures.")
    weights = [1.0] * len(members)
    best = _score(members, weights, by)
    for _ in range(PASSES):
        before = weights
        for place in range(len(members)):
            for value in GRID:
                trial = [*weights[:place], value, *weights[place + 1 :]]
                if sum(trial) > 0 and (score := _score(members, trial, by)) < best:
                    best, weights = score, trial
        if weights == before:
            break
    return Found(tuple(weights), best[0])


def _score(members: Sequence[Probabilities], weights: Sequence[float], by: str) -> tuple[int, float]:
    shares = np.asarray(weights) / sum(weights)
    values = sum(np.float32(share) * member.values for share, member in zip(shares, members, strict=True))
    counts = count(torch.from_numpy(np.asarray(values)), torch.from_numpy(members[0].labels))
    return getattr(counts, f"{by}_errors"), counts.nll


def submission(found: Probabilities) -> str:
    """A line for each picture, in order: its five most probable classes, counted from 1, the most probable first (the
    competition's form). Raises UserError for fewer than five classes."""
    classes = found.values.shape[1]
    if classes < TOP:
        raise UserError(f"a submission names {TOP} classes for each picture; there are only {classes}.")
    best = np.argsort(-found.values, axis=1, kind="stable")[:, :TOP] + 1
    return "".join(" ".join(map(str, row)) + "\n" for row in best.tolist())
