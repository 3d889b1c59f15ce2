"""Removed pixels filled in from their neighbours: noisy linear imputation (Rong et al. 2022, §4).

M masks · C side of a picture · P = C·C its pixels.
"""

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.sparse import csr_array, diags_array, kron
from scipy.sparse.linalg import splu
from torch import Tensor


def imputed(picture: Float[Tensor, "3 C C"], masks: Bool[Tensor, "M C C"]) -> Float[Tensor, "M 3 C C"]:
    """The picture with the pixels of each mask filled in: each is the weighted mean of its neighbours, filled ones too.
    The four direct neighbours weigh 1/6 each, the diagonal ones 1/12; those beyond the edge are left out of the mean.
    One sparse system of equations for each mask."""
    weights = neighbours(picture.shape[-1])
    known = picture.flatten(1).T.double().numpy()  # (P, 3)
    filled = np.repeat(known[None], len(masks), axis=0)
    for pixels, removed in zip(filled, masks.flatten(1).numpy(), strict=True):
        rows = weights[removed]
        inner, outer = rows[:, removed], rows[:, ~removed]
        system = diags_array(rows.sum(axis=1)) - inner
        solver = splu(system.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
        pixels[removed] = solver.solve(outer @ known[~removed])
    return torch.from_numpy(filled).float().transpose(1, 2).reshape(len(masks), *picture.shape)


@lru_cache(maxsize=2)
def neighbours(side: int) -> csr_array:
    """The weight of each pixel's neighbours in its mean, (P, P)."""
    along = csr_array(np.eye(side, k=1) + np.eye(side, k=-1))
    here = csr_array(np.eye(side))
    beside = kron(along, here) + kron(here, along)
    return csr_array(beside / 6 + kron(along, along) / 12)
