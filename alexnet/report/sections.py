"""The sections of a run's report, one function each: what it shows, drawn and in words, as HTML."""

import io
import shlex
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from alexnet.data.store.read import Store
from alexnet.measure.run import Run
from alexnet.nets import summary
from alexnet.nets.table import Conv
from alexnet.nets.trace import trace
from alexnet.report import drawing as figures
from alexnet.report import html
from alexnet.report.data import Images, ReportData, Shown
from alexnet.report.text import NOT_SEEN, notes_on
from alexnet.runs.history import day

PAIRS = 20
OPEN_ROWS = 30
"""Longest table of classes that is open from the start."""
ENLARGED_BELOW = 64
"""Records smaller than this, in pixels, are kept as PNG: JPEG's blocks would show."""


def head(material: ReportData, _: Images) -> str:
    run, config = material.run, material.run.config
    counts = config.get("data", {}).get("pictures", {})
    trained = len(material.history.epochs)
    notes = notes_on(material.evaluations[10]) if material.evaluations else ()
    state = "" if config.get("finished") else " (still in training, or stopped)"
    about = (
        f"{run.folder.table.name}, {len(run.class_names):,} classes, {counts.get('train', 0):,} training pictures, "
        f"{trained} epochs{state}"
    )
    return "\n".join(
        (
            f"<h1>{html.escape(run.path.resolve().name)}</h1>",
            html.paragraph(about, "soft"),
            html.cards(headline(material)),
            *(html.paragraph(f"{note[0].upper()}{note[1:]}.", "soft") for note in notes),
        )
    )


def headline(material: ReportData) -> list[tuple[str, str, str]]:
    """The figures that count: of the store if it was given, else of the last epoch's validation."""
    if material.evaluations:
        return [
            (
                f"{what} error",
                f"{share(evaluation):.2%}",
                f"{views}, {wrong(evaluation):,} of {evaluation.counts.pictures:,}",
            )
            for what, share, wrong in (
                ("top-1", lambda e: e.top1_error, lambda e: e.counts.top1_errors),
                ("top-5", lambda e: e.top5_error, lambda e: e.counts.top5_errors),
            )
            for views, evaluation in (
                ("ten views", material.evaluations[10]),
                (f"ten views, {NOT_SEEN}", material.evaluations[10].unseen),
                ("centre", material.evaluations[1]),
            )
            if evaluation is not None
        ] + [("nll", f"{material.evaluations[10].nll:.3f}", "ten views, nats")]
    if not material.history.epochs:
        return [("epochs", "0", "none has ended yet")]
    last = material.history.epochs[-1]
    remark = f"centre, validation, epoch {last['epoch']}"
    return [
        ("top-1 error", f"{last['val_top1_error']:.2%}", remark),
        ("top-5 error", f"{last['val_top5_error']:.2%}", remark),
        ("nll", f"{last['val_nll']:.3f}", f"{remark}, nats"),
    ]


def curves(material: ReportData, images: Images) -> str:
    history = material.history
    if not history.epochs:
        return html.section("Curves", html.paragraph("No epoch has ended yet; there is nothing to draw."))
    first, last = history.epochs[0], history.epochs[-1]
    drawn = (
        images.themed(
            "loss",
            lambda theme: figures.loss_figure(history, theme),
            f"Loss over {last['epoch']} epochs: training from {first['train_loss']:.3f} to {last['train_loss']:.3f}, "
            f"validation from {first['val_nll']:.3f} to {last['val_nll']:.3f} nats.",
        ),
        images.themed(
            "error",
            lambda theme: figures.error_figure(history, theme),
            f"Errors over the epochs: validation top-1 from {first['val_top1_error']:.1%} to "
            f"{last['val_top1_error']:.1%}, top-5 from {first['val_top5_error']:.1%} to {last['val_top5_error']:.1%}; "
            f"training top-1 from {first['train_top1_error']:.1%} to {last['train_top1_error']:.1%}.",
        ),
        images.themed(
            "rate",
            lambda theme: figures.rate_figure(history, theme),
            f"Learning rate from {first['learning_rate']:g} to {last['learning_rate']:g}.",
        ),
    )
    captions = ("Loss", "Error", "Learning rate")
    return html.section(
        "Curves",
        html.paragraph(
            "The training figures are measured while training: with crops, mirrors, colour noise and dropout on. They "
            "can lie above the validation figures, which see the centre of each picture with the whole network."
        ),
        f'<div class="curves">{"".join(map(html.figure, drawn, captions))}</div>',
    )


