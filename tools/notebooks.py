"""Run the notebooks, one after the other in one folder: `python tools/notebooks.py [--write] [NOTEBOOK ...]`.

Fails at the first cell that does. If `make demo` has run, its pictures are used, and a copy of its run, trained
on to the epochs that the notebooks want. `--write` keeps the outputs in notebooks/, without times, and pictures as
small PNGs. `--folder`: where they put their files, to be kept; else a temporary one.
"""

import argparse
import base64
import io
import json
import os
import re
import shutil
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).parents[1] / "notebooks"
DEMO = FOLDER.parent / "demo"
PIXELS = 700
"""The longer side of a kept picture at most."""
PASSING = re.compile(r" batch \d+/\d+ |disk.* free$|\bleft\s*$", re.MULTILINE)
"""Progress, and what the disk of the machine has left: not worth keeping."""
LINES = 30
"""Lines of printed text that are kept of a cell."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path, default=sorted(FOLDER.glob("*.ipynb")))
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with nullcontext(given.folder) if given.folder else tempfile.TemporaryDirectory(prefix="alexnet-") as place:
        shutil.copy(FOLDER / "shared.py", place)
        use_demo(DEMO, Path(place) / "files")
        for path in given.notebooks:
            start, notebook = time.perf_counter(), nbformat.read(path, as_version=4)
            where = {"metadata": {"path": place}}
            client = NotebookClient(notebook, timeout=900, record_timing=False, resources=where)
            client.execute()
            print(f"{path.name}: {time.perf_counter() - start:.0f} s", flush=True)
            if given.write:
                nbformat.write(lightened(notebook), path)


def use_demo(demo: Path, files: Path) -> None:
    """Give the notebooks the pictures and the run of a demo that has ended, under the names of notebooks/shared.py."""
    config = demo / "run" / "config.json"
    if files.exists() or not config.exists() or not json.loads(config.read_text()).get("finished"):
        return
    if not (demo / "run" / "snapshots").exists():  # of an earlier version
        return
    files.mkdir()
    (files / "pictures").symlink_to(demo / "pictures")
    (files / "built-in.store").symlink_to(demo / "store")
    shutil.copytree(demo / "run", files / "run")


def lightened(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with what is worth keeping of its outputs: no progress, no state of widgets, small pictures."""
    notebook.metadata = {"kernelspec": notebook.metadata.kernelspec, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [light for output in cell.outputs if (light := _lightened(output)) is not None]
    return notebook


def _lightened(output: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    if output.output_type == "stream":
        lines = [line.rpartition("\r")[2] for line in output.text.splitlines()]
        output.text = "\n".join(lines[-LINES:]) + "\n"
        return None if output.name == "stderr" else output
    if (data := output.get("data")) is None:
        return output
    if output.output_type == "display_data" and data.get("text/html", "").startswith("<pre"):  # a line of rich's
        kept = nbformat.v4.new_output("stream", name="stdout", text=data["text/plain"])
        return None if PASSING.search(data["text/plain"]) else kept
    if (html := data.get("text/html", "")) and "data:image/png;base64," in html:
        head, _, rest = html.partition("data:image/png;base64,")
        image, quote, tail = rest.partition(head[-1])
        data["text/html"] = f"{head}data:image/png;base64,{_smaller(image)}{quote}{tail}"
        data.pop("text/plain", None)
    if "image/png" in data:
        data["image/png"] = _smaller(data["image/png"])
    return output


def _smaller(encoded: str) -> str:
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        picture.thumbnail((PIXELS, PIXELS))
        kept = io.BytesIO()
        picture.convert("RGB").quantize(64).save(kept, "PNG", optimize=True)
    return base64.b64encode(kept.getvalue()).decode()


if __name__ == "__main__":
    main()
