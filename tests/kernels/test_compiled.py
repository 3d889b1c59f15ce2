"""Building, caching and choosing the compiled form."""

import io
import multiprocessing
import os
import shutil
import sys
import traceback
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch

import alexnet

FORKED = multiprocessing.get_context("forkserver")
Outcome = tuple[int, str, str]
"""Exit code, stdout, stderr."""
SAY = "from alexnet import kernels; print(kernels.available())"
needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "c++", "clang++"))) or sys.platform != "linux", reason="no C++ compiler here"
)


def python(code: str, cache: Path, **environment: str) -> Future[Outcome]:
    """The code in a new process, which is forked from one that has torch loaded."""
    FORKED.set_forkserver_preload(["torch", "pytest"])
    pool = ProcessPoolExecutor(1, FORKED)
    started = pool.submit(obey, code, {"XDG_CACHE_HOME": str(cache)} | environment)
    pool.shutdown(wait=False)
    return started


def obey(code: str, environment: dict[str, str]) -> Outcome:
    os.environ.pop("ALEXNET_KERNELS", None)
    os.environ |= environment
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        try:
            exec(code, {})
        except BaseException:
            traceback.print_exc()
            return 1, out.getvalue().strip(), err.getvalue().strip()
    return 0, out.getvalue().strip(), err.getvalue().strip()


def outcome(process: Future[Outcome]) -> Outcome:
    return process.result(timeout=300)


def hasty_compiler(folder: Path) -> str:
    """A PATH whose compiler is the one that is here, without optimising, in a third of the time."""
    folder.mkdir()
    real = next(filter(None, map(shutil.which, ("g++", "c++", "clang++"))))
    (folder / "g++").write_text(f'#!/bin/sh\nexec "{real}" "$@" -O0\n')
    (folder / "g++").chmod(0o755)
    return os.pathsep.join([str(folder), os.environ["PATH"]])


@needs_compiler
def test_two_processes_build_at_once_nobody_builds_again_and_damage_is_mended(tmp_path):
    folder, path = tmp_path / "alexnet", hasty_compiler(tmp_path / "bin")
    first, second = python(SAY, tmp_path, PATH=path), python(SAY, tmp_path, PATH=path)
    for code, out, err in (outcome(first), outcome(second)):
        assert code == 0, err
        assert out.startswith("compiled (")
        assert len(err.splitlines()) <= 1
        assert not err or "compiling the CPU kernels" in err
    (library,) = folder.iterdir()  # one library and no left-overs
    code, out, err = outcome(python(SAY, tmp_path, PATH=path))
    assert (code, err) == (0, "")
    assert out.startswith("compiled (")

    library.write_bytes(b"cut short")
    code, out, err = outcome(python(SAY, tmp_path, PATH=path))
    assert code == 0
    assert out.startswith("compiled (")
    assert "compiling the CPU kernels" in err
    assert library.stat().st_size > 1000


@needs_compiler
def test_only_one_openmp_runtime_is_loaded():
    tmp_path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")  # as the other tests: built already
    code = f"{SAY}; print(*{{line.split()[-1] for line in open('/proc/self/maps') if 'omp' in line.split('/')[-1]}})"
    status, out, err = outcome(python(code, tmp_path))
    assert status == 0, err
    runtimes = [name for name in out.splitlines()[1].split() if Path(name).name.startswith(("libgomp", "libomp"))]
    assert len(runtimes) == 1


def test_without_a_compiler_the_reference_runs_and_says_why(tmp_path):
    code = "import torch; from alexnet import kernels; x = torch.ones(1, 4, 2, 2)\n"
    code += "kernels.local_response_norm(x, kernels.NormSpec(2, 1e-4, 0.75, 5)); print(kernels.available())"
    status, out, err = outcome(python(code, tmp_path, PATH=str(tmp_path)))
    assert status == 0, err
    assert out.startswith("reference (no C++ compiler found")
    assert len(err.splitlines()) == 1
    assert "no C++ compiler found" in err


def test_a_compiler_that_fails_is_named_with_its_first_complaint(tmp_path):
    broken = tmp_path / "bin" / "g++"
    broken.parent.mkdir()
    broken.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "g++ (Broken) 1.0" && exit 0\necho "no such header" >&2; exit 1\n'
    )
    broken.chmod(0o755)
    status, out, err = outcome(python(SAY, tmp_path, PATH=str(broken.parent)))
    assert status == 0
    assert out.startswith("reference (")
    assert "no such header" in out
    assert str(broken) in err


def test_the_choice_is_obeyed_or_refused(tmp_path):
    status, out, err = outcome(python(SAY, tmp_path, ALEXNET_KERNELS="reference"))
    assert (status, out, err) == (0, "reference (chosen)", "")
    status, _, err = outcome(python(SAY, tmp_path, ALEXNET_KERNELS="compiled", PATH=str(tmp_path)))
    assert status != 0
    assert "not available: no C++ compiler found" in err
    status, _, err = outcome(python(SAY, tmp_path, ALEXNET_KERNELS="fast"))
    assert status != 0
    assert "must be auto, compiled or reference" in err


@needs_compiler
def test_without_any_folder_to_compile_into_the_reference_runs_and_says_why(tmp_path):
    (tmp_path / "alexnet").write_text("a file in the way")
    code = f"import tempfile; tempfile.tempdir = '/proc/none'; {SAY}"
    status, out, err = outcome(python(code, tmp_path))
    assert status == 0
    assert out.startswith("reference (")
    assert str(tmp_path / "alexnet") in out
    assert "set XDG_CACHE_HOME" in err


@needs_compiler
def test_the_default_device_of_a_caller_is_not_where_results_on_the_cpu_go():
    network = alexnet.build("toy", classes=3).eval()
    pictures = torch.zeros(1, 3, 32, 32)
    with torch.no_grad():
        expected = network(pictures)
        with torch.device("meta"):
            assert torch.equal(network(pictures), expected)
