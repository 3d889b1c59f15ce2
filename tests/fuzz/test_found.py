"""What the fuzzer found, each fault once: a sentence now, where there was a traceback, memory taken or a file read."""

import contextlib
import io
import json
import pickle
import re
import struct
import sys
import tarfile
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save

sys.path.insert(0, str(Path(__file__).parent))  # test folders are not packages

import mutate
import seeds
from of_runs import indexes

from alexnet.data.sources import ilsvrc, open_source
from alexnet.data.sources.archive import members
from alexnet.data.sources.cifar import open_cifar
from alexnet.data.store.journal import State, load_journal, odd_files_of, save_journal
from alexnet.data.store.read import Store
from alexnet.errors import LONGEST, UserError
from alexnet.experiments.report import write_report
from alexnet.features.file import load_features
from alexnet.features.similar.index import Description, Index, Made, Origin
from alexnet.features.voc import _listed
from alexnet.files import npy as arrays
from alexnet.files.schema import (
    AnyFloat,
    Count,
    Key,
    Range,
    from_json,
    json_bytes,
    read_json,
    reading_errors,
    sealed,
    to_json,
)
from alexnet.files.tensors import DamagedFile, load_tensors, save_tensors
from alexnet.images.decode import Undecodable
from alexnet.measure.probabilities import Probabilities
from alexnet.measure.run import Run
from alexnet.nets import table_json
from alexnet.nets.table import with_classes
from alexnet.nets.zoo import find
from alexnet.report.recipe import recipe_text
from alexnet.runs.folder import RunFolder
from alexnet.runs.history import History, read_history, read_now
from alexnet.see.activation_statistics import ActivationStatistics
from alexnet.see.keypoints import read_keypoints, size_of
from alexnet.see.top import Top
from alexnet.train.options import TrainOptions
from alexnet.train.resume import recorded_options, resume_run
from alexnet.weights import ImportOptions, read_weights
from alexnet.weights.caffe import mean_image_in
from alexnet.weights.onnx.rows import array_of
from alexnet.weights.quantised import PREFIX

A_RESULT = min((Path(__file__).parents[2] / "docs" / "results").glob("A-fig3-*.json"))


def file(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text", [b'{"a": NaN}', b'{"a": 1e999}', b'{"a": -Infinity}', b"[" * 100_000, b'{"a": ' * 50_000]
)
def test_numbers_that_are_none_and_nesting_without_end(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(UserError, match="not JSON"):
        read_json(file(tmp_path / "a.json", text))


def test_a_file_is_as_large_as_it_is_whatever_its_limit(tmp_path: Path) -> None:
    """Four gigabytes were asked for, since a report may be as large."""
    path = file(tmp_path / "a.json", {"a": 1})
    tracemalloc.start()
    read_json(path, limit_bytes=1 << 32)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1 << 20


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(UserError, match="a file was expected"):
        read_json(tmp_path / "a.json")


def test_a_message_does_not_repeat_a_file_of_any_length() -> None:
    words = str(UserError("x.json: " + "a" * 50_000 + " Restore it."))
    assert len(words) <= LONGEST
    assert words.startswith("x.json: aaa")
    assert words.endswith("Restore it.")


@dataclass(frozen=True)
class Inner:
    loss: AnyFloat
    path: Path | None = None


@dataclass(frozen=True)
class Outer:
    learning_rate: Annotated[float, Range(0, 10), Key("learning_rate", "rate")]
    kind: Literal["a", "b"] = "a"
    inner: dict[str, Inner] = field(default_factory=dict)
    corners: tuple[int, int] | None = None
    keys: tuple[str, ...] = ()
    sides: int | tuple[Count, Count] = 1

    def __post_init__(self) -> None:
        if len(set(self.keys)) < len(self.keys):
            raise ValueError("a key twice")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rate": 11}, "rate is 11, which can't be"),
        ({"rate": True}, "rate is True, which can't be"),
        ({"rate": 10**400}, "rate is 1000"),
        ({"rate": float("nan")}, "rate is nan, which can't be"),
        ({"kind": "c"}, "kind is 'c', which can't be"),
        ({"kind": None}, "kind is None, which can't be"),
        ({"inner": {"x": {"loss": "much"}}}, r"inner\.x\.loss is 'much', which can't be"),
        ({"inner": {"x": {}}}, r"inner\.x\.loss is missing"),
        ({"inner": {"x": {"loss": 1, "path": 3}}}, r"inner\.x\.path is 3, which can't be"),
        ({"inner": []}, r"inner is \[\], which can't be"),
        ({"corners": [1]}, r"corners is \[1\], which can't be"),
        ({"corners": [1, 2.5]}, r"corners\[1\] is 2\.5, which can't be"),
        ({"keys": ["a", 1]}, r"keys\[1\] is 1, which can't be"),
        ({"keys": ["a", "a"]}, "it does not fit together: a key twice"),
        ({"sides": [1, -1]}, r"sides is \[1, -1\], which can't be"),
    ],
)
def test_a_dataclass_is_its_schema(change: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=rf"^a\.json: damaged, {words}.* Restore it\.$"):
        from_json({"rate": 0.1} | change, Outer, "a.json", "Restore it.")


