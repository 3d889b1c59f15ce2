"""Checks a run folder: every checksum, the config against the weights, the log, and the accuracy."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from alexnet.choices import DeviceChoice, PrecisionChoice
from alexnet.data.batches import Progress
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.files.atomic import is_temporary
from alexnet.files.schema import Key, describe, is_altered
from alexnet.files.tensors import load_tensors
from alexnet.measure.accuracy import Counts
from alexnet.measure.run import Run
from alexnet.nets.network import check_fits, state_dict_shapes
from alexnet.runs.folder import RunFolder, check_config
from alexnet.runs.history import read_history

NLL_TOLERANCE = {"fp32": 1e-3, "bf16": 2e-2}
"""Relative difference of the mean −ln p that another machine may have."""
ERRORS_TOLERANCE = {"fp32": 1e-3, "bf16": 1e-2}
"""Share of the pictures, plus one, that may be classified differently on another machine."""


@dataclass(frozen=True)
class Finding:
    """What a check found of one file, or of the accuracy; `sound`: whether it is as it was written."""

    what: str
    words: Annotated[str, Key("finding")]
    sound: bool


def verify_run(
    path: Path,
    store: Store | None = None,
    *,
    device: DeviceChoice = "auto",
    precision: PrecisionChoice = "auto",
    progress: Progress | None = None,
) -> Iterator[Finding]:
    """A finding for each file of the run folder; with the `store` of the training also one for its accuracy.

    Raises UserError if it is no run folder, or of a newer format.
    """
    run = RunFolder.open(path, altered=True)
    config = _found("config.json", partial(check_config_file, run))
    yield config
    yield _found("inputs.safetensors", partial(check_inputs, run))
    for name, check in _files(run):
        yield _found(name, check) if config.sound else Finding(name, "not compared: config.json is not sound", False)
    yield _found("log.jsonl", partial(check_log, run))
    if store is not None:
        measure = partial(check_accuracy, run, store, device, precision, progress)
        yield _found(f"accuracy on {store.path}", measure)


def _files(run: RunFolder) -> Iterator[tuple[str, Callable[[], str]]]:
    """The run's files of weights and states by name, each with its check."""
    yield "model.safetensors", partial(check_model, run)
    for epoch, path in run.snapshots.items():
        yield f"snapshots/{path.name}", partial(check_snapshot, run, path, epoch)
    for path in run.checkpoints():
        yield f"state/{path.name}", partial(check_state, run, path)
    for path in sorted(run.path.glob("*.safetensors")):
        if path.name not in ("model.safetensors", "inputs.safetensors"):
            yield path.name, partial(check_other, path)


