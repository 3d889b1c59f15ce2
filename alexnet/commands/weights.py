"""`alexnet weights`."""

from alexnet.commands.options.weights import Weights
from alexnet.runs import pretrained


def run(options: Weights) -> None:  # noqa: ARG001
    print(pretrained.describe())
