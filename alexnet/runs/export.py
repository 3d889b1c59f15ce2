"""A run's weights in the formats that other tools read (`alexnet.weights`), and the check of an ONNX graph.

What a format can't hold (classes and their order, the mean) is written next to it as FILE.json, and FILE.mean.npy
where the mean is an image; `alexnet import` reads both back.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from alexnet.choices import Form
from alexnet.data.preprocessing import Records
from alexnet.errors import UsageError, UserError, optional_package
from alexnet.files.outputs import head_of, refuse_foreign
from alexnet.files.tensors import load_tensors
from alexnet.isolation import isolated
from alexnet.runs.folder import RunFolder
from alexnet.runs.import_weights import UNFOLDED
from alexnet.weights import WRITERS, ExportedWeights
from alexnet.weights.description import KIND, RUN_KEYS
from alexnet.weights.torch_export import FromRecords

TOLERANCE = 1e-4
"""How far the largest probability may be off, and a logit, relative to the largest one."""


@dataclass(frozen=True)
class Exported:
    """The file that was written, and notes on it."""

    path: Path
    notes: tuple[str, ...] = ()


@isolated()
def export(
    run: RunFolder,
    form: Form,
    out: Path | None = None,
    *,
    preprocessing: bool = False,
    calibration: Iterable[Records] | None = None,
) -> Exported:
    """Write the run's weights in a format. `out`: the file (default: in the run folder); `preprocessing`: the model
    takes uint8 pictures (B, S, S, 3), for "onnx" of any height and width, and does the rest itself ("onnx" and
    "torch-export"); `calibration`: batches of records, which make "onnx" int8.

    Raises UserError if the network does not fit the format, weights are missing, or the file can't be written.
    """
    suffixes, write = WRITERS[form]
    if calibration is not None and form != "onnx":
        raise UsageError(f"--int8: {form} can't hold it; choose --to onnx.")
    out = run.path / f"{run.table.name}{'-int8' * (calibration is not None)}{suffixes[0]}" if out is None else out
    if out.suffix not in suffixes:
        raise UsageError(f"--out {out}: the name must end in {' or '.join(suffixes)} for --to {form}.")
    if preprocessing and form not in ("onnx", "torch-export"):
        raise UsageError(f"--preprocessing: {form} holds weights alone; onnx and torch-export can hold it.")
    if run.missing_layers and form != "safetensors":
        missing = ", ".join(run.missing_layers)
        raise UserError(f"{run.path}: it has no weights for {missing}: {form} needs them all (safetensors does not).")
    beside = out.with_name(f"{out.name}.json")
    refuse_foreign(out, lambda path: KIND.encode() in path.read_bytes())
    refuse_foreign(beside, lambda path: KIND.encode() in head_of(path))
    refuse_foreign(out.with_name(f"{out.name}.mean.npy"), lambda _: beside.exists())
    statistics, _ = load_tensors(run.path / "inputs.safetensors")
    config = {key: run.public_config()[key] for key in RUN_KEYS}
    unfolded = None
    if (run.path / UNFOLDED).exists():
        first, _ = load_tensors(run.path / UNFOLDED)
        unfolded = first["weight"], first["std"]
    feeds = None
    if calibration is not None:
        reference = FromRecords(run.network, run.inputs.mean_image)
        feeds = ((batch if preprocessing else reference.centre_view(batch)).numpy() for batch in calibration)
    exported = ExportedWeights(str(run.path), run.network, statistics, config, unfolded, preprocessing, feeds)
    return Exported(out, write(exported, out))


@dataclass(frozen=True)
class Comparison:
    """The same pictures through both: the largest differences of a probability and of a logit, the largest logit."""

    pictures: int
    probability: float
    logit: float
    largest: float

    @property
    def agrees(self) -> bool:
        return self.probability <= TOLERANCE and self.logit <= TOLERANCE * max(1, self.largest)


class BesidePyTorch:
    """An ONNX graph of a run, in onnxruntime, beside the run's network. Raises UserError without onnxruntime."""

    def __init__(self, run: RunFolder, path: Path) -> None:
        onnxruntime = optional_package("onnxruntime", "onnx", "checking")
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.reference = FromRecords(run.network, run.inputs.mean_image).eval()

    @isolated(inference=True)
    def logits(self, records: Records) -> tuple[Float[Tensor, "B K"], Float[Tensor, "B K"]]:
        """Of the centre views: the network's, and the graph's."""
        (given,) = self.session.get_inputs()
        inputs = records if given.type == "tensor(uint8)" else self.reference.centre_view(records)
        (found,) = self.session.run(["logits"], {given.name: inputs.numpy()})
        return self.reference(records), torch.from_numpy(found)


def compare_onnx(run: RunFolder, path: Path, records: UInt8[np.ndarray, "B S S 3"], batch: int = 16) -> Comparison:
    """Centre views of `records` through onnxruntime and through the run's network. UserError without onnxruntime."""
    both, differences = BesidePyTorch(run, path), []
    for pictures in torch.from_numpy(records).split(batch):
        expected, found = both.logits(pictures)
        away = (found.softmax(1) - expected.softmax(1)).abs(), (found - expected).abs(), expected.abs()
        differences.append([float(values.max()) for values in away])
    return Comparison(len(records), *(max(column) for column in zip(*differences, strict=True)))
