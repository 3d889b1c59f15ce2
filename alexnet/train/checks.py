"""The recipe that the options describe, checked, with advice to print before the training starts."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from alexnet.data.store.read import Store
from alexnet.errors import UsageError
from alexnet.files.schema import check_ranges
from alexnet.nets.network import Network
from alexnet.nets.table import BatchNorm, Table, named_rows
from alexnet.runs.folder import RunFolder
from alexnet.text import counted, option_name
from alexnet.train.options import TrainOptions
from alexnet.train.recipes import Recipe, describe, find
from alexnet.train.warm_start import layers_with_weights, table_of

FEW_UPDATES, SMALL_BATCH = 10, 16
OWN_PICTURES = ("folder", "table", "zip")
"""Kinds of sources that are people's own pictures, not a research set."""
FEW_PICTURES = 5000
"""Training pictures below which a pretrained start is recommended."""


def recipe_of(options: TrainOptions) -> Recipe:
    """The options' recipe with their changes applied, its schedule scaled to their epochs and learning rate."""
    recipe = find(options.recipe)
    epochs, learning_rate = options.epochs or recipe.epochs, options.learning_rate or recipe.learning_rate
    scaled = {
        "epochs": epochs,
        "learning_rate": learning_rate,
        "stages": recipe.staged(epochs, learning_rate),
        "warmup": recipe.warmup * epochs / recipe.epochs if options.warmup is None else options.warmup,
        "layer_decays": recipe.layer_decays if options.decay is None else {},
    }
    same = ("net", "batch", "momentum", "decay", "init", "mean", "rms_limit")
    given = {name: value for name in same if (value := getattr(options, name)) is not None}
    augmentation = {"colour": options.colour_noise, "crops": options.crops, "mirror": options.mirror}
    if isinstance(options.frozen_features, int):
        augmentation |= {"crops": "random", "colour": "off", "chunk": 1}
    elif options.frozen_features not in (None, "exact"):
        augmentation |= {"crops": options.frozen_features, "colour": "off"}
    augmentation = {name: value for name, value in augmentation.items() if value is not None}
    changed = replace(recipe.augmentation, cutout=options.cutout, **augmentation)
    return replace(recipe, **scaled, **given, augmentation=changed)


def checked_recipe(options: TrainOptions) -> Recipe:
    """`recipe_of` the options. Raises UsageError for a number out of its range or in conflict with the recipe."""
    check_ranges(options)
    recipe = recipe_of(options)
    if options.learning_rate is not None and not 0 < options.learning_rate < float("inf"):
        raise UsageError(f"--learning-rate {options.learning_rate}: a number above 0 is needed.")
    if options.momentum is not None and not 0 <= options.momentum < 1:
        raise UsageError(f"--momentum {options.momentum}: a number from 0 to below 1 is needed.")
    if recipe.batch % options.accumulation_steps:
        raise UsageError(
            f"--accumulation-steps {options.accumulation_steps}: it must divide the batch, {recipe.batch:,} pictures, "
            "evenly."
        )
    for name in () if options.frozen_features in (None, "exact") else ("crops", "colour_noise", "cutout"):
        if (value := getattr(options, name)) not in (None, 0, "off"):
            raise UsageError(
                f"{option_name(name)} {value}: --frozen-features {options.frozen_features} says which views are kept. "
                "Leave one out."
            )
    if options.warmup and recipe.power is None:
        raise UsageError(f"--warmup {options.warmup:g}: recipe {recipe.name} has no warm-up. Leave it out.")
    if recipe.power is not None and recipe.warmup >= recipe.epochs:
        raise UsageError(f"--warmup {recipe.warmup:g}: the run has only {recipe.epochs} epochs. Give fewer.")
    return recipe


def check_options(options: TrainOptions) -> Table:
    """The network to train. Raises UsageError for options that are wrong for any store, so that this can be checked
    before pictures are prepared for hours."""
    return table_of(checked_recipe(options), options)


def large_batch_notes(network: Network, recipe: Recipe, options: TrainOptions) -> list[str]:
    """Notes for a run with LARS or gradient accumulation."""
    if recipe.trust is None and options.accumulation_steps == 1:
        return []
    notes = [describe(recipe, options.accumulation_steps)]
    if options.accumulation_steps > 1 and any(isinstance(row, BatchNorm) for row in network.table.rows):
        size = recipe.batch // options.accumulation_steps
        notes.append(f"batch norms see one micro-batch of {size:,} pictures at a time, as on as many devices")
    return notes


def few_updates(store: Store, batch: int) -> list[str]:
    """Advice if an epoch has so few updates that the learning rate drops before anything is learned."""
    updates = -(-len(store.splits["train"]) // batch)
    if updates >= FEW_UPDATES or batch <= SMALL_BATCH:
        return []
    return [
        f"only {counted(updates, 'update')} an epoch: with so few pictures a smaller batch learns more, "
        f"--batch {SMALL_BATCH} --patience 10"
    ]


def with_decided_defaults(options: TrainOptions, store: Store, folder: Path, *, alone: bool = True) -> TrainOptions:
    """The options of a new run with `keep` and, if the first layer is frozen, `frozen_features` decided. For people's
    own pictures and the recipes paper and steps: the best epoch, and, of few pictures, their centre. The published runs
    and research sets keep the last epoch and augment each picture in every epoch, as their authors did. Several
    processes (not `alone`) keep no features."""
    given = options.frozen_features or options.crops or options.colour_noise or options.cutout
    keeps_views = alone and options.freeze and not given
    started = (folder / "config.json").exists()
    if started or options.recipe not in ("paper", "steps") or (options.keep and not keeps_views):
        return options
    if store.description.get("source", {}).get("kind") not in OWN_PICTURES:
        return options
    options = options if options.keep else replace(options, keep="best")
    if not keeps_views or len(store.splits["train"]) >= FEW_PICTURES or not _freezes_first(options):
        return options
    return replace(options, frozen_features="centre")


def _freezes_first(options: TrainOptions) -> bool:
    source = None if options.net or options.table else options.start_from
    table = RunFolder.open(source).table if source else table_of(recipe_of(options), options)
    weighted = layers_with_weights(table)
    return weighted[0] in named_rows("freeze", options.freeze, weighted, weighted)


def balanced_weights(labels: np.ndarray) -> np.ndarray:
    """Factors of the pictures' losses by which all classes count alike: float32 (N,), of mean 1."""
    counts = np.bincount(labels)
    return (len(labels) / (np.count_nonzero(counts) * counts[labels])).astype(np.float32)


def pretrained_start(store: Store, options: TrainOptions) -> list[str]:
    """Advice for a run that starts from random weights on few pictures of one's own."""
    pictures = len(store.splits["train"])
    own = store.description.get("source", {}).get("kind") in OWN_PICTURES
    if options.start_from is not None or pictures >= FEW_PICTURES or not own:
        return []
    return [
        f"only {pictures:,} training pictures: starting from pretrained weights gives a far lower error than starting "
        "from random ones: --from torchvision --head linear (`alexnet weights` lists others)"
    ]
