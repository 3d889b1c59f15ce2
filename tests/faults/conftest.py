"""The modules beside the tests; a ground to try faults on, or the reason why there is none."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # test folders are not packages

from children import Absent
from ground import Ground, ground


@pytest.fixture(scope="session")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    try:
        with ground(tmp_path_factory.mktemp("faults")) as found:
            yield found
    except Absent as reason:
        pytest.skip(str(reason))
