"""Temperature scaling, and the probability from which answers are precise enough.

Logits are divided by one number, fitted on the validation pictures by the lowest mean −ln p of the true class
(Guo, Pleiss, Sun, Weinberger 2017, arXiv:1706.04599, §4.2). No answer changes for one view, only how sure it is.
V views · N pictures · K classes.
"""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from alexnet.choices import Views
from alexnet.data.batches import Progress, batches
from alexnet.data.store.read import Store
from alexnet.data.views import VIEW_NUMBERS, all_views
from alexnet.errors import UserError
from alexnet.isolation import isolated
from alexnet.measure.accuracy import describe_errors, nll_of_truth
from alexnet.measure.evaluation import Evaluation, check_numbers, check_size, class_map
from alexnet.measure.overlap import seen_in_training
from alexnet.measure.reliability import BINS
from alexnet.measure.run import Run, check_views
from alexnet.measure.viewer import BATCH
from alexnet.runs.folder import Calibration
from alexnet.text import counted, table

HIGHEST = 20.0
"""Temperatures are searched from 1/HIGHEST to HIGHEST: beyond, the pictures say nothing about it."""
FEW = 200
"""Pictures below which a threshold is not to be relied on."""


@isolated(inference=True)
def calibrate(
    run: Run, store: Store, views: Views = 10, precision: float | None = None, progress: Progress | None = None
) -> tuple[Calibration, Evaluation, Evaluation]:
    """Fit a temperature, and choose the threshold for a wanted `precision` (0 to 1), on the validation pictures that
    the run was not trained on; with what the run makes of these before and after. The run is not changed.

    Raises UserError for a run that is not finished, a store that does not fit it or has no such pictures, pictures that
    determine no temperature, and a precision that is not reached."""
    check_views(views)
    if not run.folder.value("finished"):
        raise UserError(f"{run.path}: its training has not ended. Calibrate it afterwards.")
    if "val" not in store.splits or not len(store.splits["val"]):
        raise UserError(
            f"{store.path}: no val pictures, and calibration uses no others. Prepare it with --holdout 0.1 or from "
            "train/ and val/."
        )
    split = store.splits["val"]
    check_size(run.folder, store)
    classes_n, seen_n = class_map(run.folder, store, split)[split.labels], seen_in_training(run.folder, store, split)
    kept = torch.ones(len(split), dtype=torch.bool) if seen_n is None else torch.from_numpy(~seen_n)
    if not kept.any():
        raise UserError(f"{store.path}: the run was trained on all of its val pictures. Give a store with others.")
    places, found = all_views(run.inputs.side, run.inputs.size), list[Tensor]()
    for records, indices in batches(split, BATCH, progress=progress):
        records = records.to(run.viewer.device)
        outputs = [run.viewer.logits(records, places[number]).float().cpu() for number in sorted(VIEW_NUMBERS[views])]
        for logits_bk in outputs:
            check_numbers(run.folder, split, logits_bk, slice(int(indices[0]), int(indices[-1]) + 1))
        found.append(torch.stack(outputs))
    logits_vnk, labels_n = torch.cat(found, dim=1)[:, kept], torch.from_numpy(classes_n)[kept]
    temperature = fitted_temperature(logits_vnk, labels_n, str(store.path))
    about = {"class_names": run.class_names, "class_ids": run.class_ids, "views": views}
    before, after = (
        Evaluation.of(averaged(logits_vnk, one).numpy(), labels_n.numpy(), **about) for one in (1.0, temperature)
    )
    threshold = None if precision is None else threshold_for(precision, after, str(store.path))
    nlls, errors = (before.nll, after.nll), (before.reliability.ece, after.reliability.ece)
    calibration = Calibration(temperature, views, len(labels_n), store.fingerprint, nlls, errors, precision, threshold)
    return calibration, before, after


def averaged(
    logits_vnk: Float[Tensor, "V N K"], temperature: float, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "N K"]:
    """The mean over the views of softmax at a temperature; float32: to the bit what `ViewAverager` gives."""
    total_nk = torch.zeros_like(logits_vnk[0], dtype=dtype)
    for logits_nk in logits_vnk:
        total_nk += (logits_nk.to(dtype) / temperature).softmax(dim=1)
    return total_nk / len(logits_vnk)


def fitted_temperature(logits_vnk: Float[Tensor, "V N K"], labels_n: Int[Tensor, "N"], where: str) -> float:
    """The temperature with the lowest mean −ln p of the true class. Raises UserError, naming `where` the pictures are
    from, if it lies at an end of the range that is searched."""
    from scipy.optimize import minimize_scalar

    def nll(log_temperature: float) -> float:
        return float(nll_of_truth(averaged(logits_vnk, math.exp(log_temperature), torch.float64), labels_n).mean())

    limit = math.log(HIGHEST)
    found: Any = minimize_scalar(nll, bounds=(-limit, limit), method="bounded", options={"xatol": 1e-4})
    if abs(found.x) > limit - 0.01:
        why = "hardly an answer is wrong" if found.x < 0 else "the answers are no better than guesses"
        count = counted(len(labels_n), "val picture")
        raise UserError(f"{where}: {count} determine no temperature: {why}. Calibrate on more pictures.")
    return math.exp(found.x)


def threshold_for(precision: float, judged: Evaluation, where: str) -> float:
    """The lowest probability such that the share `precision` of the answers with at least this probability is right.
    Raises UserError if there is none."""
    from sklearn.metrics import precision_recall_curve

    reached, _, thresholds = precision_recall_curve(judged.predicted == judged.labels, judged.confidences)
    enough = np.flatnonzero(reached[:-1] >= precision)
    if not len(enough):
        raise UserError(
            f"{where}: no threshold gives a precision of {precision:.1%} on its val pictures; the highest is "
            f"{reached[:-1].max():.1%}. Ask for less with --precision."
        )
    return float(thresholds[enough[0]])


def describe_calibration(found: Calibration, after: Evaluation) -> str:
    """The temperature, what it changes, and the threshold."""
    rows = [(name, f"{found.nll[n]:.4f}", f"{found.ece[n]:.2%}") for n, name in enumerate(("before", "after"))]
    pictures, views = counted(found.pictures, "validation picture"), counted(found.views, "view")
    head = f"temperature {found.temperature:.4f}, fitted to {pictures} ({views})"
    lines = [head, table(("", "nll", f"expected calibration error, {BINS} bins"), rows)]
    if found.threshold is not None:
        answered = after.confidences >= found.threshold
        wrong = int((answered & (after.predicted != after.labels)).sum())
        lines.append(
            f"threshold {found.threshold:.4f}, for a precision of {found.precision:.1%}: {answered.sum():,} of "
            f"{found.pictures:,} pictures are answered, {describe_errors(wrong, int(answered.sum()))} wrongly"
        )
        if found.pictures < FEW:
            lines.append(
                f"only {counted(found.pictures, 'picture')}: too few to rely on this threshold. Keep {FEW} or more for "
                "validation (alexnet prepare --holdout 0.3)."
            )
    return "\n".join(lines)


def stored_threshold(run: Run, views: int) -> float:
    """The threshold that `alexnet calibrate --precision` stored with the run. Raises UserError if there is none, or one
    for another number of `views`."""
    found = run.folder.calibration
    if found is None or found.threshold is None:
        raise UserError(
            f"{run.path}: has no threshold. Choose one: alexnet calibrate {run.path} STORE --precision 0.95"
            + (" --replace" if found else "")
        )
    if found.views != views:
        raise UserError(f"{run.path}: its threshold is for other views. Predict with --views {found.views}.")
    return found.threshold
