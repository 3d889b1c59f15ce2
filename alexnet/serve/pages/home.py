"""/api/run, /api/events, /api/sides/…: a run at a glance, its curves, a training in progress, passes over pictures."""

import asyncio
import itertools
import shlex
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from alexnet.data.store.read import Store
from alexnet.drawing import DARK, LIGHT, png_of
from alexnet.nets.table import Weighted
from alexnet.nets.trace import trace
from alexnet.report.figures import CURVES
from alexnet.report.recipe import recipe_text, repeating_command
from alexnet.runs.history import History, day, read_history, read_now, validation_of
from alexnet.serve.open_networks import OWN, Absent, OpenNetwork, version_of
from alexnet.serve.pages.layer import describe_layer, describe_row
from alexnet.serve.pages.routes import PNG, OfNetwork, Routes, TheExplorer
from alexnet.serve.responses import event, event_stream, respond
from alexnet.serve.run_cache import Pass

routes = Routes(tags=["runs"])
QUIET_EPOCHS, QUIET_SECONDS = 3, 900.0
"""A run without a sign of life for the time of so many epochs, and at least so long, counts as stopped."""
AT_ONCE = 180.0
"""Seconds that preparing everything may take to begin unasked."""
WATCH_EVERY, HEARTBEAT = 1.0, 15  # seconds, and so many of them


# ── a run at a glance ────────────────────────────────────────────────────────────────────────────────────────────


@routes.get("/run")
async def run(request: Request, explorer: TheExplorer) -> Response:
    """The run at a glance, the sides that can be explored, and the prepared pictures."""
    prepared = explorer.prepared
    store = prepared and {
        "path": str(prepared.store.path),
        "split": prepared.split,
        "splits": {name: len(split) for name, split in prepared.store.splits.items()},
        "offered": prepared.offered,
    }
    own = prepared and prepared.store
    return await respond(
        request,
        ("run", explorer.stamp(OWN)),
        lambda: (
            home_page(explorer.networks[OWN], own)
            | {"sides": explorer.networks.keys, "store": store, "teaches": explorer.teaching is not None}
        ),
    )


@routes.page("/home")
def side_home(context: OfNetwork) -> dict[str, Any]:
    """A side at a glance."""
    return home_page(context.opened)


def home_page(opened: OpenNetwork, store: Store | None = None) -> dict[str, Any]:
    """What the first page shows of a run; it may have no weights yet. `store`: perhaps the one it was trained on."""
    run, history = opened.run, history_of(opened)
    table, size = run.folder.table, run.inputs.size
    sizes = {"classes": table.classes, "width": run.config.get("options", {}).get("width") or 1, "input": size}
    nets = ["alexnet", "nets", table.name, *(f"--{name}={value:g}" for name, value in sizes.items())]
    return {
        "side": opened.key,
        "name": opened.name,
        "version": opened.version,
        "network": {
            "record": run.inputs.side,
            "rows": [describe_row(layer) for layer in trace(table, size)],
            "name": table.name,
            "about": table.about,
            "columns": table.columns,
            "input": size,
            "layers": [describe_layer(layer) for layer in trace(table, size) if isinstance(layer.row, Weighted)],
        },
        "classes": list(run.class_names),
        "pictures": run.config.get("data", {}).get("pictures", {}),
        "weights": opened.version != "none",
        "snapshots": list(run.folder.snapshots),
        "state": state_of(opened, history),
        "recipe": recipe_text(run, history),
        "commands": {"train": repeating_command(run, store), "nets": shlex.join(nets), "run": str(run.path)},
    }


# ── a training, while it is in progress ──────────────────────────────────────────────────────────────────────────


