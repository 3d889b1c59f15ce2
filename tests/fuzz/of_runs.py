"""Parsers of run folders and what lies in them, of kept measurements, and of what the explorer is asked."""

import asyncio
import json
import urllib.parse
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import mutate
import numpy as np
import seeds
import torch
from bundle import Files, laid_out, of_files, packed, unpacked
from engine import Parser, Target
from PIL import Image
from seeds import in_file

from alexnet.data.store.read import Store
from alexnet.experiments import report
from alexnet.experiments.running import read_results
from alexnet.features.file import check_features, load_features, open_features
from alexnet.features.similar.index import Index
from alexnet.files.schema import parsed
from alexnet.files.tensors import load_tensors, save_tensors
from alexnet.measure import ensemble, verify
from alexnet.measure.probabilities import Probabilities
from alexnet.measure.run import Run
from alexnet.measure.verify import (
    check_inputs,
    check_log,
    check_model,
    check_snapshot,
    check_state,
    verify_run,
)
from alexnet.report.run import about_run, headline
from alexnet.runs.folder import RunFolder
from alexnet.runs.history import day, read_history, read_now
from alexnet.runs.hub import model_card
from alexnet.see.activation_statistics import ActivationStatistics
from alexnet.see.keypoints import in_view, read_keypoints, region_in_view
from alexnet.see.top import Top, merge
from alexnet.serve.app import create_app
from alexnet.serve.explorer import Explorer
from alexnet.serve.guard import Access
from alexnet.serve.open_networks import OpenNetwork
from alexnet.serve.pages.home import home_page, state_of
from alexnet.serve.run_cache import CachedEvaluation
from alexnet.serve.uploads import RecordFormat
from alexnet.train.options import TrainOptions
from alexnet.train.plan import Subject
from alexnet.train.recipes import every_recipe
from alexnet.train.resume import recorded_options

RESULTS = seeds.FORMATS.parents[2] / "docs" / "results"


# ── run folders ──────────────────────────────────────────────────────────────────────────────────────────────────


def configs(folder: Path) -> Target:
    run = seeds.small_run("run", folder)
    weights, known = run / "model.safetensors", RunFolder.open(run)

    def read(path: Path) -> object:
        if not path.stat().st_size:
            path.unlink()
        RunFolder.open(run, altered=True)
        opened = RunFolder.open(run)
        asked = Run.open(run, device="cpu")
        _ = (
            opened.table,
            opened.class_names,
            asked.class_ids,
            opened.missing_layers,
            opened.public_config(),
            RecordFormat.of(asked),
        )
        recorded_options(opened, TrainOptions())
        model_card(opened)
        home_page(OpenNetwork("own", "run", "1", asked))
        if opened.table == known.table:  # a table of others has no weights here
            opened.load_weights(weights)
        return opened.snapshots

    found = [(run / "config.json").read_bytes(), b"", *odd_tables(known.config)]
    return Target(found, seeds.json_sealed(mutate.json_file), in_file(run / "config.json", read))


def odd_tables(config: dict[str, Any]) -> list[bytes]:
    """The config with tables that are none, its checksum right."""
    told = config["network"]["table"]
    rows = told["rows"]
    first, last = rows[0], rows[-1]
    lacking = {key: value for key, value in first.items() if key not in ("maps", "kernel")}
    odd = [
        [],
        [first, *rows],
        [row for row in rows if row["row"] not in ("Conv", "Dense")],
        [first | {"row": "x"}, last],
    ]
    odd += [[first | {"x": 1}, last], [lacking, last], [first | {"padding": [1, 2], "reads": [[0]]}, *rows[1:]]]
    return [
        seeds.sealed_json(
            json.dumps(config | {"network": config["network"] | {"table": told | {"rows": one}}}).encode()
        )
        for one in odd
    ]


