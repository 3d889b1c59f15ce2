"""What a program has switched in torch and NumPy changes no result, and is as it was afterwards."""

import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import alexnet
from alexnet import see
from alexnet.data.store.read import Store
from alexnet.features.extract import features_of
from alexnet.features.options import IndexOptions
from alexnet.features.similar import codes, index
from alexnet.isolation import PRECISIONS, isolated
from alexnet.measure.ensemble import average, search_weights
from alexnet.measure.evaluation import evaluate_run
from alexnet.measure.run import Run
from alexnet.runs.export import compare_onnx, export
from alexnet.runs.folder import RunFolder
from alexnet.runs.import_weights import import_run
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions

PICTURES = np.random.default_rng(0).integers(0, 255, (12, 40, 40, 3), np.uint8)
LABELS = np.repeat(["cat", "dog"], 6)
QUICK = {"epochs": 1, "batch": 8, "threads": 1, "device": "cpu"}


# ── what callers switch ──────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def switched(setting: str) -> Iterator[None]:
    """Inside, `setting` is on."""
    with ExitStack() as stack:
        match setting:
            case "float64":
                stack.callback(torch.set_default_dtype, torch.get_default_dtype())
                torch.set_default_dtype(torch.float64)
            case "meta":
                stack.enter_context(torch.device("meta"))
            case "default device":
                stack.callback(torch.set_default_device, None)
                torch.set_default_device("meta")
            case "no grad":
                stack.callback(torch.set_grad_enabled, torch.is_grad_enabled())
                torch.set_grad_enabled(False)
            case "inference":
                stack.enter_context(torch.inference_mode())
            case "autocast":
                stack.enter_context(torch.autocast("cpu", torch.bfloat16))
            case "medium":
                stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
                torch.set_float32_matmul_precision("medium")
            case "numpy":
                stack.enter_context(np.errstate(all="raise"))
            case "deterministic":
                stack.callback(torch.use_deterministic_algorithms, False)
                torch.use_deterministic_algorithms(True)
        yield


SETTINGS = ("float64", "meta", "default device", "no grad", "inference", "autocast", "medium", "numpy", "deterministic")
TOGETHER = ("float64", "autocast", "medium", "numpy", "inference", "meta")


def seen_settings() -> dict[str, Any]:
    """All that calls must leave as it is."""
    return {
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "precision": torch.get_float32_matmul_precision(),
        "determinism": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
        "numpy": np.geterr(),
        "torch's random numbers": bytes(torch.random.default_generator.get_state().cpu().numpy()),
        "NumPy's random numbers": str(np.random.get_state()),
        "Python's random numbers": random.getstate(),
        "signals": (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)),
        "hooks": (sys.excepthook, sys.unraisablehook, threading.excepthook),
        "folder": os.getcwd(),
        "environment": dict(os.environ),
    }


# ── what is called ───────────────────────────────────────────────────────────────────────────────────────────────

Calls = dict[str, Callable[[Path, Store, Path], Any]]


def fitted(_run: Path, _store: Store, _: Path) -> Any:
    model = alexnet.Classifier("toy", size=40, **QUICK).fit(PICTURES, LABELS)  # type: ignore[arg-type]
    weights = model.run_.network.state_dict()
    return [weights, model.predict_proba(PICTURES), [weight.is_inference() for weight in weights.values()]]


def trained(_: Path, store: Store, folder: Path) -> Any:
    options = TrainOptions(net="toy", input_size=32, precision="bf16", colour_noise="off", **QUICK)  # type: ignore[arg-type]
    return train(store, folder / "new", options, quiet=True).network.state_dict()


def asked(run: Path, store: Store, _: Path) -> Any:
    opened = alexnet.load(run, device="cpu")
    found, kept = evaluate_run(opened.folder, opened.viewer, store, keep_probabilities=True)
    assert kept is not None
    return [
        [answer.probabilities for answer in opened.predict(list(PICTURES))],
        found[1].nll,
        average([kept, kept], [0.3, 0.7]).values,
        search_weights([kept, kept]).weights,
    ]


