"""A network for the browser: its rows as JSON and its weights as one block of bytes, which page/site/engine.js runs."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet.errors import UserError
from alexnet.measure.run import Run
from alexnet.nets.layers import MapBatchNorm, ResponseNorm, SpatialResponseNorm, WeightedLayer
from alexnet.nets.network import Network
from alexnet.nets.table import Activation, Conv, Dense, Dropout, Local, Norm, Pool, SpatialNorm
from alexnet.nets.trace import Layer
from alexnet.serve.uploads import RecordFormat
from alexnet.text import in_bytes

LARGEST_BYTES, LARGEST_MACS = 24 << 20, 800_000_000
"""Of weights and of multiply-adds for one picture: what a browser loads and computes while somebody waits."""
HALF = np.finfo(np.float16)


def refuse_large(network: Network) -> None:
    """Raises UserError if a network is too large for a browser, or lacks weights."""
    if network.missing_layers:
        raise UserError(f"the weights of {', '.join(network.missing_layers)} are missing")
    bytes_, macs = 2 * sum(one.numel() for one in network.parameters()), sum(one.macs for one in network.layers)
    if bytes_ > LARGEST_BYTES or macs > LARGEST_MACS:
        raise UserError(
            f"the network is too large to run in a browser: {in_bytes(bytes_)} of weights and {macs / 1e6:,.0f} "
            f"million multiply-adds a picture, at most {in_bytes(LARGEST_BYTES)} and {LARGEST_MACS / 1e6:,.0f} million"
        )


def for_browser(run: Run, *, half: bool = True) -> tuple[dict[str, Any], bytes]:
    """(model, values): the JSON that engine.js calls a Model, and the values of its tensors, little-endian. `half`:
    weights in half precision. Raises UserError for a network that a browser can't run."""
    network, form = run.network, RecordFormat.of(run)
    refuse_large(network)
    tensors, values = [], []
    for name, tensor, rounded in _tensors(run):
        flat = tensor.detach().float().cpu().numpy().ravel()
        short = half and rounded and bool(np.abs(flat).max(initial=0) <= HALF.max)
        tensors.append({"name": name, "length": flat.size, "type": "half" if short else "float"})
        values.append(flat.astype("<f2" if short else "<f4").tobytes())
    model = {
        "rows": [_row(layer, network) for layer in network.layers],
        "input": run.inputs.size,
        "side": form.side,
        "resample": form.resample,
        "exif": form.exif,
        "temperature": network.temperature,
        "columns": network.table.columns,
        "classes": list(run.class_names),
        "tensors": tensors,
    }
    return model, b"".join(values)


def _tensors(run: Run) -> Iterator[tuple[str, Tensor, bool]]:
    """Name, values, and whether half precision will do."""
    yield "mean", run.inputs.mean, False
    for name, module in run.network.named_children():
        if isinstance(module, WeightedLayer):
            assert module.bias is not None
            yield f"{name}.weight", module.weight, True
            yield f"{name}.bias", module.bias, False
        if isinstance(module, MapBatchNorm):
            assert module.running_var is not None
            assert module.running_mean is not None
            scale = module.weight / torch.sqrt(module.running_var + module.eps)
            yield f"{name}.scale", scale, False
            yield f"{name}.shift", module.bias - module.running_mean * scale, False


def _row(layer: Layer, network: Network) -> dict[str, Any]:
    row, module = layer.row, network.get_submodule(layer.row.name)
    sides = {
        "entering": (layer.entering.maps, layer.entering.side),
        "leaving": (layer.leaving.maps, layer.leaving.side),
    }
    described: dict[str, Any] = {"row": type(row).__name__, "name": row.name} | sides
    match row:
        case Conv() | Local() | Pool():
            window = layer.window
            described |= {"kernel": window.kernel, "stride": window.stride, "before": window.before}
        case Activation():
            described["kind"] = row.kind
        case Dropout():
            described["factor"] = 1.0 if row.kind == "inverted" else row.keep
        case Norm() | SpatialNorm():
            assert isinstance(module, ResponseNorm | SpatialResponseNorm)
            spec = module.spec
            described |= {"k": spec.k, "alpha": spec.alpha, "beta": spec.beta, "size": spec.size, "blocks": spec.blocks}
    if isinstance(row, Pool):
        described["kind"] = row.kind
    if isinstance(row, Conv | Dense):
        described |= {"reads": layer.reads, "below": module.columns_below}
    return described
