"""Looking: one view beside the plain network, ten views beside one."""

from functools import partial

from alexnet.bench import peers
from alexnet.bench.peers import Peer
from alexnet.bench.subject import Bench, Subject
from alexnet.bench.timing import Act, Row, compare, fastest, join, race
from alexnet.bench.training import noise


def infer_rows(bench: Bench) -> list[Row]:
    """infer.plain; and beside the torchvision shape. Ours from records (crop, mean), theirs from inputs."""
    ours = Subject(bench, "alexnet")
    contenders: dict[str, Act] = {"ours": partial(ours.look, 1)}
    for name, build in (("plain", peers.alexnet), ("torchvision", peers.torchvision)):
        for setting in peers.SETTINGS:
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


def views_rows(bench: Bench) -> list[Row]:
    """views: views a second of the test with ten, beside that with one."""
    ours = Subject(bench, "alexnet")
    contenders: dict[str, Act] = {"ten": partial(ours.look, 10), "one": partial(ours.look, 1)}
    times = race(contenders, bench.rounds, progress=bench.progress_of("views: ten beside one"))
    return [
        compare(
            "views",
            "views/s",
            times["ten"],
            times["one"],
            work=10 * bench.batch,
            peer_work=bench.batch,
            at_least=0.9,
            note=join(ours.precision, "the peer is our test with one view"),
        )
    ]