def verified(folder: Path) -> Target:
    """Config, weights and states held against each other, as `alexnet verify` does."""
    run = seeds.small_run("run", folder)
    opened = RunFolder.open(run)
    weights = dict(load_tensors(run / "model.safetensors")[0])
    opened.save_checkpoint(
        2, {f"{kind}/{name}": one.clone() for kind in ("weight", "velocity") for name, one in weights.items()}, {}
    )
    save_tensors(run / "kept.safetensors", {"x": torch.ones(1)})
    config, model = opened.config, (run / "model.safetensors").read_bytes()

    def read(path: Path) -> object:
        """Of a run that has not finished the weights are not there yet."""
        if b'"finished": false' in path.read_bytes():
            (run / "model.safetensors").unlink(missing_ok=True)
        else:
            (run / "model.safetensors").write_bytes(model)
        return [str(one) for one in verify_run(run)]

    one_id = config["classes"] | {"ids": ["a"] * len(config["classes"]["ids"])}
    news = ({}, {"finished": False}, {"classes": one_id}, {"classes": one_id | {"ids": ["a"]}})
    found = [seeds.sealed_json(json.dumps(config | new).encode()) for new in news]
    found.append(json.dumps(config | {"checksum": ""}).encode())
    return Target(found, seeds.json_sealed(mutate.json_file), in_file(run / "config.json", read))


def tensors_of_run(name: str, folder: Path) -> Target:
    run = seeds.small_run("run", folder)
    path = run / name
    opened = RunFolder.open(run)
    rows = opened.table

    def read(path: Path) -> object:
        asked = RunFolder(run, opened.config)
        asked.table = rows
        if name.startswith("inputs"):
            return asked.inputs.mean, asked.inputs.positions, verify._found("x", partial(check_inputs, asked))
        asked.load_weights(path)
        return verify._found(
            "x", partial(check_model, asked) if name[0] == "m" else partial(check_snapshot, asked, path, 1)
        )

    found = [path.read_bytes()]
    tensors, about = load_tensors(path)
    if name.startswith("inputs"):
        for side in (64, 4):
            save_tensors(path, tensors | {"mean_image": torch.ones(3, side, side)}, about)
            found.append(path.read_bytes())
    return Target(found, seeds.tensors_sealed, in_file(path, read))


def states(folder: Path) -> Target:
    """A state that a training goes on from."""
    from alexnet.train.resume import restored, resume_run

    run, store = seeds.small_run("begun-run", folder), Store.open(seeds.copied("raw.store", folder))
    path = run / "state" / "step-000000000.safetensors"
    state, _, _ = resume_run(store, run, TrainOptions())

    def read(path: Path) -> object:
        opened = RunFolder(run, state.run.config)
        opened.table = state.network.table
        tensors, about, _ = opened.latest_checkpoint()
        if tensors is not None:
            restored(state, tensors, about)
        return verify._found("x", partial(check_state, opened, path))

    return Target([path.read_bytes()], seeds.tensors_sealed, in_file(path, read))


def resumed(folder: Path) -> Target:
    """A config that a training goes on by."""
    from alexnet.train.resume import resume_run

    run, store = seeds.small_run("begun-run", folder), Store.open(seeds.copied("raw.store", folder))
    state = RunFolder.open(run).checkpoints()[0]
    names = "config.json", str(state.relative_to(run))
    known = {name: (run / name).read_bytes() for name in names}
    tensors, about = load_tensors(state)
    save_tensors(state, tensors, about | {"cursor": about["cursor"] | {"epoch": 4}})
    later, config = state.read_bytes(), json.loads(known["config.json"])
    wishes = (TrainOptions(), TrainOptions(epochs=2), TrainOptions(), TrainOptions(seed=9), TrainOptions())

    def seal(files: Files) -> Files:
        return files | {"config.json": seeds.sealed_json(files["config.json"])} if "config.json" in files else files

    def read(data: bytes) -> object:
        laid_out(run, unpacked(data), known)
        return resume_run(store, run, wishes[len(data) % len(wishes)])[1]

    def with_recipe(**news: Any) -> bytes:
        return seeds.sealed_json(json.dumps(config | {"options": config["options"] | news}).encode())

    cases = [known, {names[0]: known[names[0]]}, known | {names[1]: later}, known | {names[1]: b"x"}]
    cases += [known | {names[0]: with_recipe(recipe=name)} for name in every_recipe()]
    cases += [
        known | {names[0]: seeds.sealed_json(json.dumps({k: v for k, v in config.items() if k != "starts"}).encode())}
    ]
    other = config["starts"][0] | {"layout": config["starts"][0]["layout"] | {"processes": 2}}
    cases += [known | {names[0]: seeds.sealed_json(json.dumps(config | {"starts": [other]}).encode())}]
    machine = config["machine"] | {"kernels": "others"}
    cases += [known | {names[0]: seeds.sealed_json(json.dumps(config | {"machine": machine}).encode())}]
    found = [packed(case | {"more": b" " * more}) for case in cases for more in range(len(wishes))]
    return Target(found, of_files({".json": options_json, ".safetensors": seeds.tensors_sealed}, seal), read)


