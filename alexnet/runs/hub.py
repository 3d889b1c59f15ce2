"""A run as a folder to share, with a model card; upload to and download from the Hugging Face Hub.

The folder is a run folder of three files (config.json, model.safetensors, inputs.safetensors) and README.md, the card.
What concerns only this machine is not included: paths, options, the machine, the log, checkpoints, snapshots.
"""

from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

from jinja2 import StrictUndefined, Template

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
TEMPLATE = Template(
    files("alexnet.runs").joinpath("model_card.md").read_text("utf-8"),
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)


def save_folder(run: RunFolder, out: Path, license: str | None = None) -> Path:
    """Write the run as a folder to share. `license`: of the weights, as the Hub names it ("cc-by-4.0"). Raises
    UserError if the run has no weights yet, or `out` holds anything but such a folder, its card as it was written."""
    if not (run.path / "model.safetensors").exists():
        raise UserError(f"{run.path}: no weights yet; the first epoch has not ended. Try again later.")
    refuse_foreign(out / CARD, is_own_card, "folder")
    with faults_named(out):
        there = {path.name for path in out.iterdir()}
    if strange := sorted(there - {*FILES, CARD} if CARD in there else there):
        raise UserError(f"{out}: holds {strange[0]}, which does not belong to such a folder. Name a new folder.")
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

    Raises UserError without huggingface_hub, without permission or if the Hub can't be reached.
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
        raise UserError(f"{name}: no folder here, and not available from the Hub ({_first_line(fault)}).") from None


def _hub() -> ModuleType:
    return optional_package("huggingface_hub", "hub", "the Hub")


def _first_line(fault: Exception) -> str:
    return f"{type(fault).__name__}: {next(iter(str(fault).strip().splitlines()), '')}".rstrip(": ")


# ── the model card ───────────────────────────────────────────────────────────────────────────────────────────────


def model_card(run: RunFolder, license: str | None = None) -> str:
    """What the run is, in Markdown: all of it from the run's own files. `license`: of the weights, as the Hub names it.
    The last line is a mark with the card's digest."""
    size = int(run.value("network", "input_size"))
    epochs = read_history(run.path / "log.jsonl").epochs
    card = TEMPLATE.render(
        license=license,
        network=run.table,
        names=run.class_names,
        order=run.value("classes", "order"),
        shown=SHOWN_CLASSES,
        imported=run.config.get("imported"),
        missing=run.missing_layers,
        counts=run.config.get("data", {}).get("pictures", {}),
        rule=run.config.get("rule", ""),
        last=epochs[-1] if epochs and epochs[-1].get("val_top1_error") is not None else None,
        side=run.inputs.side,
        size=size,
        summary=describe(run.table, 1, size),
    )
    return _with_digest(card + "\n")


def _with_digest(card: str) -> str:
    return f"{card}\n<!-- {mark(f'model card {canonical_digest(card)[:16]}')} -->\n"


def is_own_card(path: Path) -> bool:
    """Whether a README is a card as it was written, not edited since."""
    with faults_named(path):
        text = path.read_text("utf-8", "replace")
    return text == _with_digest(text.rpartition("\n<!-- ")[0])
