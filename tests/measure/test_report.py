"""The report: stands alone, tells what was measured, is the same when made again, and never breaks on odd names."""

import json
import re
import shutil
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.cli import main
from alexnet.data.store.read import Store
from alexnet.drawing import columns_mosaic, kernel_mosaic
from alexnet.errors import UserError
from alexnet.measure.evaluation import Evaluation
from alexnet.measure.run import Run
from alexnet.report.recipe import repeating_command
from alexnet.report.run import write_report
from alexnet.runs.formats import UNCHOSEN
from alexnet.runs.history import read_history
from alexnet.train.options import TrainOptions

FIGURES = {"loss", "error", "rate", "kernels", "pictures", "confusion", "reliability"}


def epoch(number: int) -> dict:
    return {
        "event": "epoch",
        "pictures_per_second": 100.0,
        "time": 1348000000.0 + number,
        "epoch": number,
        "step": 7 * number,
        "learning_rate": 0.01 if number < 3 else 0.001,
        "train_loss": 2.0 / number,
        "train_top1_error": 0.9 / number,
        "val_nll": 2.1 / number,
        "val_top1_error": 0.8 / number,
        "val_top5_error": 0.4 / number,
    }


def write_log(run: Run, epochs: int = 4, tail: str = "") -> None:
    events = [{"event": "note", "time": 1348000000.0, "text": "a <b>note</b>"}, *map(epoch, range(1, epochs + 1))]
    (run.path / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events) + tail)


class Page(HTMLParser):
    """What a browser would find: tags with their attributes, and the text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.source = path.read_text("utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("img", "meta", "source"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.text += data

    def addresses(self) -> list[str]:
        names = ("src", "href", "srcset", "action", "data", "poster")
        return [value for _, attributes in self.tags for name in names if (value := attributes.get(name))]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the report that the tests share is kept, once it is written."""
    return tmp_path_factory.mktemp("written") / "run"


@pytest.fixture
def page(run: Run, store: Store, written: Path) -> Page:
    """The report of a run with four epochs. It is written once; each test has its own copy in its run folder."""
    write_log(run)
    if not written.exists():
        write_report(run, store)
        shutil.copytree(run.path, written)
    shutil.copytree(written, run.path, dirs_exist_ok=True)
    return Page(run.path / "report.html")


def test_the_page_needs_nothing_from_anywhere(page: Page) -> None:
    assert page.open == []
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    assert len(page.addresses()) == 3 * 2 + 2 + 8 + 4  # curves, confusion, reliability on two grounds; towers; pictures
    assert all(address.startswith("data:image/") for address in page.addresses())
    assert "url(" not in page.source
    assert "@import" not in page.source
    assert not re.search(r"\son\w+=", page.source.split("</style>")[1].split("base64")[0])
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert all(attributes.get("alt") for tag, attributes in page.tags if tag == "img")


def test_it_tells_what_was_measured(page: Page, run: Run, store: Store) -> None:
    for views in (1, 10):
        counts = run.evaluate(store, views=views).counts
        assert f"{counts.top1:.2%}" in page.text
        assert f"{counts.top1_errors} of 60" in page.text
    for name in run.class_names:
        assert name in page.text
    assert "a <b>note</b>" in page.text, "notes are text, not markup"
    assert store.fingerprint in page.text
    assert "2012-09-18" in page.text
    assert "41,706" not in page.text
    assert f"{sum(w.numel() for w in run.network.parameters()):,}" in page.text


def test_it_shows_the_worst_wrong_pictures_with_files_and_both_classes(page: Page, run: Run, store: Store) -> None:
    wrong = run.evaluate(store, views=10).wrong(store.splits["val"].keys)
    assert len(wrong) > 8
    places = [page.text.index(one.file) for one in wrong[:8]]
    assert places == sorted(places)
    assert not any(one.file in page.text for one in wrong[8:])
    for one, place in zip(wrong, places, strict=False):
        assert page.text[:place].endswith(f"{one.true}taken for {one.answered}")
    assert f" {store.path} --split val" in page.text


def test_it_says_that_every_picture_was_recognised(run: Run, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Evaluation, "wrong", lambda *_: [])
    text = Page(write_report(run, store)).text
    assert "None: every picture of split “val” was recognised." in text
    assert "Confusions" in text
    assert not (run.path / "figures" / "pictures.png").exists()


def test_figures_are_pictures_of_sane_size_with_something_in_them(page: Page, run: Run) -> None:
    files = {path.stem: path for path in (run.path / "figures").iterdir()}
    assert set(files) == FIGURES
    for name, path in files.items():
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert 100 < image.width < 4000, name
            assert 100 < image.height < 4000, name
            assert np.asarray(image.convert("L")).std() > 5, f"{name} is blank"