def test_a_dataclass_comes_back_from_json() -> None:
    inner = {"a": Inner(float("inf"), Path("x/y")), "b": Inner(1)}
    value = Outer(0.1, "b", inner, (1, 2), ("p", "q"), (3, 4))
    written = json.loads(json.dumps(to_json(value)))
    assert next(iter(written)) == "learning_rate"
    assert from_json(written, Outer, "a.json", "") == value
    assert from_json({"rate": 1, "unknown": 2}, Outer, "a.json", "") == Outer(1)
    with pytest.raises(UserError, match=r"damaged, unknown is not known\. Restore it\."):
        from_json({"rate": 1, "unknown": 2}, Outer, "a.json", "Restore it.", strict=True)


class Extensible(TypedDict):
    count: Count
    inner: NotRequired[Inner]


def test_a_typed_dictionary_keeps_unknown_keys() -> None:
    read = from_json({"count": 1, "inner": {"loss": 2}, "more": 3}, Extensible, "a.json", "")
    assert read == {"count": 1, "inner": Inner(2), "more": 3}
    with pytest.raises(UserError, match="count is -1, which can't be"):
        from_json({"count": -1}, Extensible, "a.json", "")


@pytest.mark.parametrize(
    "fault", [struct.error("x"), RecursionError(), MemoryError(), OSError("x"), KeyError("a" * 9999)]
)
def test_whatever_a_reader_raises_is_named(fault: Exception) -> None:
    with pytest.raises(UserError, match=r"^a\.bin: .* Restore it\.$"), reading_errors("a.bin", "Restore it."):
        raise fault


# ── arrays ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "array", [np.arange(6.0).reshape(2, 3), np.float32(3), np.zeros((0, 2)), np.array(["a", "bc"])]
)
def test_arrays_come_back(array: np.ndarray) -> None:
    for order in "CF":
        again = arrays.array_in(seeds.npy_of(np.array(array, order=order)))
        assert np.array_equal(again, array)
        assert again.dtype == np.asarray(array).dtype


@pytest.mark.parametrize(
    "shape", ["(4611686018427387905,)", "(-1,)", "(2147483648, 2147483648, 4)", "(" * 90 + ")" * 90, "('a',)"]
)
def test_headers_that_lie_take_no_memory(shape: str) -> None:
    """NumPy's reader evaluated them: TokenError, MemoryError, arrays of exabytes."""
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    with pytest.raises(ValueError, match=r"header|bytes for an array"):
        arrays.array_in(b"\x93NUMPY\1\0" + len(head).to_bytes(2, "little") + head + bytes(12))


def test_no_mean_image_among_none() -> None:
    with pytest.raises(UserError, match="a mean image is"):
        mean_image_in(seeds.npy_of(np.zeros((0, 3, 2, 2), np.float32)), "a.npy")


def test_objects_are_no_arrays() -> None:
    stream = io.BytesIO()
    np.save(stream, np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="no plain array"):
        arrays.array_in(stream.getvalue())
    with pytest.raises(UserError, match="no mean image"):
        mean_image_in(stream.getvalue(), "a.npy")


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return seeds.copied("run", tmp_path)


def edited(run: Path, change: Callable[[dict[str, Any]], Any]) -> RunFolder:
    config = json.loads((run / "config.json").read_bytes())
    change(config)
    (run / "config.json").write_bytes(json_bytes(sealed(config)))
    return RunFolder.open(run)


