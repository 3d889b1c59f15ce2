"""What a run has learned: measured, asked, reported, averaged with others."""

import json
import shutil
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from alexnet.errors import UsageError, UserError
from alexnet.train.options import TrainOptions
from alexnet.verbs.arguments import Device, Precision, RunFolderArgument


@dataclass(frozen=True)
class Evaluate:
    """Measure a run on a part of a store: nll, top-1 and top-5 error, errors by class, confusions.

    Examples:
        alexnet evaluate runs/photos photos.store
        alexnet evaluate runs/photos photos.store --part test --json > figures.json
        torchrun --nproc-per-node 4 -m alexnet evaluate runs/photos photos.store    # shared among four processes
    """

    run_folder: RunFolderArgument
    """The run."""
    store: Annotated[Positional[Path], arg(metavar="STORE")]
    """The pictures, prepared; of the run's classes or some of them, and of the record size that it was trained on."""
    views: Literal[1, 5, 9, 10] = 10
    """Crops of a picture whose softmax outputs are averaged: 1 (centre), 5 (and corners), 10 (and mirrored; [A] §4.1);
    9 is a grid of 3 × 3, not mirrored (the 2012 CIFAR nets'). With more than one the centre's are given too."""
    part: Annotated[str, arg(metavar="NAME")] = "val"
    """Which part of the store: val, train, or test where there is one."""
    json: bool = False
    """Print one JSON object: shares 0 to 1, counts, nll in nats, every class and every confused pair."""
    save_probabilities: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: not kept)")] = None
    """Keep the probabilities of all classes for each picture in this safetensors file, for averaging runs."""
    device: Device = "auto"
    """Where to compute; auto: the first of cuda, mps, cpu that is there."""
    precision: Precision = "auto"
    """Arithmetic of the layers; auto: as in the training, on another kind of device fp32."""

    def run(self) -> None:
        from alexnet.data.store import Store
        from alexnet.measure import words
        from alexnet.measure.evaluation import Sharing, evaluate_run, how_matched
        from alexnet.measure.probabilities import Probabilities
        from alexnet.measure.run import Run
        from alexnet.terminal import progress, say
        from alexnet.train.job import set_threads
        from alexnet.train.parallel.launch import agree, launched

        if self.save_probabilities is not None:
            Probabilities.refuse_foreign(self.save_probabilities, "--save-probabilities")
        with launched(options := TrainOptions(device=self.device)) as team:
            run = Run.open(self.run_folder, device=self.device, precision=self.precision)
            store = Store.open(self.store)
            agree(team, store, options)
            if not team.alone:
                set_threads(0, team.local)
            if team.leads and (matched := how_matched(run.folder, store, self.part)):
                say(matched)
            with progress("pictures") if team.leads else nullcontext() as report:
                evaluations, probabilities = evaluate_run(
                    run.folder,
                    run.viewer,
                    store,
                    part=self.part,
                    views=sorted({1, self.views}),
                    progress=None if report is None else partial(report, self.part),
                    keep_probabilities=self.save_probabilities is not None,
                    sharing=Sharing(team.rank, team.layout.processes, team.everyones),
                )
        if not team.leads:
            return
        if probabilities is not None and self.save_probabilities is not None:
            probabilities.save(self.save_probabilities)
        for note in words.notes_on(evaluations[self.views]):
            say(note)
        if self.json:
            print(json.dumps(words.evaluation_as_json(evaluations), indent=1))
        else:
            print(words.evaluation_in_words(evaluations))


@dataclass(frozen=True)
class Predict:
    """Say what is in pictures: the most probable classes of each, with bars.

    Pictures that can't be read are named on stderr; the others are answered, and the exit code is then 1.

    Examples:
        alexnet predict runs/photos cat.jpg dog.png
        alexnet predict runs/photos holiday/ --json > answers.jsonl
        curl -s https://example.org/cat.jpg | alexnet predict runs/photos -
    """

    run_folder: RunFolderArgument
    """The run."""
    pictures: Annotated[Positional[tuple[str, ...]], arg(metavar="FILE|FOLDER|- ...", help_behavior_hint="(required)")]
    """Picture files, folders of them, or - for one picture on standard input."""
    views: Literal[1, 5, 10] = 10
    """Crops of a picture whose softmax outputs are averaged: 1 (centre), 5 (corners too), 10 (mirrored too)."""
    top: Annotated[int, arg(metavar="N")] = 5
    """How many classes to name."""
    json: bool = False
    """Print one JSON object a line: file, labels with class, id and probability, notes; or file and error."""
    save_probabilities: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: not kept)")] = None
    """Keep the probabilities of all classes for each picture in this safetensors file, for `alexnet average`; only if
    all could be read."""
    device: Device = "auto"
    """Where to compute; auto: the first of cuda, mps, cpu that is there."""
    precision: Precision = "auto"
    """Arithmetic of the layers; auto: as in the training, on another kind of device fp32."""

    def run(self) -> None:
        from alexnet.measure import words
        from alexnet.measure.predict import Failure, Prediction, found_pictures
        from alexnet.measure.probabilities import Probabilities
        from alexnet.measure.run import Run
        from alexnet.terminal import say

        if self.top < 1:
            raise UsageError(f"--top {self.top}: at least 1")
        if not self.pictures:
            raise UsageError("no picture given. Name files or folders, or - for standard input.")
        if self.save_probabilities is not None:
            Probabilities.refuse_foreign(self.save_probabilities, "--save-probabilities")
        run = Run.open(self.run_folder, device=self.device, precision=self.precision)
        width, failures, kept = shutil.get_terminal_size().columns, 0, list[Prediction]()
        for found in run.predictor.each(found_pictures(self.pictures), views=self.views, top=self.top):
            if isinstance(found, Failure):
                failures += 1
                say(f"alexnet: {found.name}: {found.reason}")
            if self.json:
                print(json.dumps(words.prediction_as_json(found)), flush=True)
            elif not isinstance(found, Failure):
                print(words.prediction_in_words(found, width), flush=True)
            if self.save_probabilities is not None and not isinstance(found, Failure):
                kept.append(found)
        if failures:
            raise UserError(f"pictures that could not be read: {failures:,}")
        if self.save_probabilities is not None:
            Probabilities.unlabelled(kept, run.class_ids, self.views).save(self.save_probabilities)


