"""The 98 parameter files of the 2012 code: what each run was, what its author logged, and whether it is a recipe here.

Source: `facts` code-of-2012.md §4, checked against the release's own list of files. Errors are shares as logged; views
10 or 1, 0 where the note does not say. Sets: "2010" and "2012" of ILSVRC, test or validation.
"""

from dataclasses import dataclass

NEVER_LOGGED = "no result is logged"
LOW_RES = "reads a blurred low-resolution copy of the picture as a second input, which no table here expresses"
SPARSE = "random sparse connections in conv2–conv4, and a blurred low-resolution copy of the picture as a second input"
FLICKR = "trained on Flickr tags, which are not public, with a loss of its own"
FOUR = "four columns wired in pairs, and a blurred low-resolution copy of the picture as a second input"
TREE = "a tree-shaped last layer"
MANY = "four columns on 10,184 classes, batch and rates changed by hand within the run"
GIVEN_UP = "given up by its author as the wrong network"
BATCH = "the same recipe in batches of 256: give --batch and --rate beside it"


@dataclass(frozen=True)
class Logged:
    """A logged result: of which set, by how many views (0: not said), top-1 and top-5 error, nll where it is noted."""

    set: str
    views: int
    top1: float
    top5: float
    nll: float | None = None

    @property
    def where(self) -> str:
        """The set and the views in words."""
        return self.set + {0: "", 1: ", centre", 10: ", ten views"}[self.views]


@dataclass(frozen=True)
class LoggedRun:
    """A parameter file: `recipe` and `beside`, the options that make it here; or `reason`, why it is not expressed.
    `start`: the recipe of the run it starts from, and the layers taken."""

    file: str
    what: str
    results: tuple[Logged, ...] = ()
    recipe: str = ""
    beside: str = ""
    start: tuple[str, str] | None = None
    reason: str = ""

    @property
    def best(self) -> Logged | None:
        """The result with the most views."""
        return max(self.results, key=lambda result: result.views, default=None)


def v12(views: int, nll: float, top1: float, top5: float) -> Logged:
    return Logged("2012 validation", views, top1, top5, nll)


def test10(views: int, nll: float, top1: float, top5: float) -> Logged:
    return Logged("2010 test", views, top1, top5, nll)


def other(set: str, nll: float | None, top1: float, top5: float) -> Logged:
    return Logged(set, 0, top1, top5, nll)


def not_expressed(file: str, what: str, reason: str, *results: Logged) -> LoggedRun:
    return LoggedRun(file, what, results, reason=reason)


def expressed(file: str, what: str, *results: Logged, **more: str) -> LoggedRun:
    return LoggedRun(file, what, results, recipe=more.pop("recipe", file), beside=more.pop("beside", ""))


