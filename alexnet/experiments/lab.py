"""Where experiments are made: one folder in which every distinct network is trained once, measured once, and shared.

    runs/NAME        a run folder for each configuration and seed; NAME tells what is different about it, and ends in
                     the first digits of a fingerprint of the store, the options and the run it starts from
    measured/        what was measured on them, JSON; probabilities where they are wanted again
    results/         a JSON file for each result, and its figures

Stopped anywhere, the same command goes on: finished trainings and measurements are found, a half-finished one is
taken up from its last save.
"""

import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from alexnet.data.store.read import Store
from alexnet.data.synthetic import CLASSES
from alexnet.errors import UsageError, UserError
from alexnet.experiments.settings import Settings, describe
from alexnet.files.atomic import faults_named, sha256_of, write_atomically
from alexnet.files.schema import any_number, canonical_digest, json_bytes, number, read_json, validate, whole
from alexnet.measure.evaluation import Progress, evaluate_run
from alexnet.measure.probabilities import Probabilities
from alexnet.measure.run import Run
from alexnet.nets import zoo
from alexnet.nets.table import Table, with_width
from alexnet.nets.trace import trace
from alexnet.report.text import VIEWS_IN_WORDS
from alexnet.runs.folder import STATE_FILES, RunFolder, snapshot_epochs
from alexnet.runs.formats import OLD_NAMES
from alexnet.runs.history import History, read_history
from alexnet.terminal import progress
from alexnet.text import counted, duration, in_bytes
from alexnet.train import loop
from alexnet.train.options import TrainOptions
from alexnet.train.recipes import find as find_recipe
from alexnet.train.step import Diverged
from alexnet.train.stop import Interrupted

READINGS = {"paper": ("alexnet", "paper"), "code": ("alexnet-145", "145")}
"""Network and recipe of each reading."""
DRAWN = re.compile(r"(\w+)/\1_\d{5}\.jpg$")
"""The path of a built-in picture: CLASS/CLASS_00000.jpg."""
WEIGHT_BYTES = 4
COUNTS_FROM = 0.60
"""Accuracy below which a base network is too weak for an ablation to mean anything."""
LONGEST_NAME = 150
"""Characters of a result's name; what is longer is cut and ends in a digest. A file system takes 255 bytes."""
USUAL_BATCH = 128  # [A] §5
WITHOUT_MEANING = ("threads", "save_minutes", "epochs", "seed", "start_from", "net", "recipe", "device", "precision")
"""Options that do not tell a run's name apart: they are in its fingerprint, or change no weight."""