def options_json(random: Random, data: bytes) -> bytes:
    """A change of what going on reads, not of the network's rows, half of the time."""
    try:
        value = json.loads(data)
        part = random.choice(("options", "machine", "starts", "recipe", "data"))
        if random.random() < 0.5 and part in value:
            return mutate.json_text(value | {part: mutate.json_value(random, value[part])})
    except (ValueError, TypeError, RecursionError):
        pass
    return mutate.json_file(random, data)


def file_names(folder: Path) -> Target:
    """Names of snapshots and states."""
    run = seeds.small_run("run", folder)
    config, data = RunFolder.open(run).config, b"no file of tensors"

    def read(name: bytes) -> object:
        for place in ("snapshots", "state"):
            (run / place).mkdir(exist_ok=True)
            for old in (run / place).iterdir():
                old.unlink()
        told = name.decode("utf-8", "surrogateescape").replace("/", "_")[:120].replace("\0", "0").strip(".") or "x"
        (run / "snapshots" / f"epoch-{told}").write_bytes(data)
        (run / "state" / f"step-{told}.safetensors").write_bytes(data)
        opened = RunFolder(run, config)
        return opened.snapshots, opened.latest_checkpoint()[2]

    return Target([b"0001.safetensors", b"12.safetensors", b"000000000"], mutate.text, read)


def logs(folder: Path) -> Target:
    run = seeds.small_run("run", folder)
    path = run / "log.jsonl"
    known = path.read_bytes()
    lines = known.splitlines(keepends=True)
    epoch = lines[2]
    longer = b"".join([*lines[:3], epoch.replace(b'"epoch": 1', b'"epoch": 2').replace(b'"step": 2', b'"step": 4')])
    asked = Run.open(run, device="cpu")

    def read(path: Path) -> object:
        history = read_history(path)
        for name in ("val_nll", "train_loss", "learning_rate", "val_top1_error"):
            history.curve(name)
        state_of(OpenNetwork("own", "run", "1", asked), history)
        Subject.of(None, run, 1, None)
        _ = headline(asked, history, {}), about_run(asked, history, None)
        return [day(when) for when in (history.began, history.last) if when], verify._found(
            "x", partial(check_log, RunFolder(run, asked.config))
        )

    return Target([known, longer, b"", b"\n"], mutate.json_lines, in_file(path, read))


def nows(folder: Path) -> Target:
    told = {"epoch": 1, "batch": 2, "batches": 3, "loss": 0.5, "top1_error": 0.5, "speed": 10.0, "seconds_left": 3.5}
    long = b" " * ((1 << 16) + 1)  # longer than any that is read
    found = [json.dumps(told).encode(), json.dumps(told | {"loss": float("nan")}).encode(), long]
    return Target(found, mutate.json_file, in_file(folder / "now.json", now))


def now(path: Path) -> object:
    """The file; and its text as a log's line is read."""
    with suppress(ValueError):
        parsed(path.read_bytes(), strange_numbers=True)
    return read_now(path)


# ── what is kept ─────────────────────────────────────────────────────────────────────────────────────────────────


