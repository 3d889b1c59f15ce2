"""Keep results in the repository and write them into docs/results.md.

    python tools/results_page.py                                  # rebuilds the page from docs/results/*.json
    python tools/results_page.py papers/results/A-s3.3-*.json     # adds these first

A result's figures come with it, except those that show other people's photographs. The text of docs/results.md
outside the two marks is not changed.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from alexnet.experiments.report import markdown
from alexnet.experiments.running import read_results
from alexnet.files.atomic import write_atomically
from alexnet.files.schema import json_bytes, read_json

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
BEGIN = "<!-- from docs/results/*.json by tools/results_page.py: begin -->"
END = "<!-- end -->"
NONE_YET = "None is kept here yet."


def take_in(files: Sequence[Path], kept: Path) -> None:
    """Copy result files and the figures that may be shown into the folder `kept`."""
    kept.mkdir(exist_ok=True)
    for file in files:
        result = read_json(file)
        for figure in result["figures"]:
            figure["left_out"] = figure["photographs"]
            if not figure["photographs"]:
                shutil.copyfile(file.with_name(figure["file"]), kept / figure["file"])
        write_atomically(kept / file.name, json_bytes(result))


def with_results(page: str, kept: Path) -> str:
    """The page, with the text between the marks rebuilt from the results in `kept`."""
    before, found, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not found or not end:
        sys.exit(f"{PAGE}: the marks are gone. Put these two lines where the results belong:\n{BEGIN}\n{END}")
    results = read_results(kept) if kept.is_dir() else {}
    body = markdown(results, f"{kept.name}/", level=3) if results else f"{NONE_YET}\n"
    return f"{before}{BEGIN}\n\n{body}\n{END}{after}"


if __name__ == "__main__":
    folder = PAGE.with_suffix("")
    take_in([Path(word) for word in sys.argv[1:]], folder)
    PAGE.write_text(with_results(PAGE.read_text(), folder))
    print(PAGE)
