"""What several tests need: the packs of real pictures, where they are present; a small store of drawn ones."""

import gc
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

# Before torch and NumPy are imported, for this process and its children. By default the threads of OpenMP and OpenBLAS
# spin while they wait, which takes the cores from the other workers of pytest-xdist. OpenBLAS has no other remedy.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest
from PIL import Image

from alexnet.data.sources import open_source
from alexnet.data.store.prepare import prepare
from alexnet.data.store.read import Store


def no_waiting(descriptor: int) -> None:
    """In place of `os.fsync`, which waits a millisecond or more for the disk, thousands of times over all the tests.

    What it guards against, a power cut, is nothing that a test can make; those of its failures replace it themselves.
    """
    os.fstat(descriptor)  # a closed file is refused as before


os.fsync = no_waiting

SHARED = Path(os.environ.get("ALEXNET_SHARED", Path(__file__).parents[2] / "shared")) / "data"


def pytest_collection_finish() -> None:
    """What the tests' modules import stays: to look through it in each collection of garbage takes 0.2 s."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA GPU here, or this build of torch can't use it")


@pytest.fixture(scope="session")
def shared_pack(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function: name of a pack of real pictures → its unpacked folder. Skips, saying why, where it is absent."""
    unpacked: dict[str, Path] = {}

    def unpack(name: str) -> Path:
        if name not in unpacked:
            archive = next(
                (SHARED / f"{name}{end}" for end in (".tar", ".tar.gz") if (SHARED / f"{name}{end}").exists()), None
            )
            if archive is None:
                pytest.skip(f"real pictures absent: {SHARED / name}.tar[.gz] (set ALEXNET_SHARED to their folder)")
            target = tmp_path_factory.mktemp(name)
            with tarfile.open(archive) as tar:
                tar.extraction_filter = getattr(tarfile, "data_filter", None)  # 3.11.0 to 3.11.3 have none
                tar.extractall(target)
            only = next(iter(target.iterdir()))
            unpacked[name] = only if only.is_dir() else target
        return unpacked[name]

    return unpack


CLASSES = 4
SIDE = 40


def draw(label: int, number: int) -> np.ndarray:
    """A stripe pattern whose direction tells the class, over noise. (SIDE, SIDE, 3) uint8."""
    noise = np.random.default_rng([label, number])
    rows, columns = np.mgrid[:SIDE, :SIDE]
    angle = np.pi * label / CLASSES
    wave = np.sin((rows * np.sin(angle) + columns * np.cos(angle)) * 0.9 + noise.uniform(0, 6))
    return np.clip(128 + 60 * wave[:, :, None] + noise.normal(0, 25, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """200 training and 60 validation pictures of 4 classes, 40 pixels a side."""
    folder = tmp_path_factory.mktemp("stripes")
    for part, count in (("train", 50), ("val", 15)):
        for label in range(CLASSES):
            target = folder / "pictures" / part / f"angle{label}"
            target.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(draw(label, number + 1000 * (part == "val"))).save(target / f"{number:03}.png")
    return prepare(open_source(folder / "pictures"), folder / "store", size=SIDE)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    return tmp_path / "run"
