"""The output of `alexnet transfer`: transfer.json, transfer.png and a table."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.data.batches import Progress, StepProgress
from alexnet.data.store.read import Store
from alexnet.drawing import png_of
from alexnet.errors import UserError
from alexnet.features.charts import accuracy_over_pictures
from alexnet.features.duplicates import THRESHOLD, find_duplicates
from alexnet.features.extract import describer, features_of
from alexnet.features.options import TransferOptions
from alexnet.features.pictures import Pool
from alexnet.features.transfer import Study
from alexnet.features.voc import PAPER, average_precisions, open_pictures
from alexnet.files.atomic import write_atomically
from alexnet.files.outputs import GENERATOR, mark, refuse_foreign
from alexnet.files.schema import canonical_digest, json_bytes, read_json
from alexnet.files.tensors import tensor_digest
from alexnet.measure.run import Run
from alexnet.text import table


def write_transfer(
    run: Run, store_path: Path, out: Path, options: TransferOptions, *, seen: Path | None = None, progress: StepProgress
) -> dict[str, Any]:
    """Measure, write OUT/transfer.json and transfer.png, and return the content. Raises UserError for a store that does
    not fit, and for a folder that holds other measurements."""
    store = Store.open(store_path)
    known = None if seen is None else Store.open(seen)
    begun = {
        "run": str(run.path.resolve()),
        "run_fingerprint": tensor_digest(run.network.state_dict()),
        "store": str(store.path.resolve()),
        "fingerprint": store.fingerprint,
        "seen": None if known is None else known.fingerprint,
        "views": options.views,
        "epochs": options.epochs,
    }
    # Names of measured files hold neither run nor store nor views: a folder is for one of each.
    for name in ("transfer.json", "transfer.png"):
        refuse_foreign(out / name, "transfer")
    if (out / "begun.json").exists() and read_json(out / "begun.json") != begun:
        raise UserError(f"{out}: holds measurements of another run, store, --seen, --views or --epochs. Name another.")
    write_atomically(out / "begun.json", json_bytes(begun))
    found = [] if known is None else seen_pictures(Pool.of(store), Pool.of(known), partial(progress, "duplicates"))
    outcomes = Study(run, store, out, options, frozenset(number for number, _ in found), progress).outcomes()
    content = {
        GENERATOR: mark("transfer"),
        **begun,
        "folds": options.folds,
        "seed": options.seed,
        "left_out": [named for _, named in found],
        "threshold": THRESHOLD,
        "outcomes": [{**asdict(one), "mean": one.mean, "spread": one.spread} for one in outcomes],
    }
    write_atomically(out / "transfer.json", json_bytes(content))
    write_atomically(out / "transfer.png", png_of(accuracy_over_pictures(outcomes), "transfer"))
    return content


def seen_pictures(pool: Pool, seen: Pool, progress: Progress) -> list[tuple[int, dict[str, Any]]]:
    """The numbers of the pictures in `pool` that are also in `seen`, each with both paths and the correlation."""
    keys, others = pool.keys, seen.keys
    return [
        (one.first, {"key": keys[one.first], "seen": others[one.second], "correlation": round(one.correlation, 4)})
        for one in find_duplicates(pool, seen, progress=progress)
    ]


def describe_transfer(content: dict[str, Any]) -> str:
    """The table, and how many pictures were left out."""
    left_out = len({one["key"] for one in content["left_out"]})
    looked = "" if content["seen"] is None else f"\n\n{left_out} pictures left out: the run has seen them."
    rows = [
        (one["what"], str(one["per_class"]), f"{one['mean']:.1%}", f"{one['spread']:.1%}", str(len(one["accuracies"])))
        for one in content["outcomes"]
    ]
    return table(("", "per class", "accuracy", "±", "folds"), rows) + looked


# ── average precision ────────────────────────────────────────────────────────────────────────────────────────────


def write_voc(run: Run, root: Path, out: Path, layers: Sequence[str], views: int, *, seed: int = 0) -> dict[str, Any]:
    """Average precision of each class of an annotated folder, for each layer: OUT/transfer.json, its content is
    returned."""
    pictures, found = open_pictures(root, seed), {}
    made_of = [tensor_digest(run.network.state_dict()), str(root.resolve()), list(layers), views, seed]
    kind = f"transfer {canonical_digest(made_of)[:8]}"
    refuse_foreign(out / "transfer.json", kind)
    for layer in layers:
        row = describer(run, layer).layer
        found[row] = average_precisions(features_of(run, pictures.files, row, views), pictures)
    content = {
        GENERATOR: mark(kind),
        "run": str(run.path.resolve()),
        "pictures": str(root),
        "trained_on": len(pictures.fold.train),
        "tested_on": len(pictures.fold.test),
        "average_precision": found,
        "unmeasured": sorted(set(pictures.classes).difference(*found.values())),
        "mean": {row: float(np.mean(list(values.values()))) if values else None for row, values in found.items()},
    }
    write_atomically(out / "transfer.json", json_bytes(content))
    return content


def describe_precisions(content: dict[str, Any]) -> str:
    """A line for each class: ours by layer, then [Z]'s and the best that it compares with (Table 6, VOC 2012)."""
    layers = list(content["average_precision"])
    names = sorted({name for values in content["average_precision"].values() for name in values})
    heading, rows = ("", *layers, "[Z], VOC 2012", "Sande", "Yan"), list[tuple[str, ...]]()
    for name in names:
        ours = [_share(content["average_precision"][layer].get(name)) for layer in layers]
        sande, yan, zeiler = PAPER.get(name, (None, None, None))
        rows.append((name, *ours, _share(zeiler), _share(sande), _share(yan)))
    means = [_share(content["mean"][layer]) for layer in layers]
    rows.append(("mean", *means, "79.0 %", "74.3 %", "82.2 %"))
    unmeasured = ", ".join(content["unmeasured"])
    note = f"\n\nNot measured, since not in both halves: {unmeasured}." if unmeasured else ""
    return (
        f"trained on {content['trained_on']}, tested on {content['tested_on']} pictures\n\n{table(heading, rows)}{note}"
    )


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value * 100:.1f} %"
