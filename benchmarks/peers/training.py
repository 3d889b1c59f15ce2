"""Training steps: ours, the networks written plainly, the torchvision shape; the data's share; memory."""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from alexnet.bench.own import Bench, Subject, endless_order, mfu
from alexnet.bench.timing import Act, Row, Times, compare, join, race
from alexnet.data.batches import Stream
from alexnet.data.store.read import Store
from peers import networks
from peers.memory import in_own_process, peak_memory
from peers.networks import Peer
from peers.rows import compare_durations, fastest, within

STORE_STEPS = 4
"""Steps of one round of train.store: the reading thread works one or two ahead."""
CIFAR_EPOCH = 50_000
CIFAR_STEPS = 20
"""Steps of one round of train.cifar; an epoch of 50,000 is extrapolated from them."""
MEMORY_LIMIT = 2.5e9
MEMORY_STEPS = 4
DATA_SHARE = 0.05


def rows(bench: Bench) -> list[Row]:
    """Every row of the group "train"."""
    return [
        *alexnet_rows(bench),
        *store_rows(bench),
        *rows_145(bench),
        *zfnet_rows(bench),
        *cifar_rows(bench),
        *memory_rows(bench),
    ]


def alexnet_rows(bench: Bench) -> list[Row]:
    """train.plain, train.torchvision, train.mfu, train.fp32."""
    ours = Subject(bench, "alexnet")
    contenders: dict[str, Act] = {"ours": ours.step}
    if ours.precision != "fp32":
        contenders["ours fp32"] = Subject(bench, "alexnet", "fp32").step
    contenders |= peer_steps(bench, "plain", networks.alexnet, 224)
    contenders |= peer_steps(bench, "torchvision", networks.torchvision, 224)
    times = race(contenders, bench.rounds, progress=bench.progress_of("train: alexnet beside plain and torchvision"))
    against = partial(compare, unit="img/s", work=bench.batch)
    plain, due = times["plain fp32"], bench.due_in_bf16(8)
    best = fastest(times, [name for name in times if name.startswith("torchvision")])
    least_torchvision, note = bench.due_in_bf16(1)
    fp32 = times.get("ours fp32", times["ours"])
    found = [
        against("train.plain", ours=times["ours"], peer=plain, at_least=due[0], note=join(ours.precision, due[1])),
        against(
            "train.torchvision",
            ours=times["ours"],
            peer=times[best],
            at_least=least_torchvision,
            note=join(ours.precision, f"the peer is {best}, its best setting", note),
        ),
        mfu(bench, ours, times["ours"]),
        against("train.fp32", ours=fp32, peer=plain, at_least=None if bench.amx else 2, note="fp32 beside plain fp32"),
    ]
    others = [name for name in contenders if name not in ("ours", "ours fp32", "plain fp32", best)]
    return found + [
        against("train." + name.replace(" ", "."), ours=times["ours"], peer=times[name], note=ours.precision)
        for name in others
    ]


def peer_steps(
    bench: Bench, name: str, build: Callable[[], nn.Module], side: int, classes: int = 1000, settings: str = "both"
) -> dict[str, Act]:
    """Training steps of a peer in each setting, also compiled if that is wished."""
    wanted = networks.SETTINGS if settings == "both" else (settings,)
    steps: dict[str, Act] = {}
    for setting in wanted:
        for compiled in (False, True) if bench.compile else (False,):
            peer = Peer.of(build(), *noise(bench.batch, side, classes), setting, compile=compiled)
            steps[f"{name} {setting}{' compiled' if compiled else ''}"] = peer.learn
    return steps


