"""What a command writes: a new file, or an earlier output of the same kind; nothing else of the user's is replaced."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import alexnet
from alexnet.cli import main
from alexnet.errors import UserError
from alexnet.files.outputs import kind_of, mark, refuse_foreign
from alexnet.files.tensors import load_tensors, save_tensors
from alexnet.runs.hub import CARD

TRAIN = ("--net", "toy", "--epochs", "1", "--batch", "8", "--precision", "fp32", "--threads", "1", "--device", "cpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos/{cat,dog}`, `s.store` and `run`."""
    folder = tmp_path_factory.mktemp("outputs")
    noise = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(8):
            pixels = noise.integers(0, 256, (40, 44, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / name / f"{number:03}.png")
    assert main(["prepare", str(folder / "photos"), str(folder / "s.store"), "--size", "40", "--holdout", "0.25"]) == 0
    assert main(["train", str(folder / "s.store"), "--out", str(folder / "run"), *TRAIN]) == 0
    return folder


@pytest.fixture
def work(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, and the current one."""
    shutil.copytree(made, tmp_path / "work", symlinks=True)
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


COMMANDS = {
    "features": "features run photos/cat --out holiday.npy",
    "predict": "predict run photos/cat/000.png --save-probabilities p.safetensors",
    "evaluate": "evaluate run s.store --save-probabilities p.safetensors",
    "occlusion": "see occlusion run photos/cat/000.png --size 20 --stride 10 --out seen",
    "attribution": "see attribution run photos/cat/000.png --out seen",
    "filters": "see filters run --out seen",
    "top": "see top run s.store --layers conv1 --channels 0 --out seen",
    "export": "export run --to safetensors --out out.safetensors",
    "onnx": "export run --to onnx --out out.onnx",
    "report": "report run",
    "similar build": "similar build run s.store --index index",
    "check": "check s.store --sheet odd.png",
}


@pytest.mark.parametrize(
    ("command", "victim"),
    [
        ("features", "holiday.json"),
        ("features", "holiday.npy"),
        ("predict", "p.safetensors"),
        ("evaluate", "p.safetensors"),
        ("occlusion", "seen/occlusion-000.png"),
        ("occlusion", "seen/occlusion-000.json"),
        ("attribution", "seen/attribution-grad-cam-000.png"),
        ("filters", "seen/filters.png"),
        ("top", "seen/top.safetensors"),
        ("top", "seen/top-conv1.png"),
        ("export", "out.safetensors"),
        ("onnx", "out.onnx"),
        ("onnx", "out.onnx.json"),
        ("report", "run/report.html"),
        ("report", "run/figures/loss.png"),
        ("similar build", "index/index.json"),
        ("similar build", "index/features.json"),
        ("check", "odd.png"),
    ],
)
def test_a_file_of_the_user_s_is_kept_and_named(
    work: Path, capsys: pytest.CaptureFixture[str], command: str, victim: str
) -> None:
    (work / victim).parent.mkdir(exist_ok=True)
    (work / victim).write_bytes(b'{"mine": true}')
    before = content(work)
    assert main(COMMANDS[command].split()) == 1
    assert victim in capsys.readouterr().err
    assert content(work) == before


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("onnx", "check", "top", "report")])
def test_the_same_command_again_replaces_its_own_output(work: Path, command: str) -> None:
    assert main(COMMANDS[command].split()) == 0
    before = content(work)
    assert main(COMMANDS[command].split()) == 0
    after = content(work)
    assert after.keys() == before.keys()
    unordered = ".safetensors"  # its header's entries come in any order
    assert all(after[name] == before[name] for name in before if not name.endswith(unordered))


@pytest.mark.parametrize(
    "place",
    ["run/model.safetensors", "run/trained_on.safetensors", "run/state/step-1.safetensors", "s.store/train/new.bin"],
)
def test_files_of_a_run_or_store_are_no_place_for_outputs(
    work: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    before = content(work)
    assert main(["predict", "run", "photos/cat/000.png", "--save-probabilities", place]) == 1
    assert place in capsys.readouterr().err
    assert content(work) == before


def test_links_to_weights_and_the_picture_itself_are_refused(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.link("run/model.safetensors", "hard.safetensors")
    os.symlink("run/model.safetensors", "soft.safetensors")
    os.symlink("nowhere", "broken.safetensors")
    os.mkdir("folder.safetensors")
    before = content(work)
    for place in ("hard.safetensors", "soft.safetensors", "broken.safetensors", "folder.safetensors"):
        assert main(["predict", "run", "photos/cat/000.png", "--save-probabilities", place]) == 1
        assert place in capsys.readouterr().err
    assert main(["predict", "run", "photos/cat/000.png", "--save-probabilities", "photos/cat/000.png"]) == 1
    assert main(["see", "filters", "run", "--out", "photos/cat/000.png"]) == 1
    assert content(work) == before
    assert Path("soft.safetensors").is_symlink()


def test_a_link_to_an_earlier_output_stays_a_link(work: Path) -> None:
    os.mkdir("elsewhere")
    command = ["predict", "run", "photos/cat/000.png", "--save-probabilities"]
    assert main([*command, "elsewhere/p.safetensors"]) == 0
    os.symlink("elsewhere/p.safetensors", "p.safetensors")
    assert main([*command[:2], "photos/dog/001.png", "--save-probabilities", "p.safetensors"]) == 0
    assert Path("p.safetensors").is_symlink()
    assert b"dog/001.png" in Path("elsewhere/p.safetensors").read_bytes()


def test_results_of_the_same_name_are_all_kept(work: Path) -> None:
    shutil.copytree("run", "other")
    weights, _ = load_tensors(Path("other/model.safetensors"))
    save_tensors(Path("other/model.safetensors"), weights | {"fc8.bias": weights["fc8.bias"] + 1})
    lines = [
        "run photos/cat/000.png --layer conv2 --channels 3",
        "run photos/dog/000.png --layer conv2 --channels 3",
        "run photos/dog/000.png --layer conv2 --channels 3 --method guided",
        "run photos/dog/000.png --layer conv2 --channels 4",
        "other photos/dog/000.png --layer conv2 --channels 4",
        "run photos/dog/000.png --layer conv3 --channels 3",
    ]
    for line in [*lines, *lines[:2]]:
        assert main(["see", "project", *line.split(), "--out", "seen"]) == 0
    assert len(list(Path("seen").glob("*.png"))) == len(list(Path("seen").glob("*.json"))) == len(lines)
    kinds = {kind_of(path) for path in Path("seen").iterdir()}
    assert len(kinds) == len(lines)


def test_sheets_of_two_searches_are_both_kept(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["similar", "build", "run", "s.store"]) == 0
    for picture in ("photos/cat/000.png", "photos/dog/000.png", "photos/cat/000.png"):
        assert main(["similar", "run", picture]) == 0
    assert len(list(Path("run/similar").glob("similar*.png"))) == 2
    found = [json.loads(path.read_text())[0]["query"] for path in Path("run/similar").glob("similar*.json")]
    assert sorted(found) == ["photos/cat/000.png", "photos/dog/000.png"]
    capsys.readouterr()
    os.rename("s.store", "moved.store")
    assert main(["similar", "run", "photos/cat/001.png", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)[0]["nearest"][0]["picture"] == "cat/001.png"
    assert "give its new place with --store" in told.err
    assert len(list(Path("run/similar").glob("similar*.json"))) == 3
    assert main(["similar", "run", "photos/cat/001.png", "--store", "moved.store"]) == 0
    assert len(list(Path("run/similar").glob("similar*.png"))) == 3


def test_an_average_replaces_none_of_its_members(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", "run", "s.store", "--views", "1", "--save-probabilities"]
    assert main([*command, "a.safetensors"]) == main([*command, "b.safetensors"]) == 0
    before = content(work)
    assert main(["average", "a.safetensors", "b.safetensors", "--save", "b.safetensors"]) == 2
    assert "--save b.safetensors" in capsys.readouterr().err
    assert content(work) == before


def test_a_card_that_was_edited_is_kept(work: Path) -> None:
    run = alexnet.load("run", device="cpu")
    folder = run.save_pretrained("shared", license="cc-by-4.0")
    card = folder / CARD
    assert "license: cc-by-4.0" in card.read_text()
    card.write_text(card.read_text() + "My own words.\n")
    before = content(folder)
    with pytest.raises(UserError, match=r"README\.md: exists"):
        run.save_pretrained(folder)
    shutil.copytree("run", "imported")
    for name in ("log.jsonl", "trained_on.safetensors"):
        Path("imported", name).unlink()
    shutil.rmtree("imported/tensorboard")
    with pytest.raises(UserError, match=r"holds config\.json"):
        run.save_pretrained("imported")
    assert content(folder) == before


@pytest.mark.parametrize("end", ["png", "json", "html", "md"])
def test_the_mark_is_found_where_each_format_has_it(tmp_path: Path, end: str) -> None:
    from alexnet.drawing import png_of
    from alexnet.files.outputs import GENERATOR
    from alexnet.files.schema import json_bytes
    from alexnet.html import render

    path = tmp_path / f"a.{end}"
    makes: dict[str, Callable[[], bytes]] = {
        "png": lambda: png_of(np.zeros((4, 4, 3), np.uint8), "see 0a"),
        "json": lambda: json_bytes({GENERATOR: mark("see 0a"), "more": 1}),
        "html": lambda: render("page.html", "see 0a", title="a"),
        "md": lambda: f"# A\n\n<!-- {mark('see 0a')} -->\n".encode(),
    }
    path.write_bytes(makes[end]())
    assert kind_of(path) == "see 0a"
    refuse_foreign(path, "see 0a")
    with pytest.raises(UserError, match="was not written by this command"):
        refuse_foreign(path, "report")
    path.write_bytes(b"about: alexnet (see 0a)")
    assert kind_of(path) == ""