@routes.get("/events")
async def events(explorer: TheExplorer) -> StreamingResponse:
    """ "changed" whenever the run's log or weights are new; "now" with the position of a training inside its epoch, or
    null."""

    async def changes() -> AsyncIterator[bytes]:
        known = "", ""
        for tick in itertools.count():
            file = explorer.networks.paths[OWN] / "now.json"  # another run may be explored by now
            stamp, position = found = explorer.stamp(OWN), version_of(file)
            if stamp != known[0]:
                yield event("changed", {"stamp": stamp, "version": explorer.networks.version(OWN)})
            if position != known[1]:
                yield event("now", read_now(file))
            if tick % HEARTBEAT == 0:
                yield b": quiet\n\n"  # keeps the connection open through proxies
            known = found
            await asyncio.sleep(WATCH_EVERY)

    return event_stream(changes())


@routes.page("/curves")
def curves(context: OfNetwork) -> dict[str, Any]:
    """Every epoch's figures, the notes, and the state of the training."""
    history = history_of(context.opened)
    return {"epochs": list(history.epochs), "notes": list(history.notes), "state": state_of(context.opened, history)}


@routes.page("/curves/{name}.png", PNG)
def curve(context: OfNetwork, name: str, dark: bool = False) -> bytes:
    """The curves of loss, error or learning rate, as `alexnet report` draws them."""
    if name not in CURVES:
        raise Absent(f"there are curves of {', '.join(CURVES)}")
    return png_of(CURVES[name](history_of(context.opened), DARK if dark else LIGHT))


def history_of(opened: OpenNetwork) -> History:
    return read_history(opened.run.path / "log.jsonl")


def state_of(opened: OpenNetwork, history: History) -> dict[str, Any]:
    """Whether the run is "finished", "training" or "stopped", its progress, and the time left at its pace."""
    config, epochs = opened.run.config, history.epochs
    planned = config.get("options", {}).get("epochs") or config.get("recipe", {}).get("epochs")
    planned = None if "head" in config else planned  # a linear classifier has no epochs
    validation = validation_of(config, history)
    seconds, last = _seconds_per_epoch(history), epochs[-1] if epochs else {}
    alive = max(history.last or 0.0, _last_sign(opened.run.path))
    patience = max(QUIET_SECONDS, QUIET_EPOCHS * (seconds or 0))
    training = (opened.run.path / ".lock").exists() and time.time() - alive < patience
    word = "finished" if config.get("finished") else "training" if training else "stopped"
    return {
        "word": word,
        "epochs": len(epochs),
        "planned": planned,
        "seconds_of_epoch": seconds,
        "seconds_left": seconds * max(0, planned - len(epochs)) if word == "training" and seconds and planned else None,
        "pictures_per_second": last.get("pictures_per_second"),
        "last": day(ended) if (ended := history.last if word == "finished" and history.last else alive) else "",
        "val": validation and validation[0] | {"when": validation[1]},
    }


def _seconds_per_epoch(history: History) -> float | None:
    """The mean over the last epochs; of a single one the time since the run began."""
    times = [event["time"] for event in history.epochs[-5:]]
    if len(times) == 1 and history.began:
        times.insert(0, history.began)
    return (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else None


def _last_sign(run: Path) -> float:
    """When the training last wrote a file, in seconds since 1970."""
    found = [0.0]
    for path in (run / "log.jsonl", run / "now.json", *run.glob("state/*")):
        with suppress(FileNotFoundError):  # a training may be replacing it
            found.append(path.stat().st_mtime)
    return max(found)


# ── passes over pictures ─────────────────────────────────────────────────────────────────────────────────────────


@routes.computation("/passes/{what}", long=True)
def run_pass(context: OfNetwork, what: Pass, split: str = "") -> dict[str, bool]:
    """Run the network on all prepared pictures of a split and cache the result, unless it is cached already.
    Server-sent events."""
    context.cache_of(split).compute(what, context.progress, context.send)
    return {"made": True}


@routes.page("/preparation")
def preparation(context: OfNetwork) -> dict[str, Any]:
    """Which passes of "everything" are still to be made, how long that takes at the speed measured here, and whether
    that is short enough for pages to begin by themselves."""
    missing = context.cache.missing if context.cache else {}
    seconds = context.cache.seconds_per_pass * sum(missing.values()) if context.cache and missing else 0.0
    return {"missing": list(missing), "seconds": seconds, "automatic": 0 < seconds <= AT_ONCE}
