"""One experiment from its claim to its result file: results/ID-STORE-CHOSEN.json, and figures."""

import re
import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import alexnet
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.experiments.finding import WORDS, Finding
from alexnet.experiments.lab import Lab
from alexnet.experiments.registry import Experiment, Unsuited
from alexnet.experiments.settings import WHERE, changed
from alexnet.experiments.statistics import RULE
from alexnet.files.atomic import write_atomically
from alexnet.files.outputs import head_of, kind_of, refuse_foreign
from alexnet.files.schema import any_number, json_bytes, number, one_of, read_json, validate, whole
from alexnet.runs.formats import current_names, current_options

RESULTS = "results"


def run_all(experiments: Sequence[Experiment], lab: Lab) -> Iterator[Path]:
    """Run each experiment and give its result file. Of several, those that the pictures do not allow are skipped and
    listed at the end; a single one raises `Unsuited`."""
    skipped = []
    for experiment in experiments:
        try:
            yield run_experiment(experiment, lab)
        except Unsuited as fault:
            if len(experiments) == 1:
                raise
            skipped.append(str(fault))
            lab.say(f"{fault} It is skipped.")
    if skipped:
        lab.say("skipped, because these pictures do not allow them:\n" + "\n".join(f"  {why}" for why in skipped))


def run_experiment(experiment: Experiment, lab: Lab) -> Path:
    """Say the claim and the cost, run, write the result; gives its file. Raises UserError for what a user can mend;
    `Interrupted` when asked to stop: the same call goes on."""
    place = lab.folder / RESULTS / f"{lab.result_name(experiment.id, experiment.own)}.json"
    refuse_foreign(place, lambda path: b'"claim": "' in head_of(path))
    lab.say(f"{experiment.id}, {experiment.title}\nclaim: {experiment.claim}")
    lab.say(f"cost: {experiment.cost(lab.settings.seeds)}; its authors: {experiment.full_scale}")
    if own := [f"--{name.replace('_', '-')}" for name in changed(asdict(lab.settings)) if name in experiment.own]:
        lab.say(f"{', '.join(own)}: has no part in this result")
    if experiment.record not in (None, lab.store.size):
        raise Unsuited(
            f"{lab.store.path}: its records have {lab.store.size} pixels; {experiment.id} needs {experiment.needs}. "
            f"`alexnet prepare … --size {experiment.record}` makes such."
        )
    lab.used.clear()
    lab.planned.clear()
    began, trained_before = time.monotonic(), lab.seconds_trained
    finding = experiment.run(lab)
    rest = time.monotonic() - began - (lab.seconds_trained - trained_before)
    seconds = {"training": round(lab.training_seconds, 1), "rest": round(max(0.0, rest), 1)}
    return write_result(experiment, lab, finding, seconds)


def write_result(experiment: Experiment, lab: Lab, finding: Finding, seconds: dict[str, float]) -> Path:
    """The result and its figures into the lab's results/."""
    name, folder = lab.result_name(experiment.id, experiment.own), lab.folder / RESULTS
    path = folder / f"{name}.json"
    described = finding.as_json()
    for drawing, told in zip(finding.drawings, described["figures"], strict=True):
        told["file"] = f"{name}-{drawing.name}.png"
        refuse_foreign(folder / told["file"], lambda png: kind_of(png) == "figure" or path.exists())
        write_atomically(folder / told["file"], drawing.png)
    write_atomically(path, json_bytes({**_about(experiment, lab), "seconds": seconds, **described}))
    return path


def _about(experiment: Experiment, lab: Lab) -> dict[str, Any]:
    return {
        "id": experiment.id,
        "title": experiment.title,
        "claim": experiment.claim,
        "rule": RULE,
        "command": command(experiment, lab),
        "when": datetime.now(UTC).strftime("%Y-%m-%d"),
        "data": data_of(lab.store, lab.part),
        "pretraining": data_of(lab.pretraining, "val") if lab.pretraining and lab.pretrained_here else None,
        "settings": {name: value for name, value in asdict(lab.settings).items() if name not in experiment.own},
        "versions": {
            "alexnet": alexnet.__version__,
            "torch": _of_all(lab, "torch"),
            "python": _of_all(lab, "python"),
            "kernels": _of_all(lab, "machine", "kernels"),
        },
    }


