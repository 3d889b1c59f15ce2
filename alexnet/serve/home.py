"""A run in one look: what it is, how far it came, its network as the drawing needs it."""

import shlex
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from alexnet.nets.table import Weighted
from alexnet.nets.trace import trace
from alexnet.report.drawing import DARK, LIGHT, png_of
from alexnet.report.figures import CURVES
from alexnet.report.recipe import recipe_text, repeating_command
from alexnet.runs.history import History, day, read_history
from alexnet.serve.sides import Absent, Side
from alexnet.serve.units import layer_words

QUIET_EPOCHS = 3
QUIET_SECONDS = 900.0
"""A run that said nothing for so many epochs' time, and at least so long, is taken for stopped."""


def home_page(side: Side) -> dict[str, Any]:
    """What the first page shows of a run; there may be no weights yet."""
    run, history = side.run, history_of(side)
    config = run.config
    counts = config.get("data", {}).get("pictures", {})
    return {
        "side": side.key,
        "name": side.name,
        "version": side.version,
        "network": {
            "name": run.folder.table.name,
            "about": run.folder.table.about,
            "columns": run.folder.table.columns,
            "input": run.inputs.size,
            "layers": network_words(side),
        },
        "classes": list(run.class_names),
        "pictures": counts,
        "weights": side.version != "none",
        "snapshots": list(run.folder.snapshots),
        "state": state_of(side, history),
        "recipe": recipe_text(run, history),
        "commands": {
            "train": repeating_command(run, None),
            "nets": nets_command(side),
            "run": str(run.path),
        },
    }


def nets_command(side: Side) -> str:
    """The command that describes the network, thinned as in the training."""
    table, options = side.run.folder.table, side.run.config.get("options", {})
    sizes = {"classes": table.classes, "width": options.get("width") or 1, "input": side.run.inputs.size}
    return shlex.join(["alexnet", "nets", table.name, *(f"--{name}={value:g}" for name, value in sizes.items())])


def network_words(side: Side) -> list[dict[str, Any]]:
    """The rows with weights, each with the rows that follow it until the next."""
    found: list[dict[str, Any]] = []
    for layer in trace(side.run.folder.table, side.run.inputs.size):
        if isinstance(layer.row, Weighted):
            found.append(layer_words(layer) | {"then": []})
        elif found:
            found[-1]["then"].append(layer_words(layer))
    return found


# ── training, as it goes ─────────────────────────────────────────────────────────────────────────────────────────


def history_of(side: Side) -> History:
    """What the log says now."""
    return read_history(side.run.path / "log.jsonl")


def curves_page(side: Side) -> dict[str, Any]:
    """Every epoch's figures, the notes, and how the training stands."""
    history = history_of(side)
    return {"epochs": list(history.epochs), "notes": list(history.notes), "state": state_of(side, history)}


def curve_png(side: Side, name: str, dark: bool) -> bytes:
    """A curve as the report draws it."""
    if name not in CURVES:
        raise Absent(f"there are curves of {', '.join(CURVES)}")
    return png_of(CURVES[name](history_of(side), DARK if dark else LIGHT))


def state_of(side: Side, history: History) -> dict[str, Any]:
    """Whether the run is "finished", "training" or "stopped", how far it is, and when it will be done at this pace."""
    config, epochs = side.run.config, history.epochs
    planned = config.get("options", {}).get("epochs") or config.get("recipe", {}).get("epochs")
    seconds = _seconds_of_epoch(history)
    alive = max(history.last or 0.0, _last_sign(side.run.path))
    quiet = time.time() - alive
    if config.get("finished"):
        word = "finished"
    else:
        going = (side.run.path / ".lock").exists() and quiet < max(QUIET_SECONDS, QUIET_EPOCHS * (seconds or 0))
        word = "training" if going else "stopped"
    left = seconds * max(0, planned - len(epochs)) if word == "training" and seconds and planned else None
    return {
        "word": word,
        "epochs": len(epochs),
        "planned": planned,
        "seconds_of_epoch": seconds,
        "seconds_left": left,
        "pictures_per_second": epochs[-1].get("pictures_per_second") if epochs else None,
        "last": day(alive) if alive else "",
        "quiet": quiet if word == "stopped" else None,
        "val": {k: epochs[-1].get(f"val_{k}") for k in ("nll", "top1_error", "top5_error")} if epochs else None,
    }


def _seconds_of_epoch(history: History) -> float | None:
    times = [event["time"] for event in history.epochs[-5:]]
    if len(times) > 1:
        return (times[-1] - times[0]) / (len(times) - 1)
    return times[0] - history.began if times and history.began else None


def _last_sign(run: Path) -> float:
    signs = [run / "log.jsonl", run / "now.json", *run.glob("state/*")]
    found = [0.0]
    for path in signs:
        with suppress(FileNotFoundError):  # a training removes them meanwhile
            found.append(path.stat().st_mtime)
    return max(found)
