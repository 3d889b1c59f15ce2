"""Whole runs by several processes: one state for all layouts, every picture counted once, traffic, refusals."""

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from processes import together

from alexnet import cli
from alexnet.data.sources import open_source
from alexnet.data.store.prepare import prepare
from alexnet.data.store.read import Store
from alexnet.errors import UsageError
from alexnet.files.tensors import load_tensors, tensor_digest
from alexnet.measure.accuracy import Counts, evaluate
from alexnet.measure.probabilities import Probabilities
from alexnet.measure.viewer import ViewAverager
from alexnet.nets import zoo
from alexnet.nets.network import build
from alexnet.nets.table import with_width
from alexnet.nets.trace import trace
from alexnet.parallel import launch, traffic
from alexnet.parallel.grid import ProcessGrid, bounds, epoch_shards, shard_batch
from alexnet.parallel.launch import launched
from alexnet.runs.folder import RunFolder
from alexnet.train import loop
from alexnet.train.loop import train
from alexnet.train.options import TrainOptions
from alexnet.train.recipes import find
from alexnet.train.state import make_state
from alexnet.train.step import update_on
from alexnet.train.stop import Interrupted

SMALL = TrainOptions(net="toy", epochs=3, batch=32, precision="fp32", threads=1, mirror=False)
STOPPED = Interrupted.exit_code


# ── one state for all layouts ────────────────────────────────────────────────────────────────────────────────────


def run_until(store: Path, folder: Path, options: TrainOptions, step: int | None) -> int:
    """Train, or go on; before update number `step` the last rank is asked to stop. The exit code."""
    plain = loop.train_batch

    def signalled(state, *rest):
        if state.cursor.step == step and rest[-1].begins_batch and state.team.rank == state.team.grid.processes - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return plain(state, *rest)

    loop.train_batch = signalled
    try:
        with launched(**options.launch) as team:
            train(Store.open(store), folder, options, resume=True, quiet=True, team=team)
    except Interrupted as end:
        return end.exit_code
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        loop.train_batch = plain
    return 0


LAYOUTS = {
    "data": (3, replace(SMALL, accumulation_steps=2)),
    "hybrid": (3, replace(SMALL, hybrid=True)),
}


def test_a_run_goes_on_in_every_layout_and_alone(store: Store, tmp_path: Path) -> None:
    """21 updates, each in two pieces: alone, in columns, with shares, hybrid, both, alone again; as good as unbroken.
    One rank alone hears of each stop; the config tells of every start."""
    pieces = replace(SMALL, accumulation_steps=2)
    unbroken = train(store, tmp_path / "unbroken", pieces, quiet=True)
    two = replace(pieces, columns=2), replace(pieces, hybrid=True), pieces
    assert run_until(store.path, tmp_path / "run", pieces, 2) == STOPPED
    stops = [4, 8, 11]  # 8: the first batch of the second epoch
    for options, step in zip(two, stops, strict=True):
        assert together(2, run_until, store.path, tmp_path / "run", options, step) == [STOPPED, STOPPED]
    assert together(4, run_until, store.path, tmp_path / "run", two[0], 15) == [STOPPED] * 4
    assert run_until(store.path, tmp_path / "run", pieces, None) == 0
    run = RunFolder.open(tmp_path / "run")
    ours, theirs = run.network.state_dict(), unbroken.network.state_dict()
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in theirs) < 1e-5
    assert [(start["step"], start["layout"]["processes"]) for start in run.config["starts"]] == [
        (0, 1), (3, 2), (5, 2), (9, 2), (12, 4), (16, 1),
    ]  # fmt: skip
    assert "another process grid" in (tmp_path / "run" / "log.jsonl").read_text()


