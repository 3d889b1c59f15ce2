"""An index folder: what is needed to find pictures of a store that are similar in a run's features.

    features.npy, features.json   the layer's values of every picture: see `alexnet.features.file`
    codes.safetensors             a code for each, and the auto-encoder that makes codes (with bits)
    lists.faiss                   faiss's inverted lists (optional)
    index.json                    describes the others, with sizes and checksums; written last

M pictures · N queries · D values of a picture · K bits.
"""

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, TypedDict

import numpy as np
import torch

from alexnet.choices import Way
from alexnet.data.batches import StepProgress
from alexnet.data.store.read import Store
from alexnet.errors import UsageError, UserError, optional_package
from alexnet.features.file import Collection, describes_features, open_features, write_features
from alexnet.features.options import IndexOptions
from alexnet.features.pictures import Pool
from alexnet.features.rows import LazyArray, Vectors
from alexnet.features.similar.codes import BITS, Coder, learn_coder
from alexnet.features.similar.search import hamming_nearest, nearest
from alexnet.files.atomic import expanded, faults_named, remove_temporaries, sha256_of, write_atomically
from alexnet.files.locks import locked
from alexnet.files.outputs import refuse_foreign
from alexnet.files.schema import Count, Key, Range, check, from_json, json_bytes, read_json, reading_errors, to_json
from alexnet.files.tensors import load_tensors, save_tensors, tensor_digest
from alexnet.isolation import isolated
from alexnet.measure.run import Run

FORMAT_VERSION = 1
FEATURES, CODES, LISTS, DESCRIPTION = "features.npy", "codes.safetensors", "lists.faiss", "index.json"
OWN = (FEATURES, f"{FEATURES}.journal", "features.json", CODES, LISTS, DESCRIPTION)
SHORTLIST = 20
"""Pictures that codes choose, for each that is wanted, before distances between values decide."""
LEAST_SHORTLIST = 200
PROBES = 16
"""Lists of faiss that a search looks through."""
LISTS_LEARN_FROM = 100_000
ADDED_AT_ONCE = 8192
CHECKED_AT_ONCE = 1 << 28
"""Bytes up to which a file's checksum is checked whenever the index is opened; `Index.verify` checks all."""

REMEDY = "Remove the folder and build the index again."


@dataclass(frozen=True)
class Origin:
    """The store of the pictures: its fingerprint, how many pictures are from each split, and where it was."""

    fingerprint: str
    splits: Annotated[dict[str, Count], Key("parts")]
    store: str = ""


@dataclass(frozen=True)
class Made:
    """How codes and lists were made; None: there are none."""

    bits: Annotated[int, lambda bits: bits in BITS] | None = None
    lists: Annotated[int, Range(1)] | None = None
    seed: int = 0

    @property
    def files(self) -> list[str]:
        """The index's files but the description."""
        optional = [name for name, option in ((CODES, self.bits), (LISTS, self.lists)) if option is not None]
        return [FEATURES, "features.json", *optional]


@dataclass(frozen=True)
class File:
    bytes: Count
    sha256: str


@dataclass(frozen=True)
class Description:
    """The content of index.json."""

    run_fingerprint: str
    layer: str
    views: Annotated[int, Range(1, 1000)]
    pictures: Origin
    options: Made
    files: dict[str, File]
    format_version: int = FORMAT_VERSION


class OfStore(TypedDict):
    """What features.json of a store holds, as far as it is read."""

    keys: list[str]
    labels: list[Count]
    class_names: list[str]


@isolated()
def build(
    run: Run, store: Store, folder: Path, options: IndexOptions | None = None, progress: StepProgress | None = None
) -> "Index":
    """Builds the index of a store's pictures in `folder`, resumes it, or opens it if it is finished.

    If interrupted, the same call resumes the features; codes and lists, minutes of work, start again. Raises UsageError
    for an option, UserError for what another store, another run, or the disk can't do.
    """
    options = options or IndexOptions()
    if options.bits is not None and options.bits not in BITS:
        raise UsageError(f"--bits {options.bits}: choose one of {', '.join(map(str, BITS))}.")
    if options.lists is not None:
        find_faiss()
    for name in (DESCRIPTION, "features.json"):
        refuse_foreign(folder / name, describes_features, "--index")
    for name in (FEATURES, CODES, LISTS):
        refuse_foreign(folder / name, lambda _: (folder / "features.json").exists(), "--index")
    with locked(folder / ".lock", f"{folder}: another process is building this index. Wait for it to end."):
        report = progress or (lambda _what, _done, _total: None)
        remove_temporaries(folder, OWN)  # only these: searches write into it too
        about = write_features(
            run,
            Collection.of_store(run, store, options.splits),
            folder / FEATURES,
            layer=options.layer,
            views=options.views,
            number_type=options.type,
            progress=partial(report, "features"),
        )
        made = Made(options.bits, options.lists, options.seed)
        description = folder / DESCRIPTION
        if description.exists() and read_json(description).get("options") == to_json(made):
            return Index.open(folder, run)
        for name in (DESCRIPTION, CODES, LISTS):  # of a build with other options
            (folder / name).unlink(missing_ok=True)
        values_md, _ = open_features(folder / FEATURES)
        if made.bits is not None:
            _write_codes(folder, values_md, made.bits, made.seed, report)
        if made.lists is not None:
            _write_lists(folder, values_md, made.lists, report)
        files = {name: File((folder / name).stat().st_size, sha256_of(folder / name)) for name in made.files}
        origin = from_json(about["pictures"], Origin, folder / "features.json", REMEDY)
        found = Description(about["run_fingerprint"], about["layer"], about["views"], origin, made, files)
        write_atomically(description, json_bytes(to_json(found)))
    return Index.open(folder, run)