BEFORE_145 = (
    not_expressed(
        "inet-5layer-conv94-2gpu", "the ancestor on two GPUs", SPARSE, other("2010", None, 0.381072, 0.176089)
    ),
    not_expressed("96-16k", "on 16,649 classes, to make first weights", SPARSE),
    not_expressed("98-16kinit", "first weights from 96-16k", SPARSE, other("2010", None, 0.371321, 0.167978)),
    not_expressed("99", "another second normalisation; filters of conv2 die", SPARSE),
    not_expressed("100", "normalisation 0.001, power 0.25", SPARSE),
    not_expressed("flickr-102", "logistic outputs", FLICKR),
    not_expressed("flickr-102-inet-init", "the same from ImageNet's weights", FLICKR),
    not_expressed("flickr-103", "a robust loss", FLICKR),
    not_expressed("flickr-105", "squared differences", FLICKR),
    not_expressed("2009-101", "ImageNet 2009", LOW_RES, other("2009", 3.462006, 0.693822, 0.436466)),
    not_expressed(
        "106", "contrast norm over the second normalisation", LOW_RES, other("2010", 1.594247, 0.370578, 0.166722)
    ),
    not_expressed("107", "filters held to a contrast", LOW_RES),
    not_expressed("109", "three dense layers", LOW_RES),
    not_expressed("110", "no normalisation", LOW_RES),
    not_expressed("111", "three dense layers, dropout on all", LOW_RES),
    not_expressed("112", "normalisation over 5 maps, not 9", LOW_RES, other("2010", 1.606499, 0.372378, 0.168156)),
    not_expressed("113", "conv3 reads conv1 and conv2", LOW_RES),
    not_expressed("114", "three dense layers of 6144", LOW_RES),
    not_expressed("115-jpeg", "two dense layers of 6144", LOW_RES),
    not_expressed("116", "four GPUs", FOUR),
    not_expressed("117", "three GPUs", FOUR),
    not_expressed("118", "filters held to a contrast, JPEG data", LOW_RES, other("2010", 1.640873, 0.378313, 0.173560)),
    not_expressed("120", "106 with normalisation over 5 maps", LOW_RES, other("2010", 1.634692, 0.378533, 0.172360)),
    not_expressed("120-2012", "120 on ILSVRC-2012", LOW_RES, v12(10, 1.765247, 0.410440, 0.187140)),
    not_expressed("120-2012-full", "120 on uncropped pictures", LOW_RES),
    not_expressed("120-4gpu", "four columns; overfits", FOUR),
    *(not_expressed(f"120-4gpu-auto{n}", f"stage {n} of that run's script", FOUR) for n in range(2, 7)),
    not_expressed("121", "contrast norm over conv1 too", LOW_RES),
    not_expressed("126-2012-full", "one column sees the mirrored picture", LOW_RES),
    not_expressed("127", "the columns do not meet in conv3", LOW_RES),
    not_expressed("128", "narrower columns that meet in conv3 and conv4", LOW_RES),
    not_expressed("129", "four GPUs; its data was lost", FOUR),
    not_expressed("130", "129 with twice the filters in conv2", FOUR),
    not_expressed("131", "conv1 normalised before its pool", LOW_RES, v12(10, 1.755725, 0.409340, 0.185740)),
    not_expressed("131-2009", "131 on ImageNet 2009", LOW_RES, other("2009", 3.466260, 0.694209, 0.437308)),
    not_expressed("132", "the columns meet in conv4, not conv3", LOW_RES),
    not_expressed("133", "131 and 132", LOW_RES),
    not_expressed("134", "k = 0.25", LOW_RES),
    not_expressed("135", "k = 2", LOW_RES, v12(10, 1.757653, 0.410700, 0.184160)),
    not_expressed("135-2009", "135 on ImageNet 2009", LOW_RES),
    not_expressed("135-2009-2012", "135 from those weights", LOW_RES),
    not_expressed("136", "a single mean for all pixels", LOW_RES),
    not_expressed(
        "137",
        "135 with a norm inside each map",
        LOW_RES,
        test10(10, 1.623185, 0.376167, 0.171247),
        v12(0, 1.751138, 0.407820, 0.183440),
    ),
    not_expressed("137-tree", "137 with a tree", f"{TREE}; {LOW_RES}"),
    not_expressed("139", "filters held to a contrast", LOW_RES),
    not_expressed("141", "137 and a sixth convolution; overfits", LOW_RES),
    not_expressed(
        "141-2009",
        "141 by way of ImageNet 2009",
        LOW_RES,
        v12(10, 1.671316, 0.395620, 0.172060),
        v12(1, 1.779082, 0.415920, 0.186780),
        other("2010", 1.511725, 0.356707, 0.154893),
    ),
    not_expressed("141-2009-half", "141 on half of ImageNet 2009", LOW_RES),
)

