"""Every network of both papers, of their ablation tables and of the 2012 code, as tables. Data only.

Four tables are written out: `alexnet`, two of the CIFAR nets and the toy; every other is derived from one of them by
the change that its paper describes. Sources: docs/sources.md §2 to §5, §9 and §11.
"""

from dataclasses import replace
from difflib import get_close_matches
from functools import reduce

from alexnet.errors import UsageError
from alexnet.nets.table import (
    Activation,
    BatchNorm,
    Conv,
    Dense,
    Derivation,
    Dropout,
    Local,
    Norm,
    Pool,
    SpatialNorm,
    Table,
    change,
    insert_after,
    move_after,
    rename,
    resize,
    with_classes,
    without,
)

ALEXNET = Table(
    name="alexnet",
    about="[A] as printed: ReLU, then response normalisation by the formula of §3.3, then pooling; two columns.",
    input_size=224,
    columns=2,
    rows=(
        Conv("conv1", 96, 11, stride=4),  # 224 with the overhang of the ceil rule gives 55
        Activation("relu1"),
        Norm("norm1"),
        Pool("pool1"),
        Conv("conv2", 256, 5, padding=2, reads="own", bias=1),
        Activation("relu2"),
        Norm("norm2"),
        Pool("pool2"),
        Conv("conv3", 384, 3, padding=1, std=0.03),  # the columns meet
        Activation("relu3"),
        Conv("conv4", 384, 3, padding=1, reads="own", std=0.03, bias=1),
        Activation("relu4"),
        Conv("conv5", 256, 3, padding=1, reads="own", std=0.03, bias=1),
        Activation("relu5"),
        Pool("pool5"),
        Dense("fc6", 4096, bias=1),
        Activation("relu6"),
        Dropout("dropout6"),
        Dense("fc7", 4096, bias=1),
        Activation("relu7"),
        Dropout("dropout7"),
        Dense("fc8", 1000),
    ),
)


# ── what the ablations of [A] and the numbered runs of 2012 change ───────────────────────────────────────────────


def as_in_code(table: Table) -> Table:
    """Net 145: layer 1 normalises before its ReLU, alpha is divided by n, and maps are normalised in space too."""
    table = move_after(table, "relu1", "norm1")
    return insert_after(change(table, Norm, convention="mean"), "norm2", SpatialNorm("spatial2"))


def one_gpu(table: Table) -> Table:
    """Run 145-half, [A] footnote 2: half the maps in conv1–conv4, conv5 and the fully connected layers whole."""
    table = change(change(table, "conv1", maps=48), "conv2", maps=128)
    table = change(table, "conv3", "conv4", maps=192)
    return replace(change(table, Conv, reads="all"), columns=1)


def sixth_convolution(table: Table) -> Table:
    """Net 146: conv6 on the last pooling layer, reading both columns ([A] §6)."""
    conv6 = Conv("conv6", 256, 3, padding=1, std=0.03, bias=1)
    return insert_after(table, "pool5", conv6, Activation("relu_conv6"))


def linear_layer_of_2048(table: Table) -> Table:
    """The 22,000-class net 146-2011: a linear layer of 2048 units, without dropout, before its outputs."""
    return insert_after(table, "dropout7", Dense("linear8", 2048))


def present(table: Table, *names: str) -> list[str]:
    """Those of the names that rows of the table have."""
    return [row.name for row in table.rows if row.name in names]


def norms_before_relu2(table: Table) -> Table:
    """Run 166: layer 2 is normalised below its ReLU."""
    return move_after(table, "relu2", present(table, "norm2", "spatial2")[-1])


def no_communication(table: Table) -> Table:
    """Run 150: the columns meet only in fc8."""
    table = change(change(table, "conv2", maps=320), "fc6", units=8192)
    return change(table, "conv3", "fc6", "fc7", reads="own")


def four_columns(table: Table) -> Table:
    """Run 153 on four GPUs: where columns meet, each reads three of the four."""
    three_of_four = ((0, 1, 2), (1, 0, 3), (2, 3, 0), (3, 2, 1))
    return replace(change(table, "conv3", "fc6", "fc7", reads=three_of_four), columns=4)


