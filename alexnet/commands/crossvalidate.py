"""`alexnet crossvalidate`."""

import json

from alexnet.commands.options.training import CrossValidate
from alexnet.data.store.read import Store
from alexnet.features.crossvalidate import cross_validate, describe_folds, folds_as_json
from alexnet.terminal import progress
from alexnet.train.options import TrainOptions


def run(options: CrossValidate) -> None:
    store, place = Store.open(options.store), options.store.resolve()
    out = options.out or place.with_name(f"{place.name}.folds")
    with progress("pictures") as report:
        found = cross_validate(store, out, TrainOptions(**vars(options.options)), options.folds, report)
    print(json.dumps(folds_as_json(found), indent=1) if options.json else describe_folds(found))
