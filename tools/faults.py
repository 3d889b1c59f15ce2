"""Faults by the hundred: seeded ones, of all kinds, into all verbs. What was survived is in docs/reliability.md.

    python tools/faults.py                       # 200; exit code 1 if one is not survived
    python tools/faults.py --count 20 --first 7  # seeds 7 … 26
    python tools/faults.py --only 'train:disk full' --count 5

A fault counts when it hit. Stopped processes stay stopped for 30 s (--stop). Linux, with g++; as root the disk is
really filled (a tmpfs), for others its writes are made to fail.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alexnet.terminal import say
from alexnet.text import counted, duration

HARNESS = Path(__file__).parents[1] / "tests" / "faults"


def main(arguments: Sequence[str] | None = None) -> int:
    sys.path.insert(0, str(HARNESS))
    from ground import ground  # pyright: ignore[reportMissingImports]

    asked = parsed(arguments)
    verb, _, fault = asked.only.partition(":")
    verbs, faults = [verb] if verb else None, [fault] if fault else None
    began, survived, failed = time.monotonic(), list[Any](), list[str]()
    with tempfile.TemporaryDirectory() as folder, ground(Path(folder), asked.stop) as field:
        filled = "a tmpfs that is filled" if field.mounted else "writes that fail with ENOSPC (nothing can be mounted)"
        say(f"disk full: {filled}")
        for done in range(asked.count):
            try:
                survived.append(field.survive(asked.first + done, verbs, faults))
                say_progress(done + 1, asked.count, began, survived[-1])
            except AssertionError as told:
                failed.append(str(told))
                say(f"NOT SURVIVED: {told}")
    print(describe(survived))
    print(f"\n{counted(len(survived) + len(failed), 'fault')} hit, {len(survived)} survived, in {spent(began)}")
    return 1 if failed else 0


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=200, help="how many faults")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--stop", type=float, default=30.0, help="seconds that a stopped process stays stopped")
    parser.add_argument("--only", default="", help="VERB, or VERB:FAULT, as the table names them")
    return parser.parse_args(arguments)


def say_progress(done: int, count: int, began: float, last: Any) -> None:
    left = (time.monotonic() - began) / done * (count - done)
    say(f"{done} of {count}, {duration(left)} left: {last.fault} in {last.verb} at {last.hit}; {last.ended}")


def spent(began: float) -> str:
    return duration(time.monotonic() - began)


def describe(survived: Sequence[Any]) -> str:
    """A table in Markdown: a row for each verb, a column for each kind of fault."""
    cells = Counter((one.verb, one.fault) for one in survived)
    faults = sorted({fault for _, fault in cells})
    rows = [["", *faults, "all"]]
    for verb in sorted({verb for verb, _ in cells}):
        own = [cells[verb, fault] for fault in faults]
        rows.append([verb, *(str(count or "–") for count in own), str(sum(own))])
    totals = [sum(cells[verb, fault] for verb in {verb for verb, _ in cells}) for fault in faults]
    rows.append(["all", *map(str, totals), str(sum(totals))])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


if __name__ == "__main__":
    raise SystemExit(main())
