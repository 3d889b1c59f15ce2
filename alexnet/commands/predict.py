"""`alexnet predict`."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from alexnet.commands.arguments import Device, Precision, RunFolderArgument
from alexnet.errors import UsageError, UserError


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
        from alexnet.measure.predict import Failure, Prediction, found_pictures
        from alexnet.measure.probabilities import Probabilities
        from alexnet.measure.run import Run
        from alexnet.report import text as words
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
