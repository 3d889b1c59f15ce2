"""`alexnet import`: other people's weights become a run folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class Import:
    """Make a run folder from other people's weights.

    Known: Caffe's AlexNet, product-quantised (Wu et al. 2016). What the files lack is named, and refused where it is
    needed.

    Example:
        alexnet import alexnet-real.tar.gz runs/caffe
    """

    file: Annotated[Positional[Path], arg(metavar="FILE")]
    """A tar archive, or the folder it was unpacked into."""
    run_folder: Annotated[Positional[Path], arg(metavar="RUN")]
    """The run folder to make."""

    def run(self) -> None:
        from alexnet.imported import import_run
        from alexnet.terminal import say

        made = import_run(self.file, self.run_folder)
        for note in made.config["imported"]["notes"]:
            say(note)
        if missing := made.config["missing_layers"]:
            say(f"no weights for {', '.join(missing)}: the layers before can be looked into, answers can't be given")
        print(made.path)
