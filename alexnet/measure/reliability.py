"""Whether probabilities mean what they say: reliability diagrams and the expected calibration error
(Guo, Pleiss, Sun, Weinberger 2017, arXiv:1706.04599).
"""

from dataclasses import dataclass

import numpy as np

BINS = 15  # Guo et al. 2017, Table 1


@dataclass(frozen=True)
class Reliability:
    """Pictures by the probability of their answer, in BINS intervals of equal width: how many `pictures`, the share
    that is `right` and the mean `probability`, 0 to 1 (both 0 in a bin without pictures)."""

    pictures: tuple[int, ...]
    right: tuple[float, ...]
    probability: tuple[float, ...]

    @classmethod
    def of(cls, confidences_n: np.ndarray, right_n: np.ndarray) -> "Reliability":
        """From the probability of each picture's answer, 0 to 1, and whether it is right, (N,) each. Bin m of M holds
        the probabilities above m/M and up to (m + 1)/M."""
        bin_n = np.searchsorted(np.arange(1, BINS) / BINS, confidences_n)
        pictures, right, probability = (np.bincount(bin_n, w, BINS) for w in (None, right_n, confidences_n))
        some = pictures.clip(1)
        return cls(tuple(pictures.tolist()), tuple((right / some).tolist()), tuple((probability / some).tolist()))

    @property
    def ece(self) -> float:
        """The expected calibration error, 0 to 1: the distance of the bins' shares right from their mean probabilities,
        averaged over the pictures."""
        gaps = np.abs(np.subtract(self.probability, self.right))
        return float(gaps @ np.array(self.pictures)) / max(1, sum(self.pictures))
