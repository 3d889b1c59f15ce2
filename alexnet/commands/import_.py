"""`alexnet import`."""

from pathlib import Path

import torch
from torch import Tensor

from alexnet.commands.options.weights import Import
from alexnet.data.sources.classes import read_classes
from alexnet.errors import UsageError
from alexnet.files.atomic import faults_named
from alexnet.runs import pretrained
from alexnet.runs.folder import RunFolder
from alexnet.runs.import_weights import import_run
from alexnet.terminal import say
from alexnet.weights import ImportOptions
from alexnet.weights.caffe import mean_image_in


def run(options: Import) -> None:
    made = imported(options)
    for note in made.config["imported"]["notes"]:
        say(note)
    say(f"{made.table.name}, {made.table.classes:,} classes, in the order: {made.config['classes']['order']}")
    if missing := made.config["missing_layers"]:
        say(f"no weights for {', '.join(missing)}: earlier layers can be visualized, but the run can't predict")
    print(made.path)


def imported(options: Import) -> RunFolder:
    """The run made of pretrained weights or of a file."""
    known = pretrained.every_pretrained().get(str(options.source))
    if known is not None and not options.source.exists():
        if given := [name for name in ("classes", "order", "mean", "std", "colours", "net") if vars(options)[name]]:
            raise UsageError(f"--{given[0]}: known for {known.name}; leave it out.")
        return known.import_into(options.run_folder, options.file)
    if options.file is not None:
        raise UsageError(f"--file {options.file}: {options.source} is not a name that `alexnet weights` lists.")
    if options.order is not None and options.classes is None:
        raise UsageError(f"--order {options.order}: orders the list of classes; give that with --classes.")
    classes = None if options.classes is None else read_classes(options.classes, options.order)
    std = None if options.std is None else colour_of(options.std, "--std")
    mean = None if options.mean is None else mean_of(options.mean)
    asked = ImportOptions(options.net, mean, std, options.colours)
    return import_run(options.source, options.run_folder, asked, classes)


def colour_of(text: str, option: str) -> Tensor:
    """Three numbers "R,G,B" as (3,). Raises UsageError if they are not."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 3 or not all(0 <= number <= 255 for number in numbers) or (option == "--std" and 0 in numbers):
        raise UsageError(f"{option} {text}: three numbers from 0 to 255 are needed, as 123.7,116.3,103.5.")
    return torch.tensor(numbers, dtype=torch.float64)


def mean_of(text: str) -> Tensor:
    """The mean that the option names: an image in a file, or a colour given as R,G,B."""
    if text.endswith((".npy", ".binaryproto")):
        with faults_named(text):
            return mean_image_in(Path(text).read_bytes(), text)
    return colour_of(text, "--mean")