FAMILY_145 = (
    expressed("145", "the published network", v12(10, 1.741473, 0.406640, 0.182100)),
    expressed(
        "145-2010", "on ILSVRC-2010", test10(10, 1.614660, 0.374727, 0.169987), test10(1, 1.706031, 0.390247, 0.182953)
    ),
    expressed("145-half", "one GPU", test10(10, 1.702802, 0.391680, 0.182287)),
    LoggedRun("146-2009", "conv6, on ImageNet 2009", recipe="146-2009", start=("145", "conv1-conv5")),
    not_expressed("146-2009-tree", "the same with a tree", TREE),
    LoggedRun("146-2011", "conv6, on ImageNet Fall 2011", recipe="146-2011", start=("146-2009", "conv1-conv6")),
    LoggedRun(
        "146-2012-2009",
        "146-2009 fine-tuned",
        (v12(10, 1.646452, 0.391000, 0.168760),),
        "146-2012-2009",
        start=("146-2009", "conv1-fc7"),
    ),
    LoggedRun(
        "146-2012-2011",
        "146-2011 fine-tuned",
        (v12(10, 1.633191, 0.389900, 0.166220),),
        "146-2012-2011",
        start=("146-2011", "conv1-fc7"),
    ),
    expressed("147", "pools of 2 × 2", v12(10, 1.757644, 0.410580, 0.185100)),
    not_expressed("147.cfg.save", "an editor's copy of 147", "the same run as 147"),
    expressed("148", "no normalisation", v12(10, 1.822358, 0.420340, 0.193620)),
    expressed("149", "layer 5 normalised too"),
    expressed("150", "columns that meet only in fc8", v12(10, 1.811173, 0.418280, 0.193300)),
    expressed("153", "linear schedule"),
    expressed("154", "exponential schedule"),
    expressed("155", "exponential", v12(1, 1.861853, 0.426530, 0.199652), v12(10, 1.750063, 0.407440, 0.185240)),
    expressed("156", "exponential", v12(1, 1.870253, 0.428933, 0.198336), v12(10, 1.751178, 0.407640, 0.183500)),
    expressed("157", "exponential", v12(1, 1.880485, 0.431177, 0.203271), v12(10, 1.767696, 0.411140, 0.187040)),
    expressed("158", "exponential", v12(1, 1.862656, 0.428884, 0.199910), v12(10, 1.757155, 0.410260, 0.185380)),
    expressed("160", "4 plateaus", v12(1, 1.884187, 0.433855, 0.205452), v12(10, 1.789202, 0.413740, 0.190360)),
    expressed("161", "plateaus that jump"),
    expressed("162", "3 plateaus", v12(1, 1.894451, 0.438533, 0.207935)),
    expressed("163", "decay doubled on the dense layers", v12(1, 1.849131, 0.429085, 0.199072)),
    expressed("165", "163 to 2e-5", v12(1, 1.847919, 0.427840, 0.198452), v12(10, 1.757196, 0.409820, 0.183920)),
    expressed(
        "166",
        "layer 2 normalised below its ReLU",
        v12(1, 1.863109, 0.428586, 0.201039),
        v12(10, 1.768124, 0.410960, 0.186740),
    ),
    expressed(
        "167", "layer 2 not normalised", v12(1, 1.851845, 0.426772, 0.197590), v12(10, 1.738715, 0.404880, 0.181180)
    ),
    expressed("169", "4 plateaus to 2e-5", v12(1, 1.841218, 0.425298, 0.195489), v12(10, 1.735123, 0.405960, 0.181120)),
    expressed("170", "4 plateaus to 4e-5", v12(1, 1.838933, 0.423407, 0.195827), v12(10, 1.730076, 0.405280, 0.180480)),
    expressed("170-256", BATCH, recipe="170", beside="--batch 256"),
    expressed("170-256-0.015", BATCH, recipe="170", beside="--batch 256 --rate 0.015"),
    expressed(
        "170-256-double", BATCH, v12(1, 1.840643, 0.422726, 0.196598), recipe="170", beside="--batch 256 --rate 0.02"
    ),
    not_expressed(
        "170-quant",
        "170 with half-precision numbers between the columns",
        "the form of numbers between processes belongs to training by columns, not to the recipe (170)",
        v12(1, 1.861123, 0.425700, 0.199970),
        v12(10, 1.749848, 0.405240, 0.184160),
    ),
    not_expressed("170-4gpu", "four columns", MANY),
    not_expressed("170-4gpu-exp", "the same, exponential; killed", MANY),
    expressed("171", "5 plateaus", v12(1, 1.843676, 0.423356, 0.197664), v12(10, 1.735358, 0.404200, 0.181400)),
    expressed("172", "plateaus that jump back"),
    expressed(
        "174",
        "plateaus that jump half back",
        v12(1, 1.825121, 0.425222, 0.193946),
        v12(10, 1.729982, 0.404380, 0.180420),
    ),
    expressed("175", "4 plateaus to 8e-5", v12(1, 1.842557, 0.425160, 0.194863)),
    expressed(
        "177", "170 with dropout on conv4", v12(1, 1.836304, 0.424376, 0.197056), v12(10, 1.744414, 0.406900, 0.183040)
    ),
    not_expressed(
        "178",
        "170 with a random pool in layer 2",
        "pooling at random; with the maximum it is recipe 170",
        v12(1, 1.845021, 0.424038, 0.197017),
    ),
    expressed("180", "plateaus that jump half back, to 4e-5"),
    *(
        not_expressed(name, "four columns and conv6", f"{MANY}; {GIVEN_UP}")
        for name in ("183-4gpu", "183-4gpu-26epc", "183-4gpu-exp")
    ),
    *(not_expressed(name, "the same, narrower", f"{MANY}; {NEVER_LOGGED}") for name in ("184-4gpu", "184-4gpu-26epc")),
)

RUNS: tuple[LoggedRun, ...] = BEFORE_145 + FAMILY_145

# Two runs that have no file of their own: their files hold their last stage only.
CONTINUED = LoggedRun(
    "145", "gone on with at 0.001", (v12(10, 1.725738, 0.402500, 0.179940),), "145-continued", start=("145", "all")
)
SHORTER = LoggedRun("169", "169 in 80 epochs", (v12(1, 1.866277, 0.429784, 0.200178),), "169-80")


def by_recipe() -> dict[str, LoggedRun]:
    """Every run that is a recipe of its own here, by the recipe's name."""
    own = [run for run in RUNS if run.recipe and not run.beside]
    return {run.recipe: run for run in (*own, CONTINUED, SHORTER)}