def _of_all(lab: Lab, *keys: str) -> str:
    """What the networks used were trained with."""
    return " and ".join(sorted({str(run.value(*keys)) for run in lab.used.values()})) or "none"


def data_of(store: Store, part: str) -> dict[str, Any]:
    """What was trained and measured on."""
    return {
        "store": store.path.resolve().name,
        "fingerprint": store.fingerprint,
        "classes": len(store.class_ids),
        "record": store.size,
        "pictures": {name: len(pictures) for name, pictures in store.parts.items()},
        "measured on": part,
    }


def command(experiment: Experiment, lab: Lab) -> str:
    """The command line that makes the result, with the options that are not as usual; stores by their folder's name."""
    words = ["alexnet", "paper", "run", experiment.id, lab.store.path.resolve().name]
    for name, value in changed(asdict(lab.settings)).items():
        if name not in (*WHERE, *experiment.own):
            words += [f"--{name.replace('_', '-')}", str(value)]
    if lab.pretraining is not None and lab.pretrained_here:
        words += ["--pretrain", lab.pretraining.path.resolve().name]
    if lab.keypoints is not None and experiment.keypoints:
        words += ["--keypoints", lab.keypoints.name]
    return shlex.join([*words, "--out", lab.folder.resolve().name])


def _file_name(value: Any) -> bool:
    """Of a file beside the result: no path that leads elsewhere."""
    return (
        isinstance(value, str) and re.fullmatch(r"[\w.][\w. -]{0,200}", value) is not None and value not in (".", "..")
    )


def _time(value: Any) -> bool:
    return number(value) and 0 <= value < 1e12


def _plain(value: Any) -> bool:
    """Of an option: a word, a number or nothing."""
    return value is None or isinstance(value, str) or number(value)


DATA = {
    "store": str,
    "fingerprint": str,
    "classes": whole(),
    "record": whole(),
    "pictures": {"*": whole()},
    "measured on": str,
}
RESULT = {
    "id": str,
    "title": str,
    "claim": str,
    "command": str,
    "when": str,
    "data": DATA,
    "pretraining??": DATA,
    "settings": {"*": _plain},
    "versions": {"alexnet": str, "torch": str, "python": str, "kernels": str},
    "seconds": {"training": _time, "rest": _time},
    "agrees": one_of(*WORDS),
    "invalid": str,
    "reading": str,
    "recipe": str,
    "rows": [
        {
            "what": str,
            "values": [any_number],
            "paper??": any_number,
            "unit": str,
            "note": str,
            "margin??": any_number,
            "seeds??": whole(),
            "mean??": any_number,
            "spread??": any_number,
        }
    ],
    "verdicts": [{"claim": str, "agrees": one_of(*WORDS), "why": str}],
    "notes": [str],
    "figures": [{"caption": str, "file??": _file_name}],
}
"""A result file, as far as it is read."""


def read_result(path: Path) -> dict[str, Any]:
    """The content of a result file and its name; of other JSON files the content alone counts for nothing."""
    result = read_json(path)
    if "verdicts" in result:
        result["settings"] = current_names(result.get("settings"))
        result["command"] = current_options(result.get("command"))
        validate(result, RESULT, path, "Restore it, or run the experiment again.")
        for row in result["rows"]:
            row |= {name: row.get(name) for name in ("paper", "mean", "spread", "margin")}
        for figure in result["figures"]:
            if not figure.get("file") and not figure.get("left_out"):
                raise UserError(f"{path}: damaged, a figure has no file. Restore it, or run the experiment again.")
    return {**result, "file": path.name}


def read_results(folder: Path) -> list[dict[str, Any]]:
    """The result files in `folder`, or in its results/, in the papers' order."""
    from alexnet.experiments.registry import every_result

    place = folder / RESULTS if (folder / RESULTS).is_dir() else folder
    order = list(every_result())
    results = [read_result(path) for path in sorted(place.glob("*.json"))]
    known = [result for result in results if "verdicts" in result]
    return sorted(known, key=lambda r: (order.index(r["id"]) if r["id"] in order else len(order), r["file"]))
