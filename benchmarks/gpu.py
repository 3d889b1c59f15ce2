"""Training, looking and normalising on a GPU, each beside what a user would pick instead: one table, some minutes.

Written without a GPU at hand: its steps are tested on the CPU (tests/bench/test_gpu.py), no figure is recorded yet.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from alexnet import kernels
from alexnet.bench.machine import MATRIX_SIDES, describe
from alexnet.bench.own import Bench, Subject, endless_order
from alexnet.bench.timing import Act, Row, Times, compare, race
from alexnet.bench.timing import describe as describe_rows
from alexnet.data.batches import Stream, pinned, upload
from alexnet.parallel.grid import shard_batch
from alexnet.train.step import Outcome, augmented, train_batch, update_on
from peers import networks, norms
from peers.networks import Peer
from peers.training import noise

STEPS = 20
"""Training steps, or batches looked at, in one round: a GPU is only waited for at a round's ends."""
PRODUCTS = 20
PEERS: dict[str, Callable[[], nn.Module]] = {"plain": networks.alexnet, "torchvision": networks.torchvision}


def clock() -> float:
    """Seconds, once the GPU has done all that was asked of it."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def timed(contenders: dict[str, Act], bench: Bench, steps: int) -> Times:
    """Seconds of each round of `steps` times each contender, in turn."""

    def several(act: Act) -> None:
        for _ in range(steps):
            act()

    return race({name: partial(several, act) for name, act in contenders.items()}, bench.rounds, clock=clock)


def ceiling(bench: Bench, dtype: torch.dtype) -> float:
    """The best rate of `torch.mm` on square matrices, in floating-point operations a second."""
    rates = []
    for side in MATRIX_SIDES:
        a, b = (torch.randn(side, side, device=bench.device).to(dtype) for _ in range(2))
        out = torch.empty_like(a)
        times = timed({"mm": partial(torch.mm, a, b, out=out)}, bench, PRODUCTS)["mm"]
        rates.append(2 * side**3 * PRODUCTS / median(times))
    return max(rates)


def peer_of(bench: Bench, name: str, setting: str) -> Peer:
    inputs, labels = (tensor.to(bench.device) for tensor in noise(bench.batch, 224, 1000))
    return Peer.of(PEERS[name]().to(bench.device), inputs, labels, setting, compile=bench.compile)


class Late:
    """Steps of ours as the training loop takes them: an outcome is looked at one update later."""

    def __init__(self, step: Callable[[], Outcome]) -> None:
        self.step, self.before = step, None

    def __call__(self) -> None:
        after = self.step()
        if self.before is not None:
            self.before.read()
        self.before = after


def train_rows(bench: Bench) -> list[Row]:
    """Whole training steps, augmentation and update with them, on records that lie on the device and from a store."""
    ours = Subject(bench, "alexnet")
    job, indices, rates = ours.job, ours.batch.indices, ours.rates
    shard = shard_batch(indices)
    pictures, labels = upload(ours.batch.pictures, job.device), ours.labels
    allocate = pinned if bench.device == "cuda" else None
    batches = (bench.rounds + 1) * STEPS
    order = endless_order(ours.store, batches * bench.batch)
    with Stream(ours.store.splits["train"], bench.batch, order, allocate=allocate) as stream:
        contenders: dict[str, Act] = {
            "resident": Late(lambda: update_on(job, augmented(job, indices, pictures, rates), labels, shard, rates)),
            "store": Late(lambda: train_batch(job, next(stream), rates)),
        }
        for name in PEERS:
            for setting in networks.SETTINGS:
                contenders[f"{name} {setting}"] = peer_of(bench, name, setting).learn
        times = timed(contenders, bench, STEPS)
    against = partial(compare, unit="img/s", work=bench.batch * STEPS)
    rows = [
        against(f"train.{name.replace(' ', '.')}", ours=times["resident"], peer=times[name], note=ours.precision)
        for name in contenders
        if name not in ("resident", "store")
    ]
    rows.append(against("train.store", ours=times["store"], peer=times["resident"], note="the peer: records resident"))
    rate = 6 * ours.macs * bench.batch * STEPS / median(times["resident"])
    best = bench.ceilings["machine.bf16"] * 1e12
    note = "the peer is the bf16 ceiling, the ratio the MFU"
    return [*rows, Row("train.mfu", "TFLOP/s", rate / 1e12, best / 1e12, rate / best, note=note)]


def memory_rows(bench: Bench) -> list[Row]:
    """The most memory that torch held on the GPU in two training steps."""

    def peak(make: Callable[[], Act]) -> float:
        torch.cuda.empty_cache()
        act = make()
        torch.cuda.reset_peak_memory_stats()
        act()
        act()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() / 1e9

    ours = peak(lambda: Subject(bench, "alexnet").step)
    found = {name: peak(lambda name=name: peer_of(bench, name, "bf16").learn) for name in PEERS}
    return [Row(f"memory.{name}", "GB", ours, theirs, theirs / ours) for name, theirs in found.items()]


def look_rows(bench: Bench) -> list[Row]:
    """Views a second: ten of each picture, one of each, and one by the peers (from inputs that lie ready)."""
    ours = Subject(bench, "alexnet")
    contenders: dict[str, Act] = {"ten": partial(ours.look, 10), "one": partial(ours.look, 1)}
    contenders |= {name: peer_of(bench, name, "bf16").look for name in PEERS}
    times = timed(contenders, bench, max(1, STEPS // 4))
    work = bench.batch * max(1, STEPS // 4)
    return [
        compare(f"views.{name}", "views/s", times["ten"], times[name], work=10 * work, peer_work=work)
        for name in contenders
        if name != "ten"
    ]


def norm_rows(bench: Bench) -> list[Row]:
    """Forward and backward through the normalisation, beside the stock layer in fp32 and in bf16."""
    rows = []
    for name, (maps, side) in norms.MAPS.items():
        x = torch.randn(bench.batch, maps, side, side, device=bench.device) * 30
        ours = x.bfloat16().contiguous(memory_format=torch.channels_last)
        spec = kernels.NormSpec(norms.K, norms.ALPHA, norms.BETA, norms.SIZE)
        stock = nn.LocalResponseNorm(norms.SIZE, norms.ALPHA * norms.SIZE, norms.BETA, norms.K)

        def stock_in_bf16(x: Tensor, stock: nn.Module = stock) -> Tensor:
            with torch.autocast(x.device.type, torch.bfloat16):
                return stock(x)

        contenders: dict[str, Act] = {
            "ours": norms.both_passes(lambda x, spec=spec: kernels.local_response_norm(x, spec), ours),
            "fp32": norms.both_passes(stock, x),
            "bf16": norms.both_passes(stock_in_bf16, x.bfloat16()),
        }
        times = timed(contenders, bench, STEPS)
        for peer in ("fp32", "bf16"):
            note = f"stock in {peer}; {kernels.available(bench.device)}"
            row = compare(
                f"lrn.{name}.{peer}", "img/s", times["ours"], times[peer], work=bench.batch * STEPS, note=note
            )
            rows.append(row)
    return rows


def table(bench: Bench) -> list[Row]:
    """Every row. `bench.ceilings` must hold machine.bf16, in TFLOP/s."""
    rows = [Row("machine.bf16", "TFLOP/s", bench.ceilings["machine.bf16"])]
    for part in (norm_rows, train_rows, look_rows, *([memory_rows] if bench.device == "cuda" else [])):
        rows += part(bench)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--repeats", dest="rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="the peers through torch.compile (takes minutes more)")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("No CUDA GPU here, or this build of torch can't use it: nothing to measure. On a CPU: alexnet bench")
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options.batch, options.rounds, options.compile, device="cuda")
        bench = replace(bench, ceilings={"machine.bf16": ceiling(bench, torch.bfloat16) / 1e12})
        print(f"{torch.cuda.get_device_name()}, batch {options.batch}; {describe()}\n", flush=True)
        print(describe_rows(table(bench)))
    print(f"\nMeasured in {time.monotonic() - start:.0f} s.")


if __name__ == "__main__":
    main()
