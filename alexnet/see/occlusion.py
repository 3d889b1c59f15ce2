"""What happens when a grey square covers part of a picture ([Z] §4.2, Fig. 7).

N positions of the square · C maps · S side of a view · R, Q rows and columns of positions · K classes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from alexnet.errors import UsageError, UserError
from alexnet.files.schema import attributes
from alexnet.isolation import isolated
from alexnet.measure.viewer import ViewAverager
from alexnet.see.forward_pass import ForwardPass, centre_mean, inputs_of, run_forward
from alexnet.see.local import Local, MapPatch
from alexnet.see.units import Unit, check_unit, last_convolution

BATCH = 640
"""Positions of the square computed together where every unit reads all of the map."""
BLOCK = 7
"""Neighbouring positions of the square along each axis whose windows are computed together."""
GREY = 128.0
HIGHEST_TOTAL = 1.5
"""The brightest colour of the map of totals, in totals of the uncovered picture; the darkest is 0."""
SATURATED = 0.05
"""Of a probability: the least range over the positions in which its map can be read."""


@dataclass(frozen=True)
class Square:
    """The square: `size` and `stride` in pixels of the view, `grey` its level on 0–255. [Z] gives none of the three."""

    size: int
    stride: int
    grey: float = GREY

    @classmethod
    def fitting(
        cls, view: int, size: int | None = None, stride: int | None = None, grey: float | None = None
    ) -> "Square":
        """A square for views of `view` pixels; unnamed values: a seventh of the view (32 of 224), a quarter of that
        (8), and 128. Raises UserError for a square that is larger than the picture."""
        size = max(1, round(view / 7)) if size is None else size
        stride = max(1, round(size / 4)) if stride is None else stride
        if stride < 1 or size < 1:
            raise UsageError(f"a square of {size} pixels moved by {stride}: at least 1 each.")
        if size > view:
            raise UserError(
                f"the square of {size} pixels is larger than the picture the network sees ({view} × {view})."
            )
        return cls(size, stride, GREY if grey is None else grey)

    def corners(self, view: int) -> list[int]:
        """Where its upper (or left) edge stands: every `stride` pixels, and flush with the far edge."""
        return sorted({*range(0, view - self.size + 1, self.stride), view - self.size})


def scale_of_total(clean: float) -> tuple[float, float]:
    return min(0.0, HIGHEST_TOTAL * clean), max(0.0, HIGHEST_TOTAL * clean)


@dataclass(frozen=True, eq=False)
class Occlusion:
    """Fig. 7's three maps, one value for each position of the square: rows from top to bottom, columns from left to
    right.

    `corners` pixels of the square's upper (left) edge; `total` the watched map's sum; `probability` and `logit` of the
    true class; `predicted` the most probable class; `clean_…` without a square. `watched`: the map whose sum it is.
    """

    square: Square
    label: int
    watched: Unit
    corners: tuple[int, ...]
    total: Float[Tensor, "R Q"]
    probability: Float[Tensor, "R Q"]
    logit: Float[Tensor, "R Q"]
    predicted: Int[Tensor, "R Q"]
    clean_total: float
    clean_probability: float
    clean_logit: float
    clean_predicted: int

    @property
    def weakest(self) -> tuple[float, float]:
        """Row and column, in pixels, of the centre of the square that hurts the true class most."""
        row, column = divmod(int(self.probability.argmin()), len(self.corners))
        half = self.square.size / 2
        return self.corners[row] + half, self.corners[column] + half

    @property
    def scales(self) -> dict[str, tuple[float, float]]:
        """What the ends of each map's colours stand for, wherever it is drawn."""
        logits = torch.cat([self.logit.flatten(), torch.tensor([self.clean_logit])])
        return {
            "probability": (0.0, 1.0),
            "total": scale_of_total(self.clean_total),
            "logit": (float(logits.min()), float(logits.max())),
        }

    @property
    def saturated(self) -> bool:
        """Whether the probability hardly changes, so that the logit says more."""
        return float(self.probability.max() - self.probability.min()) < SATURATED

    def as_json(self, class_names: tuple[str, ...]) -> dict[str, Any]:
        clean = {"total": self.clean_total, "probability": self.clean_probability, "logit": self.clean_logit}
        return attributes(self, "square", "corners", "weakest", "total", "probability", "logit") | {
            "class": class_names[self.label],
            "watched": attributes(self.watched, "layer", "channel"),
            "scales": self.scales,
            "clean": clean | {"most_probable": class_names[self.clean_predicted]},
            "most_probable": [[class_names[k] for k in row] for row in self.predicted.tolist()],
        }


