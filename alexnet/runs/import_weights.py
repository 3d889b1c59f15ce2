"""Weights from elsewhere as a run folder, which is then a run like any other."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alexnet.data.preprocessing import Preprocessing
from alexnet.data.sources.classes import ClassList, read_classes, unlike
from alexnet.errors import UserError
from alexnet.files.schema import read_json
from alexnet.files.tensors import save_tensors
from alexnet.isolation import isolated
from alexnet.nets import table_json
from alexnet.nets.network import Network
from alexnet.runs.folder import RunFolder, check_config, check_statistics
from alexnet.weights import ImportedWeights, ImportOptions, read_weights
from alexnet.weights.common import SORTED_SYNSETS

UNFOLDED = "imported.safetensors"
"""In the run folder: a first layer's weights as they were in the file, where the inputs' deviation went into ours."""


@isolated()
def import_run(
    source: Path, destination: Path, options: ImportOptions | None = None, classes: ClassList | None = None
) -> RunFolder:
    """Make a run folder of the weights in `source` (a file, a folder or an archive of a known format).

    `options`: what the files lack; `classes`: the names of the outputs. Layers without weights are listed in
    config.json under "missing_layers"; what needs them is refused later. Raises UserError if the format is
    not known, a file is damaged, weights or classes do not fit, or the folder is not empty.
    """
    imported = read_weights(source, options)
    check_config({"network": {"table": {}, "input_size": imported.table.input_size}} | imported.config, source)
    size = int(imported.config.get("network", {}).get("input_size", imported.table.input_size))
    statistics = dict(zip(("eigenvalues", "eigenvectors"), imported.eigen or (), strict=False))
    check_statistics({"mean_image": imported.mean_image, **statistics}, source)
    network = Network(imported.table, size)
    network.missing_layers = imported.missing_layers
    network.fill(imported.weights, source)
    inputs = Preprocessing(imported.mean_image, size, imported.mean_mode, *(imported.eigen or (None, None)))
    if inputs.side < size:
        raise UserError(f"{source}: its mean image has {inputs.side} pixels a side, the network takes {size}.")
    folder = RunFolder.create(destination, _config(imported, source, size, classes), inputs)
    folder.save_model(network.state_dict(), network.missing_layers)
    if imported.unfolded is not None:
        weight, std = imported.unfolded
        save_tensors(folder.path / UNFOLDED, {"weight": weight, "std": std})
    return folder


def _config(imported: ImportedWeights, source: Path, size: int, classes: ClassList | None) -> dict[str, Any]:
    """The content of config.json: first what the file records itself, then what it was made of."""
    config = {
        "network": {"table": table_json.to_json(imported.table), "input_size": size, "mean": imported.mean_mode},
        "data": {"size": imported.mean_image.shape[-1]},
        **imported.config,
        "imported": {"from": source.name, "format": imported.format, "notes": list(imported.notes)},
        "missing_layers": list(imported.missing_layers),
        "finished": True,
    }
    if classes is not None or "classes" not in config:
        config["classes"] = classes_of(imported, source, classes)
    named, outputs = len(config["classes"]["ids"]), imported.table.classes
    if named != outputs:
        raise UserError(
            f"{source}: {named:,} classes are named, the network has {outputs:,} outputs. Give the list that belongs "
            "to these weights (--classes)."
        )
    return config


def classes_of(imported: ImportedWeights, source: Path, given: ClassList | None) -> dict[str, Any]:
    """Names, ids and order of the outputs: of the list given, the set of files, or plain numbers."""
    beside = _list_beside(source, imported.table.classes)
    if given is not None:
        listed = given.arranged(imported.order)
        if given.requested != "listed":
            own = imported.config.get("classes", {"names": imported.class_names, "ids": ()})
            for names, ids in ((own["names"], own["ids"]), (beside.names, beside.ids) if beside else ((), ())):
                _refuse_other_order(listed, names, ids, source)
    elif beside is not None and not imported.class_names:
        listed = beside.arranged("")
    else:
        names = list(imported.class_names) or [f"class {number}" for number in range(imported.table.classes)]
        known = imported.order == SORTED_SYNSETS and imported.table.classes == 1000
        order = imported.order if known or imported.class_names else f"as in {source.name}"
        return {"names": names, "ids": unlike(names), "order": order}
    return {"names": list(listed.names), "ids": list(listed.ids), "order": listed.order}


def _list_beside(source: Path, outputs: int) -> ClassList | None:
    """The classes that a config.json of Hugging Face or timm next to the weights names. None if it names none, or if it
    is next to a single file and of another network."""
    path = (source if source.is_dir() else source.parent) / "config.json"
    try:
        named = path.is_file() and any(key in read_json(path) for key in ("id2label", "label2id", "label_names"))
        found = read_classes(path) if named else None
        return None if found and source.is_file() and len(found.ids) != outputs else found
    except UserError:
        if source.is_dir():
            raise
        return None


def _refuse_other_order(listed: ClassList, names: Sequence[str], ids: Sequence[str], source: Path) -> None:
    """UserError if a class of the list has another output than the weights themselves say."""
    for known, given in ((ids, listed.ids), (names, listed.names)):
        output_of = {name.casefold(): output for output, name in enumerate(known)}
        for output, name in enumerate(given):
            if (known_output := output_of.get(name.casefold(), output)) != output:
                raise UserError(
                    f"{listed.where}: names output {output} '{name}'; by the files of {source} that is output "
                    f"{known_output}. Leave out --classes, or give --order listed if your list is right."
                )
