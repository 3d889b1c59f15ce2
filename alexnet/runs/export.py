"""A run's weights in the forms that other tools read: safetensors, torchvision's layout, ONNX, torch.export.

What a form has no place for (classes and their order, the mean) lies beside it as FILE.json, with FILE.mean.npy where
the mean is an image; `alexnet import` reads both back.
"""

import io
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

import alexnet
from alexnet.choices import Form
from alexnet.data.preprocessing import Preprocessing
from alexnet.errors import UsageError, UserError
from alexnet.files.atomic import write_atomically
from alexnet.files.outputs import head_of, refuse_foreign
from alexnet.files.schema import json_bytes
from alexnet.files.tensors import load_tensors, save_tensors
from alexnet.isolation import isolated
from alexnet.nets.network import Network
from alexnet.nets.table import with_classes
from alexnet.nets.zoo import ZOO
from alexnet.runs.folder import RunFolder
from alexnet.runs.import_weights import UNFOLDED
from alexnet.weights.description import KIND, RUN_KEYS
from alexnet.weights.foreign import fold_std
from alexnet.weights.onnx.rows import signature
from alexnet.weights.own import INPUTS
from alexnet.weights.torchvision import CALLED

SUFFIXES: dict[Form, tuple[str, ...]] = {
    "safetensors": (".safetensors",),
    "torchvision": (".pth", ".safetensors"),
    "onnx": (".onnx",),
    "torch-export": (".pt2",),
}
"""What the name of the file may end with; the first is taken where none is given."""
TOLERANCE = 1e-4
"""How far the largest probability may be off, and a logit, relative to the largest one."""
ONES = torch.ones(3, dtype=torch.float64, device="cpu")


@dataclass(frozen=True)
class Exported:
    """The file, and what is worth saying about it."""

    path: Path
    notes: tuple[str, ...] = ()


@isolated()
def export(run: RunFolder, form: Form, out: Path | None = None, *, preprocessing: bool = False) -> Exported:
    """Write the run's weights in a form. `out`: the file (default: in the run folder); `preprocessing`: the model takes
    uint8 records (B, S, S, 3) and does the rest itself ("onnx" and "torch-export").

    Raises UserError if the network does not fit the form, weights are missing, or the file can't be written.
    """
    suffixes = SUFFIXES[form]
    out = run.path / f"{run.table.name}{suffixes[0]}" if out is None else out
    if out.suffix not in suffixes:
        raise UsageError(f"--out {out}: the name must end in {' or '.join(suffixes)} for --to {form}.")
    if preprocessing and form not in ("onnx", "torch-export"):
        raise UsageError(f"--preprocessing: {form} holds weights alone; onnx and torch-export can hold it.")
    if run.config.get("missing_layers") and form != "safetensors":
        missing = ", ".join(run.config["missing_layers"])
        raise UserError(f"{run.path}: it has no weights for {missing}: {form} needs them all (safetensors does not).")
    beside = out.with_name(f"{out.name}.json")
    refuse_foreign(out, lambda path: KIND.encode() in path.read_bytes())
    refuse_foreign(beside, lambda path: KIND.encode() in head_of(path))
    refuse_foreign(out.with_name(f"{out.name}.mean.npy"), lambda _: beside.exists())
    return Exported(out, WRITERS[form](run, out, preprocessing))


# ── the forms ────────────────────────────────────────────────────────────────────────────────────────────────────


def _safetensors(run: RunFolder, out: Path, preprocessing: bool) -> tuple[str, ...]:  # noqa: ARG001 - every form's
    """All of the run in one file: weights under our names, mean and colour statistics under "inputs."."""
    weights, _ = load_tensors(run.path / "model.safetensors")
    inputs, _ = load_tensors(run.path / "inputs.safetensors")
    about = {"kind": KIND, "alexnet": alexnet.__version__, "missing_layers": run.config.get("missing_layers", [])}
    about |= {key: run.public_config()[key] for key in RUN_KEYS}
    save_tensors(out, weights | {f"{INPUTS}{name}": tensor for name, tensor in inputs.items()}, about)
    return ()