def kernels(material: ReportData, images: Images) -> str:
    run, heading = material.run, "First-layer kernels"
    first = run.folder.table.rows[0]
    if not isinstance(first, Conv):
        return html.section(heading, html.paragraph("The first layer of this network is no convolution."))
    if not (run.path / "model.safetensors").exists():
        return html.section(heading, html.paragraph("No weights yet: the first epoch has not ended."))
    weights = run.network.get_parameter(f"{first.name}.weight").detach().float().cpu().numpy()
    towers = run.folder.table.columns
    images.write("kernels", figures.png_of(figures.columns_mosaic(weights, towers), "report"))
    blocks = np.split(weights, towers)
    size = f"{first.kernel}×{first.kernel}×3"
    drawn = [
        html.figure(
            html.image(
                figures.png_of(figures.kernel_mosaic(block)), f"{len(block)} kernels of {size} in colour", "kernels"
            ),
            f"{f'Column {number} of {towers}: ' if towers > 1 else ''}{len(block)} kernels",
        )
        for number, block in enumerate(blocks, 1)
    ]
    return html.section(
        heading,
        html.paragraph(
            f"{len(weights)} kernels of {size} ({first.name}), as in [A] Fig. 3. Each is scaled by its own largest "
            "weight; mid-grey is a weight of zero."
        ),
        *drawn,
    )


def pictures(material: ReportData, images: Images) -> str:
    heading = "Pictures and what the network sees in them"
    if material.store is None:
        return html.section(
            heading,
            html.paragraph("For pictures, confusions and the table of classes, make the report with the store:"),
            html.command(f"alexnet report {shlex.quote(str(material.run.path))} --store STORE"),
        )
    shown = material.shown
    figure = figures.pictures_figure(
        [s.pixels for s in shown],
        [s.prediction for s in shown],
        [s.true_id for s in shown],
        [s.true_name for s in shown],
    )
    images.write("pictures", figures.png_of(figure, "report"))
    return html.section(
        heading,
        html.paragraph(
            f"{len(shown)} pictures of part “{material.part}”, drawn by a fixed seed, with the five most probable "
            "classes (mean of ten views), as in [A] Fig. 4. Under each picture its true class; ✓ marks it "
            "among the five."
        ),
        f'<div class="pictures">{"".join(map(_picture, shown))}</div>',
    )


def _picture(shown: Shown) -> str:
    image = html.image(file_of(shown.pixels), f"{shown.prediction.name}, a picture of: {shown.true_name}")
    labels = [(label.name, label.probability, label.id == shown.true_id) for label in shown.prediction.labels]
    return f"<div>{html.figure(image, shown.true_name)}{html.bars(labels)}</div>"


def file_of(pixels: np.ndarray) -> bytes:
    """A record as the bytes of a picture file: JPEG, PNG where it is small."""
    data = io.BytesIO()
    if len(pixels) < ENLARGED_BELOW:
        Image.fromarray(pixels).save(data, "PNG")
    else:
        Image.fromarray(pixels).save(data, "JPEG", quality=90)
    return data.getvalue()


def confusions(material: ReportData, images: Images) -> str:
    if not material.evaluations:
        return ""
    evaluation, names = material.evaluations[10], material.run.class_names
    drawn = images.themed(
        "confusion",
        lambda theme: figures.confusion_figure(evaluation.confusion, names, theme),
        f"Confusion matrix of {len(names)} classes; the table below names the pairs most often confused.",
        "confusion",
    )
    pairs = [
        (
            names[pair.true],
            names[pair.predicted],
            f"{pair.count:,}",
            f"{pair.pictures:,}",
            f"{pair.count / pair.pictures:.1%}",
        )
        for pair in evaluation.confused(PAIRS)
    ]
    told = html.table(("true class", "taken for", "pictures", "of", "share"), pairs, 2)
    return html.section(
        "Confusions",
        html.figure(drawn, "Share of each true class's pictures by most probable class, ten views."),
        "<h3>Most confused</h3>",
        told if pairs else html.paragraph("None: every picture was recognised."),
    )


