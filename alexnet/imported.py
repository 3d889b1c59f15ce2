"""Other people's weights as a run folder of ours: from then on it is a run like any other."""

import platform
from pathlib import Path

import torch

import alexnet
from alexnet.data.augment import Inputs
from alexnet.nets import table
from alexnet.nets.network import Network
from alexnet.nets.weights import read_weights
from alexnet.runs import RunFolder, fill


def import_run(source: Path, destination: Path) -> RunFolder:
    """Make a run folder of the weights in `source` (a folder or an archive of a known format).

    Layers whose weights are not in it are named in config.json under "missing_layers"; what needs them is refused
    later. Raises UserError if the format is not known, a file is damaged, or the folder is not empty.
    """
    foreign = read_weights(source)
    network = Network(foreign.table)
    network.missing = foreign.missing
    fill(network, foreign.weights, source)
    names = list(foreign.class_names) or [f"class {number}" for number in range(foreign.table.classes)]
    config = {
        "alexnet": alexnet.__version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "network": {
            "table": table.to_json(foreign.table),
            "input_size": foreign.table.input_size,
            "mean": "aligned",  # Caffe takes the mean off before it crops
        },
        "classes": {"names": names, "ids": unlike(names), "order": f"as in {source.name}"},
        "data": {"size": foreign.mean_image.shape[-1]},
        "imported": {"from": source.name, "format": foreign.format, "notes": list(foreign.notes)},
        "missing_layers": list(foreign.missing),
        "finished": True,
    }
    folder = RunFolder.create(destination, config, Inputs(foreign.mean_image, foreign.table.input_size))
    folder.save_model(network.state_dict(), network.missing)
    return folder


def unlike(names: list[str]) -> list[str]:
    """The names as identifiers: one that occurs before gets its number behind it (ImageNet has two cranes)."""
    return [name if names.index(name) == number else f"{name} {number}" for number, name in enumerate(names)]
