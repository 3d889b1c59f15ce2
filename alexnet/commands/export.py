"""`alexnet export`: a run's weights in the forms that other tools read."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from alexnet.commands.arguments import RunFolderArgument
from alexnet.errors import UserError

if TYPE_CHECKING:
    from alexnet.runs.folder import RunFolder

PICTURES = 64
"""How many pictures go through both sides of a check."""


@dataclass(frozen=True)
class Export:
    """Write a run's weights for other tools.

    safetensors: all of the run in one file. torchvision: the state dict of its alexnet, for runs of --net torchvision.
    onnx: a graph with LRN nodes and a free batch, held against PyTorch on 64 pictures before it is believed (where
    onnxruntime is installed). torch-export: for torch.export.load. What a form can't hold (classes, mean) lies beside
    it as FILE.json. `alexnet import` reads the first three back, bit for bit.

    Examples:
        alexnet export runs/photos --to onnx --preprocessing --out photos.onnx
        alexnet export runs/photos --to safetensors --out photos.safetensors
    """

    run_folder: RunFolderArgument
    """A run folder."""
    to: Literal["safetensors", "torchvision", "onnx", "torch-export"]
    """The form."""
    out: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: RUN/NETWORK.suffix)")] = None
    """The file to write."""
    preprocessing: bool = False
    """The model takes uint8 pictures (B, 256, 256, 3), takes the mean off and cuts out the centre itself."""
    check: Annotated[Path | None, arg(metavar="STORE", help_behavior_hint="(default: pictures of noise)")] = None
    """A store whose first validation pictures are taken for the check of onnx."""

    def run(self) -> None:
        from alexnet.runs.export import export
        from alexnet.runs.folder import RunFolder
        from alexnet.terminal import say

        folder = RunFolder.open(self.run_folder)
        made = export(folder, self.to, self.out, preprocessing=self.preprocessing)
        for note in made.notes:
            say(note)
        if self.to == "onnx":
            say(self._checked(folder, made.path))
        print(made.path)

    def _checked(self, folder: "RunFolder", path: Path) -> str:
        """What the comparison with PyTorch found. Raises UserError if the two differ."""
        from importlib.util import find_spec

        from alexnet.runs.export import TOLERANCE, compare_onnx

        if find_spec("onnxruntime") is None:
            return "not checked: onnxruntime is not installed (pip install 'alexnet[onnx]')"
        found = compare_onnx(folder, path, self._pictures(folder))
        words = f"largest difference {found.probability:.1e} in a probability, {found.logit:.1e} in a logit"
        if not found.agrees:
            raise UserError(f"{path}: does not compute what PyTorch does: {words} (at most {TOLERANCE:g}). Report it.")
        return f"onnxruntime agrees with PyTorch on {found.pictures} pictures: {words}"

    def _pictures(self, folder: "RunFolder"):
        import numpy as np

        from alexnet.data.store.read import Store
        from alexnet.measure.evaluation import check_size, part_of

        if self.check is None:
            side = folder.inputs.side
            return np.random.default_rng(0).integers(0, 256, (PICTURES, side, side, 3), np.uint8)
        store = Store.open(self.check)
        check_size(folder, store)
        part = part_of(store, "val")
        return part.read(np.arange(min(PICTURES, len(part))))
