"""The Triton kernels, in processes of their own: in Triton's interpreter on the CPU, and on a GPU if there is one."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from alexnet import kernels
from alexnet.errors import UserError

CASES = Path(__file__).with_name("triton_cases.py")
needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed (pip install triton)")


INTERPRETED = {"TRITON_INTERPRET": "1", "ALEXNET_TRITON_DEVICE": "cpu", "CUDA_VISIBLE_DEVICES": ""}


def run_cases(*options: str, **environment: str) -> None:
    """Run triton_cases.py and show what it says if a case fails, or if none ran."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-x", *options, str(CASES)]
    outcome = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=1200, cwd=CASES.parents[2]
    )
    assert outcome.returncode == 0, outcome.stdout[-4000:] + outcome.stderr[-2000:]
    assert " passed" in outcome.stdout


@needs_triton
def test_kernels_in_the_interpreter():
    run_cases(**INTERPRETED)


@needs_triton
@pytest.mark.long
def test_every_kernel_in_every_arithmetic_in_the_interpreter():
    run_cases("-m", "long", **INTERPRETED)


@needs_triton
@pytest.mark.gpu
def test_kernels_on_a_gpu():
    run_cases(TRITON_INTERPRET="0", ALEXNET_TRITON_DEVICE="cuda")


def test_where_triton_does_not_work_the_reference_runs_and_says_why(monkeypatch, capsys):
    monkeypatch.setenv("ALEXNET_KERNELS", "auto")
    monkeypatch.setitem(sys.modules, "alexnet.kernels.triton_kernels", None)
    monkeypatch.delattr(kernels, "triton_kernels", raising=False)
    kernels._decide.cache_clear()
    try:
        assert kernels.available("cuda").startswith("reference (Triton does not work here (ModuleNotFoundError: ")
        assert len(capsys.readouterr().err.splitlines()) == 1
        monkeypatch.setenv("ALEXNET_KERNELS", "compiled")
        kernels._decide.cache_clear()
        with pytest.raises(UserError, match=r"the Triton kernels are asked for.*ALEXNET_KERNELS=reference"):
            kernels.available("cuda")
        assert kernels.available("mps") == "reference (no other kernels for mps)"
    finally:
        kernels._decide.cache_clear()


def test_on_the_cpu_triton_is_not_imported():
    code = "import sys, torch; from alexnet import kernels; x = torch.ones(1, 4, 2, 2)\n"
    code += "kernels.local_response_norm(x, kernels.NormSpec(2, 1e-4, 0.75, 5))\n"
    code += "assert 'alexnet.kernels.triton_kernels' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=CASES.parents[2], timeout=300)
