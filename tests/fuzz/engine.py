"""Runs parsers on thousands of changed files, each parser in a process of its own, and counts what came of them.

Seeds are sound files; a case is one of them changed by `mutate`. Where atheris is installed and asked for it drives: it
keeps the cases that reached new code and changes those again, by the same functions. Else cases are drawn by a seeded
generator alone. Branches are measured by a pass of the second kind over all that the first one has kept.
"""

import hashlib
import json
import mmap
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from mutate import Change, any_bytes, spliced
from oracle import Watch

ROOT = Path(__file__).resolve().parents[2]
LARGEST_CASE = 1 << 22
ADDRESS_SPACE = 4 << 30
"""Bytes that a process may take on top of what it has when its seeds are made."""
STUCK_SECONDS = 40.0


@dataclass(frozen=True)
class Target:
    """A parser made ready: sound files, a way to change one, and the call that reads it."""

    seeds: Sequence[bytes]
    change: Change
    take: Callable[[bytes], object]
    sound: Sequence[bytes] = ()
    """The seeds that are taken."""


@dataclass(frozen=True)
class Parser:
    """`ready` makes the target in a folder; `counts`: file of the package → names of the functions whose branches
    count (none: all); `group`: what it is counted together with."""

    name: str
    ready: Callable[[Path], Target]
    counts: dict[str, tuple[str, ...]]
    group: str = ""


@dataclass
class Result:
    """What came of a parser's cases. `sound`: seeds that are taken; `faults`: what it was → how often; `kept`:
    what it was → the file of one case."""

    name: str
    inputs: int = 0
    taken: int = 0
    refused: int = 0
    seconds: float = 0.0
    sound: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FuzzingPlan:
    """How long, from which seed, where faulty cases go. `corpus`: where cases that reached new code lie, a folder for
    each parser; `driven`: by atheris; `measured`: where the branches that were taken are told."""

    inputs: int
    seconds: float
    seed: int
    out: Path
    corpus: Path | None = None
    driven: bool = False
    measured: Path | None = None

    def kept_for(self, parser: Parser) -> Path | None:
        return None if self.corpus is None else self.corpus / file_name(parser.name)


# ── in the parser's process ──────────────────────────────────────────────────────────────────────────────────────


def fuzz(
    parser: Parser, plan: FuzzingPlan, folder: Path, told: Callable[[bytes], None], done: Callable[[Result], None]
) -> None:
    """Read `wish.inputs` cases. `told` is given each one before it is read, `done` what came of them all."""
    result, watch, target = Result(parser.name), Watch(folder), parser.ready(folder)
    meter = None if plan.driven else _meter(parser, plan)
    if meter is not None:
        meter.start()  # before any thread of a pool is there, which would not be measured
    target = replace(target, sound=_warm(target))
    result.sound = len(target.sound)
    began = time.monotonic()

    def read(data: bytes) -> bool:
        """Whether to go on."""
        told(data)
        _count(result, *watch.judge(target.take, data), data, plan.out)
        result.seconds = time.monotonic() - began
        return result.inputs < plan.inputs and result.seconds < plan.seconds

    (_driven if plan.driven else _drawn)(parser, plan, target, read, lambda: done(result))
    if meter is not None:
        meter.stop()
        meter.save()


def _drawn(
    parser: Parser, plan: FuzzingPlan, target: Target, read: Callable[[bytes], bool], end: Callable[[], None]
) -> None:
    """Cases by a seeded generator: the seeds and what the corpus has first, as they are."""
    random, kept = Random(f"{plan.seed} {parser.name}"), plan.kept_for(parser)
    cases = [*target.seeds, *(path.read_bytes() for path in (sorted(kept.iterdir()) if kept and kept.is_dir() else ()))]
    number = 0
    while read(cases[number] if number < len(cases) else _case(random, target, cases)):
        number += 1
    end()


def _driven(
    parser: Parser, plan: FuzzingPlan, target: Target, read: Callable[[bytes], bool], end: Callable[[], None]
) -> None:
    """Cases by atheris, whose libFuzzer never returns: the process ends with the last case."""
    import atheris

    kept = plan.kept_for(parser)
    assert kept is not None
    kept.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(target.seeds):
        (kept / f"seed-{number}").write_bytes(data)

    def one(data: bytes) -> None:
        if not read(data):
            end()
            os._exit(0)

    def change(data: bytes, most: int, seed: int) -> bytes:
        random = Random(seed)
        changed = target.change(random, data)
        return changed if len(changed) <= most else any_bytes(random, data)[:most]

    options = ["-timeout=0", "-rss_limit_mb=0", "-verbosity=0", "-len_control=0", f"-max_len={LARGEST_CASE}"]
    options += [
        f"-handle_{what}=0" for what in ("segv", "bus", "abrt", "ill", "fpe", "int", "term", "xfsz", "usr1", "usr2")
    ]
    atheris.Setup(
        ["fuzz", str(kept), f"-seed={plan.seed + 1}", "-mutate_depth=2", *options], one, custom_mutator=change
    )
    atheris.Fuzz()


