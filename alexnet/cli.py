"""The command line: `alexnet VERB …`. One verb is one dataclass of options with a function that hands them on.

Nothing heavy is imported up here: a verb imports what it needs when it runs, so that help answers at once. Exit codes:
0 done, 1 something the user can mend (UserError), 2 a wrong verb, option or argument, 130 interrupted, 141 whoever
read the output stopped reading.
"""

import difflib
import inspect
import io
import json
import os
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext, redirect_stdout, suppress
from dataclasses import dataclass, fields, make_dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_type_hints

import tyro
from tyro.conf import DisallowNone, Positional, arg, subcommand

import alexnet
from alexnet.errors import UsageError, UserError
from alexnet.files import file_fault
from alexnet.papers.settings import Settings
from alexnet.train.options import TrainOptions
from alexnet.verbs.arguments import Device, Precision, RunFolderArgument, Verb
from alexnet.verbs.bring import Import
from alexnet.verbs.export import Export
from alexnet.verbs.reuse import Features, Transfer
from alexnet.verbs.see import See
from alexnet.verbs.serve import Serve
from alexnet.verbs.similar import Similar, SimilarBuild
from alexnet.verbs.trust import Check, Verify

if TYPE_CHECKING:
    from alexnet.data.sources import Source
    from alexnet.data.store import Store
    from alexnet.train.parallel.layout import Layout

Made = TypeVar("Made")

INTERRUPTED = 130  # 128 + SIGINT, as shells report it
UNREAD = 141  # 128 + SIGPIPE


@dataclass(frozen=True)
class Completion:
    """Print a shell's completion script, for verbs, options and their choices.

    Example:
        alexnet completion bash > ~/.local/share/bash-completion/completions/alexnet
        alexnet completion zsh  > ~/.zfunc/_alexnet    # with ~/.zfunc in fpath, before compinit
        alexnet completion fish > ~/.config/fish/completions/alexnet.fish
    """

    shell: Annotated[Positional[Literal["bash", "zsh", "fish"]], arg(metavar="{bash,zsh,fish}")]
    """Whose script."""

    def run(self) -> None:
        script = io.StringIO()
        with redirect_stdout(script), suppress(SystemExit):
            tyro.cli(all_verbs(), prog="alexnet", config=TYRO, args=["--tyro-print-completion", self.shell])
        print(script.getvalue().rstrip() + FILES_ELSEWHERE[self.shell])


# tyro's scripts (1.0) offer verbs, options and choices, and nothing where a file or folder has to be named.
FILES_ELSEWHERE = {
    "bash": """
_alexnet_or_files() { _tyro_alexnet "$@"; [ -n "${COMPREPLY[0]}" ] || COMPREPLY=(); }
complete -o default -F _alexnet_or_files alexnet""",
    "zsh": " || _files",
    "fish": """
complete --command alexnet --condition 'test (count (commandline -opc)) -gt 1' --force-files""",
}


@dataclass(frozen=True)
class Nets:
    """List the networks, or describe one layer by layer.

    Shown are output shape, units, parameters, multiply-adds of a picture, the pixels that a unit sees and at what
    distance its neighbour looks, and the memory of all maps in float32; then the totals.

    Examples:
        alexnet nets
        alexnet nets alexnet --batch 128
    """

    name: Annotated[Positional[str | None], arg(metavar="[NAME]", help_behavior_hint="(default: list all)")] = None
    """The network."""
    batch: Annotated[int, arg(metavar="N")] = 1
    """Pictures whose maps are counted as memory."""
    classes: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the network's, 1000)")] = None
    """Outputs of the last layer."""
    width: Annotated[float, arg(metavar="FACTOR")] = 1.0
    """Factor on the maps and units of every layer but the last."""
    input: Annotated[int | None, arg(metavar="PIXELS", help_behavior_hint="(default: the network's, 224)")] = None
    """Side of the input, pixels."""

    def run(self) -> None:
        from alexnet.nets import summary, table, zoo

        if self.name is None:
            print(summary.overview(zoo.ZOO.values()))
            return
        if self.batch < 1:
            raise UsageError(f"--batch {self.batch}: at least 1")
        network = table.with_width(zoo.find(self.name, self.classes), self.width)
        print(summary.describe(network, self.batch, self.input))


