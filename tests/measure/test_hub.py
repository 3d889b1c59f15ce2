"""A run as a folder for others: it answers as before, tells nothing of its owner, and carries a card."""

import json
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest

import alexnet
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.runs.hub import CARD, FILES
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions


@pytest.fixture(scope="module")
def trained(store: Store, tmp_path_factory: pytest.TempPathFactory) -> alexnet.Run:
    path = tmp_path_factory.mktemp("hub") / "run"
    options = TrainOptions(net="toy", epochs=1, batch=16, threads=1, precision="fp32", device="cpu")
    train(store, path, options, quiet=True)
    return alexnet.load(path)


def test_the_folder_answers_as_the_run_does(trained: alexnet.Run, tmp_path: Path) -> None:
    folder = trained.save_pretrained(tmp_path / "shared")
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, CARD])
    again = alexnet.Run.from_pretrained(folder)
    picture = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    assert again.predict(picture, top=4).labels == trained.predict(picture, top=4).labels
    trained.save_pretrained(folder)  # the same again is no fault
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds notes.txt"):
        trained.save_pretrained(folder)


def test_nothing_of_its_owner_is_in_it(trained: alexnet.Run, tmp_path: Path) -> None:
    folder = trained.save_pretrained(tmp_path / "shared")
    place = str(trained.config["data"]["path"])
    assert place in (trained.path / "config.json").read_text()
    for name in ("config.json", CARD):
        assert place not in (folder / name).read_text()
    assert not {"options", "machine", "starts"} & json.loads((folder / "config.json").read_text()).keys()


def test_the_card_is_written_from_the_run(trained: alexnet.Run, tmp_path: Path) -> None:
    card = (trained.save_pretrained(tmp_path / "shared") / CARD).read_text()
    log = [json.loads(line) for line in (trained.path / "log.jsonl").read_text().splitlines()]
    last = [event for event in log if event["event"] == "epoch"][-1]
    assert card.startswith("---\nlibrary_name: alexnet\n")
    metadata = huggingface_hub.ModelCard(card).data
    assert (metadata.library_name, metadata.pipeline_tag) == ("alexnet", "image-classification")
    assert f"top-1 error {last['val_top1_error']:.2%}" in card
    assert "200 pictures in train, 60 pictures in val" in card
    for said in ("# toy, 4 classes", "conv5", "- angle3", "40 × 40", "crops of 32 × 32"):
        assert said in card


def test_pushing_uploads_that_folder(trained: alexnet.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    class Api:
        def __init__(self, token: str | None = None) -> None:
            seen["token"] = token

        def create_repo(self, repo_id: str, **given: Any) -> None:
            seen["created"] = repo_id, given

        def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> None:
            seen["files"] = sorted(path.name for path in Path(folder_path).iterdir())

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    assert trained.push_to_hub("somebody/toy", private=True, token="t") == "https://huggingface.co/somebody/toy"
    assert seen["created"] == ("somebody/toy", {"private": True, "exist_ok": True})
    assert seen["files"] == sorted([*FILES, CARD])
    assert seen["token"] == "t"


def test_without_a_way_to_the_hub(trained: alexnet.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any, **given: Any) -> None:
        raise ConnectionError("no route to host\nand more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fails)
    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", fails)
    with pytest.raises(UserError, match=r"nobody/none: no folder here, and not available .* no route to host\)"):
        alexnet.Run.from_pretrained("nobody/none")
    with pytest.raises(UserError, match=r"somebody/toy: can't be uploaded \(ConnectionError: no route to host\)"):
        trained.push_to_hub("somebody/toy")


def test_downloading_opens_the_folder(trained: alexnet.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = trained.save_pretrained(tmp_path / "cache")

    def downloads(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        assert (name, revision) == ("somebody/toy", "v1")
        assert set(allow_patterns) == {*FILES, CARD}
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", downloads)
    assert alexnet.Run.from_pretrained("somebody/toy", revision="v1").class_names == trained.class_names
