"""Pictures that are in two sets, by normalised correlation, as [Z] §5.2 searched Caltech's for ImageNet's.

N, M pictures of the two sets · T side of a thumbnail · S side of a record.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from alexnet.data.batches import Pictures, Progress, batches

SIDE = 32
THRESHOLD = 0.985
"""[Z] gives none. Between imagenette and twenty classes of Caltech-101 strangers reach 0.979 (a turtle and a parachute,
small on blue); copies within Caltech-101 lie above 0.997."""
BATCH, BLOCK = 256, 8192


@dataclass(frozen=True)
class Duplicate:
    """A picture of the first set, one of the second, by number, and how they correlate."""

    first: int
    second: int
    correlation: float


def thumbnails(pictures: Pictures, progress: Progress | None = None) -> np.ndarray:
    """Each record averaged to 32 × 32 colours, less its mean, at length 1: float32 (N, 3·32·32). Inner products are
    correlations; a record of one colour becomes zeros."""
    return np.concatenate([thumbnails_of(records.numpy()) for records, _ in batches(pictures, BATCH, None, progress)])


def thumbnails_of(records_bss3: np.ndarray) -> np.ndarray:
    """The same for records in memory: uint8 (B, S, S, 3) in, float32 (B, 3·32·32) out."""
    records = torch.from_numpy(records_bss3).permute(0, 3, 1, 2).float()
    small = F.adaptive_avg_pool2d(records, min(SIDE, records.shape[-1])).flatten(1)
    small = small - small.mean(dim=1, keepdim=True)
    return (small / small.norm(dim=1, keepdim=True).clamp_min(1e-6)).numpy()


def find_duplicates(
    first: Pictures, second: Pictures, threshold: float = THRESHOLD, progress: Progress | None = None
) -> list[Duplicate]:
    """All pairs that correlate at least as `threshold`, mirrored ones too, in the order of the first set. Exact: every
    pair is computed."""
    mine_nd, theirs_md = thumbnails(first, progress), thumbnails(second)
    side = round((mine_nd.shape[1] / 3) ** 0.5)
    mirrored_md = theirs_md.reshape(-1, 3, side, side)[..., ::-1].reshape(theirs_md.shape)
    best: dict[tuple[int, int], float] = {}
    for start in range(0, len(mine_nd), BLOCK):
        for known_md in (theirs_md, mirrored_md):
            products = mine_nd[start : start + BLOCK] @ known_md.T
            for row, column in zip(*np.nonzero(products >= threshold), strict=True):
                pair = start + int(row), int(column)
                best[pair] = max(best.get(pair, -1.0), float(products[row, column]))
    return [Duplicate(*pair, correlation) for pair, correlation in sorted(best.items())]