CONFIGS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "data.pictures": lambda config: config["data"].update(pictures={"train": "many"}),
    "classes.names": lambda config: config["classes"].update(names=7),
    "network.input_size": lambda config: config["network"].update(input_size=1 << 40),
    "network.table": lambda config: config["network"].update(table=[]),
    "machine.device": lambda config: config["machine"].update(device="\0"),
    "recipe.learning_rate": lambda config: config["recipe"].update(learning_rate="fast"),
    "options": lambda config: config.update(options=None),
    "options.width": lambda config: config["options"].update(width="wide"),
    "options.input_size": lambda config: config["options"].update(input_size=1 << 44),
    "missing_layers": lambda config: config.update(missing_layers=[1]),
}


@pytest.mark.parametrize("part", CONFIGS)
def test_configs_of_another_form(run: Path, part: str) -> None:
    with pytest.raises(UserError, match=rf"config\.json: damaged, {re.escape(part)}"):
        edited(run, CONFIGS[part])


ROWS: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "maps": lambda rows: rows[0].update(maps=1 << 60),
    "kernel": lambda rows: rows[0].update(kernel=-3),
    "a stride of 0": lambda rows: rows[0].update(stride=0),
    "padding": lambda rows: rows[0].update(padding=[1, 2, 3]),
    "reads": lambda rows: rows[0].update(reads=[[9], [9]]),
    "a row of no kind": lambda rows: rows[0].update(row="Dense8"),
    "a kind of another row": lambda rows: rows[1].update(kind="max"),
    "two of one name": lambda rows: rows[1].update(name="conv1"),
    "a name that modules can't have": lambda rows: rows[1].update(name="a.b"),
    "none with weights": lambda rows: rows.__delitem__(slice(None)),
    "a name that networks have": lambda rows: rows[1].update(name="forward"),
    "more than it can have": lambda rows: rows.extend([dict(rows[1], name=f"r{n}") for n in range(2000)]),
}


@pytest.mark.parametrize("what", ROWS)
def test_tables_of_another_form(run: Path, what: str) -> None:
    config = json.loads((run / "config.json").read_bytes())
    ROWS[what](config["network"]["table"]["rows"])
    with pytest.raises(UserError):
        _ = edited(run, lambda there: there.update(config)).network


def test_weights_are_compared_before_memory_is_taken(run: Path) -> None:
    """A table of 2^40 weights beside a file of some thousand."""

    def widen(config: dict[str, Any]) -> None:
        for row in config["network"]["table"]["rows"]:
            row.update({name: 1 << 20 for name in ("maps", "units") if name in row and row["name"] != "fc8"})

    with pytest.raises(UserError, match=r"conv1\.weight is \(8, 3, 5, 5\); .* needs \(1048576, 3, 5, 5\)"):
        _ = edited(run, widen).network


def test_options_of_another_kind(run: Path) -> None:
    opened = edited(run, lambda config: config["options"].update(start_from=True))
    with pytest.raises(UserError, match=r"options: damaged, start_from is True"):
        recorded_options(opened, TrainOptions())


def test_a_recipe_without_a_rate_is_told_without_it(run: Path) -> None:
    edited(run, lambda config: config["recipe"].update(learning_rate=None))
    facts = recipe_text(Run.open(run, device="cpu"), History())
    assert facts["Learning rate, momentum, weight decay"] == "0.9 · 0.0005"


def test_weights_of_another_kind(run: Path) -> None:
    tensors, about = load_tensors(run / "model.safetensors")
    save_tensors(run / "model.safetensors", tensors | {"conv1.bias": torch.zeros(8, dtype=torch.int64)}, about)
    with pytest.raises(UserError, match="int64"):
        _ = RunFolder.open(run).network


