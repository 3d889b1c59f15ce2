"""Sending the training state from the leader to the other processes, which never read the run folder.

Each process receives the whole state and keeps its shard: so a run can be resumed on any number of processes.
"""

from pathlib import Path

from alexnet.data.store.read import Store
from alexnet.files.schema import from_json
from alexnet.isolation import use_threads
from alexnet.parallel.team import Team
from alexnet.processors import cores
from alexnet.runs.folder import RunFolder
from alexnet.train.options import TrainOptions
from alexnet.train.state import TrainingState, make_state, under
from alexnet.train.warm_start import freeze


def broadcast_end(team: Team, code: int = 0) -> None:
    """On the leader: send that there is nothing to do, because the run has ended or, with an exit code, can't start."""
    team.from_leader({"ended": code})


def broadcast_state(state: TrainingState, team: Team) -> None:
    """On the leader: send the state, its network still whole."""
    if team.alone:
        return
    tensors, standing = state.contents()
    team.from_leader({"config": state.run.config, "standing": standing})
    team.tensors_from_leader(tensors | {f"input/{name}": value for name, value in state.inputs.statistics.items()})


def receive_state(store: Store, folder: Path, team: Team) -> TrainingState | None:
    """On the others: the leader's state with the whole network; None if the run has ended. Raises SystemExit, without
    a message, if the leader could not start."""
    message = team.from_leader(None)
    if message.get("ended"):
        raise SystemExit(message["ended"])
    if "ended" in message:
        return None
    tensors = team.tensors_from_leader({})
    run = RunFolder(folder, message["config"])
    use_threads(min(run.value("machine", "threads"), max(1, cores() // team.local)))
    options = from_json(run.value("options"), TrainOptions, folder, "Start again.")
    network, inputs = freeze(run.empty_network(), options.freeze), run.inputs_of(under("input/", tensors))
    state = make_state(run, store, network, inputs, options)
    state.restore(tensors, message["standing"])
    return state
