"""Response normalisation, forward and backward, beside `nn.LocalResponseNorm`, on the maps of conv1 and conv2.

Over all maps, as torch does it. Ours in bf16 (what training takes where it is faster) and in fp32.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from alexnet import kernels
from alexnet.bench.own import Bench
from alexnet.bench.timing import Act, Row, compare, join, race

MAPS = {"conv1": (96, 55), "conv2": (256, 27)}
ALPHA, BETA, K, SIZE = 1e-4, 0.75, 2.0, 5  # [A] §3.3
AT_LEAST = 20


def rows(bench: Bench) -> list[Row]:
    """lrn.conv1, lrn.conv2; and the same in fp32."""
    return [row for name, (maps, side) in MAPS.items() for row in _rows(bench, name, maps, side)]


def _rows(bench: Bench, name: str, maps: int, side: int) -> list[Row]:
    x_bchw = torch.randn(bench.batch, maps, side, side, generator=torch.Generator().manual_seed(0)) * 30
    spec = kernels.NormSpec(K, ALPHA, BETA, SIZE)
    stock = nn.LocalResponseNorm(SIZE, ALPHA * SIZE, BETA, K)  # torch divides alpha by the window
    by_channel = x_bchw.contiguous(memory_format=torch.channels_last)
    contenders = {
        "bf16": both_passes(lambda x: kernels.local_response_norm(x, spec), by_channel.bfloat16()),
        "fp32": both_passes(lambda x: kernels.local_response_norm(x, spec), by_channel),
        "stock": both_passes(stock, x_bchw),
    }
    times = race(contenders, bench.rounds, progress=bench.progress_of(f"lrn: maps of {name}"))
    form = kernels.available().partition(" ")[0]
    return [
        compare(
            f"lrn.{name}{'' if precision == 'bf16' else '.fp32'}",
            "img/s",
            times[precision],
            times["stock"],
            work=bench.batch,
            at_least=AT_LEAST if precision == "bf16" else None,
            note=join(precision, form, f"{bench.batch} × {maps} × {side} × {side}, forward and backward"),
        )
        for precision in ("bf16", "fp32")
    ]


def both_passes(norm: Callable[[Tensor], Tensor], x: Tensor) -> Act:
    """Forward and backward through `norm`."""
    leaf, gradient = x.clone().requires_grad_(True), torch.randn_like(x)

    def act() -> None:
        y = norm(leaf)
        torch.autograd.grad(y, leaf, gradient.to(y.dtype))

    return act