def test_an_empty_tensor_has_a_digest(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a.safetensors", {"x": torch.zeros(0, 3)})
    assert load_tensors(tmp_path / "a.safetensors")[0]["x"].shape == (0, 3)


def test_what_is_said_of_tensors_must_be_a_table(tmp_path: Path) -> None:
    from alexnet.files.tensors import tensor_digest

    data = save({}, {"about": "[1]", "sha256": tensor_digest({}, "[1]")})
    with pytest.raises(DamagedFile, match="not a JSON object"):
        load_tensors(file(tmp_path / "a.safetensors", data))


@pytest.mark.parametrize("name", ["epoch-x.safetensors", "epoch-²", "epoch-" + "9" * 200, "epoch-"])
def test_snapshots_of_other_names_are_passed_over(run: Path, name: str) -> None:
    (run / "snapshots" / name).write_bytes(b"")
    assert list(RunFolder.open(run).snapshots) == [1]


@pytest.mark.parametrize(
    "change", [{"mean_image": torch.zeros(3, 4, 5)}, {"eigenvalues": torch.zeros(3)}, {"x": torch.zeros(1)}]
)
def test_statistics_of_another_shape(run: Path, change: dict[str, torch.Tensor]) -> None:
    tensors = {"mean_image": torch.zeros(3, 26, 26)} | change
    save_tensors(run / "inputs.safetensors", tensors)
    with pytest.raises(UserError, match="not the statistics of a run"):
        _ = RunFolder.open(run).inputs


@pytest.mark.parametrize(
    "change", [{"time": 1e300}, {"time": "x"}, {"epoch": [1]}, {"val_nll": "low"}, {"event": None}]
)
def test_lines_of_a_log(run: Path, change: dict[str, Any]) -> None:
    line = json.loads((run / "log.jsonl").read_bytes().splitlines()[2])
    (run / "log.jsonl").write_text(json.dumps(line | change) + "\n")
    with pytest.raises(UserError, match="line 1"):
        read_history(run / "log.jsonl")


def test_figures_of_a_training_that_went_astray_are_read(run: Path) -> None:
    line = json.loads((run / "log.jsonl").read_bytes().splitlines()[2])
    (run / "log.jsonl").write_text(json.dumps(line | {"train_loss": float("nan")}) + "\n")
    assert len(read_history(run / "log.jsonl").epochs) == 1


def test_where_a_training_stands_with_numbers_of_any_length(tmp_path: Path) -> None:
    assert read_now(file(tmp_path / "now.json", b'{"epoch": ' + b"9" * 400 + b"}")) is None


# ── what is kept ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("labels", "about"),
    [([5, 0], {}), ([0], {}), ([0, 1], {"keys": [1, 2]}), ([0, 1], {"class_ids": 2}), ([0, 1], {"keys": ["a"]})],
)
def test_probabilities_of_another_form(tmp_path: Path, labels: list[int], about: dict[str, Any]) -> None:
    tensors = {"probabilities": torch.full((2, 2), 0.5), "labels": torch.tensor(labels)}
    save_tensors(tmp_path / "a", tensors, {"keys": ["a", "b"], "class_ids": ["x", "y"]} | about)
    with pytest.raises(UserError, match="damaged"):
        Probabilities.load(tmp_path / "a")


def test_strongest_pictures_and_spreads_of_another_form(tmp_path: Path) -> None:
    tensors = {f"conv1/{what}": torch.zeros(2, 2) for what in ("values", "pictures", "places")}
    save_tensors(tmp_path / "top", tensors, {"layers": ["conv1"], "pictures": 3})
    with pytest.raises(UserError, match="no strongest pictures"):
        Top.load(tmp_path / "top")
    save_tensors(tmp_path / "top", tensors, {"layers": 7, "pictures": 3})
    with pytest.raises(UserError, match="layers"):
        Top.load(tmp_path / "top")
    save_tensors(tmp_path / "spread", {"conv1": torch.zeros(3)})
    with pytest.raises(UserError, match="no activations"):
        ActivationStatistics.load(tmp_path / "spread")


@pytest.mark.parametrize(
    "about", [{"shape": 3}, {"count": -1}, {"type": "object"}, {"keys": ["a"]}, {"shape": [1 << 62, 1 << 62]}]
)
def test_features_of_another_form(tmp_path: Path, about: dict[str, Any]) -> None:
    (tmp_path / "f.npy").write_bytes(seeds.npy_of(np.zeros((2, 2), np.float32)))
    file(tmp_path / "f.json", {"count": 2, "shape": [2], "type": "float32"} | about)
    with pytest.raises(UserError):
        load_features(tmp_path / "f.npy")


