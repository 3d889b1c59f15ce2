"""Units silenced, scaled or swapped: what becomes of the answer, and of the errors on a whole split.

The rows up to the edited layer are computed as ever, its output is changed, and the other rows work on from there. No
hooks are used, and the run's weights stay as they are.

B pictures · K classes · C maps, or units of a fully connected layer.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from alexnet.data.batches import StepProgress
from alexnet.data.preprocessing import Records
from alexnet.data.store.read import Store
from alexnet.data.views import View
from alexnet.drawing import (
    LIGHT,
    TITLE,
    Result,
    figure_grid,
    literal_legend,
    plain_axes,
    plot_figure,
    shortened,
)
from alexnet.errors import UsageError
from alexnet.isolation import isolated
from alexnet.kernels.reference import at_least_float32
from alexnet.measure.accuracy import describe_errors, wilson
from alexnet.measure.evaluation import Evaluation, evaluate_run
from alexnet.measure.pictures import Picture, name_of
from alexnet.measure.run import Run
from alexnet.measure.viewer import ViewAverager
from alexnet.nets.network import Network
from alexnet.see.forward_pass import inputs_of, record_of
from alexnet.see.units import numbers_in
from alexnet.text import table

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"
WORDS = re.compile(rf"([^:]+):(?:([\d,-]+)([=*])({NUMBER})|(\d+)<->(\d+))")
SHOWN = 10
"""Classes in a figure and a table."""


@dataclass(frozen=True)
class Edit:
    """One change of a row's output: its maps (or units) `channels` set to a `number` ("="), multiplied by one ("*"), or
    two of them swapped ("<->"). In words "conv5:139=0", "conv5:3,17-20*2", "fc7:12<->40"."""

    layer: str
    channels: tuple[int, ...]
    change: str
    number: float = 0.0

    def __str__(self) -> str:
        if self.change == "<->":
            return f"{self.layer}:{'<->'.join(map(str, self.channels))}"
        # 3, 17, 18, 19 → 3,17-19: consecutive numbers are as far from their places as the one before.
        spans = [
            list(map(itemgetter(1), some)) for _, some in groupby(enumerate(self.channels), lambda one: one[1] - one[0])
        ]
        words = [f"{span[0]}-{span[-1]}" if len(span) > 2 else ",".join(map(str, span)) for span in spans]
        return f"{self.layer}:{','.join(words)}{self.change}{self.number:g}"

    def applied(self, maps: Float[Tensor, "B C ..."]) -> Float[Tensor, "B C ..."]:
        """A changed copy of the row's output."""
        changed, chosen = maps.clone(), list(self.channels)
        match self.change:
            case "=":
                changed[:, chosen] = self.number
            case "*":
                changed[:, chosen] = maps[:, chosen] * self.number
            case "<->":
                changed[:, chosen] = maps[:, chosen[::-1]]
        return changed


Edits = str | Edit | Iterable[str | Edit]


def edits_in(network: Network, edits: Edits) -> tuple[Edit, ...]:
    """Edits, or words such as "conv5:139=0", checked. Raises UsageError for words that can't be read, a map that there
    is not or no edit at all, UserError for a row that there is not or that can't be computed."""
    found = tuple(_edit_in(network, str(edit)) for edit in ([edits] if isinstance(edits, str | Edit) else edits))
    if not found:
        raise UsageError("no edit is named; give at least one, as in conv5:139=0.")
    return found


def _edit_in(network: Network, words: str) -> Edit:
    read = WORDS.fullmatch(words)
    if read is None:
        raise UsageError(
            f"{words!r}: write an edit as ROW:MAPS=NUMBER, ROW:MAPS*NUMBER or ROW:MAP<->MAP, as in conv5:139=0, "
            "conv5:3,17-20*2 or fc7:12<->40."
        )
    layer, channels, change, number, *swapped = read.groups()
    network.check_computable(layer)
    maps = network.layer(layer).leaving.maps
    chosen = [numbers_in(one, maps, f"{layer} maps") for one in (swapped if change is None else [channels])]
    flat = tuple(channel for some in chosen for channel in some)
    if not flat:
        raise UsageError(f"{words}: names no map.")
    return Edit(layer, flat, "<->") if change is None else Edit(layer, flat, change, float(number))


# ── computing with edits ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class EditedViewer(ViewAverager):
    """A viewer whose network's maps are changed on the way up."""

    edits: tuple[Edit, ...] = ()

    @classmethod
    def of(cls, viewer: ViewAverager, edits: Sequence[Edit]) -> "EditedViewer":
        known = {field.name: getattr(viewer, field.name) for field in fields(ViewAverager)}
        return cls(**known, edits=tuple(edits))

    def logits(self, pictures: Records, view: View) -> Float[Tensor, "B K"]:
        with self.network.copies.in_use():
            return edited_logits(self.network, self.view(pictures, view), self.edits)


