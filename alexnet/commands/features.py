"""`alexnet features`."""

from functools import partial
from pathlib import Path

from alexnet.commands.options.features import Features
from alexnet.data.store.description import is_store
from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError
from alexnet.features.file import Collection, write_features
from alexnet.measure.predict import found_pictures
from alexnet.measure.run import Run
from alexnet.terminal import progress, say
from alexnet.text import counted


def run(options: Features) -> None:
    opened = Run.open(options.run_folder, **vars(options.compute))
    collection = collected(opened, options.pictures, options.splits)
    with progress("pictures") as report:
        about = write_features(
            opened,
            collection,
            options.out,
            layer=options.layer,
            views=options.views,
            number_type=options.type,
            progress=partial(report, options.out.name),
        )
    shape = " × ".join(map(str, (about["count"], *about["shape"])))
    print(f"{options.out}: {about['layer']} of {counted(about['count'], 'picture')}, {about['type']} {shape}")
    if left_out := about["left_out"]:
        for entry in left_out:
            say(f"{entry['key']}: {entry['why']}")
        raise UserError(f"pictures that could not be read and were skipped: {len(left_out):,}")


def collected(opened: Run, pictures: tuple[str, ...], splits: tuple[str, ...]) -> Collection:
    """The pictures that are named: of one store, or of files. Raises UsageError for both at once."""
    stores = [name for name in pictures if is_store(Path(name))]
    if not pictures:
        raise UsageError("no picture given. Name a store, or one or more files or folders.")
    if stores and len(pictures) != 1:
        raise UsageError(f"{stores[0]} is a store: name it alone. Write features of other pictures to another file.")
    if stores:
        return Collection.of_store(opened, Store.open(stores[0]), splits)
    if splits:
        raise UsageError(f"--splits {splits[0]}: only a store has splits, and these are pictures.")
    return Collection.of_files(opened, list(found_pictures(pictures)))
