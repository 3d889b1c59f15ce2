"""Runs by name: pretrained weights, downloaded and imported once into the user's cache, and runs of the Hub.

`pretrained.toml` lists the weights. If `ALEXNET_WEIGHTS_URL` names a base address, files come from there instead; a
file SHA256SUMS there (lines of digest and file name) gives the digests of the files that it lists.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib import resources
from os import PathLike
from pathlib import Path

import torch

from alexnet.choices import Colours
from alexnet.data.sources.classes import SORTED, ClassList, entries_in
from alexnet.errors import UserError
from alexnet.files.atomic import cache_home, expanded, faults_named, sha256_of, write_atomically
from alexnet.files.download import Unreachable, download, read_text, why_not
from alexnet.files.locks import locked
from alexnet.files.packaged import read_toml
from alexnet.runs.folder import RunFolder
from alexnet.runs.hub import fetch
from alexnet.runs.import_weights import import_run
from alexnet.terminal import progress, say
from alexnet.text import in_bytes, table
from alexnet.weights import ImportOptions

MIRROR = "ALEXNET_WEIGHTS_URL"
HUB = "hf:"


@dataclass(frozen=True)
class Pretrained:
    """Published weights. `bytes`, `sha256` and `sha1`: as far as they are known; `mean` (R,G,B, 0–255)
    and `colours` of the inputs where the format does not say them."""

    name: str
    about: str
    network: str
    file: str
    address: str
    licence: str
    bytes: int | None = None
    sha256: str = ""
    sha1: str = ""
    mean: str = ""
    colours: Colours | None = None
    classes: int = 1000

    @property
    def mirrored(self) -> str:
        """The base address in `ALEXNET_WEIGHTS_URL`, "" if there is none."""
        return os.environ.get(MIRROR, "").rstrip("/")

    @property
    def place(self) -> Path:
        """Where the file is kept."""
        return cache_folder() / "weights" / self.file

    def expected(self) -> tuple[dict[str, str], int | None]:
        """The digests and the size to check: the strongest digest that is known, from the list, from a mirror's
        SHA256SUMS or from the first download of this file."""
        if self.mirrored:
            try:
                lines = read_text(f"{self.mirrored}/SHA256SUMS").splitlines()
            except Unreachable:
                lines = []
            listed = {name.lstrip("*"): digest for digest, _, name in (line.partition("  ") for line in lines)}
            if self.file in listed:
                return {"sha256": listed[self.file].lower()}, None
        recorded = self.sha256 or _recorded(self.place)
        return {"sha256": recorded} if recorded else {"sha1": self.sha1}, self.bytes

    def fetch(self, file: Path | None = None) -> Path:
        """The checked file: `file`, if given, or the cached one, downloaded if it is not there. Raises UserError if it
        is not the published one."""
        place = file or self.place
        digests, size = self.expected()
        if place.exists() or file:
            if fault := why_not(place, digests, size):
                remedy = "Download it again." if file else "Remove it and run the command again."
                raise UserError(f"{place}: not the published file of {self.name}: {fault}. {remedy}")
            return place
        address = f"{self.mirrored}/{self.file}" if self.mirrored else self.address
        say(f"downloading {address}" + (f" ({in_bytes(size)})" if size else ""))
        try:
            with progress("bytes") as report:
                follow = lambda done, total: report(self.file, done, total)  # noqa: E731
                download(address, place, digests, size=size, follow=follow)
        except Unreachable as fault:
            raise UserError(
                f"{fault} Or download the file elsewhere and run: alexnet import {self.name} RUN --file {self.file} "
                "and then train with --from RUN."
            ) from None
        write_atomically(_record(place), f"{sha256_of(place)}\n".encode())
        return place

    def import_into(self, folder: Path, file: Path | None = None) -> RunFolder:
        """Make a run folder of the weights, with ImageNet's class names."""
        mean = torch.tensor([float(value) for value in self.mean.split(",")]) if self.mean else None
        return import_run(self.fetch(file), folder, ImportOptions(mean=mean, colours=self.colours), imagenet_classes())


def _record(place: Path) -> Path:
    return place.with_name(place.name + ".sha256")


def _recorded(place: Path) -> str:
    """The SHA-256 recorded after the first download; "" before it."""
    record = _record(place)
    return record.read_text().strip() if record.exists() else ""


@cache
def every_pretrained() -> Mapping[str, Pretrained]:
    """The published weights by name."""
    return {name: Pretrained(name, **entry) for name, entry in read_toml("alexnet.runs", "pretrained.toml").items()}


def cache_folder() -> Path:
    """Where weights and the runs made of them are kept; those of a mirror apart."""
    mirror = os.environ.get(MIRROR, "").rstrip("/")
    return cache_home() / "alexnet" / (f"mirror-{sha256(mirror.encode()).hexdigest()[:8]}" if mirror else "pretrained")


def imagenet_classes() -> ClassList:
    """ImageNet's 1,000 classes of 2012 (wnids and words) in the order of the sorted wnids."""
    text = resources.files("alexnet.weights").joinpath("imagenet_classes.txt").read_bytes()
    entries = entries_in(text, "imagenet_classes.txt")
    ids, names = tuple(entry.ident for entry in entries), tuple(entry.name for entry in entries)
    return ClassList(ids, names, "imagenet_classes.txt", order=SORTED)


def run_folder(name: str | PathLike[str]) -> Path:
    """The folder of a run: `name` itself if it is a path; the run made of the published weights called `name` (see
    `alexnet weights`), downloaded and imported on first use; or, for "hf:OWNER/NAME", a run of the Hugging Face Hub.

    Raises UserError if weights or Hub can't be reached, or a file is damaged.
    """
    path, text = Path(expanded(name)), str(name)
    if path.exists():
        return path
    if text.startswith(HUB):
        return fetch(text.removeprefix(HUB))
    if text not in every_pretrained():
        return path
    folder = cache_folder() / "runs" / text
    if not folder.exists():
        with faults_named(folder.parent):
            folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.with_name(f"{text}.lock"), f"{text}: another process is importing these weights. Wait."):
            unfinished = folder.with_name(f"{text}.partial")  # imported aside, so that a run folder is whole or absent
            shutil.rmtree(unfinished, ignore_errors=True)
            every_pretrained()[text].import_into(unfinished)
            with faults_named(folder):
                unfinished.rename(folder)
    return folder


def describe() -> str:
    """A table of the published weights; below it, their addresses."""
    weights = every_pretrained().values()
    rows = [
        (
            one.name,
            one.network,
            f"{one.classes:,}",
            in_bytes(one.bytes) if one.bytes else "?",
            one.licence,
            f"SHA-256 {one.sha256[:12]}…" if one.sha256 else f"SHA-1 {one.sha1[:12]}…",
            "yes" if one.place.exists() else "",
        )
        for one in weights
    ]
    heading = ("name", "network", "classes", "size", "licence", "digest", "downloaded")
    addresses = [f"{one.name}: {one.about}\n    {one.address}" for one in weights]
    return "\n".join([table(heading, rows, left=7), "", *addresses])
