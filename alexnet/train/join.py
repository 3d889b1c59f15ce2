"""How the leader sends the training state to the other processes, which never look into the run folder.

Everyone receives the whole state and keeps its shard of it: so a run can be resumed by any other number of processes.
"""

from pathlib import Path

from torch import Tensor

from alexnet.data.preprocessing import Preprocessing
from alexnet.data.store.read import Store
from alexnet.files.schema import from_json
from alexnet.isolation import use_threads
from alexnet.parallel.team import Team
from alexnet.processors import cores
from alexnet.runs.folder import RunFolder
from alexnet.train.checks import with_options
from alexnet.train.options import TrainOptions
from alexnet.train.recipes import find
from alexnet.train.state import TrainingState, make_state
from alexnet.train.warm_start import freeze

INPUTS = ("mean_image", "eigenvalues", "eigenvectors")


def broadcast_end(team: Team, code: int = 0) -> None:
    """The leader: there is nothing to do, the run has ended or (exit code `code`) can't begin. It reports for all."""
    team.from_leader({"ended": code})


def broadcast_state(state: TrainingState, team: Team) -> None:
    """The leader: sends the state, its network still whole."""
    if team.alone:
        return
    tensors, standing = state.contents()
    team.from_leader({"config": state.run.config, "standing": standing})
    statistics = {name: getattr(state.inputs, name) for name in INPUTS}
    team.tensors_from_leader({**tensors, **statistics})


def receive_state(store: Store, folder: Path, team: Team) -> TrainingState | None:
    """The others: the leader's state, the network whole; None if the run has ended. SystemExit, without a message, if
    the leader could not begin."""
    told = team.from_leader(None)
    if told.get("ended"):
        raise SystemExit(told["ended"])
    if "ended" in told:
        return None
    tensors = team.tensors_from_leader({})
    run = RunFolder(folder, told["config"])
    machine = run.value("machine")
    use_threads(min(machine["threads"], max(1, cores() // team.local)))
    options = from_json(run.value("options"), TrainOptions, folder, "Start again.")
    network = run.empty_network()
    freeze(network, options.freeze)
    state = make_state(
        run, store, network, _inputs(run, tensors), with_options(find(options.recipe), options), options, machine
    )
    state.restore(tensors, told["standing"])
    return state


def _inputs(run: RunFolder, tensors: dict[str, Tensor]) -> Preprocessing:
    statistics = {name: tensors.pop(name) for name in INPUTS}
    return Preprocessing(
        size=int(run.value("network", "input_size")), mean_mode=run.value("network", "mean"), **statistics
    )
