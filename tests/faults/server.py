"""A process that has imported all of alexnet, and forks: each child is a command line past its imports.

It has no threads. Asked on stdin, a line of JSON at a time, it answers on stdout likewise:

    {"start": [words], "watch": folder, "told": file, "out": file, "err": file, …}  → {"pid"}
    {"look": pid}  → {"state": "running" | "stopped" | "ended", "code"}

`kind`, `at`, `action`, `error`: what `shim.cpp` is told, which has to be preloaded. `counts`: a file that receives how
many calls the child made. `obey`: permissions bind it though it is root's. `environment`: variables of its own.
"""

import atexit
import ctypes
import gc
import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

KINDS = ("reads", "writes", "all")
HEAVY = (
    "torch._dynamo",
    "tensorboard.compat.proto.event_pb2",
    "alexnet.serve.app",
    "alexnet.train.loop",
    "alexnet.features.similar.index",
    "alexnet.features.similar.sheet",
    "matplotlib.pyplot",
)
"""What the verbs import when they run."""
ACTIONS = ("count", "stop", "fail once", "fail on")


def serve() -> dict[str, Any]:
    """Answer until stdin ends. In a child it returns at once: what the child is to do."""
    states: dict[int, dict[str, Any]] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        if "start" in asked:
            child = os.fork()
            if child == 0:
                return asked
            states[child], answer = {"state": "running"}, {"pid": child}
        else:
            answer = states[asked["look"]] = look(asked["look"], states[asked["look"]])
        print(json.dumps(answer), flush=True)
    raise SystemExit(0)


def look(child: int, known: dict[str, Any]) -> dict[str, Any]:
    if known["state"] == "ended":
        return known
    seen, status = os.waitpid(child, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
    if seen == 0:
        return known
    if os.WIFSTOPPED(status):
        return {"state": "stopped"}
    if os.WIFCONTINUED(status):
        return {"state": "running"}
    return {"state": "ended", "code": os.waitstatus_to_exitcode(status)}


def become(asked: dict[str, Any]) -> int:
    """Be the command line; its exit code."""
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(asked[name], os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ |= asked.get("environment", {})
    shim = ctypes.CDLL(None)
    if asked.get("obey") and shim.faults_obey_permissions() != 0:
        raise OSError("capabilities can't be given up here")
    if "counts" in asked:
        atexit.register(lambda: write_counts(shim, Path(asked["counts"])))
    kind, action = KINDS.index(asked.get("kind", "all")), ACTIONS.index(asked.get("action", "count"))
    paths = (asked["watch"].encode(), asked["told"].encode())
    shim.faults_arm(*paths, kind, ctypes.c_long(asked.get("at", 0)), action, asked.get("error", 0))
    from alexnet.cli import main

    return main(asked["start"])


def write_counts(shim: ctypes.CDLL, path: Path) -> None:
    shim.faults_count.restype = ctypes.c_long
    path.write_text(json.dumps({name: shim.faults_count(number) for number, name in enumerate(KINDS)}))


def prepare() -> None:
    """Import what the verbs import, and make small work small: often saved, so that every moment differs."""
    import torch
    from PIL import Image

    from alexnet import kernels
    from alexnet.data.store import prepare as preparing
    from alexnet.features import file as feature_file
    from alexnet.features.similar import codes
    from alexnet.measure import accuracy
    from alexnet.parallel import heartbeat as watch

    for name in HEAVY:
        importlib.import_module(name)
    Image.init()
    torch.set_num_threads(1)
    kernels.available("cpu")
    preparing.JOURNAL_SECONDS, preparing.CHUNK_ITEMS = 0.0, 5
    feature_file.SAVE_SECONDS, feature_file.BATCH, accuracy.BATCH = 0.0, 16, 16
    codes.EPOCHS = 3
    watch.ANSWER_SECONDS = 1.0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepare()
    gc.freeze()
    print(json.dumps({"ready": os.getpid()}), flush=True)
    raise SystemExit(become(serve()))