def _write_codes(folder: Path, values_md: Vectors, bits: int, seed: int, report: StepProgress) -> None:
    coder = learn_coder(values_md, bits, seed=seed, progress=partial(report, "learning codes"))
    codes = coder.codes(values_md, progress=partial(report, "codes"))
    save_tensors(folder / CODES, {"codes": torch.from_numpy(codes), **coder.state_dict()}, {"bits": bits})


def _write_lists(folder: Path, values_md: Vectors, lists: int, report: StepProgress) -> None:
    """faiss's IndexIVFScalarQuantizer, values in half precision."""
    if not 1 <= lists <= len(values_md):
        raise UsageError(f"--lists {lists}: from 1 to the {len(values_md):,} pictures; about the square root is usual.")
    faiss, size = find_faiss(), values_md.shape[1]
    made = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatL2(size), size, lists, faiss.ScalarQuantizer.QT_fp16)
    chosen = np.unique(np.linspace(0, len(values_md) - 1, LISTS_LEARN_FROM).astype(np.int64))
    made.train(np.asarray(values_md[chosen], np.float32))
    for first in range(0, len(values_md), ADDED_AT_ONCE):
        made.add(np.asarray(values_md[first : first + ADDED_AT_ONCE], np.float32))
        report("lists", min(first + ADDED_AT_ONCE, len(values_md)), len(values_md))
    write_atomically(folder / LISTS, faiss.serialize_index(made).data)


def find_faiss() -> Any:
    """The module. Raises UserError, with the remedy, if it is not installed."""
    return optional_package("faiss", "faiss", "searching its lists")


# ── an index opened ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Neighbour:
    """A picture that a search found: its path in the source, its class, and the distance (Euclidean, or bits)."""

    picture: str
    class_name: Annotated[str, Key("class")]
    distance: float


