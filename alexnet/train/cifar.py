"""The authors' CIFAR-10 nets (cuda-convnet), as their configuration files have them (`facts` code-of-2012.md §5).

All: momentum 0.9, rate 0.001 for weights and 0.002 for biases, batches of 128, no colour noise, the mean image taken
off. The 13, 12 and 11 % nets see 24 × 24 crops and mirrors, each picture its own; the others whole pictures.
"""

from alexnet.data.augment import Augmentation
from alexnet.train.recipes import Recipe, Stage

RATE = 0.001
WHOLE = Augmentation(crops="centre", mirror=False, colour="off")
TRANSLATED = Augmentation(colour="off")
CONVOLUTIONS: tuple[str, ...] = ("conv1", "conv2", "conv3")
LOCALS: tuple[str, ...] = ("local3", "local4")
UNSAID_EPOCHS = 120
"""Of the 80-second and the 19 % net, whose schedules are not noted: as long as the 18 % net before its first drop."""


def cifar(name: str, net: str, about: str, drops: tuple[int, ...], epochs: int, decays: dict[str, float]) -> Recipe:
    """A net whose rates are divided by 10 at the epochs `drops`; `decays` of its layers. 24-pixel crops where the net
    has local layers."""
    starts = (1, *drops)
    stages = tuple(Stage(epoch, RATE / 10**place, bias_rate=2 * RATE / 10**place) for place, epoch in enumerate(starts))
    return Recipe(
        name=name,
        about=about,
        net=net,
        epochs=epochs,
        rate=RATE,
        decay=0.0,
        decay_biases=False,
        layer_decays=decays,
        bias_factor=2.0,
        stages=stages,
        mean="centre",
        augmentation=TRANSLATED if "local3" in decays else WHOLE,
    )


def _whole(last: str, last_decay: float) -> dict[str, float]:
    return dict.fromkeys(CONVOLUTIONS, 0.004) | {last: last_decay}


def _local(dense_decay: float) -> dict[str, float]:
    return dict.fromkeys(LOCALS, 0.004) | {"fc10": dense_decay}


# 350 epochs on four fifths of the pictures and 150 on all, then two drops: here on all that the store has.
LONG = {"drops": (501, 511), "epochs": 520}

CIFAR_RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        cifar(
            "cifar-80sec",
            "cifar-80sec",
            "26 % in 80 seconds.",
            (),
            UNSAID_EPOCHS,
            _whole("fc10", 0.03) | {"fc64": 0.03},
        ),
        cifar("cifar-19pct", "cifar-19pct", "19 %.", (), UNSAID_EPOCHS, _whole("fc10", 3)),
        cifar("cifar-18pct", "cifar-18pct", "18 %: same-map norms.", (121, 131), 140, _whole("fc10", 1)),
        cifar("cifar-13pct", "cifar-13pct", "13 %: two local layers, crops.", **LONG, decays=_local(0.004)),
        cifar("cifar-12pct", "cifar-13pct", "12 %: the same files as the 13 % net.", **LONG, decays=_local(0.004)),
        cifar("cifar-13pct-norm", "cifar-13pct-norm", "The 13 % net with LRN alone.", **LONG, decays=_local(0.004)),
        cifar("cifar-11pct", "cifar-11pct", "11 %: LRN, a wider local3, decay 0.01.", **LONG, decays=_local(0.01)),
    )
}
