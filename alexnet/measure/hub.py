"""A run as a folder for others, with a model card, and its way to and from the Hugging Face Hub.

The folder is a run folder of three files (config.json, model.safetensors, inputs.safetensors) and README.md, the card.
What is of this machine alone stays behind: paths, options, the machine, the log, training state, snapshots.
"""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from alexnet.errors import UserError
from alexnet.files import faults_named, json_bytes, write_atomically
from alexnet.measure.history import read_history
from alexnet.nets.summary import describe
from alexnet.runs import RunFolder

FILES = ("config.json", "inputs.safetensors", "model.safetensors")
CARD = "README.md"
SHOWN_CLASSES = 20


def save_folder(run: RunFolder, out: Path) -> Path:
    """Write the run's folder for others. Raises UserError if it has no weights yet or `out` holds anything else."""
    if not (run.path / "model.safetensors").exists():
        raise UserError(f"{run.path}: no weights yet; the first epoch has not ended. Try again later.")
    with faults_named(out):
        out.mkdir(parents=True, exist_ok=True)
        if strange := sorted({path.name for path in out.iterdir()} - {*FILES, CARD}):
            raise UserError(f"{out}: holds {strange[0]}, which is no part of such a folder. Name a new folder.")
        for name in FILES[1:]:
            shutil.copyfile(run.path / name, out / name)
    write_atomically(out / "config.json", json_bytes(run.public_config()))
    write_atomically(out / CARD, model_card(run).encode())
    return out


def push(run: RunFolder, repo_id: str, *, private: bool = False, token: str | None = None) -> str:
    """Upload the run's folder to the Hub as `repo_id` ("name/model"), made if it is not there; the address.

    Raises UserError without huggingface_hub, without permission or without a way to the Hub.
    """
    hub = _hub()
    with TemporaryDirectory() as folder:
        save_folder(run, Path(folder))
        try:
            api = hub.HfApi(token=token)
            api.create_repo(repo_id, private=private, exist_ok=True)
            api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message="Upload a run of alexnet")
        except Exception as fault:  # of the network, of permissions, of names: each library layer has its own
            raise UserError(
                f"{repo_id}: can't be uploaded ({_first_line(fault)}). Log in with `hf auth login`."
            ) from None
    return f"https://huggingface.co/{repo_id}"


def fetch(name: str, revision: str | None = None) -> Path:
    """The folder of a run: `name` itself if it is a folder, else that repository of the Hub, downloaded once.

    Raises UserError if there is neither.
    """
    if Path(name).is_dir():
        return Path(name)
    try:
        return Path(_hub().snapshot_download(name, revision=revision, allow_patterns=[*FILES, CARD]))
    except UserError:
        raise
    except Exception as fault:  # as above
        raise UserError(f"{name}: no folder here, and not to be had from the Hub ({_first_line(fault)}).") from None


def _hub() -> ModuleType:
    try:
        import huggingface_hub
    except ImportError:
        raise UserError("the Hub needs the package huggingface_hub: pip install 'alexnet[hub]'") from None
    return huggingface_hub


def _first_line(fault: Exception) -> str:
    return f"{type(fault).__name__}: {next(iter(str(fault).strip().splitlines()), '')}".rstrip(": ")


# ── the model card ───────────────────────────────────────────────────────────────────────────────────────────────


def model_card(run: RunFolder) -> str:
    """What the run is, in Markdown: all of it from the run's own files."""
    network, names = run.table, run.class_names
    size = int(run.value("network", "input_size"))
    parts = [
        "---\nlibrary_name: alexnet\npipeline_tag: image-classification\ntags:\n- alexnet\n- image-classification\n---",
        f"# {network.name}, {len(names):,} classes",
        network.about,
        _origin(run.config),
        _measured(run),
        "## Use",
        '```python\nimport alexnet\n\nrun = alexnet.Run.from_pretrained("OWNER/NAME")  # or the folder\n'
        'print(run.predict("cat.jpg").labels[0].name)\n```',
        f"Inputs are RGB records of {run.inputs.side} × {run.inputs.side}, from 0 to 255, less the mean image in "
        f"`inputs.safetensors`; the network sees crops of {size} × {size}.",
        f"## Network\n\n```\n{describe(network, 1, size)}\n```",
        f"## Classes\n\nIn the order: {run.value('classes', 'order')}.\n\n{_classes(names)}",
    ]
    if missing := run.config.get("missing_layers"):
        parts.insert(
            4, f"**No weights for {', '.join(missing)}**: it can be looked into up to there, but gives no answers."
        )
    return "\n\n".join(part for part in parts if part) + "\n"


def _origin(config: dict[str, Any]) -> str:
    if imported := config.get("imported"):
        notes = "".join(f" {note[:1].upper()}{note[1:]}." for note in imported["notes"])
        return f"Imported from `{imported['from']}` ({imported['format']}).{notes}"
    counts = config.get("data", {}).get("pictures", {})
    pictures = ", ".join(f"{count:,} pictures in {name}" for name, count in counts.items())
    return f"Trained from {pictures or 'pictures'}. {config.get('rule', '')}".strip()


def _measured(run: RunFolder) -> str:
    """The last epoch's figures, if a log tells them."""
    epochs = read_history(run.path / "log.jsonl").epochs
    if not epochs or epochs[-1].get("val_top1_error") is None:
        return ""
    last = epochs[-1]
    return (
        f"Validation after epoch {last['epoch']}, centre view: top-1 error {last['val_top1_error']:.2%}, top-5 error "
        f"{last['val_top5_error']:.2%}, nll {last['val_nll']:.3f}."
    )


def _classes(names: tuple[str, ...]) -> str:
    more = f"\n- … and {len(names) - SHOWN_CLASSES:,} more (config.json has all)" if len(names) > SHOWN_CLASSES else ""
    return "\n".join(f"- {name}" for name in names[:SHOWN_CLASSES]) + more
