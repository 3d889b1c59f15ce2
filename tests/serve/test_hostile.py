"""Hostile inputs: clear refusals, the server alive, nothing written."""

import asyncio
import http.client
import io
import socket
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from explored import Site
from PIL import Image

from alexnet.serve.explorer import UPLOADS
from alexnet.serve.uploads import LIMIT_BYTES

TOGETHER = 200


def content_of(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def _alive_and_nothing_written(site: Site, picture: bytes) -> Iterator[None]:
    before = content_of(site.place.run.parent)
    yield
    assert content_of(site.place.run.parent) == before
    assert site.compute(f"/api/sides/own/pictures/{site.bring(picture)}/prediction")[-1][0] == "done"


def test_a_file_of_200_mb_is_refused_by_what_it_says_of_its_size(site: Site) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", site.access.port, timeout=30)
    connection.putrequest("POST", "/api/pictures")
    connection.putheader("Content-Length", str(200 << 20))
    connection.endheaders()
    with closing(connection):
        answer = connection.getresponse()  # before a byte of it is sent
        assert answer.status == 413
        assert b"choose a smaller picture" in answer.read()


def test_a_file_of_200_mb_that_says_nothing_of_its_size_is_cut_off(site: Site) -> None:
    sent, piece = 0, b"%x\r\n%b\r\n" % (1 << 20, bytes(1 << 20))
    with socket.create_connection(("127.0.0.1", site.access.port), 30) as connection:
        head = (
            f"POST /api/pictures HTTP/1.1\r\nHost: 127.0.0.1:{site.access.port}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        connection.sendall(head.encode())
        try:
            for _ in range(200):
                connection.sendall(piece)
                sent += 1 << 20
        except OSError:  # it hung up
            pass
        assert sent < 200 << 20 or b"413" in connection.recv(4096)
    assert sent >= LIMIT_BYTES or sent < 200 << 20


@pytest.mark.parametrize("said", ["-5", "many", "1e9"])
def test_a_nonsense_size_is_refused(site: Site, said: str) -> None:
    with socket.create_connection(("127.0.0.1", site.access.port), 30) as connection:
        head = f"POST /api/pictures HTTP/1.1\r\nHost: 127.0.0.1:{site.access.port}\r\nContent-Length: {said}\r\n\r\n"
        connection.sendall(head.encode())
        assert b" 400 " in connection.recv(4096).split(b"\r\n")[0]


def bomb() -> bytes:
    """A PNG of 30,000 × 30,000 pixels in a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    side = (30_000).to_bytes(4)
    header = chunk(b"IHDR", side + side + bytes([8, 2, 0, 0, 0]))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1 << 20))) + chunk(b"IEND", b"")


def large_but_flat() -> bytes:
    """51 million pixels: above our limit, below Pillow's."""
    data = io.BytesIO()
    Image.new("L", (8_500, 6_000)).save(data, "PNG")
    return data.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (bomb(), "decompression bomb"),
        (large_but_flat(), "decompression bomb"),
        (b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', "an SVG drawing"),
        (b"<!doctype html><script>alert(1)</script>", "an HTML page"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "a PDF document"),
        (b"PK\x03\x04" + bytes(100), "an archive"),
        (bytes(1000), "zero bytes"),
        (b"\xff\xd8\xff\xe0" + bytes(500), "damaged"),
    ],
    ids=["empty", "bomb", "large", "svg", "html", "pdf", "zip", "zeros", "cut"],
)
def test_what_is_no_sound_picture_is_refused_by_name(site: Site, data: bytes, words: str) -> None:
    status, headers, body = site.ask("POST", "/api/pictures", data)
    assert status == 415
    assert headers["content-type"] == "application/json"
    assert words in body.decode()


@pytest.mark.parametrize(
    "path",
    [
        "/page/../app.py",
        "/page/..%2fapp.py",
        "/page/%2e%2e/%2e%2e/app.py",
        "/page//etc/passwd",
        "/../../../../etc/passwd",
        "/api/sides/..%2f..%2fetc/home",
        "/api/sides/../home",
        "/api/sides/epoch-..%2f1/home",
        "/api/sides/own/layers/..%2f..%2fconfig.json",
        "/api/sides/own/layers/conv1/units/..%2f1",
        "/api/store/..%2f..%2fetc/0.jpg",
        "/api/store/val/..%2f0.jpg",
        "/api/sides/own/curves/..%2f..%2fconfig.png",
        "/api/sides/own/pictures/..%2f..%2fx/view.jpg",
    ],
)
def test_no_path_reaches_the_file_system(site: Site, path: str) -> None:
    status, _, body = site.ask("GET", path)
    assert status in (404, 422), body
    assert b"root:" not in body
    assert str(site.place.run.parent).encode() not in body


def test_a_name_that_comes_with_a_picture_is_used_for_nothing(site: Site, picture: bytes) -> None:
    headers = {"Content-Disposition": 'attachment; filename="../../evil.png"', "Content-Type": "text/html"}
    status, _, body = site.ask("POST", "/api/pictures", picture, headers)
    assert status == 200
    assert b"evil" not in body


@pytest.mark.parametrize("what", ["pictures", "__class__", "top%00"])
def test_only_known_passes_can_be_asked_for(site: Site, what: str) -> None:
    assert site.ask("POST", f"/api/sides/own/passes/{what}")[0] == 422


def test_pictures_that_were_brought_first_are_forgotten_and_that_is_said(site: Site, picture: bytes) -> None:
    first = site.bring(picture)
    for _ in range(UPLOADS):
        site.bring(picture)
    status, _, body = site.ask("POST", f"/api/sides/own/pictures/{first}/prediction")
    assert status == 404
    assert b"upload it again" in body


@pytest.mark.parametrize("many", [2_000, pytest.param(10_000, marks=pytest.mark.long)])
def test_thousands_of_requests_are_answered_or_refused_in_a_sentence(site: Site, picture: bytes, many: int) -> None:
    """All want the network, each for something else; `TOGETHER` at a time."""
    ident = site.bring(picture)
    asked = iter(range(many))
    answers: dict[int, int] = {}

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.access.port)
        for number in asked:
            layer = ("conv1", "relu1", "conv2", "conv3")[number % 4]
            path = f"/api/sides/own/pictures/{ident}/maps/{layer}/{number % 16}.png?n={number}"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{site.access.port}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            lines = [line.split(b":") for line in head.lower().split(b"\r\n")]
            length = next(int(line[1]) for line in lines if line[0] == b"content-length")
            body = await reader.readexactly(length)
            status = int(head.split(b" ", 2)[1])
            assert status == 200 or b"Try again in a moment" in body
            answers[status] = answers.get(status, 0) + 1
        writer.close()
        await writer.wait_closed()

    async def clients() -> None:
        await asyncio.gather(*(client() for _ in range(TOGETHER)))

    asyncio.run(clients())
    assert sum(answers.values()) == many
    assert set(answers) <= {200, 503}


def test_noise_as_a_picture_makes_no_traceback(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    for start in (b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\x00", b"BM", b"RIFF\x00\x00\x00\x00WEBPVP8 ", b""):
        status, _, _ = site.ask("POST", "/api/pictures", start + random.bytes(2000))
        assert status == 415
    assert "Traceback" not in capsys.readouterr().err
