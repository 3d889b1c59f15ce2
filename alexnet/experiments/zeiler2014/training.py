"""[Z] §3: its networks, and how all of them were trained, the replication of [A]'s among them.

The recipe is `zf`: learning rate 0.01, momentum 0.9, divided by 10 by hand when the validation error stalls
(here by the plateau rule), ten fixed crops, filters cut back to an RMS of 0.1, σ = 0.01, zero biases,
dropout ½, 70 epochs.
"""

from typing import Any

from alexnet.experiments.lab import Lab
from alexnet.experiments.trial import Trial

RECIPE = "zf"


def our_model(lab: Lab, suffix: str = "", label: str = "our model", **changes: Any) -> Trial:
    """[Z] Fig. 3's network, or a change of it that the zoo knows by its suffix. The plain one keeps snapshots, so that
    Z/fig4 finds it trained whichever result came first."""
    if not suffix and not changes:
        changes = {"snapshots": True}
    return _trial(lab, "zfnet", suffix, label, changes)


def replication(lab: Lab, suffix: str = "", label: str = "replication of [A]", **changes: Any) -> Trial:
    """[Z]'s replication of [A]'s network, trained like their own; or a change of it."""
    return _trial(lab, "alexnet", suffix, label, changes)


def _trial(lab: Lab, family: str, suffix: str, label: str, changes: dict[str, Any]) -> Trial:
    net = f"{family}-{suffix}" if suffix else family
    return lab.trial(label, net=lab.stand_in(net), recipe=RECIPE, **changes)


def reading(lab: Lab) -> str:
    """Which networks and recipe these are."""
    net = lab.settings.net or "zfnet"
    init = "" if lab.settings.init in (None, "zf") else f", but initial weights {lab.settings.init!r}"
    return f"[Z] §3: {net}, recipe {RECIPE}{init}"
