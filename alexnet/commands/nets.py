"""`alexnet nets`."""

from alexnet.commands.options.training import Nets
from alexnet.errors import UsageError
from alexnet.nets import summary, table, zoo


def run(options: Nets) -> None:
    if options.name is None:
        print(summary.overview(zoo.ZOO.values()))
        return
    if options.batch < 1:
        raise UsageError(f"--batch {options.batch}: at least 1")
    network = table.with_width(zoo.find(options.name, options.classes), options.width)
    print(summary.describe(network, options.batch, options.input))