@dataclass(frozen=True)
class Prepare:
    """Turn pictures into a store, which trains without decoding anything again.

    It holds square RGB records of one size, labels, class names, the mean image, the colour statistics of the training
    pictures, and a report of every odd file. The same command goes on with a store that was begun and stopped.

    Example:
        alexnet prepare photos/ photos.store --holdout 0.1    # a folder per class, a tenth kept for validation
        alexnet prepare photos/ photos.store --part 1/2    # on one machine, 2/2 on another; then once:
        alexnet prepare photos/ photos.store --join
    """

    source: Annotated[Positional[str], arg(metavar="SOURCE")]
    """Where the pictures are: a folder with one folder per class, or with train/ and val/ of such; the folder of
    ILSVRC-2010 or -2012 as downloaded, of Tiny-ImageNet, CIFAR-10, Caltech-101 or -256, LabelMe, small NORB; or
    synthetic: for the built-in set."""
    store: Annotated[Positional[Path], arg(metavar="STORE")]
    """The folder to make."""
    size: Annotated[int, arg(metavar="PIXELS")] = 256
    """Side of a record, pixels: the shorter side is resized to it, the centre square kept."""
    resample: Literal["bicubic", "bilinear", "lanczos", "box"] = "bicubic"
    """The resizing filter; averages where it shrinks."""
    format: Literal["raw", "jpeg"] = "raw"
    """raw: PIXELS² · 3 bytes a picture (1.28 million at 256: 252 GB); jpeg: about a third, decoded at each reading."""
    holdout: Annotated[float | None, arg(metavar="SHARE", help_behavior_hint="(default: the source's own parts)")] = (
        None
    )
    """Share of the training pictures, 0 to 1, to set apart as part "val"."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Which pictures --holdout takes."""
    background: bool = False
    """Keep the clutter of a Caltech set as a class."""
    decode: Literal["full", "scaled"] = "full"
    """scaled: JPEGs with a shorter side of 4 · PIXELS or more are decoded at 1/2, 1/4 or 1/8 of their size: faster, and
    about one level of 255 off."""
    exif: bool = False
    """Turn pictures as their EXIF orientation says; in 2012 they were not."""
    strict: bool = False
    """Stop at the first file that cannot be decoded."""
    max_bad: Annotated[float, arg(metavar="SHARE")] = 0.01
    """Stop when more than this share of the files, 0 to 1, cannot be decoded; below, they are left out and listed."""
    workers: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: one per core)")] = None
    """Threads that decode."""
    part: Annotated[str | None, arg(metavar="I/N", help_behavior_hint="(default: all of it)")] = None
    """Prepare part I of N only, as one of N machines that share STORE and do the rest."""
    join: bool = False
    """Make one store of the N parts: the same bytes as one machine makes."""

    def run(self) -> None:
        from alexnet.data.prepare import prepare
        from alexnet.data.shards import Shard, join, prepare_shard

        if self.part is not None and self.join:
            raise UsageError("--part and --join: give one of them; parts are joined when all are there.")
        shard = None if self.part is None else Shard.parse(self.part)
        source = open_shown(self.source, holdout=self.holdout, seed=self.seed, background=self.background)
        names = ("size", "resample", "format", "decode", "exif", "strict", "max_bad", "workers")
        options = {name: getattr(self, name) for name in names}
        if shard is not None:
            print(prepare_shown(source, self.store, partial(prepare_shard, shard=shard), **options))
        elif self.join:
            del options["workers"]
            print(in_words(prepare_shown(source, self.store, join, **options)))
        else:
            print(in_words(prepare_shown(source, self.store, prepare, **options)))


def open_shown(spec: str | Path, **options: Any) -> "Source":
    """`alexnet.data.sources.open_source`, on stderr the progress of drawing where the built-in set has to be drawn."""
    from alexnet.data.sources import open_source
    from alexnet.terminal import progress

    with progress("pictures") as report:
        return open_source(spec, progress=partial(report, "drawing"), **options)


def prepare_shown(source: "Source", destination: Path, make: Callable[..., Made], **options: Any) -> Made:
    """What `make` (`alexnet.data.prepare.prepare` or one like it) makes, its progress and its words on stderr."""
    from alexnet.terminal import progress, say

    with progress("pictures") as report:

        def follow(part: str, done: int, total: int, refused: int) -> None:
            report(part, done, total, f"{refused:,} refused" if refused else "")

        return make(source, destination, progress=follow, say=say, **options)


