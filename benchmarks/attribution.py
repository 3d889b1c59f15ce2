"""Attribution beside captum: seconds a picture, each method, on the plain fp32 network and on ours; RISE beside a loop.

    python benchmarks/attribution.py [--rounds 5] [--methods grad-cam,rise] [--pictures 8]

`alexnet` with its 1,000 classes and 224 pixels. captum (and the loop of 20 lines) work on the network as
`peers.networks` writes it in stock layers, and on ours as it is. Each takes one picture, and `--pictures` at a time;
captum's path of integrated gradients and the loop's masks go up by the number at a time that is fastest here. In turn,
medians.
"""

import argparse
import copy
import time
import warnings
from collections.abc import Callable
from functools import partial
from statistics import median

import captum
import torch
import torch.nn.functional as F
from captum import attr
from captum.attr._utils.lrp_rules import EpsilonRule, GammaRule, IdentityRule
from torch import Tensor, nn

from alexnet import text
from alexnet.bench.timing import compare, number, race
from alexnet.data.preprocessing import Preprocessing
from alexnet.measure.viewer import ViewAverager
from alexnet.nets.network import Network, build
from alexnet.placement import DTYPES
from alexnet.see.attribution import attribution_maps
from peers import networks

clock = time.perf_counter
SIZE, MASKS, STEPS, SAMPLES = 224, 256, 50, 50
AT_ONCE = (10, 25, 50)
"""Pictures at a time among which captum's best, and the loop's, is looked for."""
OPTIONS = {"integrated-gradients": {"steps": STEPS}, "smoothgrad": {"samples": SAMPLES}, "rise": {"masks": MASKS}}
HEAD = ("", "precision", "pictures", "ours", "plain", "ratio", "on our network", "ratio", "at a time")


def lively(network: Network) -> Network:
    """Weights that carry a picture to the end, so that no time goes into numbers too small to be normal."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for count, row in enumerate(network.table.weighted):
            weight = network.get_parameter(f"{row.name}.weight")
            spread = (2 / weight[0].numel()) ** 0.5 * (0.02 if count == 0 else 1.0)
            weight.copy_(torch.randn(weight.shape, generator=generator) * spread)
    return network.eval()


def loop(net: nn.Module, pictures: Tensor, targets: Tensor, at_once: int) -> Tensor:
    """RISE as a page of a tutorial has it."""
    cells, cell = 7, SIZE // 7
    maps = []
    with torch.inference_mode():
        for picture, target in zip(pictures, targets.tolist(), strict=True):
            total = torch.zeros(SIZE, SIZE)
            for first in range(0, MASKS, at_once):
                count = min(at_once, MASKS - first)
                grids = (torch.rand(count, 1, cells, cells) < 0.5).float()
                large = F.interpolate(grids, ((cells + 1) * cell,) * 2, mode="bilinear", align_corners=False)
                shifts = torch.randint(cell, (count, 2)).tolist()
                masks = torch.stack(
                    [one[:, y : y + SIZE, x : x + SIZE] for one, (y, x) in zip(large, shifts, strict=True)]
                )
                scores = net(picture * masks).softmax(dim=1)[:, target]
                total += torch.einsum("n,nyx->yx", scores, masks[:, 0])
            maps.append(total / MASKS / 0.5)
    return torch.stack(maps)


def peer(method: str, net: nn.Module, layer: nn.Module) -> Callable[[Tensor, Tensor, int], object]:
    """captum's call for a method: (pictures, targets, at once)."""
    match method:
        case "integrated-gradients":
            path = attr.IntegratedGradients(net)
            return lambda x, t, n: path.attribute(x, target=t, n_steps=STEPS, internal_batch_size=n)
        case "smoothgrad":
            noisy = attr.NoiseTunnel(attr.Saliency(net))
            return lambda x, t, n: noisy.attribute(
                x, target=t, nt_samples=SAMPLES, nt_samples_batch_size=n, stdevs=20.0, abs=False
            )
        case "occlusion":
            squares = attr.Occlusion(net)
            return lambda x, t, n: squares.attribute(
                x, (3, 32, 32), strides=(3, 8, 8), target=t, perturbations_per_eval=n
            )
        case "rise":
            return lambda x, t, n: loop(net, x, t, n)
        case "grad-cam":
            return lambda x, t, _: attr.LayerGradCam(net, layer).attribute(x, t, relu_attributions=True)
        case "lrp":
            return lambda x, t, _: attr.LRP(ruled(net)).attribute(x, target=t)
        case _:
            named = {"gradient": attr.Saliency, "input-x-gradient": attr.InputXGradient, "guided": attr.GuidedBackprop}
            signal = {**named, "deconvnet": attr.Deconvolution}[method](net)
            return lambda x, t, _: signal.attribute(x, target=t)


