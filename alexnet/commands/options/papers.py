"""Options of `alexnet paper`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg, subcommand

from alexnet.commands.options.common import described_by_default, option
from alexnet.experiments.settings import Settings

if TYPE_CHECKING:
    SettingsArguments = Settings
else:
    SettingsArguments = described_by_default(Settings)


@dataclass(frozen=True)
class PaperList:
    """List the results: id, claim, what each needs, what it costs."""

    seeds: int = 3
    """Networks of each kind for which the cost is given."""


@dataclass(frozen=True)
class PaperRuns:
    """List the 98 logged runs of 2012: the recipe of each, its result, or why there is none."""


@dataclass(frozen=True)
class PaperRun:
    """Reproduce a result: train what it needs, measure, print the paper's numbers next to ours.

    Results in the same folder share their networks. If interrupted, rerun the same command to resume.

    Examples:
        alexnet paper run A/s3.3 photos.store --out papers
        alexnet paper run A/table2 photos.store --pretrain more.store --width 0.5 --epochs 40 --out papers
    """

    id: Annotated[Positional[str], arg(metavar="ID")]
    """The result, as `alexnet paper list` names it; A/ or Z/ may be left out where only one paper has it. all, A/all,
    Z/all: every one, in turn."""
    store: Annotated[Positional[Path], arg(metavar="STORE")]
    """The pictures, prepared."""
    out: Annotated[Path, arg(metavar="FOLDER")]
    """Where networks, measurements and results go."""
    pretrain: Annotated[Path | None, option("STORE", default="none")] = None
    """A store with more classes, for the results that pre-train."""
    keypoints: Annotated[Path | None, option("JSON", default="drawn faces")] = None
    """Pictures with keypoints for Z/table1, in the format of `alexnet see parts`."""
    settings: Annotated[SettingsArguments, arg(name="")] = SettingsArguments()


@dataclass(frozen=True)
class PaperReport:
    """Write the report of the results in a folder: one Markdown page and one HTML page that opens offline.

    Example:
        alexnet paper report papers
    """

    folder: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """The folder given to `alexnet paper run` as --out."""


@dataclass(frozen=True)
class Paper:
    """Reproduce the papers on your pictures: every table and figure, the paper's number next to ours.

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
