"""Where faults are tried: each verb once unbroken, then struck at a chosen call, looked at, and run to its end."""

import json
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch.distributed as dist
from children import Child, Forks, end, forks
from faults import Cut, Fault, Flip, Full, FullByShim, NoPermission, Stop, faults_of
from goes import Go, Talk
from verbs import VERBS, Place, Serve, Verb, make_inputs

from alexnet.errors import UserError

UNCLEAN = ("Traceback", "Exception ignored", "Error in sys", "terminate called", "core dumped")
TRIES = 40
"""Moments that are tried until a fault hits: one that comes where nothing is written any more counts for nothing."""


@dataclass(frozen=True)
class Unbroken:
    """What a verb ends with when nobody disturbs it, and how many calls each of its processes makes."""

    result: Any
    counts: list[dict[str, int]]


@dataclass(frozen=True)
class Survived:
    """A fault that hit: at which call, and what the command made of it."""

    seed: int
    verb: str
    fault: str
    hit: str
    ended: str
    seconds: float


@dataclass
class Ground:
    """All that trying faults needs. `mounted`: whether the case is a file system of its own, which can be filled."""

    forks: Forks
    place: Place
    mounted: bool
    stop_seconds: float = 0.2
    known: dict[str, Unbroken] = field(default_factory=dict)

    def unbroken(self, verb: Verb) -> Unbroken:
        """The command run to its end, once."""
        if verb.name not in self.known:
            self.lay_out(verb)
            result, children = self.to_the_end(verb)
            counts = [json.loads(child.counts.read_text()) for child in children]
            self.known[verb.name] = Unbroken(result, counts)
        return self.known[verb.name]

    def lay_out(self, verb: Verb) -> None:
        for path in self.place.case.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        verb.lay_out(self.place)

    def to_the_end(self, verb: Verb) -> tuple[Any, list[Child]]:
        """What the command, undisturbed, ends with."""
        go = self.go(verb)
        codes = go.codes()
        assert set(codes) == {0}, f"{verb.name} ended with {codes}:\n{go.errors}"
        assert not any(word in go.errors for word in UNCLEAN), go.errors
        return go.result(verb, self.place), go.children

    def go(self, verb: Verb, struck: int = 0, **asked: Any) -> Go:
        """Start the command; `asked` is for the process number `struck`, the others are let alone."""
        words, store = verb.words(self.place), None
        if verb.processes > 1:  # as torchrun keeps one
            store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        children = []
        for rank in range(verb.processes):
            environment = {} if store is None else ranked(rank, verb.processes, store.port)
            own = asked if rank == struck else {}
            children.append(self.forks.start(words, environment=environment, **own))
        if isinstance(verb, Serve):
            known = self.known.get(verb.name)
            return Talk(children, children[0], unbroken=known and known.result).begin()
        return Go(children, children[struck], store)

    def survive(self, seed: int, verbs: list[str] | None = None, faults: list[str] | None = None) -> Survived:
        """Let a fault strike that the seed chooses, at moments that it chooses, until it hits. AssertionError, with the
        seed, if the command does not survive it."""
        chance = random.Random(seed)
        verb = VERBS[chance.choice(verbs or sorted(VERBS))]
        kinds = [kind for kind in faults_of(verb) if not faults or kind.name in faults]
        kind = chance.choice(kinds)
        for _ in range(TRIES):
            began = time.monotonic()
            fault = self.made(kind)
            try:
                if found := self._tried(verb, fault, chance):
                    return Survived(seed, verb.name, fault.name, *found, time.monotonic() - began)
            except Exception as fault_found:
                raise AssertionError(f"seed {seed}: {fault.name} in {verb.name}: {fault_found}") from fault_found
        raise AssertionError(f"seed {seed}: {kind.name} in {verb.name}: hit nothing at {TRIES} moments")

    def survive_again_and_again(self, verb: Verb, seed: int, kills: int) -> int:
        """Kill a command, go on with it, kill it again, …; the number of kills. AssertionError if what it had saved is
        lost at any of them, or if it ends otherwise than unbroken."""
        chance, calls = random.Random(seed), self.unbroken(verb).counts[0]["all"]
        self.lay_out(verb)
        hits, before = 0, 0
        for _ in range(kills):
            go = self.go(verb, kind="all", at=chance.randint(1, max(2, 2 * calls // kills)), action="stop")
            struck = go.until_struck()
            before = max(before, verb.saved(self.place))
            hits += struck
            for child in go.children:
                end(child)
            self._nothing_lost(verb, before)
            if not struck:
                break
        self._same_end(verb)
        return hits

    def made(self, kind: type[Fault]) -> Fault:
        if kind is Full and not self.mounted:
            return FullByShim()
        return Stop(self.stop_seconds) if kind is Stop else kind()

    def _tried(self, verb: Verb, fault: Fault, chance: random.Random) -> tuple[str, str] | None:
        """What was hit and how it ended; None if nothing was."""
        counts = self.unbroken(verb).counts
        ranks = [rank for rank, count in enumerate(counts) if count[fault.kind]]
        rank = chance.choice(ranks)
        at = chance.randint(1, counts[rank][fault.kind])
        self.lay_out(verb)
        asked = {"kind": fault.kind, "at": at, "action": fault.action, "error": fault.error, "obey": fault.obey}
        go = self.go(verb, rank, **asked)
        try:
            return self._followed(verb, fault, go, chance)
        finally:
            fault.heals(self.place)
            for child in go.children:
                end(child)

    def _followed(self, verb: Verb, fault: Fault, go: Go, chance: random.Random) -> tuple[str, str] | None:
        before = 0
        if fault.action == "stop":
            if not go.until_struck():
                go.codes()
                return None
            before = verb.saved(self.place)
            if isinstance(fault, Cut):
                victim = chance.choice(go.children)
                victim.send(signal.SIGKILL)
                go.struck.send(signal.SIGCONT)
            else:
                fault.strikes(go.struck, verb, self.place, chance)
        if fault.mortal:
            return self._killed(verb, fault, go, before)
        return self._told(verb, fault, go, before)

    def _killed(self, verb: Verb, fault: Fault, go: Go, before: int) -> tuple[str, str] | None:
        for child in go.children:
            child.send(signal.SIGKILL)
        assert -signal.SIGKILL in go.codes()
        hit = go.struck.hits[0]
        if isinstance(fault, Flip):
            return self._flipped(verb, fault, hit)
        self._nothing_lost(verb, before)
        self._same_end(verb)
        return hit, "killed"

    def _told(self, verb: Verb, fault: Fault, go: Go, before: int) -> tuple[str, str] | None:
        """A fault that the command outlives, or tells of."""
        if isinstance(go, Talk) and fault.action != "fail on":
            go.until_struck()
            fault.heals(self.place)
            assert go.sees_it_through(), "with the fault gone, the same explorer answers otherwise"
        codes = go.codes()
        told, hits = go.trouble(), go.struck.hits
        assert not any(word in go.errors for word in UNCLEAN), go.errors
        fault.heals(self.place)
        if not told:
            assert set(codes) <= ({0, -signal.SIGKILL} if isinstance(fault, Cut) else {0}), f"{codes}, and not a word"
            self._same(verb, go.result(verb, self.place))
            if not hits or isinstance(fault, Full | NoPermission | Cut):
                return None
            return hits[0], "gone on" if isinstance(fault, Stop) else "done without"
        assert not isinstance(fault, Stop), told
        if not isinstance(go, Talk):
            assert len(told) == 1, told
            fine = {1, -signal.SIGKILL} if len(codes) == 1 else {0, 1, -signal.SIGKILL}  # who was through has left
            assert 1 in codes, codes
            assert set(codes) <= fine, codes
        if isinstance(go, Talk):  # whoever asks for what could not be made is told that it is not there
            assert any(name in words for words in told for name in fault.names), told
        else:
            self._names_it(told[0], fault, hits)
        self._nothing_lost(verb, before)
        self._same_end(verb)
        return hits[0], f"told: {told[0]}"

    def _names_it(self, words: str, fault: Fault, hits: list[str]) -> None:
        assert any(name in words for name in fault.names), words
        if isinstance(fault, Cut):
            return
        if isinstance(fault, Full | NoPermission):
            assert str(self.place.case) in words, words
            return
        assert any(name in words for hit in hits for name in names_of(hit)), f"{words}\nhit: {hits}"

    def _flipped(self, verb: Verb, fault: Flip, hit: str) -> tuple[str, str] | None:
        if fault.flipped is None:
            return None
        path = fault.flipped.relative_to(self.place.case)
        hit = f"{hit}; flipped {path}"
        go = self.go(verb)
        codes = go.codes()
        told = go.trouble()
        assert not any(word in go.errors for word in UNCLEAN), f"{hit}\n{go.errors}"
        if told:
            if not isinstance(go, Talk):
                assert (set(codes), len(told)) == ({1}, 1), f"{hit}: {codes} {told}"
            assert any(name in told[0] for name in (path.name, path.parent.name)), f"{hit}: {told}"
            fault.restore(verb, self.place)
            self._same_end(verb)
            return hit, f"told: {told[0]}"
        assert set(codes) == {0}, f"{hit}: {codes} {go.errors}"
        try:
            if go.result(verb, self.place) == self.unbroken(verb).result:
                return (hit, "done without") if path.name in go.errors else None
            complaints = verb.complaints(self.place)
        except UserError as refusal:  # whoever reads what it has made is told
            complaints = [str(refusal)]
        assert any(path.name in words for words in complaints), f"{hit}: another end, and no word of it: {complaints}"
        return hit, f"found by the checks: {complaints[0]}"

    def _nothing_lost(self, verb: Verb, before: int) -> None:
        after = verb.saved(self.place)
        assert after >= before, f"what was saved is lost: it was at {before}, it is at {after}"

    def _same_end(self, verb: Verb) -> None:
        self._same(verb, self.to_the_end(verb)[0])

    def _same(self, verb: Verb, result: Any) -> None:
        assert result == self.unbroken(verb).result, f"ends otherwise: {difference(self.unbroken(verb).result, result)}"


def ranked(rank: int, processes: int, port: int) -> dict[str, str]:
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    rendezvous = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_USE_AGENT_STORE": "True"}
    return {name: str(value) for name, value in (names | rendezvous).items()}


def names_of(hit: str) -> list[str]:
    """What a message may call the file of a call: a temporary file is called as what it is to become."""
    path = Path(hit.partition(" ")[2])
    found = re.fullmatch(r"\.(.+)\.[0-9a-f]{8}\.unfinished", path.name)
    return [found[1] if found else path.name, str(path.parent)]


def difference(one: Any, other: Any) -> str:
    """Where two results differ, in few words."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
        return "; ".join(f"{name}: {difference(one.get(name), other.get(name))}" for name in names[:3])
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return next(difference(a, b) for a, b in zip(one, other, strict=True) if a != b)
    return f"{str(one)[:500]} is now {str(other)[:500]}"


@contextmanager
def ground(root: Path, stop_seconds: float = 0.2) -> Iterator[Ground]:
    """Inputs made, server started, a small file system mounted for the case where that is allowed."""
    root = root.resolve()
    watched = root / "watched"
    place = Place(watched / "inputs", watched / "case")
    place.case.mkdir(parents=True)
    make_inputs(place.inputs)
    mounted = mount(place.case)
    try:
        with forks(root / "said", watched) as server:
            yield Ground(server, place, mounted, stop_seconds)
    finally:
        if mounted:
            with suppress(subprocess.SubprocessError):
                subprocess.run(["umount", "--lazy", str(place.case)], check=True, capture_output=True)


def mount(folder: Path) -> bool:
    """A tmpfs of 32 MiB at the folder; whether that is allowed here."""
    command = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