def probabilities(folder: Path) -> Target:
    path, other = folder / "a.safetensors", folder / "b.safetensors"
    values = np.random.default_rng(0).dirichlet(np.ones(5), 3).astype(np.float32)
    about = {"views": 1, "split": "val", "store": "x", "run": "y", "class_ids": list("abcde")}
    keys = ("k", "l", "m")

    def saved(values: np.ndarray, labels: list[int], keys: tuple[str, ...] = keys, **news: Any) -> bytes:
        Probabilities(values, np.array(labels), keys, about | news).save(path)
        return path.read_bytes()

    other.write_bytes(saved(np.eye(5, dtype=np.float32)[:3], [0, 1, 4]))
    narrow = np.full((3, 2), 0.5, np.float32)
    found = [
        saved(values, [0, 1, 4]),
        saved(values, [0, 1, 4], views=10),
        saved(values, [0, 1, 3]),
        saved(values, [-1, -1, -1]),
        saved(values[:2], [0, 1], ("k", "l")),
        saved(narrow, [0, 1, 0], class_ids=["a", "b"]),
    ]

    def read(path: Path) -> object:
        one, two = Probabilities.load(path), Probabilities.load(other)
        if len(one.about) % 2:
            return ensemble.submission(ensemble.average([one, one]))
        if path.stat().st_size % 2:
            ensemble.average([one, two], (0.5, 1.0))
        with patch.object(ensemble, "GRID", (0.0, 0.5, 1.0)):  # as it searches, with fewer steps
            return ensemble.search_weights([one, two if path.stat().st_size % 3 else one])

    return Target(found, seeds.tensors_sealed, in_file(path, read))


def tops(folder: Path) -> Target:
    path = folder / "top.safetensors"
    tensors = {"conv1/values": torch.rand(4, 2), "conv1/pictures": torch.zeros(4, 2, dtype=torch.int64)}
    tensors["conv1/places"] = torch.zeros(4, 2, dtype=torch.int64)
    save_tensors(
        path, tensors, {"layers": ["conv1"], "run": "x", "store": "y", "split": "val", "kept": 2, "pictures": 9}
    )
    data = path.read_bytes()

    def read(path: Path) -> object:
        found = Top.load(path)
        return merge([found, Top.load(path)]), [found[name].dead for name in found.layers]

    return Target([data], seeds.tensors_sealed, in_file(path, read))


def spreads(folder: Path) -> Target:
    path = folder / "spread.safetensors"
    save_tensors(path, {"conv1": torch.rand(5, 4), "fc6": torch.rand(5, 3)}, {"run": "x", "pictures": 5})

    def read(path: Path) -> object:
        found = ActivationStatistics.load(path)
        return [found.as_json(name, len(found.peaks) % 4) for name in (*found.peaks, "conv1")]

    return Target([path.read_bytes()], seeds.tensors_sealed, in_file(path, read))


def judged(folder: Path) -> Target:
    path = folder / "evaluation.safetensors"
    some = {"labels": [0, 1], "predicted": [0, 0], "ranks": [0, 1], "nlls": [0.1, 2.0], "confidences": [0.9, 0.8]}
    arrays = {name: np.array(values) for name, values in some.items()}
    CachedEvaluation({"run": "x", "store": "y", "split": "val"}, {1: arrays, 10: arrays}).save(path)

    def read(path: Path) -> object:
        kept = CachedEvaluation.load(path)
        return kept.about.get("run") == "x" and [sorted(found) for found in kept.arrays.values()]

    return Target([path.read_bytes()], seeds.tensors_sealed, in_file(path, read))


def features(folder: Path) -> Target:
    path = folder / "f.npy"
    about = {"count": 3, "shape": [2], "type": "float32", "layer": "fc7", "keys": ["a", "b", "c"], "labels": [0, 1, 1]}
    about |= {"format_version": 1, "class_ids": ["x", "y"], "class_names": ["x", "y"], "left_out": [], "run": "r"}
    known = {"f.npy": array_file(np.arange(6, dtype=np.float32).reshape(3, 2)), "f.json": json.dumps(about).encode()}

    def seal(files: Files) -> Files:
        return files | {"f.json": seeds.sealed_json(files["f.json"])} if "f.json" in files else files

    def read(data: bytes) -> object:
        laid_out(folder, unpacked(data), known)
        values, told = load_features(path)
        rows, _ = open_features(path)
        check_features(path, told)
        return values.sum(), rows[:2], rows[np.array([0] if len(rows) else [], np.int64)]

    return Target(
        [packed(known), packed(seal(known))], of_files({".npy": mutate.npy, ".json": mutate.json_file}, seal), read
    )


def array_file(array: np.ndarray) -> bytes:
    from alexnet.data.store.layout import npy_header

    return npy_header(array.dtype.str, array.shape) + array.tobytes()