@dataclass(frozen=True, eq=False)
class Trial:
    """A network to be trained, but for its seed. `label`: what a table calls it; `start`: the trial whose run it starts
    from."""

    label: str
    options: TrainOptions
    store: Store
    start: "Trial | None" = None

    @property
    def epochs(self) -> int:
        return self.options.epochs or find_recipe(self.options.recipe).epochs

    @property
    def by_plateau(self) -> bool:
        """Whether the learning rate drops when validation stalls, not at epochs that are known before."""
        recipe = find_recipe(self.options.recipe)
        return not recipe.stages and recipe.power is None

    @property
    def table(self) -> Table:
        net = self.options.net or find_recipe(self.options.recipe).net
        return with_width(zoo.find(net, len(self.store.class_names)), self.options.width)

    @property
    def weight_bytes(self) -> int:
        return WEIGHT_BYTES * sum(layer.parameters for layer in trace(self.table, self.options.input_size))

    @property
    def kept_bytes(self) -> int:
        """What stays on disk when it is trained: the weights, and those of its snapshots."""
        return self.weight_bytes * (1 + (len(snapshot_epochs(self.epochs)) if self.options.snapshots else 0))

    def options_for(self, seed: int, start: Path | None) -> TrainOptions:
        return replace(self.options, seed=seed, start_from=start)

    def name(self, seed: int) -> str:
        """The run's folder: network, what is not as usual, seed, fingerprint."""
        parts = [self.table.name, *self._unusual()]
        return f"{'-'.join(parts)}-seed{seed}-{self.fingerprint(seed)[:8]}"

    def fingerprint(self, seed: int) -> str:
        """Equal for runs that give equal weights: of the store, the options that matter and the run it starts from."""
        start = None if self.start is None else self.start.fingerprint(seed)
        content = {
            "store": self.store.fingerprint,
            "net": self.table.name,
            "recipe": self.options.recipe,
            "epochs": self.epochs,
            "seed": seed,
            "start": start,
            "options": self._changed(("threads", "save_minutes", "recipe", "net", "epochs", "seed", "start_from")),
        }
        return canonical_digest(content)

    def _changed(self, but: Sequence[str]) -> dict[str, Any]:
        """The options that differ from the usual ones: only they, so that options which a later version adds leave the
        names of what is trained already as they are; so do options that were renamed."""
        usual = asdict(TrainOptions()) | {"batch": USUAL_BATCH}
        return {
            OLD_NAMES.get(name, name): value
            for name, value in asdict(self.options).items()
            if name not in but and value != usual[name]
        }

    def _unusual(self) -> list[str]:
        net, recipe = self.table.name, self.options.recipe
        told = [] if recipe in (TrainOptions().recipe, net) else [f"recipe-{recipe}"]
        for name, value in self._changed(WITHOUT_MEANING).items():
            words = f"no-{name}" if value is False else name if value is True else f"{name}-{value}"
            told.append(words.replace("_", "-"))
        return [re.sub(r"[^\w.+-]", "+", part) for part in told]


@dataclass(frozen=True)
class Errors:
    """What was measured of a run: shares of the pictures, 0 to 1; nll in nats."""

    top1: float
    top5: float
    nll: float
    pictures: int