def non_overlapping_pools(table: Table) -> Table:
    """Run 147: pools 2×2 with stride 2; conv2 padded by 1 and conv4 not at all, so that fc6 still reads 6×6."""
    return change(change(change(table, Pool, kernel=2), "conv2", padding=1), "conv4", padding=0)


def no_norms(table: Table) -> Table:
    """Run 148: no response normalisation of either kind."""
    return without(table, Norm, SpatialNorm)


def no_convolution(number: int) -> Derivation:
    """Without one middle convolution ([A] §7). Where the columns met in it, they meet in the next one instead."""

    def remove(table: Table) -> Table:
        met_here = isinstance(removed := table[f"conv{number}"], Conv) and removed.reads == "all"
        table = without(table, *present(table, *(f"{kind}{number}" for kind in ("conv", "relu", "norm", "spatial"))))
        return change(table, f"conv{number + 1}", reads="all") if met_here and number < 5 else table

    return remove


def no_dense(number: int) -> Derivation:
    """Without one fully connected middle layer ([A] §7, [Z] Table 3)."""
    return lambda table: without(table, f"fc{number}", f"relu{number}", f"dropout{number}")


def unit_kind(kind: str) -> Derivation:
    """Saturating units instead of ReLU ([A] §3.1)."""
    return lambda table: change(table, Activation, kind=kind)


def scaled(factors: dict[str, float]) -> Derivation:
    """Layers with so many times their maps or units."""

    def scale(table: Table) -> Table:
        for row in table.weighted:
            table = resize(table, row, round(row.outputs * factors.get(row.name, 1)))
        return table

    return scale


# [Z] Tables 2 and 3: layers 3, 4, 5 of 512, 1024, 512 maps for 384, 384, 256; of other networks in proportion.
wider_middle = scaled({"conv3": 4 / 3, "conv4": 8 / 3, "conv5": 2})


def in_turn(*derivations: Derivation) -> Derivation:
    """These changes one after the other."""
    return lambda table: reduce(lambda changed, derive: derive(changed), derivations, table)


# suffix → (change, what it is)
ABLATIONS_OF_A: dict[str, tuple[Derivation, str]] = {
    "half": (one_gpu, "the one-GPU control of §3.2 (run 145-half)"),
    "conv6": (sixth_convolution, "a sixth convolution over the last pooling layer (net 146, §6)"),
    "conv6-linear": (
        in_turn(sixth_convolution, linear_layer_of_2048),
        "conv6 and a linear layer of 2048 units before the outputs (net 146-2011)",
    ),
    "nocomm": (no_communication, "the columns meet only in fc8 (run 150)"),
    "4col": (four_columns, "four columns, each reading three where they meet (run 153-4gpu)"),
    "no-norm": (no_norms, "no response normalisation (run 148, §3.3)"),
    "no-norm1": (lambda t: without(t, "norm1"), "layer 1 not normalised"),
    "no-norm2": (lambda t: without(t, *present(t, "norm2", "spatial2")), "layer 2 not normalised (run 167)"),
    "norm5": (
        lambda t: insert_after(t, "relu5", replace(t["norm2"], name="norm5")),
        "layer 5 normalised too (run 149)",
    ),
    "norms2-first": (norms_before_relu2, "layer 2 normalised below its ReLU (run 166)"),
    "dropout4": (
        lambda t: insert_after(t, "relu4", Dropout("dropout4", keep=0.8)),
        "a fifth of conv4's units dropped (run 177)",
    ),
    "pool2x2": (non_overlapping_pools, "pools that do not overlap, with run 147's paddings (§3.4)"),
    **{f"no-conv{number}": (no_convolution(number), f"without conv{number} (§7)") for number in (2, 3, 4, 5)},
    **{f"no-fc{number}": (no_dense(number), f"without fc{number} (§7)") for number in (6, 7)},
    "tanh": (unit_kind("tanh"), "tanh units (§3.1)"),
    "sigmoid": (unit_kind("sigmoid"), "logistic units (§3.1)"),
    "no-dropout": (lambda t: without(t, Dropout), "without dropout (§4.2)"),
}

