"""Parsers of `alexnet.data`: pictures, sources of pictures, stores finished and unfinished."""

import importlib.util
import io
import json
import pickle
import struct
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import mutate
import numpy as np
import seeds
from bundle import Files, laid_out, of_files, packed, unpacked
from engine import Parser, Target
from PIL import Image
from seeds import in_file, picture

from alexnet.data.sources import archive, cifar, folder, ilsvrc, labelme, norb, open_source, tiny_imagenet
from alexnet.data.sources.base import Source, SourceSplit
from alexnet.data.sources.classes import read_classes
from alexnet.data.sources.corrections import corrected
from alexnet.data.store import layout
from alexnet.data.store.check import remarks_on
from alexnet.data.store.description import ListedFile, completed, read_description
from alexnet.data.store.journal import State, load_journal, odd_files_of, save_journal
from alexnet.data.store.read import Store
from alexnet.files.schema import to_json
from alexnet.images import decode

DECODE = {"alexnet/images/decode.py": ()}


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────────────────────


def take_picture(data: bytes) -> object:
    """As `prepare` and the explorer do; a picture is bounded here to what a case may take."""
    name = ("x.jpg", "x.png", "x.tiff", "y")[len(data) % 4]
    decode.make_record(data, name, size=8, scaled=len(data) % 2 == 0, exif=len(data) % 3 == 0, limit_pixels=1 << 20)
    return decode.decode(data, name, exif=len(data) % 2 == 0, limit_pixels=1 << 20)


