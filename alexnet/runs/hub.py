"""A run as a folder for others, with a model card, and its way to and from the Hugging Face Hub.

The folder is a run folder of three files (config.json, model.safetensors, inputs.safetensors) and README.md, the card.
What is of this machine alone stays behind: paths, options, the machine, the log, training state, snapshots.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from alexnet.errors import UserError, optional_package
from alexnet.files.atomic import faults_named, write_atomically
from alexnet.files.outputs import mark, refuse_foreign
from alexnet.files.schema import canonical_digest, json_bytes
from alexnet.nets.summary import describe
from alexnet.runs.folder import RunFolder
from alexnet.runs.history import read_history

FILES = ("config.json", "inputs.safetensors", "model.safetensors")
CARD = "README.md"
SHOWN_CLASSES = 20


def save_folder(run: RunFolder, out: Path, license: str | None = None) -> Path:
    """Write the run's folder for others. `license`: of the weights, as the Hub names it ("cc-by-4.0"). Raises UserError
    if the run has no weights yet, or `out` holds anything but such a folder, its card as it was written."""
    if not (run.path / "model.safetensors").exists():
        raise UserError(f"{run.path}: no weights yet; the first epoch has not ended. Try again later.")
    refuse_foreign(out / CARD, is_own_card, "folder")
    with faults_named(out):
        there = {path.name for path in out.iterdir()}
    if strange := sorted(there - {*FILES, CARD} if CARD in there else there):
        raise UserError(f"{out}: holds {strange[0]}, which is no part of such a folder. Name a new folder.")
    if link := next((path for path in map(out.joinpath, FILES) if path.is_symlink()), None):
        raise UserError(f"{link}: is a link, perhaps into the cache of the Hub. Name a new folder.")
    write_atomically(out / CARD, model_card(run, license).encode())
    for name in FILES[1:]:
        with faults_named(run.path / name):
            write_atomically(out / name, (run.path / name).read_bytes())
    write_atomically(out / "config.json", json_bytes(run.public_config()))
    return out


def push(
    run: RunFolder, repo_id: str, *, private: bool = False, token: str | None = None, license: str | None = None
) -> str:
    """Upload the run's folder to the Hub as `repo_id` ("name/model"), made if it is not there; the address.

    Raises UserError without huggingface_hub, without permission or without a way to the Hub.
    """
    hub = _hub()
    with TemporaryDirectory() as folder:
        save_folder(run, Path(folder), license)
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
    return optional_package("huggingface_hub", "hub", "the Hub")


def _first_line(fault: Exception) -> str:
    return f"{type(fault).__name__}: {next(iter(str(fault).strip().splitlines()), '')}".rstrip(": ")


# ── the model card ───────────────────────────────────────────────────────────────────────────────────────────────


def model_card(run: RunFolder, license: str | None = None) -> str:
    """What the run is, in Markdown: all of it from the run's own files. `license`: of the weights, as the Hub names it.
    The last line is a mark with the card's digest."""
    network, names = run.table, run.class_names
    size = int(run.value("network", "input_size"))
    parts = [
        _metadata(run, license),
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
        "## Licence\n\n"
        f"{f'The weights are under the licence `{license}`' if license else 'No licence is stated for these weights'}. "
        "The package alexnet, which reads them, is under the MIT licence. The pictures that a network was trained on "
        "may have terms of their own.",
    ]
    if missing := run.config.get("missing_layers"):
        parts.insert(
            4, f"**No weights for {', '.join(missing)}**: it can be looked into up to there, but gives no answers."
        )
    return _with_digest("\n\n".join(part for part in parts if part) + "\n")


def _with_digest(card: str) -> str:
    return f"{card}\n<!-- {mark(f'model card {canonical_digest(card)[:16]}')} -->\n"


def is_own_card(path: Path) -> bool:
    """Whether a README is a card as it was written, not edited since."""
    with faults_named(path):
        text = path.read_text("utf-8", "replace")
    return text == _with_digest(text.rpartition("\n<!-- ")[0])


def _metadata(run: RunFolder, license: str | None) -> str:
    """The card's YAML, with the last epoch's figures as the Hub's model index."""
    lines = ["library_name: alexnet", f"license: {license or 'unknown'}", "pipeline_tag: image-classification"]
    lines += ["tags:", "- alexnet", "- image-classification"]
    if last := _last_epoch(run):
        pictures = run.config.get("data", {}).get("pictures", {}).get("val")
        split = "validation split" + (f" of {pictures:,} pictures" if pictures else "")
        lines += ["model-index:", f"- name: {json.dumps(run.table.name)}", "  results:"]
        lines += ["  - task:", "      type: image-classification", "    dataset:", "      type: imagefolder"]
        lines += [f"      name: {split}", "      split: validation", "    metrics:"]
        for kind, name, value in (
            ("accuracy", "top-1 accuracy, centre view", 1 - last["val_top1_error"]),
            ("accuracy", "top-5 accuracy, centre view", 1 - last["val_top5_error"]),
            ("loss", "mean negative log-likelihood, nats", last["val_nll"]),
        ):
            lines += [f"    - type: {kind}", f"      name: {json.dumps(name)}", f"      value: {value:.5g}"]
    return "\n".join(("---", *lines, "---"))


def _origin(config: dict[str, Any]) -> str:
    if imported := config.get("imported"):
        notes = "".join(f" {note[:1].upper()}{note[1:]}." for note in imported["notes"])
        return f"Imported from `{imported['from']}` ({imported['format']}).{notes}"
    counts = config.get("data", {}).get("pictures", {})
    pictures = ", ".join(f"{count:,} pictures in {name}" for name, count in counts.items())
    return f"Trained from {pictures or 'pictures'}. {config.get('rule', '')}".strip()


def _last_epoch(run: RunFolder) -> dict[str, Any] | None:
    """The last epoch's figures, if a log has them."""
    epochs = read_history(run.path / "log.jsonl").epochs
    return epochs[-1] if epochs and epochs[-1].get("val_top1_error") is not None else None


def _measured(run: RunFolder) -> str:
    if not (last := _last_epoch(run)):
        return ""
    return (
        f"Validation after epoch {last['epoch']}, centre view: top-1 error {last['val_top1_error']:.2%}, top-5 error "
        f"{last['val_top5_error']:.2%}, nll {last['val_nll']:.3f}."
    )


def _classes(names: tuple[str, ...]) -> str:
    more = f"\n- … and {len(names) - SHOWN_CLASSES:,} more (config.json has all)" if len(names) > SHOWN_CLASSES else ""
    return "\n".join(f"- {name}" for name in names[:SHOWN_CLASSES]) + more
