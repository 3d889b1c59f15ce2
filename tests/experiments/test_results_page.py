"""The page of results: made from kept files, what people wrote left as it is, up to date as committed."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from alexnet.experiments import running
from alexnet.experiments.lab import Lab
from alexnet.experiments.registry import find

ROOT = Path(__file__).parents[2]
MakeLab = Callable[..., Lab]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("results_page", ROOT / "tools" / "results_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_page_is_what_the_committed_results_give(tool: ModuleType) -> None:
    page = ROOT / "docs" / "results.md"
    assert tool.with_results(page.read_text(), page.with_suffix("")) == page.read_text()


def test_results_are_taken_in_but_for_photographs(tool: ModuleType, make_lab: MakeLab, tmp_path: Path) -> None:
    file = running.run_experiment(find("A/fig4"), make_lab(seeds=1))
    content = json.loads(file.read_text())
    content["figures"][0]["photographs"] = True
    file.write_text(json.dumps(content))
    kept = tmp_path / "results"
    tool.take_in([file], kept)
    assert {path.name for path in kept.iterdir()} == {file.name, f"{file.stem}-nearest.png"}
    page = tool.with_results(f"by hand\n{tool.BEGIN}\nold\n{tool.END}\nby hand, too\n", kept)
    assert page.startswith(f"by hand\n{tool.BEGIN}\n")
    assert page.endswith(f"{tool.END}\nby hand, too\n")
    assert "old" not in page
    assert "### A/fig4: Five labels" in page
    assert f"(results/{file.name})" in page
    assert f"(results/{file.stem}-nearest.png)" in page
    assert "other people's photographs is not kept here" in page
    assert tool.with_results(page, kept) == page


def test_a_page_without_marks_is_refused(tool: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="the marks are gone"):
        tool.with_results("no marks", tmp_path)