def exif_with(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def frames(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (5, 5)).save(stream, kind, save_all=True, append_images=[Image.new("RGB", (5, 5), "red")])
    return stream.getvalue()


PICTURES: dict[str, list[Any]] = {
    "JPEG": [
        partial(picture, "JPEG"),
        partial(picture, "JPEG", "L"),
        partial(picture, "JPEG", "CMYK"),
        partial(picture, "JPEG", progressive=True),
        partial(picture, "JPEG", side=64),
        lambda: picture("JPEG", exif=exif_with(6)),
        lambda: picture("JPEG", exif=exif_with(99)),
    ],
    "PNG": [
        partial(picture, "PNG"),
        partial(picture, "PNG", "RGBA"),
        partial(picture, "PNG", "P"),
        partial(picture, "PNG", "1"),
        partial(picture, "PNG", "LA"),
        partial(picture, "PNG", "I;16"),
        lambda: picture("PNG", "I;16", transparency=200),
        lambda: picture("PNG", exif=exif_with(3)),
        partial(frames, "PNG"),
    ],
    "GIF": [partial(picture, "GIF"), lambda: picture("GIF", "P", transparency=0), partial(frames, "GIF")],
    "WebP": [partial(picture, "WEBP"), partial(picture, "WEBP", "RGBA", lossless=True), partial(frames, "WEBP")],
    "BMP": [
        partial(picture, "BMP"),
        partial(picture, "BMP", "P"),
        partial(picture, "BMP", "1"),
        partial(picture, "BMP", "RGBA"),
    ],
    "TIFF": [
        partial(picture, "TIFF"),
        partial(picture, "TIFF", "LAB"),
        partial(picture, "TIFF", "I;16"),
        partial(picture, "TIFF", "F"),
        partial(picture, "TIFF", "1", compression="group4"),
        partial(picture, "TIFF", compression="tiff_lzw"),
        lambda: picture("TIFF", tiffinfo={0x0112: 6}),
        lambda: picture("TIFF", "L", tiffinfo={262: 0}),
        partial(frames, "TIFF"),
    ],
    "PPM": [
        partial(picture, "PPM"),
        partial(picture, "PPM", "L"),
        partial(picture, "PPM", "1"),
        partial(picture, "PPM", "I;16"),
        lambda: b"P2\n3 2\n1000\n" + b"1 2 3\n400 500 999\n",
        lambda: b"Pf\n2 1\n-1.0\n" + struct.pack("<2f", 1, 2),
    ],
    "ICO": [partial(picture, "ICO"), partial(picture, "ICO", "RGBA", bitmap_format="bmp")],
    "JPEG2000": [
        partial(picture, "JPEG2000"),
        partial(picture, "JPEG2000", "LA"),
        partial(picture, "JPEG2000", "L", no_jp2=True),
    ],
    "AVIF": [partial(picture, "AVIF", speed=10)],
}
OTHERS = [
    b"",
    b"\0" * 40,
    b"<svg xmlns=''>",
    b"<!doctype html>",
    b"<?xml version='1'?>",
    b"%PDF-1",
    b"%!PS",
    b"PK\3\4",
    b"....ftypheic",
]


def pictures(kind: str, folder: Path) -> Target:
    Image.init()  # all plugins at once: they are code that is imported late
    found = [make() for make in PICTURES[kind]]
    return Target([*found, *(OTHERS if kind == "PNG" else [])], mutate.any_bytes, take_picture)


# ── sources ──────────────────────────────────────────────────────────────────────────────────────────────────────


def look(source: Any) -> None:
    """The first items of a source, as `prepare` reads them."""
    for part in source.splits.values():
        for item in part[:2]:
            _ = item.size
            item.read()


def annotations(folder: Path) -> Target:
    objects = b"".join(
        b"<object><name>%s</name><difficult>%d</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>6.5"
        b"</ymax></bndbox></object>" % (name, name == b"dog")
        for name in (b"cat", b"dog")
    )
    voc = b"<annotation><folder>x</folder><filename>a.png</filename>" + objects + b"</annotation>"
    polygon = b"<polygon><pt><x>1</x><y>2</y></pt><pt><x>6</x><y>7</y></pt></polygon>"
    labelme_ = b"<annotation><filename>a.png</filename><object><name>cat</name><deleted>0</deleted>" + polygon
    labelme_ += (
        b"</object><object><name>tree</name><deleted>1</deleted></object><object><name>car</name></object></annotation>"
    )
    (folder / "Annotations").mkdir()
    (folder / "JPEGImages").mkdir()
    (folder / "JPEGImages" / "a.png").write_bytes(picture("PNG", side=9))
    other = folder / "Annotations" / "b.xml"
    other.write_bytes(voc.replace(b"cat", b"bird").replace(b"a.png", b"b.png"))
    (folder / "JPEGImages" / "b.png").write_bytes(picture("PNG", side=9))
    (folder / "Annotations" / "notes.md").write_bytes(b"")

    def read(path: Path) -> object:
        look(labelme.open_labelme(folder))
        return labelme.annotated_pictures(folder)

    return Target([voc, labelme_], mutate.xml, in_file(folder / "Annotations" / "a.xml", read))


def image_sets(folder: Path) -> Target:
    from alexnet.features.voc import open_pictures

    annotations(folder)
    for name in ("a", "b"):
        objects = "".join(f"<object><name>{one}</name></object>" for one in ("cat", name))
        text = f"<a><filename>{name}.png</filename>{objects}</a>"
        (folder / "Annotations" / f"{name}.xml").write_text(text)
        (folder / "JPEGImages" / f"{name}.png").write_bytes(b"")
    (folder / "ImageSets" / "Main").mkdir(parents=True)
    (folder / "ImageSets" / "Main" / "test.txt").write_bytes(b"b 1\n")
    path = folder / "ImageSets" / "Main" / "trainval.txt"
    return Target([b"a 1\nb -1\n", b"a\n", b"x\n"], mutate.text, in_file(path, lambda path: open_pictures(folder)))


def mat_files(folder: Path) -> Target:
    from made_sources import mat, synsets

    found = [mat({"synsets": synsets(2012, 2)}, order, packed) for order in "<>" for packed in (False, True)]
    found += [mat({"synsets": synsets(2010, 2), "x": np.eye(2), "y": "text"}), mat({"synsets": 3.0})]
    path = folder / "meta.mat"
    return Target(found, mutate.mat, in_file(path, read_classes))


def class_lists(folder: Path) -> Target:
    """Lists of each form, in each order that can be wished for or known of weights."""
    from made_sources import mat, synsets

    words = b"n00000001 cat, house cat\nn00000003 dog\nn00000002 bird\n"
    texts = [words, b"n00000001 cat\nn00000002\n", b"cat\ndog\ncat\n", b"cat\n", b"n00000001 x\n" * 2, b"\xff"]
    texts += [INDEX, INDEX.replace(b"n0", b"m0"), mat({"synsets": synsets(2012, 2)}), mat({"synsets": 3.0})]
    found = [b"%d" % place + text for text in texts[:3] + texts[6:9] for place in range(8)]
    found += [b"0" + text for text in texts]
    return Target(found, behind_a_digit(class_text), partial(take_classes, folder))


INDEX = b'{"0": ["n00000001", "cat"], "1": ["n00000003", "dog"], "2": ["n00000002", "cat"]}'


def class_index(folder: Path) -> Target:
    pairs = (b'{"0": ["a", "cat"], "2": ["b", "dog"]}', b'[["a", "b"]]')
    return Target(
        [b"%d" % place + text for text in (INDEX, *pairs) for place in range(8)],
        behind_a_digit(mutate.json_file),
        partial(take_classes, folder),
    )


def behind_a_digit(change: mutate.Change) -> mutate.Change:
    """The first byte is not of the file: it says what is asked of it."""
    return lambda random, data: random.choice(b"01234567").to_bytes(1) + change(random, data[1:])


def class_text(random: Random, data: bytes) -> bytes:
    change = mutate.json_file if data[:1] == b"{" else mutate.mat if data[:6] == b"MATLAB" else mutate.text
    return change(random, data)


def take_classes(folder: Path, data: bytes) -> object:
    asked, text = int(data[:1]) if data[:1].isdigit() else 0, data[1:]
    path = folder / ("a.json" if text[:1] == b"{" else "a.mat" if text[:6] == b"MATLAB" else "synset_words.txt")
    path.write_bytes(text)
    if path.suffix == ".txt":
        folder_module.human_names(folder, ("n00000001", "n00000002", "cat"))
    found = read_classes(path, (None, "sorted", "devkit", "listed")[asked % 4])
    return found.arranged("sorted synset" if asked % 8 < 4 else "")


folder_module = folder


def cifar_batches(folder: Path) -> Target:
    from made_sources import cifar as make

    make(folder, each=2)
    (folder / cifar.META).write_bytes(pickle.dumps({b"label_names": [b"cat", b"dog"]}, protocol=2))
    names = (*cifar.TRAIN, cifar.TEST)
    small, odds = pickle.loads((folder / "data_batch_1").read_bytes()), []
    columns = pickle.dumps({b"data": np.asfortranarray(np.zeros((2, 3072), np.uint8)), b"labels": [1, 0]}, protocol=2)
    for odd in (
        {b"labels": [7, 0]},
        {b"labels": [0]},
        {b"data": np.zeros((2, 3072))},
        {b"data": [1]},
        {"x": "y", 1: 2},
    ):
        odds.append(pickle.dumps(small | odd, protocol=2))
    odds += [pickle.dumps({"label_names": names}, protocol=2) for names in (["cat", "dog"], [], ["a", 1], "cat")]
    evil = [b"cos\nsystem\n(S'true'\ntR.", pickle.dumps(small, protocol=4), b"\x80\x02}q\0.", pickle.dumps([1], 2)]
    rest = {name: (folder / name).read_bytes() for name in names}

    def read(data: bytes) -> object:
        meta = b"label_names" in data
        (folder / "data_batch_1").write_bytes(rest["data_batch_1"] if meta else data)
        (folder / cifar.META).write_bytes(data if meta else known)
        source = cifar.open_cifar(folder)
        look(source)
        return source

    known = (folder / cifar.META).read_bytes()
    return Target([rest["data_batch_1"], columns, known, *odds, *evil], pickle_bytes, read)


def pickle_bytes(random: Random, data: bytes) -> bytes:
    """Opcodes are single bytes: most changes among the first and last hundred, not in the pixels."""
    if len(data) < 400 or random.random() < 0.1:
        return mutate.any_bytes(random, data)
    if random.random() < 0.5:
        return mutate.any_bytes(random, data[:260]) + data[260:]
    return data[:-140] + mutate.any_bytes(random, data[-140:])


def norb_files(folder: Path) -> Target:
    from made_sources import norb_matrix

    pictures_ = norb_matrix(np.arange(5 * 2 * 3 * 3, dtype=np.uint8).reshape(5, 2, 3, 3))
    labels = norb_matrix(np.arange(5, dtype=np.int32))
    for name in ("training", "testing"):
        (folder / f"smallnorb-1-{name}-dat.mat").write_bytes(pictures_)
        (folder / f"smallnorb-1-{name}-cat.mat").write_bytes(labels)
    known = {f"smallnorb-1-training-{kind}.mat": data for kind, data in (("dat", pictures_), ("cat", labels))}

    def read(data: bytes) -> object:
        laid_out(folder, unpacked(data), known | twice)
        return look(norb.open_norb(folder))

    twice, dat = {"smallnorb-2-training-dat.mat": pictures_}, "smallnorb-1-training-dat.mat"
    flat = norb_matrix(np.arange(5 * 6, dtype=np.uint8).reshape(5, 2, 3))
    cases = [known, known | twice, known | {dat: flat}, known | {dat: labels}]
    return Target([packed(case) for case in cases], of_files({".mat": mutate.any_bytes}), read)


def tiny(folder: Path) -> Target:
    for name in ("train/n1/images/a.png", "train/n2/images/b.png", "val/images/c.png", "val/images/d.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    (folder / "val" / "images" / ".x").write_bytes(b"")
    (folder / "test").mkdir()
    (folder / "train" / "n1" / "n1_boxes.txt").write_bytes(b"")
    path = folder / tiny_imagenet.ANNOTATIONS
    lines = b"c.png\tn1\t0\t0\t1\t1\nd.png\tn2\t0\t0\t2\t2\n"
    return Target([lines], mutate.text, in_file(path, lambda path: look(tiny_imagenet.open_tiny_imagenet(folder))))


def kits(folder: Path) -> Target:
    """The packed development kit, the rest being sound."""
    from made_sources import ilsvrc as make
    from made_sources import mat, synsets, tar

    make(folder, val=(1, 2, 3))
    kit = ilsvrc.EDITIONS[0].kit
    meta, truth = mat({"synsets": synsets(2012, 2)}, packed=True), b"1\n2\n3\n"
    names = ("devkit/data/meta.mat", "devkit/data/ILSVRC2012_validation_ground_truth.txt", "devkit/readme.txt")
    plain = tar(dict(zip(names, (meta, truth, b"x"), strict=True)))
    links = tar({names[0]: meta, names[1]: truth}, links={"data/x": "/etc/passwd"})
    zipped = tar(dict(zip(names, (meta, truth, b"x"), strict=True)), "w:gz")
    packed_kit = seeds.either(mutate.tar, mutate.in_tar(mutate.text), 0.8)
    rows = synsets(2012, 2)
    odd = [
        rows[:2],
        [row | {"ILSVRC2012_ID": 1} for row in rows],
        [row | {"WNID": "n1"} for row in rows],
        [row | {"num_children": number} for number, row in enumerate(rows)],
        [row | {"num_children": "x"} for row in rows],
        synsets(2010, 2),
    ]
    loose = [meta, *(mat({"synsets": one}) for one in odd)]
    unpacked_kit = folder / "devkit" / "data"
    unpacked_kit.mkdir(parents=True)

    def change(random: Random, data: bytes) -> bytes:
        return (mutate.mat if data[:6] == b"MATLAB" else packed_kit)(random, data)

    def read(data: bytes) -> object:
        """A kit as it was downloaded; or, unpacked, its list of classes."""
        for path in (folder / kit, *unpacked_kit.iterdir()):
            path.unlink(missing_ok=True)
        if data[:6] == b"MATLAB":
            (unpacked_kit / "meta.mat").write_bytes(data)
            (unpacked_kit / ilsvrc.EDITIONS[0].truth("val")).write_bytes(truth)
        else:
            (folder / kit).write_bytes(data)
        return ilsvrc.Kit.read(folder, ilsvrc.EDITIONS[0])

    return Target([plain, links, zipped, *loose], change, read)


def tars(folder: Path) -> Target:
    """The tars of training and validation pictures; the kit is sound."""
    from made_sources import WNIDS, tar
    from made_sources import ilsvrc as make

    make(folder, val=(1, 2, 3), train=1)
    edition, small = ilsvrc.EDITIONS[0], b"x"
    inner = {f"{wnid}.tar": tar({f"{wnid}_1.JPEG": small}) for wnid in WNIDS}
    val = {f"ILSVRC2012_val_{number:08d}.JPEG": small for number in (1, 2, 3)}
    kit = ilsvrc.Kit.read(folder, edition)

    def read(path: Path) -> object:
        head = path.read_bytes()[:120]
        if b".tar" in head[:100]:
            return look(SimpleNamespace(splits={"train": ilsvrc._train_tar(path, edition, kit, {})}))
        (folder / edition.tar("val")).write_bytes(path.read_bytes())
        pictures_ = ilsvrc._numbered(ilsvrc.Listing(folder), edition, "val")
        assert pictures_ is not None
        return look(SimpleNamespace(splits={"val": ilsvrc._labelled(pictures_, kit.truths["val"], kit, folder, "val")}))

    found = [tar(inner), tar(val), tar({**val, "folder/": b""}), tar(val, links={"x": "/etc/passwd"}), small * 600]
    return Target(found, mutate.tar, in_file(folder / edition.tar("train"), read))


def tables(folder: Path) -> Target:
    for name in ("a.png", "b.png", "c.png", "d.jpg"):
        (folder / name).write_bytes(b"x")
    with_titles = b"file,label,split,person\na.png,cat,train,p\nb.png,dog,val,q\nc.png,dog,train,q\nd,cat,test,r\n"
    bare = b"a.png\tcat\nb.png\tdog\nc.png\tcat\n"
    found = [with_titles, bare, with_titles.replace(b",", b";"), with_titles.decode().encode("utf-16"), b'"a.png","c\n']
    path = folder / "list.csv"
    return Target(found, mutate.text, in_file(path, lambda path: look(open_source(path, group="person"))))


def zips(folder: Path) -> Target:
    members = {f"photos/{kind}/{number}.png": picture("PNG") for kind in ("cat", "dog") for number in range(2)}
    split = {f"{part}/{name}": data for part in ("train", "val") for name, data in members.items()}
    packed_small = io.BytesIO()
    with zipfile.ZipFile(packed_small, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    path = folder / "photos.zip"
    return Target(
        [mutate.zip_of(members), mutate.zip_of(split), packed_small.getvalue(), mutate.zip_of({"x": b""})],
        seeds.either(mutate.zipped(mutate.any_bytes), mutate.any_bytes),
        in_file(path, lambda path: look(open_source(path))),
    )


def parquets(folder: Path) -> Target:
    arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    rows = [{"bytes": picture("PNG"), "path": None}] * 4
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    about = json.dumps({"info": {"features": features}})
    found = []
    for labels, metadata in (([0, 1, 0, 1], about), ([0, 1, 7, -1], about), (["a", "b", "a", "b"], "{}")):
        table = arrow.table({"image": rows, "label": labels}).replace_schema_metadata({"huggingface": metadata})
        stream = io.BytesIO()
        parquet.write_table(table, stream, compression="none")
        found.append(stream.getvalue())
    path = folder / "train-00000-of-00001.parquet"
    return Target(found, mutate.any_bytes, in_file(path, lambda path: look(open_source(path.parent))))


def arrows(folder: Path) -> Target:
    arrow, found = importlib.import_module("pyarrow"), []
    for labels in (["a", "b", "a", "b"], [0, 1, 0, 1]):
        table = arrow.table({"image": [{"bytes": picture("PNG"), "path": None}] * 4, "label": labels})
        sink = arrow.BufferOutputStream()
        with arrow.ipc.new_stream(sink, table.schema) as out:
            out.write_table(table, max_chunksize=3)
        found.append(sink.getvalue().to_pybytes())
    (folder / "state.json").write_text("{}")
    path = folder / "data-00000-of-00001.arrow"

    def read(data: bytes) -> object:
        path.unlink(missing_ok=True)  # an earlier case may still be mapped
        path.write_bytes(data)
        return look(open_source(folder))

    return Target(found, mutate.any_bytes, read)


def corrections(folder: Path) -> Target:
    labels, keys = np.array([0, 1, 0]), ["cat/a.png", "dog/b.png", "cat/c.png"]
    split = SourceSplit(keys, labels, lambda place: b"x")
    source = Source("folder", ("cat", "dog"), ("cat", "dog"), "sorted", {"train": split}, ())
    text = b"file,label,suggested,p(label),why\ncat/a.png,cat,dog,0.1,label\ncat/c.png,cat,leave out,,x\n"
    path = folder / "corrections.csv"
    return Target(
        [text, text.splitlines()[0], b"\xef\xbb\xbf" + text],
        mutate.text,
        in_file(path, lambda path: look(corrected(source, path))),
    )


# ── stores ───────────────────────────────────────────────────────────────────────────────────────────────────────

PART_FILES = ("labels.npy", "digests.npy", "keys.txt", "offsets.npy", "records.bin", "pictures.npy")


def resealed_store(description: dict[str, Any], root: Path | None = None) -> bytes:
    """store.json with the fingerprint and checksum that fit it, where that can be."""
    plain = {key: value for key, value in description.items() if key not in ("fingerprint", "checksum")}
    try:
        return json.dumps(completed(plain)).encode()
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return json.dumps(description).encode()


def descriptions(folder: Path) -> Target:
    store = seeds.copied("raw.store", folder)
    jpeg = (seeds.FORMATS / "jpeg.store" / "store.json").read_bytes()

    def change(random: Random, data: bytes) -> bytes:
        changed = mutate.json_file(random, data)
        try:
            value = json.loads(changed)
        except (ValueError, RecursionError):
            return changed
        return resealed_store(value) if isinstance(value, dict) and random.random() < 0.9 else changed

    def read(path: Path) -> object:
        read_description(path.parent)
        opened = Store.open(path.parent)
        opened.report()
        return opened.verify()

    return Target([(store / "store.json").read_bytes(), jpeg], change, in_file(store / "store.json", read))


def store_files(kind: str, folder: Path) -> Target:
    """The files of a store's part, what store.json promises of them brought up to date."""
    store = seeds.copied(f"{kind}.store", folder)
    names = [name for name in PART_FILES if (store / "train" / name).exists()]
    known = {f"train/{name}": (store / "train" / name).read_bytes() for name in names}
    known |= {name: (store / name).read_bytes() for name in ("report.json", "statistics.safetensors")}
    plain = json.loads((store / "store.json").read_bytes())
    npy, rows = mutate.npy, array_rows
    changes: dict[str, Any] = {
        ".npy": seeds.either(npy, rows, 0.3),
        "keys.txt": mutate.text,
        "records.bin": mutate.any_bytes,
    }
    changes |= {"report.json": mutate.json_file, ".safetensors": mutate.safetensors}

    def seal(files: Files) -> Files:
        return files | {"sealed": b"1"}

    def read(data: bytes) -> object:
        files = unpacked(data)
        laid_out(store, files, known)
        if "sealed" in files:
            _promised_anew(store, plain, files)
        opened = Store.open(store)
        part = opened.splits["train"]
        if len(data) % 3 == 0:
            return opened.verify(lambda *_: None)
        _ = opened.statistics, opened.sums, opened.report(), list(part.keys)[:3], part.keys[:2]
        if len(part):
            part.read(np.arange(len(part))[:2], threads=1)
        if kind == "raw" or len(data) % 4 == 1:
            _ = part.pictures.sum()
        return opened.verify() or remarks_on(opened)

    return Target([packed(known), packed(known | {"sealed": b"1"})], of_files(changes, seal), read)


def array_rows(random: Random, data: bytes) -> bytes:
    """What lies behind an array's header."""
    return data[:128] + mutate.any_bytes(random, data[128:])[: max(0, len(data) - 128)].ljust(
        max(0, len(data) - 128), b"\0"
    )


def _promised_anew(store: Path, plain: dict[str, Any], files: Files) -> None:
    told = json.loads(json.dumps(plain))
    for name in files:
        place, _, file = name.rpartition("/")
        where = told["parts"][place]["files"] if place in told["parts"] else told["files"]
        if file in where:
            where[file] = to_json(ListedFile.of(store / name))
    digests = files.get("train/digests.npy", b"")
    records = files.get("train/records.bin")
    if records is not None and len(digests) > 144:  # so that a changed record is decoded, not refused before
        ends = np.frombuffer(files.get("train/offsets.npy", b"")[128:144].ljust(16, b"\0")[:16], "<i8")
        if len(ends) == 2:
            fresh = (
                digests[:128] + layout.digest_of(records[max(0, int(ends[0])) : max(0, int(ends[1]))]) + digests[144:]
            )
            (store / "train" / "digests.npy").write_bytes(fresh)
            told["parts"]["train"]["files"]["digests.npy"] = to_json(ListedFile.of(store / "train" / "digests.npy"))
    (store / "store.json").write_bytes(resealed_store(told))


def journals(folder: Path) -> Target:
    """The journal of a store that is being made, and the report that it speaks of."""
    from alexnet.data.store.journal import Writer

    settings = {"pillow": "1", "size": 4, "format": "raw"}
    save_journal(folder, State.before(("train", "val"), settings))
    known = {name: (folder / name).read_bytes() for name in (layout.JOURNAL,)} | {"report.json": b'{"odd_files": ['}

    def seal(files: Files) -> Files:
        return files | {layout.JOURNAL: journal_sealed(files[layout.JOURNAL])} if layout.JOURNAL in files else files

    def read(data: bytes) -> object:
        files = unpacked(data)
        laid_out(folder, files, known)
        state = load_journal(folder)
        if state is None:
            return None
        odd_files_of(folder, state)
        with Writer(folder, replace(state, settings=settings)) as writer:  # others would have been refused
            return writer.state

    return Target(
        [packed(known)],
        of_files({"safetensors": mutate.one_of(mutate.safetensors, journal_words), ".json": mutate.text}, seal),
        read,
    )


def _journal_parts(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    from alexnet.files.outputs import metadata_in

    try:
        return metadata_in(io.BytesIO(data)), load(data)
    except (SafetensorError, ValueError, KeyError, RecursionError, TypeError):
        return None


def journal_words(random: Random, data: bytes) -> bytes:
    """What the journal says, or the sums beside it."""
    parts = _journal_parts(data)
    if parts is None:
        return mutate.any_bytes(random, data)
    metadata, tensors = parts
    if random.random() < 0.8:
        words = mutate.json_file(random, metadata.get("journal", "{}").encode()).decode("utf-8", "replace")
        return layout.tensor_bytes(tensors, metadata | {"journal": words})
    return layout.tensor_bytes(mutate.arrays(random, tensors), metadata)


def journal_sealed(data: bytes) -> bytes:
    from alexnet.data.store.journal import _checksum

    parts = _journal_parts(data)
    if parts is None:
        return data
    metadata, tensors = parts
    try:
        sums = SimpleNamespace(pixels=tensors["pixels"], products=tensors["products"])
        return layout.tensor_bytes(tensors, metadata | {"checksum": _checksum(metadata["journal"], sums)})
    except KeyError:
        return data


def folders(folder: Path) -> Target:
    """Names of folders and files, as an archive of a stranger leaves them."""
    import shutil

    known = b"train/cat/a.png\ntrain/dog/b.png\nval/cat/c.png\nval/dog/d.png\ntest/cat/e.jpg\nx.txt\n"
    flat, flowers = b"cat/a.png\ndog/b.png\ndog/.x\n", b"cat/a.png\nCAT/b.png\n"
    clutter = b"BACKGROUND_Google/a.png\ncat/b.png\ndog/c.png\n"
    place = folder / "source"

    def read(data: bytes) -> object:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for line in data.split(b"\n")[:12]:
            path = bytes(place) + b"/" + line
            parts = line.split(b"/")
            if line and not {b"..", b""} & set(parts) and len(line) < 200 and b"\0" not in line:
                try:
                    (place / Path(*map(_decoded, parts))).parent.mkdir(parents=True, exist_ok=True)
                    with open(path, "wb"):
                        pass
                except OSError:
                    continue
        return look(open_source(place))

    return Target([known, flat, flowers, clutter], mutate.text, read)


def _decoded(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def archives(folder: Path) -> Target:
    """A tar by itself: members by position."""
    from made_sources import tar

    found = [tar({"a.png": b"abc", "b/c.png": b"d" * 600}), tar({}), tar({"x": b"y"}, links={"l": "x"})]

    def read(path: Path) -> object:
        some = list(archive.members(path))
        reader = archive.TarReader([path], [(0, member) for member in some])
        return [reader(place) for place in range(len(some))]

    return Target(found, mutate.tar, in_file(folder / "x.tar", read))


SOURCES = "alexnet/data/sources/"
STORE = (
    *(f"Store.{name}" for name in ("__init__", "open", "statistics", "sums", "report", "verify", "_statistics_file")),
    *(
        f"StoreSplit.{name}"
        for name in ("__init__", "keys", "digests", "pictures", "record", "verify", "_fault_of_record")
    ),
    *(f"StoreSplit.{name}" for name in ("_read_rows", "_check_record", "_decoded", "_fill", "_span", "_check_file")),
    *("StoreSplit._checked_labels", "StoreSplit._checked_offsets", "StoreSplit._small_array", "Keys"),
)
"""What reads a store's files; what checks the arguments of who calls does not belong to it."""
PARQUET = {"alexnet/data/sources/parquet.py": ()}
DATA_PARSERS = [
    *(Parser(f"picture {kind}", partial(pictures, kind), DECODE, "pictures") for kind in PICTURES),
    Parser(
        "store.json",
        descriptions,
        {
            "alexnet/data/store/description.py": (
                "read_description",
                "StoreDescription.__post_init__",
                "_check_files",
                "fingerprint_of",
                "ListedFile.check",
            ),
        },
    ),
    Parser("store raw", partial(store_files, "raw"), {"alexnet/data/store/read.py": STORE}, "stores"),
    Parser("store jpeg", partial(store_files, "jpeg"), {"alexnet/data/store/read.py": STORE}, "stores"),
    Parser(
        "journal",
        journals,
        {
            "alexnet/data/store/journal.py": (
                "load_journal",
                "odd_files_of",
                "_check_sound",
                "Writer._opened",
            ),
            "alexnet/files/growing.py": ("GrowingFile.__init__",),
        },
    ),
    Parser("table", tables, {SOURCES + "table.py": ()}),
    Parser("zip", zips, {SOURCES + "zipped.py": ()}),
    *(
        [Parser("Parquet", parquets, PARQUET), Parser("Arrow", arrows, PARQUET)]
        if importlib.util.find_spec("pyarrow")
        else []
    ),
    Parser("corrections", corrections, {SOURCES + "corrections.py": ()}),
    Parser("annotations", annotations, {SOURCES + "labelme.py": ()}),
    Parser("image sets", image_sets, {"alexnet/features/voc.py": ("open_pictures", "_presence", "_split", "_listed")}),
    Parser(
        "devkit",
        kits,
        {SOURCES + "ilsvrc.py": ("Kit.read", "_files_of_kit", "_unpacked", "_truth", "leaves_of")},
    ),
    Parser(
        "tars",
        tars,
        {
            SOURCES + "ilsvrc.py": ("_train_tar", "_by_base_name", "_by_number", "_labelled", "_check_classes"),
            SOURCES + "archive.py": (),
        },
    ),
    Parser("tar", archives, {SOURCES + "archive.py": ("members", "TarReader.__call__")}),
    Parser("mat", mat_files, {SOURCES + "mat.py": ()}),
    Parser(
        "class list",
        class_lists,
        {
            "alexnet/data/sources/classes.py": ("read_classes", "_kit", "ClassList"),
            "alexnet/data/sources/class_text.py": (),
            SOURCES + "folder.py": ("read_words", "human_names"),
        },
        "lists of classes",
    ),
    Parser("class index", class_index, {"alexnet/data/sources/class_text.py": ()}, "lists of classes"),
    Parser("CIFAR-10", cifar_batches, {SOURCES + "cifar.py": ()}),
    Parser("NORB", norb_files, {SOURCES + "norb.py": ()}),
    Parser(
        "Tiny-ImageNet", tiny, {SOURCES + "tiny_imagenet.py": ("open_tiny_imagenet", "_validation", "_annotations")}
    ),
    Parser(
        "folders",
        folders,
        {
            **{SOURCES + name: () for name in ("folder.py", "found.py", "layouts.py")},
            SOURCES + "base.py": ("check", "_check_class_names", "listed"),
            SOURCES + "caltech.py": (),
        },
    ),
]