def test_made_again_it_is_the_same_to_the_byte(run: Run, store: Store) -> None:
    write_log(run)
    write_report(run, store)
    before = {path: path.read_bytes() for path in [run.path / "report.html", *(run.path / "figures").iterdir()]}
    time.sleep(1.1)  # into another second, for whoever writes the time into a file
    write_report(Run.open(run.path, device="cpu"), store)
    assert {path: path.read_bytes() for path in before} == before


def test_without_a_store_it_says_what_is_missing_and_drops_older_figures(page: Page, run: Run) -> None:
    bare = Page(write_report(run))
    assert {path.stem for path in (run.path / "figures").iterdir()} == {"loss", "error", "rate", "kernels"}
    assert "--store STORE" in bare.text
    assert "Confusions" not in bare.text
    assert "20.00%" in bare.text, "the last epoch's validation error"


def test_before_the_first_epoch(make_run, capsys) -> None:
    run = make_run(weights=False)
    assert main(["report", str(run.path), "--device", "cpu"]) == 0
    text = Page(run.path / "report.html").text
    assert "No epoch has ended yet" in text
    assert "No weights yet" in text
    assert capsys.readouterr().out.strip().endswith("report.html")


def test_after_one_epoch(run: Run) -> None:
    write_log(run, epochs=1)
    assert "epochs" in Page(write_report(run)).text


def test_hostile_names_stay_text(make_run, store: Store) -> None:
    names = ["<script>alert(1)</script>", "a & b \"quoted\" 'x'", "$\\frac{1}{$ 猫 \x07", "x" * 300]
    run = make_run(classes={"names": names, "ids": list(store.class_ids), "order": "</section>"})
    page = Page(write_report(run, store))
    assert page.open == []
    assert "script" not in {tag for tag, _ in page.tags}
    assert all(name in page.text for name in names)


def test_the_last_line_of_a_log_may_be_in_the_writing(run: Run) -> None:
    write_log(run, tail='{"event": "epo')
    assert len(read_history(run.path / "log.jsonl").epochs) == 4


@pytest.mark.parametrize(
    "line", ["{", "[1]", '{"event": "epoch", "time": 1}', '{"time": 1}', '{"event": "x", "time": []}']
)
def test_a_damaged_log_is_named_with_its_line(run: Run, line: str) -> None:
    write_log(run, tail=line + "\n")
    with pytest.raises(UserError, match=r"log\.jsonl: line 6"):
        write_report(run)


def test_the_command_to_repeat_it_is_one_that_the_command_line_takes(run: Run, store: Store) -> None:
    told = repeating_command(run, store)
    assert told == (
        f"alexnet train {store.path} --out {run.path} --net toy --epochs 3 --device cpu --threads 2 --precision fp32"
    )
    from alexnet.commands import VERBS
    from alexnet.commands.dispatch import parse

    parse(VERBS["train"], "train", told.split()[2:])
    assert " STORE " in repeating_command(run, None)
    run.config["options"] = UNCHOSEN | run.config["options"]  # as earlier versions wrote
    run.config.pop("chosen", None)
    assert repeating_command(run, store) == told
    assert vars(TrainOptions()) == UNCHOSEN


# ── kernels ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_kernel_fills_the_range_and_zero_is_mid_grey() -> None:
    kernels = np.zeros((3, 3, 11, 11), np.float32)
    kernels[0, :, 0, 0] = (-2e-3, 2e-3, 1e-3)
    kernels[1, 0, 5, 5] = 40
    mosaic = kernel_mosaic(kernels)
    cell = 66  # the least multiple of 11 that is 64 or more
    assert mosaic.shape == (cell, 3 * (cell + 4) - 4, 3)
    assert mosaic[0, 0].tolist() == [0, 255, 191]
    assert mosaic[0, 6].tolist() == [128, 128, 128]
    assert (mosaic[:6, :6] == mosaic[0, 0]).all(), "enlarged without smoothing"
    second = mosaic[:, cell + 4 : 2 * cell + 4]
    assert second[33, 33].tolist() == [255, 128, 128]
    assert (mosaic[:, 2 * (cell + 4) :] == 128).all(), "a dead kernel is grey"
    clear = kernel_mosaic(kernels, clear=True)
    assert (clear[:, cell : cell + 4, 3] == 0).all(), "nothing between them"
    assert (clear[:, :cell] == np.dstack([mosaic[:, :cell], np.full((cell, cell), 255)])).all()


def test_towers_lie_apart_in_their_order() -> None:
    """[A] Fig. 3: 96 kernels, three rows of 16 for each GPU."""
    kernels = np.zeros((96, 3, 11, 11), np.float32)
    kernels[:48, 0], kernels[48:, 2] = 1, 1
    mosaic = columns_mosaic(kernels, 2)
    block = 3 * 70 - 4
    assert mosaic.shape == (2 * block + 28, 16 * 70 - 4, 3)
    assert mosaic[0, 0].tolist() == [255, 128, 128]
    assert (mosaic[block : block + 28] == 255).all()
    assert mosaic[-1, -1].tolist() == [128, 128, 255]
