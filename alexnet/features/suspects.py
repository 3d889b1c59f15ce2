"""Pictures that are suspect: with a wrong label, unlike all others, in two splits, unreadable.

Softmax regression on a run's features is fitted to all folds but one and judges the one left out. A label is suspect if
another class is more probable, ranked by margin. Those come first whose other class is also at least as probable as it
is, in the mean, for the pictures with its label: confident learning (Northcutt, Jiang, Chuang 2021, arXiv:1911.00068).
An outlier is one of the others that is also among the pictures farthest from their nearest neighbours.
N pictures · K classes · D values of a picture.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from alexnet.data.batches import Progress, StepProgress
from alexnet.data.sources.corrections import HEADING, LEAVE_OUT
from alexnet.data.store.read import Store
from alexnet.drawing import figure_grid, shortened, show
from alexnet.errors import UserError
from alexnet.features.check import Checked
from alexnet.features.extract import described, describer
from alexnet.features.pictures import Pool
from alexnet.features.probes import Span, fitted, fold_numbers
from alexnet.files.atomic import write_atomically
from alexnet.isolation import isolated
from alexnet.measure.evaluation import check_size
from alexnet.measure.run import Run
from alexnet.nets.table import Weighted
from alexnet.text import counted, printable, table

FOLDS = 5
STRENGTH = 1.0
"""C of the regressions: a strong penalty, so that a picture with a wrong label does not pull its neighbours along."""
NEIGHBOURS = 5
FARTHEST = 0.05
"""Share of the pictures, those farthest from their neighbours, among which outliers are looked for."""
SHOWN, COLUMNS = 24, 6
LONGEST_WHY = 75
"""Characters of a reason in the terminal; the file has all of it."""
UNSURE = "label"
"""Why a picture is suspect whose label is as often right as wrong."""
APPLIED = ("label, confident", "copy of", "unreadable")
"""How the reasons begin whose suggestions are usually right. For the others a person has to look first."""


@dataclass(frozen=True)
class Suspect:
    """A suspect picture: its split and file, its class, the class suggested or "leave out", and why; of suspect labels
    the probabilities of both classes, 0 to 1. The class of an unreadable file is not known."""

    split: str
    file: str
    label: str
    suggested: str
    why: str
    label_probability: float | None = None
    suggested_probability: float | None = None

    @property
    def apply(self) -> str:
        """Whether `prepare --corrections` follows the suggestion, unless a person says otherwise."""
        return "yes" if self.why.startswith(APPLIED) else "no"


@isolated()
def find_suspects(run: Run, store: Store, checked: Checked, progress: StepProgress | None = None) -> list[Suspect]:
    """The suspect pictures of all splits, each once: copies within a split under two labels, suspect labels, the most
    suspect first, outliers, pictures in two splits, unreadable files. The run gives the features only, so its classes
    may be others.

    Raises UserError if records do not fit the run, there are fewer than two classes, or one has a single picture.
    """
    refuse_unfit(run, store)
    pool, known = (
        checked.pool,
        [layer.row for layer in run.network.computable_layers if isinstance(layer.row, Weighted)],
    )
    layer = max(1, min(len(known), len(run.network.table.weighted) - 1))  # what the classifier's last layer gets
    report = progress or (lambda _what, _done, _total: None)
    features_nd = described(pool, describer(run, layer), progress=partial(report, "features")).reshape(len(pool), -1)
    probabilities_nk = left_out_probabilities(features_nd, pool.labels, pool.groups, partial(report, "fits"))
    found = [
        *_under_two_labels(store, checked),  # before labels: a copy trains the classifier that judges the other one
        *_labels(store, pool, features_nd, probabilities_nk),
        *_copies(store, checked),
        *_unreadable(store),
    ]
    return list({(one.split, one.file): one for one in reversed(found)}.values())[::-1]


def refuse_unfit(run: Run, store: Store) -> None:
    """Raises UserError as `find_suspects` does."""
    check_size(run.folder, store)
    labels = np.concatenate([split.labels for split in store.splits.values()])
    counts = np.bincount(labels, minlength=len(store.class_names))
    if (there := int((counts > 0).sum())) < 2:
        found = counted(there, "class", "classes")
        raise UserError(f"{store.path}: has pictures of {found}. Suspect labels are found where there are two or more.")
    if len(few := np.flatnonzero(counts == 1)):
        raise UserError(f"{store.path}: class {store.class_names[few[0]]} has 1 picture; two are needed.")


def _labels(store: Store, pool: Pool, features_nd: np.ndarray, probabilities_nk: np.ndarray) -> Iterator[Suspect]:
    every, keys, names = np.arange(len(pool)), pool.keys, store.class_names
    own = probabilities_nk[every, pool.labels]
    others_nk = probabilities_nk.copy()
    others_nk[every, pool.labels] = -1.0
    other, best = others_nk.argmax(axis=1), others_nk.max(axis=1)
    confident = confident_classes(probabilities_nk, pool.labels) == other
    outlier = ~confident & (nearness_of(features_nd).argsort(kind="stable").argsort() < FARTHEST * len(pool))
    suspect = np.flatnonzero(best > own)
    for number in suspect[np.lexsort(((own - best)[suspect], outlier[suspect], ~confident[suspect]))].tolist():
        yield Suspect(
            _split_of(pool, number),
            keys[number],
            names[pool.labels[number]],
            LEAVE_OUT if outlier[number] else names[other[number]],
            f"outlier, looks like {names[other[number]]}"
            if outlier[number]
            else "label, confident"
            if confident[number]
            else UNSURE,
            float(own[number]),
            float(best[number]),
        )


def confident_classes(probabilities_nk: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The most probable of the classes that are at least as probable for a picture as in the mean for the pictures with
    its label; −1 where there is none: int64 (N,)."""
    members_nk = labels[:, None] == np.arange(probabilities_nk.shape[1])
    means_k = (probabilities_nk * members_nk).sum(axis=0) / members_nk.sum(axis=0).clip(1)
    confident_nk = np.where((probabilities_nk >= means_k) & members_nk.any(axis=0), probabilities_nk, -1.0)
    return np.where(confident_nk.max(axis=1) >= 0, confident_nk.argmax(axis=1), -1)


