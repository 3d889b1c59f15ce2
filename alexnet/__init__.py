"""The networks of Krizhevsky et al. 2012 [A] and Zeiler & Fergus 2014 [Z]: train, measure, visualise, reuse."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Classifier", "Features", "Run", "Store", "__version__", "build", "load"]

# torch reads this once, when it is first imported: large tensors then lie on pages of 2 MB (where Linux has them on
# "madvise" or "always"). A training step meets 8,000 page faults instead of 180,000, a tenth of its processor time.
# A value that is set beforehand is kept, so THP_MEM_ALLOC_ENABLE=0 turns it off (docs/performance.md).
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

if TYPE_CHECKING:
    from alexnet.data.store.read import Store
    from alexnet.look import Run, load
    from alexnet.nets.network import build
    from alexnet.sklearn import Classifier, Features

# Imported when first asked for: `import alexnet` alone must not wait for torch.
HOMES = {
    "Classifier": "alexnet.sklearn",
    "Features": "alexnet.sklearn",
    "Run": "alexnet.look",
    "Store": "alexnet.data.store.read",
    "build": "alexnet.nets.network",
    "load": "alexnet.look",
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
