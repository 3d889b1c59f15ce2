"""What the report of a run is made of: its log, its judgement of a store, eight pictures, and the folder of figures.

N pictures · S side of a record.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.data.order import epoch_order
from alexnet.data.store.read import Store
from alexnet.files.atomic import write_atomically
from alexnet.files.outputs import refuse_foreign
from alexnet.measure.evaluation import Evaluation, Progress, class_map, evaluate_run, part_of
from alexnet.measure.pictures import Named
from alexnet.measure.predict import Prediction
from alexnet.measure.run import Run
from alexnet.report import drawing as figures
from alexnet.report import html
from alexnet.report.drawing import DARK, LIGHT, Theme
from alexnet.runs.history import History, read_history

SHOWN_PICTURES = 8  # [A] Fig. 4, left


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture of the report with its true class (id and name) and what the network makes of it."""

    pixels: np.ndarray
    true_id: str
    true_name: str
    prediction: Prediction


@dataclass(frozen=True, eq=False)
class ReportData:
    """What the report is made of. `evaluations` by number of views and `shown` are empty without a store."""

    run: Run
    history: History
    store: Store | None
    part: str
    evaluations: dict[int, Evaluation]
    shown: tuple[Shown, ...]


def gather(run: Run, store: Store | None, part: str, progress: Progress | None) -> ReportData:
    """Read the log, judge the store's pictures, choose those to show."""
    history = read_history(run.path / "log.jsonl")
    if store is None:
        return ReportData(run, history, None, part, {}, ())
    found, _ = evaluate_run(run.folder, run.viewer, store, part=part, views=(1, 10), progress=progress)
    return ReportData(run, history, store, part, found, choose_pictures(run, store, part))


def choose_pictures(run: Run, store: Store, part: str) -> tuple[Shown, ...]:
    """Eight pictures of a part, the same ones each time, with their ten-view predictions."""
    pictures = part_of(store, part)
    chosen = epoch_order(len(pictures), seed=0, epoch=0)[:SHOWN_PICTURES]
    records, outputs = pictures.read(chosen), class_map(run.folder, store, pictures)
    named = (Named(pictures.keys[int(place)], record) for place, record in zip(chosen, records, strict=True))
    predictions = [found for found in run.predictor.each(named) if isinstance(found, Prediction)]
    true = outputs[pictures.labels[chosen]]
    return tuple(
        Shown(record, run.class_ids[label], run.class_names[label], prediction)
        for record, label, prediction in zip(records, true, predictions, strict=True)
    )


class Images:
    """The folder of a report's figures: writes them, and removes those that an earlier report had and this has not."""

    NAMES = ("loss", "error", "rate", "kernels", "pictures", "confusion")

    def __init__(self, folder: Path) -> None:
        """Raises UserError if a file of one of these names is not an earlier report's."""
        self.folder, self.written = folder, set[str]()
        for name in self.NAMES:
            refuse_foreign(folder / f"{name}.png", "report", "")

    def write(self, name: str, data: bytes) -> bytes:
        assert name in self.NAMES
        write_atomically(self.folder / f"{name}.png", data)
        self.written.add(name)
        return data

    def themed(self, name: str, draw: Callable[[Theme], Any], words: str, kind: str = "") -> str:
        """A figure drawn on light and on dark ground, as HTML; the light one also as a file."""
        light, dark = (figures.png_of(draw(theme), "report") for theme in (LIGHT, DARK))
        return html.image(self.write(name, light), words, kind, dark)

    def remove_stale(self) -> None:
        for name in set(self.NAMES) - self.written:
            (self.folder / f"{name}.png").unlink(missing_ok=True)