def unfinished_features(folder: Path) -> Target:
    """Features that were begun: the journal says how far."""
    from alexnet.features.file import _opened

    path = folder / "f.npy"
    about = {"fingerprint": "x", "shape": [2], "type": "float32"}
    body = bytes(128) + bytes(24)
    from hashlib import sha256

    told = {
        "fingerprint": "x",
        "items": 3,
        "rows": 3,
        "left_out": [{"key": "a", "why": "b"}],
        "sha256": sha256(bytes(24)).hexdigest(),
    }
    found = seeds.sealed_json(json.dumps(told).encode())

    def keys_left_out(_: Path) -> list[str]:
        (folder / "f.npy.unfinished").write_bytes(body)
        file, journal = _opened(path, about)
        file.close()
        return [left_out.key for left_out in journal.left_out]

    read = in_file(folder / "f.npy.journal", keys_left_out)
    return Target([found], seeds.json_sealed(mutate.json_file), read)


def indexes(folder: Path) -> Target:
    """An index of similar pictures: description, features, codes and faiss's lists."""
    from hashlib import sha256

    from alexnet.features.similar.codes import Coder

    rows = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    about = {"count": 8, "shape": [4], "type": "float32", "keys": list("abcdefgh"), "labels": [0, 1] * 4}
    about |= {"class_names": ["x", "y"], "class_ids": ["x", "y"]}
    (folder / "i").mkdir()
    coder = Coder(4, 32)
    small = dict(coder.state_dict())
    save_tensors(
        folder / "i" / "codes.safetensors", {"codes": torch.zeros(8, 4, dtype=torch.uint8), **small}, {"bits": 32}
    )
    known = {"features.npy": array_file(rows), "features.json": json.dumps(about).encode()}
    known |= {"codes.safetensors": (folder / "i" / "codes.safetensors").read_bytes()}
    lists = faiss_lists(rows)
    known |= {"lists.faiss": lists} if lists else {}
    described = {
        "format_version": 1,
        "run_fingerprint": "r",
        "layer": "fc7",
        "views": 1,
        "pictures": {"fingerprint": "p", "parts": {"train": 8}},
    }
    described |= {"options": {"bits": 32, "lists": 2 if lists else None, "seed": 0}, "files": {}}
    known["index.json"] = json.dumps(described).encode()

    def seal(files: Files) -> Files:
        try:
            told = json.loads(files["index.json"])
            told["files"] = {
                name: {"bytes": len(data), "sha256": sha256(data).hexdigest()}
                for name, data in files.items()
                if name != "index.json"
            }
            return files | {"index.json": json.dumps(told).encode()}
        except (KeyError, ValueError, TypeError, RecursionError):
            return files

    changes = {
        "features.npy": mutate.npy,
        ".json": mutate.json_file,
        "codes.safetensors": seeds.tensors_sealed,
        ".faiss": mutate.any_bytes,
    }

    def read(data: bytes) -> object:
        place = folder / "i"
        laid_out(place, unpacked(data), known)
        index = Index.open(place)
        _ = index.keys[:1], index.labels, index.class_names, index.layer, index.views, len(index), index.verify()
        asked = len(data) % 2 == 0  # also for what it was not built for
        ways = ("exact", *(["hamming", "codes"] if asked or index.bits is not None else []))
        ways += ("faiss",) if asked or index.description.options.lists is not None else ()
        ways = tuple(reversed(ways)) if len(data) % 3 == 0 else ways
        return [index.search(rows[:1], 2, way) for way in ways]  # pyright: ignore

    plain = described | {"options": described["options"] | {"bits": None, "lists": None}}
    bare = {"features.npy": known["features.npy"], "features.json": known["features.json"]}
    exact = [bare | {"index.json": json.dumps(plain).encode() + b" " * more} for more in range(2)]
    save_tensors(
        folder / "i" / "codes.safetensors", {"codes": torch.zeros(8, 3, dtype=torch.uint8), **small}, {"bits": 32}
    )
    narrow = known | {"codes.safetensors": (folder / "i" / "codes.safetensors").read_bytes()}
    foreign = [known | {"lists.faiss": b"x"}] if lists else []
    found = [packed(seal(case)) for case in (known, *exact, narrow, *foreign)]
    return Target([*found, *(case + b"\0" for case in found)], of_files(changes, seal), read)