# The rows of [Z] Table 3; the single ones coincide with [A] §7's.
ABLATIONS_OF_Z: dict[str, tuple[Derivation, str]] = {
    "no-conv34": (in_turn(no_convolution(3), no_convolution(4)), "without layers 3 and 4"),
    "no-fc7": (no_dense(7), "without layer 7"),
    "no-fc67": (in_turn(no_dense(6), no_dense(7)), "without layers 6 and 7"),
    "no-conv34-fc67": (
        in_turn(no_convolution(3), no_convolution(4), no_dense(6), no_dense(7)),
        "without layers 3, 4, 6 and 7",
    ),
    "fc2048": (scaled({"fc6": 1 / 2, "fc7": 1 / 2}), "layers 6 and 7 of 2048 units for 4096"),
    "fc8192": (scaled({"fc6": 2, "fc7": 2}), "layers 6 and 7 of 8192 units for 4096"),
}
LARGER_OF_Z: dict[str, tuple[Derivation, str]] = {
    "512": (wider_middle, "model (b), layers 3, 4, 5 of 512, 1024, 512 maps"),
    "512-fc8192": (
        in_turn(wider_middle, scaled({"fc6": 2, "fc7": 2})),
        "layers 3, 4, 5 of 512, 1024, 512 maps, layers 6 and 7 of 8192 units",
    ),
}


# ── the other published forms ────────────────────────────────────────────────────────────────────────────────────


def one_weird_trick(table: Table) -> Table:
    """Krizhevsky 2014: one tower of 64-192-384-256-256; layer 1's ReLU after its pool; fc8's bias −7."""
    for name, maps in {"conv1": 64, "conv2": 192, "conv3": 384, "conv4": 256, "conv5": 256}.items():
        table = change(table, name, maps=maps, reads="all")
    table = change(move_after(table, "relu1", "pool1"), "fc8", bias=-7)
    return replace(change(table, Norm, convention="mean"), columns=1)


def in_torchvision(table: Table) -> Table:
    """torchvision's `alexnet`: One Weird Trick's widths, no norm, rounding down, dropout before fc6 and fc7."""
    table = no_norms(move_after(table, "relu1", "conv1"))
    table = change(change(table, Conv, Pool, rounding="floor"), "conv1", padding=2)
    table = change(change(table, "fc8", bias=0), Dropout, kind="inverted")
    return move_after(move_after(table, "dropout6", "pool5"), "dropout7", "relu6")


def in_caffe(table: Table) -> Table:
    """Caffe's bvlc_alexnet: 227 pixels, k = 1, alpha / n, the norm's window over all maps, biases 0.1 for 1."""
    table = change(table, Norm, k=1, convention="mean", span="all")
    for row in table.weighted:
        table = change(table, row.name, bias=0.1 * row.bias)
    table = change(change(table, Conv, std=0.01), "fc6", "fc7", std=0.005)
    return replace(change(table, Dropout, kind="inverted"), input_size=227)


def as_caffenet(table: Table) -> Table:
    """Caffe's bvlc_reference_caffenet: pooling before the norm, biases 1."""
    table = move_after(move_after(table, "norm1", "pool1"), "norm2", "pool2")
    for row in table.weighted:
        table = change(table, row.name, bias=10 * row.bias)
    return table


def batch_normalised(table: Table) -> Table:
    """NVIDIA's AlexNet-BN in the form its LARS solvers load (nvcaffe `train_val2`): no norm; the inputs of
    conv2–conv5 are batch-normalised, after ReLU and pool; groups and dropout kept."""
    table = no_norms(table)
    for below, number in (("pool1", 2), ("pool2", 3), ("relu3", 4), ("relu4", 5)):
        table = insert_after(table, below, BatchNorm(f"batch_norm{number}"))
    return change(table, Dropout, kind="inverted")


def as_zfnet(table: Table) -> Table:
    """[Z] Fig. 3: 7×7 with stride 2 and 5×5 with stride 2, neither padded; pooling before the norm; no columns."""
    table = change(table, "conv1", kernel=7, stride=2)
    table = change(table, "conv2", stride=2, padding=0)
    table = move_after(move_after(table, "norm1", "pool1"), "norm2", "pool2")
    # [Z] gives no constants of its contrast normalisation; the 2012 code's are taken, which its authors built on.
    table = change(table, Norm, convention="mean")
    return replace(change(table, Conv, reads="all"), columns=1)