def edited_logits(network: Network, x: Float[Tensor, "B 3 S S"], edits: Sequence[Edit]) -> Float[Tensor, "B K"]:
    """Logits with the edits made, in their order, where their rows end; by the fused steps of `forward`, cut there."""
    network.check_computable(network.last)
    stops, index = {edit.layer for edit in edits}, 0
    while index < len(network.order):
        x, index = network.advance(network.order, index, x, stops=stops)
        for edit in edits:
            if edit.layer == network.order[index - 1]:
                x = edit.applied(x)
    return at_least_float32(x).flatten(1)


# ── one picture ──────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Intervention(Result):
    """The answer for a picture `before` and `after` the edits: probabilities (K,), 0 to 1, and by how much each logit
    changes, `logit_change` (K,), which shows more where a probability is near 1."""

    picture: str
    edits: tuple[Edit, ...]
    class_names: tuple[str, ...]
    before: Float[Tensor, "K"]
    after: Float[Tensor, "K"]
    logit_change: Float[Tensor, "K"]

    @property
    def most_probable(self) -> list[int]:
        """The classes that are most probable before or after, at most SHOWN."""
        return torch.maximum(self.before, self.after).argsort(descending=True, stable=True)[:SHOWN].tolist()

    def as_json(self) -> dict[str, Any]:
        answers = {"before": int(self.before.argmax()), "after": int(self.after.argmax())}
        columns = (self.class_names, self.before.tolist(), self.after.tolist(), self.logit_change.tolist())
        names = ("class", "before", "after", "logit_change")
        return {
            "picture": self.picture,
            "edits": list(map(str, self.edits)),
            "most_probable": {when: self.class_names[k] for when, k in answers.items()},
            "classes": [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)],
        }

    def describe(self) -> str:
        """The most probable classes as a table."""
        rows = [
            (self.class_names[k], f"{self.before[k]:.4f}", f"{self.after[k]:.4f}", f"{self.logit_change[k]:+.3f}")
            for k in self.most_probable
        ]
        return table(("probability of", "before", "after", "change of the logit"), rows)

    def draw(self) -> Figure:
        """The most probable classes: their probabilities before and after, and how much their logits change."""
        chosen = self.most_probable
        figure, ((left, right),) = figure_grid(1, 2, 3.9, 1.2 + 0.34 * len(chosen))
        rows = np.arange(len(chosen))
        for shift, name, values, colour in (
            (-0.2, "before", self.before, LIGHT.other),
            (0.2, "after", self.after, LIGHT.true),
        ):
            left.barh(rows + shift, values[chosen].numpy(), 0.4, label=name, color=colour)
        right.barh(rows, self.logit_change[chosen].numpy(), 0.6, color=LIGHT.true)
        right.axvline(0, color=LIGHT.ink, linewidth=0.8)
        _label(left, [self.class_names[k] for k in chosen], "probability", shortened(Path(self.picture).name, 36))
        _label(right, [""] * len(chosen), "change of the logit", shortened(", ".join(map(str, self.edits)), 36))
        left.set_xlim(0, 1)
        literal_legend(left, fontsize=8.5, loc="best")
        return figure


@isolated(inference=True)
def intervene(run: Run, picture: Picture, edits: Edits) -> Intervention:
    """The answer for a picture (centre view) as it is, and with `edits` made: "conv5:139=0" silences map 139 of conv5,
    "fc7:3*2" doubles unit 3, "fc7:12<->40" swaps two; several are made in their order. The run computes as it was
    opened. Raises as `edits_in` and `record_of`."""
    network, made = run.network, edits_in(run.network, edits)
    inputs = inputs_of(run.viewer, torch.from_numpy(record_of(run, picture)))
    with network.copies.in_use():
        logits = [edited_logits(network, inputs, some)[:1].cpu() for some in ((), made)]
    before, after = (network.probabilities(one)[0] for one in logits)
    change = (logits[1] - logits[0])[0].float()
    return Intervention(name_of(picture, 0), made, run.class_names, before, after, change)


