"""Training on a real GPU beside the CPU. All marked `gpu`: skipped, saying so, where there is none."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet import kernels
from alexnet.data.batches import pinned, upload
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.runs.folder import RunFolder
from alexnet.train import loop
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions
from alexnet.train.state import start_run
from alexnet.train.step import train_batch

pytestmark = pytest.mark.gpu

SMALL = {"net": "toy", "epochs": 2, "batch": 32, "precision": "fp32", "threads": 1, "mirror": False}
STEPS = 3


def options(**changes: object) -> TrainOptions:
    return TrainOptions(**(SMALL | {"device": "cuda"} | changes))  # type: ignore[arg-type]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return RunFolder.open(folder).network.state_dict()


def test_the_triton_kernels_run_here() -> None:
    assert kernels.available("cuda").startswith("triton ")


def test_three_updates_are_those_of_the_cpu(store: Store, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    part, jobs = store.splits["train"], {}
    for device in ("cpu", "cuda"):
        jobs[device] = start_run(store, run_folder / device, options(device=device))[0]
    losses: dict[str, list[float]] = {"cpu": [], "cuda": []}
    for step in range(STEPS):
        indices = np.arange(32) + 32 * step
        batch = loop.Batch(part.read(indices), part.labels[indices], indices)
        for device, state in jobs.items():
            losses[device].append(train_batch(state, batch, state.schedule.rates(1)).read()[0])
            state.cursor.batch += 1
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-4)
    for name, weight in jobs["cpu"].network.state_dict().items():
        theirs = jobs["cuda"].network.state_dict()[name].cpu()
        assert (weight - theirs).abs().max() <= 1e-4 * weight.abs().max(), name


def test_bf16_learns_and_stays_finite(store: Store, run_folder: Path) -> None:
    run = train(store, run_folder, options(precision="bf16", epochs=3), quiet=True)
    assert all(weight.isfinite().all() for weight in run.network.state_dict().values())


@pytest.mark.parametrize("step", [3, 8])
def test_killed_it_goes_on(store: Store, run_folder: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    train(store, run_folder / "unbroken", options(), quiet=True)
    plain = loop.train_batch

    def dying(state, *rest):
        if state.cursor.step == step:
            raise KeyboardInterrupt
        return plain(state, *rest)

    monkeypatch.setattr(loop, "train_batch", dying)
    with pytest.raises(KeyboardInterrupt):
        train(store, run_folder / "killed", options(save_minutes=0), quiet=True)
    monkeypatch.undo()
    train(store, run_folder / "killed", options(save_minutes=0), resume=True, quiet=True)
    ours, theirs = weights(run_folder / "unbroken"), weights(run_folder / "killed")
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-5)


def test_a_loss_that_is_no_number_is_seen_a_step_late_and_never_saved(
    store: Store, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = loop.train_batch

    def poisoned(state, *rest):
        if state.cursor.step == 9:
            with torch.no_grad():
                state.network.get_parameter("conv4.weight")[0] = math.inf
        return plain(state, *rest)

    monkeypatch.setattr(loop, "train_batch", poisoned)
    with pytest.raises(UserError, match=r"epoch 2, batch 3"):
        train(store, run_folder, options(save_minutes=0), quiet=True)
    assert all(weight.isfinite().all() for weight in weights(run_folder).values())
    tensors, _, _ = RunFolder.open(run_folder).latest_checkpoint()
    assert tensors is not None
    assert all(tensor.isfinite().all() for tensor in tensors.values())


def test_uploads_arrive_whole_though_their_buffers_are_used_again() -> None:
    device, buffer = torch.device("cuda"), pinned((64, 256, 256, 3))
    for value in range(20):
        buffer[:] = value
        tensor = upload(buffer, device)
        assert bool((tensor == value).all())  # waits for the copy