class Occluder:
    """Covers one picture, prepared once, at any positions: coarse ones first, if someone is waiting.

    `input`: (1, 3, S, S), as the network takes it. `watched`: the map whose total is taken. The square moves in front
    of the picture, so what it covers becomes grey minus the mean there. Only what the square reaches is computed
    (`alexnet.see.local`).
    """

    def __init__(self, viewer: ViewAverager, passed: ForwardPass, square: Square, watched: Unit) -> None:
        check_unit(viewer.network, watched)
        self.viewer, self.passed, self.square, self.watched = viewer, passed, square, watched
        self.grey = square.grey - centre_mean(viewer).to(passed.inputs.dtype)
        self.local = Local(passed)

    @isolated(inference=True)
    def positions(self, tops: Int[Tensor, "N"], lefts: Int[Tensor, "N"]) -> tuple[Tensor, Tensor]:
        """(totals (N,), logits (N, K)) with the square at these corners.

        Neighbours go up together as long as rows are computed in part; what has to be whole, all at once."""
        groups = neighbours(tops, lefts)
        with self.viewer.network.copies.in_use():
            parts = [
                self._followed(MapPatch(self._patches(tops[group], lefts[group]), tops[group], lefts[group]))
                for group in groups
            ]
            order = torch.cat(groups).argsort()  # the groups stand one after the other: back to the order asked for
            totals, entering = (torch.cat(found)[order] for found in zip(*parts, strict=True))
            for name, found in self.local.rest(entering):
                if name == self.watched.layer:
                    totals = self._total(found)
                entering = found
        return totals, entering.flatten(1)

    def _followed(self, part: MapPatch) -> tuple[Float[Tensor, "N"], Float[Tensor, "N C H W"]]:
        """The watched map's totals (0 if it comes later), and the whole maps where parts end."""
        totals = torch.zeros(len(part.values), device=part.values.device)
        for name, found in self.local.parts(part):
            part = found
            if name == self.watched.layer:
                totals = self._total(part)
        return totals, part.onto(self.passed.entering(self.local.whole))

    def _patches(self, tops: Int[Tensor, "N"], lefts: Int[Tensor, "N"]) -> Float[Tensor, "N 3 h w"]:
        size = self.square.size
        # Views of the grey picture at every position; only those asked for are copied.
        unfolded = self.grey.unfold(1, size, 1).unfold(2, size, 1)
        return unfolded[:, tops, lefts].transpose(0, 1)

    def _total(self, found: MapPatch | Tensor) -> Float[Tensor, "N"]:
        channel = slice(self.watched.channel, self.watched.channel + 1)
        if isinstance(found, MapPatch):
            watched = MapPatch(found.values[:, channel], found.tops, found.lefts)
            maps = watched.onto(self.passed[self.watched.layer][:, channel])
        else:
            maps = found[:, channel]
        return maps.float().flatten(1).sum(dim=1)


def strongest_map(passed: ForwardPass, layer: str) -> Unit:
    """The map of `layer` with the largest total on the (first) picture."""
    totals = passed[layer][0].float().flatten(1).sum(dim=1)
    return Unit(layer, int(totals.argmax()))


def total_of(passed: ForwardPass, unit: Unit) -> float:
    """The total of a map on the (first) picture."""
    return float(passed[unit.layer][0, unit.channel].float().sum())


@dataclass(frozen=True, eq=False)
class Positions:
    """Positions of the square computed together: numbers of their rows and columns in the grid of `count` × `count`,
    the watched map's totals and all probabilities there. `step`: how many positions apart the ones tried so far are."""

    count: int
    step: int
    rows: Int[Tensor, "N"]
    columns: Int[Tensor, "N"]
    totals: Float[Tensor, "N"]
    probabilities: Float[Tensor, "N K"]