def faiss_lists(rows: np.ndarray) -> bytes:
    try:
        import faiss
    except ImportError:
        return b""
    made = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatL2(4), 4, 2, faiss.ScalarQuantizer.QT_fp16)
    made.train(rows)
    made.add(rows)
    return bytes(faiss.serialize_index(made).data)


def keypoints(folder: Path) -> Target:
    Image.init()
    (folder / "a.png").write_bytes(seeds.picture("PNG", side=9))
    own = {"a.png": {"left": [1, 2], "right": [3.5, 4], "box": [0, 0, 8, 8]}, "b.png": {"left": [1, 2]}}
    built_in = {"pictures": [{"file": "a.png", "keypoints": {"left": [1, 2]}, "box": [0, 1, 5, 6]}]}

    def read(path: Path) -> object:
        found = read_keypoints(path, folder)
        return [(in_view(one, 8, 6), region_in_view(one, 8, 6)) for one in found]

    found = [json.dumps(value).encode() for value in (own, built_in)]
    return Target(found, mutate.json_file, in_file(folder / "annotations-val.json", read))


def results(folder: Path) -> Target:
    """What `alexnet paper report` reads."""
    (folder / "results").mkdir()
    found = [path.read_bytes() for path in sorted(RESULTS.glob("*.json"))]
    path = folder / "results" / "a.json"

    def read(path: Path) -> object:
        report.write_report(folder)
        return [report.describe_result(result) for result in read_results(folder).values()]

    return Target(sorted(found, key=len)[:2], mutate.json_file, in_file(path, read))


def measured(folder: Path) -> Target:
    """What `alexnet paper run` and `alexnet transfer` have measured before."""
    from alexnet.experiments.lab import known_errors
    from alexnet.features.transfer import FoldAccuracy, Outcome
    from alexnet.files import schema

    errors = {"top1": 0.5, "top5": 0.1, "nll": 1.5, "pictures": 8, "run": "x", "part": "val", "views": 1}
    outcome = {"what": "fc7", "per_class": 5, "accuracies": [0.5, 0.25], "strengths": [1.0, 0.1]}
    found = [json.dumps(value).encode() for value in (errors, outcome, {"accuracy": 0.5})]

    def read(path: Path) -> object:
        words = path.read_bytes()
        if b"accura" in words:
            return schema.read(path, Outcome if b"per_class" in words else FoldAccuracy, "Remove it.")
        return known_errors(path)

    return Target(found, mutate.json_file, in_file(folder / "a.json", read))


# ── the explorer ─────────────────────────────────────────────────────────────────────────────────────────────────

QUERIES = ("GET /api/run", "GET /api/sides/own/home?v=1", "GET /api/sides/own/curves", "GET /api/sides/own/kernels")
QUERIES += ("GET /api/sides/own/layers/conv1", "GET /api/sides/own/layers/conv1/units/0", "GET /api/sides/epoch-1/home")
QUERIES += (
    "GET /api/sides/own/layers/conv1/units/7/tile.png",
    "GET /api/store/val/0.jpg",
    "POST /api/store/train/1",
    "GET /",
)
QUERIES += (
    "GET /api/sides/own/pictures/abc/view.jpg",
    "GET /api/sides/own/pictures/abc/maps/conv1/0.png",
    "GET /page/main.js",
)
QUERIES += (
    "GET /api/sides/own/curves/loss.png?dark=true",
    "POST /api/sides/own/pictures/abc/answer",
    "GET /api/filters.png?left=own&right=own",
)
QUERIES += (
    "GET /api/sides/own/pictures/abc/projection/conv1/0.png?method=deconvnet&figure=0",
    "GET /api/sides/own/kernels/0.png",
)
QUERIES += (
    "GET /layer/conv1/unit/3",
    "GET /token/api/run",
    "GET /api/openapi.json",
    "PUT /api/run",
    "GET /api/sides/own/compare",
    "GET /api/store/val/99.jpg",
    "GET /api/store/other/0.jpg",
    "WEBSOCKET /api/run",
)
HEADERS = b"\nhost: 127.0.0.1:8000\norigin: http://127.0.0.1:8000\nsec-fetch-site: same-origin\n\n"


