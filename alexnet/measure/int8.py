"""What a network loses in int8: its errors before and after, on the same pictures."""

from pathlib import Path

import torch

from alexnet.data.batches import Progress, batches
from alexnet.data.store.read import Store
from alexnet.measure.accuracy import describe_errors
from alexnet.measure.evaluation import class_map, split_of
from alexnet.runs.export import BesidePyTorch
from alexnet.runs.folder import RunFolder

BATCH = 16


def errors_in_int8(run: RunFolder, path: Path, store: Store, progress: Progress | None = None) -> str:
    """A sentence: the errors of the run's network, and of its graph `path`, on the store's validation pictures (centre
    crops), and how many answers differ. Raises UserError if the store lacks such pictures or has other classes."""
    split, both = split_of(store, "val"), BesidePyTorch(run, path)
    labels, answers = torch.from_numpy(class_map(run, store, split)[split.labels]), []
    for records, _ in batches(split, BATCH, progress=progress):
        answers.append(torch.stack([logits.argmax(dim=1) for logits in both.logits(records)]))
    before_n, after_n = torch.cat(answers, dim=1)
    errors = (describe_errors(int((answers_n != labels).sum()), len(labels)) for answers_n in (before_n, after_n))
    changed = int((before_n != after_n).sum())
    return "wrong on the validation pictures: {} in fp32, {} in int8; {} answers differ".format(*errors, changed)
