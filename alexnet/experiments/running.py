"""One experiment from its claim to its result file: results/ID-STORE-CHOSEN.json, and figures."""

import re
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import alexnet
from alexnet.data.store.read import Store
from alexnet.experiments.finding import Agrees, Finding, Row, Verdict
from alexnet.experiments.lab import Lab
from alexnet.experiments.registry import Experiment, Unsuited, every_result
from alexnet.experiments.settings import changed
from alexnet.experiments.statistics import RULE
from alexnet.files.atomic import write_atomically
from alexnet.files.outputs import head_of, kind_of, refuse_foreign
from alexnet.files.schema import Count, Key, Range, from_json, json_bytes, read_json, to_json
from alexnet.runs.formats import current_names, current_options
from alexnet.text import option_name, option_words

RESULTS = "results"


# ── the result file ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Data:
    """A store that networks were trained and measured on."""

    store: str
    fingerprint: str
    classes: Count
    record: Count
    pictures: dict[str, Count]
    measured_on: Annotated[str, Key("measured on")]


@dataclass(frozen=True)
class Versions:
    """What the networks were trained with."""

    alexnet: str
    torch: str
    python: str
    kernels: str


@dataclass(frozen=True)
class Seconds:
    """The time taken: training of all networks used, whenever it was done; the rest, this time."""

    training: Annotated[float, Range(0, 1e12)]
    rest: Annotated[float, Range(0, 1e12)]


@dataclass(frozen=True)
class Figure:
    """A figure in a file next to the result. `left_out`: its photographs are other people's, so it isn't kept here."""

    caption: str
    file: str | None = None
    left_out: bool = False
    name: str = ""
    photographs: bool = False

    def __post_init__(self) -> None:
        if not self.file and not self.left_out:
            raise ValueError("a figure has no file")
        if self.file and not re.fullmatch(r"(?!\.+$)[\w.][\w. -]{0,200}", self.file):  # no path that leads elsewhere
            raise ValueError(f"{self.file[:60]!r} is no name of a figure")


@dataclass(frozen=True)
class Result:
    """A result file. `settings` and `command`: without those that have no effect; `agrees`: over all claims."""

    id: str
    title: str
    claim: str
    command: str
    when: str
    data: Data
    settings: dict[str, str | float | None]
    versions: Versions
    seconds: Seconds
    agrees: Agrees
    invalid: str
    reading: str
    recipe: str
    rows: tuple[Row, ...]
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]
    figures: tuple[Figure, ...]
    pretraining: Data | None = None
    rule: str = RULE
    extra: dict[str, Any] = field(default_factory=dict)


def read_result(path: Path) -> Result:
    """The content of a result file. Raises UserError if it is damaged."""
    content = read_json(path)
    content["settings"] = current_names(content.get("settings"))
    content["command"] = current_options(content.get("command"))
    return from_json(content, Result, path, "Restore it, or run the experiment again.")


def folder_of(folder: Path) -> Path:
    """The results/ in a lab's folder; the folder itself where it has none."""
    return folder / RESULTS if (folder / RESULTS).is_dir() else folder


def read_results(folder: Path) -> dict[str, Result]:
    """The results in `folder`, or in its results/, by file name, in the papers' order. Other JSON files are skipped."""
    files = [path for path in sorted(folder_of(folder).glob("*.json")) if "verdicts" in read_json(path)]
    found = {path.name: read_result(path) for path in files}
    order = list(every_result())
    return dict(sorted(found.items(), key=lambda one: order.index(one[1].id) if one[1].id in order else len(order)))