def nearness_of(features_nd: np.ndarray) -> np.ndarray:
    """Mean cosine between the features of each picture and of its five nearest neighbours, taken about the mean of all:
    float32 (N,)."""
    from sklearn.neighbors import NearestNeighbors

    centred_nd = features_nd - features_nd.mean(axis=0)
    searched = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(features_nd) - 1), metric="cosine").fit(centred_nd)
    return 1 - searched.kneighbors()[0].mean(axis=1)


def _under_two_labels(store: Store, checked: Checked) -> Iterator[Suspect]:
    """Every picture whose split has a copy of it with another label."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    pool, pairs, keys, size = checked.pool, checked.pairs, checked.pool.keys, len(checked.pool)
    _, alike_n = connected_components(coo_matrix((np.ones(len(pairs)), tuple(pairs.T)), (size, size)), directed=False)
    groups = dict[tuple[int, int], list[int]]()
    for number in np.unique(pairs).tolist():
        groups.setdefault((int(alike_n[number]), int(pool.owners(np.array(number)))), []).append(number)
    for numbers in groups.values():
        for number in numbers:
            other = next((one for one in numbers if pool.labels[one] != pool.labels[number]), None)
            if other is not None:
                why = f"the same picture as {keys[other]}, under another label: keep one"
                label = store.class_names[pool.labels[number]]
                yield Suspect(_split_of(pool, number), keys[number], label, LEAVE_OUT, why)


def _copies(store: Store, checked: Checked) -> Iterator[Suspect]:
    """Of a picture in two splits the copy outside the training split, or the later one."""
    pool, keys = checked.pool, checked.pool.keys
    for pair in checked.pairs.tolist():
        here, there = sorted(pair, key=lambda number: (_split_of(pool, number) != "train", number))
        if (split := _split_of(pool, there)) != (other := _split_of(pool, here)):
            why = f"copy of {keys[here]} ({other}, {store.class_names[pool.labels[here]]})"
            yield Suspect(split, keys[there], store.class_names[pool.labels[there]], LEAVE_OUT, why)


def _unreadable(store: Store) -> Iterator[Suspect]:
    for one in store.report():
        if one.outcome == "refused":
            yield Suspect(one.split, one.key, "", LEAVE_OUT, f"unreadable: {'; '.join(one.why)}")


def _split_of(pool: Pool, number: int) -> str:
    return list(pool.splits)[int(pool.owners(np.array(number)))]


def left_out_probabilities(
    features_nd: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None, progress: Progress | None = None
) -> np.ndarray:
    """Each picture's class probabilities by a regression on the other folds: float64 (N, K)."""
    fold_n = fold_numbers(labels, min(FOLDS, np.bincount(labels).max()), groups_n=groups)
    span, found = Span.of(features_nd), np.zeros((len(labels), int(labels.max()) + 1))
    for fold in range(FOLDS):
        seen, apart = fold_n != fold, np.flatnonzero(fold_n == fold)
        if len(apart):
            model = fitted(span.coordinates[seen], labels[seen], "softmax", STRENGTH)
            found[apart[:, None], model.classes_] = model.predict_proba(span.coordinates[apart])
        if progress:
            progress(fold + 1, FOLDS)
    return found


