"""`alexnet similar`."""

import json
from pathlib import Path

import numpy as np

from alexnet.commands.options.features import Similar
from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.features.extract import features_of
from alexnet.features.pictures import UnpreparedImages
from alexnet.features.similar import sheet
from alexnet.features.similar.index import Index, check_store, records_of
from alexnet.features.similar.sheet import Found
from alexnet.files.schema import to_json
from alexnet.measure.predict import found_pictures
from alexnet.measure.run import Run
from alexnet.report.results import Folder, identity
from alexnet.terminal import progress, say


def run(options: Similar) -> None:
    if not options.pictures:
        raise UsageError("no picture given. Name files or folders, or - for standard input.")
    opened = Run.open(options.run_folder, **vars(options.compute))
    index = Index.open(options.index_folder or options.run_folder / "similar", opened)
    named = list(found_pictures(options.pictures))
    queries = UnpreparedImages(opened, named)
    store = store_of(index, options.store)
    out = Folder(options.out or index.folder, "similar")
    made_of, ends = [to_json(index.description), options.count, options.by], (".json", *sheet.sheets_of(len(named)))
    claim = out.claim("similar", *identity(opened, *(one.picture for one in named)), *made_of, ends=ends)
    values = features_of(opened, queries, index.layer, index.views)
    with progress("pictures") as report:
        positions, distances = index.search(values, options.count, options.by, report)
    rows = zip(named, positions, distances, strict=True)
    found = [Found(query.name, index.neighbours(row, far)) for query, row, far in rows]
    print(json.dumps(to_json(found), indent=1) if options.json else sheet.describe(found))
    shown = None if store is None else records_of(index, store, positions)
    sheet.write_sheets(claim, found, queries.read(np.arange(len(queries))), shown)
    for path in out.written:
        say(str(path))


def store_of(index: Index, moved_to: Path | None) -> Store | None:
    """The store that the index was built from. None, with a notice, if the store has moved since."""
    try:
        store = Store.open(moved_to or Path(index.description.pictures.store))
        check_store(index, store)
    except UserError as fault:
        if moved_to is not None:
            raise UserError(f"--store {fault}") from None
        say(f"no sheet of pictures is drawn: {fault}\nIf the store has moved, give its new place with --store.")
        return None
    return store
