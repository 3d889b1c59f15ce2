"""Weights by name: downloads that are whole, cut off, wrong, slow, redirected or impossible; names in place of runs."""

import hashlib
import http.server
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

import alexnet
from alexnet.cli import main
from alexnet.data.store.read import Store
from alexnet.errors import UserError
from alexnet.files import download as downloads
from alexnet.files.atomic import DiskFull
from alexnet.files.download import Unreachable, download
from alexnet.runs import pretrained
from alexnet.runs.export import export
from alexnet.runs.folder import RunFolder
from alexnet.runs.pretrained import Pretrained, run_folder
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions

CONTENT = bytes(range(256)) * 4000
SHA256, SHA1 = hashlib.sha256(CONTENT).hexdigest(), hashlib.sha1(CONTENT).hexdigest()


@dataclass
class Site:
    """A server on localhost: path → content; `cut`: bytes after which it hangs up, once; `ranges`: what was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    silent: bool = False
    with_ranges: bool = True
    ranges: list[str | None] = field(default_factory=list)
    address: str = ""


@pytest.fixture
def site() -> Iterator[Site]:
    here, quiet = Site(), threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path
            if path in here.redirects:
                self.send_response(302)
                self.send_header("Location", here.redirects[path])
                self.end_headers()
                return
            if path not in here.files:
                self.send_error(404)
                return
            content, asked = here.files[path], self.headers.get("Range")
            here.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and here.with_ranges else 0
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            if here.silent:
                self.wfile.write(content[start : start + 10])
                quiet.wait(30)
                return
            end = len(content) if here.cut is None else here.cut
            here.cut = None
            self.wfile.write(content[start:end])

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign] - a client that hangs up is no news
    here.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield here
    quiet.set()
    server.shutdown()
    server.server_close()


def test_a_file_is_downloaded_with_its_progress(site: Site, tmp_path: Path) -> None:
    site.files["/weights"], seen = CONTENT, []
    follow = lambda done, total: seen.append((done, total))  # noqa: E731
    download(f"{site.address}/weights", tmp_path / "new" / "weights", {"sha256": SHA256}, follow=follow)
    assert (tmp_path / "new" / "weights").read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["weights"]


@pytest.mark.parametrize("with_ranges", [True, False])
def test_a_download_that_broke_off_is_continued(site: Site, tmp_path: Path, with_ranges: bool) -> None:
    site.files["/weights"], site.cut, site.with_ranges = CONTENT, 300_000, with_ranges
    with pytest.raises(Unreachable, match=r"ended after 300.0 kB of 1.0 MB\. Run the command again|broke off"):
        download(f"{site.address}/weights", tmp_path / "weights", {"sha1": SHA1}, size=len(CONTENT))
    assert not (tmp_path / "weights").exists()
    download(f"{site.address}/weights", tmp_path / "weights", {"sha1": SHA1}, size=len(CONTENT))
    assert (tmp_path / "weights").read_bytes() == CONTENT
    assert site.ranges == [None, "bytes=300000-"]


@pytest.mark.parametrize(
    ("digests", "size", "message"),
    [
        ({"sha256": SHA256[::-1]}, None, "its SHA256 is .* expected"),
        ({"sha1": SHA1[::-1]}, None, "its SHA1 is"),
        ({"sha256": SHA256}, 17, "has 1,024,000 bytes, expected 17"),
    ],
)
def test_another_file_is_removed(site: Site, tmp_path: Path, digests: dict, size: int | None, message: str) -> None:
    site.files["/weights"] = CONTENT
    with pytest.raises(UserError, match=message):
        download(f"{site.address}/weights", tmp_path / "weights", digests, size=size)
    assert not list(tmp_path.iterdir())


def test_redirects_are_followed(site: Site, tmp_path: Path) -> None:
    site.files["/there"], site.redirects["/here"] = CONTENT, "/there"
    download(f"{site.address}/here", tmp_path / "weights", {"sha256": SHA256})
    assert (tmp_path / "weights").read_bytes() == CONTENT


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/weights", "http://no.such.host.invalid/weights"])
def test_without_a_network_one_sentence_says_so(tmp_path: Path, address: str) -> None:
    with pytest.raises(Unreachable, match=r"can't be reached \(.+\)\. Is there a network\?"):
        download(address, tmp_path / "weights", {})


def test_without_a_network_it_says_how_to_train_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("ALEXNET_WEIGHTS_URL", "http://127.0.0.1:9")
    words = r"run: alexnet import torchvision RUN --file alexnet-\S+\.pth and then train with --from RUN\.$"
    with pytest.raises(UserError, match=words):
        run_folder("torchvision")


def test_an_address_without_the_file_is_reported(site: Site, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"the server answers 404 \(Not Found\)"):
        download(f"{site.address}/weights", tmp_path / "weights", {})


def test_a_server_that_falls_silent_is_given_up(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "TIMEOUT", 0.3)
    site.files["/weights"], site.silent = CONTENT, True
    with pytest.raises(Unreachable, match="the connection broke off"):
        download(f"{site.address}/weights", tmp_path / "weights", {})
    assert (tmp_path / "weights.partial").stat().st_size == 10


def test_a_full_disk_is_noticed_before_the_download(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    site.files["/weights"] = CONTENT
    with pytest.raises(DiskFull, match=r"the download takes 1\.0 MB"):
        download(f"{site.address}/weights", tmp_path / "weights", {})


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def published(site: Site, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Pretrained]:
    """A small run's export, published at the site under the name "small"; the user's cache is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(pretrained.MIRROR, site.address)
    options = TrainOptions(net="toy", epochs=1, batch=50, input_size=32, precision="fp32", device="cpu")
    run = train(store, tmp_path / "published", options, quiet=True)
    content = export(run, "safetensors", tmp_path / "small.safetensors").path.read_bytes()
    site.files["/small.safetensors"] = content
    site.files["/SHA256SUMS"] = f"{hashlib.sha256(content).hexdigest()}  small.safetensors\n".encode()
    small = Pretrained("small", "A small network", "toy", "small.safetensors", "http://127.0.0.1:9/x", "MIT", classes=4)
    monkeypatch.setattr(pretrained, "every_pretrained", lambda: {"small": small})
    monkeypatch.setattr(pretrained, "imagenet_classes", lambda: None)
    monkeypatch.setattr("alexnet.commands.dispatch.is_run_name", lambda path: str(path) == "small")
    return lambda: small


