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


WITHOUT_SCIKIT_LEARN = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("sklearn", "joblib", "threadpoolctl"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""


def test_the_default_install_without_scikit_learn_is_whole() -> None:
    program = f"""{WITHOUT_SCIKIT_LEARN}
from alexnet import *
import alexnet, pydoc
from alexnet.errors import UserError
assert "class Classifier" in pydoc.render_doc(alexnet, renderer=pydoc.plaintext)
for name in ("Classifier", "Features"):
    try: getattr(alexnet, name)("run")
    except UserError as fault: assert "pip install 'alexnet[sklearn]'" in str(fault)
    else: raise AssertionError(name)
from alexnet.cli import main
assert main(["paper", "list"]) == 0
assert main(["transfer", "run", "store", "--out", "folder"]) == 1
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Z/table4" in done.stdout
    assert "training probes needs the package sklearn" in done.stderr
