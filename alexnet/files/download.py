"""Files from the network: downloaded once, resumed where a download broke off, checked before anything reads them."""

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from alexnet.errors import UserError
from alexnet.files.atomic import faults_named, space_checked, sync_file
from alexnet.files.locks import locked
from alexnet.text import in_bytes

BLOCK = 1 << 18
TIMEOUT = 60.0
"""Seconds without a byte after which a download is given up."""
LARGEST_TEXT = 1 << 20
Follow = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes in all."""


class Unreachable(UserError):
    """The address can't be reached, or does not answer with the file."""


def download(
    address: str,
    path: Path,
    digests: Mapping[str, str],
    *,
    size: int | None = None,
    follow: Follow | None = None,
) -> None:
    """Download `address` to `path`. What an interrupted download left in PATH.partial is continued.

    `digests`: hash algorithm → expected hex digest, all of which must hold; `size`: expected bytes. Raises Unreachable
    without a network, UserError if the file is another one (it is then removed), if the disk is full, or while another
    process downloads it.
    """
    partial = path.with_name(path.name + ".partial")
    with faults_named(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    busy = f"{path}: another process is downloading this file. Wait for it."
    with locked(path.with_name(path.name + ".lock"), busy):
        _fetch(address, partial, size, follow)
        fault = why_not(partial, digests, size)
        if fault:
            partial.unlink()
            raise UserError(f"{address}: {fault}. The download was removed; try again, or get the file elsewhere.")
        with faults_named(path):
            partial.replace(path)


def _fetch(address: str, partial: Path, size: int | None, follow: Follow | None) -> None:
    there = partial.stat().st_size if partial.exists() else 0
    if there and there == size:
        return
    headers = {"Range": f"bytes={there}-"} if there else {}
    with _opened(address, headers) as answer:
        if answer.status != http.client.PARTIAL_CONTENT:
            there = 0  # the server sends the whole file again
        length = answer.headers.get("Content-Length")
        total = size or (there + int(length) if length and length.isdigit() else 0)
        space_checked(partial.parent, max(0, total - there), f"the download takes {in_bytes(total)}", ". Free some.")
        with faults_named(partial), partial.open("r+b" if there else "wb") as file:
            file.seek(there)
            while block := _read(answer, address):
                there += file.write(block)
                if follow:
                    follow(there, max(total, there))
            file.truncate()
            sync_file(file.fileno(), partial)
    if there < total:
        raise Unreachable(
            f"{address}: the connection ended after {in_bytes(there)} of {in_bytes(total)}. Run the command again to "
            "continue the download."
        )


def _opened(address: str, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
    try:
        return urllib.request.urlopen(urllib.request.Request(address, headers=headers or {}), timeout=TIMEOUT)
    except urllib.error.HTTPError as fault:
        raise Unreachable(f"{address}: the server answers {fault.code} ({fault.reason}).") from None
    except (OSError, ValueError, http.client.HTTPException) as fault:
        reason = getattr(fault, "reason", None) or fault
        raise Unreachable(f"{address}: can't be reached ({reason}). Is there a network?") from None


def _read(answer: http.client.HTTPResponse, address: str) -> bytes:
    try:
        return answer.read1(BLOCK)
    except (TimeoutError, ConnectionError, http.client.HTTPException) as fault:
        raise Unreachable(
            f"{address}: the connection broke off ({fault or type(fault).__name__}). Run the command again to continue "
            "the download."
        ) from None


def read_text(address: str) -> str:
    """A small text file. Raises Unreachable."""
    with _opened(address) as answer:
        return answer.read(LARGEST_TEXT).decode("utf-8", "replace")


def why_not(path: Path, digests: Mapping[str, str], size: int | None = None) -> str:
    """Why a file is not the expected one: its size or the first digest that differs; "" if it is."""
    with faults_named(path), path.open("rb") as file:
        there = path.stat().st_size
        if size is not None and there != size:
            return f"has {there:,} bytes, expected {size:,}"
        for algorithm, expected in digests.items():
            file.seek(0)
            found = hashlib.file_digest(file, algorithm).hexdigest()
            if found != expected:
                return f"its {algorithm.upper()} is {found}, expected {expected}"
    return ""
