"""What people import: `alexnet.load` and its friends, late, and what a run holds."""

import subprocess
import sys

import pytest
import torch

import alexnet
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.look import Run


def test_importing_the_package_does_not_wait_for_torch() -> None:
    program = "import sys, alexnet; dir(alexnet); sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_the_names_at_the_top() -> None:
    assert set(alexnet.__all__) <= set(dir(alexnet))
    assert alexnet.Run is Run
    assert alexnet.Store is Store
    assert alexnet.build("toy", 3)(torch.zeros(1, 3, 32, 32)).shape == (1, 3)
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        alexnet.lode  # noqa: B018


def test_a_run_holds_all_that_its_folder_says(run: Run, store: Store) -> None:
    loaded = alexnet.load(run.path, device="cpu")
    assert loaded.class_ids == store.class_ids
    assert loaded.class_names == tuple(f"stripes {ident}" for ident in store.class_ids)
    assert loaded.config["recipe"]["name"] == "paper"
    assert torch.equal(loaded.mean_image, torch.from_numpy(store.statistics.mean_image.copy()).permute(2, 0, 1))
    assert loaded.eigenvalues.tolist() == store.statistics.eigenvalues.tolist()
    assert torch.equal(loaded.eigenvectors, torch.from_numpy(store.statistics.eigenvectors.copy()))
    assert not loaded.network.training
    assert repr(loaded).endswith("toy, 4 classes, fp32 on cpu)")


def test_arithmetic_is_the_training_s_on_a_device_of_its_kind_only(make_run) -> None:
    trained_here = make_run("here", machine={"device": "cpu", "precision": "bf16"})
    trained_elsewhere = make_run("elsewhere", machine={"device": "cuda", "precision": "bf16"})
    assert trained_here.placement.dtype == torch.bfloat16
    assert trained_elsewhere.placement.dtype == torch.float32
    assert alexnet.load(trained_here.path, device="cpu", precision="fp32").placement.dtype == torch.float32
    assert alexnet.load(trained_elsewhere.path, device="cpu", precision="bf16").viewer.dtype == torch.bfloat16


def test_bf16_gives_nearly_the_same_answer(run: Run, store: Store) -> None:
    exact = run.evaluate(store, views=1)
    rough = alexnet.load(run.path, device="cpu", precision="bf16").evaluate(store, views=1)
    assert rough.nll == pytest.approx(exact.nll, rel=0.05)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_here_is_named(run: Run) -> None:
    with pytest.raises(UserError, match="--device cuda: not available here"):
        alexnet.load(run.path, device="cuda")


def test_a_run_without_weights_says_so_when_asked(make_run, tmp_path) -> None:
    run = make_run(weights=False)
    with pytest.raises(UserError, match="first epoch has not ended"):
        run.predict(b"")
    with pytest.raises(UserError, match="no such run folder"):
        alexnet.load(tmp_path / "absent")
