"""`alexnet see WHAT …`: each method of [Z] as a dataclass of options that hands them to `alexnet.see.write`."""

import functools
import inspect
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitSubcommandPrefixes, arg, subcommand

from alexnet.commands.arguments import Verb
from alexnet.commands.see.networks import ActivationsOfMaps, EvolutionOfFeatures, FiltersOfLayers, TopNine
from alexnet.commands.see.pictures import InvarianceOfFeatures, OcclusionOfPicture, PartsOfPictures, Project

METHODS: dict[str, type] = {
    "project": Project,
    "top": TopNine,
    "evolution": EvolutionOfFeatures,
    "activations": ActivationsOfMaps,
    "invariance": InvarianceOfFeatures,
    "filters": FiltersOfLayers,
    "occlusion": OcclusionOfPicture,
    "parts": PartsOfPictures,
}


def _choice() -> Any:
    """The methods as one type; each is told by the first line of its help."""
    first_line = {name: (inspect.getdoc(one) or "").partition("\n")[0] for name, one in METHODS.items()}
    named = (Annotated[one, subcommand(name, description=first_line[name])] for name, one in METHODS.items())
    return functools.reduce(operator.or_, named)


if TYPE_CHECKING:
    Choice = Verb
else:
    Choice = _choice()


@dataclass(frozen=True)
class See:
    """Look inside a run by the methods of Zeiler and Fergus: projections, strongest pictures, occlusion …

    Each writes a PNG and a JSON file. `alexnet see METHOD --help` has a method's options.

    Example:
        alexnet see occlusion runs/photos cat.jpg
    """

    method: Annotated[OmitSubcommandPrefixes[Choice], arg(name="")]
    """Which method."""

    def run(self) -> None:
        self.method.run()