def _found(what: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(what, check(), True)
    except UserError as fault:
        file, _, words = str(fault).partition(": ")  # the message begins with the file's name
        return Finding(what, words if file.endswith(what) else str(fault), False)
    except Exception as fault:  # of a damaged config or file, whatever it makes a check raise
        return Finding(what, f"damaged or edited ({describe(fault)})", False)


# ── each kind of file: a line for a sound one, else UserError ────────────────────────────────────────────────────


def check_config_file(run: RunFolder) -> str:
    """Checksum, table, shapes, classes."""
    where = run.path / "config.json"
    if is_altered(run.config):
        raise UserError(f"{where}: edited or damaged, its checksum does not fit")
    check_config(run.config, where)
    ids, names, outputs = run.value("classes", "ids"), run.class_names, run.table.classes
    if not len(ids) == len(names) == outputs:
        raise UserError(f"{where}: {len(names)} class names and {len(ids)} ids for {outputs} outputs")
    if len(set(ids)) < len(ids):
        raise UserError(f"{where}: classes share an id")
    count = sum(tensor.numel() for tensor in _state_dict_shapes(run).values())
    unsealed = "" if run.config.get("checksum") else "; no checksum: an older alexnet wrote it, or a person edited it"
    return f"{run.table.name}, {count:,} numbers, {outputs:,} classes{unsealed}"


def check_inputs(run: RunFolder) -> str:
    """Checksum, shapes, finite numbers."""
    path, inputs = run.path / "inputs.safetensors", run.inputs  # whose shapes are checked when they are read
    _refuse_strange_numbers(path, inputs.statistics)
    if inputs.side < inputs.size:
        raise UserError(f"{path}: a mean image of {inputs.side} pixels, the network takes {inputs.size}")
    size = run.config.get("data", {}).get("size", inputs.side)
    if size != inputs.side:
        raise UserError(f"{path}: a mean image of {inputs.side} pixels, config.json says {size}")
    return f"checksum fits; mean image of {inputs.side} pixels a side"


def check_model(run: RunFolder) -> str:
    """Checksum, layers, shapes, finite numbers."""
    path = run.path / "model.safetensors"
    if not path.exists() and not run.value("finished"):
        return "none yet, the first epoch has not ended"
    return _check_weights(run, path, load_tensors(path)[0])


def check_snapshot(run: RunFolder, path: Path, epoch: int) -> str:
    weights, about = load_tensors(path)
    if about["epoch"] != epoch:
        raise UserError(f"{path}: holds epoch {about['epoch']}")
    return _check_weights(run, path, weights)


def check_state(run: RunFolder, path: Path) -> str:
    """Weights, and velocities of their shapes; the update in its name."""
    tensors, about = load_tensors(path)
    kinds: dict[str, dict[str, Tensor]] = {"weight": {}, "velocity": {}}
    for name, tensor in tensors.items():
        kind, _, layer = name.partition("/")
        kinds[kind][layer] = tensor
    step = about["cursor"]["step"]
    if path.stem != f"step-{step:09}":
        raise UserError(f"{path}: holds the state after update {step:,}")
    velocities = kinds["velocity"]
    check_fits({name: kinds["weight"][name] for name in velocities}, velocities, path, run.table.name)
    _refuse_strange_numbers(path, velocities)
    return f"{_check_weights(run, path, kinds['weight'])}; after {step:,} updates"


def check_other(path: Path) -> str:
    return f"checksum fits; {len(load_tensors(path)[0])} tensors"


def check_log(run: RunFolder) -> str:
    """Every line can be read, epochs rise by one, and the log of a finished run has its last epoch."""
    path = run.path / "log.jsonl"
    epochs = [event["epoch"] for event in read_history(path).epochs]
    if any(later != before + 1 for before, later in zip([0, *epochs], epochs, strict=False)):
        raise UserError(f"{path}: its epochs are {epochs}, which are not consecutive")
    trained = run.config.get("epochs_trained")
    if path.exists() and trained is not None and len(epochs) != trained:
        raise UserError(f"{path}: has {len(epochs)} epochs, config.json says {trained}")
    unfinished = sum(map(is_temporary, run.path.rglob("*")))
    left = f"; {unfinished} half-written files of killed processes are left over (harmless)" if unfinished else ""
    return (f"{len(epochs):,} epochs" if path.exists() else "none, it was not trained here") + left


def _check_weights(run: RunFolder, path: Path, weights: dict[str, Tensor]) -> str:
    check_fits(_state_dict_shapes(run), weights, path, run.table.name, run.missing_layers)
    _refuse_strange_numbers(path, weights)
    return f"checksum fits; {len(weights)} tensors"


def _state_dict_shapes(run: RunFolder) -> Mapping[str, Tensor]:
    return state_dict_shapes(run.table, int(run.value("network", "input_size")))


def _refuse_strange_numbers(path: Path, tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise UserError(f"{path}: {name} holds NaN or infinite numbers")


# ── the accuracy ─────────────────────────────────────────────────────────────────────────────────────────────────


def check_accuracy(
    run: RunFolder, store: Store, device: DeviceChoice, precision: PrecisionChoice, progress: Progress | None
) -> str:
    """Judges the validation pictures again, by the centre view, and compares with the last epoch in the log."""
    if store.fingerprint != run.value("data", "fingerprint"):
        raise UserError(
            f"{store.path}: not the store that {run.path} was trained on, so its recorded accuracy can't be compared"
        )
    epochs = read_history(run.path / "log.jsonl").epochs
    if not run.value("finished") or not epochs:
        return "not compared: only a finished run keeps the weights that its log's last line describes"
    asked = Run.open(run.path, device=device, precision=precision)
    asked.network.temperature = 1.0  # the log is of the network before it was calibrated
    counts = asked.evaluate(store, views=1, progress=progress).counts
    kept = run.config.get("best", {}).get("epoch", 0)  # 0: the last
    return compared(counts, epochs[kept - 1], asked.placement.precision)


def compared(counts: Counts, recorded: dict[str, Any], precision: str) -> str:
    """Compares the counts with those recorded. Raises UserError if they differ by more than another machine's
    rounding."""
    errors = {name: round(recorded[f"val_{name}_error"] * counts.pictures) for name in ("top1", "top5")}
    now = f"nll {counts.mean_nll:.6f}, {counts.top1_errors:,} and {counts.top5_errors:,} of {counts.pictures:,} wrong"
    then = f"nll {recorded['val_nll']:.6f}, {errors['top1']:,} and {errors['top5']:,} wrong"
    off = (abs(counts.top1_errors - errors["top1"]), abs(counts.top5_errors - errors["top5"]))
    if off == (0, 0) and counts.mean_nll == recorded["val_nll"]:
        return f"{now} (top-1, top-5): as recorded, to the last bit"
    allowed = 1 + ERRORS_TOLERANCE[precision] * counts.pictures
    near = math.isclose(counts.mean_nll, recorded["val_nll"], rel_tol=NLL_TOLERANCE[precision])
    if not near or max(off) > allowed:
        raise UserError(f"{now} (top-1, top-5); recorded was {then}")
    return f"{now} (top-1, top-5); recorded was {then}: within the rounding of another machine"
