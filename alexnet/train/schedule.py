"""Learning rates over a run: the plateau rule of [A] §5, the stages of a logged 2012 run, or the polynomial decay of
large batches."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from alexnet.train.recipes import DROPS, Stage

DROP_FACTOR = 10  # [A] §5
ROUNDING = 1e-9  # shares of pictures are no exact numbers; less than one picture of any set


@dataclass(frozen=True)
class Rates:
    """An epoch's learning rates: of weights, biases, single layers' weights; and whether colour noise is on."""

    weights: float
    biases: float
    layer_rates: dict[str, float] = field(default_factory=dict)
    colour: bool = True

    def of(self, layer: str, *, bias: bool) -> float:
        """The learning rate of one layer's weights or biases. A layer at learning rate 0 is frozen, biases included."""
        own = self.layer_rates.get(layer, self.weights)
        return self.biases if bias and own > 0 else own


class Schedule(Protocol):
    """Says the rates in an epoch, when a `share` of it (0 to 1) is done, and hears after it how the validation went."""

    def rates(self, epoch: int, share: float = 0.0) -> Rates: ...
    def after(self, epoch: int, error: float) -> str | None: ...
    @property
    def finished(self) -> bool: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: dict[str, Any]) -> None: ...


@dataclass
class Plateau:
    """Divide the rates by 10 when the validation error has not fallen by `threshold` below its best for `patience`
    epochs, three times; the next time, stop ([A] §5: "reduced three times prior to termination").

    `threshold` is a share (0.001 = 0.1 points). The count starts anew after each drop; the best error stands.
    """

    learning_rate: float
    bias_factor: float
    patience: int
    threshold: float
    best: float = float("inf")
    waited: int = 0
    drops: int = 0

    def rates(self, epoch: int, share: float = 0.0) -> Rates:  # noqa: ARG002 - it looks at errors, not at the clock
        learning_rate = self.learning_rate / DROP_FACTOR**self.drops
        return Rates(learning_rate, learning_rate * self.bias_factor)

    def after(self, epoch: int, error: float) -> str | None:
        if self.best - error >= self.threshold - ROUNDING:
            self.best, self.waited = error, 0
            return None
        self.waited += 1
        if self.waited < self.patience:
            return None
        self.waited, self.drops = 0, self.drops + 1
        stalled = f"epoch {epoch}: no better validation error for {self.patience} epochs"
        if self.finished:
            return f"{stalled} after {DROPS} drops of the learning rate: training ends here"
        return f"{stalled}: learning rate now {self.rates(epoch + 1).weights:g}"

    @property
    def finished(self) -> bool:
        return self.drops > DROPS

    def state(self) -> dict[str, Any]:
        best = None if self.best == float("inf") else self.best
        return {"best": best, "waited": self.waited, "drops": self.drops}

    def restore(self, state: dict[str, Any]) -> None:
        self.best = float("inf") if state["best"] is None else state["best"]
        self.waited, self.drops = state["waited"], state["drops"]


@dataclass(frozen=True)
class Logged:
    """The stages of a 2012 run, by epoch. Knows no state."""

    stages: tuple[Stage, ...]

    def rates(self, epoch: int, share: float = 0.0) -> Rates:  # noqa: ARG002 - a stage is whole epochs
        reached = [stage for stage in self.stages if stage.epoch <= epoch]
        now = reached[-1]
        biases = [stage.bias_rate for stage in reached if stage.bias_rate is not None]
        return Rates(now.learning_rate, biases[-1] if biases else now.learning_rate, now.layer_rates, now.colour)

    def after(self, epoch: int, error: float) -> str | None:  # noqa: ARG002 - the log knows no errors
        change = next((stage for stage in reversed(self.stages) if stage.epoch == epoch + 1), None)
        if change is None:
            return None
        single = "".join(f", {name} {rate:g}" for name, rate in change.layer_rates.items())
        noise = "" if change.colour else ", colour noise off"
        return f"epoch {epoch + 1}: learning rate {change.learning_rate:g}{single}{noise}"

    @property
    def finished(self) -> bool:
        return False

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Polynomial:
    """learning_rate · (1 − t)^power, t from 0 to 1 over `epochs`; over the first `warmup` epochs a line from 0.

    By the update, not by the epoch. As in the LARS authors' code, the decay counts from the run's start, so behind the
    warm-up the learning rate is below `learning_rate` already. Knows no state.
    """

    learning_rate: float
    bias_factor: float
    epochs: int
    warmup: float
    power: float

    def rates(self, epoch: int, share: float = 0.0) -> Rates:
        done = epoch - 1 + share
        factor = done / self.warmup if done < self.warmup else max(0.0, 1 - done / self.epochs) ** self.power
        return Rates(self.learning_rate * factor, self.learning_rate * factor * self.bias_factor)

    def after(self, epoch: int, error: float) -> str | None: ...

    @property
    def finished(self) -> bool:
        return False

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None: ...