@dataclass
class Lab:
    """A folder, a store, settings. `pretraining`: the store of a larger label set; `keypoints`: a file of pictures with
    key points. `say` tells a person a line."""

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
    seconds_trained: float = 0.0  # here, in all, also of runs that were begun before

    # ── networks to train ────────────────────────────────────────────────────────────────────────────────────────

    @property
    def base_net(self) -> str:
        return self.settings.net or READINGS[self.settings.reading][0]

    @property
    def recipe(self) -> str:
        return self.settings.recipe or READINGS[self.settings.reading][1]

    @property
    def seeds(self) -> range:
        return range(self.settings.seeds)

    @property
    def reading(self) -> str:
        """Which network and recipe stand for "the network", in words, and whose first weights and colour noise it has:
        recipe "paper" takes these from the 2012 code."""
        whose = {"paper": "the paper's", "code": "the 2012 code's"}
        recipe = find_recipe(self.recipe)
        return (
            f"{whose[self.settings.reading]}: {self.base_net}, recipe {recipe.name}; first weights "
            f"{self.settings.init or recipe.init!r}, colour noise {recipe.augmentation.colour!r}"
        )

    def trial(self, label: str, net: str | None = None, **changes: Any) -> Trial:
        """The base network, or `net`, trained by the settings with `changes` of single options; `store` and `start` may
        be among them."""
        settings = self.settings
        plain = TrainOptions(
            recipe=self.recipe,
            net=net or self.base_net,
            width=settings.width,
            input_size=settings.input_size,
            epochs=settings.epochs,
            batch=settings.batch,
            learning_rate=settings.learning_rate,
            init=settings.init,
            patience=settings.patience,
            threads=settings.threads,
            precision=settings.precision,
            device=settings.device,
        )
        store, start = changes.pop("store", self.store), changes.pop("start", None)
        return Trial(label, replace(plain, **changes), store, start)

    def base(self) -> Trial:
        return self.trial("the network")

    def ablation(self, suffix: str, label: str) -> Trial:
        """The base network changed as `ABLATIONS_OF_A` says."""
        return self.trial(label, net=f"{self.base_net}-{suffix}")

    def chosen(self, known: Iterable[str]) -> list[str]:
        """The names that --only chooses of those known, or all. Raises UsageError for one that is not there."""
        known, wanted = list(known), [name for name in self.settings.only.split(",") if name]
        if absent := [name for name in wanted if name not in known]:
            only = f"--only {self.settings.only}"
            raise UsageError(f"{only}: there is no {absent[0]!r} here. There are: {', '.join(known)}.")
        return wanted or known

    def stand_in(self, net: str) -> str:
        """A network of the families alexnet, alexnet-145 and zfnet, or where the settings name another base the same
        change of that."""
        if self.settings.net is None:
            return net
        return self.settings.net + net.removeprefix("alexnet-145").removeprefix("alexnet").removeprefix("zfnet")

    # ── saying what it costs ─────────────────────────────────────────────────────────────────────────────────────

    def plan(self, trials: Sequence[Trial], seeds: Sequence[int] | None = None) -> None:
        """Say what has to be trained, and what of the disk that takes. Raises UserError if there is less."""
        jobs = [(trial, seed) for trial in trials for seed in (self.seeds if seeds is None else seeds)]
        for trial, seed in jobs:
            if trial.start is not None:
                jobs.append((trial.start, seed))  # the list grows while it is walked: a start may have one itself
        open_jobs = {trial.name(seed): trial for trial, seed in jobs if not self._is_trained(trial.name(seed))}
        for name, trial in open_jobs.items():
            self.planned[name] = trial.epochs * len(trial.store.parts["train"])
        found = len({trial.name(seed) for trial, seed in jobs}) - len(open_jobs)
        self.say(f"{counted(len(open_jobs), 'network')} to train, {found} there already; {self._disk(open_jobs)}")

    def _disk(self, open_jobs: dict[str, Trial]) -> str:
        kept = [trial.kept_bytes for trial in open_jobs.values()]
        largest = max((trial.weight_bytes for trial in open_jobs.values()), default=0)
        # Finished runs keep their weights; the one in training has states and a second copy besides.
        needed = sum(kept) + (1 + 2 * STATE_FILES) * largest + (len(kept) << 20)
        with faults_named(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free
        words = f"they take up to {in_bytes(needed)} of disk; {in_bytes(free)} are free"
        if free < needed:
            raise UserError(f"{self.folder}: {words}. Free some, or choose another --out.")
        return words

    # ── training ─────────────────────────────────────────────────────────────────────────────────────────────────

    def trained(self, trial: Trial, seed: int) -> RunFolder:
        """The trial's run with that seed: trained now, gone on with, or found. Raises Interrupted if asked to stop."""
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
        options = TrainOptions() if begun else trial.options_for(seed, start)
        began = time.monotonic()
        with faults_named(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            loop.train(trial.store, path, options, resume=begun, quiet=self.quiet)
        except Interrupted:
            raise Interrupted("stopped, all is saved. The same command goes on.") from None
        seconds = time.monotonic() - began
        self.seconds_trained += seconds
        pictures = self.planned.pop(path.name, trial.epochs * len(trial.store.parts["train"]))
        if not begun:
            self.paces[path.name] = (seconds, pictures)

    def _is_trained(self, name: str) -> bool:
        config = self.folder / "runs" / name / "config.json"
        return config.exists() and bool(read_json(config).get("finished"))

    def _time_left(self) -> str:
        left, seconds = sum(self.planned.values()), sum(pace[0] for pace in self.paces.values())
        if not self.paces or not left:
            return f", {counted(len(self.planned), 'network')} to go" if self.planned else ""
        pace = seconds / sum(pictures for _, pictures in self.paces.values())
        return f", {counted(len(self.planned), 'network')} to go: about {duration(left * pace)}"

    def training_errors(self, trial: Trial, seed: int) -> list[float]:
        """The training error of each epoch, a running mean over it; none where the loss became no number."""
        name = f"{trial.name(seed)}-diverged"
        if not (self.folder / "measured" / f"{name}.json").exists():
            try:
                return self.history(trial, seed).curve("train_top1_error")[1]
            except Diverged as fault:
                self.say(str(fault))
                self.kept(name, lambda why=str(fault): {"why": why})
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
        """Time that the trainings of all runs used so far took, whenever they were made."""
        return sum(seconds_of(read_history(run.path / "log.jsonl"), run) for run in self.used.values())

    # ── measuring ────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def pretrained_here(self) -> bool:
        """Whether a network used so far was trained on the store of the larger label set."""
        other = None if self.pretraining is None else self.pretraining.fingerprint
        return any(run.value("data", "fingerprint") == other for run in self.used.values())

    @property
    def part(self) -> str:
        """What is measured on: the test pictures where the store has any, else the validation pictures."""
        return "test" if len(self.store.parts.get("test", ())) else "val"

    @property
    def pictures(self) -> int:
        return len(self.store.parts[self.part])

    @property
    def built_in(self) -> bool:
        """Whether the pictures are those that the program draws itself, which may be shown anywhere."""
        key = self.store.parts["train"].keys[0]
        return set(self.store.class_ids) <= set(CLASSES) and DRAWN.search(key) is not None

    def opened(self, trial: Trial, seed: int) -> Run:
        return Run.open(self.trained(trial, seed).path, device=self.settings.device)

    def looked_into(self, trial: Trial, seed: int) -> Run:
        """The run in fp32, as `alexnet see` opens one: it is looked at, not counted."""
        return Run.open(self.trained(trial, seed).path, device=self.settings.device, precision="fp32")

    @contextmanager
    def watched(self, what: str, unit: str = "pictures") -> Iterator[Progress | None]:
        """Inside, how far a measurement is can be reported: done, of how many. None where the lab is quiet."""
        if self.quiet:
            yield None
            return
        with progress(unit) as report:
            yield partial(report, what)

    def errors(self, trial: Trial, seed: int, views: int = 10, part: str | None = None) -> Errors:
        """Measured once and kept."""
        part = part or self.part
        path = self._measured(trial, seed, part, views, "json")
        if not self._is_measured(path, self.trained(trial, seed)):
            self._evaluate(trial, seed, part, views, keep=False)
        return known_errors(path)

    def each(self, trial: Trial, views: int = 10, part: str | None = None) -> list[Errors]:
        """The errors of every seed's network."""
        return [self.errors(trial, seed, views, part) for seed in self.seeds]

    def probabilities(self, trial: Trial, seed: int, views: int = 10, part: str | None = None) -> Probabilities:
        """The probabilities of all classes for every picture, kept in a file; so are the errors."""
        part = part or self.part
        path, errors = (self._measured(trial, seed, part, views, kind) for kind in ("safetensors", "json"))
        if not self._is_measured(errors, self.trained(trial, seed)) or not path.exists():
            found = self._evaluate(trial, seed, part, views, keep=True)
            assert found is not None
            found.save(path)
        return Probabilities.load(path)

    def _measured(self, trial: Trial, seed: int, part: str, views: int, kind: str) -> Path:
        return self.folder / "measured" / f"{trial.name(seed)}-{part}-{views}.{kind}"

    def _is_measured(self, path: Path, run: RunFolder) -> bool:
        """Whether the errors in `path` are those of this training: a run may have been removed and trained anew."""
        return path.exists() and read_json(path).get("log") == log_digest(run)

    def _evaluate(self, trial: Trial, seed: int, part: str, views: int, *, keep: bool) -> Probabilities | None:
        """Measure a run and write down its errors; gives the probabilities if they are to be kept."""
        run = self.opened(trial, seed)
        with self.watched(f"{run.path.name}, {part}") as report:
            evaluations, probabilities = evaluate_run(
                run.folder, run.viewer, trial.store, part=part, views=(views,), progress=report, keep_probabilities=keep
            )
        counts = evaluations[views].counts
        errors = Errors(counts.top1, counts.top5, counts.mean_nll, counts.pictures)
        path = self._measured(trial, seed, part, views, "json")
        about = {"run": run.path.name, "log": log_digest(run.folder), "part": part, "views": views}
        self._write(path, {**asdict(errors), **about})
        return probabilities

    def names(self, trial: Trial) -> tuple[str, ...]:
        """The run folders of a trial, one for each seed."""
        return tuple(trial.name(seed) for seed in self.seeds)

    def kept(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `make` measures, kept under `name` in measured/."""
        path = self.folder / "measured" / f"{name}.json"
        if not path.exists():
            self._write(path, make())
        return read_json(path)

    def result_name(self, id: str, own: Sequence[str] = ()) -> str:
        """What the files of a result are called: its id, the stores, and what was chosen in place of the usual, but for
        settings that have no part in it."""
        stores = [self.store, *((self.pretraining,) if self.pretraining and self.pretrained_here else ())]
        names = [store.path.resolve().name.removesuffix(".store") for store in stores]
        chosen = describe({name: value for name, value in asdict(self.settings).items() if name not in own})
        name = re.sub(r"[^\w.]+", "-", "-".join((id, *names, *chosen))).strip("-")
        return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}-{canonical_digest(name)[:8]}"

    def file(self, name: str, text: str) -> str:
        """A text file beside the results; gives its name."""
        path = self.folder / "results" / name
        with faults_named(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())
        return name

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        with faults_named(path):
            os.makedirs(path.parent, exist_ok=True)
        write_atomically(path, json_bytes(content))


def how_trained(lab: Lab, trial: Trial, seeds: int | None = None) -> str:
    """How a network was trained, with `seeds` of them (by default as many as the settings say); arithmetic and devices
    are those of all networks used."""
    options = trial.options
    machines = [run.value("machine") for run in lab.used.values()]
    where = sorted({f"{machine['precision']} on {machine['device']}" for machine in machines})
    learning_rate = (
        find_recipe(options.recipe).learning_rate if options.learning_rate is None else options.learning_rate
    )
    width = "" if options.width == 1 else f", width {options.width:g}"
    return (
        f"recipe {options.recipe}, {trial.table.name}{width}, at most {trial.epochs} epochs, batch {options.batch}, "
        f"learning rate {learning_rate:g}, seeds 0 to {(seeds or lab.settings.seeds) - 1}; {' and '.join(where)}"
    )


def too_weak(plain: Sequence[Errors], views: int = 10) -> str:
    """Why an ablation does not count: its base network is too weak. Empty if it counts."""
    right = 1 - sum(e.top1 for e in plain) / len(plain)
    if right >= COUNTS_FROM:
        return ""
    return (
        f"does not count: the base network is right in {right * 100:.1f} %; with {VIEWS_IN_WORDS[views]} "
        f"{COUNTS_FROM * 100:.0f} % are asked for"
    )


def known_errors(path: Path) -> Errors:
    """Errors that were measured before and kept in a file."""
    form = {"top1": number, "top5": number, "nll": any_number, "pictures": whole(1)}
    known = validate(read_json(path), form, path, "Remove it; it is measured again.")
    return Errors(**{name: known[name] for name in ("top1", "top5", "nll", "pictures")})


def log_digest(run: RunFolder) -> str:
    """Tells one training of a run from another."""
    return sha256_of(run.path / "log.jsonl")


def seconds_of(history: History, run: RunFolder) -> float:
    """The time a run trained, validation apart: its epochs' pictures over their pace."""
    pictures = run.value("data", "pictures")["train"]
    return sum(pictures / max(event["pictures_per_second"], 0.1) for event in history.epochs)
