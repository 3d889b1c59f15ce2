"""What older versions wrote, in today's names: configs of format 1, logs, and settings in result files.

Format 2 (November 2026) has learning_rate and accumulation_steps, which format 1 calls rate and accumulate.
"""

from typing import Any

from alexnet.files.schema import is_altered, sealed

FORMAT_VERSION = 2
RENAMED = {"rate": "learning_rate", "accumulate": "accumulation_steps"}
OLD_NAMES = {new: old for old, new in RENAMED.items()}
NO_DEFAULT = (
    "net input_size epochs batch learning_rate init momentum warmup decay colour_noise mean crops rms_limit mirror "
    "table start_from frozen_features keep"
)
UNCHOSEN: dict[str, Any] = dict.fromkeys(NO_DEFAULT.split()) | {
    "recipe": "paper",
    "width": 1.0,
    "patience": 5,
    "threads": 0,
    "precision": "auto",
    "device": "auto",
    "accumulation_steps": 1,
    "threshold": 0.1,
    "cutout": 0,
    "take": "",
    "freeze": "",
    "head": "network",
    "snapshots": False,
    "seed": 0,
    "save_minutes": 5.0,
    "deterministic": False,
    "columns": 1,
    "hybrid": False,
    "wire": "same",
    "gradients": "same",
    "timeout": 600.0,
}
"""The defaults of the training options, for runs that don't say which options were chosen."""


def current_names(table: Any) -> Any:
    """A table with the names of its options as they are today. What is no table is left for the schema to report."""
    if not isinstance(table, dict):
        return table
    return {RENAMED.get(name, name): value for name, value in table.items()}


def current_options(command: Any) -> Any:
    """A recorded command line, with the options' names of today."""
    if not isinstance(command, str):
        return command
    return " ".join({"--rate": "--learning-rate"}.get(word, word) for word in command.split(" "))


def current_config(config: dict[str, Any]) -> dict[str, Any]:
    """A run's config as this version writes it."""
    if config.get("format_version") != 1:
        return config
    sound = not is_altered(config)
    config = {**config, "format_version": FORMAT_VERSION}
    for name in config.keys() & {"options", "recipe"}:
        config[name] = current_names(config[name])
    recipe = config.get("recipe")
    if isinstance(recipe, dict) and isinstance(recipe.get("stages"), list):
        recipe["stages"] = [current_names(stage) for stage in recipe["stages"]]
    return sealed(config) if sound else config