def _warm(target: Target) -> list[bytes]:
    """What is imported or compiled once, by the seeds; those that are taken. Faults are looked at when they are read
    again."""
    import torch

    repr(torch.zeros(1))  # imports modules whose named tuples are compiled from a string: what the oracle looks for
    sound = []
    for data in target.seeds:
        with suppress(Exception):
            target.take(data)
            sound.append(data)
    return sound


def _case(random: Random, target: Target, cases: list[bytes]) -> bytes:
    """Half of the cases come of what is taken, so that changes reach what is read last."""
    chance = random.random()
    data = random.choice(target.sound if chance < 0.5 and target.sound else target.seeds if chance < 0.7 else cases)
    if random.random() < 0.03:
        return spliced(random, data, random.choice(cases))
    changed = target.change(random, data)
    return target.change(random, changed) if random.random() < 0.2 else changed


def _count(result: Result, kind: str, words: str, data: bytes, out: Path) -> None:
    result.inputs += 1
    if kind == "taken":
        result.taken += 1
    elif kind == "refused":
        result.refused += 1
    else:
        result.faults[words] = result.faults.get(words, 0) + 1
        if words not in result.kept:
            result.kept[words] = keep(out, result.name, data)


def file_name(parser: str) -> str:
    """A parser's name as the name of a file."""
    return parser.replace(" ", "-").replace("/", "-")


def keep(out: Path, name: str, data: bytes) -> str:
    """A faulty case as a file; its path."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{file_name(name)}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    return str(path)


def _meter(parser: Parser, plan: FuzzingPlan) -> Any:
    if plan.measured is None:
        return None
    import coverage

    include = [str(ROOT / name) for name in parser.counts]
    data = str(plan.measured / file_name(parser.name))
    return coverage.Coverage(branch=True, include=include, data_file=data, config_file=False, messages=False)


# ── in the process that watches them ─────────────────────────────────────────────────────────────────────────────


@dataclass
class _Child:
    parser: Parser
    pid: int
    page: mmap.mmap
    answer: Path
    folder: Path
    beat: int = -1
    since: float = 0.0


def run(parsers: Sequence[Parser], plan: FuzzingPlan, jobs: int, say: Callable[[Result], None]) -> list[Result]:
    """Each parser in a process, `jobs` at once. A process that dies or hangs is a fault, its case kept."""
    waiting, running, results = list(parsers), [], []
    while waiting or running:
        while waiting and len(running) < jobs:
            running.append(_start(waiting.pop(0), plan))
        time.sleep(0.02)
        for child in list(running):
            if (result := _ended(child, plan)) is not None:
                running.remove(child)
                results.append(result)
                say(result)
    return results


def _start(parser: Parser, plan: FuzzingPlan) -> _Child:
    page = mmap.mmap(-1, LARGEST_CASE + 16)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    answer = folder.with_suffix(".answer")
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            _in_child(parser, plan, folder, answer, page)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return _Child(parser, pid, page, answer, folder, since=time.monotonic())


def _in_child(parser: Parser, plan: FuzzingPlan, folder: Path, answer: Path, page: mmap.mmap) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _silence(folder.with_suffix(".log"))
    _bound_memory()
    beat = 0

    def told(data: bytes) -> None:
        nonlocal beat
        beat += 1
        page[0:8] = beat.to_bytes(8, "little")
        some = data[:LARGEST_CASE]
        page[8:16] = len(some).to_bytes(8, "little")
        page[16 : 16 + len(some)] = some

    fuzz(parser, plan, folder, told, lambda result: _answered(answer, result))


def _answered(answer: Path, result: Result) -> None:
    answer.write_text(json.dumps(asdict(result)))


def _silence(log: Path) -> None:
    """What C libraries write of damaged files goes into a log; it is shown where the process dies."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)


def _bound_memory() -> None:
    if not sys.platform.startswith("linux"):
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _ended(child: _Child, plan: FuzzingPlan) -> Result | None:
    beat = int.from_bytes(child.page[0:8], "little")
    if beat != child.beat:
        child.beat, child.since = beat, time.monotonic()
    hung = beat > 0 and time.monotonic() - child.since > STUCK_SECONDS
    if hung:
        os.kill(child.pid, signal.SIGKILL)
    pid, status = os.waitpid(child.pid, 0 if hung else os.WNOHANG)
    if pid == 0:
        return None
    if child.answer.exists():
        result = Result(**json.loads(child.answer.read_text()))
    else:
        data = child.page[16 : 16 + int.from_bytes(child.page[8:16], "little")]
        sys.stderr.write(_last_words(child.folder.with_suffix(".log")))
        what = "hangs" if hung else f"the process died ({os.waitstatus_to_exitcode(status)})"
        result = Result(child.parser.name, beat, faults={what: 1})
        result.kept = {what: keep(plan.out, result.name, data)}
    child.page.close()
    child.answer.unlink(missing_ok=True)
    child.folder.with_suffix(".log").unlink(missing_ok=True)
    shutil.rmtree(child.folder, ignore_errors=True)
    return result


def _last_words(log: Path) -> str:
    return log.read_text(errors="replace")[-3000:] if log.exists() else ""


def all_faults(results: Sequence[Result]) -> Counter[str]:
    """Every fault with its parser, and how often it came."""
    return Counter({f"{result.name}: {what}": count for result in results for what, count in result.faults.items()})
