"""Nearest training pictures, by an exact search over everything ([A] Fig. 4, right).

N test pictures · M training pictures · D features · S side of a crop.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.data.augment import views_of
from alexnet.data.store import Part
from alexnet.measure.run import Run
from alexnet.nets.table import Activation, Dense

BATCH = 128
BLOCK = 256
THUMBNAIL = 32


def last_hidden(run: Run) -> str:
    """The row that holds the last hidden layer's values: the activation behind the last dense layer but the output."""
    rows = run.folder.table.rows
    dense = [place for place, row in enumerate(rows) if isinstance(row, Dense)]
    place = dense[-2] if len(dense) > 1 else dense[-1] - 1
    following = rows[place + 1]
    return following.name if isinstance(following, Activation) else rows[place].name


def features_of(run: Run, part: Part, indices: np.ndarray | None = None) -> Tensor:
    """The last hidden layer's values of the centre view, float32 (N, D)."""
    name = last_hidden(run)
    return _described(run, part, indices, lambda batch: run.network.activations(batch)[name].float().flatten(1))


def thumbnails_of(run: Run, part: Part, indices: np.ndarray | None = None) -> Tensor:
    """The centre view's pixels, averaged to 32 × 32 where it is larger, float32 (N, 3·32·32)."""
    side = min(THUMBNAIL, run.inputs.size)
    return _described(run, part, indices, lambda batch: F.adaptive_avg_pool2d(batch.float(), side).flatten(1))


@torch.inference_mode()
def _described(run: Run, part: Part, indices: np.ndarray | None, describe: Callable[[Tensor], Tensor]) -> Tensor:
    wanted = np.arange(len(part)) if indices is None else indices
    viewer, described = run.viewer, []
    row, column, _ = views_of(run.inputs.side, run.inputs.size, 1)[0]
    for first in range(0, len(wanted), BATCH):
        pictures = torch.from_numpy(part.read(wanted[first : first + BATCH])).to(viewer.device)
        corner = torch.tensor([[row, column]], device=viewer.device).expand(len(pictures), 2)
        straight = torch.zeros(len(pictures), dtype=torch.bool, device=viewer.device)
        described.append(describe(viewer.inputs.crop(pictures, corner, straight, dtype=viewer.dtype)).cpu())
    return torch.cat(described)


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