def describe_suspects(suspects: Sequence[Suspect], pictures: int) -> str:
    """The number of suspect pictures and a line for each."""
    rows = [
        (
            printable(one.file),
            one.label,
            one.suggested,
            one.apply,
            *_figures(one, "{:.1%}"),
            shortened(printable(one.why), LONGEST_WHY),
        )
        for one in suspects
    ]
    head = f"{counted(len(suspects), 'suspect picture')} of {pictures:,}"
    return "\n".join([head, table(HEADING, rows, left=(0, 1, 2, 3, 6))] if rows else [head])


def suspect_sheet(suspects: Sequence[Suspect], pool: Pool) -> Figure | None:
    """The first 24 of the suspect pictures that can be read, each with its file, its label and the suggestion; None if
    there are none."""
    places = [(name, str(key)) for name, split in pool.splits.items() for key in split.keys]
    number_of = {place: number for number, place in enumerate(places)}
    shown = [one for one in suspects if (one.split, one.file) in number_of][:SHOWN]
    if not shown:
        return None
    records = pool.read(np.array([number_of[one.split, one.file] for one in shown], np.int64))
    figure, grid = figure_grid(-(-len(shown) // COLUMNS), COLUMNS, 1.5, 2.0)
    for axes, one, record in zip(grid.flat, shown, records, strict=False):
        lines = (Path(one.file).name, f"label: {one.label}", f"suggested: {one.suggested}")
        show(axes, record, "\n".join(shortened(line, 30) for line in lines), size=6)
    return figure


def refuse_existing(path: Path) -> None:
    """Raises UserError if the file exists, since it may have been edited, or can't be made where it is."""
    if path.exists():
        raise UserError(f"{path}: exists already. Name another file with --write; your edits would be lost.")
    if not path.absolute().parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}. Name another file with --write.")


def write_corrections(suspects: Sequence[Suspect], path: Path) -> None:
    """Write a CSV file with a line for each suspect picture, to be checked and edited. Raises UserError if it is there
    already."""
    refuse_existing(path)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADING)
    writer.writerows(
        [one.file, one.label, one.suggested, one.apply, *_figures(one, "{:.4f}"), one.why] for one in suspects
    )
    write_atomically(path, text.getvalue().encode())


def _figures(suspect: Suspect, form: str) -> list[str]:
    return ["" if p is None else form.format(p) for p in (suspect.label_probability, suspect.suggested_probability)]
