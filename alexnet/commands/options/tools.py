"""Options of the explorer, the demo, the benchmark and the completion scripts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from alexnet.commands.options.common import RunArgument, option
from alexnet.files.schema import Range


@dataclass(frozen=True)
class Serve:
    """Explore a run in the browser: units, your pictures, two runs side by side, a training live.

    Nothing is loaded from other hosts. Only this machine can connect unless --host says otherwise; then the address
    that is printed begins with a token.

    Examples:
        alexnet serve runs/photos
        alexnet serve runs/photos --store photos.store --beside runs/other
        alexnet serve runs/photos --export site
    """

    run_folder: RunArgument
    host: Annotated[str, arg(metavar="ADDRESS")] = "127.0.0.1"
    """Where to listen; 0.0.0.0 lets everyone connect who can reach this machine and has the token."""
    port: Annotated[int, arg(metavar="N")] = 8012
    """The port; 0: any free one."""
    allowed_hosts: Annotated[tuple[str, ...], option("NAME ...", default="none")] = ()
    """Host names under which a proxy (HTTPS or not) serves the explorer; the address then begins with a token too.
    localhost and 127.0.0.1 are allowed at every port, as `ssh -L` and containers forward it."""
    store: Annotated[Path | None, option("STORE", default="the training's, if it still exists")] = None
    """A prepared store in which the units' strongest pictures are looked for."""
    beside: Annotated[Path | None, option("RUN", default="none")] = None
    """Another run to compare with."""
    corrections: Annotated[Path | None, option("FILE", default="corrections.csv beside the store")] = None
    """Where pictures that are marked in the browser are written, for `alexnet prepare --corrections`. Lines that are
    there already are kept."""
    teach: Annotated[Path | None, option("FOLDER", default="off")] = None
    """Let people collect classes of their own in the browser and train on them from the run. Pictures and runs stay in
    this folder, which is made if it is not there."""
    export: Annotated[Path | None, option("FOLDER", default="none")] = None
    """Serve nothing; write a copy of the explorer into this folder, which opens without Python, from a disk or a web
    host. A network of the demo's size runs in it, on pictures, sketches and the camera. A copy that is there already is
    replaced."""


@dataclass(frozen=True)
class Demo:
    """Draw pictures, train on them, evaluate, predict, report: everything in some minutes, each command shown.

    If interrupted, rerun the same command to resume.

    Example:
        alexnet demo --out /tmp/demo
    """

    out: Annotated[Path, arg(metavar="FOLDER")] = Path("demo")
    """Where everything goes: pictures, store, run and report."""
    epochs: int = 28
    """Of the training. Fewer are enough to see whether everything works."""


@dataclass(frozen=True)
class Bench:
    """Measure the speed of this machine and of training and inference on it.

    In a checkout of the repository each figure is compared with what you would use instead, both taken in turn: plain
    PyTorch implementations, torchvision's shape, Pillow, captum. The exit code is 1 if a figure misses its target. All
    of it takes about a quarter of an hour on two cores.

    Examples:
        alexnet bench
        alexnet bench train lrn --json > figures.json
    """

    groups: Annotated[
        Positional[tuple[Literal["train", "infer", "views", "lrn", "prepare", "data", "see"], ...]],
        option("[train|infer|views|lrn|prepare|data|see ...]", default="all"),
    ] = ()
    """What to measure; lrn, prepare, data and see only in a checkout."""
    batch: Annotated[int, arg(metavar="N"), Range(1)] = 128
    """Pictures in a batch."""
    repeats: Annotated[int, arg(metavar="N"), Range(1)] = 7
    """Rounds, in each of which every contender runs once. Figures are medians."""
    compile: bool = False
    """Also try the peers with torch.compile (takes minutes longer)."""
    pictures: Annotated[Path | None, option("FOLDER", default="generated ones")] = None
    """Pictures for prepare: any source of `alexnet prepare`."""
    json: bool = False
    """Print a JSON list of name, ours, peer, ratio, at_least, unit, spread, note."""


@dataclass(frozen=True)
class Completion:
    """Print a shell's completion script, for commands, options and their values.

    Example:
        alexnet completion bash > ~/.local/share/bash-completion/completions/alexnet
        alexnet completion zsh  > ~/.zfunc/_alexnet    # with ~/.zfunc in fpath, before compinit
        alexnet completion fish > ~/.config/fish/completions/alexnet.fish
    """

    shell: Annotated[Positional[Literal["bash", "zsh", "fish"]], arg(metavar="{bash,zsh,fish}")]
    """The shell."""
