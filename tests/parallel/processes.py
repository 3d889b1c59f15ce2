"""Several processes at once, each a rank: forked from a server that has torch loaded, so they start quickly."""

import multiprocessing
import os
import queue
import traceback
from collections.abc import Callable
from typing import Any

import torch.distributed as dist

PATIENCE = 400.0
"""Seconds for all of them to end: far more than they need, and less than pytest's user has."""

PRELOADED = [
    *("alexnet.train.loop", "alexnet.cli", "alexnet.data.sources", "alexnet.measure.run", "torch._dynamo"),
    *("alexnet.commands.train", "alexnet.commands.evaluate"),
    *("hypothesis.strategies", "pytest", "tensorboard.compat.proto.event_pb2", "typeguard"),
]
"""What the ranks and the modules of the tests import: half a second of each rank."""


def together(
    processes: int,
    work: Callable[..., Any],
    *arguments: Any,
    each: list[tuple] | None = None,
    lost: tuple[int, ...] = (),
) -> list[Any]:
    """What `work(*arguments)` returns in each of so many ranks; `each`: arguments of their own, put in front. The ranks
    `lost` never end: they are killed when all others have, and return None.

    Raises RuntimeError with the traces of those that failed, and for those that do not end."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # as torchrun keeps one
    results = context.Queue()
    own = each or [()] * processes
    ranks = [
        context.Process(target=_rank, args=(rank, processes, store.port, results, work, (*own[rank], *arguments)))
        for rank in range(processes)
    ]
    for rank in ranks:
        rank.start()
    try:
        found = dict.fromkeys(lost, (True, None))
        found |= dict(results.get(timeout=PATIENCE) for _ in range(processes - len(lost)))
    except queue.Empty:
        raise RuntimeError("some ranks did not end") from None
    finally:
        for number, rank in enumerate(ranks):
            rank.join(timeout=0 if number in lost else 10)
            rank.kill()
    if failed := {rank: said for rank, (good, said) in found.items() if not good}:
        raise RuntimeError("\n".join(f"rank {rank}: {said}" for rank, said in failed.items()))
    return [found[rank][1] for rank in range(processes)]


def _rank(rank: int, processes: int, port: int, results: Any, work: Callable[..., Any], arguments: tuple) -> None:
    import torch

    torch.set_num_threads(1)
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    os.environ |= {name: str(value) for name, value in names.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"
    try:
        results.put((rank, (True, work(*arguments))))
    except BaseException:
        results.put((rank, (False, traceback.format_exc())))