def described(run: Path, store: Store, folder: Path) -> Any:
    opened = Run.open(run, device="cpu", precision="bf16")
    found = index.build(opened, store, folder / "index", IndexOptions(splits=("val",)))
    coder = codes.learn_coder(store.statistics.mean_image.reshape(-1, 12)[:120], 32, epochs=1)
    features = features_of(opened, list(PICTURES))
    transformed = alexnet.Features(opened, layer="pool5").fit().transform(PICTURES)
    return [features, transformed, found.search(features, 3)[1], codes.Coder.of(coder.state_dict()).state_dict()]


def looked_into(run: Path, store: Store, _: Path) -> Any:
    opened, part = Run.open(run, device="cpu"), store.splits["val"]
    viewer, records = opened.viewer, torch.from_numpy(part.read(np.arange(2)))
    passed = see.run_forward(opened.network, see.inputs_of(viewer, records))
    unit = see.strongest_units(opened.network, passed["conv3"], "conv3", 2)[0]
    return [
        see.project(passed, [unit]).pixels,
        see.project(passed, [unit], method="guided").pixels,
        see.occlusion_map(viewer, records[0], square=see.Square(12, 8, 0)).probability,
        see.invariance_of(
            viewer, records[:1], [0], names="a", class_names=store.class_names, kinds=["scale"]
        ).as_json(),
        see.diagnose(opened.network).as_json(),
        see.linear_pattern(opened.network, "conv2", [0, 1]),
        see.find_top(viewer, part, ["conv2"], kept=3)["conv2"].values,
    ]


def exchanged(run: Path, store: Store, folder: Path) -> Any:
    made = export(RunFolder.open(run), "onnx", folder / "toy.onnx")
    compared = compare_onnx(RunFolder.open(run), made.path, store.splits["val"].read(np.arange(3)))
    back = import_run(made.path, folder / "back")
    return [compared.agrees, back.network.state_dict(), alexnet.build("toy").state_dict()]


CALLS: Calls = {
    "fit": fitted, "train": trained, "ask": asked, "describe": described, "see": looked_into, "exchange": exchanged,
}  # fmt: skip


def plain(value: Any) -> Any:
    """Tensors and arrays as their type and bytes: equal to the bit or not at all."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.detach().numpy().tobytes()
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("name", CALLS)
def test_nothing_that_a_caller_switches_changes_a_result(
    name: str, trained: Path, store: Store, tmp_path: Path
) -> None:
    for folder in ("plain", "switched"):
        (tmp_path / folder).mkdir()
    truth, before = plain(CALLS[name](trained, store, tmp_path / "plain")), seen_settings()
    with ExitStack() as stack:
        for setting in TOGETHER:
            stack.enter_context(switched(setting))
        within = seen_settings()
        found = CALLS[name](trained, store, tmp_path / "switched")
        assert seen_settings() == within
    assert seen_settings() == before
    assert plain(found) == truth


@pytest.mark.skipif(not PRECISIONS, reason="this version of torch sets the precision as a whole")
def test_the_precision_of_single_operations() -> None:
    """Also where it comes from that of all operations, which can be set again afterwards."""
    for holder in (torch.backends, *PRECISIONS):
        try:
            holder.fp32_precision = "tf32"
            before = [operation.fp32_precision for operation in PRECISIONS]
            with isolated():
                assert {operation.fp32_precision for operation in PRECISIONS} <= {"ieee", "none"}
            assert [operation.fp32_precision for operation in PRECISIONS] == before
        finally:
            holder.fp32_precision = "none"
    assert {operation.fp32_precision for operation in PRECISIONS} == {"none"}


@pytest.mark.parametrize("setting", SETTINGS)
def test_each_setting_alone(setting: str) -> None:
    nowhere: Any = None
    truth = plain(fitted(nowhere, nowhere, nowhere))
    with switched(setting):
        within = seen_settings()
        found = fitted(nowhere, nowhere, nowhere)
        assert seen_settings() == within
    assert plain(found) == truth
