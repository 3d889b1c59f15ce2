"""Training."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from alexnet.commands.arguments import left_to_words
from alexnet.commands.prepare import ready_store
from alexnet.train.options import TrainOptions

if TYPE_CHECKING:
    from alexnet.parallel.grid import Layout

    TrainArguments = TrainOptions
else:
    TrainArguments = left_to_words(TrainOptions, start_from="from")


@dataclass(frozen=True)
class Train:
    """Train a network on a store.

    A run that was stopped, by whatever, goes on with --resume and ends with the same weights to the last bit.

    Examples:
        alexnet train photos.store --out runs/photos
        alexnet train photos/ --out runs/photos --width 0.5 --epochs 30    # prepares the folder first, by itself
        alexnet train photos.store --out runs/photos --resume
        alexnet train pets.store --out runs/pets --from runs/photos --freeze conv1-conv5
    """

    store: Annotated[Positional[Path], arg(metavar="STORE")]
    """What `alexnet prepare` made; or a folder of pictures, which is prepared first, into RUN.store."""
    out: Annotated[Path, arg(metavar="RUN")]
    """The run folder to make (or to go on with)."""
    resume: bool = False
    """Go on with the run in RUN, with the options it was started with."""
    show_traffic: bool = False
    """First print the numbers that cross between processes: for each picture and layer, forward and backward."""
    options: Annotated[TrainArguments, arg(name="")] = TrainArguments()

    def run(self) -> None:
        from alexnet.data.store.read import Store
        from alexnet.parallel.launch import launched
        from alexnet.train.checks import check_options
        from alexnet.train.loop import train

        options = TrainOptions(**vars(self.options))
        with launched(options) as team:
            check_options(options)
            if self.show_traffic and team.leads:
                show_traffic(options, team.layout)
            store = ready_store(self.store, self.out) if team.alone else Store.open(self.store)
            train(store, self.out, options, resume=self.resume, team=team)
        if team.leads:
            print(self.out)


def show_traffic(options: TrainOptions, layout: "Layout") -> None:
    from alexnet.nets.table import with_width
    from alexnet.nets.zoo import find
    from alexnet.parallel import traffic
    from alexnet.train.checks import with_options
    from alexnet.train.recipes import find as find_recipe

    network = with_width(find(with_options(find_recipe(options.recipe), options).net), options.width)
    print(traffic.describe(network, layout, options.input_size), flush=True)
