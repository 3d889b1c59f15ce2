"""Where the time of one training step of `alexnet` goes: forward and backward of each fused step, update, the rest.

Each step of the network is timed by itself, on what the step below it made; medians. So the sum can differ a little
from the whole step, which is timed too.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.bench.machine import describe
from alexnet.bench.own import Bench, Subject
from alexnet.nets.dropout import Position
from alexnet.nets.network import Network


def seconds(act: Callable[[], object], rounds: int) -> float:
    act()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        act()
        times.append(time.perf_counter() - start)
    return median(times)


def layer_rows(ours: Subject, rounds: int) -> list[tuple[str, float, float]]:
    """(name, seconds forward, seconds backward) of each step of the network's `forward`, and of the loss."""
    network, rows, place = ours.job.network.train(), [], 0
    position = Position(0, 1, torch.from_numpy(ours.batch.indices))
    x = ours.ready_inputs()
    with network.copies.in_use():
        while place < len(network.order):
            x = x.detach().requires_grad_(bool(rows))
            step = partial(network.advance, network.order, place, x, position=position)
            y, after = step()
            names = network.order[place:after]
            learns = [tensor for tensor in (x, *learned(network, names)) if tensor.requires_grad]
            backward = partial(torch.autograd.grad, y, learns, torch.randn_like(y), retain_graph=True)
            rows.append(("+".join(names), seconds(step, rounds), seconds(backward, rounds)))
            x, place = y, after
    return [*rows, ("loss", *loss_seconds(x.detach(), ours.labels, rounds))]


def learned(network: Network, names: list[str]) -> list[Tensor]:
    """What the gradients of these rows' weights arrive at: the weights, or their working copies."""
    weights = [weight for name in names for weight in network.get_submodule(name).parameters()]
    copies = [network.copies.of(weight) for weight in weights]
    return [weight if copy is None else copy.values for weight, copy in zip(weights, copies, strict=True)]


def loss_seconds(logits: Tensor, labels: Tensor, rounds: int) -> tuple[float, float]:
    logits.requires_grad_(True)
    loss = F.cross_entropy(logits.float(), labels)
    return (
        seconds(lambda: F.cross_entropy(logits.float(), labels), rounds),
        seconds(lambda: torch.autograd.grad(loss, logits, retain_graph=True), rounds),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--net", default="alexnet")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", dest="rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ours = Subject(Bench(Path(folder), options.batch), options.net)
        print(f"{options.net}, batch {options.batch}, {ours.precision}: {describe()}\n")
        whole = seconds(ours.step, options.rounds)
        rows = [("augment", seconds(ours.ready_inputs, options.rounds), 0.0)]
        rows += layer_rows(ours, options.rounds)
        ours.step_on(ours.ready_inputs())  # leaves gradients behind
        rows.append(("update", seconds(lambda: ours.job.update.step(ours.rates), options.rounds), 0.0))
    total = sum(forward + backward for _, forward, backward in rows)
    rows.append(("sum", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    print("| layer | forward, ms | backward, ms | share |\n|---|---|---|---|")
    for name, forward, backward in rows:
        print(f"| {name} | {1e3 * forward:.1f} | {1e3 * backward:.1f} | {(forward + backward) / total:.1%} |")
    print(f"\nThe whole step: {1e3 * whole:.0f} ms, {options.batch / whole:.1f} img/s.")


if __name__ == "__main__":
    main()