ALEXNET_145 = rename(
    as_in_code(ALEXNET), "alexnet-145", "The authors' code that produced the published numbers (net 145)."
)
ALEXNET_OWT = rename(
    one_weird_trick(ALEXNET), "alexnet-owt", "One Weird Trick (Krizhevsky 2014), with its response normalisation."
)
BVLC_ALEXNET = rename(in_caffe(ALEXNET), "bvlc-alexnet", "Caffe's bvlc_alexnet.")
ZFNET = rename(as_zfnet(ALEXNET), "zfnet", "[Z] Fig. 3.")

FIRST_LAYER_READINGS = (
    rename(replace(ALEXNET, input_size=227), "alexnet-227", "[A] read with 227-pixel crops: 55 without overhang."),
    rename(
        change(ALEXNET, "conv1", padding=2, rounding="floor"),
        "alexnet-pad2",
        "[A] read with 224 pixels padded by 2, rounding down: 55.",
    ),
    rename(change(ALEXNET, "conv1", padding=(1, 2)), "alexnet-pad12", "[A] read with 224 pixels padded 1 + 2: 55."),
)


# ── small networks ───────────────────────────────────────────────────────────────────────────────────────────────

TOY = Table(
    name="toy",
    about="A small two-column net of the same family, for tests: every kind of layer that alexnet has, 32 pixels.",
    input_size=32,
    columns=2,
    rows=(
        Conv("conv1", 16, 5, stride=2),
        Activation("relu1"),
        Norm("norm1"),
        Pool("pool1"),
        Conv("conv2", 32, 3, padding=1, reads="own", std=0.15, bias=0.1),
        Activation("relu2"),
        Norm("norm2"),
        Pool("pool2"),
        Conv("conv3", 48, 3, padding=1, std=0.1),
        Activation("relu3"),
        Conv("conv4", 48, 3, padding=1, reads="own", std=0.1, bias=0.1),
        Activation("relu4"),
        Conv("conv5", 32, 3, padding=1, reads="own", std=0.1, bias=0.1),
        Activation("relu5"),
        Pool("pool5"),
        Dense("fc6", 64, std=0.2, bias=0.1),
        Activation("relu6"),
        Dropout("dropout6"),
        Dense("fc7", 64, std=0.2, bias=0.1),
        Activation("relu7"),
        Dropout("dropout7"),
        Dense("fc8", 12, std=0.1),
    ),
)

# The authors' CIFAR-10 nets (cuda-convnet's example layers); 5×5 convolutions padded by 2, pools 3/2.
CIFAR_19 = Table(
    name="cifar-19pct",
    about="The authors' CIFAR-10 net of 19 % (14.2 % with translations).",
    input_size=32,
    rows=(
        Conv("conv1", 32, 5, padding=2, std=1e-4),
        Pool("pool1"),
        Activation("relu1"),
        Conv("conv2", 32, 5, padding=2),
        Activation("relu2"),
        Pool("pool2", kind="average"),
        Conv("conv3", 64, 5, padding=2),
        Activation("relu3"),
        Pool("pool3", kind="average"),
        Dense("fc10", 10),
    ),
)


def eighty_seconds(table: Table) -> Table:
    """cuda-convnet's 80-second net: a hidden layer of 64 units, wide initial weights on top."""
    table = change(table, "fc10", std=0.1)
    return insert_after(table, "pool3", Dense("fc64", 64, std=0.1), Activation("relu4"))


def same_map_norms(table: Table) -> Table:
    """The 18 % net: same-map response normalisation, 3×3, after the first two pools."""
    for number, below in ((1, "relu1"), (2, "pool2")):
        table = insert_after(table, below, SpatialNorm(f"spatial{number}", alpha=5e-5, size=3))
    return table


