"""What several tests need: the packs of real pictures, where they are present."""

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("ALEXNET_SHARED", Path(__file__).parents[2] / "shared")) / "data"


@pytest.fixture(scope="session")
def shared_pack(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function: name of a pack of real pictures → its unpacked folder. Skips, saying why, where it is absent."""
    unpacked: dict[str, Path] = {}

    def unpack(name: str) -> Path:
        if name not in unpacked:
            archive = next((SHARED / f"{name}{end}" for end in (".tar", ".tar.gz") if (SHARED / f"{name}{end}").exists()), None)
            if archive is None:
                pytest.skip(f"real pictures absent: {SHARED / name}.tar[.gz] (set ALEXNET_SHARED to their folder)")
            target = tmp_path_factory.mktemp(name)
            with tarfile.open(archive) as tar:
                tar.extractall(target, filter="data")
            unpacked[name] = target / name
        return unpacked[name]

    return unpack
