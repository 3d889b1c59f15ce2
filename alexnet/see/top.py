"""What excites each channel most: the nine strongest pictures of every channel of every layer, in one pass over a store
([Z] Fig. 2), and the nine most negative ones; merged from as many processes as took part.

B pictures of a batch · C channels of a layer · T strongest kept (9) · H, W rows and columns of a map.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from alexnet.data.batches import Progress, batches
from alexnet.data.store.read import Store, StoreSplit
from alexnet.errors import UsageError, UserError
from alexnet.files.outputs import GENERATOR, mark
from alexnet.files.schema import Count, check
from alexnet.files.tensors import load_tensors, save_tensors, tensor_digest
from alexnet.isolation import isolated
from alexnet.measure.run import Run
from alexnet.measure.viewer import BATCH, ViewAverager
from alexnet.see.forward_pass import inputs_of
from alexnet.see.units import peaks

KEPT = 9  # [Z] Fig. 2
NONE = -1


class About(TypedDict):
    """What a file of strongest pictures says of them, as far as it is read."""

    layers: list[str]
    pictures: Count


TENSORS = ("values", "pictures", "places")
"""What a file calls the tensors of a layer."""
NEGATIVE = "negative/"
"""What the names of the most negative pictures' tensors begin with."""


@dataclass(frozen=True, eq=False)
class Strongest:
    """The strongest activations of each channel of a layer, the strongest first, at most one for each picture.

    `values` float32 (C, T), −inf where there were fewer pictures; `pictures` (C, T) their numbers in the split, −1 for
    none; `positions` (C, T) where in the map: row · W + column. Of equal values the earlier picture comes first.
    """

    values: Float[Tensor, "C T"]
    pictures: Int[Tensor, "C T"]
    positions: Int[Tensor, "C T"]

    @classmethod
    def none(cls, channels: int, kept: int) -> "Strongest":
        nowhere = torch.full((channels, kept), NONE)
        return cls(torch.full((channels, kept), -torch.inf), nowhere, nowhere.clone())

    @property
    def is_sound(self) -> bool:
        """Whether types and shapes are those of the class, numbers of pictures and positions none below what is
        none."""
        shapes = {tuple(tensor.shape) for tensor in (self.values, self.pictures, self.positions)}
        types = self.values.dtype, self.pictures.dtype, self.positions.dtype
        alike = len(shapes) == 1 and self.values.ndim == 2 and self.values.shape[1] > 0
        known = alike and types == (torch.float32, torch.int64, torch.int64)
        return (
            known
            and bool(((self.pictures >= NONE) & (self.positions >= NONE)).all())
            and not bool(self.values.isnan().any())
        )

    @property
    def places(self) -> Int[Tensor, "C T"]:
        """An older name of `positions`."""
        return self.positions

    @property
    def dead(self) -> Int[Tensor, "D"]:
        """The channels that no picture ever excited above 0."""
        return torch.nonzero(self.values[:, 0] <= 0)[:, 0]

    def merged(self, other: "Strongest") -> "Strongest":
        """The strongest of both; which of the two comes first makes no difference."""
        kept = self.values.shape[1]
        values = torch.cat([self.values, other.values], dim=1)
        pictures = torch.cat([self.pictures, other.pictures], dim=1)
        positions = torch.cat([self.positions, other.positions], dim=1)
        # Sorted by picture first and then, stably, by value: of equal values the earlier picture comes first.
        by_picture = torch.where(pictures == NONE, torch.iinfo(torch.int64).max, pictures).argsort(dim=1)
        by_value = values.gather(1, by_picture).argsort(dim=1, descending=True, stable=True)[:, :kept]
        order = by_picture.gather(1, by_value)
        return Strongest(values.gather(1, order), pictures.gather(1, order), positions.gather(1, order))

    def with_batch(self, maps: Tensor, numbers: Int[Tensor, "B"]) -> "Strongest":
        """The strongest of these and of a batch's maps, (B, C, H, W) or (B, C); `numbers`: the pictures'."""
        values_bc, positions_bc = (of_maps.cpu() for of_maps in peaks(maps))
        values_bc = values_bc.float()
        # After some batches few channels have a picture above the weakest that they keep: only those are sorted.
        rising = torch.nonzero(values_bc.amax(dim=0) >= self.values[:, -1])[:, 0]
        if not len(rising):
            return self
        values_db, positions_db = values_bc.T[rising], positions_bc.T[rising]
        order = strongest_first(values_db, self.values.shape[1])
        news = Strongest(values_db.gather(1, order), numbers[order], positions_db.gather(1, order))
        better = self.only(rising).merged(news)
        changed = Strongest(self.values.clone(), self.pictures.clone(), self.positions.clone())
        changed.values[rising], changed.pictures[rising] = better.values, better.pictures
        changed.positions[rising] = better.positions
        return changed

    def only(self, channels: Int[Tensor, "D"]) -> "Strongest":
        return Strongest(self.values[channels], self.pictures[channels], self.positions[channels])


