"""What a run has learned: measured, asked, reported, averaged with others."""

import json
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from alexnet.commands.arguments import Device, Precision, RunFolderArgument
from alexnet.train.options import TrainOptions


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
        from alexnet.data.store.read import Store
        from alexnet.measure.evaluation import Sharing, evaluate_run, how_matched
        from alexnet.measure.probabilities import Probabilities
        from alexnet.measure.run import Run
        from alexnet.parallel.launch import agree, launched
        from alexnet.report import text as words
        from alexnet.terminal import progress, say
        from alexnet.train.state import set_threads

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
