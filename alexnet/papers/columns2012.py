"""The pace of the two-column network in one process and in two, and of the one-column control ([A] §3.2)."""

import os
import subprocess
import sys
from pathlib import Path

from alexnet.errors import UserError
from alexnet.measure.history import read_history
from alexnet.papers.finding import Row
from alexnet.papers.lab import Lab, Trial

SECONDS = 3600
EPOCHS = 2
WAYS = {1: "one process", 2: "two processes"}


def paces(lab: Lab) -> list[Row]:
    """Pictures a second of the base network and of the one-column control in one process, of the base network in two.

    Each is trained for two epochs on the whole machine, one after the other: the paces of the trainings that a result
    rests on can't be held against each other, since some may have run beside other work, or on fewer threads.
    """
    base, half = lab.base(), lab.ablation("half", "one column of half the maps")
    rows = []
    for trial, processes in ((base, 1), (half, 1), (base, 2)):
        name = f"pace-{processes}-{trial.name(0)}"
        kept = lab.kept(name, lambda name=name, trial=trial, processes=processes: _pace(lab, name, trial, processes))
        rows.append(Row(f"{trial.label}, {WAYS[processes]}: pace", (kept["pace"],), None, "pictures/s"))
    return rows


def _pace(lab: Lab, name: str, trial: Trial, processes: int) -> dict[str, float]:
    lab.say(f"timing {WAYS[processes]}: {trial.label}")
    return {"pace": measure_pace(trial, processes, lab.folder / "runs" / name)}


def measure_pace(trial: Trial, processes: int, out: Path) -> float:
    """Pictures a second in the faster epoch: the first has to warm up. Raises UserError, with what was said, if the
    training fails."""
    command = command_of(trial, processes, out) + (["--resume"] if (out / "config.json").exists() else [])
    whole_machine = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=whole_machine)
    if done.returncode:
        raise UserError(f"{trial.label} could not train in {WAYS[processes]}: {done.stderr.strip()[-600:]}")
    return float(max(event["pictures_per_second"] for event in read_history(out / "log.jsonl").epochs))


def command_of(trial: Trial, processes: int, out: Path) -> list[str]:
    """The command line of such a training; in several processes each has one column."""
    options = trial.options
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    words = [
        *(sys.executable, "-m", *(launcher if processes > 1 else ()), "alexnet", "train"),
        *(str(trial.store.path), "--out", str(out), "--recipe", options.recipe, "--net", str(options.net)),
        *("--width", str(options.width), "--batch", str(options.batch), "--epochs", str(EPOCHS)),
        *("--device", options.device, "--precision", options.precision),
    ]
    words += ["--columns", str(processes)] if processes > 1 else []
    chosen = {"--rate": options.rate, "--init": options.init, "--input-size": options.input_size}
    return words + [word for name, value in chosen.items() if value is not None for word in (name, str(value))]
