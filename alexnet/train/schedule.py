"""Learning rates over a run: the plateau rule of [A] §5, the stages of a logged 2012 run, or the polynomial decay of
large batches."""

from dataclasses import dataclass, field

from alexnet.files.schema import AnyFloat, Count
from alexnet.train.recipes import DROPS, Recipe, Stage

DROP_FACTOR = 10  # [A] §5
ROUNDING = 1e-9  # tolerance for error rates as floats; smaller than one picture of any data set


@dataclass(frozen=True)
class Rates:
    """An update's learning rates: of weights, biases, single layers' weights; and whether colour noise is on."""

    weights: float
    biases: float
    layer_rates: dict[str, float] = field(default_factory=dict)
    colour: bool = True

    def of(self, layer: str, *, bias: bool) -> float:
        """The learning rate of one layer's weights or biases. A layer at learning rate 0 is frozen, biases included."""
        own = self.layer_rates.get(layer, self.weights)
        return self.biases if bias and own > 0 else own


@dataclass(frozen=True)
class ScheduleState:
    """What a schedule remembers: the plateau rule's best error (None: no epoch yet), the epochs since then, and how
    often it has lowered the learning rate."""

    best: AnyFloat | None = None
    waited: Count = 0
    drops: Count = 0


class Schedule:
    """`rates` gives the learning rates when a `share` (0 to 1) of an epoch is done. `after` an epoch takes the
    validation error and returns a note if a rate changes."""

    state = ScheduleState()

    def rates(self, epoch: int, share: float = 0.0) -> Rates:
        raise NotImplementedError

    def after(self, epoch: int, error: float) -> str | None: ...

    @property
    def finished(self) -> bool:
        return False


def schedule_of(recipe: Recipe, patience: int, threshold: float) -> Schedule:
    """The recipe's schedule; `patience` and `threshold` (a share, not percent) are the plateau rule's."""
    if recipe.power is not None:
        return Polynomial(recipe.learning_rate, recipe.bias_factor, recipe.epochs, recipe.warmup, recipe.power)
    if recipe.stages:
        return Logged(recipe.stages)
    return Plateau(recipe.learning_rate, recipe.bias_factor, patience, threshold)


@dataclass
class Plateau(Schedule):
    """Divide the learning rates by 10 when the validation error has not fallen by `threshold` below its best for
    `patience` epochs. Do so three times; the fourth time, stop ([A] §5: "reduced three times prior to termination").

    `threshold` is a share (0.001 = 0.1 points). Waiting starts again after each drop; the best error is kept.
    """

    learning_rate: float
    bias_factor: float
    patience: int
    threshold: float

    def rates(self, epoch: int, share: float = 0.0) -> Rates:  # noqa: ARG002 - depends on errors only
        learning_rate = self.learning_rate / DROP_FACTOR**self.state.drops
        return Rates(learning_rate, learning_rate * self.bias_factor)

    def after(self, epoch: int, error: float) -> str | None:
        best, waited, drops = self.state.best, self.state.waited + 1, self.state.drops
        if best is None or best - error >= self.threshold - ROUNDING:
            self.state = ScheduleState(error, 0, drops)
            return None
        if waited < self.patience:
            self.state = ScheduleState(best, waited, drops)
            return None
        self.state = ScheduleState(best, 0, drops + 1)
        stalled = f"epoch {epoch}: no better validation error for {self.patience} epochs"
        if self.finished:
            return f"{stalled} after {DROPS} reductions of the learning rate: training ends here"
        return f"{stalled}: learning rate now {self.rates(epoch + 1).weights:g}"

    @property
    def finished(self) -> bool:
        return self.state.drops > DROPS


@dataclass
class Logged(Schedule):
    """The stages of a 2012 run, by epoch."""

    stages: tuple[Stage, ...]

    def rates(self, epoch: int, share: float = 0.0) -> Rates:  # noqa: ARG002 - a stage covers whole epochs
        reached = [stage for stage in self.stages if stage.epoch <= epoch]
        now = reached[-1]
        biases = [stage.bias_rate for stage in reached if stage.bias_rate is not None]
        return Rates(now.learning_rate, biases[-1] if biases else now.learning_rate, now.layer_rates, now.colour)

    def after(self, epoch: int, error: float) -> str | None:  # noqa: ARG002 - depends on the epoch only
        change = next((stage for stage in reversed(self.stages) if stage.epoch == epoch + 1), None)
        if change is None:
            return None
        single = "".join(f", {name} {rate:g}" for name, rate in change.layer_rates.items())
        noise = "" if change.colour else ", colour noise off"
        return f"epoch {epoch + 1}: learning rate {change.learning_rate:g}{single}{noise}"


@dataclass
class Polynomial(Schedule):
    """learning_rate · (1 − t)^power, t from 0 to 1 over `epochs`; a linear rise from 0 over the first `warmup` epochs.

    Changes with every update. As in the LARS authors' code, t counts from the run's start, so the learning rate is
    already below `learning_rate` when the warm-up ends.
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