def test_a_result_can_show_no_file_from_elsewhere(tmp_path: Path) -> None:
    """Its figures are put into the report: /etc/passwd, if it says so."""
    result = json.loads(A_RESULT.read_bytes())
    result["figures"] = [{"caption": "x", "file": "../secret.png", "name": "x"}]
    file(tmp_path / "results" / "a.json", result)
    (tmp_path / "secret.png").write_bytes(b"secret")
    with pytest.raises(UserError, match=r"figures\[0\] .* is no name of a figure"):
        write_report(tmp_path)


@pytest.mark.parametrize("part", ["rows", "verdicts", "data", "seconds", "versions", "notes", "agrees", "figures"])
def test_results_of_another_form(tmp_path: Path, part: str) -> None:
    result = json.loads(A_RESULT.read_bytes())
    file(tmp_path / "a.json", result | {part: [7]})
    with pytest.raises(UserError, match=rf"a\.json: damaged, {part}"):
        write_report(tmp_path)


def test_a_result_s_broken_text_can_be_written(tmp_path: Path) -> None:
    result = json.loads(A_RESULT.read_bytes()) | {"title": "\ud800"}
    file(tmp_path / "a.json", result)
    assert all(path.exists() for path in write_report(tmp_path))


@pytest.mark.parametrize("entry", [{"a": [10**400, 1]}, {"box": [1, 2]}, 7, {"box": ["x", 0, 1, 1]}])
def test_key_points_of_another_form(tmp_path: Path, entry: Any) -> None:
    path = file(tmp_path / "points.json", {"cat.jpg": entry})
    with contextlib.suppress(UserError):  # refused, or what is no point is passed over
        assert [one.points for one in read_keypoints(path)] == [{}]


def test_key_points_of_what_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x\.png"):
        size_of(file(tmp_path / "x.png", b"P6 x"))
    with pytest.raises(UserError):
        read_keypoints(file(tmp_path / "points.json", {"a\0": {}}))


def test_lists_are_no_longer_than_the_file_that_they_are_in(tmp_path: Path) -> None:
    """faiss allocated what a list said of its length: 2 GB for a file of 360 bytes."""
    faiss = pytest.importorskip("faiss")
    target = indexes(tmp_path)
    for data in target.seeds:
        with contextlib.suppress(UserError):
            target.take(data)
    assert faiss.get_deserialization_vector_byte_limit() < 10_000
    assert faiss.get_deserialization_loop_limit() < 10_000


# ── stores and sources ───────────────────────────────────────────────────────────────────────────────────────────


def journal(folder: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    save_journal(folder, State.before(("train",), {"size": 4, "format": "raw"}))
    from of_data import _journal_parts, journal_sealed

    from alexnet.data.store import layout

    path = folder / layout.JOURNAL
    found = _journal_parts(path.read_bytes())
    assert found is not None
    words = json.loads(found[0]["journal"])
    change(words)
    path.write_bytes(journal_sealed(layout.tensor_bytes(found[1], found[0] | {"journal": json.dumps(words)})))
    return folder


@pytest.mark.parametrize(
    "change",
    [
        lambda words: words.update(splits={"../../x": words["splits"]["train"]}),
        lambda words: words["splits"]["train"].update(count="many"),
        lambda words: words["splits"]["train"].update(digests=None),
        lambda words: words.update(report_length=-1),
        lambda words: words.update(first_refused=7),
        lambda words: words.update(splits=[]),
    ],
)
def test_journals_of_another_form(tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    with pytest.raises(UserError, match="journal"):
        load_journal(journal(tmp_path, change))


def test_a_journal_that_is_nested_without_end_and_a_report_that_is_none(tmp_path: Path) -> None:
    begun = load_journal(journal(tmp_path, lambda words: words.update(report_digest="", report_length=16)))
    assert begun is not None
    (tmp_path / "report.json").write_bytes(b'{"odd_file": [  ')
    with pytest.raises(UserError, match="odd_files"):
        odd_files_of(tmp_path, begun)


def test_statistics_of_a_store_that_are_none(tmp_path: Path) -> None:
    from of_data import _promised_anew

    store = seeds.copied("raw.store", tmp_path)
    plain = json.loads((store / "store.json").read_bytes())
    (store / "statistics.safetensors").write_bytes(b"x" * 300)
    _promised_anew(store, plain, {"statistics.safetensors": b""})
    with pytest.raises(UserError, match=r"statistics\.safetensors: damaged"):
        _ = Store.open(store).statistics


def test_a_batch_of_cifar_whose_array_has_no_such_shape(tmp_path: Path) -> None:
    from made_sources import cifar

    cifar(tmp_path, each=1)
    data = (tmp_path / "data_batch_1").read_bytes()
    (tmp_path / "data_batch_1").write_bytes(data.replace(struct.pack("<H", 3072), struct.pack("<H", 3073), 1))
    with pytest.raises(UserError, match="cannot reshape array"):
        open_cifar(tmp_path)
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps([1], 2))
    with pytest.raises(UserError, match="no dictionary"):
        open_cifar(tmp_path)


def test_a_list_of_pictures_that_is_no_text(tmp_path: Path) -> None:
    assert _listed(file(tmp_path / "a.txt", b"\xff\xfe 1\nb\n")) == ["��", "b"]


def tar_of_size(size: bytes) -> bytes:
    """A tar of one file, whose header has these twelve bytes in its size's place."""
    info = tarfile.TarInfo("kit/meta.mat")
    header = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    header[124:136], header[148:156] = size, b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(10240 - len(header))


def test_a_tar_that_leads_back_for_ever(tmp_path: Path) -> None:
    path = file(tmp_path / "kit.tar", tar_of_size(b"\xff" * 12))
    with pytest.raises(UserError, match="damaged"):
        list(members(path))
    with contextlib.suppress(UserError):
        ilsvrc._unpacked(path, {"meta.mat"})


def test_a_packed_kit_that_ends_in_its_first_bytes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="damaged"):
        ilsvrc._unpacked(file(tmp_path / "kit.tar.gz", b"\x1f\x8b\x08"), {"meta.mat"})


