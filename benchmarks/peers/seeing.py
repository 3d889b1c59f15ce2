"""Looking inside: the occlusion map beside captum's, strongest pictures and projections beside our inference.

N pictures or projections.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

from alexnet.bench.own import Bench, Subject
from alexnet.bench.timing import Act, Row, compare, join, race
from alexnet.errors import UserError
from alexnet.measure.viewer import ViewAverager
from alexnet.nets.table import Conv
from alexnet.see.deconvnet import project
from alexnet.see.forward_pass import inputs_of, run_forward
from alexnet.see.occlusion import Square, occlusion_map
from alexnet.see.top import find_top
from alexnet.see.units import strongest_units
from peers import networks
from peers.rows import within

ROUNDS = 3
"""At most, where captum takes part: it needs 20 seconds a map."""
CAPTUM_BATCHES = (16, 32, 64)
"""Squares at a time (`perturbations_per_eval`, 1 by default) among which captum's best is looked for."""
PROJECTIONS = 64
FIRST_SECONDS = 2.0


@dataclass(frozen=True)
class Scene:
    """What is looked at: a network of ours, the same written plainly, and the square."""

    bench: Bench
    ours: Subject
    plain: nn.Module
    square: Square

    @cached_property
    def viewer(self) -> ViewAverager:
        """Ours, in the type that its run chose."""
        job = self.ours.job
        job.network.eval()
        return ViewAverager(job.network, job.inputs, job.device, job.dtype)

    @cached_property
    def exact(self) -> ViewAverager:
        return replace(self.viewer, dtype=torch.float32)

    @property
    def records(self) -> Tensor:
        """uint8 (N, S, S, 3)."""
        return torch.from_numpy(self.ours.batch.pictures)


def rows(bench: Bench) -> list[Row]:
    """Every row of the group "see"."""
    ours = Subject(bench, "alexnet")
    scene = Scene(bench, ours, networks.alexnet().eval(), Square.fitting(ours.job.inputs.size))
    return [*first_rows(scene), *occlusion_rows(scene), *top_rows(scene), *project_rows(scene)]


def occlusion_rows(scene: Scene) -> list[Row]:
    """see.occlusion, see.occlusion.batch, both in fp32 too, and see.occlusion.own."""
    record, inputs = scene.records[0], inputs_of(scene.exact, scene.records[:1])
    plain, own = partial(captum, scene.plain, inputs, scene.square), inputs.to(scene.viewer.dtype)
    at_once = _best_batch(plain)
    contenders: dict[str, Act] = {
        "ours": partial(occlusion_map, scene.viewer, record, square=scene.square),
        "fp32": partial(occlusion_map, scene.exact, record, square=scene.square),
        "captum": partial(plain, 1),
        "batch": partial(plain, at_once),
        "own": partial(captum, scene.viewer.network, own, scene.square, at_once),
    }
    rounds = min(ROUNDS, scene.bench.rounds)
    times = race(contenders, rounds, progress=scene.bench.progress_of("see: occlusion beside captum"))
    against = partial(compare, unit="maps/s", peer=times["captum"], ours=times["ours"])
    precision, batch = scene.ours.precision, f"captum takes {at_once} squares at a time"
    return [
        against("see.occlusion", at_least=12, note=join(precision, "beside captum's defaults, plain fp32")),
        against("see.occlusion.batch", peer=times["batch"], at_least=6, note=join(precision, batch)),
        against("see.occlusion.own", peer=times["own"], at_least=1, note=join(precision, batch, "on our network")),
        against("see.occlusion.fp32", ours=times["fp32"], note="fp32"),
        against("see.occlusion.batch.fp32", ours=times["fp32"], peer=times["batch"], note=join("fp32", batch)),
    ]


@torch.inference_mode()
def captum(network: nn.Module, inputs: Tensor, square: Square, at_once: int) -> Tensor:
    """captum's map of the first class's probability, `at_once` squares at a time. UserError without captum."""
    try:
        from captum.attr import Occlusion
    except ModuleNotFoundError:
        raise UserError("`alexnet bench see` measures beside captum, which is not here: pip install captum") from None
    window, stride = (inputs.shape[1], square.size, square.size), (inputs.shape[1], square.stride, square.stride)
    method = Occlusion(lambda x: network(x).float().softmax(dim=1))
    return method.attribute(inputs, window, strides=stride, target=0, perturbations_per_eval=at_once)


def _best_batch(plain: Callable[[int], object]) -> int:
    """The number of squares at a time with which captum is fastest here, each tried once."""
    times = {count: _seconds(partial(plain, count)) for count in CAPTUM_BATCHES}
    return min(times, key=lambda count: times[count])


def _seconds(act: Act) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def first_rows(scene: Scene) -> list[Row]:
    """see.first: seconds to the first map with a run just loaded, nothing prepared (copies in half precision, clean
    maps)."""
    took = []
    for _ in range(min(ROUNDS, scene.bench.rounds)):
        fresh = replace(scene.viewer, network=copy.deepcopy(scene.viewer.network))
        took.append(_seconds(partial(occlusion_map, fresh, scene.records[0], square=scene.square)))
    return [within("see.first", "s", median(took), FIRST_SECONDS, scene.ours.precision)]


def top_rows(scene: Scene) -> list[Row]:
    """see.top: pictures a second, all maps of all layers with weights, beside our test with one view; in fp32 too."""
    part, precision = scene.ours.store.splits["train"], scene.ours.precision
    records = torch.from_numpy(part.read(np.arange(len(part))))
    layers = [row.name for row in scene.viewer.network.table.weighted]
    contenders: dict[str, Act] = {}
    for name, viewer in (("", scene.viewer), (".fp32", scene.exact)):
        contenders[f"top{name}"] = partial(find_top, viewer, part, layers)
        contenders[f"look{name}"] = partial(_look, viewer, records, scene.bench.batch)
    rounds = min(ROUNDS, scene.bench.rounds)
    times = race(contenders, rounds, progress=scene.bench.progress_of("see: strongest pictures beside inference"))
    return [
        compare(
            f"see.top{name}",
            "img/s",
            times[f"top{name}"],
            times[f"look{name}"],
            work=len(part),
            at_least=0.7,
            note=join(name.removeprefix(".") or precision, "the peer is our test with one view"),
        )
        for name in ("", ".fp32")
    ]


def _look(viewer: ViewAverager, records: Tensor, batch: int) -> None:
    for some in records.split(batch):
        viewer.probabilities(some)


def project_rows(scene: Scene) -> list[Row]:
    """see.project: projections a second from the last convolution, beside pictures a second of our test."""
    records = scene.records[:PROJECTIONS]
    passed = run_forward(scene.exact.network, inputs_of(scene.exact, records))
    layer = [row.name for row in passed.network.table.weighted if isinstance(row, Conv)][-1]
    units = [strongest_units(passed.network, passed[layer][n : n + 1], layer, 1)[0] for n in range(len(records))]
    contenders: dict[str, Act] = {
        "project": partial(project, passed, units, range(len(records))),
        "look": partial(scene.viewer.probabilities, records),
    }
    times = race(contenders, scene.bench.rounds, progress=scene.bench.progress_of("see: projections beside inference"))
    note = join(
        f"{len(records)} projections from {layer}, fp32", f"the peer is our test with one view, {scene.ours.precision}"
    )
    return [
        compare("see.project", "img/s", times["project"], times["look"], work=len(records), at_least=0.25, note=note)
    ]
