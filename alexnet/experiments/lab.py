"""Where experiments are made: one folder in which every distinct network is trained once, measured once, and shared.

    runs/NAME        a run folder for each configuration and seed; NAME says how it differs from the defaults, and ends
                     in the first digits of a fingerprint of the store, the options and the run it starts from
    measured/        what was measured on them, JSON; probabilities of networks that are averaged
    results/         a JSON file for each result, and its figures

If interrupted, rerun the same command to resume: finished trainings and measurements are found, a training that was
interrupted continues from its last save.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from alexnet.choices import PrecisionChoice
from alexnet.data.batches import Progress
from alexnet.data.store.read import Store
from alexnet.data.synthetic import CLASSES
from alexnet.errors import UsageError
from alexnet.experiments.finding import Drawing, Errors, Finding, Row, Verdict, top1_of
from alexnet.experiments.settings import Settings, describe
from alexnet.experiments.trial import Trial
from alexnet.files.atomic import faults_named, sha256_of, space_checked, write_atomically
from alexnet.files.schema import canonical_digest, json_bytes, read, read_json, to_json
from alexnet.measure.evaluation import Evaluation, evaluate_run
from alexnet.measure.probabilities import Probabilities
from alexnet.measure.run import Run
from alexnet.report.text import VIEW_NAMES
from alexnet.runs.folder import CHECKPOINT_FILES, RunFolder
from alexnet.runs.history import History, read_history
from alexnet.terminal import progress
from alexnet.text import counted, duration, in_bytes
from alexnet.train import loop
from alexnet.train.options import SharedOptions, TrainOptions
from alexnet.train.recipes import find as find_recipe
from alexnet.train.step import Diverged
from alexnet.train.stop import Interrupted

READINGS = {"paper": ("the paper's", "alexnet", "paper"), "code": ("the 2012 code's", "alexnet-145", "145")}
"""Name, network and recipe of each reading."""
DRAWN = re.compile(r"(\w+)/\1_\d{5}\.jpg$")
"""The path of a built-in picture: CLASS/CLASS_00000.jpg."""
COUNTS_FROM = 0.60
"""Accuracy below which a base network is too weak for an ablation to mean anything."""
LONGEST_NAME = 150
"""Characters of a result's name; a longer one is cut and ends in a digest. A file system takes 255 bytes."""