def test_the_state_on_disk_is_that_of_one_process(store: Store, tmp_path: Path) -> None:
    assert run_until(store.path, tmp_path / "alone", SMALL, 1) == STOPPED
    assert together(2, run_until, store.path, tmp_path / "apart", replace(SMALL, columns=2), 1) == [STOPPED, STOPPED]
    alone, apart = (load_tensors(next((tmp_path / name / "state").iterdir()))[0] for name in ("alone", "apart"))
    assert {name: (t.shape, t.dtype) for name, t in alone.items()} == {n: (t.shape, t.dtype) for n, t in apart.items()}
    assert max(float((alone[name] - apart[name]).abs().max()) for name in alone) < 1e-5


@pytest.mark.parametrize("grid", ["data", "hybrid"])
def test_two_runs_of_one_layout_are_the_same_to_the_bit(store: Store, tmp_path: Path, grid: str) -> None:
    """Also where one of them was stopped on the way; three processes, whose sums depend on their order, and by which
    neither a batch of 32 nor its pieces can be divided."""
    processes, options = LAYOUTS[grid][0], replace(LAYOUTS[grid][1], epochs=2)
    together(processes, run_until, store.path, tmp_path / "unbroken", options, None)
    for stop, code in ((4, STOPPED), (None, 0)):
        assert together(processes, run_until, store.path, tmp_path / "stopped", options, stop) == [code] * processes
    digests = [tensor_digest(RunFolder.open(tmp_path / n).network.state_dict()) for n in ("unbroken", "stopped")]
    assert digests[0] == digests[1]


