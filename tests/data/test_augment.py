"""Crops, mirrors, mean and colour noise against the same done by hand, one picture at a time."""

import numpy as np
import pytest
import torch

from alexnet.data import order
from alexnet.data.augment import Augmentation, colour_noise
from alexnet.data.preprocessing import Preprocessing
from alexnet.data.views import views_of

SIDE, SIZE, COUNT = 40, 32, 200


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, 3), np.uint8))


def inputs(mode: str = "aligned") -> Preprocessing:
    source = np.random.default_rng(1)
    covariance = np.cov(source.normal(0, 60, (3, 500)) + source.normal(0, 90, 500))
    values, vectors = np.linalg.eigh(covariance)
    return Preprocessing(
        torch.from_numpy(source.uniform(90, 140, (3, SIDE, SIDE)).astype(np.float32)),
        SIZE,
        mode,  # type: ignore[arg-type]
        torch.from_numpy(values[::-1].copy()),
        torch.from_numpy(vectors[:, ::-1].copy()),
    )


def augmented(
    augmentation: Augmentation, pictures: torch.Tensor, given: Preprocessing, indices: np.ndarray, epoch: int = 1
) -> torch.Tensor:
    return augmentation.apply(
        pictures[torch.from_numpy(indices)], given, seed=7, epoch=epoch, indices=indices, first=0, dtype=torch.float32
    )


@pytest.mark.parametrize("mode", ["aligned", "centre"])
@pytest.mark.parametrize("colour", ["off", "code", "paper"])
def test_each_picture_as_by_hand(pictures: torch.Tensor, mode: str, colour: str) -> None:
    given, indices = inputs(mode), np.arange(COUNT)[::-1].copy()
    found = augmented(Augmentation(colour=colour), pictures, given, indices).numpy()  # type: ignore[arg-type]
    offsets, mirrored = order.crop_offsets(7, 1, indices, SIDE - SIZE + 1), order.mirrors(7, 1, indices)
    drawn = order.normals(7, 1, indices, 3)
    assert given.eigenvalues is not None
    assert given.eigenvectors is not None
    values, vectors = given.eigenvalues.numpy(), given.eigenvectors.numpy()
    for place, index in enumerate(indices):
        y, x = offsets[place]
        crop = pictures[index].numpy().astype(np.float64)[y : y + SIZE, x : x + SIZE]
        mean = given.mean_image.numpy().transpose(1, 2, 0)
        edge = (SIDE - SIZE) // 2
        mean = mean[y : y + SIZE, x : x + SIZE] if mode == "aligned" else mean[edge : edge + SIZE, edge : edge + SIZE]
        if mode == "aligned":
            expected = crop - mean
            expected = expected[:, ::-1] if mirrored[place] else expected
        else:
            expected = (crop[:, ::-1] if mirrored[place] else crop) - mean
        if colour == "paper":
            expected = expected + vectors @ (0.1 * drawn[place] * values / 255)
        if colour == "code":
            expected = (expected + 0.1 * vectors @ (drawn[place] * np.sqrt(values))) / 1.1
        np.testing.assert_allclose(found[place], expected.transpose(2, 0, 1), atol=2e-4)


def test_a_picture_is_augmented_alike_in_any_batch(pictures: torch.Tensor) -> None:
    given = inputs()
    whole = augmented(Augmentation(cutout=8), pictures, given, np.arange(COUNT))
    some = np.array([150, 3, 77])
    assert torch.equal(augmented(Augmentation(cutout=8), pictures, given, some), whole[some])
    assert not torch.equal(augmented(Augmentation(cutout=8), pictures, given, some, epoch=2), whole[some])


def test_noise_has_the_size_of_its_reading() -> None:
    """About ±12 levels as in the code, ±5.5 by the paper, for ImageNet's colours (docs/sources.md §6)."""
    given = Preprocessing(
        torch.zeros(3, 256, 256), 224, "aligned", torch.tensor([14143.0, 1222.0, 293.0]), torch.eye(3)
    )
    code, scale = colour_noise("code", given, 0, 1, np.arange(5000))
    paper, one = colour_noise("paper", given, 0, 1, np.arange(5000))
    assert code is not None
    assert paper is not None
    assert code[:, 0].std() == pytest.approx(11.9, rel=0.05)
    assert paper[:, 0].std() == pytest.approx(5.5, rel=0.05)
    assert (scale, one) == (pytest.approx(1 / 1.1), 1.0)


def test_one_crop_for_32_pictures_in_a_row(pictures: torch.Tensor) -> None:
    """The 2012 code's chunks run along the epoch, whatever the batches."""
    given = Preprocessing(torch.zeros(3, SIDE, SIDE), SIZE)
    same = pictures[:1].expand(100, -1, -1, -1)
    chunked = Augmentation(chunk=32, colour="off")
    found = chunked.apply(same, given, seed=0, epoch=1, indices=np.arange(100), first=16, dtype=torch.float32)
    changes = [n for n in range(1, 100) if not torch.equal(found[n], found[n - 1])]
    assert set(changes) <= {16, 48, 80}
    assert len(changes) >= 2


def test_ten_fixed_crops_of_zeiler_and_fergus(pictures: torch.Tensor) -> None:
    given = Preprocessing(torch.zeros(3, SIDE, SIDE), SIZE)
    same = pictures[:1].expand(COUNT, -1, -1, -1)
    found = Augmentation(crops="ten", colour="off").apply(
        same, given, seed=0, epoch=1, indices=np.arange(COUNT), first=0, dtype=torch.float32
    )
    distinct = {bytes(picture.numpy().tobytes()) for picture in found}
    expected = set()
    for row, column, mirrored in views_of(SIDE, SIZE, 10):
        crop = pictures[0].numpy().astype(np.float32)[row : row + SIZE, column : column + SIZE]
        expected.add(np.ascontiguousarray((crop[:, ::-1] if mirrored else crop).transpose(2, 0, 1)).tobytes())
    assert distinct == expected


def test_the_ten_views_in_the_order_of_2012() -> None:
    views = views_of(256, 224, 10)
    assert [view[:2] for view in views[:5]] == [(0, 0), (0, 32), (16, 16), (32, 0), (32, 32)]
    assert [view[2] for view in views] == [False] * 5 + [True] * 5
    assert views_of(256, 224, 1) == ((16, 16, False),)


def test_cutout_masks_one_square(pictures: torch.Tensor) -> None:
    given = inputs()
    plain = augmented(Augmentation(colour="off"), pictures, given, np.arange(COUNT))
    cut = augmented(Augmentation(colour="off", cutout=8), pictures, given, np.arange(COUNT))
    masked = (cut == 0).all(dim=1) & (plain != 0).any(dim=1)
    areas = masked.sum(dim=(1, 2))
    assert int(areas.max()) == 64
    assert int(areas.min()) >= 16  # the edge leaves at least a quarter
    assert torch.equal(cut[:, 0][~masked], plain[:, 0][~masked])


def test_a_record_as_large_as_the_input_has_one_place(pictures: torch.Tensor) -> None:
    given = Preprocessing(torch.zeros(3, SIDE, SIDE), SIDE)
    found = augmented(Augmentation(mirror=False, colour="off"), pictures, given, np.arange(4))
    assert torch.equal(found, pictures[:4].permute(0, 3, 1, 2).float())