def test_a_kit_whose_numbers_are_infinite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ilsvrc, "read_mat", lambda *_: {"synsets": [{"num_children": np.array([[np.inf]])}]})
    with pytest.raises(UserError, match="no field"):
        ilsvrc.leaves_of(b"", ilsvrc.EDITIONS[0], tmp_path)


@pytest.mark.parametrize("kind", ["<f9", "<f444444444", "<U9999999999999"])
def test_an_array_of_a_type_that_there_is_not(kind: str) -> None:
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': (1,), }}".encode()
    with pytest.raises(ValueError, match=r"type|cut short"):
        arrays.array_in(arrays.MAGIC + b"\1\0" + struct.pack("<H", len(header)) + header)


# ── weights ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_archives_that_are_cut_short_or_unpack_without_end(tmp_path: Path) -> None:
    import gzip

    with pytest.raises(UserError):
        read_weights(file(tmp_path / "a.tar.gz", gzip.compress(b"x" * 5000)[:40]))
    head = tarfile.TarInfo("a.pth")
    head.size = 1 << 40
    with pytest.raises(UserError, match="unpacks to more"):
        read_weights(file(tmp_path / "b.tar", head.tobuf() + bytes(1024)))


def test_weights_of_onnx_of_a_type_that_there_is_not() -> None:
    onnx = pytest.importorskip("onnx")
    tensor = onnx.TensorProto(name="fc8.weight", data_type=99, dims=[1], raw_data=b"\0" * 4)
    with pytest.raises(UserError, match=r"net\.onnx: fc8\.weight"):
        array_of(tensor, "net.onnx")


def test_a_caffemodel_whose_last_weights_are_no_matrix(tmp_path: Path) -> None:
    from of_weights import blob

    layer = mutate._field(1, 2, b"fc8") + mutate._field(7, 2, blob(np.ones(3, np.float32)))
    with pytest.raises(UserError, match="no matrix"):
        read_weights(file(tmp_path / "a.caffemodel", mutate._field(100, 2, layer)), ImportOptions(net="toy"))


@pytest.mark.parametrize("data", [b"\x93NUMPY", b"PK", pickle.dumps(3)])
def test_an_npz_of_other_things(tmp_path: Path, data: bytes) -> None:
    path = file(tmp_path / "a.npz", mutate.zip_of({"conv1.weights.0.npy": data}))
    with pytest.raises(UserError, match=r"a\.npz"):
        read_weights(path, ImportOptions(net="toy"))


