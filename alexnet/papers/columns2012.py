"""The step time of the two-column network in one process and in two ([A] §3.2), where training by columns is there."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from statistics import median

from alexnet.errors import UserError
from alexnet.measure.history import read_history
from alexnet.papers.finding import Row
from alexnet.papers.lab import Lab
from alexnet.train.options import TrainOptions

SECONDS = 3600
EPOCHS = 2
"""Epochs timed; of the paces the last counts, when kernels are built and files are in memory."""


def can_split() -> bool:
    """Whether this version trains a network's columns in processes of their own."""
    return "columns" in {field.name for field in fields(TrainOptions)}


def step_times(lab: Lab) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """Pictures a second of base network, one-column control and, where it can be, the base network in two processes;
    and what is to be said of it."""
    base, half = lab.base(), lab.ablation("half", "one column of half the maps")
    rows = [
        Row(
            f"{trial.label}, one process: pace",
            tuple(_pace(lab.trained(trial, s).path) for s in lab.seeds),
            None,
            "pictures/s",
        )
        for trial in (base, half)
    ]
    if not can_split():
        return tuple(rows), ("Two processes were not measured: this version has no --columns.",)
    kept = lab.kept(f"two-processes-{base.fingerprint(0)[:8]}", lambda: {"pace": measure_two_processes(lab)})
    return (*rows, Row("the network, two processes: pace", (kept["pace"],), None, "pictures/s")), ()


def _pace(run: Path) -> float:
    return float(median(event["pictures_per_second"] for event in read_history(run / "log.jsonl").epochs))


def command_of_two(lab: Lab, out: Path) -> list[str]:
    """The command line that trains the base network in two processes, a column each."""
    options = lab.base().options
    words = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "alexnet", "train", str(lab.store.path), "--out", str(out), "--columns", "2"),
        *("--recipe", options.recipe, "--net", str(options.net), "--width", str(options.width)),
        *("--batch", str(options.batch), "--epochs", str(EPOCHS)),
        *("--device", options.device, "--precision", options.precision),
    ]
    return words + ([] if options.input_size is None else ["--input-size", str(options.input_size)])


def measure_two_processes(lab: Lab) -> float:
    """Pictures a second in two processes. Raises UserError, with what torchrun said, if they fail."""
    out = lab.folder / "runs" / f"two-processes-{lab.base().fingerprint(0)[:8]}"
    command = command_of_two(lab, out) + (["--resume"] if (out / "config.json").exists() else [])
    lab.say("timing two processes")
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    if done.returncode:
        raise UserError(f"two processes could not train: {done.stderr.strip()[-600:]}")
    return _pace(out)