@dataclass(frozen=True)
class Report:
    """Write a run's report: one page that opens offline, and its figures as PNG, into the run folder.

    Curves, first-layer kernels, network, recipe; with the store also accuracy by centre and ten views, pictures with
    their labels, confusions and the table of classes.

    Examples:
        alexnet report runs/photos    # with the store it was trained on, if that is still in its place
        alexnet report runs/photos --store photos.store
    """

    run_folder: RunFolderArgument
    """The run."""
    store: Annotated[
        Path | None, arg(metavar="STORE", help_behavior_hint="(default: the training's, where it still is)")
    ] = None
    """The pictures to measure on and to show, prepared; of the training's classes or some of them, and record size."""
    part: Annotated[str, arg(metavar="NAME")] = "val"
    """Which part of the store."""
    device: Device = "auto"
    """Where to compute; auto: the first of cuda, mps, cpu that is there."""
    precision: Precision = "auto"
    """Arithmetic of the layers; auto: as in the training, on another kind of device fp32."""

    def run(self) -> None:
        from alexnet.data.store import Store
        from alexnet.measure.report import write_report
        from alexnet.measure.run import Run
        from alexnet.terminal import progress, say

        run = Run.open(self.run_folder, device=self.device, precision=self.precision)
        path = self.store or Path(run.config.get("data", {}).get("path", ""))
        store = Store.open(path) if self.store or (path / "store.json").exists() else None
        with progress("pictures") as report:
            page = write_report(run, store, part=self.part, progress=partial(report, self.part), say=say)
        print(page)


@dataclass(frozen=True)
class Average:
    """Average several networks: kept probabilities, weighed alike, by given weights, or by weights found.

    The search is that of 2012: one weight after another, in steps of 0.05. Errors on the pictures searched on are no
    test of the weights found: search on one part, give the weights on another.

    Examples:
        alexnet average one.safetensors two.safetensors
        alexnet average one.safetensors two.safetensors --search top5
        alexnet average one.safetensors two.safetensors --weights 0.7,1 --submission answers.txt
    """

    files: Annotated[Positional[tuple[Path, ...]], arg(metavar="FILE ...", help_behavior_hint="(required)")]
    """What `alexnet evaluate` or `alexnet predict` kept with --save-probabilities, of the same pictures."""
    weights: Annotated[str, arg(metavar="W,W,…", help_behavior_hint="(default: all alike)")] = ""
    """A weight for each file."""
    search: Annotated[
        Literal["top1", "top5"] | None, arg(metavar="{top1,top5}", help_behavior_hint="(default: no search)")
    ] = None
    """Find weights with the fewest of these errors."""
    save: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: not kept)")] = None
    """Keep the averaged probabilities."""
    submission: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """Write a competition's answers: a line for each picture, its five most probable classes counted from 1."""

    def run(self) -> None:
        from alexnet.files import refuse_foreign, write_atomically
        from alexnet.measure import ensemble, words
        from alexnet.measure.probabilities import Probabilities

        if not self.files:
            raise UsageError("no file given. `alexnet evaluate … --save-probabilities FILE` makes one.")
        if self.weights and self.search:
            raise UsageError("--weights and --search: give one of the two.")
        if self.save is not None:
            Probabilities.refuse_foreign(self.save, "--save")
            if self.save.exists() and any(self.save.samefile(path) for path in self.files if path.exists()):
                raise UsageError(f"--save {self.save}: is one of the files to average. Name another.")
        members = [Probabilities.load(path) for path in self.files]
        found = ensemble.search_weights(members, self.search) if self.search else None
        weights = found.weights if found else ensemble.weights_from(self.weights)
        averaged = ensemble.average(members, weights)
        print(words.average_in_words([str(path) for path in self.files], members, averaged))
        if self.save is not None:
            averaged.save(self.save)
        if self.submission is not None:
            lines = ensemble.submission(averaged).encode()
            refuse_foreign(self.submission, lambda path: path.read_bytes() == lines, "--submission")
            write_atomically(self.submission, lines)
