"""Speed."""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from alexnet.errors import UsageError, UserError


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
        print(json.dumps(suite.as_json(rows), indent=1) if self.json else suite.describe(rows))
        if missed := suite.missed(rows):
            raise UserError(f"below what is asked for: {', '.join(missed)}")
