"""Which pictures of a split a run gets wrong, with the training pictures most like them.

N pictures of the split · W wrong ones · T training pictures · D values of a picture.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from alexnet.data.batches import Progress
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.features.extract import features_of
from alexnet.features.similar.sheet import MOST_ROWS, contact_sheet
from alexnet.files.atomic import write_atomically
from alexnet.files.schema import to_json
from alexnet.isolation import isolated
from alexnet.measure.accuracy import describe_errors as with_interval
from alexnet.measure.evaluation import Evaluation, WrongPicture, evaluate_run, filled_splits, split_of
from alexnet.measure.run import Run, check_views
from alexnet.report.results import Folder
from alexnet.text import counted, printable, table

HEADING = ["file", "class", "answered", "p(class)", "p(answered)"]
NEAREST = 3
"""Training pictures shown next to each wrong one."""


@dataclass(frozen=True)
class Explained(WrongPicture):
    """A wrong picture with the files and classes of its nearest training pictures."""

    nearest: tuple[tuple[str, str], ...] = ()


@isolated()
def find_errors(
    run: Run, store: Store, split: str = "val", views: int = 10, progress: Progress | None = None
) -> tuple[list[Explained], int]:
    """The wrong pictures of a split, the lowest probability of the true class first, and the number of all pictures.

    Neighbours are the training pictures with the largest cosine between the last hidden layer's values, taken about
    their mean. Raises UserError as `evaluate_run` does."""
    check_views(views)
    found, _ = evaluate_run(run.folder, run.viewer, store, split=split, views=(views,), progress=progress)
    return explained(run, store, split, found[views]), len(store.splits[split])


def explained(
    run: Run, store: Store, split: str, found: Evaluation, progress: Progress | None = None
) -> list[Explained]:
    """The wrong pictures of an evaluation of the split, as `find_errors` gives them."""
    wrong = found.wrong(store.splits[split].keys)
    numbers = np.array([one.index for one in wrong])
    compared = len(wrong) > 0 and "train" in filled_splits(store)
    nearest = _nearest(run, store, split, numbers, progress) if compared else [()] * len(wrong)
    return [Explained(**vars(one), nearest=near) for one, near in zip(wrong, nearest, strict=True)]


def _nearest(
    run: Run, store: Store, split: str, wrong: np.ndarray, progress: Progress | None
) -> list[tuple[tuple[str, str], ...]]:
    """(file, class) of the nearest training pictures of each wrong one."""
    train, pictures = store.splits["train"], split_of(store, split)
    wrong_wd, train_td = features_of(run, pictures, indices=wrong), features_of(run, train, progress=progress)
    mean_d = train_td.mean(axis=0)
    cosines_wt = _directions(wrong_wd - mean_d) @ _directions(train_td - mean_d).T
    if split == "train":
        cosines_wt[np.arange(len(wrong)), wrong] = -np.inf
    order_wn = np.argsort(-cosines_wt, axis=1, kind="stable")[:, :NEAREST]
    return [
        tuple((str(train.keys[number]), store.class_names[train.labels[number]]) for number in row)
        for row in order_wn.tolist()
    ]


def _directions(values_nd: np.ndarray) -> np.ndarray:
    return values_nd / np.linalg.norm(values_nd, axis=1, keepdims=True).clip(1e-12)


def describe_errors(errors: Sequence[Explained], pictures: int, views: int) -> str:
    """The number of wrong pictures by so many views, with the 95 % interval of their share, and a line for each."""
    rows = [
        (
            printable(error.file),
            error.true,
            error.answered,
            f"{error.true_probability:.1%}",
            f"{error.answered_probability:.1%}",
        )
        for error in errors
    ]
    head = f"{with_interval(len(errors), pictures)} wrong, by {counted(views, 'view')}\n"
    return head + (table(HEADING, rows, left=3) if rows else "")


def write_errors(
    errors: Sequence[Explained], run: Run, store: Store, split: str, out: Path, chosen_by: Sequence[str | None] = ()
) -> list[Path]:
    """Write errors-SPLIT.csv, .json and, of the worst 24, a contact sheet .png into the folder `out`; errors that are
    `chosen_by` other classes get other names. Raises UserError if a file there was not written by this function."""
    folder = Folder(out, "errors")
    claim = folder.claim(f"errors-{split}", store.fingerprint, run.path.name, list(chosen_by))
    table_file = claim.path(".csv")
    if table_file.exists() and not table_file.read_bytes().startswith(",".join(HEADING).encode()):
        raise UserError(f"{table_file}: was not written by `alexnet errors`. Name another folder with --out.")
    shown = [error for error in errors if error.nearest][:MOST_ROWS]
    claim.put(_sheet(shown, store, split) if shown else None, {"split": split, "wrong": list(map(to_json, errors))})
    write_atomically(table_file, _as_csv(errors).encode())
    return folder.written


def _as_csv(errors: Sequence[Explained]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    nearest = [word for number in range(1, NEAREST + 1) for word in (f"nearest {number}", f"its class {number}")]
    writer.writerow([*HEADING, *nearest])
    for error in errors:
        figures = (f"{error.true_probability:.6f}", f"{error.answered_probability:.6f}")
        neighbours = [word for one in error.nearest for word in one]
        writer.writerow([error.file, error.true, error.answered, *figures, *neighbours])
    return text.getvalue()


def _sheet(errors: Sequence[Explained], store: Store, split: str) -> Figure:
    """The wrong pictures, each with its file, class and answer, and their neighbours; those of the true class have a
    frame."""
    train = store.splits["train"]
    number_of = {str(key): number for number, key in enumerate(train.keys)}
    queries = split_of(store, split).read(np.array([error.index for error in errors]))
    found = np.stack([train.read(np.array([number_of[file] for file, _ in error.nearest])) for error in errors])
    framed = np.array([[name == error.true for _, name in error.nearest] for error in errors])
    words = [[name for _, name in error.nearest] for error in errors]
    heads = ("wrong", "nearest training\npictures → (framed:\nthe true class)")
    captions = [(Path(error.file).name, f"true: {error.true}", f"answer: {error.answered}") for error in errors]
    return contact_sheet(queries, found, framed, heads, words, captions)
