"""`alexnet similar build` and `alexnet similar`: which pictures of a store look alike to a network."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from alexnet.commands.arguments import Device, Precision, RunFolderArgument
from alexnet.errors import UsageError, UserError

if TYPE_CHECKING:
    import numpy as np

    from alexnet.data.store.read import Store
    from alexnet.features.pictures import UnpreparedImages
    from alexnet.features.similar.index import Index
    from alexnet.features.similar.sheet import Found
    from alexnet.measure.run import Run

IndexFolder = Annotated[Path | None, arg(name="index", metavar="FOLDER", help_behavior_hint="(default: RUN/similar)")]


@dataclass(frozen=True)
class SimilarBuild:
    """Build an index of a store's pictures, for `alexnet similar` to search.

    It holds a layer's values of every picture; with --bits short binary codes, by an auto-encoder; with --lists what
    faiss needs. Stopped, the same command goes on.

    Examples:
        alexnet similar build runs/photos photos.store
        alexnet similar build runs/photos photos.store --bits 64 --parts train
    """

    run_folder: RunFolderArgument
    """The run."""
    store: Annotated[Positional[Path], arg(metavar="STORE")]
    """The pictures, prepared."""
    index_folder: IndexFolder = None
    """The folder to make."""
    layer: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: the last hidden layer)")] = None
    """A row of the network, or a layer by its number as the papers count."""
    views: Literal[1, 5, 9, 10] = 1
    """1: the centre; 10: centre, corners and their mirrors, averaged."""
    type: Literal["float16", "float32"] = "float16"
    """Type of the values on disk; all sums are in float64."""
    parts: Annotated[tuple[str, ...], arg(metavar="NAME ...", help_behavior_hint="(default: all)")] = ()
    """Which parts of the store."""
    bits: Annotated[int | None, arg(metavar="{32,64,128,256}", help_behavior_hint="(default: no codes)")] = None
    """Bits of a picture's code."""
    lists: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: none)")] = None
    """Inverted lists of faiss, about the square root of the number of pictures; needs faiss."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Of the auto-encoder."""
    device: Device = "auto"
    """Where to compute; auto: the first of cuda, mps, cpu that is there."""
    precision: Precision = "auto"
    """Arithmetic of the layers; auto: as in the training, on another kind of device fp32."""

    def run(self) -> None:
        from alexnet.data.store.read import Store
        from alexnet.features.similar.index import build
        from alexnet.measure.run import Run
        from alexnet.terminal import progress

        run = Run.open(self.run_folder, device=self.device, precision=self.precision)
        with progress("steps") as report:
            index = build(
                run,
                Store.open(self.store),
                folder_of(self.run_folder, self.index_folder),
                layer=self.layer,
                views=self.views,
                parts=self.parts,
                number_type=self.type,
                bits=self.bits,
                lists=self.lists,
                seed=self.seed,
                progress=report,
            )
        codes = f", codes of {index.bits} bits" if index.bits else ""
        print(f"{index.folder}: {index.layer} of {len(index):,} pictures, {index.values.shape[1]:,} values each{codes}")


@dataclass(frozen=True)
class Similar:
    """Find the pictures of an index that look like yours to a run ([A] Fig. 4).

    A table on stdout; in the index folder a sheet of pictures, similar.png, and similar.json.

    `alexnet similar build` makes the index first.

    Examples:
        alexnet similar runs/photos cat.jpg holiday/
        alexnet similar runs/photos cat.jpg --by codes --count 20 --json > found.json
    """

    run_folder: RunFolderArgument
    """The run."""
    pictures: Annotated[Positional[tuple[str, ...]], arg(metavar="FILE|FOLDER|- ...", help_behavior_hint="(required)")]
    """Picture files, folders of them, or - for one picture on standard input."""
    index_folder: IndexFolder = None
    """The index."""
    count: Annotated[int, arg(metavar="N")] = 6
    """How many pictures to find for each; [A] has six."""
    by: Literal["exact", "codes", "hamming", "faiss"] = "exact"
    """exact: every Euclidean distance; codes: Euclidean among those whose codes are nearest; hamming: by codes alone;
    faiss: in its lists nearby."""
    store: Annotated[Path | None, arg(metavar="STORE", help_behavior_hint="(default: where it was)")] = None
    """The store of the index, if it has moved. The sheet shows its pictures; without it there is no sheet."""
    out: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: the index)")] = None
    """Where similar.png and similar.json go."""
    json: bool = False
    """Print the JSON list instead of the table: for each query its pictures, classes and distances."""
    device: Device = "auto"
    """Where to compute; auto: the first of cuda, mps, cpu that is there."""
    precision: Precision = "auto"
    """Arithmetic of the layers; auto: as in the training, on another kind of device fp32."""

    def run(self) -> None:
        import numpy as np

        from alexnet.features.pictures import UnpreparedImages
        from alexnet.features.similar import sheet
        from alexnet.features.similar.index import Index, records_of
        from alexnet.measure.predict import found_pictures
        from alexnet.measure.run import Run
        from alexnet.see.write import Folder, identity
        from alexnet.terminal import say

        if self.count < 1:
            raise UsageError(f"--count {self.count}: at least 1")
        if not self.pictures:
            raise UsageError("no picture given. Name files or folders, or - for standard input.")
        run = Run.open(self.run_folder, device=self.device, precision=self.precision)
        index = Index.open(folder_of(self.run_folder, self.index_folder), run)
        named = list(found_pictures(self.pictures))
        queries = UnpreparedImages(run, [one.picture for one in named], [one.name for one in named])
        store = self._store(index)
        out = Folder(self.out or index.folder, "similar")
        made_of, ends = [index.description, self.count, self.by], (".json", *sheet.sheets_of(len(named)))
        claim = out.claim("similar", *identity(run, *(one.picture for one in named)), *made_of, ends=ends)
        found, places = self._searched(run, index, queries)
        print(json.dumps([one.as_json() for one in found], indent=1) if self.json else sheet.describe(found))
        shown = None if store is None else records_of(index, store, places)
        sheet.write_sheets(claim, found, queries.read(np.arange(len(queries))), shown)
        for path in out.written:
            say(str(path))

    def _searched(self, run: "Run", index: "Index", queries: "UnpreparedImages") -> "tuple[list[Found], np.ndarray]":
        from alexnet.features.extract import features_of
        from alexnet.features.similar.sheet import Found
        from alexnet.terminal import progress

        values = features_of(run, queries, index.layer, index.views)
        with progress("pictures") as report:
            places, distances = index.search(values, self.count, self.by, report)
        labels, names, keys = index.labels, index.class_names, index.keys
        found = [
            Found(
                name,
                tuple(keys[place] for place in row),
                tuple(names[labels[place]] for place in row),
                tuple(far.tolist()),
            )
            for name, row, far in zip(queries.names, places, distances, strict=True)
        ]
        return found, places

    def _store(self, index: "Index") -> "Store | None":
        """The store that the index was built from. None, with a notice, if the store has moved since."""
        from alexnet.data.store.read import Store
        from alexnet.features.similar.index import check_store
        from alexnet.terminal import say

        place = self.store or Path(index.description["pictures"]["store"])
        try:
            store = Store.open(place)
            check_store(index, store)
        except UserError as fault:
            if self.store is not None:
                raise UserError(f"--store {fault}") from None
            say(f"no sheet of pictures is drawn: {fault}\nIf the store has moved, give its new place with --store.")
            return None
        return store


def folder_of(run: Path, index: Path | None) -> Path:
    """Where the index of a run lies."""
    return index or run / "similar"
