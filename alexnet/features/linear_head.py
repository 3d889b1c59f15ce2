"""A linear classifier on frozen layers as an ordinary run: `alexnet train … --from RUN --head linear`.

The frozen layers compute each training picture's features once, for a few fixed views. Softmax regression on these
becomes the weights of one fully connected layer, which follows the frozen rows in a table of its own.

N pictures · V views of each · D values of a view · K classes.
"""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alexnet import kernels
from alexnet.choices import FrozenFeatures
from alexnet.data.preprocessing import Preprocessing
from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.features.probes import Span, chosen_strength, fitted, held_out
from alexnet.files.atomic import faults_named
from alexnet.files.locks import locked
from alexnet.isolation import isolated
from alexnet.measure.accuracy import describe_errors, evaluate
from alexnet.measure.overlap import save_trained_on
from alexnet.measure.viewer import ViewAverager
from alexnet.nets.network import Network
from alexnet.nets.table import Conv, Dense, Local, Row, Table, named_rows
from alexnet.placement import find_device
from alexnet.runs.folder import RunFolder
from alexnet.runs.log import Log
from alexnet.terminal import progress, say
from alexnet.train.checks import checked_recipe
from alexnet.train.frozen import Views, cached_features, features_folder, remove_features
from alexnet.train.options import TrainOptions
from alexnet.train.recipes import Recipe
from alexnet.train.resume import more_epochs
from alexnet.train.state import config_of, set_threads
from alexnet.train.warm_start import initial_inputs, layers_with_weights


@dataclass(frozen=True)
class FrozenLayers:
    """The rows of `source` whose output the classifier reads, up to the row `last`."""

    source: RunFolder
    rows: tuple[Row, ...]

    @property
    def last(self) -> str:
        return self.rows[-1].name

    @classmethod
    def of(cls, source: RunFolder, freeze: str) -> "FrozenLayers":
        """Up to the row before the first layer that learns: the one after those in `freeze`, by default after the
        convolutions. Raises UsageError if these are not the first layers."""
        table = source.table
        weighted = layers_with_weights(table)
        convolutions = [row.name for row in table.rows if isinstance(row, Conv | Local)]
        frozen = named_rows("freeze", freeze, weighted, weighted) or convolutions
        if set(frozen) != set(weighted[: len(frozen)]) or len(frozen) == len(weighted):
            raise UsageError(f"--freeze {freeze}: with --head linear, freeze the first layers, and not the last one.")
        names = [row.name for row in table.rows]
        return cls(source, table.rows[: names.index(weighted[len(frozen)])])

    def with_head(self, classes: int) -> Network:
        """A network of these rows and a fully connected layer; the frozen weights are the source's."""
        self.source.network.check_computable(self.last)
        table = self.source.table
        rows = (*self.rows, Dense("linear", classes))
        about = f"{table.name} up to {self.last}, then a linear classifier."
        size = int(self.source.value("network", "input_size"))
        made = Network(Table(f"{table.name}-{self.last}-linear", rows, table.input_size, table.columns, about), size)
        theirs = self.source.network.state_dict()
        made.load_state_dict({name: theirs.get(name, tensor) for name, tensor in made.state_dict().items()})
        for name in layers_with_weights(made.table)[:-1]:
            made.get_submodule(name).requires_grad_(False)
        return made