def in_words(store: "Store") -> str:
    """What is in the store, and how many files were left out or odd."""
    from alexnet.terminal import counted

    parts = ", ".join(f"{name} {len(part):,}" for name, part in store.parts.items())
    odd = Counter(entry["outcome"] for entry in store.report())
    told = f"{store.path}: {len(store.class_names):,} classes, pictures: {parts}"
    if odd:
        left_out, taken = counted(odd["refused"], "file"), counted(odd["noted"], "odd one")
        told += f"\n{left_out} left out, {taken} taken: see {store.path / 'report.json'}"
    return told


def left_to_words(options: type, **named: str) -> type:
    """The options with "(default: None)" left out of their help, where the words say it; `named` renames options."""
    hints = get_type_hints(options)
    unsaid = [
        (field.name, Annotated[hints[field.name], arg(name=named.get(field.name), help_behavior_hint="")], None)
        for field in fields(options)
        if field.default is None
    ]
    return make_dataclass(options.__name__, unsaid, bases=(options,), frozen=True)


if TYPE_CHECKING:
    TrainArguments = TrainOptions
    SettingsArguments = Settings
else:
    SettingsArguments = left_to_words(Settings)
    TrainArguments = left_to_words(TrainOptions, start_from="from")


@dataclass(frozen=True)
class Train:
    """Train a network on a store.

    A run that was stopped, by whatever, goes on with --resume and ends with the same weights to the last bit.

    Examples:
        alexnet train photos.store --out runs/photos
        alexnet train photos/ --out runs/photos --width 0.5 --epochs 30    # prepares the folder first, by itself
        alexnet train photos.store --out runs/photos --resume
        alexnet train pets.store --out runs/pets --from runs/photos --freeze conv1-conv5
    """

    store: Annotated[Positional[Path], arg(metavar="STORE")]
    """What `alexnet prepare` made; or a folder of pictures, which is prepared first, into RUN.store."""
    out: Annotated[Path, arg(metavar="RUN")]
    """The run folder to make (or to go on with)."""
    resume: bool = False
    """Go on with the run in RUN, with the options it was started with."""
    show_traffic: bool = False
    """First print the numbers that cross between processes: for each picture and layer, forward and backward."""
    options: Annotated[TrainArguments, arg(name="")] = TrainArguments()

    def run(self) -> None:
        from alexnet.data.store import Store
        from alexnet.train.checks import check_options
        from alexnet.train.loop import train
        from alexnet.train.parallel.launch import launched

        options = TrainOptions(**vars(self.options))
        with launched(options) as team:
            check_options(options)
            if self.show_traffic and team.leads:
                show_traffic(options, team.layout)
            store = ready_store(self.store, self.out) if team.alone else Store.open(self.store)
            train(store, self.out, options, resume=self.resume, team=team)
        if team.leads:
            print(self.out)


def show_traffic(options: TrainOptions, layout: "Layout") -> None:
    from alexnet.nets.table import with_width
    from alexnet.nets.zoo import find
    from alexnet.train.checks import with_options
    from alexnet.train.parallel import traffic
    from alexnet.train.recipes import find as find_recipe

    network = with_width(find(with_options(find_recipe(options.recipe), options).net), options.width)
    print(traffic.in_words(network, layout, options.input_size), flush=True)


def ready_store(pictures: Path, run: Path) -> "Store":
    """The store at `pictures`, or the one made of the pictures there, with a tenth held out if there is no "val"."""
    from alexnet.data.description import is_store
    from alexnet.data.prepare import OptionNeeded, prepare
    from alexnet.data.store import Store

    if is_store(pictures):
        return Store.open(pictures)
    source, holdout = open_shown(pictures), []
    if "val" not in source.parts:
        source, holdout = open_shown(pictures, holdout=0.1), ["--holdout", "0.1"]
    store = run.resolve().with_name(run.resolve().name + ".store")
    try:
        return prepare_shown(source, store, prepare)
    except OptionNeeded as fault:
        command = shlex.join(["alexnet", "prepare", str(pictures), str(store), *holdout])
        train = shlex.join(["alexnet", "train", str(store), "--out", str(run)])
        raise UserError(f"{fault}. To give options: {command} {fault.option}; then: {train} …") from None