def classes(material: ReportData, _: Images) -> str:
    if not material.evaluations:
        return ""
    run = material.run
    has_ids = run.class_ids != run.class_names
    heading = ("class", *(["id"] if has_ids else []), "pictures", "top-1 errors", "", "top-5 errors", "", "nll")
    rows = [
        (
            row.name,
            *([row.id] if has_ids else []),
            f"{row.pictures:,}",
            f"{row.top1_errors:,}",
            f"{row.top1_error:.1%}",
            f"{row.top5_errors:,}",
            f"{row.top5_error:.1%}",
            f"{row.nll:.3f}",
        )
        for row in material.evaluations[10].per_class
    ]
    table = html.table(heading, rows, numbers_from=2 if has_ids else 1)
    table = table if len(rows) <= OPEN_ROWS else html.folded(f"All {len(rows):,} classes", table)
    return html.section("Class by class", html.paragraph("Ten views."), table)


def network(material: ReportData, _: Images) -> str:
    folder = material.run.folder
    layers = trace(folder.table, folder.inputs.size)
    rows = [
        (
            layer.row.name,
            summary.kind(layer.row),
            f"{layer.leaving.maps}×{layer.leaving.side}×{layer.leaving.side}",
            summary.number(layer.parameters),
            summary.number(layer.macs),
            f"{layer.field.size} px",
        )
        for layer in layers
    ]
    total = ("total", "", "", f"{sum(x.parameters for x in layers):,}", f"{sum(x.macs for x in layers):,}", "")
    heading = ("layer", "", "output", "parameters", "multiply-adds", "sees")
    return html.section("Network", html.paragraph(folder.table.about), html.table(heading, [*rows, total], 2))


def recipe(material: ReportData, _: Images) -> str:
    run, history = material.run, material.history
    config = run.config
    machine, data, known = config.get("machine", {}), config.get("data", {}), config.get("recipe", {})
    parts = ", ".join(f"{name} {count:,}" for name, count in data.get("pictures", {}).items())
    augmentation = known.get("augmentation", {})
    told = {
        "Recipe": f"{known.get('name', '')}: {known.get('about', '')}",
        "Learning rate, momentum, decay": " · ".join(
            f"{known[name]:g}" for name in ("learning_rate", "momentum", "decay") if name in known
        ),
        "Initial weights": str(known.get("init", "")),
        "Mean": f"{config['network'].get('mean', '')}",
        "Augmentation": ", ".join(f"{name} {_plain(value)}" for name, value in augmentation.items()),
        "Classes": f"{len(run.class_names):,}, in the order of: {config['classes'].get('order', '')}",
        "Pictures": f"{parts}; {data.get('size', '')} pixels a side",
        "Data fingerprint": str(data.get("fingerprint", "")),
        "Placement": "{precision} on {device}, {threads} threads".format_map(machine) if machine else "",
        "Kernels": str(machine.get("kernels", "")),
        "Versions": f"alexnet {config.get('alexnet')}, torch {config.get('torch')}, Python {config.get('python')}",
        "Trained": f"{day(history.began)} to {day(history.last)}" if history.began and history.last else "",
    }
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in history.notes)
    return html.section(
        "Recipe and versions",
        html.facts(told),
        "<h3>Made by</h3>",
        html.command(repeating_command(run, material.store)),
        html.folded("What the run noted", f"<ul>{notes}</ul>") if notes else "",
    )


def repeating_command(run: Run, store: Store | None) -> str:
    """The command that trains this run again: every option as it was, and the choices that the run made itself."""
    trained_on = store is not None and store.fingerprint == run.config.get("data", {}).get("fingerprint")
    place = str(store.path) if store is not None and trained_on else "STORE"
    made_itself = {name: run.config.get("machine", {}).get(name) for name in ("device", "threads", "precision")}
    words = ["alexnet", "train", place, "--out", "RUN"]
    for name, value in {**run.config.get("options", {}), **made_itself}.items():
        option = "--from" if name == "start_from" else f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(option if value else option.replace("--", "--no-", 1))
        elif value not in (None, ""):
            words += [option, str(value)]
    return shlex.join(words)


def _plain(value: Any) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


SECTIONS: Sequence[Callable[[ReportData, Images], str]] = (
    head,
    curves,
    kernels,
    pictures,
    confusions,
    classes,
    network,
    recipe,
)