def test_a_quantised_set_that_is_none(tmp_path: Path) -> None:
    for content in (b"", b"\1\0\0\0", struct.pack("<5i", 4, 1 << 24, 1 << 24, 1 << 24, 1 << 24)):
        file(tmp_path / f"{PREFIX}ctrdLst.01.bin", content)
        file(tmp_path / f"{PREFIX}asmtLst.01.cbn", content)
        with pytest.raises(UserError):
            read_weights(tmp_path)


@pytest.mark.parametrize(
    "change", [{"input": {"std": [0, 1, 1], "mean": [1, 2, 3]}}, {"network": 7}, {"data": []}, {"input": {}}]
)
def test_a_description_beside_weights(tmp_path: Path, change: dict[str, Any]) -> None:
    from of_weights import described, small_state

    file(tmp_path / "a.safetensors", save(small_state()))
    file(tmp_path / "a.safetensors.json", described() | change)
    with pytest.raises(UserError, match=r"a\.safetensors\.json"):
        read_weights(tmp_path / "a.safetensors")


def test_a_run_without_a_state_whose_table_has_other_outputs_than_classes(tmp_path: Path) -> None:
    """Torch's own words came, of sizes that do not match. The options may say another network: the table counts."""
    run, store = seeds.small_run("begun-run", tmp_path), Store.open(seeds.copied("raw.store", tmp_path))
    for state in RunFolder.open(run).checkpoints():
        state.unlink()
    state, *_ = resume_run(store, run, TrainOptions())
    table = state.network.table
    assert table == RunFolder.open(run).table
    other = {"table": table_json.to_json(with_classes(table, table.classes + 1))}
    state.run.write_config(network=state.run.config["network"] | other)
    with pytest.raises(UserError, match=r"config\.json: its network has \d+ outputs for \d+ classes"):
        resume_run(store, run, TrainOptions())


def test_an_index_whose_options_say_nothing_of_codes_and_lists(tmp_path: Path) -> None:
    described = Description("", "fc7", 1, Origin("", {}), Made(), {})
    index = Index(tmp_path, described, np.zeros((1, 2), np.float32), ["a"], np.zeros(1, int), ["b"])
    assert index.bits is None
    for by in ("codes", "faiss"):
        with pytest.raises(UserError, match="Build it with"):
            index.search(np.zeros((1, 2)), 1, by)


def test_a_table_comes_back_whole() -> None:
    for name in ("alexnet", "toy", "zfnet"):
        known = find(name)
        assert table_json.from_json(json.loads(json.dumps(table_json.to_json(known))), "x") == known


# ── archives and tables of one's own pictures ────────────────────────────────────────────────────────────────────


def test_a_member_of_a_zip_without_a_name_is_skipped(tmp_path: Path) -> None:
    """IndexError in zipfile's is_dir."""
    names = {f"{kind}/{number}.png": b"x" for kind in ("cat", "dog") for number in range(2)}
    (tmp_path / "a.zip").write_bytes(mutate.zip_of({"": b"x", **names}))
    assert [item.key for item in open_source(tmp_path / "a.zip").splits["train"]] == list(names)


def test_names_in_a_zip_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    """UnicodeDecodeError, at the opening or at a member's own header."""
    data = mutate.zip_of({f"{kind}/ä{number}.png": b"x" for kind in ("cat", "dog") for number in range(2)})
    (tmp_path / "a.zip").write_bytes(data.replace("ä".encode(), b"\xff\xff"))
    with pytest.raises(UserError, match=r"a\.zip: a damaged zip archive"):
        open_source(tmp_path / "a.zip")
    (tmp_path / "a.zip").write_bytes(data.replace("ä".encode(), b"\xff\xff", 1))
    with pytest.raises(Undecodable, match="damaged or encrypted"):
        open_source(tmp_path / "a.zip").splits["train"][0].read()


def test_damaged_pages_of_a_parquet_file_are_an_undecodable_picture(tmp_path: Path) -> None:
    """OSError of pyarrow."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = arrow.table({"image": [{"bytes": b"picture", "path": None}] * 2, "label": ["cat", "dog"]})
    parquet.write_table(table, tmp_path / "train-0.parquet", compression="none", use_dictionary=False)
    data = bytearray((tmp_path / "train-0.parquet").read_bytes())
    data[4:24] = bytes(20)
    (tmp_path / "train-0.parquet").write_bytes(data)
    with pytest.raises(Undecodable, match="damaged in its file"):
        open_source(tmp_path).splits["train"][0].read()
