"""Other people's weights: a made set of quantised ones read back word by word, a run folder made of it, damage."""

import struct
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet.data.sources.classes import read_classes, unlike
from alexnet.errors import UserError
from alexnet.measure.run import Run
from alexnet.nets.network import state_dict_shapes
from alexnet.nets.table import Table
from alexnet.nets.zoo import find
from alexnet.runs.import_weights import classes_of, import_run
from alexnet.weights import read_weights
from alexnet.weights.common import SORTED_SYNSETS, ImportedWeights
from alexnet.weights.quantised import QUANTISED_LAYERS

PREFIX = "bvlc_alexnet_aCaF."
WORD = 8


def shapes_of(rows: Table) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state_dict_shapes(rows).items()}


def floats(values: np.ndarray) -> bytes:
    return struct.pack(f"<i{values.ndim}i", values.ndim, *values.shape) + values.astype("<f4").tobytes()


def packed(words: np.ndarray, bits: int) -> bytes:
    """Numbers of `bits` bits, highest first, so many in each 4,096 bytes as fit."""
    each, blocks, flat = 4096 * 8 // bits, [], words.reshape(-1)
    for start in range(0, len(flat), each):
        row = "".join(f"{value:0{bits}b}" for value in flat[start : start + each]).ljust(4096 * 8, "0")
        blocks.append(int(row, 2).to_bytes(4096, "big"))
    return struct.pack(f"<i{words.ndim}ii", words.ndim, *words.shape, bits) + b"".join(blocks)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """A folder with conv1–conv5 and all biases, fc6–fc8 without their words; and conv weights as they should come out,
    still BGR."""
    folder, random = tmp_path_factory.mktemp("quantised"), np.random.default_rng(0)
    shapes, expected = shapes_of(find("bvlc-alexnet")), {}
    for name, number in QUANTISED_LAYERS.items():
        (folder / f"{PREFIX}biasVec.{number:02}.bin").write_bytes(floats(random.normal(size=shapes[f"{name}.bias"])))
        if name.startswith("fc"):
            continue
        out, below, kernel, _ = shapes[f"{name}.weight"]
        groups = -(-below // WORD)
        codebook = random.normal(size=(groups, 16, WORD)).astype(np.float32)
        words = random.integers(0, 16, (out, kernel, kernel, groups))
        (folder / f"{PREFIX}ctrdLst.{number:02}.bin").write_bytes(floats(codebook))
        (folder / f"{PREFIX}asmtLst.{number:02}.cbn").write_bytes(packed(words, 5))
        weight = np.zeros((out, below, kernel, kernel), np.float32)
        for m in range(groups):
            for j in range(min(WORD, below - m * WORD)):
                weight[:, m * WORD + j] = codebook[m, words[..., m], j]
        expected[name] = weight
    mean = random.uniform(90, 130, (1, 3, 256, 256)).astype(np.float32)
    (folder / "imagenet_mean.single.bin").write_bytes(floats(mean))
    names = [f"thing {number}" for number in range(999)]
    (folder / "class_names.txt").write_text("\n".join(["thing 5", *names]))
    return folder, expected | {"mean": mean[0]}


def test_every_word_comes_out_in_its_place(made: tuple[Path, dict[str, np.ndarray]]) -> None:
    folder, expected = made
    found = read_weights(folder)
    assert found.missing_layers == ("fc6", "fc7", "fc8")
    for name in ("conv1", "conv2", "conv3", "conv4", "conv5"):
        weight = expected[name][:, ::-1] if name == "conv1" else expected[name]  # conv1 reads RGB here
        assert np.array_equal(found.weights[f"{name}.weight"].numpy(), weight)
    assert np.array_equal(found.mean_image.numpy(), expected["mean"][::-1])
    assert len(found.class_names) == 1000


def test_an_exact_first_layer_takes_the_quantised_one_s_place_and_an_archive_will_do(
    made: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    exact = np.random.default_rng(1).normal(size=(96, 3, 11, 11)).astype(np.float32)
    np.save(tmp_path / "conv1_bvlc_alexnet_OIHW.npy", exact)
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz", compresslevel=1) as archive:
        archive.add(made[0], "set/qcnn")
        archive.add(tmp_path / "conv1_bvlc_alexnet_OIHW.npy", "set/conv1/conv1_bvlc_alexnet_OIHW.npy")
    found = read_weights(tmp_path / "set.tar.gz")
    assert np.array_equal(found.weights["conv1.weight"].numpy(), exact[:, ::-1])
    assert found.notes == ("conv1 is exact, not quantised",)


def test_a_run_folder_like_any_other_but_for_what_is_missing(
    made: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    import_run(made[0], tmp_path / "run")
    run = Run.open(tmp_path / "run", device="cpu")
    assert run.network.missing_layers == ("fc6", "fc7", "fc8")
    assert (run.class_names[6], run.class_ids[6]) == ("thing 5", "thing 5 6")
    assert np.array_equal(run.network.get_parameter("conv5.weight").detach().numpy(), made[1]["conv5"])
    assert torch.isnan(run.network.get_parameter("fc6.weight")).all(), "nothing can use it unseen"
    seen = run.network.activations(torch.zeros(1, 3, 227, 227))
    assert list(seen.maps)[-1] == "pool5"
    with pytest.raises(UserError, match="the weights of fc6, fc7, fc8 are missing"):
        run.predict(np.zeros((50, 50, 3), np.uint8))
    with pytest.raises(UserError, match="not empty"):
        import_run(made[0], tmp_path / "run")


def test_names_that_occur_twice_are_told_apart() -> None:
    assert unlike(["crane", "owl", "crane"]) == ["crane", "owl", "crane 2"]


def test_what_can_t_be_read(made: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("no weights")
    with pytest.raises(UserError, match="of no known format"):
        read_weights(tmp_path / "text.txt")
    with pytest.raises(UserError, match=r"text.txt: text, of no known format"):
        read_weights(tmp_path)
    with pytest.raises(UserError, match="no such file or folder"):
        read_weights(tmp_path / "absent")
    conv2 = f"{PREFIX}asmtLst.05.cbn"
    for data, message in (
        ((made[0] / conv2).read_bytes()[:-4096], "is cut short: "),
        ((made[0] / conv2).read_bytes()[:-7], "is cut short or no list"),
        (b"\xff" * 40, "first bytes are no list of dimensions"),
        (packed(np.full((256, 5, 5, 6), 31), 5), "codebook of conv2 and its list of words don't belong together"),
        (packed(np.zeros((250, 5, 5, 6), int), 5), r"conv2.weight is \(250, 48, 5, 5\); bvlc-alexnet needs \(256"),
    ):
        damaged = tmp_path / f"damaged{len(list(tmp_path.iterdir()))}"
        damaged.mkdir()
        for file in made[0].iterdir():
            (damaged / file.name).symlink_to(file)
        (damaged / conv2).unlink()
        (damaged / conv2).write_bytes(data)
        with pytest.raises(UserError, match=message):
            read_weights(damaged)


def test_the_names_beside_the_weights_are_those_of_the_outputs(tmp_path: Path) -> None:
    """config.json as Hugging Face writes it. A list given by a person may rename classes, not move them."""
    foreign = ImportedWeights(
        find("torchvision", classes=3), {}, torch.zeros(3, 256, 256), "torchvision", order=SORTED_SYNSETS
    )
    weights, listed, config = tmp_path / "model.bin", tmp_path / "names.txt", tmp_path / "config.json"
    assert classes_of(foreign, weights, None)["names"] == ["class 0", "class 1", "class 2"]
    config.write_text('{"id2label": {"2": "up", "0": "ox", "1": "cat"}}')
    weights.touch()
    for source in (weights, tmp_path):
        assert classes_of(foreign, source, None)["names"] == ["ox", "cat", "up"]
    listed.write_text("Cat\nox\nup\n")
    with pytest.raises(UserError, match=r"names\.txt: names output 0 'Cat'; by the files of .* that is output 1"):
        classes_of(foreign, tmp_path, read_classes(listed))
    assert classes_of(foreign, tmp_path, read_classes(listed, "listed"))["names"] == ["Cat", "ox", "up"]
    listed.write_text("Ochse\nCat\nup\n")
    assert classes_of(foreign, tmp_path, read_classes(listed))["names"] == ["Ochse", "Cat", "up"]
    known = replace(foreign, config={"classes": {"names": ["a", "b"], "ids": ["n00000002", "n00000001"], "order": "x"}})
    listed.write_text("n00000001 b\nn00000002 a\n")
    with pytest.raises(UserError, match="names output 0 'n00000001'"):
        classes_of(known, tmp_path / "other" / "model.bin", read_classes(listed))
    config.write_text('{"id2label": {"0": "cat", "1": "dog"}}')
    assert classes_of(foreign, weights, None)["names"][0] == "class 0", "of another network"
    config.write_text('{"id2label": {"0": "cat"}}')
    with pytest.raises(UserError, match=r"config\.json: fewer than two classes"):
        classes_of(foreign, tmp_path, None)
    config.write_text("no JSON")
    assert classes_of(foreign, weights, None)["names"][0] == "class 0"


@pytest.mark.parametrize(
    ("name", "data"), [("a.onnx", b"\x08\x08\x12\x07pytorch"), ("a.safetensors", b"\x10" + bytes(7) + b'{"a": 3}')]
)
def test_a_file_is_named_once(name: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError) as caught:
        read_weights(tmp_path / name)
    assert str(caught.value).count(name) == 1