def noise(batch: int, side: int, classes: int) -> tuple[Tensor, Tensor]:
    """Inputs of the size of pictures less their mean, and labels."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(batch, 3, side, side, generator=generator) * 70
    return inputs, torch.randint(classes, (batch,), generator=generator)


def store_rows(bench: Bench) -> list[Row]:
    """train.store: steps fed by a store (read ahead, augmented) beside steps on a batch that lies ready."""
    ours = Subject(bench, "alexnet")
    inputs = ours.ready_inputs()

    def resident() -> None:
        for _ in range(STORE_STEPS):
            ours.step_on(inputs)

    count = (bench.rounds + 1) * STORE_STEPS * bench.batch
    with Stream(ours.store.splits["train"], bench.batch, endless_order(ours.store, count)) as stream:

        def fed() -> None:
            for _ in range(STORE_STEPS):
                ours.step_from(stream)

        contenders: dict[str, Act] = {"fed": fed, "resident": resident}
        times = race(contenders, bench.rounds, progress=bench.progress_of("train: from a store, and without data"))
    row = compare(
        "train.store",
        "img/s",
        times["fed"],
        times["resident"],
        work=STORE_STEPS * bench.batch,
        at_least=1 - DATA_SHARE,
    )
    assert row.ratio is not None
    share = f"data's share of the step {1 - row.ratio:.1%}"
    return [replace(row, note=join(share, "the peer is our step on a batch that lies ready"))]


def rows_145(bench: Bench) -> list[Row]:
    """train.145: the network with the extra norm inside each map beside `alexnet`."""
    contenders: dict[str, Act] = {net: Subject(bench, net).step for net in ("alexnet-145", "alexnet")}
    times = race(contenders, bench.rounds, progress=bench.progress_of("train: alexnet-145 beside alexnet"))
    return [
        compare(
            "train.145",
            "img/s",
            times["alexnet-145"],
            times["alexnet"],
            work=bench.batch,
            at_least=0.9,
            note="the peer is our alexnet",
        )
    ]


def zfnet_rows(bench: Bench) -> list[Row]:
    ours = Subject(bench, "zfnet")
    contenders: dict[str, Act] = {"ours": ours.step} | peer_steps(bench, "plain", networks.zfnet, 224, settings="fp32")
    times = race(contenders, bench.rounds, progress=bench.progress_of("train: zfnet beside plain"))
    least, note = bench.due_in_bf16(5)
    return [
        compare(
            "train.zfnet",
            "img/s",
            times["ours"],
            times["plain fp32"],
            work=bench.batch,
            at_least=least,
            note=join(ours.precision, note),
        )
    ]


def cifar_rows(bench: Bench) -> list[Row]:
    """train.cifar: seconds for an epoch of 50,000, from some steps."""
    ours = Subject(bench, "cifar-18pct", store=bench.small_store)
    (peer,) = peer_steps(bench, "plain", networks.cifar, 32, classes=10, settings="fp32").values()

    def several(step: Act) -> None:
        for _ in range(CIFAR_STEPS):
            step()

    contenders: dict[str, Act] = {"ours": partial(several, ours.step), "plain": partial(several, peer)}
    times: Times = race(contenders, bench.rounds, progress=bench.progress_of("train: CIFAR net of 18 % beside plain"))
    least, note = bench.due_in_bf16(2)
    row = compare_durations(
        "train.cifar",
        times["ours"],
        times["plain"],
        unit="s/epoch",
        factor=CIFAR_EPOCH / (CIFAR_STEPS * bench.batch),
        at_least=least,
    )
    return [replace(row, note=join(ours.precision, f"50,000 extrapolated from {CIFAR_STEPS} steps", note))]


# ── memory ───────────────────────────────────────────────────────────────────────────────────────────────────────


def memory_rows(bench: Bench) -> list[Row]:
    """memory: the largest RssAnon of a process that trains `alexnet` for some steps, from its start to its end."""
    if sys.platform != "linux":
        bench.say("memory is left out: it is only measured on Linux")
        return []
    bench.say("train: memory of a process")
    with in_own_process("training", bench.store.path, bench.folder / "memory", bench.batch) as child:
        peak = peak_memory(child)
    if child.returncode:
        raise RuntimeError(f"the process that was to be measured ended with {child.returncode}")
    return [within("memory", "GB", peak / 1e9, MEMORY_LIMIT / 1e9, f"peak RssAnon, {MEMORY_STEPS} steps")]


def train_some(store: str, folder: str, batch: str) -> None:
    """What the measured process does."""
    Path(folder).mkdir()
    bench = Bench(Path(folder), int(batch))
    ours = Subject(bench, "alexnet", store=Store.open(store))
    order = endless_order(ours.store, MEMORY_STEPS * bench.batch)
    with Stream(ours.store.splits["train"], bench.batch, order) as stream:
        for _ in range(MEMORY_STEPS):
            ours.step_from(stream)


if __name__ == "__main__":  # the process that is measured
    train_some(*sys.argv[1:])
