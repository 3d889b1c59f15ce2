"""A network to be trained for an experiment: its options, its name, its fingerprint."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alexnet.data.store.read import Store
from alexnet.files.schema import canonical_digest
from alexnet.nets import zoo
from alexnet.nets.table import Table, with_width
from alexnet.nets.trace import trace
from alexnet.runs.folder import snapshot_epochs
from alexnet.runs.formats import OLD_NAMES
from alexnet.text import changed
from alexnet.train.options import TrainOptions
from alexnet.train.recipes import Recipe
from alexnet.train.recipes import find as find_recipe

WEIGHT_BYTES = 4
USUAL_BATCH = 128  # [A] §5
NOT_FINGERPRINTED = ("threads", "save_minutes", "recipe", "net", "epochs", "seed", "start_from")
"""Options that change no weight, or are in the fingerprint by themselves."""
NOT_IN_NAME = (*NOT_FINGERPRINTED, "device", "precision")
"""Options that don't tell a run's name apart: they are in its fingerprint, or change no weight."""

FIRST_IN_NAME = (
    *("width", "input_size", "batch", "accumulation_steps", "learning_rate", "momentum", "warmup", "decay"),
    *("patience", "threshold", "init"),
)
"""The order of these options in a run's name, as it has been from the first version on; others follow as declared."""


@dataclass(frozen=True, eq=False)
class Trial:
    """A network to be trained, but for its seed. `label`: its name in tables; `start`: the trial whose run it starts
    from."""

    label: str
    options: TrainOptions
    store: Store
    start: "Trial | None" = None

    @property
    def recipe(self) -> Recipe:
        return find_recipe(self.options.recipe)

    @property
    def epochs(self) -> int:
        return self.options.epochs or self.recipe.epochs

    @property
    def by_plateau(self) -> bool:
        """Whether the learning rate drops when validation stalls, not at epochs that are known in advance."""
        return not self.recipe.stages and self.recipe.power is None

    @property
    def table(self) -> Table:
        net = self.options.net or self.recipe.net
        return with_width(zoo.find(net, len(self.store.class_names)), self.options.width)

    @property
    def weight_bytes(self) -> int:
        return WEIGHT_BYTES * sum(layer.parameters for layer in trace(self.table, self.options.input_size))

    @property
    def kept_bytes(self) -> int:
        """What stays on disk after training: the weights, and those of its snapshots."""
        return self.weight_bytes * (1 + (len(snapshot_epochs(self.epochs)) if self.options.snapshots else 0))

    @property
    def pictures(self) -> int:
        """Pictures to train on, over all epochs."""
        return self.epochs * len(self.store.splits["train"])

    def name(self, seed: int) -> str:
        """The run's folder: network, options that differ from their defaults, seed, fingerprint."""
        parts, recipe = [self.table.name], self.options.recipe
        if recipe not in (TrainOptions().recipe, self.table.name):
            parts.append(f"recipe-{recipe}")
        for name, value in self._changed(NOT_IN_NAME).items():
            words = f"no-{name}" if value is False else name if value is True else f"{name}-{value}"
            parts.append(words.replace("_", "-"))
        name = re.sub(r"[^\w.+-]", "+", "-".join(parts))
        return f"{name}-seed{seed}-{self.fingerprint(seed)[:8]}"

    def fingerprint(self, seed: int) -> str:
        """Equal for runs that give equal weights: of the store, the options that matter and the run it starts from."""
        content = {
            "store": self.store.fingerprint,
            "net": self.table.name,
            "recipe": self.options.recipe,
            "epochs": self.epochs,
            "seed": seed,
            "start": None if self.start is None else self.start.fingerprint(seed),
            "options": self._changed(NOT_FINGERPRINTED),
        }
        return canonical_digest(content)

    def _changed(self, but: Sequence[str]) -> dict[str, Any]:
        """The options that differ from their defaults. Only these, so that an option which a later version adds leaves
        the names of networks that are already trained as they are; renamed options stand under their old names."""
        usual, options = vars(TrainOptions()) | {"batch": USUAL_BATCH}, vars(self.options)
        names = [name for name in dict.fromkeys((*FIRST_IN_NAME, *options)) if name not in but]
        different = changed(options, {name: usual[name] for name in names})
        return {OLD_NAMES.get(name, name): value for name, value in different.items()}
