"""What the options make of a recipe, whether it can be done, and what a person should know of it beforehand."""

import math
from dataclasses import replace

from alexnet.data.store.read import Store
from alexnet.errors import UsageError
from alexnet.nets import zoo
from alexnet.nets.network import Network
from alexnet.nets.table import BatchNorm
from alexnet.text import counted
from alexnet.train.options import TrainOptions
from alexnet.train.recipes import Recipe, describe, find

FEW_UPDATES, SMALL_BATCH = 10, 16


def with_options(recipe: Recipe, options: TrainOptions) -> Recipe:
    """The recipe with what the options change of it."""
    epochs = options.epochs or recipe.epochs
    given = {
        "batch": options.batch,
        "warmup": recipe.warmup * epochs / recipe.epochs if options.warmup is None else options.warmup,
        "learning_rate": options.learning_rate,
        "momentum": options.momentum,
        "decay": options.decay,
        "init": options.init,
        "mean": options.mean,
        "rms_limit": options.rms_limit,
        "layer_decays": None if options.decay is None else {},
    }
    augmentation = {"colour": options.colour_noise, "crops": options.crops, "mirror": options.mirror}
    return replace(
        recipe,
        net=options.net or recipe.net,
        **{name: value for name, value in given.items() if value is not None},
        augmentation=replace(
            recipe.augmentation,
            cutout=options.cutout,
            **{name: value for name, value in augmentation.items() if value is not None},
        ),
    )


def check_numbers(options: TrainOptions, recipe: Recipe) -> None:
    """Raises UsageError for a number that is out of its range, or does not go with the recipe."""
    _check_ranges(options)
    if recipe.batch % options.accumulation_steps:
        raise UsageError(
            f"--accumulation-steps {options.accumulation_steps}: it must divide the batch, {recipe.batch:,} pictures, "
            "in equal pieces."
        )
    if options.warmup and recipe.power is None:
        raise UsageError(f"--warmup {options.warmup:g}: recipe {recipe.name} has no warm-up. Leave it out.")
    if recipe.power is not None and recipe.warmup >= (epochs := options.epochs or recipe.epochs):
        raise UsageError(f"--warmup {recipe.warmup:g}: the run has only {epochs} epochs. Give fewer.")


def _check_ranges(options: TrainOptions) -> None:
    for name, number in (
        ("threshold", options.threshold),
        ("warmup", options.warmup),
        ("save-minutes", options.save_minutes),
        ("decay", options.decay),
        ("rms-limit", options.rms_limit),
    ):
        if number is not None and not math.isfinite(number):
            raise UsageError(f"--{name} {number}: a finite number is needed.")
    for name, value, least in (
        ("input-size", options.input_size, 1),
        ("epochs", options.epochs, 1),
        ("batch", options.batch, 1),
        ("accumulation-steps", options.accumulation_steps, 1),
        ("warmup", options.warmup, 0),
        ("patience", options.patience, 1),
        ("threads", options.threads, 0),
        ("cutout", options.cutout, 0),
        ("threshold", options.threshold, 0),
        ("rms-limit", options.rms_limit, 0),
        ("save-minutes", options.save_minutes, 0),
        ("decay", options.decay, 0),
    ):
        if value is not None and value < least:
            raise UsageError(f"--{name} {value}: at least {least} is needed.")
    if options.learning_rate is not None and not 0 < options.learning_rate < float("inf"):
        raise UsageError(f"--learning-rate {options.learning_rate}: a number above 0 is needed.")
    if options.momentum is not None and not 0 <= options.momentum < 1:
        raise UsageError(f"--momentum {options.momentum}: a number from 0 to below 1 is needed.")


def check_options(options: TrainOptions) -> None:
    """Raises UsageError for options that no store could make right: before pictures are prepared for hours."""
    recipe = with_options(find(options.recipe), options)
    zoo.find(recipe.net)
    check_numbers(options, recipe)


def large_batch_notes(network: Network, recipe: Recipe, options: TrainOptions) -> list[str]:
    """What to know of LARS or of batches computed in pieces."""
    if recipe.trust is None and options.accumulation_steps == 1:
        return []
    notes = [describe(recipe, options.epochs or recipe.epochs, options.accumulation_steps)]
    if options.accumulation_steps > 1 and any(isinstance(row, BatchNorm) for row in network.table.rows):
        piece = recipe.batch // options.accumulation_steps
        notes.append(f"batch norms see one piece at a time, {piece:,} pictures, as on as many devices")
    return notes


def few_updates(store: Store, batch: int) -> list[str]:
    """Advice where an epoch has so few updates that the learning rate drops before anything is learned."""
    updates = -(-len(store.parts["train"]) // batch)
    if updates >= FEW_UPDATES or batch <= SMALL_BATCH:
        return []
    return [
        f"only {counted(updates, 'update')} an epoch: with so few pictures a smaller batch learns more, "
        f"--batch {SMALL_BATCH} --patience 10"
    ]