def request(random: Random, data: bytes) -> bytes:
    """A part of the address, a header or the body changed."""
    if random.random() < 0.15:
        return mutate.any_bytes(random, data)
    head, _, body = data.partition(b"\n\n")
    lines = head.split(b"\n")
    if random.random() < 0.7:
        cut = random.choice((b"/", b"?", b"=", b" ", b"&", b"."))
        parts = lines[0].split(cut)
        place = random.randrange(len(parts))
        parts[place] = random.choice(
            (
                *mutate.WORDS,
                b"%ff%00",
                b"own",
                b"0",
                b"-1",
                b"99999999999",
                b"%2e%2e",
                b"conv1",
                b"val",
                parts[place] * 40,
            )
        )
        lines[0] = cut.join(parts)
    elif random.random() < 0.6 and len(lines) > 1:
        place = random.randrange(1, len(lines))
        lines[place] = mutate.text(random, lines[place])
    else:
        body = mutate.any_bytes(random, body)
    return b"\n".join(lines) + b"\n\n" + body


def requests(folder: Path, token: str = "") -> Target:
    run, store = seeds.small_run("run", folder), seeds.copied("raw.store", folder)
    explorer = Explorer(run, store)
    app = create_app(explorer, Access("127.0.0.1", 8000, "token" if token else ""))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    found = [query.encode() + HEADERS for query in QUERIES]
    pictures = [b"POST /api/pictures" + HEADERS + seeds.picture(kind) for kind in ("PNG", "JPEG", "WEBP")]

    def read(data: bytes) -> object:
        status = loop.run_until_complete(asyncio.wait_for(asked(app, data), 9))
        if status >= 500:
            raise RuntimeError(f"answered with {status}")
        return status

    large = [b"POST /api/pictures\ncontent-length: 99999999999" + HEADERS]
    headers = [b"host: localhost:8000\nsec-fetch-site: cross-site\nsec-fetch-mode: navigate\nsec-fetch-dest: document"]
    headers += [b"host: [::1]:8000", b"host: 192.168.1.5:8000", b"host: evil.org:8000", b"host: 127.0.0.1", b"host: :x"]
    headers += [b"host: 127.0.0.1:8000\norigin: http://evil.org", b"host: 127.0.0.1:8000\nsec-fetch-site: cross-site"]
    entered = [b"GET /" + (token.encode() + b"/api/run" if token else b"api/run") + HEADERS]
    entered += [entered[0].partition(b"\n")[0] + b"\n" + one + b"\n\n" for one in headers]
    return Target([*found, *pictures, *large, *entered], request, read)


async def asked(app: Any, data: bytes) -> int:
    """The status that a request is answered with, what is answered being read to its end or for a while."""
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    method, _, target = first.partition(b" ")
    address, _, query = target.partition(b"?")
    headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    headers = [
        pair for pair in headers if pair[0] != b"content-length" or pair[1].isdigit()
    ]  # the server refuses others
    scope = {"type": "http", "http_version": "1.1", "method": method.decode("latin-1").upper(), "scheme": "http"}
    scope |= {
        "path": urllib.parse.unquote(address.decode("latin-1")) or "/",
        "raw_path": address,
        "query_string": query,
    }
    if method == b"WEBSOCKET":
        scope |= {"type": "websocket", "scheme": "ws", "subprotocols": []}
    scope |= {
        "headers": headers,
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", 8000),
        "root_path": "",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
    }
    sent, status = 0, 0

    async def receive() -> dict[str, Any]:
        nonlocal sent
        sent += 1
        if method == b"WEBSOCKET":
            return {"type": "websocket.connect" if sent == 1 else "websocket.disconnect"}
        if sent == 1:
            return {"type": "http.request", "body": body, "more_body": False}
        await asyncio.sleep(0.05)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]

    await app(scope, receive, send)
    return status


