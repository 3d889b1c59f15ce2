"""Mean image and RGB covariance of a training split, from exact integer sums.

Integers, so that the result depends neither on the order of the pictures nor on how they were divided among
threads, restarts or machines; sums are added by ``+``.

Shapes: N records · S side of a record · 3 colours R, G, B on the scale 0–255.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from alexnet.data.store import layout
from alexnet.images import compiled


@dataclass(frozen=True)
class Statistics:
    """What training needs to know of the training split as a whole.

    ``count`` pictures · ``mean_image`` float32 (S, S, 3), 0–255 · ``eigenvalues`` float64 (3,), falling, and
    ``eigenvectors`` float64 (3, 3) in columns, of the covariance of the RGB pixels ([A] §4.1), 0–255 scale; the
    standard deviations of the 2012 code are their square roots. Each eigenvector's largest component is positive.
    """

    count: int
    mean_image: np.ndarray
    eigenvalues: np.ndarray
    eigenvectors: np.ndarray


@dataclass(frozen=True)
class Sums:
    """Sums over ``count`` records: ``pixels`` int64 (S, S, 3), Σ x; ``products`` int64 (3, 3), Σ x·xᵀ over all pixels.

    64 bits hold the products of 2 · 10⁹ pictures of 256 × 256.
    """

    count: int
    pixels: np.ndarray
    products: np.ndarray

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.count + other.count, self.pixels + other.pixels, self.products + other.products)

    def statistics(self) -> Statistics:
        """Mean image, eigenvalues and eigenvectors. ValueError without any picture."""
        if self.count < 1:
            raise ValueError("no statistics of no pictures")
        mean_image = (self.pixels / self.count).astype(np.float32)
        eigenvalues, eigenvectors = _principal_axes(self.covariance())
        return Statistics(self.count, mean_image, eigenvalues, eigenvectors)

    def to_bytes(self) -> bytes:
        """The content of statistics.safetensors: the sums and what follows from them."""
        tensors = {"pixels": self.pixels, "products": self.products, **vars(self.statistics())}
        del tensors["count"]
        return layout.tensor_bytes(tensors)

    def covariance(self) -> np.ndarray:
        """Covariance of the RGB pixels about their mean, float64 (3, 3): exact integers until the last division."""
        pixels = self.count * self.pixels.shape[0] * self.pixels.shape[1]
        sums = [int(total) for total in self.pixels.sum(axis=(0, 1))]
        return np.array(
            [[(pixels * int(self.products[i, j]) - sums[i] * sums[j]) / pixels**2 for j in range(3)] for i in range(3)]
        )


def no_sums(size: int) -> Sums:
    """The sums over no records."""
    return Sums(0, np.zeros((size, size, 3), np.int64), np.zeros((3, 3), np.int64))


def sums_of(records: Sequence[np.ndarray], size: int) -> Sums:
    """The sums over uint8 records (S, S, 3) of side ``size``, 2²³ of them at most (32 bits hold the sum of a pixel)."""
    pixels, products = np.zeros((size, size, 3), np.int32), np.zeros((3, 3), np.int64)
    functions = compiled.library()
    for record in map(np.ascontiguousarray, records):
        if functions is None:
            _add_by_numpy(record, pixels, products)
        else:
            functions.alexnet_add(record.ctypes.data, size * size, pixels.ctypes.data, products.ctypes.data)
    return Sums(len(records), pixels.astype(np.int64), products)


def _add_by_numpy(record_ss3: np.ndarray, pixels: np.ndarray, products: np.ndarray) -> None:
    """Σ x and Σ x·xᵀ: 32 bits hold a row's sum of products (S ≤ 4096: under 2²⁸), 64 bits the rest.

    By einsum, not by a matrix product: BLAS would start threads of its own in addition to those of ``prepare``, and was
    seen to make the whole pass six times slower on two busy cores.
    """
    pixels += record_ss3
    planes_3ss = record_ss3.transpose(2, 0, 1).astype(np.int32, order="C")
    for i, j in combinations_with_replacement(range(3), 2):
        total = np.einsum("rp,rp->r", planes_3ss[i], planes_3ss[j]).sum(dtype=np.int64)
        products[i, j] += total
        products[j, i] += total * (i != j)


def _principal_axes(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues, falling, and eigenvectors in columns; the sign is fixed by the largest component being positive."""
    rising, vectors = np.linalg.eigh(covariance)
    values, vectors = np.maximum(rising[::-1], 0.0), vectors[:, ::-1]
    largest = np.abs(vectors).argmax(axis=0)
    return values, np.ascontiguousarray(vectors * np.where(vectors[largest, range(3)] < 0, -1.0, 1.0))
