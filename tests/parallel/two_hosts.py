"""Two hosts on one machine: network namespaces with a cable between them. Linux, root and iproute2 are needed.

    python tests/parallel/two_hosts.py STORE FOLDER

trains on both, kills the second host in mid-run, starts it again, and shows that the run has come to its end.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PATIENCE = 400.0
PORT = 29511


class Absent(Exception):
    """Namespaces can't be made here; says why."""


def ip(*words: str) -> None:
    if shutil.which("ip") is None:
        raise Absent("there is no `ip` (apt-get install iproute2)")
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Absent(f"ip {' '.join(words)}: {done.stderr.strip()}")


@contextmanager
def two_namespaces() -> Iterator[tuple[str, str]]:
    """Names of two namespaces whose addresses are 10.77.0.1 and 10.77.0.2. Raises Absent."""
    names = tuple(f"alexnet{os.getpid()}{end}" for end in "ab")
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", "cable", "netns", names[0], "type", "veth", "peer", "name", "cable", "netns", names[1])
        for number, name in enumerate(names, 1):
            ip("-n", name, "address", "add", f"10.77.0.{number}/24", "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names[0], names[1]
    finally:
        for name in names:
            with suppress(Absent):
                ip("netns", "delete", name)


def host(name: str, number: int, said: Path, words: list[str]) -> subprocess.Popen:
    """torchrun with one worker on a host, a process group of its own."""
    command = ["ip", "netns", "exec", name, sys.executable, "-m", "torch.distributed.run"]
    command += ["--nnodes", "2", "--nproc-per-node", "1", "--max-restarts", "3", "--local-addr", f"10.77.0.{number}"]
    command += ["--rdzv-id", "two", "--rdzv-backend", "c10d", "--rdzv-endpoint", f"10.77.0.1:{PORT}"]
    # Both namespaces have the machine's one host name; a lost host is given up after 3 s rather than 15.
    command += ["--rdzv-conf", f"is_host={int(number == 1)},keep_alive_interval=1"]
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "cable", "OMP_NUM_THREADS": "1"}
    environment["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"  # with one store for all rounds no new host is let in
    with open(said, "ab") as file:
        return subprocess.Popen(
            [*command, "-m", "alexnet", *words], stdout=file, stderr=file, env=environment, start_new_session=True
        )


def kill_host(process: subprocess.Popen) -> None:
    """All of it at once: torchrun and its workers, which stand in sessions of their own."""
    for pid in [process.pid, *descendants(process.pid)]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def descendants(pid: int) -> list[int]:
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
    return children + [deeper for child in children for deeper in descendants(child)]


def steps_saved(run: Path) -> int:
    return max((int(path.stem.removeprefix("step-")) for path in run.glob("state/step-*")), default=0)


def train_lose_and_come_back(store: Path, folder: Path, options: list[str]) -> tuple[int, str]:
    """The exit code of the first host's torchrun, and what was said there. Raises Absent."""
    run, said = folder / "run", (folder / "first.txt", folder / "second.txt")
    words = ["train", str(store), "--out", str(run), "--save-minutes", "0.0002", "--timeout", "60", *options]
    with two_namespaces() as names:
        hosts = [host(name, number, said[number - 1], words) for number, name in enumerate(names, 1)]
        try:
            wait_for(lambda: steps_saved(run) > 3, hosts[0], "a state")
            kill_host(hosts[1])
            time.sleep(1)
            hosts[1] = host(names[1], 2, said[1], words)
            return hosts[0].wait(PATIENCE), said[0].read_text()
        finally:
            for process in hosts:
                kill_host(process)


def wait_for(seen, process: subprocess.Popen, what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not seen():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"waited in vain for {what}")
        time.sleep(0.02)


if __name__ == "__main__":
    code, heard = train_lose_and_come_back(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
    print(heard)
    sys.exit(code)
