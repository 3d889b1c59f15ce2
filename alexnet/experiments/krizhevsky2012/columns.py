"""The pace of the two-column network in one process and in two, and of the one-column control ([A] §3.2)."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import IO

from alexnet.errors import UserError
from alexnet.experiments.finding import Row
from alexnet.experiments.lab import Lab
from alexnet.experiments.trial import Trial
from alexnet.runs.history import read_history
from alexnet.text import changed, option_words
from alexnet.train.options import TrainOptions
from alexnet.train.stop import Interrupted, stop_signals

EPOCHS = 2
WAYS = {1: "one process", 2: "two processes"}
LOOK_SECONDS = 0.2


def paces(lab: Lab) -> tuple[list[Row], list[str]]:
    """Pictures a second of the base network and of the one-column control in one process, of the base network in two;
    and why others could not be timed.

    Each is trained for two epochs on the whole machine, one after the other. The paces of the trainings that a result
    rests on can't be compared, since some may have shared the machine with other work, or had fewer threads.
    """
    base, half = lab.base(), lab.ablation("half", "one column of half the maps")
    rows, untimed = [], []
    for trial, processes in ((base, 1), (half, 1), (base, 2)):
        name = f"pace-{processes}-{trial.name(0)}"
        try:
            found = lab.cached(name, partial(_pace, lab, name, trial, processes))
        except Interrupted:
            raise
        except UserError as fault:
            untimed.append(str(fault))
        else:
            rows.append(Row(f"{trial.label}, {WAYS[processes]}: pace", (found["pace"],), None, "pictures/s"))
    return rows, untimed


def _pace(lab: Lab, name: str, trial: Trial, processes: int) -> dict[str, float]:
    lab.say(f"timing {WAYS[processes]}: {trial.label}")
    return {"pace": measure_pace(trial, processes, lab.folder / "runs" / name)}


def measure_pace(trial: Trial, processes: int, out: Path) -> float:
    """Pictures a second in the faster epoch: the first has to warm up. Raises UserError, with its output, if the
    training fails; Interrupted, with the training stopped too, when asked to stop."""
    command = command_of(trial, processes, out) + (["--resume"] if (out / "config.json").exists() else [])
    whole_machine = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    with tempfile.TemporaryFile("w+") as output:
        code = _run(command, output, whole_machine)
        if code:
            output.seek(0)
            raise UserError(f"{trial.label} could not train in {WAYS[processes]}: {output.read().strip()[-600:]}")
    return float(max(event["pictures_per_second"] for event in read_history(out / "log.jsonl").epochs))


def _run(command: Sequence[str], output: IO[str], environment: dict[str, str]) -> int:
    """Run a command until it ends, or until we are asked to stop."""
    with stop_signals(quiet=True) as stop:
        child = subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)
        try:
            while child.poll() is None and not stop.asked:
                time.sleep(LOOK_SECONDS)
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait()
    if stop.asked:
        raise Interrupted("interrupted; all is saved. Rerun the same command to resume.")
    return child.returncode


def command_of(trial: Trial, processes: int, out: Path) -> list[str]:
    """The command line of such a training; in several processes each has one column."""
    options = asdict(replace(trial.options, epochs=EPOCHS, columns=processes, threads=TrainOptions().threads))
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    words = [sys.executable, "-m", *(launcher if processes > 1 else ()), "alexnet", "train"]
    words += [str(trial.store.path), "--out", str(out)]
    return words + option_words(changed(options, asdict(TrainOptions())))