def _torchvision(run: RunFolder, out: Path, preprocessing: bool) -> tuple[str, ...]:  # noqa: ARG001
    """torchvision's names. conv1 as it was in the file that it came from, if it has not learned since; else as it is:
    for inputs that are not divided by a deviation."""
    _refuse_another_network(run)
    weights, _ = load_tensors(run.path / "model.safetensors")
    std = ONES
    if (run.path / UNFOLDED).exists():
        first, _ = load_tensors(run.path / UNFOLDED)
        if torch.equal(fold_std(first["weight"], first["std"]), weights["conv1.weight"]):
            weights["conv1.weight"], std = first["weight"], first["std"]
    named = OrderedDict((theirs, weights[ours].contiguous()) for ours, theirs in CALLED.items())
    if out.suffix == ".safetensors":
        write_atomically(out, safetensors_bytes(named, {"format": "pt", "kind": KIND}))
    else:
        named._metadata = {"": {"version": 1, "kind": KIND}}  # pyright: ignore - as `Module.state_dict` keeps versions
        buffer = io.BytesIO()
        torch.save(named, buffer)
        write_atomically(out, buffer.getbuffer())
    write_description(run, out, std)
    return (_normalisation(run.inputs, std),)


def _refuse_another_network(run: RunFolder) -> None:
    """Raises UserError, naming the first row that differs, unless the run's network is torchvision's."""
    theirs = with_classes(ZOO["torchvision"], run.table.classes)
    pairs = zip(signature(run.table), signature(theirs), strict=False)
    same = next((place for place, (ours, needed) in enumerate(pairs) if ours != needed), None)
    if same is None and len(signature(run.table)) == len(signature(theirs)):
        return
    rows = [row for row in run.table.rows if not hasattr(row, "keep")]
    row = rows[min(same or 0, len(rows) - 1)]
    raise UserError(
        f"{run.path}: {run.table.name} is not torchvision's alexnet: they part at {row.name}. "
        "Only networks trained as --net torchvision, or imported from there, fit its layout; choose another --to."
    )


def _normalisation(inputs: Preprocessing, std: Tensor) -> str:
    """What must be done to a picture, in torchvision's words."""
    colour = uniform(inputs.mean_image)
    if colour is None:
        return "inputs: RGB 0–255 minus the mean image beside it (.mean.npy), centre crop"
    scaled = [", ".join(f"{float(value) / 255:.7g}" for value in values) for values in (colour, std)]
    return f"inputs: torchvision.transforms.Normalize(mean=[{scaled[0]}], std=[{scaled[1]}]) of pixels from 0 to 1"


def _onnx(run: RunFolder, out: Path, preprocessing: bool) -> tuple[str, ...]:
    try:
        from alexnet.weights.onnx.write import build_model
    except ImportError:
        raise UserError("--to onnx needs the package onnx: pip install 'alexnet[onnx]'") from None
    about = json.dumps(description(run, ONES, preprocessing))
    model = build_model(run.network, about, run.inputs if preprocessing else None)
    write_atomically(out, model.SerializeToString())
    write_description(run, out, ONES, preprocessing)
    return ()


def _torch_export(run: RunFolder, out: Path, preprocessing: bool) -> tuple[str, ...]:
    """The graph of plain torch operators that `torch.export` traces; the compiled kernels stand aside for it."""
    network = run.load_weights(run.path / "model.safetensors")
    for parameter in network.parameters():
        parameter.data = parameter.data.contiguous()  # not channels last: the archive would warn of parts of tensors
    module = FromRecords(network, run.inputs) if preprocessing else network
    side = run.inputs.side if preprocessing else run.network.input_size
    example = torch.zeros(2, side, side, 3, dtype=torch.uint8) if preprocessing else torch.zeros(2, 3, side, side)
    program = torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={"kind": KIND})
    write_atomically(out, buffer.getbuffer())
    write_description(run, out, ONES, preprocessing)
    return ()