RUN_PARSERS = [
    Parser(
        "run: config.json",
        configs,
        {
            "alexnet/runs/folder.py": (
                "RunFolder.open",
                "RunFolder.value",
                "RunFolder.public_config",
                "RunFolder.inputs",
                "RunFolder.load_weights",
            ),
            "alexnet/nets/table.py": ("from_json", "_row_from_json", "_check_columns"),
        },
    ),
    Parser(
        "run: verify",
        verified,
        {
            "alexnet/measure/verify.py": (
                "_found",
                "_files",
                "config_in_words",
                "model_in_words",
                "other_in_words",
            )
        },
    ),
    Parser(
        "run: inputs.safetensors",
        partial(tensors_of_run, "inputs.safetensors"),
        {
            "alexnet/files/tensors.py": ("load_tensors",),
            "alexnet/measure/verify.py": ("inputs_in_words", "_refuse_strange_numbers"),
        },
    ),
    Parser(
        "run: model.safetensors",
        partial(tensors_of_run, "model.safetensors"),
        {"alexnet/files/tensors.py": ("load_tensors",), "alexnet/nets/network.py": ("fill", "check_fits")},
    ),
    Parser(
        "run: snapshot",
        partial(tensors_of_run, "snapshots/epoch-0001.safetensors"),
        {"alexnet/measure/verify.py": ("snapshot_in_words", "_weights_in_words")},
    ),
    Parser(
        "run: state",
        states,
        {
            "alexnet/train/state.py": ("Job.restore", "_under"),
            "alexnet/runs/folder.py": ("RunFolder.latest_checkpoint",),
            "alexnet/measure/verify.py": ("state_in_words",),
        },
    ),
    Parser(
        "run: going on",
        resumed,
        {
            "alexnet/train/resume.py": (
                "resume_run",
                "recorded_options",
                "_keep_choices",
                "changed_machine",
                "_check_epochs",
                "check_same_store",
            )
        },
    ),
    Parser(
        "run: file names",
        file_names,
        {"alexnet/runs/folder.py": ("RunFolder.snapshots", "RunFolder.checkpoints", "RunFolder.latest_checkpoint")},
    ),
    Parser(
        "run: log.jsonl",
        logs,
        {
            "alexnet/runs/history.py": ("read_history", "_event", "History"),
            "alexnet/measure/verify.py": ("log_in_words",),
        },
    ),
    Parser(
        "run: now.json",
        nows,
        {"alexnet/runs/history.py": ("read_now",), "alexnet/files/atomic.py": ("parsed",)},
    ),
    Parser(
        "probabilities",
        probabilities,
        {
            "alexnet/measure/probabilities.py": ("Probabilities.load",),
            "alexnet/measure/ensemble.py": ("average", "check_alike", "search_weights", "submission"),
        },
    ),
    Parser("strongest pictures", tops, {"alexnet/see/top.py": ("Top.load", "merge")}),
    Parser(
        "spread",
        spreads,
        {
            "alexnet/see/activation_statistics.py": (
                "ActivationStatistics.load",
                "ActivationStatistics.histogram",
                "ActivationStatistics.as_json",
            )
        },
    ),
    Parser(
        "kept evaluation",
        judged,
        {
            "alexnet/serve/run_cache.py": ("CachedEvaluation.load",),
        },
    ),
    Parser(
        "features",
        features,
        {"alexnet/features/file.py": ("load_features", "open_features", "_header", "check_features")},
    ),
    Parser(
        "features begun",
        unfinished_features,
        {"alexnet/features/file.py": ("_opened",), "alexnet/files/growing.py": ("GrowingFile.__init__",)},
    ),
    Parser(
        "index",
        indexes,
        {
            "alexnet/features/similar/index.py": (
                "Index.open",
                "Index.verify",
                "Index._coded",
                "Index._lists",
                "Index.search",
                "_check",
            ),
            "alexnet/features/similar/codes.py": ("Coder.of",),
        },
    ),
    Parser("key points", keypoints, {"alexnet/see/keypoints.py": ()}),
    Parser(
        "results",
        results,
        {
            "alexnet/experiments/running.py": ("read_results", "read_result", "Figure"),
            "alexnet/experiments/report.py": (),
        },
    ),
    Parser(
        "requests",
        requests,
        {
            "alexnet/serve/guard.py": ("Access.knows", "_is_address", "Guard", "_from_elsewhere", "_refuse"),
            "alexnet/serve/pages/upload.py": ("upload", "_body", "_refuse_large", "choose", "prepared", "_record"),
        },
        "requests",
    ),
    Parser(
        "requests with a token", partial(requests, token="token"), {"alexnet/serve/guard.py": ("Guard",)}, "requests"
    ),
]