# ── counting ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """8 training pictures, 1,000 for validation: noise of 8 classes, 36 pixels."""
    folder = tmp_path_factory.mktemp("thousand")
    noise = np.random.default_rng(0)
    for part, count in (("train", 1), ("val", 125)):
        for label in range(8):
            target = folder / "pictures" / part / f"class{label}"
            target.mkdir(parents=True)
            for number in range(count):
                pixels = noise.integers(0, 255, (36, 36, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(target / f"{number:03}.png")
    return prepare(open_source(folder / "pictures"), folder / "store", size=36)


def count_together(store: Path, folder: Path, options: TrainOptions) -> Counts:
    run = RunFolder(folder, {"machine": MACHINE})
    opened = Store.open(store)
    with launched(**options.launch) as team:
        state = make_state(run, opened, network(), inputs(opened), options)
        state.take_shard(team)
        return loop.validate(state)


MACHINE = {"device": "cpu", "precision": "fp32"}


def network():
    return build("toy", 8, seed=5)


def inputs(store: Store):
    from alexnet.train.warm_start import initial_inputs

    return initial_inputs(store, network(), find("paper"), TrainOptions())


@pytest.mark.parametrize(
    ("processes", "options"),
    [(3, TrainOptions()), (3, TrainOptions(hybrid=True)), (2, TrainOptions(columns=2))],
    ids=["data", "hybrid", "columns"],
)
def test_a_thousand_pictures_are_counted_once(thousand: Store, processes: int, options: TrainOptions) -> None:
    alone = evaluate(ViewAverager(network().eval(), inputs(thousand)), thousand.splits["val"])
    found = together(processes, count_together, thousand.path, Path("nowhere"), options)
    assert all(counts == found[0] for counts in found)
    assert found[0].pictures == alone.pictures == 1000
    assert (found[0].top1_errors, found[0].top5_errors) == (alone.top1_errors, alone.top5_errors)
    assert 0 < alone.top5_errors < alone.top1_errors < 1000
    assert abs(found[0].mean_nll - alone.mean_nll) < 1e-6


def test_evaluate_by_three_processes_says_what_one_says(thousand: Store, tmp_path: Path) -> None:
    """The whole verb: the same figures, classes, confusions and probabilities to the bit, said once."""
    options = TrainOptions(net="toy", epochs=1, batch=8, precision="fp32", threads=1)
    run = train(thousand, tmp_path / "run", options, quiet=True)
    words = ["evaluate", str(run.path), str(thousand.path), "--json", "--views", "5", "--save-probabilities"]
    alone = command([*words, str(tmp_path / "alone.safetensors")])
    apart = together(3, command, [*words, str(tmp_path / "apart.safetensors")])
    assert alone[0] == 0
    assert [result["pictures"] for result in json.loads(alone[1])["results"]] == [1000, 1000]
    assert [(code, said) for code, said, _ in apart] == [(0, alone[1]), (0, ""), (0, "")]
    ours, theirs = (Probabilities.load(tmp_path / f"{name}.safetensors") for name in ("apart", "alone"))
    assert np.array_equal(ours.values, theirs.values)
    assert (ours.keys, ours.about) == (theirs.keys, theirs.about)


@pytest.mark.parametrize("shares", [1, 2, 3, 4, 7])
def test_a_batch_is_dealt_out_without_gaps_or_doubles(shares: int) -> None:
    for count in (1, 2, 6, 7, 28):
        shards = [shard_batch(np.arange(100, 100 + count), shares, own) for own in range(shares)]
        counted = np.concatenate([d.indices for d in shards if d.counts])
        assert counted.tolist() == list(range(100, 100 + count))
        assert all(len(d.indices) >= 1 and d.size == count for d in shards)
        assert [d.first for d in shards] == [span.start for span in bounds(count, shares)]


def shards_of(order: np.ndarray, batch: int, shares: int, share: int, steps: int = 1) -> list[np.ndarray]:
    return [found.indices for _, found in epoch_shards(order, batch, steps, shares, share)]


def test_an_epoch_is_dealt_out_batch_by_batch() -> None:
    order = np.random.default_rng(0).permutation(29)
    parts = [np.concatenate(shards_of(order, 8, 4, share)) for share in range(4)]
    assert [len(part) for part in parts] == [8, 7, 7, 7]
    for batch in range(3):
        together_again = np.concatenate([part[2 * batch : 2 * batch + 2] for part in parts])
        assert together_again.tolist() == order[8 * batch : 8 * batch + 8].tolist()


@given(count=st.integers(1, 60), batch=st.integers(1, 20), shares=st.integers(1, 7), steps=st.integers(1, 3))
def test_of_all_but_the_last_micro_batch_each_share_has_equally_many(
    count: int, batch: int, shares: int, steps: int
) -> None:
    """A stream cuts a share's pictures of an epoch into pieces of one size: they are those of the micro-batches."""
    for share in range(shares):
        cut = [found.tolist() for found in shards_of(np.arange(count), batch * steps, shares, share, steps)]
        flat, size = [number for one in cut for number in one], len(cut[0])
        assert cut == [flat[place : place + size] for place in range(0, len(flat), size)]


# ── traffic ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_alexnet_s_traffic_is_the_published_one() -> None:
    """The authors' code (net 145): pool2, 21,632 floats each way; the last pooled maps 4,608; each dense layer 2,048;
    at the end one way only. Nothing else crosses."""
    found = [(c.at, c.sent, c.sender, c.reader, c.floats) for c in traffic.crossings(trace(zoo.ALEXNET))]
    assert sorted(found) == sorted([
        ("conv3", "pool2", 0, 1, 21632), ("conv3", "pool2", 1, 0, 21632),
        ("fc6", "pool5", 0, 1, 4608), ("fc6", "pool5", 1, 0, 4608),
        ("fc7", "dropout6", 0, 1, 2048), ("fc7", "dropout6", 1, 0, 2048),
        ("fc8", "dropout7", 1, 0, 2048),
    ])  # fmt: skip


def test_four_columns_read_two_others_and_no_communication_none_before_fc8() -> None:
    four = traffic.crossings(trace(zoo.find("alexnet-4col")))
    assert {(c.reader, c.sender) for c in four if c.at == "conv3"} == {
        (0, 1), (0, 2), (1, 0), (1, 3), (2, 3), (2, 0), (3, 2), (3, 1),
    }  # fmt: skip
    assert {c.at for c in traffic.crossings(trace(zoo.find("alexnet-nocomm")))} == {"fc8"}


def test_show_traffic_prints_the_table(store: Store, tmp_path: Path) -> None:
    line = ["train", str(store.path), "--out", str(tmp_path / "run"), "--columns", "2", "--show-traffic"]
    refused = together(2, command, [*line, "--epochs", "1"])  # pictures too small for alexnet, but the table comes
    shown = refused[0][1].splitlines()
    assert "conv3  pool2     b → a   21,632    21,632" in shown
    assert "fc8    dropout7  b → a    2,048     2,048" in shown
    assert "input-size" in "".join(said for _, _, said in refused)


def test_what_is_sent_is_what_the_table_says() -> None:
    """Counted where it leaves, in a step of the columns: activations forward, as many gradients backward."""
    from steps import Case, toy, train_apart

    case = Case(toy(), TrainOptions(columns=2), updates=1, batches=(8,))
    sent = [outcome.sent for outcome in together(2, train_apart, case)]
    crossing = traffic.crossings(trace(toy()))
    for column in (0, 1):
        floats = sum(c.floats for c in crossing if column in (c.sender, c.reader))
        assert sent[column] == 8 * floats


def test_the_hybrid_sends_what_the_table_says_and_far_less_than_data_parallel() -> None:
    """Both processes, forward and backward: last maps, units between the dense layers, logits."""
    from steps import Case, toy, train_apart

    case = Case(toy(), TrainOptions(hybrid=True), updates=1, batches=(8,))
    sent = sum(outcome.sent for outcome in together(2, train_apart, case))
    layers = {layer.row.name: layer for layer in trace(toy())}
    assert sent == 8 * 2 * (sum(layers[name].entering.units for name in ("fc6", "fc7", "fc8")) + 12 // 2)
    layers = {layer.row.name: layer for layer in trace(zoo.ALEXNET)}
    # [A] at a batch of 128, of each of two processes: 64 pictures' maps and half of the units of 128 there and back.
    activations = 2 * 64 * (9216 + 4096 + 4096 + 500)
    convolutions = sum(layer.parameters for name, layer in layers.items() if name.startswith("conv"))
    assert round(60_965_224 / (convolutions + activations), 1) == 13.2


def leaving_order(case: object) -> list[set[str]]:
    """Names of the weights in the buckets of data parallel's gradients, bucket after bucket as they leave."""
    from steps import job_of, pictures_of

    from alexnet.parallel import gradients

    order: list[set[str]] = []
    plain = gradients._all_reduce_hook

    def recording(*arguments):
        add = plain(*arguments)

        def seen(context, bucket):
            names = {id(weight): name for name, weight in state.network.named_parameters()}
            order.append({names[id(weight)] for weight in bucket.parameters() if id(weight) in names})
            return add(context, bucket)

        return seen

    gradients._all_reduce_hook = recording
    with launched(**case.options.launch) as team:
        state = job_of(case, team)
        shard = team.shard(np.arange(2))
        for _ in range(3):
            update_on(state, *pictures_of(shard.indices, state.network, case), shard, case.rates)
    return order


def test_the_gradient_of_fc6_leaves_first() -> None:
    """At each update, the first one included, whose order torch chooses otherwise."""
    from steps import Case

    case = Case(with_width(zoo.ALEXNET, 0.25), dtype=torch.float32)
    order = together(2, leaving_order, case)[0]
    count = len(order) // 3
    assert order[:count] == order[count : 2 * count] == order[2 * count :]
    place = {name: place for place, bucket in enumerate(order[:count]) for name in bucket}
    assert max(place["fc6.weight"], place["fc6.bias"]) < place["fc7.weight"]
    assert all(place["fc6.weight"] <= where for name, where in place.items() if name != "fc6.bias")


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────


def command(arguments: list[str]) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a command line in this process."""
    out, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
        try:
            code = cli.main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
    return code, out.getvalue(), said.getvalue()


def refusal(found: list[tuple[int, str, str]]) -> tuple[int, str]:
    """The one message and exit code of several refusing processes."""
    messages = [said for _, _, said in found if said]
    assert len(messages) == 1, messages
    assert messages[0].startswith("alexnet: ")
    assert messages[0].count("\n") == 1
    codes = {code for code, _, _ in found}
    assert len(codes) == 1
    return codes.pop(), messages[0]


def line(store: Store | Path, run: Path, *options: str) -> list[str]:
    path = store.path if isinstance(store, Store) else store
    return ["train", str(path), "--out", str(run), "--net", "toy", "--epochs", "1", "--batch", "32", *options]


@pytest.mark.parametrize(
    ("processes", "options", "code", "words"),
    [
        (3, ["--columns", "2"], 2, "3 processes can't be divided so. Start 2 or a multiple"),
        (3, ["--batch", "2"], 2, "--batch 2: 3 processes that share it need a picture each. Take --batch 3 or more."),
        (3, ["--accumulation-steps", "16"], 2, "of 2 pictures: 3 processes that share it need a picture each"),
        (2, ["--columns", "2", "--hybrid"], 2, "choose one"),
        (2, ["--columns", "2", "--net", "cifar-19pct"], 2, "has one column"),
        (4, ["--columns", "4"], 2, "toy has 2 columns"),
        (2, ["--threads", "64"], 2, "for 2 processes"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_once(
    store: Store, run_folder: Path, processes: int, options: list[str], code: int, words: str
) -> None:
    found = refusal(together(processes, command, line(store, run_folder, *options)))
    assert found[0] == code
    assert words in found[1]
    assert not run_folder.exists()


def test_columns_need_torchrun(store: Store, run_folder: Path) -> None:
    code, _, said = command(line(store, run_folder, "--columns", "2"))
    assert code == 2
    assert "1 process can't be divided so" in said
    assert "torchrun --nproc-per-node 2 -m alexnet train" in said


def test_another_store_no_store_other_options_are_named(store: Store, thousand: Store, run_folder: Path) -> None:
    host = socket.gethostname()
    other = [line(store, run_folder), line(thousand, run_folder), line(store, run_folder)]
    code, said = refusal(together(3, command, each=[(words,) for words in other]))
    assert code == 1
    assert f"the store of rank 1 on {host} is not that of rank 0" in said
    absent = [line(store, run_folder), line(Path("/nowhere"), run_folder)]
    code, said = refusal(together(2, command, each=[(words,) for words in absent]))
    assert code == 1
    assert f"rank 1 of 2 on {host}: /nowhere" in said
    options = [line(store, run_folder), line(store, run_folder, "--seed", "1")]
    code, said = refusal(together(2, command, each=[(words,) for words in options]))
    assert code == 1
    assert "--seed of rank 1" in said
    assert not run_folder.exists()


def with_other_program(digest: str, arguments: list[str]) -> tuple[int, str, str]:
    launch.program_digest = lambda: digest
    return command(arguments)


def test_another_program_on_a_rank_is_named(store: Store, run_folder: Path) -> None:
    digests = [("a" * 64,), ("b" * 64,)]
    code, said = refusal(together(2, with_other_program, line(store, run_folder), each=digests))
    assert code == 1
    assert "the program of rank 1" in said


def with_gpus(count: int, arguments: list[str]) -> tuple[int, str, str]:
    torch.cuda.is_available = lambda: True
    torch.cuda.device_count = lambda: count
    return command(arguments)


def test_more_processes_than_gpus_are_refused(store: Store, run_folder: Path) -> None:
    code, said = refusal(together(3, with_gpus, 2, line(store, run_folder, "--device", "cuda")))
    assert code == 2
    assert "which has 2 GPUs. Start as many: torchrun --nproc-per-node 2" in said


def test_layouts_that_no_network_can_have() -> None:
    with pytest.raises(UsageError, match="norm over all maps"):
        ProcessGrid(2, 2).check(zoo.find("caffenet"), 128)
    with pytest.raises(UsageError, match="12 units of fc8"):
        ProcessGrid(16, hybrid=True).check(zoo.TOY, 128)


def test_torchrun_is_there() -> None:
    """What the pages' lines begin with: here, or on the path where this environment takes its torch from another."""
    assert shutil.which("torchrun", path=Path(sys.executable).parent) or shutil.which("torchrun")