SINGLE = ("gradient", "input-x-gradient", "deconvnet", "guided", "grad-cam", "lrp")
METHODS = (*SINGLE, "integrated-gradients", "smoothgrad", "occlusion", "rise")


def ruled(net: nn.Module) -> nn.Module:
    """The rules that captum's LRP needs to be given before every call, as ours has them."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            rule = GammaRule()
        elif isinstance(module, nn.LocalResponseNorm | nn.Dropout):
            rule = IdentityRule()
        else:
            rule = EpsilonRule()
        if not isinstance(module, nn.ReLU):
            object.__setattr__(module, "rule", rule)
    return net


def fastest(act: Callable[[int], object]) -> int:
    """The number at a time with which captum is fastest here, each tried once after a first call."""
    seconds = {}
    act(AT_ONCE[0])
    for count in AT_ONCE:
        start = clock()
        act(count)
        seconds[count] = clock() - start
    return min(seconds, key=lambda count: seconds[count])


def row(
    method: str, ours: Network, plain: nn.Sequential, dtype: torch.dtype, pictures: int, rounds: int
) -> tuple[str, ...]:
    """One line of the table: seconds a picture, medians, and captum's over ours."""
    mean = torch.full((3, SIZE, SIZE), 120.0)
    viewer = ViewAverager(ours, Preprocessing(mean, SIZE), dtype=dtype)
    x = torch.randn(pictures, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) * 50
    targets = torch.arange(pictures)
    own = copy.deepcopy(ours)
    on_plain, on_own = peer(method, plain, plain[14]), peer(method, own, own.get_submodule("relu5"))
    batched = method in ("integrated-gradients", "smoothgrad", "occlusion", "rise")
    at_once = fastest(lambda count: on_plain(x[:1], targets[:1], count)) if batched else 0
    acts = {
        "ours": partial(attribution_maps, viewer, x, targets, method, **OPTIONS.get(method, {})),
        "plain": partial(on_plain, x, targets, at_once),
    }
    if method != "lrp":  # captum's does not take rows that are called with the position of a batch
        acts["own"] = partial(on_own, x.to(dtype), targets, at_once)
    times = race(acts, rounds, clock=clock)
    precision = "fp32" if dtype == torch.float32 else "bf16"
    cells = [method, precision, str(pictures), number(median(times["ours"]) / pictures)]
    for name in list(acts)[1:]:
        ratio = compare(method, "s", times["ours"], times[name]).ratio
        cells += [number(median(times[name]) / pictures), number(ratio)]
    return (*cells, *[""] * (len(HEAD) - 1 - len(cells)), str(at_once or ""))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--precisions", nargs="+", choices=DTYPES, default=["fp32"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--cpu", action="store_true", help="seconds of the processor, on a machine that does other work"
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    global clock
    clock = time.process_time if given.cpu else time.perf_counter
    torch.set_num_threads(given.threads)
    ours, plain = lively(build("alexnet")), networks.alexnet().eval()
    with torch.no_grad():
        for theirs, weight in zip(plain.parameters(), ours.parameters(), strict=True):
            theirs.copy_(weight)
    print(f"captum {captum.__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
    rows = []
    for method in given.methods:
        for precision in given.precisions:
            for pictures in given.pictures if method in SINGLE else given.pictures[:1]:
                made = row(method, ours, copy.deepcopy(plain), DTYPES[precision], pictures, given.rounds)
                rows.append(made)
                print("  ".join(made), flush=True)
    print(text.table(HEAD, rows, markdown=True, left=1))


if __name__ == "__main__":
    main()