@dataclass(frozen=True, eq=False)
class LinearHead:
    """A linear classifier on frozen layers: the `network`, whose last row is yet to be fitted, and the `views` of each
    training picture that it is fitted to."""

    frozen: FrozenLayers
    network: Network
    recipe: Recipe
    inputs: Preprocessing
    viewer: ViewAverager
    views: Views
    machine: dict[str, Any]

    @classmethod
    def of(cls, store: Store, options: TrainOptions) -> "LinearHead":
        """Raises UserError or UsageError for a store, a run or options that don't go together."""
        if options.start_from is None:
            raise UsageError("--head linear: name the run or the pretrained weights to build on with --from.")
        kind: FrozenFeatures = options.frozen_features or "centre"
        if kind == "exact":
            raise UsageError(
                "--frozen-features exact: --head linear is fitted to fixed views. Choose them, or leave it out."
            )
        recipe = checked_recipe(replace(options, frozen_features=kind))
        frozen = FrozenLayers.of(RunFolder.open(options.start_from), options.freeze)
        network = frozen.with_head(len(store.class_names))
        if store.size < network.input_size:
            raise UserError(
                f"{store.path}: its pictures have {store.size} pixels a side, {network.table.name} takes crops of "
                f"{network.input_size}. Prepare with --size {frozen.source.inputs.side}."
            )
        device, threads = find_device(options.device), set_threads(options.threads)
        network = network.to(device).channels_last().eval()
        taken = replace(options, take=",".join(layers_with_weights(network.table)[:-1]))
        inputs = initial_inputs(store, network, recipe, taken)
        viewer = ViewAverager(network, inputs.to(device), device)
        machine = {"device": device.type, "threads": threads, "precision": "fp32", "kernels": kernels.available(device)}
        views = Views(kind, recipe.augmentation.mirror, options.seed)
        return cls(frozen, network, recipe, inputs, viewer, views, machine)

    def fit(self, features_nvd: np.ndarray, labels_n: np.ndarray, weights_n: np.ndarray | None = None) -> float:
        """Fit the last row to the frozen layers' output, as `regression` does; its C."""
        weight, bias, strength = regression(features_nvd, labels_n, weights_n)
        values = {"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)}
        self.network.get_submodule("linear").load_state_dict(values)
        return strength


@isolated()
def train_linear_head(
    store: Store,
    folder: Path,
    options: TrainOptions,
    *,
    resume: bool = False,
    quiet: bool = False,
    sample_weights: np.ndarray | None = None,
) -> RunFolder:
    """Fit a linear classifier on frozen layers of the run `options.start_from`, and write it as a run to `folder`.

    `options.frozen_features`: the views of each training picture, by default the centre and its mirror.
    `sample_weights`: float32 (N,), factors of the pictures' losses.
    Raises UserError or UsageError for a store, a run or options that don't go together.
    """
    for split in ("train", "val"):
        if split not in store.splits or not len(store.splits[split]):
            raise UserError(
                f"{store.path}: no {split} pictures. Prepare it with --holdout 0.1 or from train/ and val/."
            )
    if resume and (folder / "config.json").exists():
        run = RunFolder.open(folder)
        if run.value("finished") and not more_epochs(run, store, options):
            return run
    RunFolder.refuse_taken(folder)
    head = LinearHead.of(store, options)
    train = store.splits["train"]
    with faults_named(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name(folder.name + ".lock"), f"{folder}: another process is training in this folder."):
        with nullcontext() if quiet else progress("pictures") as report:
            place = features_folder(folder)
            features = cached_features(head.viewer, store, "train", head.frozen.last, head.views, place, report)
        strength = head.fit(features, train.labels, sample_weights)
        counts = evaluate(head.viewer, store.splits["val"])
        text = (
            f"softmax regression on {head.frozen.last} of {head.frozen.source.path.name}: {head.views.count} views of "
            f"each of {len(train):,} pictures, {features.shape[2]:,} values, C = {strength:g}"
        )
        val = {"nll": counts.mean_nll, "top1_error": counts.top1, "top5_error": counts.top5}
        about = {"C": strength, "views": head.views.count, "val": val}
        config = config_of(store, head.network, head.recipe, options, head.machine) | {"head": about}
        run = RunFolder.create(folder, config, head.inputs, sample_weights)
        save_trained_on(folder, store, head.frozen.source)
        log = Log(folder / "log.jsonl")
        log.event("note", text=text)
        log.event("end", epochs=0)
        log.close()
        run.save_model(head.network.state_dict())
        run.write_config(finished=True, epochs_trained=0)
        remove_features(folder)
    if not quiet:
        wrong = describe_errors(counts.top1_errors, counts.pictures)
        say(f"{text}; validation top-1 error, by the centre view, {counts.top1:.2%}, {wrong}")
    return run


def regression(
    features_nvd: np.ndarray, labels_n: np.ndarray, weights_n: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Weights (K, D) and biases (K,) of a softmax regression on all views, float32, and its C, which is chosen on
    pictures set apart with all their views. `weights_n`: factors of the pictures' losses."""
    pictures, views, size = features_nvd.shape
    span = Span.of(features_nvd.reshape(pictures * views, size))
    labels, apart = np.repeat(labels_n, views), np.repeat(held_out(labels_n), views)
    weights = None if weights_n is None else np.repeat(weights_n, views)
    strength = chosen_strength(span.coordinates, labels, "softmax", apart, weights, by_loss=True)
    model = fitted(span.coordinates, labels, "softmax", strength, weights)
    weight = span.weights(model.coef_)
    bias = model.intercept_ - weight @ span.centre
    if len(weight) == 1:  # of two classes, scikit-learn gives the second one's logit alone
        weight, bias = np.vstack((-weight / 2, weight / 2)), np.concatenate((-bias / 2, bias / 2))
    return weight.astype(np.float32), bias.astype(np.float32), strength
