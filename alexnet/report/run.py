"""The report of a run: one HTML file that opens anywhere, and its figures as PNG files.

Everything in it is computed from the run folder and the store: made again, it is the same to the byte.
"""

from collections.abc import Callable
from importlib import resources
from pathlib import Path

from alexnet.data.store.read import Store
from alexnet.files.atomic import write_atomically
from alexnet.files.outputs import refuse_foreign
from alexnet.measure.evaluation import Progress
from alexnet.measure.run import Run
from alexnet.report import html
from alexnet.report.data import Images, gather
from alexnet.report.sections import SECTIONS
from alexnet.report.text import notes_on


def write_report(
    run: Run,
    store: Store | None = None,
    *,
    part: str = "val",
    progress: Progress | None = None,
    say: Callable[[str], object] | None = None,
) -> Path:
    """Write RUN/report.html and RUN/figures/*.png, give the page's path. `say` receives what `words.notes_on` has to
    say of the figures.

    With a `store` every picture of its `part` is judged once, by centre and ten views. Raises UserError if the store
    does not fit the run, or a file can't be written.
    """
    path, images = run.path / "report.html", Images(run.path / "figures")
    refuse_foreign(path, "report", "")
    material = gather(run, store, part, progress)
    if say and material.evaluations:
        for note in notes_on(material.evaluations[10]):
            say(note)
    title = f"{run.path.resolve().name}: {run.folder.table.name}"
    body = [section(material, images) for section in SECTIONS]
    style = resources.files("alexnet.report").joinpath("report.css").read_text("utf-8")
    images.remove_stale()
    write_atomically(path, html.page(title, style, filter(None, body)).encode())
    return path
