"""Nearest training pictures, by an exact search over everything ([A] Fig. 4, right).

N test pictures · M training pictures · D features.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.data.store import Part
from alexnet.measure.run import Run
from alexnet.reuse import features
from alexnet.see.sight import inputs_of

BLOCK = 256
THUMBNAIL = 32


def features_of(run: Run, part: Part, indices: np.ndarray | None = None) -> Tensor:
    """The last hidden layer's values of the centre view, float32 (N, D)."""
    return torch.from_numpy(features.features_of(run, part, indices=indices))


def thumbnails_of(run: Run, part: Part, indices: np.ndarray | None = None) -> Tensor:
    """The centre view's pixels, averaged to 32 × 32 where it is larger, float32 (N, 3·32·32)."""
    side = min(THUMBNAIL, run.inputs.size)

    def shrink(records: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(inputs_of(run.viewer, records).float(), side).flatten(1).cpu()

    return torch.from_numpy(features.described(part, shrink, indices))


def nearest(queries_nd: Tensor, known_md: Tensor, count: int) -> np.ndarray:
    """For each query the `count` nearest of the known by Euclidean distance, the nearest first; of equals the first.
    int64 (N, count). Exact: every distance is computed, in float64."""
    known, found = known_md.double(), []
    squares = known.square().sum(dim=1)
    for block in queries_nd.split(BLOCK):
        distances = squares - 2 * block.double() @ known.T  # less the query's own square, the same for all
        found.append(distances.sort(dim=1, stable=True).indices[:, :count])
    return torch.cat(found).numpy()


def share_of_same_class(order: np.ndarray, labels: np.ndarray, known_labels: np.ndarray) -> float:
    """The share of neighbours (N, count) whose class is the query's, 0 to 1."""
    return float((known_labels[order] == labels[:, None]).mean())