class FromRecords(nn.Module):
    """A network that takes records, uint8 (B, S, S, 3): the mean off, the centre crop, logits."""

    mean_image: Tensor

    def __init__(self, network: Network, inputs: Preprocessing) -> None:
        super().__init__()
        self.network, self.size, self.edge = network, inputs.size, (inputs.side - inputs.size) // 2
        self.register_buffer("mean_image", inputs.mean_image)

    def forward(self, pictures_bhwc: UInt8[Tensor, "B S S 3"]) -> Float[Tensor, "B K"]:
        inside = slice(self.edge, self.edge + self.size)
        maps = pictures_bhwc.permute(0, 3, 1, 2).float() - self.mean_image
        return self.network(maps[:, :, inside, inside])


WRITERS: dict[Form, Callable[[RunFolder, Path, bool], tuple[str, ...]]] = {
    "safetensors": _safetensors,
    "torchvision": _torchvision,
    "onnx": _onnx,
    "torch-export": _torch_export,
}


# ── what lies beside ─────────────────────────────────────────────────────────────────────────────────────────────


def description(run: RunFolder, std: Tensor, preprocessing: bool = False) -> dict[str, Any]:
    """What a form has no place for: see `alexnet.weights.description`. A mean image is named by the end of its
    file's name, or not at all where the model holds it (`preprocessing`)."""
    inputs, colour = run.inputs, uniform(run.inputs.mean_image)
    image = {} if preprocessing else {"mean_image": ".mean.npy"}
    mean = image if colour is None else {"mean": [float(value) for value in colour]}
    return {
        "kind": KIND,
        "alexnet": alexnet.__version__,
        "input": {
            "record": inputs.side,
            "crop": inputs.size,
            "colours": "rgb",
            "scale": [0, 255],
            "preprocessing": preprocessing,
            **mean,
            "std": [float(value) for value in std],
        },
        **{key: run.public_config()[key] for key in RUN_KEYS},
    }


def write_description(run: RunFolder, out: Path, std: Tensor, preprocessing: bool = False) -> None:
    """FILE.json, and FILE.mean.npy (3, S, S), RGB, if the mean is an image that the model does not hold itself."""
    if uniform(run.inputs.mean_image) is None and not preprocessing:
        buffer = io.BytesIO()
        np.save(buffer, run.inputs.mean_image.numpy())
        write_atomically(out.with_name(f"{out.name}.mean.npy"), buffer.getbuffer())
    write_atomically(out.with_name(f"{out.name}.json"), json_bytes(description(run, std, preprocessing)))


def uniform(mean_image: Float[Tensor, "3 S S"]) -> Float[Tensor, "3"] | None:
    """The colour of a mean image that is one colour, else None."""
    colour = mean_image[:, 0, 0]
    return colour if torch.equal(mean_image, colour[:, None, None].expand_as(mean_image)) else None


# ── ONNX held against PyTorch ────────────────────────────────────────────────────────────────────────────────────


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


@isolated()
def compare_onnx(run: RunFolder, path: Path, records: UInt8[np.ndarray, "B S S 3"], batch: int = 16) -> Comparison:
    """Centre views of `records` through onnxruntime and through the run's network. UserError without onnxruntime."""
    try:
        import onnxruntime
    except ImportError:
        raise UserError("checking needs the package onnxruntime: pip install 'alexnet[onnx]'") from None
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    reference = FromRecords(run.network, run.inputs).eval()
    differences = []
    for first in range(0, len(records), batch):
        pictures = torch.from_numpy(records[first : first + batch])
        inputs = pictures if given.type == "tensor(uint8)" else _centre_view(pictures, run.inputs)
        found = torch.from_numpy(session.run(None, {given.name: inputs.numpy()})[0])
        with isolated(inference=True):
            wanted = reference(pictures)
        away = (found.softmax(1) - wanted.softmax(1)).abs().max(), (found - wanted).abs().max(), wanted.abs().max()
        differences.append([float(value) for value in away])
    return Comparison(len(records), *(max(column) for column in zip(*differences, strict=True)))


def _centre_view(pictures: UInt8[Tensor, "B S S 3"], inputs: Preprocessing) -> Float[Tensor, "B 3 s s"]:
    edge, count = (inputs.side - inputs.size) // 2, len(pictures)
    view = inputs.crop(pictures, torch.full((count, 2), edge), torch.zeros(count, dtype=torch.bool))
    return view.contiguous()
