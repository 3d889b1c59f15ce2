"""`alexnet prepare`."""

from dataclasses import fields
from functools import partial

from alexnet.commands.options.data import Prepare
from alexnet.data.sources.corrections import corrected
from alexnet.data.store.grow import known_in, prepare_grown
from alexnet.data.store.ready import describe, open_shown, prepare_shown
from alexnet.data.store.records import Options
from alexnet.data.store.shards import Shard, join, prepare_shard
from alexnet.errors import UsageError


def run(options: Prepare) -> None:
    if options.shard is not None and options.join:
        raise UsageError("--shard and --join: give one of them; shards are joined when all are there.")
    shard = None if options.shard is None else Shard.parse(options.shard)
    split = {"seed": options.seed, "background": options.background, "group": options.group}
    if options.root is not None:
        split["root"] = options.root
    split["holdout"] = "auto" if options.holdout is None else options.holdout or None
    source = open_shown(options.source, own=(options.store,), known=known_in(options.store), **split)
    if options.corrections is not None:
        source = corrected(source, options.corrections)
    records = Options(**{field.name: getattr(options, field.name) for field in fields(Options)})
    limits = {"strict": options.strict, "max_bad": options.max_bad, "options": records}
    if shard is not None:
        make = partial(prepare_shard, shard=shard, workers=options.workers)
        print(prepare_shown(source, options.store, make, **limits))
    elif options.join:
        print(describe(prepare_shown(source, options.store, join, **limits)))
    else:
        print(describe(prepare_shown(source, options.store, prepare_grown, workers=options.workers, **limits)))