CIFAR_13 = Table(
    name="cifar-13pct",
    about="The authors' CIFAR-10 net of 13 %: two convolutions, two local layers; 24-pixel crops.",
    input_size=24,
    rows=(
        Conv("conv1", 64, 5, padding=2, std=1e-4),
        Activation("relu1"),
        Pool("pool1"),
        Conv("conv2", 64, 5, padding=2),
        Activation("relu2"),
        Pool("pool2"),
        Local("local3", 32, 3, padding=1, std=0.04),
        Activation("relu3"),
        Local("local4", 32, 3, padding=1, std=0.04),
        Activation("relu4"),
        Dense("fc10", 10),
    ),
)


def cross_map_norms(table: Table) -> Table:
    """[A] §3.3 on CIFAR-10: LRN over 9 maps, after the first pool and before the second."""
    norm = Norm("norm1", k=1, alpha=1e-3, size=9, convention="mean")
    table = insert_after(table, "pool1", norm)
    return insert_after(table, "relu2", replace(norm, name="norm2"))


CIFAR_TABLES = (
    rename(eighty_seconds(CIFAR_19), "cifar-80sec", "The authors' CIFAR-10 net of 26 % in 80 seconds."),
    CIFAR_19,
    rename(same_map_norms(CIFAR_19), "cifar-18pct", "The authors' CIFAR-10 net of 18 %: same-map norms."),
    CIFAR_13,
    rename(cross_map_norms(CIFAR_13), "cifar-13pct-norm", "The 13 % net with response normalisation alone."),
    rename(
        change(cross_map_norms(CIFAR_13), "local3", maps=64),
        "cifar-11pct",
        "The authors' CIFAR-10 net of 11 %: response normalisation and a wider local3.",
    ),
)


# ── the register ─────────────────────────────────────────────────────────────────────────────────────────────────


def _variants(base: Table, ablations: dict[str, tuple[Derivation, str]]) -> list[Table]:
    return [
        rename(derive(base), f"{base.name}-{suffix}", f"{base.name}: {what}.")
        for suffix, (derive, what) in ablations.items()
    ]


def _register() -> dict[str, Table]:
    tables = [
        ALEXNET,
        ALEXNET_145,
        *_variants(ALEXNET, ABLATIONS_OF_A | ABLATIONS_OF_Z),
        *_variants(ALEXNET_145, ABLATIONS_OF_A),
        rename(without(ALEXNET_145, "spatial2"), "alexnet-145-no-spatial2", "alexnet-145: without the same-map norm."),
        *FIRST_LAYER_READINGS,
        ALEXNET_OWT,
        rename(in_torchvision(ALEXNET_OWT), "torchvision", "torchvision's alexnet."),
        BVLC_ALEXNET,
        rename(as_caffenet(BVLC_ALEXNET), "caffenet", "Caffe's bvlc_reference_caffenet."),
        rename(
            batch_normalised(ALEXNET),
            "alexnet-bn",
            "AlexNet-BN in nvcaffe's train_val2 form: batch norm on the inputs of conv2–conv5.",
        ),
        ZFNET,
        *_variants(ZFNET, LARGER_OF_Z | ABLATIONS_OF_Z),
        *CIFAR_TABLES,
        TOY,
    ]
    return {table.name: table for table in tables}


ZOO: dict[str, Table] = _register()


def find(name: str, classes: int | None = None) -> Table:
    """The zoo's table called `name`, with another number of classes if given. A change that [A] or [Z] made is found
    for any table by its suffix, as in toy-no-norm.

    Raises UsageError, with the nearest names, if there is none.
    """
    table = ZOO.get(name) or _ablated(name)
    if table is None:
        near = get_close_matches(name, ZOO, n=3) or ["alexnet", "alexnet-145", "zfnet"]
        raise UsageError(f"There is no network {name!r}. Near it: {', '.join(near)}. `alexnet nets` lists all.")
    return table if classes is None else with_classes(table, classes)


def _ablated(name: str) -> Table | None:
    """The table called BASE-SUFFIX, derived from BASE as [A] or [Z] did; None if there is no such pair."""
    for suffix, (derive, what) in (ABLATIONS_OF_A | ABLATIONS_OF_Z | LARGER_OF_Z).items():
        base = name.removesuffix(f"-{suffix}")
        if base != name and base in ZOO:
            return rename(derive(ZOO[base]), name, f"{base}: {what}.")
    return None
