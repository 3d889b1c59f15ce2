"""The report of a run: one HTML file that opens anywhere, and its figures as PNG files.

Everything in it is computed from the run folder and the store: made again, it is the same to the byte.
"""

import io
import shlex
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from alexnet import drawing
from alexnet.data.batches import Progress
from alexnet.data.store.read import Store
from alexnet.drawing import DARK, LIGHT, Theme, png_of
from alexnet.files.atomic import write_atomically
from alexnet.files.outputs import refuse_foreign
from alexnet.html import render
from alexnet.measure.evaluation import Evaluation, class_map, evaluate_run, split_of
from alexnet.measure.pictures import Named
from alexnet.measure.predict import Prediction
from alexnet.measure.run import Run
from alexnet.nets import summary
from alexnet.nets.table import Conv
from alexnet.nets.trace import trace
from alexnet.report import figures
from alexnet.report.figures import Shown
from alexnet.report.recipe import recipe_text, repeating_command
from alexnet.report.text import CLASS_COLUMNS, NOT_SEEN, averages_line, class_cells, notes_on
from alexnet.runs.history import History, read_history, validation_of
from alexnet.text import printable

SHOWN_PICTURES = 8  # [A] Fig. 4, left
PAIRS = 20
UNJUDGED = {"confusion": None, "notes": ()}
ENLARGED_BELOW = 64
"""Records smaller than this, in pixels, are kept as PNG: JPEG's blocks would show."""


def write_report(
    run: Run,
    store: Store | None = None,
    *,
    split: str = "val",
    progress: Progress | None = None,
    say: Callable[[str], object] | None = None,
) -> Path:
    """Write RUN/report.html and RUN/figures/*.png and return the page's path. `say` receives the notes on the figures
    (see `report.text.notes_on`).

    With a `store` every picture of its `split` is judged once, by centre and ten views. Raises UserError if the store
    does not fit the run, or a file can't be written.
    """
    path, images = run.path / "report.html", Images(run.path / "figures")
    refuse_foreign(path, "report", "")
    history = read_history(run.path / "log.jsonl")
    evaluations, shown = dict[int, Evaluation](), list[tuple[str, Shown]]()
    if store is not None:
        evaluations, _ = evaluate_run(run.folder, run.viewer, store, split=split, views=(1, 10), progress=progress)
        worst = evaluations[10].wrong(split_of(store, split).keys)[:SHOWN_PICTURES]
        numbers = np.array([one.index for one in worst], np.int64)
        files = [one.file for one in worst]
        shown = list(zip(files, predicted_pictures(run, store, split, numbers), strict=True))
        if say:
            for note in notes_on(evaluations[10]):
                say(note)
    page = render(
        "run.html",
        "report",
        **about_run(run, history, store),
        headline=headline(run, history, evaluations),
        curves={name: images.themed(name, partial(draw, history)) for name, draw in figures.CURVES.items()}
        if history.epochs
        else {},
        kernels=kernels(run, images),
        shown=[(printable(file), record_file(one.pixels), one) for file, one in shown],
        split=split,
        **(judgement(run, evaluations[10], [one for _, one in shown], images) if evaluations else UNJUDGED),
    )
    images.remove_stale()
    write_atomically(path, page)
    return path


# ── what the template run.html shows ─────────────────────────────────────────────────────────────────────────────


def predicted_pictures(run: Run, store: Store, split: str, chosen: np.ndarray) -> tuple[Shown, ...]:
    """The `chosen` pictures of a split, by number, with their ten-view predictions."""
    pictures = split_of(store, split)
    records, outputs = pictures.read(chosen), class_map(run.folder, store, pictures)
    named = (Named(pictures.keys[int(place)], record) for place, record in zip(chosen, records, strict=True))
    predictions = [found for found in run.predictor.each(named) if isinstance(found, Prediction)]
    true = outputs[pictures.labels[chosen]]
    return tuple(
        Shown(record, run.class_ids[label], run.class_names[label], prediction)
        for record, label, prediction in zip(records, true, predictions, strict=True)
    )


def record_file(pixels: np.ndarray) -> bytes:
    """A record as the bytes of a picture file: JPEG, PNG where it is small."""
    data, form = io.BytesIO(), "PNG" if len(pixels) < ENLARGED_BELOW else "JPEG"
    Image.fromarray(pixels).save(data, form, quality=90)
    return data.getvalue()


