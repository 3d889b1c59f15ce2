"""The long run: python -m tests.fuzz [--only NAME] [--inputs N] [--seconds S] [--seed N] [--jobs 2] [--coverage].

By atheris where it is installed (pip install atheris==2.3.0: Python 3.11, Linux on x86-64), else by drawing alone.
"""

import argparse
import contextlib
import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # test folders are not packages


def main() -> int:
    asked = arguments()
    driven = not asked.drawn and importlib.util.find_spec("atheris") is not None
    with _instrumented() if driven else contextlib.nullcontext():
        import torch
        from engine import FuzzingPlan, run
        from parsers import PARSERS
    import table

    torch.set_num_threads(1)
    out, work = Path(asked.out or tempfile.mkdtemp(prefix="fuzz-faults-")), Path(tempfile.mkdtemp(prefix="fuzz-work-"))
    corpus = Path(asked.corpus) if asked.corpus else work / "corpus"
    chosen = [one for one in PARSERS if not asked.only or any(word in one.name for word in asked.only)]
    began = time.monotonic()
    plan = FuzzingPlan(asked.inputs, asked.seconds, asked.seed, out, corpus, driven, asked.measured)
    results = run(chosen, plan, asked.jobs, lambda result: print(table.line(result), flush=True))
    seconds, measured = time.monotonic() - began, work / "branches"
    if asked.coverage:
        measured.mkdir()
        _measure(asked, corpus, measured)
    covered = table.branches(chosen, measured) if asked.coverage else {}
    print(table.whole(chosen, results, covered, seconds, missing=asked.missing), flush=True)
    print(f"cases by {'atheris' if driven else 'drawing'}")
    faults = sum(sum(result.faults.values()) for result in results)
    if faults:
        print(f"faulty cases are kept in {out}")
    return 1 if faults else 0


def _instrumented() -> contextlib.AbstractContextManager[object]:
    """What is imported inside is watched by atheris for new code."""
    import atheris

    return atheris.instrument_imports(include=["alexnet"])


def _measure(asked: argparse.Namespace, corpus: Path, measured: Path) -> None:
    """The branches, in a process of its own: code that atheris watches has other lines."""
    words = [sys.executable, "-m", "tests.fuzz", "--drawn", "--inputs", str(MEASURED_INPUTS), "--corpus", str(corpus)]
    words += ["--measured", str(measured), "--jobs", str(asked.jobs), "--seed", str(asked.seed)]
    words += ["--seconds", str(asked.seconds)]
    words += [word for name in asked.only or () for word in ("--only", name)]
    subprocess.run(words, check=False, stdout=subprocess.DEVNULL)


MEASURED_INPUTS = 1500


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", help="a part of a parser's name; may be given again")
    parser.add_argument("--inputs", type=int, default=50_000, help="cases for each parser")
    parser.add_argument("--seconds", type=float, default=600.0, help="most seconds for each parser")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="parsers at once")
    parser.add_argument("--drawn", action="store_true", help="not by atheris")
    parser.add_argument("--coverage", action="store_true", help="measure the branches of the functions that parse")
    parser.add_argument("--missing", action="store_true", help="name the functions whose branches were not all taken")
    parser.add_argument(
        "--corpus", help="folder of the cases that reached new code, from an earlier run or for a later one"
    )
    parser.add_argument("--out", help="folder for faulty cases")
    parser.add_argument("--measured", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(given)


if __name__ == "__main__":
    sys.exit(main())
