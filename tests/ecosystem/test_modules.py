"""A network is an ordinary module: what people do to modules, done to networks with the tools they use.

Outputs are compared with the untouched network, gradients with ordinary backward passes or difference quotients.
"""

import copy
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet.nets.network import Network, build

NETWORKS = {
    "toy": {},  # two columns, response norms, 2012's dropout
    "alexnet-145": {"width": 1 / 16, "input_size": 64},  # both kinds of norm, ReLU behind the norm
    "cifar-11pct": {},  # local layers, average pools
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> Network:
    return build(request.param, 6, seed=1, **NETWORKS[request.param]).eval()


@pytest.fixture
def toy() -> Network:
    return build("toy", 6, seed=1).eval()


def pictures(network: Network, count: int = 2) -> Tensor:
    shape = (count, 3, network.input_size, network.input_size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 50


def same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


# ── tracers, exporters, transforms ───────────────────────────────────────────────────────────────────────────────


def traced(network: Network, x: Tensor) -> Callable[[Tensor], Tensor]:
    return torch.jit.trace(network, x)  # type: ignore[return-value]


def symbolically(network: Network, _: Tensor) -> Callable[[Tensor], Tensor]:
    return torch.fx.symbolic_trace(network)


def by_dispatch(network: Network, x: Tensor) -> Callable[[Tensor], Tensor]:
    from torch.fx.experimental.proxy_tensor import make_fx

    return make_fx(network)(x)


def exported(network: Network, x: Tensor) -> Callable[[Tensor], Tensor]:
    batch = torch.export.Dim("batch", min=2, max=64)
    return torch.export.export(network, (x,), dynamic_shapes=({0: batch},)).module()


def compiled(network: Network, _: Tensor) -> Callable[[Tensor], Tensor]:
    return torch.compile(network, backend="aot_eager", fullgraph=True)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, of torch.jit
@pytest.mark.parametrize("tool", [traced, symbolically, by_dispatch, exported, compiled])
def test_what_a_tracer_makes_of_a_network_computes_the_same(
    network: Network, tool: Callable[[Network, Tensor], Callable[[Tensor], Tensor]]
) -> None:
    if tool in (exported, compiled) and network.table.name == "cifar-11pct":
        pytest.skip("slow to compile, and traced by the other tools")
    x = pictures(network)
    found = tool(network, x)
    same(found(x), network(x))
    graph = getattr(found, "graph", None)
    assert "empty_permuted" not in str(graph)  # memory that nothing has written


@pytest.mark.filterwarnings("ignore")  # an exporter that torch wants to be rid of
def test_the_old_onnx_exporter_keeps_input_and_values(toy: Network, tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    x, file = pictures(toy), tmp_path / "toy.onnx"
    torch.onnx.export(toy, (x,), file, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "batch"}})
    found = ort.InferenceSession(str(file)).run(None, {"x": x.numpy()})[0]
    same(torch.from_numpy(found), toy(x))


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_vmap_is_a_batch(network: Network) -> None:
    x = pictures(network)
    same(torch.func.vmap(lambda one: network(one[None])[0])(x), network(x))


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_gradients_per_sample(network: Network) -> None:
    x, weights = pictures(network), {name: weight.detach() for name, weight in network.named_parameters()}

    def loss(weights: dict[str, Tensor], one: Tensor) -> Tensor:
        return torch.func.functional_call(network, weights, (one[None],)).square().sum()

    found = torch.func.vmap(torch.func.grad(loss), (None, 0))(weights, x)
    for number, one in enumerate(x):
        network.zero_grad()
        network(one[None]).square().sum().backward()
        for name, weight in network.named_parameters():
            assert weight.grad is not None
            error = (found[name][number] - weight.grad).norm() / weight.grad.norm().clamp_min(1e-12)
            assert float(error) < 1e-3, name


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forward_mode_agrees_with_backward_mode(network: Network) -> None:
    x = pictures(network).requires_grad_(True)
    direction = torch.randn_like(x)
    _, forward = torch.func.jvp(network, (x.detach(),), (direction,))
    (backward,) = torch.autograd.grad(network(x)[:, 0].sum(), x)
    assert float(forward[:, 0].detach().sum()) == pytest.approx(float((backward * direction).sum()), rel=1e-3)


def test_the_jacobian_has_every_logit(toy: Network) -> None:
    x = pictures(toy, 1)
    found = torch.func.jacrev(toy)(x)
    assert isinstance(found, Tensor)
    wanted = x.clone().requires_grad_(True)
    toy(wanted)[0, 3].backward()
    same(found[0, 3], wanted.grad)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_can_be_differentiated(network: Network, dtype: torch.dtype) -> None:
    """In float32 through the compiled kernels, in float64 through the plain ones; against a difference quotient."""
    exact = copy.deepcopy(network).double()
    direction = torch.randn(pictures(network).shape, generator=torch.Generator().manual_seed(1)).double()

    def slope(x: Tensor, network: Network, *, graph: bool = False) -> Tensor:
        (gradient,) = torch.autograd.grad(network(x).square().sum(), x, create_graph=graph)
        return gradient.square().sum()

    x = pictures(network).to(dtype).requires_grad_(True)
    (found,) = torch.autograd.grad(slope(x, network.to(dtype), graph=True), x)
    step = 1e-5 * direction
    above, below = (slope((x.detach().double() + sign * step).requires_grad_(True), exact) for sign in (1, -1))
    assert float((found.double() * direction).sum()) == pytest.approx(float((above - below) / 2e-5), rel=0.02)


def test_operations_are_counted_as_the_table_counts_them(network: Network) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        network(pictures(network, 1))
    assert counter.get_total_flops() == 2 * sum(layer.macs for layer in network.layers if layer.parameters)


# ── rows replaced, wrapped, watched ──────────────────────────────────────────────────────────────────────────────


class Doubled(nn.Module):
    """Like the wrappers that adapters put around a layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.layer(x)


def test_rows_are_read_as_they_are_now(toy: Network) -> None:
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

    x = pictures(toy)
    before = toy(x)
    toy.conv2 = checkpoint_wrapper(toy.get_submodule("conv2"))
    same(toy(x), before)
    toy.fc8 = Doubled(toy.get_submodule("fc8"))
    same(toy(x), 2 * before)
    toy.pool1 = nn.AvgPool2d(3, 2, ceil_mode=True)  # inside rows that one kernel computes otherwise
    assert not torch.allclose(toy(x), 2 * before)
    toy.fc8 = nn.Linear(toy.get_submodule("fc7").get_parameter("weight").shape[0], 7)
    assert toy(x).shape == (2, 7)


def test_every_row_calls_its_hooks(network: Network) -> None:
    x = pictures(network).requires_grad_(True)
    outputs: dict[str, Tensor] = {}
    gradients: set[str] = set()
    for name, row in network.named_children():
        row.register_forward_hook(lambda _, __, out, name=name: outputs.__setitem__(name, out))
        row.register_full_backward_hook(lambda *_, name=name: gradients.add(name))
    network(x).sum().backward()
    maps = network.activations(x.detach()).maps
    assert set(outputs) == set(maps) == gradients
    for name, values in maps.items():
        same(outputs[name], values)


def test_hooks_on_all_modules_see_every_row(toy: Network) -> None:
    from torch.nn.modules.module import register_module_forward_hook

    seen: list[nn.Module] = []
    handle = register_module_forward_hook(lambda module, *_: seen.append(module))
    try:
        toy(pictures(toy))
    finally:
        handle.remove()
    assert [*toy.children(), toy] == seen


def test_rows_are_of_the_types_that_tools_look_for(toy: Network) -> None:
    kinds = {name: type(row) for name, row in toy.named_children()}
    for name, kind in kinds.items():
        for start, expected in {"conv": nn.Conv2d, "fc": nn.Linear, "pool": nn.MaxPool2d, "drop": nn.Dropout}.items():
            assert not name.startswith(start) or issubclass(kind, expected), name
        assert not name.startswith("relu") or kind is nn.ReLU, name
    toy.apply(lambda row: nn.init.constant_(row.weight, 2.0) if isinstance(row, nn.Conv2d | nn.Linear) else None)
    assert all(bool((weight == 2).all()) for name, weight in toy.named_parameters() if name.endswith("weight"))


def test_parametrisations_and_pruning(toy: Network) -> None:
    from torch.nn.utils import prune
    from torch.nn.utils.parametrizations import spectral_norm, weight_norm

    x = pictures(toy)
    before = toy(x)
    weight_norm(toy.get_submodule("fc7"))
    same(toy(x), before)
    spectral_norm(toy.get_submodule("conv2"))
    prune.l1_unstructured(toy.get_submodule("fc6"), "weight", 0.5)
    toy(x).sum().backward()
    assert toy.get_parameter("fc6.weight_orig").grad is not None
    with torch.no_grad(), toy.copies.in_use():  # the package's own loops, in half precision
        assert torch.isfinite(toy(x.bfloat16())).all()


# ── weights as tools handle them ─────────────────────────────────────────────────────────────────────────────────


def test_weights_are_contiguous_and_save_as_safetensors(network: Network, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    found = load_file(tmp_path / "weights.safetensors")
    assert all(torch.equal(found[name], weight) for name, weight in network.state_dict().items())
    vector = nn.utils.parameters_to_vector(network.parameters())
    nn.utils.vector_to_parameters(2 * vector, network.parameters())
    assert torch.equal(network.state_dict()["conv1.weight"], 2 * found["conv1.weight"])


def test_second_order_optimisers_train_it(toy: Network) -> None:
    x, labels = pictures(toy), torch.tensor([0, 1])
    optimiser = torch.optim.LBFGS(toy.parameters(), lr=0.01, max_iter=3)

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(toy(x), labels)
        loss.backward()
        return loss

    before = optimiser.step(closure)
    assert (closure() < before).item()


def test_validation_under_autocast_uses_the_present_weights(toy: Network) -> None:
    x = pictures(toy)
    with torch.autocast("cpu", torch.bfloat16):
        before = toy(x)
        toy.get_parameter("fc7.weight").data.mul_(3)
        after = toy(x)
        assert not torch.equal(after, before)
        assert torch.equal(after, copy.deepcopy(toy)(x))


def test_copies_pickles_and_meta_devices(toy: Network) -> None:
    x = pictures(toy)
    same(pickle.loads(pickle.dumps(toy))(x), toy(x))
    with torch.device("meta"):
        empty = build("toy", 6)
    made = empty.to_empty(device="cpu")
    for row in made.children():
        getattr(row, "reset_parameters", lambda: None)()  # as FSDP does
    assert torch.isfinite(made.eval()(x)).all()


@pytest.mark.filterwarnings("ignore")  # torch's, of a group of one process
def test_data_parallel_sharded_and_checkpointed(toy: Network, tmp_path: Path) -> None:
    import torch.distributed as dist
    from torch.distributed.checkpoint import load, save
    from torch.distributed.fsdp import fully_shard

    x = pictures(toy)
    before = toy(x)
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        nn.parallel.DistributedDataParallel(copy.deepcopy(toy))(x).sum().backward()
        save(toy.state_dict(), checkpoint_id=tmp_path / "checkpoint")
        weights = {name: torch.zeros_like(weight) for name, weight in toy.state_dict().items()}
        load(weights, checkpoint_id=tmp_path / "checkpoint")
        assert all(torch.equal(weights[name], weight) for name, weight in toy.state_dict().items())
        fully_shard(toy.get_submodule("fc7"))
        fully_shard(toy)
        same(toy(x), before)
        toy(x).sum().backward()
    finally:
        dist.destroy_process_group()


# ── captum ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.filterwarnings("ignore:Setting (backward|forward)", "ignore:Required grad")
@pytest.mark.parametrize("row", ["relu1", "norm1", "pool1", "conv2", "fc7"])
@pytest.mark.parametrize("method", ["LayerActivation", "LayerGradientXActivation", "LayerIntegratedGradients"])
def test_captum_sees_inside_fused_rows(toy: Network, row: str, method: str) -> None:
    """A layer method's share of a logit, against the same computed from `activations`."""
    attr = pytest.importorskip("captum.attr")
    x, layer = pictures(toy), toy.get_submodule(row)
    found = getattr(attr, method)(toy, layer).attribute(x, **({} if method == "LayerActivation" else {"target": 2}))
    maps = toy.activations(x).maps[row]
    if method == "LayerActivation":
        same(found, maps)
    elif method == "LayerGradientXActivation":
        same(found, maps * gradient_at(toy, x, row))
    else:
        gained = toy(x)[:, 2] - toy(torch.zeros_like(x))[:, 2]
        assert torch.allclose(found.flatten(1).sum(dim=1).float(), gained, rtol=0.1, atol=0.05)


def gradient_at(network: Network, x: Tensor, row: str) -> Tensor:
    """Of logit 2, at the output of a row, by the rows one after the other."""
    held: Tensor | None = None
    for name, module in network.named_children():
        x = module(x)
        if name == row:
            held = x = x.detach().requires_grad_(True)
    assert held is not None
    return torch.autograd.grad(x.flatten(1)[:, 2].sum(), held)[0]


@pytest.mark.filterwarnings("ignore:Setting (backward|forward)")
def test_guided_backpropagation_and_deeplift_find_the_relus(toy: Network) -> None:
    attr = pytest.importorskip("captum.attr")
    x = pictures(toy).requires_grad_(True)
    guided = attr.GuidedBackprop(toy).attribute(x, target=2)
    plain = attr.Saliency(toy).attribute(x, target=2, abs=False)
    assert not torch.allclose(guided, plain)
    found = attr.DeepLift(toy).attribute(x, baselines=torch.zeros_like(x), target=2)
    assert torch.isfinite(found).all()
    assert not torch.allclose(found, plain * x)  # what it is where no ReLU is found


@pytest.mark.long
def test_the_default_compiler_is_no_slower_than_eager() -> None:
    """By `torch.compile`'s own back end, which compiles for half a minute."""
    import time

    network = build("alexnet", 10, width=0.25).eval()
    x = pictures(network, 16)
    fast = torch.compile(network, fullgraph=True)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(fast(x), network(x))
        seconds: dict[str, list[float]] = {"eager": [], "compiled": []}
        for _ in range(9):
            for name, module in (("eager", network), ("compiled", fast)):
                start = time.perf_counter()
                module(x)
                seconds[name].append(time.perf_counter() - start)
    assert min(seconds["compiled"]) < 2 * min(seconds["eager"]), {name: min(of) for name, of in seconds.items()}