def about_run(run: Run, history: History, store: Store | None) -> dict[str, Any]:
    """What is known without looking at a picture: the network, the recipe, how far the training is."""
    table, name, classes = run.folder.table, run.path.resolve().name, len(run.class_names)
    trained_on = run.config.get("data", {}).get("pictures", {}).get("train", 0)
    epochs = f", {len(history.epochs)} epochs{'' if run.config.get('finished') else ' (still training, or stopped)'}"
    epochs = "" if "head" in run.config else epochs
    layers = trace(table, run.inputs.size)
    rows = [
        (
            layer.row.name,
            summary.kind(layer.row),
            f"{layer.leaving.maps}×{layer.leaving.side}×{layer.leaving.side}",
            summary.number(layer.parameters),
            summary.number(layer.macs),
            f"{layer.field.size} px",
        )
        for layer in layers
    ]
    total = ("total", "", "", f"{sum(x.parameters for x in layers):,}", f"{sum(x.macs for x in layers):,}", "")
    return {
        "title": f"{name}: {table.name}",
        "name": name,
        "about": f"{table.name}, {classes:,} classes, {trained_on:,} training pictures{epochs}",
        "epochs": history.epochs,
        "has_epochs": "head" not in run.config,
        "network": table.about,
        "layers": [*rows, total],
        "recipe": recipe_text(run, history),
        "command": repeating_command(run, store),
        "command_with_store": f"alexnet report {shlex.quote(str(run.path))} --store STORE",
        "command_errors": shlex.join(["alexnet", "errors", str(run.path), str(store.path) if store else "STORE"]),
        "run_notes": history.notes,
    }


def headline(run: Run, history: History, evaluations: dict[int, Evaluation]) -> list[tuple[str, str, str]]:
    """The main figures: of the store if it was given, else of the last epoch's validation. What, value, remark."""
    if not evaluations:
        if (found := validation_of(run.config, history)) is None:
            return [("epochs", str(len(history.epochs)), "none has ended yet")]
        figures, when = found
        remark = f"centre, validation, {when}"
        return [
            ("top-1 error", f"{figures['top1_error']:.2%}", remark),
            ("top-5 error", f"{figures['top5_error']:.2%}", remark),
            ("nll", f"{figures['nll']:.3f}", f"{remark}, nats"),
        ]
    measured = {
        "ten views": evaluations[10],
        f"ten views, {NOT_SEEN}": evaluations[10].unseen,
        "centre": evaluations[1],
    }
    cards = [
        (what, f"{wrong / one.counts.pictures:.2%}", f"{views}, {wrong:,} of {one.counts.pictures:,}")
        for what, count in (("top-1 error", "top1_errors"), ("top-5 error", "top5_errors"))
        for views, one in measured.items()
        if one is not None
        for wrong in [getattr(one.counts, count)]
    ]
    return [*cards, ("nll", f"{evaluations[10].nll:.3f}", "ten views, nats")]


def kernels(run: Run, images: "Images") -> dict[str, Any]:
    """The first convolution, if the network begins with one, and of each column the number and picture of kernels."""
    first = run.folder.table.rows[0]
    if not isinstance(first, Conv):
        return {"conv": None}
    if not (run.path / "model.safetensors").exists():
        return {"conv": first, "blocks": []}
    weights = run.network.get_parameter(f"{first.name}.weight").detach().float().cpu().numpy()
    columns = run.folder.table.columns
    images.write("kernels", png_of(drawing.columns_mosaic(weights, columns), "report"))
    blocks = np.split(weights, columns)
    return {"conv": first, "blocks": [(len(block), png_of(drawing.kernel_mosaic(block))) for block in blocks]}


def judgement(run: Run, judged: Evaluation, shown: Sequence[Shown], images: "Images") -> dict[str, Any]:
    """Confusions and the table of classes; the pictures go to a file."""
    if shown:
        images.write("pictures", png_of(figures.pictures_figure(shown), "report"))
    names, has_ids = run.class_names, run.class_ids != run.class_names
    confused = [
        (names[x.true], names[x.predicted], f"{x.count:,}", f"{x.pictures:,}", f"{x.count / x.pictures:.1%}")
        for x in judged.confused(PAIRS)
    ]
    return {
        "notes": notes_on(judged),
        "confusion": images.themed("confusion", partial(figures.confusion_figure, judged.confusion, names)),
        "reliability": images.themed(
            "reliability", partial(figures.reliability_figure, {"ten views": judged.reliability})
        ),
        "averages": averages_line(judged),
        "temperature": run.network.temperature,
        "class_count": len(names),
        "confused": confused,
        "class_heading": (CLASS_COLUMNS[0], *(["id"] if has_ids else []), *CLASS_COLUMNS[1:]),
        "class_rows": [(row.name, *([row.id] if has_ids else []), *class_cells(row)[1:]) for row in judged.per_class],
    }


class Images:
    """The folder of a report's figures: writes them, and removes those that an earlier report had and this has not."""

    NAMES = ("loss", "error", "rate", "kernels", "pictures", "confusion", "reliability")

    def __init__(self, folder: Path) -> None:
        """Raises UserError if a file of one of these names is not an earlier report's."""
        self.folder, self.written = folder, set[str]()
        for name in self.NAMES:
            refuse_foreign(folder / f"{name}.png", "report", "")

    def write(self, name: str, data: bytes) -> None:
        assert name in self.NAMES
        write_atomically(self.folder / f"{name}.png", data)
        self.written.add(name)

    def themed(self, name: str, draw: Callable[[Theme], Any]) -> dict[str, bytes]:
        """A figure drawn on `light` and on `dark` ground; the light one is also written to a file."""
        drawn = {"light": png_of(draw(LIGHT), "report"), "dark": png_of(draw(DARK), "report")}
        self.write(name, drawn["light"])
        return drawn

    def remove_stale(self) -> None:
        for name in set(self.NAMES) - self.written:
            (self.folder / f"{name}.png").unlink(missing_ok=True)
