"""How a run was trained, as text: its recipe in a few lines, and the command that trains it again."""

import shlex
from typing import Any

from alexnet.data.store.read import Store
from alexnet.measure.run import Run
from alexnet.runs.formats import UNCHOSEN
from alexnet.runs.history import History, day
from alexnet.text import changed, counted, option_words


def recipe_text(run: Run, history: History) -> dict[str, str]:
    """What is known of the recipe, the data and the machine: a line under each heading."""
    config = run.config
    machine, data, recipe, head = (config.get(name, {}) for name in ("machine", "data", "recipe", "head"))
    if head:  # what the recipe says of epochs was not used
        recipe = {name: recipe[name] for name in ("augmentation",)}
    numbers = [recipe[name] for name in ("learning_rate", "momentum", "decay") if recipe.get(name) is not None]
    kept = config.get("options", {}).get("frozen_features")
    counts = ", ".join(f"{name} {count:,}" for name, count in data.get("pictures", {}).items())
    classes = counted(len(run.class_names), "class", "classes")
    versions = f"alexnet {config.get('alexnet')}, torch {config.get('torch')}, Python {config.get('python')}"
    lines = {
        "Recipe": f"{recipe['name']}: {recipe.get('about', '')}" if "name" in recipe else "",
        "Learning rate, momentum, weight decay": " · ".join(f"{number:g}" for number in numbers),
        "Linear classifier": "softmax regression, C = {C:g}; {views} views of each picture".format_map(head)
        if head
        else "",
        "Batch": str(recipe.get("batch") or config.get("options", {}).get("batch") or ""),
        "Initial weights": str(recipe.get("init", "")),
        "Mean": str(config["network"].get("mean", "")),
        "Augmentation": ", ".join(f"{name} {_plain(value)}" for name, value in recipe.get("augmentation", {}).items()),
        "Frozen layers": f"computed once, for these views: {kept}" if kept not in (None, "exact") and not head else "",
        "Classes": f"{classes}, in the order of: {config['classes'].get('order', '')}",
        "Pictures": f"{counts}; {data.get('size', '')} pixels a side" if counts else "",
        "Data fingerprint": str(data.get("fingerprint", "")),
        "Placement": "{precision} on {device}, {threads} threads".format_map(machine) if machine else "",
        "Kernels": str(machine.get("kernels", "")),
        "Versions": versions if "torch" in config else "",
        "Trained": f"{day(history.began)} to {day(history.last)}" if history.began and history.last else "",
    }
    return {heading: line for heading, line in lines.items() if line}


def repeating_command(run: Run, store: Store | None) -> str:
    """The command that trains this run again: the options that were chosen, and the choices that the run made itself.

    Without the `store` that it was trained on, the place where that was then. Runs of earlier versions don't say what
    was chosen: they get the options that are not the defaults."""
    data, options = run.config.get("data", {}), run.config.get("options", {})
    trained_on = store is not None and store.fingerprint == data.get("fingerprint")
    place = str(store.path) if store is not None and trained_on else data.get("path", "STORE")
    chosen = {name: options.get(name) for name in run.config.get("chosen", changed(options, UNCHOSEN))}
    made_itself = {name: run.config.get("machine", {}).get(name) for name in ("device", "threads", "precision")}
    return shlex.join(["alexnet", "train", place, "--out", str(run.path), *option_words(chosen | made_itself)])


def _plain(value: Any) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
