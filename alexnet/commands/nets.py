"""`alexnet nets`."""

from alexnet.commands.options.training import Nets
from alexnet.nets import summary, table, zoo


def run(options: Nets) -> None:
    if options.name is None:
        print(summary.overview(zoo.ZOO.values()))
        return
    network = table.with_width(zoo.find(options.name, options.classes), options.width)
    print(summary.describe(network, options.batch, options.input))