# ── a whole split ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class SplitEffect(Result):
    """The errors on a split of a store `before` and `after` the edits, of all pictures and of each class."""

    split: str
    edits: tuple[Edit, ...]
    before: Evaluation
    after: Evaluation

    @property
    def broken(self) -> int:
        """Pictures that were right and are wrong now."""
        return int(((self.before.ranks == 0) & (self.after.ranks > 0)).sum())

    @property
    def mended(self) -> int:
        """Pictures that were wrong and are right now."""
        return int(((self.before.ranks > 0) & (self.after.ranks == 0)).sum())

    @property
    def classes(self) -> list[int]:
        """The classes that have pictures, the one whose errors change most first."""
        pairs = zip(self.before.per_class, self.after.per_class, strict=True)
        changes = [abs(after.top1 - before.top1) if before.pictures else -1.0 for before, after in pairs]
        return [k for k in np.argsort([-change for change in changes], kind="stable").tolist() if changes[k] >= 0]

    @property
    def changed(self) -> list[int]:
        """The first SHOWN of these, as far as their errors change at all."""
        counts = [[row.top1_errors for row in one.per_class] for one in (self.before, self.after)]
        return [k for k in self.classes[:SHOWN] if counts[0][k] != counts[1][k]]

    def _of(self, k: int | None) -> list[tuple[int, int]]:
        """(errors, pictures) of a class, or of all, before and after."""
        both = (self.before, self.after)
        counts = [one.counts if k is None else one.per_class[k] for one in both]
        return [(one.top1_errors, one.pictures) for one in counts]

    def as_json(self) -> dict[str, Any]:
        def numbers(k: int | None) -> dict[str, Any]:
            return {
                when: {"errors": errors, "pictures": pictures, "interval": wilson(errors, pictures)}
                for when, (errors, pictures) in zip(("before", "after"), self._of(k), strict=True)
            }

        return {
            "split": self.split,
            "edits": list(map(str, self.edits)),
            "all": numbers(None),
            "broken": self.broken,
            "mended": self.mended,
            "classes": [{"class": self.before.class_names[k]} | numbers(k) for k in self.classes],
        }

    def describe(self) -> str:
        """Errors with their 95 % intervals as a table: all pictures, then the classes that change most."""
        rows = [("all", *(describe_errors(*one) for one in self._of(None)))]
        rows += [(self.before.class_names[k], *(describe_errors(*one) for one in self._of(k))) for k in self.changed]
        told = f"{self.broken:,} right pictures became wrong, {self.mended:,} wrong ones right"
        return f"{table(('top-1 errors', 'before', 'after'), rows)}\n{told}"

    def draw(self) -> Figure:
        """The error of all pictures and of the classes that change most, with 95 % intervals."""
        chosen: list[int | None] = [None, *self.changed]
        figure, axes = plot_figure(5.6, 1.3 + 0.34 * len(chosen))
        for which, (name, colour) in enumerate((("before", LIGHT.other), ("after", LIGHT.true))):
            counts = [self._of(k)[which] for k in chosen]
            shares = np.array([errors / max(1, pictures) for errors, pictures in counts])
            low, high = np.array([wilson(*one) for one in counts]).T
            spread = np.maximum(0, [shares - low, high - shares])
            place = np.arange(len(chosen)) + (which - 0.5) * 0.3
            axes.errorbar(shares, place, xerr=spread, fmt="o", markersize=4, color=colour, label=name, linewidth=1.4)
        names = ["all pictures" if k is None else self.before.class_names[k] for k in chosen]
        words, pictures = shortened(", ".join(map(str, self.edits)), 44), self.before.counts.pictures
        title = f"{words} · {pictures:,} pictures of {self.split}"
        _label(axes, names, "top-1 error, with its 95 % interval", title)
        axes.set_xlim(-0.02, 1.02)
        literal_legend(axes, fontsize=8.5, loc="best")
        return figure


@isolated()
def effect_on_split(
    run: Run, store: Store, edits: Edits, *, split: str = "val", progress: StepProgress | None = None
) -> SplitEffect:
    """Judge every picture of a split (centre view) as the run is, and with `edits` made, by the evaluator of `alexnet
    evaluate`. `progress(step, done, total)`. Raises as `edits_in` and `evaluate_run`."""
    made = edits_in(run.network, edits)

    def judged(step: str, viewer: ViewAverager) -> Evaluation:
        follow = None if progress is None else partial(progress, step)
        return evaluate_run(run.folder, viewer, store, split=split, progress=follow)[0][1]

    return SplitEffect(split, made, judged("before", run.viewer), judged("after", EditedViewer.of(run.viewer, made)))


# ── drawing ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _label(axes: Axes, names: Sequence[str], what: str, title: str) -> None:
    axes.set_axis_on()
    plain_axes(axes)
    axes.set_yticks(range(len(names)), [shortened(name, 24) for name in names], parse_math=False)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(what, fontsize=TITLE, color=LIGHT.ink)
    axes.set_title(title, fontsize=TITLE, color=LIGHT.ink, parse_math=False)
