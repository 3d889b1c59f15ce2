"""What this machine can do at best, measured in the same run, and its name."""

import os
import platform
from contextlib import suppress
from datetime import date
from pathlib import Path
from statistics import median

import torch

from alexnet.bench.timing import Act, Row, race

MATRIX_SIDES = (2048, 4096, 8192)
MATRIX_REPEATS = 10
COPY_BYTES = 1 << 29
"""Far beyond any cache."""


def ceilings(*, matrices: bool) -> list[Row]:
    """The machine's rows: memory copy, and with `matrices` (a minute or two) the best product in bf16 and fp32."""
    rows = [Row("machine.copy", "GB/s", copy_bandwidth() / 1e9, note="bytes read and bytes written, both counted")]
    if matrices:
        note = f"best torch.mm of N = {', '.join(map(str, MATRIX_SIDES))}, median of {MATRIX_REPEATS}"
        for name, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
            rows.append(Row(f"machine.{name}", "TFLOP/s", matrix_ceiling(dtype) / 1e12, note=note))
    return rows


def matrix_ceiling(dtype: torch.dtype) -> float:
    """The best rate of `torch.mm` on square matrices, in floating-point operations a second."""
    return max(2 * side**3 / _product_seconds(side, dtype) for side in MATRIX_SIDES)


def _product_seconds(side: int, dtype: torch.dtype) -> float:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(side, side, generator=generator).to(dtype) for _ in range(2))
    out = torch.empty(side, side, dtype=dtype)
    return _median_seconds(lambda: torch.mm(a, b, out=out))


def copy_bandwidth() -> float:
    """Bytes a second that a copy in memory moves: those read and those written."""
    source = torch.ones(COPY_BYTES, dtype=torch.uint8)
    target = torch.zeros_like(source)
    return 2 * COPY_BYTES / _median_seconds(lambda: target.copy_(source))


def _median_seconds(act: Act) -> float:
    return median(race({"act": act}, MATRIX_REPEATS)["act"])


def cpu_info(name: str) -> str:
    """The first entry of this name in /proc/cpuinfo; empty if there is none."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(name):
                return line.partition(":")[2].strip()
    return ""


def has_amx() -> bool:
    """Whether the CPU multiplies bf16 matrices in tiles, which the targets for bf16 presuppose."""
    return "amx_bf16" in cpu_info("flags").split()


def describe() -> str:
    """The machine, the versions, how busy it is, and the day, in one line."""
    flags = cpu_info("flags").split()
    sets = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
    model = cpu_info("model name") or platform.processor() or platform.machine()
    return (
        f"{model} ({', '.join(sets) or platform.machine()}), {torch.get_num_threads()} threads; torch "
        f"{torch.__version__}, Python {platform.python_version()}; {load} at the start; {date.today().isoformat()}"
    )
