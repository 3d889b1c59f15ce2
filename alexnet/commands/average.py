"""`alexnet average`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from alexnet.errors import UsageError


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
        from alexnet.files.atomic import write_atomically
        from alexnet.files.outputs import refuse_foreign
        from alexnet.measure import ensemble
        from alexnet.measure.probabilities import Probabilities
        from alexnet.report import text as words

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