@isolated()
def occlusion_map(
    viewer: ViewAverager,
    record: Tensor | ForwardPass,
    label: int | None = None,
    *,
    square: Square | None = None,
    watched: Unit | None = None,
    together: int = BATCH,
    progress: Callable[[int, int], None] | None = None,
) -> Occlusion:
    """Slide the square over the centre view of a record, uint8 (S, S, 3), or over one with its forward pass.

    `label`: the true class (default: the most probable one without the square); `watched`: the map whose total is
    taken (default: the last convolution's strongest). Raises UserError for a square larger than the picture, or a map
    that does not exist.
    """
    done, found = 0, None
    for found in occlusion_steps(viewer, record, label, square=square, watched=watched, together=together):
        if isinstance(found, Positions):
            done += len(found.rows)
            if progress:
                progress(done, found.count**2)
    assert isinstance(found, Occlusion)
    return found


def occlusion_steps(
    viewer: ViewAverager,
    record: Tensor | ForwardPass,
    label: int | None = None,
    *,
    square: Square | None = None,
    watched: Unit | None = None,
    coarse: int = 1,
    together: int = BATCH,
) -> Iterator[Positions | Occlusion]:
    """`occlusion_map` in steps, so that the caller can do something else in between: `together` positions at a time,
    only every `coarse`-th along each axis first; at the end the whole."""
    passed = record if isinstance(record, ForwardPass) else run_forward(viewer.network, inputs_of(viewer, record[None]))
    square = square or Square.fitting(viewer.inputs.size)
    watched = watched or strongest_map(passed, last_convolution(viewer.network))
    occluder = Occluder(viewer, passed, square, watched)
    clean_k = passed.probabilities[0]
    label = int(clean_k.argmax()) if label is None else label
    corners = square.corners(viewer.inputs.size)
    edges, count = torch.tensor(corners, device=passed.inputs.device), len(corners)
    totals_rq, logits_rqk = torch.zeros(count, count), torch.zeros(count, count, len(clean_k))
    for step, rows, columns in rounds(count, coarse, together):
        totals, logits = (one.cpu() for one in occluder.positions(edges[rows], edges[columns]))
        totals_rq[rows, columns], logits_rqk[rows, columns] = totals, logits.float()
        yield Positions(count, step, rows, columns, totals, viewer.network.probabilities(logits))
    probabilities_rqk = viewer.network.probabilities(logits_rqk.flatten(0, 1)).unflatten(0, (count, count))
    yield Occlusion(
        square=square,
        label=label,
        watched=watched,
        corners=tuple(corners),
        total=totals_rq,
        probability=probabilities_rqk[..., label],
        logit=logits_rqk[..., label],
        predicted=logits_rqk.argmax(dim=2),
        clean_total=total_of(passed, watched),
        clean_probability=float(clean_k[label]),
        clean_logit=float(passed[viewer.network.last].flatten(1)[0, label]),
        clean_predicted=int(clean_k.argmax()),
    )


def rounds(count: int, coarse: int, together: int) -> Iterator[tuple[int, Int[Tensor, "N"], Int[Tensor, "N"]]]:
    """Every position of a grid of `count` × `count` once: steps between positions, rows, columns, `together` at a time.

    First every `coarse`-th position along each axis and the last one, then those halfway between, and so on; row by
    row.
    """
    tried = torch.zeros(count, count, dtype=torch.bool)
    step = coarse
    while step:
        along = torch.tensor(sorted({*range(0, count, step), count - 1}))
        positions = torch.cartesian_prod(along, along)
        fresh = positions[~tried[positions[:, 0], positions[:, 1]]]
        tried[positions[:, 0], positions[:, 1]] = True
        for some in fresh.split(together):
            yield step, some[:, 0], some[:, 1]
        step //= 2


def neighbours(tops: Int[Tensor, "N"], lefts: Int[Tensor, "N"]) -> list[Int[Tensor, "M"]]:
    """Positions grouped by nearness, `BLOCK` × `BLOCK` or fewer: their numbers. A square near an edge of the picture
    reaches less of every map than one in the middle, so those that reach alike are best computed together."""
    row, column = ((axis.unique(return_inverse=True)[1] // BLOCK) for axis in (tops, lefts))
    group = row * (int(column.max()) + 1) + column
    return [torch.nonzero(group == number)[:, 0] for number in group.unique()]