def test_a_name_stands_for_a_run_everywhere(
    published: Callable[[], Pretrained], site: Site, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = alexnet.load("small", device="cpu")
    wanted = RunFolder.open(tmp_path / "published").network.state_dict()
    assert all(torch.equal(weights, wanted[name]) for name, weights in run.network.state_dict().items())
    assert main(["evaluate", "small", str(store.path), "--device", "cpu"]) == 0
    line = ["train", str(store.path), "--out", str(tmp_path / "run"), "--from", "small", "--epochs", "1"]
    assert main([*line, "--freeze", "conv1-fc7", "--batch", "50", "--device", "cpu"]) == 0
    trained = RunFolder.open(tmp_path / "run").network.state_dict()
    assert torch.equal(trained["conv1.weight"], wanted["conv1.weight"])
    assert site.ranges == [None, None], "SHA256SUMS and the file are downloaded once"
    assert "downloading http://127.0.0.1" in capsys.readouterr().err


def test_a_classifier_starts_from_a_name(published: Callable[[], Pretrained], tmp_path: Path) -> None:
    model = alexnet.Classifier(start_from="small", freeze="conv1-fc7", epochs=1, batch=4, device="cpu", random_state=0)
    pictures = torch.randint(0, 256, (24, 40, 40, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    model.fit(pictures.numpy(), ["a", "b"] * 12)
    wanted = RunFolder.open(tmp_path / "published").network.get_parameter("conv1.weight")
    assert torch.equal(model.run_.network.get_parameter("conv1.weight"), wanted)


def test_a_file_that_was_downloaded_elsewhere_is_checked_and_imported(
    published: Callable[[], Pretrained], site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.safetensors"
    file.write_bytes(site.files["/small.safetensors"])
    assert main(["import", "small", str(tmp_path / "run"), "--file", str(file)]) == 0
    assert RunFolder.open(tmp_path / "run").table.name == "toy"
    file.write_bytes(b"another file")
    assert main(["import", "small", str(tmp_path / "other"), "--file", str(file)]) == 1
    assert "not the published file of small: its SHA256 is" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_the_sha256_of_the_first_download_is_recorded_and_checked(
    published: Callable[[], Pretrained], site: Site, tmp_path: Path
) -> None:
    del site.files["/SHA256SUMS"]
    content = site.files["/small.safetensors"]
    small = Pretrained(**vars(published()) | {"sha1": hashlib.sha1(content).hexdigest(), "bytes": len(content)})
    place = small.fetch()
    assert small.expected() == ({"sha256": hashlib.sha256(content).hexdigest()}, len(content))
    place.write_bytes(content[:-1] + b"x")
    with pytest.raises(UserError, match="its SHA256 is"):
        small.fetch()


def test_what_is_listed_is_complete_and_a_path_stays_a_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights"]) == 0
    shown = capsys.readouterr().out
    for name, one in pretrained.every_pretrained().items():
        assert name in shown
        assert one.address in shown
        assert bool(one.sha256) != bool(one.sha1), "the strongest digest that is known"
    (tmp_path / "torchvision").mkdir()
    assert run_folder(tmp_path / "torchvision") == tmp_path / "torchvision"
    assert run_folder("runs/none") == Path("runs/none")


def test_imagenet_has_its_thousand_names() -> None:
    classes = pretrained.imagenet_classes()
    assert (len(classes.ids), list(classes.ids) == sorted(classes.ids)) == (1000, True)
    assert (classes.ids[0], classes.names[0].partition(",")[0]) == ("n01440764", "tench")
