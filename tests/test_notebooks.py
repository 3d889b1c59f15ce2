"""The notebooks as they are kept: sound, small, run, and without a trace of the machine that ran them. `make notebooks`
runs them."""

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_BYTES = 400_000
PLACES = re.compile(r"/(?:home|root|tmp|work|Users)/\w")


def test_there_are_six() -> None:
    assert [path.name[0] for path in NOTEBOOKS] == list("123456")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_opens_with_what_one_sees_and_ends_with_checked_exercises(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < MOST_BYTES
    cells, text = notebook.cells, path.read_text()
    assert cells[0].source.startswith(f"# {path.name[0]} · ")
    assert "You will " in cells[0].source
    exercises, learner, check = cells[-3:]
    assert exercises.source.startswith("## Exercises")
    assert "assert " not in learner.source
    assert "assert " in check.source
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), "run from top to bottom"
    assert not any(output.output_type == "error" for cell in code for output in cell.outputs)
    shown = [output.data for cell in code for output in cell.outputs if "data" in output]
    assert all("image/png" in one for one in shown if one.get("text/plain", "").startswith("<Figure")), "inline figures"
    assert not any(one.get("text/html", "").startswith("<pre") for one in shown), "lines of progress"
    assert sum(bool(cell.outputs) for cell in code) > len(code) / 3
    assert PLACES.search(re.sub(r"data:image/png;base64,[\w+/=]*", "", text)) is None
