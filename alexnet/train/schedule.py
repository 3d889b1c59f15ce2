"""Learning rates over a run: the plateau rule of [A] §5, the stages of a logged 2012 run, or the polynomial decay of
large batches."""

from dataclasses import dataclass, field

from alexnet.files.schema import AnyFloat, Count
from alexnet.train.recipes import DROPS, Recipe, Stage

DROP_FACTOR = 10  # [A] §5
ROUNDING = 1e-9  # tolerance for error rates as floats; smaller than one picture of any data set


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


@dataclass(frozen=True)
class ScheduleState:
    """What a schedule knows of the epochs before: the plateau rule's best error (None: none yet), the epochs since
    then, and how often it has lowered the learning rate."""

    best: AnyFloat | None = None
    waited: Count = 0
    drops: Count = 0


class Schedule:
    """The learning rates in an epoch, when a `share` of it (0 to 1) is done. `after` an epoch it is given the
    validation error, and says what it changes."""

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
    """Divide the rates by 10 when the validation error has not fallen by `threshold` below its best for `patience`
    epochs, three times; the next time, stop ([A] §5: "reduced three times prior to termination").

    `threshold` is a share (0.001 = 0.1 points). The count starts again after each drop; the best error stays.
    """

    learning_rate: float
    bias_factor: float
    patience: int
    threshold: float

    def rates(self, epoch: int, share: float = 0.0) -> Rates:  # noqa: ARG002 - it looks at errors, not at the clock
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
            return f"{stalled} after {DROPS} drops of the learning rate: training ends here"
        return f"{stalled}: learning rate now {self.rates(epoch + 1).weights:g}"

    @property
    def finished(self) -> bool:
        return self.state.drops > DROPS


@dataclass
class Logged(Schedule):
    """The stages of a 2012 run, by epoch."""

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


@dataclass
class Polynomial(Schedule):
    """learning_rate · (1 − t)^power, t from 0 to 1 over `epochs`; over the first `warmup` epochs a line from 0.

    By the update, not by the epoch. As in the LARS authors' code, the decay counts from the run's start, so behind the
    warm-up the learning rate is below `learning_rate` already.
    """

    learning_rate: float
    bias_factor: float
    epochs: int
    warmup: float
    power: float

    def rates(self, epoch: int, share: float = 0.0) -> Rates:
        # In updates, not whole epochs: t counts from the run's start, so it is above 0 when the warm-up ends.
        done = epoch - 1 + share
        factor = done / self.warmup if done < self.warmup else max(0.0, 1 - done / self.epochs) ** self.power
        return Rates(self.learning_rate * factor, self.learning_rate * factor * self.bias_factor)
