"""How colourful first-layer kernels are, and whether columns differ in it by more than chance ([A] Fig. 3).

K kernels · C columns.
"""

from dataclasses import dataclass

import numpy as np

SPLITS = 2000
"""Random splits of the kernels into columns, with which a difference is compared."""


@dataclass(frozen=True)
class Specialisation:
    """Mean colourfulness of the least and the most colourful column; the mean difference of random splits, and the
    share of them that differ at least as much."""

    least: float
    most: float
    by_chance: float
    chance_of_as_much: float

    @property
    def difference(self) -> float:
        return self.most - self.least


def colourfulness(kernels: np.ndarray) -> np.ndarray:
    """Of kernels (K, 3, side, side): the share of a kernel's energy outside grey, 0 (all channels alike) to 1, (K,).
    Grey is the mean over the channels at each place; a kernel of zeros has 0."""
    energy = (kernels.astype(np.float64) ** 2).sum(axis=(1, 2, 3))
    grey = 3 * (kernels.astype(np.float64).mean(axis=1) ** 2).sum(axis=(1, 2))
    return np.divide(energy - grey, energy, out=np.zeros(len(energy)), where=energy > 0)


def specialisation(kernels: np.ndarray, columns: int, seed: int = 0) -> Specialisation:
    """Compare the columns' kernels (K, 3, side, side), column after column, with random splits of the same kernels."""
    values = colourfulness(kernels)
    means = _means(values, columns)
    # A permutation test: the columns are special if few random splits of the kernels differ as much.
    random = np.random.default_rng(seed)
    splits = np.array([np.ptp(_means(random.permutation(values), columns)) for _ in range(SPLITS)])
    as_much = float((splits >= np.ptp(means) - 1e-12).mean())
    return Specialisation(float(means.min()), float(means.max()), float(splits.mean()), as_much)


def _means(values: np.ndarray, columns: int) -> np.ndarray:
    return values.reshape(columns, -1).mean(axis=1)
