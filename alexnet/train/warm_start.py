"""What a run starts with: the network with its initial weights, some of them from another run, and its inputs."""

from collections.abc import Sequence

import torch

from alexnet.data.preprocessing import Preprocessing
from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.isolation import isolated
from alexnet.nets.init import initialise
from alexnet.nets.network import Network
from alexnet.nets.table import BatchNorm, Table, Weighted, named_rows, with_classes, with_width
from alexnet.nets.table_file import read_table
from alexnet.nets.zoo import find as find_net
from alexnet.runs.folder import RunFolder
from alexnet.train.options import TrainOptions
from alexnet.train.recipes import Recipe


def table_of(recipe: Recipe, options: TrainOptions) -> Table:
    """The network to train, before its width and classes are set: a table of one's own, or the zoo's. Raises UserError
    for a file that holds none, UsageError where `net` names another or a linear head keeps the layers of its source."""
    if options.table is None:
        return find_net(recipe.net)
    where = options.table.name if isinstance(options.table, Table) else options.table
    if options.net is not None:
        raise UsageError(f"--table {where}: it takes the place of --net {options.net}. Leave one out.")
    if options.head == "linear":
        raise UsageError(f"--table {where}: --head linear keeps the layers of the run it builds on. Leave one out.")
    return options.table if isinstance(options.table, Table) else read_table(options.table)


def initial_network(store: Store, recipe: Recipe, options: TrainOptions) -> Network:
    """The network at the start of a run: initial weights, weights taken from another run, frozen layers frozen. Raises
    UserError or UsageError for a store, a run or options that don't fit together."""
    for split in ("train", "val"):
        if split not in store.splits or not len(store.splits[split]):
            raise UserError(
                f"{store.path}: no {split} pictures. Prepare it with --holdout 0.1 or from train/ and val/."
            )
    source = None if options.start_from is None else RunFolder.open(options.start_from)
    inherited = source if options.net is None and options.table is None and options.width == 1 else None
    table = table_of(recipe, options) if inherited is None else inherited.table
    side = table.input_size if inherited is None else int(inherited.value("network", "input_size"))
    size = side if options.input_size is None else options.input_size
    if size > store.size:
        raise UserError(
            f"{store.path}: its pictures have {store.size} pixels a side, {table.name} takes crops of {size}. "
            f"Prepare with --size, or train with --input-size {store.size} or less."
        )
    network = Network(with_width(with_classes(table, len(store.class_names)), options.width), size)
    return with_initial_weights(network, store, recipe, options)


@isolated()
def with_initial_weights(network: Network, store: Store, recipe: Recipe, options: TrainOptions) -> Network:
    """The network with the weights that a run starts with, and its frozen layers frozen."""
    initialise(network, network.table, recipe.init, options.seed, options.width)
    if options.start_from is not None:
        take_weights(network, RunFolder.open(options.start_from), options.take, store.class_ids)
    elif options.take:
        raise UsageError(f"--take {options.take}: name the run to take them from with --from.")
    return freeze(network, options.freeze)


@torch.no_grad()
def take_weights(network: Network, source: RunFolder, take: str, class_ids: Sequence[str]) -> None:
    """Copy weights of another run into the network: those of the layers `take`, by default of all but the last.

    Raises UserError if a layer's shape differs, or if the last layer is taken for other classes.
    """
    last = network.table.weighted[-1].name
    taken = taken_layers(network, source, take)
    if last in taken and list(class_ids) != source.value("classes", "ids"):
        raise UserError(f"--take {take}: the classes are not those of {source.path}, in that order; leave out {last}.")
    if lacking := [name for name in taken if name in source.missing_layers]:
        raise UserError(
            f"--take {take}: {source.path} has no weights for {', '.join(lacking)} (it was imported without them). "
            "Leave them out."
        )
    theirs = source.network.state_dict()
    for name, tensor in network.state_dict().items():
        if name.split(".")[0] not in taken:
            continue
        if name not in theirs or theirs[name].shape != tensor.shape:
            found = tuple(theirs[name].shape) if name in theirs else "absent"
            raise UserError(
                f"--from {source.path}: {name} is {found} there, {tuple(tensor.shape)} here. "
                "Leave out --net and --width to use that run's network, choose an --input-size that gives the same "
                "maps, or name only some layers with --take."
            )
        tensor.copy_(theirs[name])


def taken_layers(network: Network, source: RunFolder, take: str) -> list[str]:
    """The layers that `take` names; by default all but the last and those without weights in `source`."""
    weighted = layers_with_weights(network.table)
    if take:
        return named_rows("take", take, weighted, weighted)
    return [name for name in weighted if name not in (network.table.weighted[-1].name, *source.missing_layers)]


def starting_notes(store: Store, network: Network, options: TrainOptions) -> list[str]:
    """A note on a warm start: which layers' weights are taken, which are frozen and which are new."""
    if options.start_from is None:
        return []
    source = RunFolder.open(options.start_from)
    weighted, taken = layers_with_weights(network.table), taken_layers(network, source, options.take)
    frozen = named_rows("freeze", options.freeze, weighted, weighted)
    kinds = {
        "fine-tuned": [name for name in taken if name not in frozen],
        "taken and frozen": [name for name in taken if name in frozen],
        "new": [name for name in weighted if name not in taken and name not in frozen],
        "new and frozen": [name for name in frozen if name not in taken],
    }
    listed = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names)
    mean = ["with its mean image, which its frozen first layer expects"] if _keeps_mean(store, network, options) else []
    return ["; ".join([f"from {source.path}: {listed}", *mean])]


def freeze(network: Network, names: str) -> Network:
    """The network with the named layers frozen. `names`: as in "conv1-conv5,fc6"."""
    weighted = layers_with_weights(network.table)
    for name in named_rows("freeze", names, weighted, weighted):
        network.get_submodule(name).requires_grad_(False)
    if not any(weight.requires_grad for weight in network.parameters()):
        raise UsageError(f"--freeze {names}: no layer is left to train.")
    return network


def layers_with_weights(table: Table) -> list[str]:
    """The rows with weights, batch norms among them, in their order."""
    return [row.name for row in table.rows if isinstance(row, Weighted | BatchNorm)]


def _keeps_mean(store: Store, network: Network, options: TrainOptions) -> bool:
    """Whether to subtract the source's mean image: if its first layer is kept frozen and the records have the same
    size. A frozen layer can't adapt to another mean, and the mean of some hundred pictures is blotchy."""
    if options.start_from is None:
        return False
    source, first = RunFolder.open(options.start_from), layers_with_weights(network.table)[0]
    kept = not any(weight.requires_grad for weight in network.get_submodule(first).parameters())
    return kept and first in taken_layers(network, source, options.take) and source.inputs.side == store.size


def initial_inputs(store: Store, network: Network, recipe: Recipe, options: TrainOptions) -> Preprocessing:
    """The preprocessing of the store's pictures."""
    statistics = store.statistics
    mean_image = torch.from_numpy(statistics.mean_image.copy()).permute(2, 0, 1).contiguous().float()
    if options.start_from is not None and _keeps_mean(store, network, options):
        mean_image = RunFolder.open(options.start_from).inputs.mean_image
    return Preprocessing(
        mean_image=mean_image,
        size=network.input_size,
        mean_mode=recipe.mean,
        eigenvalues=torch.from_numpy(statistics.eigenvalues.copy()),
        eigenvectors=torch.from_numpy(statistics.eigenvectors.copy()),
    )