# ── running an experiment ────────────────────────────────────────────────────────────────────────────────────────


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
    """Print the claim and the cost, run, write the result; gives its file. Raises UserError for what a user can mend;
    `Interrupted` when asked to stop: the same call resumes."""
    path = lab.folder / RESULTS / f"{lab.result_name(experiment.id, experiment.ignored_settings)}.json"
    refuse_foreign(path, lambda path: b'"claim": "' in head_of(path))
    lab.say(f"{experiment.id}, {experiment.title}\nclaim: {experiment.claim}")
    lab.say(f"cost: {experiment.cost(lab.settings.seeds)}; its authors: {experiment.full_scale}")
    if ignored := [option_name(name) for name in changed(vars(lab.settings)) if name in experiment.ignored_settings]:
        lab.say(f"{', '.join(ignored)}: ignored, this result has values of its own")
    if experiment.record_size not in (None, lab.store.size):
        raise Unsuited(
            f"{lab.store.path}: its records have {lab.store.size} pixels; {experiment.id} needs {experiment.needs}. "
            f"`alexnet prepare … --size {experiment.record_size}` makes such."
        )
    lab.used.clear()
    lab.planned.clear()
    began, trained_before = time.monotonic(), lab.seconds_trained
    finding = experiment.run(lab)
    rest = time.monotonic() - began - (lab.seconds_trained - trained_before)
    return write_result(experiment, lab, finding, Seconds(round(lab.training_seconds, 1), round(max(0.0, rest), 1)))


def write_result(experiment: Experiment, lab: Lab, finding: Finding, seconds: Seconds) -> Path:
    """Write the result and its figures into the lab's results/."""
    name, folder = lab.result_name(experiment.id, experiment.ignored_settings), lab.folder / RESULTS
    path = folder / f"{name}.json"
    figures = []
    for drawing in finding.drawings:
        file = f"{name}-{drawing.name}.png"
        refuse_foreign(folder / file, lambda png: kind_of(png) == "figure" or path.exists())
        write_atomically(folder / file, drawing.png)
        figures.append(Figure(drawing.caption, file, name=drawing.name, photographs=drawing.photographs))
    pretraining = lab.pretraining if lab.uses_pretraining else None
    described = {name: getattr(experiment, name) for name in ("id", "title", "claim")}
    found = ("agrees", "invalid", "reading", "recipe", "rows", "verdicts", "notes", "extra")
    described |= {name: getattr(finding, name) for name in found}
    result = Result(
        **described,
        command=command(experiment, lab),
        when=datetime.now(UTC).strftime("%Y-%m-%d"),
        data=data_of(lab.store, lab.split),
        pretraining=pretraining and data_of(pretraining, "val"),
        settings=without_ignored(experiment, vars(lab.settings)),
        versions=Versions(
            alexnet.__version__, _of_all(lab, "torch"), _of_all(lab, "python"), _of_all(lab, "machine", "kernels")
        ),
        seconds=seconds,
        figures=tuple(figures),
    )
    # Mean and spread follow from a row's values; they are written for other readers of the file.
    rows = [to_json(row) | {"mean": row.mean, "spread": row.spread} for row in finding.rows]
    write_atomically(path, json_bytes(to_json(result) | {"rows": rows}))
    return path


def _of_all(lab: Lab, *keys: str) -> str:
    """What the configs of the networks used say under `keys`; several answers are joined."""
    return " and ".join(sorted({str(run.value(*keys)) for run in lab.used.values()})) or "none"


def data_of(store: Store, split: str) -> Data:
    pictures = {name: len(some) for name, some in store.splits.items()}
    return Data(store.path.resolve().name, store.fingerprint, len(store.class_ids), store.size, pictures, split)


def without_ignored(experiment: Experiment, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in experiment.ignored_settings}


def command(experiment: Experiment, lab: Lab) -> str:
    """The command line that reproduces the result, with the options that differ from their defaults; stores by their
    folder's name."""
    words = ["alexnet", "paper", "run", experiment.id, lab.store.path.resolve().name]
    words += option_words(without_ignored(experiment, changed(vars(lab.settings))))
    if lab.pretraining is not None and lab.uses_pretraining:
        words += ["--pretrain", lab.pretraining.path.resolve().name]
    if lab.keypoints is not None and experiment.keypoints:
        words += ["--keypoints", lab.keypoints.name]
    return shlex.join([*words, "--out", lab.folder.resolve().name])