@dataclass(frozen=True)
class Plan:
    """Predict step and epoch time on many devices: data parallel, by columns, hybrid.

    From the bytes that each layout sends, the speed of one device and of its link. Nothing is hidden or waited for in
    this model: it compares layouts and shows what the link costs.

    Examples:
        alexnet plan alexnet --devices 8 --link 12.5 --speed 3000
        alexnet plan --run runs/photos --devices 4 --link 1.2 --batch 512 --json
    """

    devices: Annotated[int, arg(metavar="N")]
    """How many devices."""
    link: Annotated[float, arg(metavar="GB/S")]
    """What a device sends in a second, in GB, while it receives as much: 1.25 for 10 Gbit Ethernet."""
    name: Annotated[
        Positional[str | None], arg(metavar="[NET]", help_behavior_hint="(default: the run's, or alexnet)")
    ] = None
    """The network."""
    speed: Annotated[float | None, arg(metavar="IMG/S", help_behavior_hint="(default: the run's)")] = None
    """Pictures a second in training on one device, as `alexnet bench train` or a run's log has it."""
    run_folder: Annotated[Path | None, arg(name="run", metavar="RUN", help_behavior_hint="(default: none)")] = None
    """A run on one device: its network and its measured speed."""
    batch: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 128 for each device)")] = None
    """Pictures in a batch, on all devices together."""
    pictures: Annotated[int, arg(metavar="N")] = 1_281_167
    """Pictures of an epoch; as many as ILSVRC-2012 has, if not said."""
    wire: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Numbers as they are sent."""
    width: Annotated[float, arg(metavar="FACTOR")] = 1.0
    """Factor on the maps and units of every layer but the last."""
    json: bool = False
    """Print a JSON list: seconds, bytes, pictures a second of each layout."""

    def run(self) -> None:
        from alexnet.train import plan

        subject = plan.Subject.of(self.name, self.run_folder, self.width, self.speed)
        cluster = plan.Cluster(self.devices, self.link * 1e9, subject.speed, plan.NUMBER_BYTES[self.wire])
        found = plan.forecasts(subject, cluster, batch=self.batch, pictures=self.pictures)
        print(json.dumps(plan.as_json(found), indent=1) if self.json else plan.in_words(found))


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
    """The pictures, prepared; of the classes and the record size that the run was trained on."""
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
        from alexnet.measure.evaluation import Sharing, evaluate_run, is_reordered
        from alexnet.measure.run import Run
        from alexnet.terminal import progress, say
        from alexnet.train.job import set_threads
        from alexnet.train.parallel.launch import agree, launched

        with launched(options := TrainOptions(device=self.device)) as team:
            run = Run.open(self.run_folder, device=self.device, precision=self.precision)
            store = Store.open(self.store)
            agree(team, store, options)
            if not team.alone:
                set_threads(0, team.local)
            if is_reordered(run.folder, store) and team.leads:
                say(f"{store.path}: has the classes in another order than {run.path}; they are told by their ids")
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
    """The pictures to measure on and to show, prepared; of the classes and the record size of the training."""
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
        from alexnet.terminal import progress

        run = Run.open(self.run_folder, device=self.device, precision=self.precision)
        path = self.store or Path(run.config.get("data", {}).get("path", ""))
        store = Store.open(path) if self.store or (path / "store.json").exists() else None
        with progress("pictures") as report:
            print(write_report(run, store, part=self.part, progress=partial(report, self.part)))


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
        from alexnet.files import write_atomically
        from alexnet.measure import ensemble, words
        from alexnet.measure.probabilities import Probabilities

        if not self.files:
            raise UsageError("no file given. `alexnet evaluate … --save-probabilities FILE` makes one.")
        if self.weights and self.search:
            raise UsageError("--weights and --search: give one of the two.")
        members = [Probabilities.load(path) for path in self.files]
        found = ensemble.search_weights(members, self.search) if self.search else None
        weights = found.weights if found else ensemble.weights_from(self.weights)
        averaged = ensemble.average(members, weights)
        print(words.average_in_words([str(path) for path in self.files], members, averaged))
        if self.save is not None:
            averaged.save(self.save)
        if self.submission is not None:
            write_atomically(self.submission, ensemble.submission(averaged).encode())


@dataclass(frozen=True)
class PaperList:
    """List the results: id, claim, what each needs, what it costs."""

    seeds: int = 3
    """Networks of each kind that the cost is told for."""

    def run(self) -> None:
        from alexnet.papers.listing import results_in_words

        print(results_in_words(self.seeds, shutil.get_terminal_size().columns))


@dataclass(frozen=True)
class PaperRuns:
    """List the 98 logged runs of 2012: the recipe of each, its result, or why it is not expressed."""

    def run(self) -> None:
        from alexnet.papers.listing import runs_in_words

        print(runs_in_words())


@dataclass(frozen=True)
class PaperRun:
    """Make a result: train what it needs, measure, print the paper's numbers beside ours.

    Results in the same folder share their networks; stopped, the same command goes on.

    Examples:
        alexnet paper run A/s3.3 photos.store --out papers
        alexnet paper run A/table2 photos.store --pretrain more.store --width 0.5 --epochs 40 --out papers
    """

    id: Annotated[Positional[str], arg(metavar="ID")]
    """The result, as `alexnet paper list` names it; A/ or Z/ may be left out where only one paper has it. all, A/all,
    Z/all: every one after the other."""
    store: Annotated[Positional[Path], arg(metavar="STORE")]
    """The pictures, prepared."""
    out: Annotated[Path, arg(metavar="FOLDER")]
    """Where networks, measurements and results go."""
    pretrain: Annotated[Path | None, arg(metavar="STORE", help_behavior_hint="(default: none)")] = None
    """A store of a larger label set, for the results that pre-train."""
    keypoints: Annotated[Path | None, arg(metavar="JSON", help_behavior_hint="(default: drawn faces)")] = None
    """Pictures with key points for Z/table1, as `alexnet see parts` takes them."""
    settings: Annotated[SettingsArguments, arg(name="")] = SettingsArguments()

    def run(self) -> None:
        from alexnet.data.store import Store
        from alexnet.papers import report, running
        from alexnet.papers.lab import Lab
        from alexnet.papers.registry import chosen
        from alexnet.terminal import say

        experiments = chosen(self.id)
        settings = Settings(**vars(self.settings))
        pretraining = None if self.pretrain is None else Store.open(self.pretrain)
        lab = Lab(self.out, Store.open(self.store), settings, pretraining, say, keypoints=self.keypoints)
        for experiment in experiments:
            path = running.run_experiment(experiment, lab)
            print(f"{report.in_words(running.read_result(path))}\n\n{path}\n", flush=True)


@dataclass(frozen=True)
class PaperReport:
    """Write the report of the results in a folder: one Markdown page and one HTML page that opens offline.

    Example:
        alexnet paper report papers
    """

    folder: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """What --out of `alexnet paper run` named."""

    def run(self) -> None:
        from alexnet.papers.report import write_report

        for page in write_report(self.folder):
            print(page)


@dataclass(frozen=True)
class Paper:
    """Make the results of the papers on your pictures: every table and figure, the paper's number beside ours.

    Examples:
        alexnet paper list
        alexnet paper runs
        alexnet paper run A/s3.3 photos.store --width 0.5 --epochs 40 --out papers
        alexnet paper report papers
    """

    action: Annotated[
        Annotated[PaperList, subcommand("list")]
        | Annotated[PaperRuns, subcommand("runs")]
        | Annotated[PaperRun, subcommand("run")]
        | Annotated[PaperReport, subcommand("report")],
        arg(name=""),
    ]

    def run(self) -> None:
        self.action.run()


@dataclass(frozen=True)
class Demo:
    """Draw pictures, train on them, measure, ask, report: the whole way in some minutes, each line shown.

    Stopped, the same command goes on.

    Example:
        alexnet demo --out /tmp/demo
    """

    out: Annotated[Path, arg(metavar="FOLDER")] = Path("demo")
    """Where everything goes: pictures, store, run and report."""

    def run(self) -> None:
        from alexnet.demo import commands
        from alexnet.terminal import say

        for line in commands(self.out):
            say(f"\n$ alexnet {shlex.join(line)}")
            obey(line)
            sys.stdout.flush()
        say(f"\nThe report: {self.out / 'run' / 'report.html'}")


@dataclass(frozen=True)
class Bench:
    """Measure speed, each figure beside what you would use instead, both taken in turn.

    Beside the networks written plainly in PyTorch and the torchvision shape; with what this machine can do at best.
    The exit code is 1 if a figure that is asked for is missed. All of it takes about a quarter of an hour on two cores.

    Examples:
        alexnet bench
        alexnet bench train lrn --json > figures.json
    """

    groups: Annotated[
        Positional[tuple[Literal["train", "infer", "views", "lrn", "prepare", "data", "see"], ...]],
        arg(metavar="[train|infer|views|lrn|prepare|data|see ...]", help_behavior_hint="(default: all)"),
    ] = ()
    """What to measure."""
    batch: Annotated[int, arg(metavar="N")] = 128
    """Pictures in a batch."""
    repeats: Annotated[int, arg(metavar="N")] = 7
    """Rounds, in each of which everybody has a turn. Figures are medians."""
    compile: bool = False
    """Let torch.compile have a go at the peers too (minutes more)."""
    pictures: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: made ones)")] = None
    """Pictures to prepare: any source of `alexnet prepare`."""
    json: bool = False
    """Print a JSON list of name, ours, peer, ratio, at_least, unit, spread, note."""

    def run(self) -> None:
        import tempfile

        from alexnet.bench import machine, subject, suite
        from alexnet.terminal import progress, say

        for option, value in (("batch", self.batch), ("repeats", self.repeats)):
            if value < 1:
                raise UsageError(f"--{option} {value}: at least 1")
        with progress("rounds") as report:
            bench = subject.Bench(
                folder=Path(tempfile.gettempdir()),
                batch=self.batch,
                rounds=self.repeats,
                compile=self.compile,
                pictures=self.pictures,
                amx=machine.has_amx(),
                say=say,
                progress=lambda what: partial(report, what),
            )
            rows = suite.run(self.groups or suite.GROUPS, bench)
        print(json.dumps(suite.as_json(rows), indent=1) if self.json else suite.in_words(rows))
        if missed := suite.missed(rows):
            raise UserError(f"below what is asked for: {', '.join(missed)}")


VERBS: dict[str, type[Verb]] = {
    "nets": Nets,
    "prepare": Prepare,
    "check": Check,
    "train": Train,
    "plan": Plan,
    "evaluate": Evaluate,
    "predict": Predict,
    "average": Average,
    "report": Report,
    "paper": Paper,
    "see": See,
    "serve": Serve,
    "features": Features,
    "transfer": Transfer,
    "similar build": SimilarBuild,
    "similar": Similar,
    "verify": Verify,
    "import": Import,
    "export": Export,
    "demo": Demo,
    "bench": Bench,
    "completion": Completion,
}

TYRO = (DisallowNone,)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (by default this process's), return its exit code."""
    # Threads that wait spin for microseconds rather than milliseconds: on a busy machine several times as fast.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may hold what the terminal can't show
    try:
        code = obey(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()  # here, where a closed pipe can still be caught
        return code
    except UserError as fault:
        return say(str(fault), fault.exit_code)
    except KeyboardInterrupt:
        return say("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # Python flushes once more at its end: let that go nowhere, or it complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except OSError as fault:
        if fault.filename is None:
            raise
        return say(str(file_fault(fault, os.fsdecode(fault.filename))), UserError.exit_code)


def obey(arguments: list[str]) -> int:
    """Do what the arguments ask. Mistakes leave as exceptions, wrong options of a verb as tyro's SystemExit(2)."""
    if not arguments:
        print(overview(), file=sys.stderr)
        return UsageError.exit_code
    name, options = parted(arguments)
    if name in ("-h", "--help"):
        print(overview())
    elif name == "--version":
        print(f"alexnet {alexnet.__version__}")
    else:
        parse(find_verb(name), name, options).run()
    return 0


def parted(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The verb, of one word or of two, and what follows it."""
    two = " ".join(arguments[:2])
    return (two, list(arguments[2:])) if two in VERBS else (arguments[0], list(arguments[1:]))


def find_verb(name: str) -> type[Verb]:
    if name not in VERBS:
        near = difflib.get_close_matches(name, VERBS, n=1)
        hint = f"Did you mean `alexnet {near[0]}`? " if near else ""
        raise UsageError(f"there is no verb {name!r}. {hint}`alexnet --help` lists them all.")
    return VERBS[name]


def parse(verb: type[Verb], name: str, options: list[str]) -> Verb:
    return tyro.cli(verb, prog=f"alexnet {name}", description=inspect.getdoc(verb), config=TYRO, args=options)


def overview() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:{width}}  {summary(verb)}" for name, verb in VERBS.items())
    return (
        f"usage: alexnet VERB …\n\n{alexnet.__doc__}\n\n{verbs}\n\n"
        "`alexnet VERB --help` has a verb's options, units, defaults and an example; `alexnet --version` the version."
    )


def summary(verb: type[Verb]) -> str:
    """The first line of the verb's docstring, without its full stop."""
    return (inspect.getdoc(verb) or "").partition("\n")[0].rstrip(".")


def all_verbs() -> Any:
    """Every verb as one type, for what needs the whole tree."""
    named = (Annotated[verb, tyro.conf.subcommand(name, description=summary(verb))] for name, verb in VERBS.items())
    union: Any = next(named)
    for verb in named:
        union |= verb
    return union


def say(message: str, code: int) -> int:
    print(f"alexnet: {message}", file=sys.stderr)
    return code