def strongest_first(values: Float[Tensor, "D B"], count: int) -> Int[Tensor, "D T"]:
    """The positions of the `count` largest of each row, or of all that there are, the largest first and of equal ones
    the first first. The head of a stable sort, which would sort the rest too."""
    bits = (values + 0.0).view(torch.int32).long()  # + 0.0: there is one zero
    rising = torch.where(bits < 0, bits ^ 0x7FFF_FFFF, bits)  # as the values do, negative ones too
    # With its column in the lower half every key is another, so that `topk`, which is not stable, has no choice.
    unlike = (rising << 32) - torch.arange(values.shape[1])
    return unlike.topk(min(count, values.shape[1]), dim=1).indices


@dataclass(frozen=True, eq=False)
class Top:
    """The strongest pictures of each channel of several layers; `about` says of which run, store and pictures.

    `negative`: the most negative ones, if they were looked for. They are the strongest of the maps with their signs
    turned, so values are −activation, and `dead` are the channels that no picture ever brought below 0."""

    layers: dict[str, Strongest]
    about: dict[str, Any]
    negative: dict[str, Strongest] = field(default_factory=dict)

    def __getitem__(self, layer: str) -> Strongest:
        """Raises UserError for a layer that was not looked at."""
        if layer not in self.layers:
            raise UserError(
                f"the strongest pictures of {layer} were not looked for; there are: {', '.join(self.layers)}."
            )
        return self.layers[layer]

    def save(self, path: Path, kind: str = "explorer") -> None:
        """Write a safetensors file, marked as of a `kind`. Raises UserError if it can't be written."""
        named = self.layers | {f"{NEGATIVE}{name}": found for name, found in self.negative.items()}
        tensors = {
            f"{name}/{what}": tensor
            for name, found in named.items()
            for what, tensor in zip(TENSORS, (found.values, found.pictures, found.positions), strict=True)
        }
        save_tensors(path, tensors, self.about | {"layers": list(self.layers), GENERATOR: mark(kind)})

    @classmethod
    def load(cls, path: Path) -> "Top":
        """What `save` wrote. Raises UserError if the file is damaged or holds something else."""
        tensors, about = load_tensors(path)
        about.pop(GENERATOR, None)
        check(about, About, path, "Make it again.")
        names: list[str] = about.pop("layers")
        signs = ("", NEGATIVE) if about.get("negative") else ("",)
        try:
            found = {
                sign + name: Strongest(*(tensors[f"{sign}{name}/{what}"] for what in TENSORS))
                for sign in signs
                for name in names
            }
        except KeyError as fault:
            raise UserError(f"{path}: holds no strongest pictures ({fault} is missing).") from None
        for name, one in found.items():
            if not one.is_sound:
                raise UserError(f"{path}: damaged, what it holds of {name} are no strongest pictures. Make it again.")
        layers, *negative = ({name: found[sign + name] for name in names} for sign in signs)
        return cls(layers, about, *negative)


def pass_over(run: Run, store: Store, split: str) -> dict[str, Any]:
    """What tells a pass of a run over a split from others: what the shards of one have in common."""
    return {"run": tensor_digest(run.network.state_dict()), "store": store.fingerprint, "split": split}


@isolated()
def find_top(
    viewer: ViewAverager,
    split: StoreSplit,
    layers: Sequence[str],
    *,
    kept: int = KEPT,
    negative: bool = False,
    shard: tuple[int, int] = (0, 1),
    about: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Top:
    """Look at every picture of a split once (centre view) and keep the strongest of each channel of `layers`, and the
    most `negative` ones.

    `shard` (i, n): look at the i-th of n equal spans of the split only, to be merged later. Raises UserError for a
    layer that there is not, UsageError for a shard that there is not.
    """
    if not 0 <= shard[0] < shard[1]:
        raise UsageError(f"shard {shard[0] + 1} of {shard[1]}: number them 1 … {max(1, shard[1])}.")
    network = viewer.network
    found = {name: Strongest.none(network.layer(name).leaving.maps, kept) for name in layers}
    lowest = dict(found) if negative else {}
    start, end = (len(split) * (shard[0] + step) // shard[1] for step in (0, 1))
    for records, numbers in batches(split, BATCH, np.arange(start, end), progress):
        with isolated(inference=True), network.copies.in_use():
            for name, maps in network.maps_in_turn(inputs_of(viewer, records), layers):
                found[name] = found[name].with_batch(maps, torch.from_numpy(numbers))
                if negative:
                    lowest[name] = lowest[name].with_batch(-maps, torch.from_numpy(numbers))
    looked_at = {"kept": kept, "pictures": end - start} | ({"negative": True} if negative else {})
    return Top(found, (about or {}) | looked_at, lowest)


def merge(tops: Iterable[Top]) -> Top:
    """The strongest of several parts of one pass. Raises UserError if they are of different runs, stores or layers."""
    first, *others = tops
    merged, negative, pictures = first.layers, first.negative, first.about["pictures"]
    for other in others:
        mine, theirs = ({k: v for k, v in top.about.items() if k != "pictures"} for top in (first, other))
        if mine != theirs or list(merged) != list(other.layers):
            differ = [name for name in mine | theirs if mine.get(name) != theirs.get(name)] or ["layers"]
            raise UserError(f"these parts can't be merged: they differ in {', '.join(differ)}. Give parts of one pass.")
        merged = {name: found.merged(other[name]) for name, found in merged.items()}
        negative = {name: found.merged(other.negative[name]) for name, found in negative.items()}
        pictures += other.about["pictures"]
    return Top(merged, first.about | {"pictures": pictures}, negative)
