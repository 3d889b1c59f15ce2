"""The groups of `alexnet bench`, run into rows."""

import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from alexnet.bench import machine, own
from alexnet.bench.own import Bench
from alexnet.bench.timing import Row
from alexnet.errors import UsageError

Group = Callable[[Bench], list[Row]]
NAMES = ("train", "infer", "views", "lrn", "prepare", "data", "see")
NEED_PRODUCTS = ("train", "infer", "views")
"""Groups beside which the ceilings of matrix products are measured."""
COMPARISONS = Path(__file__).parents[2] / "benchmarks" / "peers" / "__init__.py"
"""The comparisons with other programs, where this package runs from a checkout of the repository."""


def groups(say: Callable[[str], None]) -> dict[str, Group]:
    """The groups that can be measured here: our own, and in a checkout those that compare with other programs."""
    found: dict[str, Group] = own.GROUPS | load_comparisons()
    if len(found) < len(NAMES):
        say("Comparisons with other programs are left out: they come with a checkout of the repository (benchmarks/).")
    return {name: found[name] for name in NAMES if name in found}


def load_comparisons() -> dict[str, Group]:
    """The groups of benchmarks/peers, imported by its path under the name `peers`; none outside a checkout."""
    if not COMPARISONS.exists():
        return {}
    if "peers" not in sys.modules:
        spec = spec_from_file_location("peers", COMPARISONS)
        assert spec is not None
        assert spec.loader is not None
        sys.modules["peers"] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules["peers"])
    return import_module("peers.groups").GROUPS


def run(names: Iterable[str], bench: Bench) -> list[Row]:
    """The machine's rows and those of the groups (all, if none is named), in turn. Scratch files go into a folder of
    their own in `bench.folder`, which is removed again."""
    available = groups(bench.say)
    names = tuple(names) or tuple(available)
    if missing := [name for name in names if name not in available]:
        raise UsageError(f"bench {missing[0]}: only in a checkout of the repository. Here: {', '.join(available)}.")
    products = any(name in NEED_PRODUCTS for name in names)
    bench.say(f"{machine.describe()}\nthe machine at its best: memory copy{', matrix products' if products else ''}")
    rows = machine.ceilings(matrices=products)
    with tempfile.TemporaryDirectory(prefix="alexnet-bench-", dir=bench.folder) as scratch:
        bench = replace(bench, folder=Path(scratch), ceilings={row.name: row.ours for row in rows})
        for name in names:
            rows += available[name](bench)
    return rows
