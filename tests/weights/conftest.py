"""AlexNet's networks of the zoo with short dense layers, for tests in which their size doesn't matter."""

from collections.abc import Iterator

import pytest

from alexnet.nets.table import change
from alexnet.nets.zoo import ZOO

THIN = 64


@pytest.fixture(scope="module")
def thin_zoo() -> Iterator[None]:
    """fc6 and fc7 of 64 units in place of 4,096: files of some 10 MB in place of 240, everything else as it is."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("torchvision", "caffenet", "bvlc-alexnet", "alexnet-145-no-norm"):
            patch.setitem(ZOO, name, change(ZOO[name], "fc6", "fc7", units=THIN))
        yield