@dataclass
class Lab:
    """A folder, a store, settings. `pretraining`: the store of a larger label set; `keypoints`: a file of pictures with
    key points. `say` prints a line for people."""

    folder: Path
    store: Store
    settings: Settings = field(default_factory=Settings)
    pretraining: Store | None = None
    say: Callable[[str], None] = lambda _: None
    quiet: bool = False
    keypoints: Path | None = None
    used: dict[str, RunFolder] = field(default_factory=dict)
    planned: dict[str, int] = field(default_factory=dict)  # run name → pictures to go through
    paces: dict[str, tuple[float, int]] = field(default_factory=dict)  # run name → seconds, pictures trained here
    seconds_trained: float = 0.0  # by this lab, including the rest of runs that were begun before

    # ── networks to train ────────────────────────────────────────────────────────────────────────────────────────

    @property
    def base_net(self) -> str:
        return self.settings.net or READINGS[self.settings.reading][1]

    @property
    def recipe(self) -> str:
        return self.settings.recipe or READINGS[self.settings.reading][2]

    @property
    def seeds(self) -> range:
        return range(self.settings.seeds)

    @property
    def reading(self) -> str:
        """Which network and recipe stand for "the network", and whose initial weights and colour noise it has: recipe
        "paper" takes these from the 2012 code."""
        recipe = find_recipe(self.recipe)
        return (
            f"{READINGS[self.settings.reading][0]}: {self.base_net}, recipe {recipe.name}; initial weights "
            f"{self.settings.init or recipe.init!r}, colour noise {recipe.augmentation.colour!r}"
        )

    def trial(
        self, label: str, net: str | None = None, store: Store | None = None, start: Trial | None = None, **changes: Any
    ) -> Trial:
        """The base network, or `net`, trained by the settings with `changes` of single options."""
        options = {one.name: getattr(self.settings, one.name) for one in fields(SharedOptions)}
        options |= {"recipe": self.recipe, "net": net or self.base_net}
        return Trial(label, TrainOptions(**options | changes), store or self.store, start)

    def base(self) -> Trial:
        return self.trial("the network")

    def ablation(self, suffix: str, label: str) -> Trial:
        """The base network changed as `ABLATIONS_OF_A` says."""
        return self.trial(label, net=f"{self.base_net}-{suffix}")

    def chosen(self, known: Iterable[str]) -> list[str]:
        """The names that --only chooses of those known, or all. Raises UsageError for an unknown one."""
        known, wanted = list(known), [name for name in self.settings.only.split(",") if name]
        if absent := [name for name in wanted if name not in known]:
            only = f"--only {self.settings.only}"
            raise UsageError(f"{only}: there is no {absent[0]!r} here. There are: {', '.join(known)}.")
        return wanted or known

    def stand_in(self, net: str) -> str:
        """A network of the families alexnet, alexnet-145 and zfnet; where the settings name another base, the same
        change of that."""
        if self.settings.net is None:
            return net
        return self.settings.net + net.removeprefix("alexnet-145").removeprefix("alexnet").removeprefix("zfnet")

    # ── the cost, before anything is trained ─────────────────────────────────────────────────────────────────────

    def plan(self, trials: Sequence[Trial], seeds: Sequence[int] | None = None) -> None:
        """Print what has to be trained, and how much disk that takes. Raises UserError if there is less."""
        jobs = [(trial, seed) for trial in trials for seed in (self.seeds if seeds is None else seeds)]
        for trial, seed in jobs:
            if trial.start is not None:
                jobs.append((trial.start, seed))  # the list grows while it is walked: a start may have one itself
        names = {trial.name(seed): trial for trial, seed in jobs}
        untrained = {name: trial for name, trial in names.items() if not self._is_trained(name)}
        self.planned |= {name: trial.pictures for name, trial in untrained.items()}
        self.say(
            f"{counted(len(untrained), 'network')} to train, {len(names) - len(untrained)} there already; "
            f"{self._disk(list(untrained.values()))}"
        )

    def _disk(self, untrained: Sequence[Trial]) -> str:
        largest = max((trial.weight_bytes for trial in untrained), default=0)
        # Finished runs keep their weights; the one in training also has checkpoints and a second copy.
        needed = (
            sum(trial.kept_bytes for trial in untrained) + (1 + 2 * CHECKPOINT_FILES) * largest + (len(untrained) << 20)
        )
        with faults_named(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        words = f"they take up to {in_bytes(needed)} of disk"
        return space_checked(self.folder, needed, words, ". Free some, or choose another --out.")

    # ── training ─────────────────────────────────────────────────────────────────────────────────────────────────

    def trained(self, trial: Trial, seed: int) -> RunFolder:
        """The trial's run with that seed: trained now, resumed, or found. Raises Interrupted if asked to stop."""
        name = trial.name(seed)
        path = self.folder / "runs" / name
        if not self._is_trained(name):
            start = None if trial.start is None else self.trained(trial.start, seed).path
            self._train(trial, seed, path, start)
        self.used[name] = RunFolder.open(path)
        return self.used[name]

    def _train(self, trial: Trial, seed: int, path: Path, start: Path | None) -> None:
        self.say(f"training {path.name}{self._time_left()}")
        begun = (path / "config.json").exists()
        # A run that was begun keeps its own options; only what must agree is in its name.
        options = TrainOptions() if begun else replace(trial.options, seed=seed, start_from=start)
        began = time.monotonic()
        with faults_named(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            loop.train(trial.store, path, options, resume=begun, quiet=self.quiet)
        except Interrupted:
            raise Interrupted("interrupted; all is saved. Rerun the same command to resume.") from None
        seconds = time.monotonic() - began
        self.seconds_trained += seconds
        pictures = self.planned.pop(path.name, trial.pictures)
        if not begun:
            self.paces[path.name] = (seconds, pictures)

    def _is_trained(self, name: str) -> bool:
        config = self.folder / "runs" / name / "config.json"
        return config.exists() and bool(read_json(config).get("finished"))

    def _time_left(self) -> str:
        if not self.planned:
            return ""
        left = f", {counted(len(self.planned), 'network')} to go"
        if not self.paces:
            return left
        seconds, pictures = (sum(both) for both in zip(*self.paces.values(), strict=True))
        return f"{left}: about {duration(sum(self.planned.values()) * seconds / pictures)}"

    def training_errors(self, trial: Trial, seed: int) -> list[float]:
        """The training error of each epoch, a running mean over it; none where the loss became NaN or infinite."""
        name = f"{trial.name(seed)}-diverged"
        if not self._measured(name).exists():
            try:
                return self.history(trial, seed).curve("train_top1_error")[1]
            except Diverged as fault:
                self.say(str(fault))
                self.cached(name, lambda why=str(fault): {"why": why})
        self.planned.pop(trial.name(seed), None)
        return []

    def history(self, trial: Trial, seed: int) -> History:
        """The epochs of a run."""
        return read_history(self.trained(trial, seed).path / "log.jsonl")

    def drops(self, trial: Trial, seed: int) -> tuple[int, list[int]]:
        """How many epochs a run had, and those from which on its learning rate was lower than before."""
        rates = [event["learning_rate"] for event in self.history(trial, seed).epochs]
        return len(rates), [epoch for epoch, (before, rate) in enumerate(pairwise(rates), 2) if rate < before]

    @property
    def training_seconds(self) -> float:
        """The time that the trainings of all runs used so far took, whenever they were made; validation apart."""
        return sum(
            run.value("data", "pictures")["train"] / max(event["pictures_per_second"], 0.1)
            for run in self.used.values()
            for event in read_history(run.path / "log.jsonl").epochs
        )

    # ── measuring ────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def uses_pretraining(self) -> bool:
        """Whether a network used so far was trained on the store of the larger label set."""
        other = None if self.pretraining is None else self.pretraining.fingerprint
        return any(run.value("data", "fingerprint") == other for run in self.used.values())

    @property
    def split(self) -> str:
        """What is measured on: the test pictures where the store has any, else the validation pictures."""
        return "test" if len(self.store.splits.get("test", ())) else "val"

    @property
    def pictures(self) -> int:
        return len(self.store.splits[self.split])

    @property
    def built_in(self) -> bool:
        """Whether the pictures are those that the program draws itself, which may be published."""
        key = self.store.splits["train"].keys[0]
        return set(self.store.class_ids) <= set(CLASSES) and DRAWN.search(key) is not None

    def opened(self, trial: Trial, seed: int, precision: PrecisionChoice = "auto") -> Run:
        """The run, to be measured."""
        return Run.open(self.trained(trial, seed).path, device=self.settings.device, precision=precision)

    def opened_in_fp32(self, trial: Trial, seed: int) -> Run:
        """The run as `alexnet see` opens it."""
        return self.opened(trial, seed, "fp32")

    @contextmanager
    def progress(self, what: str, unit: str = "pictures") -> Iterator[Progress | None]:
        """Inside, a measurement can report how far it is: done, of how many. None where the lab is quiet."""
        if self.quiet:
            yield None
            return
        with progress(unit) as report:
            yield partial(report, what)

    def errors(self, trial: Trial, seed: int, views: int = 10, split: str | None = None) -> Errors:
        """Measured once and cached."""
        path = self._evaluated(trial, seed, views, split or self.split, ".json")
        return known_errors(path)

    def each(self, trial: Trial, views: int = 10, split: str | None = None) -> list[Errors]:
        """The errors of every seed's network."""
        return [self.errors(trial, seed, views, split) for seed in self.seeds]

    def each_top1(self, trial: Trial, views: int = 10, split: str | None = None) -> tuple[float, ...]:
        """The top-1 error of every seed's network."""
        return top1_of(self.each(trial, views, split))

    def probabilities(self, trial: Trial, seed: int, views: int = 10) -> Probabilities:
        """The probabilities of all classes for every picture, cached in a file; so are the errors."""
        return Probabilities.load(self._evaluated(trial, seed, views, self.split, ".safetensors"))

    def _evaluated(self, trial: Trial, seed: int, views: int, split: str, kind: str) -> Path:
        """The file of a run's errors (`kind` .json) or probabilities (.safetensors). It is evaluated if the file is not
        there, or of another training: a run may have been removed and trained again."""
        folder, errors = self.trained(trial, seed), self._measured(f"{trial.name(seed)}-{split}-{views}")
        log, wanted = sha256_of(folder.path / "log.jsonl"), errors.with_suffix(kind)
        if wanted.exists() and errors.exists() and read_json(errors).get("log") == log:
            return wanted
        run = self.opened(trial, seed)
        with self.progress(f"{run.path.name}, {split}") as report:
            found, probabilities = evaluate_run(
                folder,
                run.viewer,
                trial.store,
                split=split,
                views=(views,),
                progress=report,
                keep_probabilities=wanted != errors,
            )
        about = {"run": run.path.name, "log": log, "part": split, "views": views}
        self._write(errors, json_bytes(to_json(errors_of(found[views])) | about))
        if probabilities:
            probabilities.save(wanted)
        return wanted

    def _measured(self, name: str) -> Path:
        return self.folder / "measured" / f"{name}.json"

    def names(self, trial: Trial, seeds: Sequence[int] = ()) -> tuple[str, ...]:
        """The run folders of a trial, one for each seed: of the settings' `seeds` unless others are named."""
        return tuple(trial.name(seed) for seed in seeds or self.seeds)

    def cached(self, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `measure` gives, written to measured/NAME.json the first time."""
        path = self._measured(name)
        if not path.exists():
            self._write(path, json_bytes(measure()))
        return read_json(path)

    def cached_each(
        self, trial: Trial, what: str, measure: Callable[["Lab", Trial, int], dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """What `measure` gives for every seed's network, each cached by the network's name and `what`."""
        for seed in self.seeds:
            self.trained(trial, seed)  # so that the result names its networks where all is cached
        return [self.cached(f"{trial.name(seed)}-{what}", partial(measure, self, trial, seed)) for seed in self.seeds]

    # ── results ──────────────────────────────────────────────────────────────────────────────────────────────────

    def finding(
        self,
        trial: Trial,
        rows: Sequence[Row],
        verdicts: Sequence[Verdict],
        *,
        notes: Sequence[str] = (),
        drawings: Sequence[Drawing] = (),
        reading: str = "",
        seeds: int | None = None,
        base: Sequence[Errors] = (),
        views: int = 10,
        **more: Any,
    ) -> Finding:
        """What an experiment found with networks trained like `trial`, by default of the lab's `reading` and as many
        `seeds` as the settings say. `base`: errors with so many `views` of the network that others are compared with,
        which must not be too weak. `more`: other fields of `Finding`."""
        described: dict[str, Any] = {"reading": reading or self.reading, "recipe": self.how_trained(trial, seeds)}
        invalid = too_weak(base, views) if base else ""
        return Finding(rows, verdicts, notes=notes, drawings=drawings, invalid=invalid, **described | more)

    def how_trained(self, trial: Trial, seeds: int | None = None) -> str:
        """How a network was trained, with `seeds` of them (by default as many as the settings say); precisions and
        devices are those of all networks used."""
        options = trial.options
        machines = [run.value("machine") for run in self.used.values()]
        where = sorted({f"{machine['precision']} on {machine['device']}" for machine in machines})
        learning_rate = trial.recipe.learning_rate if options.learning_rate is None else options.learning_rate
        width = "" if options.width == 1 else f", width {options.width:g}"
        return (
            f"recipe {options.recipe}, {trial.table.name}{width}, at most {trial.epochs} epochs, "
            f"batch {options.batch}, learning rate {learning_rate:g}, "
            f"seeds 0 to {(seeds or self.settings.seeds) - 1}; {' and '.join(where)}"
        )

    def result_name(self, id: str, ignored: Sequence[str] = ()) -> str:
        """What the files of a result are called: its id, the stores, and the settings that differ from their defaults,
        except those that are `ignored`."""
        stores = [self.store, *((self.pretraining,) if self.pretraining and self.uses_pretraining else ())]
        names = [store.path.resolve().name.removesuffix(".store") for store in stores]
        changed = describe({name: value for name, value in vars(self.settings).items() if name not in ignored})
        name = re.sub(r"[^\w.]+", "-", "-".join((id, *names, *changed))).strip("-")
        return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}-{canonical_digest(name)[:8]}"

    def file(self, name: str, text: str) -> str:
        """A text file next to the results; gives its name."""
        self._write(self.folder / "results" / name, text.encode())
        return name

    def _write(self, path: Path, content: bytes) -> None:
        with faults_named(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)


def too_weak(plain: Sequence[Errors], views: int = 10) -> str:
    """Why an ablation does not count: its base network is too weak. Empty if it counts."""
    right = 1 - sum(e.top1 for e in plain) / len(plain)
    if right >= COUNTS_FROM:
        return ""
    return (
        f"does not count: the base network is right in {right * 100:.1f} %; with {VIEW_NAMES[views]} "
        f"at least {COUNTS_FROM * 100:.0f} % are needed"
    )


def errors_of(evaluation: Evaluation) -> Errors:
    counts = evaluation.counts
    return Errors(counts.top1, counts.top5, counts.mean_nll, counts.pictures)


def known_errors(path: Path) -> Errors:
    """Errors that were measured before and kept in a file."""
    return read(path, Errors, "Remove it; it is measured again.")
