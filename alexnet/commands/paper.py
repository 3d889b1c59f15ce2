"""The results of the papers."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg, subcommand

from alexnet.commands.arguments import left_to_words
from alexnet.experiments.settings import Settings

if TYPE_CHECKING:
    SettingsArguments = Settings
else:
    SettingsArguments = left_to_words(Settings)


@dataclass(frozen=True)
class PaperList:
    """List the results: id, claim, what each needs, what it costs."""

    seeds: int = 3
    """Networks of each kind that the cost is told for."""

    def run(self) -> None:
        from alexnet.experiments.listing import results_in_words

        Settings(seeds=self.seeds).check()
        print(results_in_words(self.seeds, shutil.get_terminal_size().columns))


@dataclass(frozen=True)
class PaperRuns:
    """List the 98 logged runs of 2012: the recipe of each, its result, or why it is not expressed."""

    def run(self) -> None:
        from alexnet.experiments.listing import runs_in_words

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
        from alexnet.data.store.read import Store
        from alexnet.errors import UsageError
        from alexnet.experiments import report, running
        from alexnet.experiments.lab import Lab
        from alexnet.experiments.registry import Unsuited, chosen
        from alexnet.terminal import say

        experiments = chosen(self.id)
        settings = Settings(**vars(self.settings))
        settings.check()
        if settings.only and len(experiments) > 1:
            raise UsageError(f"--only {settings.only}: names networks of one result; {self.id} is several.")
        pretraining = None if self.pretrain is None else Store.open(self.pretrain)
        lab = Lab(self.out, Store.open(self.store), settings, pretraining, say, keypoints=self.keypoints)
        not_made = []
        for experiment in experiments:
            try:
                path = running.run_experiment(experiment, lab)
            except Unsuited as fault:
                if len(experiments) == 1:
                    raise
                not_made.append(str(fault))
                say(f"{fault} It is left out.")
            else:
                print(f"{report.result_in_words(running.read_result(path))}\n\n{path}\n", flush=True)
        if not_made:
            say("left out, what these pictures do not allow:\n" + "\n".join(f"  {why}" for why in not_made))


@dataclass(frozen=True)
class PaperReport:
    """Write the report of the results in a folder: one Markdown page and one HTML page that opens offline.

    Example:
        alexnet paper report papers
    """

    folder: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """What --out of `alexnet paper run` named."""

    def run(self) -> None:
        from alexnet.experiments.report import write_report

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
