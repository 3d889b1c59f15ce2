"""What [A] Fig. 4, right, compares: pictures by features and by pixels. `features.similar` searches.

N test pictures.
"""

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from alexnet.data.store.read import StoreSplit
from alexnet.features.extract import described
from alexnet.measure.run import Run
from alexnet.see.forward_pass import inputs_of

THUMBNAIL = 32


def thumbnails_of(run: Run, part: StoreSplit, indices: np.ndarray | None = None) -> np.ndarray:
    """The centre view's pixels, averaged to 32 × 32 where it is larger, float32 (N, 3·32·32)."""
    side = min(THUMBNAIL, run.inputs.size)

    def shrink(records: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(inputs_of(run.viewer, records).float(), side).flatten(1).cpu()

    return described(part, shrink, indices)


def share_of_same_class(order: np.ndarray, labels: np.ndarray, known_labels: np.ndarray) -> float:
    """The share of neighbours (N, count) whose class is the query's, 0 to 1."""
    return float((known_labels[order] == labels[:, None]).mean())
