"""`alexnet prepare`."""

from functools import partial

from alexnet.commands.options.data import Prepare
from alexnet.data.store.prepare import prepare
from alexnet.data.store.ready import describe, open_shown, prepare_shown
from alexnet.data.store.records import Options
from alexnet.data.store.shards import Shard, join, prepare_shard
from alexnet.errors import UsageError


def run(options: Prepare) -> None:
    if options.shard is not None and options.join:
        raise UsageError("--shard and --join: give one of them; shards are joined when all are there.")
    shard = None if options.shard is None else Shard.parse(options.shard)
    split = {"holdout": options.holdout, "seed": options.seed, "background": options.background}
    source = open_shown(options.source, own=(options.store,), **split)
    records = {name: getattr(options, name) for name in ("size", "resample", "format", "decode", "exif")}
    limits = {"strict": options.strict, "max_bad": options.max_bad}
    if shard is not None:
        make = partial(prepare_shard, shard=shard, options=Options(**records), workers=options.workers)
        print(prepare_shown(source, options.store, make, **limits))
    elif options.join:
        print(describe(prepare_shown(source, options.store, join, options=Options(**records), **limits)))
    else:
        print(describe(prepare_shown(source, options.store, prepare, workers=options.workers, **records, **limits)))
