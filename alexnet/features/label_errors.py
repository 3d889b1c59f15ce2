"""Pictures whose label is suspect, by the probabilities of classifiers that did not see them.

Softmax regression on a run's features is fitted to all folds but one and judges the one left out. A label is suspect if
another class is more probable; the more probable, the more suspect (ranked by margin, as in confident learning, without
its thresholds per class: Northcutt, Jiang, Chuang 2021, arXiv:1911.00068). N pictures · K classes.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alexnet.data.batches import Progress
from alexnet.data.order import epoch_order
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.features.extract import described, describer
from alexnet.features.pictures import Pool
from alexnet.features.probes import Span, fitted
from alexnet.files.atomic import write_atomically
from alexnet.isolation import isolated
from alexnet.measure.evaluation import check_size
from alexnet.measure.run import Run
from alexnet.text import counted, printable, table

FOLDS = 5
STRENGTH = 1.0
"""C of the regressions: a strong penalty, so that a picture with a wrong label does not pull its neighbours along."""
HEADING = ["file", "label", "suggested", "p(label)", "p(suggested)"]


@dataclass(frozen=True)
class Suspect:
    """A picture whose label is suspect: its split and file, its class, the most probable other one, and the
    probabilities of both, 0 to 1."""

    split: str
    file: str
    label: str
    suggested: str
    label_probability: float
    suggested_probability: float


@isolated()
def suspected_labels(run: Run, store: Store, progress: Progress | None = None) -> list[Suspect]:
    """The pictures of all splits with a suspect label, the most suspect first. The run gives the features only, so its
    classes may be others. Raises UserError if records do not fit the run, or a class has fewer than two pictures."""
    check_size(run.folder, store)
    pool = Pool.of(store)
    if (counts := np.bincount(pool.labels, minlength=len(store.class_names))).min() < 2:
        few = store.class_names[int(counts.argmin())]
        raise UserError(f"{store.path}: class {few} has {counted(int(counts.min()), 'picture')}; two are needed.")
    features_nd = described(pool, describer(run), progress=progress)
    probabilities_nk = left_out_probabilities(features_nd.reshape(len(pool), -1), pool.labels)
    every = np.arange(len(pool))
    own = probabilities_nk[every, pool.labels]
    probabilities_nk[every, pool.labels] = -1.0
    other, best = probabilities_nk.argmax(axis=1), probabilities_nk.max(axis=1)
    suspect = np.flatnonzero(best > own)
    suspect = suspect[np.argsort((own - best)[suspect], kind="stable")]
    names, keys, splits = store.class_names, pool.keys, list(pool.splits)
    return [
        Suspect(
            splits[pool.owners(np.array(number))],
            str(keys[number]),
            names[pool.labels[number]],
            names[other[number]],
            float(own[number]),
            float(best[number]),
        )
        for number in suspect.tolist()
    ]


def left_out_probabilities(features_nd: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Each picture's class probabilities by a regression on the other folds: float64 (N, K)."""
    fold_n = np.empty(len(labels), int)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        fold_n[members[epoch_order(len(members), int(label), 1)]] = np.arange(len(members)) % FOLDS
    span, found = Span.of(features_nd), np.zeros((len(labels), int(labels.max()) + 1))
    for fold in range(FOLDS):
        seen, apart = fold_n != fold, np.flatnonzero(fold_n == fold)
        if len(apart):
            model = fitted(span.coordinates[seen], labels[seen], "softmax", STRENGTH)
            found[apart[:, None], model.classes_] = model.predict_proba(span.coordinates[apart])
    return found


def describe_suspects(suspects: Sequence[Suspect], pictures: int) -> str:
    """The number of suspect labels and a line for each."""
    rows = [(printable(one.file), one.label, one.suggested, *_figures(one, "{:.1%}")) for one in suspects]
    head = f"{counted(len(suspects), 'suspect label')} among {pictures:,} pictures"
    return "\n".join([head, table(HEADING, rows, left=3)] if rows else [head])


def refuse_existing(path: Path) -> None:
    """Raises UserError if the file exists: it may have been edited."""
    if path.exists():
        raise UserError(f"{path}: exists already. Name another file with --write; your edits would be lost.")


def write_corrections(suspects: Sequence[Suspect], path: Path) -> None:
    """Write a CSV file with a line for each suspect label, to be checked and edited. Raises UserError if it exists."""
    refuse_existing(path)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADING)
    writer.writerows([one.file, one.label, one.suggested, *_figures(one, "{:.4f}")] for one in suspects)
    write_atomically(path, text.getvalue().encode())


def _figures(suspect: Suspect, form: str) -> tuple[str, str]:
    return form.format(suspect.label_probability), form.format(suspect.suggested_probability)
