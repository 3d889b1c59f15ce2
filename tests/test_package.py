"""What `import alexnet` does by itself."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(("given", "holds"), [({}, "1"), ({"THP_MEM_ALLOC_ENABLE": "0"}, "0")])
def test_large_pages_are_asked_for_before_torch_unless_the_user_says_otherwise(
    given: dict[str, str], holds: str
) -> None:
    program = "import sys, os, alexnet; print('torch' in sys.modules, os.environ['THP_MEM_ALLOC_ENABLE'])"
    environment = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"} | given
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"False {holds}\n", done.stderr


@pytest.mark.parametrize(("given", "holds"), [({}, "20000"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_the_command_line_shortens_openmp_s_spinning_unless_the_user_says_otherwise(
    given: dict[str, str], holds: str
) -> None:
    program = "import os; from alexnet.cli import main; main(['--version']); print(os.environ['GOMP_SPINCOUNT'])"
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"} | given
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == holds, done.stderr