@dataclass(frozen=True, eq=False)
class Index:
    """A finished index: `values` (M, D), on disk; `keys`, the pictures' paths in their source; `labels` int64
    (M,) and `class_names`; `layer` and `views` that a query must be described by."""

    folder: Path
    description: Description
    values: LazyArray
    keys: list[str]
    labels: np.ndarray
    class_names: list[str]

    @classmethod
    def open(cls, folder: str | Path, run: Run | None = None) -> "Index":
        """The index in `folder`. Raises UserError if there is none, if it is not finished, if a file is absent or
        damaged (see CHECKED_AT_ONCE), or if it was made by other weights than the `run` has."""
        folder = Path(expanded(folder))
        if not (folder / DESCRIPTION).exists():
            begun = folder / "features.npy.journal"
            state = "this index is not finished" if begun.exists() else "no index of similar pictures"
            raise UserError(f"{folder}: {state}. `alexnet similar build RUN STORE` makes one.")
        content = read_json(folder / DESCRIPTION)
        if (found := content.get("format_version")) != FORMAT_VERSION:
            raise UserError(f"{folder}: index format {found}, this version of alexnet reads {FORMAT_VERSION}.")
        description = from_json(content, Description, folder / DESCRIPTION, REMEDY)
        if sorted(description.files) != sorted(needed := description.options.files):
            raise UserError(f"{folder / DESCRIPTION}: damaged, it does not name {', '.join(needed)}. {REMEDY}")
        for name, promised in description.files.items():
            _check(folder / name, promised)
        if run is not None and tensor_digest(run.network.state_dict()) != description.run_fingerprint:
            raise UserError(
                f"{folder}: was built with other weights than {run.path} has now. Build another one, with --index, "
                "or remove this one and build it again."
            )
        values, about = open_features(folder / FEATURES)
        check(about, OfStore, folder / "features.json", REMEDY)
        if about["labels"] and max(about["labels"]) >= len(about["class_names"]):
            raise UserError(f"{folder / 'features.json'}: damaged, a label has no class. {REMEDY}")
        return cls(folder, description, values, about["keys"], np.asarray(about["labels"]), about["class_names"])

    def __len__(self) -> int:
        return len(self.values)

    @property
    def layer(self) -> str:
        return self.description.layer

    @property
    def views(self) -> int:
        return self.description.views

    @property
    def bits(self) -> int | None:
        """Of the codes; None where there are none."""
        return self.description.options.bits

    def verify(self) -> list[str]:
        """Check every file's checksum. A sentence for each fault; empty if all are sound."""
        return [
            f"{self.folder / name}: its bytes have changed. Build the index again."
            for name, one in self.description.files.items()
            if sha256_of(self.folder / name) != one.sha256
        ]

    @cached_property
    def _coded(self) -> tuple[np.ndarray, Coder]:
        if self.bits is None:
            raise UsageError(f"--by: {self.folder} has no codes. Build it with --bits 64, or search by exact.")
        path = self.folder / CODES
        tensors, _ = load_tensors(path)
        with reading_errors(path, REMEDY):
            codes, coder = tensors.pop("codes").numpy(), Coder.of(tensors)
            if codes.dtype != np.uint8 or codes.shape != (len(self), self.bits // 8) or coder.bits != self.bits:
                raise ValueError(f"codes {codes.dtype} {codes.shape} of {coder.bits} bits")
            if coder.mean.shape != self.values.shape[1:]:
                raise ValueError(f"a coder of {tuple(coder.mean.shape)} values, pictures have {self.values.shape[1]}")
        return codes, coder

    @property
    def codes(self) -> np.ndarray:
        """uint8 (M, K / 8). Raises UsageError where there are none."""
        return self._coded[0]

    @cached_property
    def _lists(self) -> Any:
        if self.description.options.lists is None:
            raise UsageError(f"--by faiss: {self.folder} has no lists of faiss. Build it with --lists, or use exact.")
        path, faiss = self.folder / LISTS, find_faiss()
        bounds = ("set_deserialization_vector_byte_limit", "set_deserialization_loop_limit")  # of later releases
        with reading_errors(path, REMEDY):
            for bound in filter(None, (getattr(faiss, name, None) for name in bounds)):
                bound(path.stat().st_size)  # no list is longer than the file, nor are there more than its bytes
            found = faiss.read_index(str(path))
            if not isinstance(found, faiss.IndexIVFScalarQuantizer) or found.d != self.values.shape[1]:
                raise ValueError(f"no lists of vectors of {self.values.shape[1]} values")
            found.nprobe = PROBES
        return found

    @isolated()
    def search(
        self, queries_nd: np.ndarray, count: int = 6, by: Way = "exact", progress: StepProgress | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """For each query the positions of the nearest pictures, int64 (N, count), and the distances, float64:
        Euclidean, or by "hamming" differing bits. "exact" computes every distance; "codes" those to the pictures that
        codes choose; "hamming" compares codes alone; "faiss" uses its inverted lists. Raises UsageError for a way that
        the index was not built for."""
        queries_nd = np.asarray(queries_nd).reshape(len(queries_nd), -1)
        if by == "exact":
            return nearest(queries_nd, self.values, count, progress and partial(progress, "distances"))
        if by == "faiss":
            lists = self._lists
            with reading_errors(self.folder / LISTS, REMEDY):
                squares, positions = lists.search(np.asarray(queries_nd, np.float32), min(count, len(self)))
            return positions, np.sqrt(np.maximum(squares.astype(np.float64), 0))
        codes, coder = self._coded
        wanted = count if by == "hamming" else max(LEAST_SHORTLIST, SHORTLIST * count)
        positions, bits = hamming_nearest(coder.codes(queries_nd), codes, wanted)
        return (positions, bits.astype(np.float64)) if by == "hamming" else self._decided(queries_nd, positions, count)

    def neighbours(self, positions: np.ndarray, distances: np.ndarray) -> tuple[Neighbour, ...]:
        """The pictures at some positions (C,) of the index, with their distances."""
        found = zip(positions.tolist(), distances.tolist(), strict=True)
        return tuple(Neighbour(self.keys[at], self.class_names[self.labels[at]], far) for at, far in found)

    def _decided(self, queries_nd: np.ndarray, positions: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The nearest among the positions that codes have chosen for each query."""
        found, distances = [], []
        for query_d, chosen in zip(queries_nd, np.sort(positions, axis=1), strict=True):
            order, distance = nearest(query_d[None], self.values[chosen], count)
            found.append(chosen[order[0]])
            distances.append(distance[0])
        return np.stack(found), np.stack(distances)


def _check(path: Path, promised: File) -> None:
    """Raises UserError if a file is absent, of another size or, unless it is large, of another checksum."""
    with faults_named(path):
        size = path.stat().st_size
    if size != promised.bytes or (size <= CHECKED_AT_ONCE and sha256_of(path) != promised.sha256):
        raise UserError(f"{path}: damaged, its bytes have changed. Remove {path.parent} and build the index again.")


def check_store(index: Index, store: Store) -> None:
    """Raises UserError unless the store is the one that the index was built from."""
    if store.fingerprint != index.description.pictures.fingerprint:
        raise UserError(f"{store.path}: not the store that {index.folder} was built from. Name that one with --store.")


def records_of(index: Index, store: Store, positions: np.ndarray) -> np.ndarray:
    """The pictures at these positions of the index, uint8 (n, S, S, 3). Raises UserError for another store."""
    check_store(index, store)
    return Pool.of(store, index.description.pictures.splits).read(np.asarray(positions).reshape(-1))
