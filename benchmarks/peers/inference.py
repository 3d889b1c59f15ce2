"""Inference: one view beside the plain network and the torchvision shape."""

from functools import partial

from alexnet.bench.own import Bench, Subject
from alexnet.bench.timing import Act, Row, compare, join, race
from peers import networks
from peers.networks import Peer
from peers.rows import fastest
from peers.training import noise


def infer_rows(bench: Bench) -> list[Row]:
    """infer.plain; and beside the torchvision shape. Ours from records (crop, mean), theirs from inputs."""
    ours = Subject(bench, "alexnet")
    contenders: dict[str, Act] = {"ours": partial(ours.look, 1)}
    for name, build in (("plain", networks.alexnet), ("torchvision", networks.torchvision)):
        for setting in networks.SETTINGS:
            for compiled in (False, True) if bench.compile else (False,):
                peer = Peer.of(build(), *noise(bench.batch, 224, 1000), setting, compile=compiled)
                contenders[f"{name} {setting}{' compiled' if compiled else ''}"] = peer.look
    times = race(contenders, bench.rounds, progress=bench.progress_of("infer: one view beside plain and torchvision"))
    against = partial(compare, unit="img/s", work=bench.batch, ours=times["ours"])
    least, note = bench.due_in_bf16(6)
    best = fastest(times, [name for name in times if name.startswith("torchvision")])
    return [
        against("infer.plain", peer=times["plain fp32"], at_least=least, note=join(ours.precision, note)),
        against("infer.plain.bf16", peer=times["plain bf16"], note=ours.precision),
        against("infer.torchvision", peer=times[best], note=join(ours.precision, f"the peer is {best}")),
    ]
