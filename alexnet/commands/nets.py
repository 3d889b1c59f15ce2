"""`alexnet nets`."""

from alexnet.commands.options.training import Nets
from alexnet.nets import summary, table, table_file, zoo


def run(options: Nets) -> None:
    if options.name is None:
        print(summary.overview(zoo.ZOO.values()))
        return
    network = table.with_width(table_file.find_table(options.name, options.classes), options.width)
    text = table_file.to_toml(network) if options.toml else summary.describe(network, options.batch, options.input)
    print(text.rstrip("\n"))
