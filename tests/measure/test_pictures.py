"""Whatever people pass as pictures: containers of names, arrays, tensors, images, open files; and what is refused."""

import io
import itertools
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image, ImageSequence

from alexnet.features.pictures import as_pictures
from alexnet.images.decode import Undecodable
from alexnet.measure.pictures import decoded, each_picture, is_one, picture_list
from alexnet.measure.predict import Prediction
from alexnet.measure.run import Run

N = 4


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """(N, 30, 34, 3)"""
    return np.random.default_rng(0).integers(0, 256, (N, 30, 34, 3), np.uint8)


@pytest.fixture(scope="module")
def files(pixels: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("several")
    for place, one in enumerate(pixels):
        (folder / f"class{place // 2}").mkdir(exist_ok=True)
        Image.fromarray(one).save(folder / f"class{place // 2}" / f"{place}.png")
    return sorted(map(str, folder.glob("*/*.png")))


SERIES: dict[str, Callable[[list[str]], Any]] = {
    "tuple": tuple,
    "paths": lambda names: [Path(name) for name in names],
    "generator": lambda names: (name for name in names),
    "map": lambda names: map(Path, names),
    "values of a dictionary": lambda names: {name[-5:]: name for name in names}.values(),
    "keys of a dictionary": lambda names: dict.fromkeys(names).keys(),
    "array U": np.array,
    "array S": lambda names: np.array([name.encode() for name in names]),
    "array of objects": lambda names: np.array(names, object),
    "column of an array": lambda names: np.array(names, object)[:, None],
    "series": lambda names: pd.Series(names, index=[7, 5, 3, 1]),
    "index": pd.Index,
    "categorical": pd.Categorical,
    "categories": lambda names: pd.Series(names, dtype="category"),
    "frame": lambda names: pd.DataFrame({"path": names}, index=list("abcd")),
    "polars series": pl.Series,
    "polars frame": lambda names: pl.DataFrame({"path": names}),
    "lazy polars frame": lambda names: pl.LazyFrame({"path": names}),
    "polars categories": lambda names: pl.Series(names, dtype=pl.Categorical),
    "pattern": lambda names: str(Path(names[0]).parents[1] / "*" / "*.png"),
    "pattern of any depth": lambda names: Path(names[0]).parents[1] / "**" / "*.png",
    "folder": lambda names: Path(names[0]).parents[1],
}


@pytest.mark.parametrize("kind", SERIES)
def test_names_in_any_container_are_the_same_list(files: list[str], kind: str) -> None:
    given = SERIES[kind](files)
    assert not is_one(given)
    assert list(picture_list(given)) == files


@pytest.mark.parametrize("kind", [kind for kind in SERIES if kind != "folder"])
def test_any_of_these_but_a_folder_goes_with_labels(files: list[str], kind: str) -> None:
    assert list(picture_list(SERIES[kind](files), with_labels=True)) == files


class Lent:
    """As torch's tensors on a GPU and JAX's arrays are: no array, but NumPy can read it."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.array


ARRAYS: dict[str, Callable[[np.ndarray], Any]] = {
    "array": lambda x: x,
    "list": list,
    "series": lambda x: pd.Series(list(x)),
    "tensor": torch.from_numpy,
    "tensor, channels first": lambda x: torch.from_numpy(x).movedim(-1, 1),
    "list of tensors": lambda x: [torch.from_numpy(one).movedim(-1, 0) for one in x],
    "images": lambda x: [Image.fromarray(one) for one in x],
    "another library's": Lent,
    "a list of another library's": lambda x: [Lent(one) for one in x],
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_pixels_in_any_container_are_the_same(pixels: np.ndarray, kind: str) -> None:
    found = [decoded(one, "it", exif=False).pixels for one in picture_list(ARRAYS[kind](pixels), with_labels=True)]
    assert np.array_equal(found, pixels)


def test_a_run_answers_arrays_patterns_and_frames_alike(run: Run, pixels: np.ndarray, files: list[str]) -> None:
    expected = run.predict(files, views=1)
    for given in (pixels, torch.from_numpy(pixels), SERIES["pattern"](files), SERIES["frame"](files)):
        found = run.predict(given, views=1)
        assert all(np.array_equal(a.probabilities, b.probabilities) for a, b in zip(expected, found, strict=True))
    with pytest.raises(ValueError, match="picture 2: None is not a picture"):
        run.predict([files[0], None])


def test_an_array_stays_where_it_is(pixels: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", pixels)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert picture_list(mapped, with_labels=True) is mapped


def test_one_picture_of_any_kind(run: Run, files: list[str], pixels: np.ndarray, tmp_path: Path) -> None:
    data = Path(files[0]).read_bytes()
    written = io.BytesIO()
    Image.fromarray(pixels[0]).save(written, "PNG")  # its position is the end now
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        archive.write(files[0], "one.png")
    inside = zipfile.Path(tmp_path / "one.zip", "one.png")

    def record(one: Any) -> np.ndarray:
        assert is_one(one)
        return run.predictor.record(picture_list(one)[0], "it").pixels

    expected = record(pixels[0])
    with open(files[0], "rb") as opened, inside.open("rb") as unpacked, Image.open(files[0]) as lazy:
        kinds = [Path(files[0]), data, bytearray(data), memoryview(data), written, opened, unpacked, lazy]
        for one in (
            *kinds,
            inside,
            opened,
            written,
            torch.from_numpy(pixels[0]),
            np.array(files[0]),
        ):  # files are read twice
            assert np.array_equal(record(one), expected), type(one)
        for found in picture_list([*kinds, inside], with_labels=True):
            assert np.array_equal(run.predictor.record(found, "it").pixels, expected)
        assert isinstance(run.predict(opened, views=1), Prediction)


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(run: Run, files: list[str], tmp_path: Path) -> None:
    name = tmp_path / "cat[1]?.png"
    name.write_bytes(Path(files[0]).read_bytes())
    assert run.predict(name, views=1).name == str(name)
    with pytest.raises(ValueError, match=r"absent\*: no file matches this pattern"):
        run.predict(tmp_path / "absent*")


def test_a_generator_is_read_only_as_far_as_it_is_asked() -> None:
    assert list(itertools.islice(each_picture(f"{n}.png" for n in itertools.count()), 3)) == ["0.png", "1.png", "2.png"]


def test_frames_of_an_animation_are_not_all_the_last(tmp_path: Path) -> None:
    """Pillow's iterator gives the same object each time, moved to the next frame."""
    frames = [Image.new("RGB", (9, 9), (90 * n, 0, 0)) for n in range(3)]
    frames[0].save(tmp_path / "three.gif", save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "three.gif") as gif:
        found = [np.asarray(one.convert("RGB")) for one in picture_list(ImageSequence.Iterator(gif))]
    assert len({one.tobytes() for one in found}) == 3


def test_the_same_unread_image_many_times(run: Run, files: list[str]) -> None:
    """Threads decode a batch; the image must be loaded by one of them only."""
    with Image.open(files[0]) as image:
        found = as_pictures(run, [image] * 40).read(np.arange(40))
    assert (found == found[0]).all()


def test_images_take_no_longer_than_files(run: Run) -> None:
    """They were packed as PNG first, which took 30 times as long as an array."""
    pixels = np.random.default_rng(1).integers(0, 256, (900, 1200, 3), np.uint8)
    image, seconds = Image.fromarray(pixels), {}
    for name, one in (("array", pixels), ("image", image), ("RGBA", image.convert("RGBA"))):
        start = time.process_time()
        run.predictor.record(one, name)
        seconds[name] = time.process_time() - start
    assert seconds["image"] < 4 * seconds["array"] + 0.05, seconds
    assert seconds["RGBA"] < 20 * seconds["array"] + 0.1, seconds


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), r"2 columns \('a', 'b'\).*X\[\['path'\]\]"),
        (pl.DataFrame({"a": ["x"], "b": ["y"], "c": ["z"]}), r"3 columns \('a', 'b', 'c'\)"),
        (pd.DataFrame(), "0 columns"),
        (np.array([["a.png", "b.png"]]), "2 columns"),
        ({"a.png": "cat"}, "type dict"),
        (None, "type NoneType"),
        (3, "type int"),
        (np.zeros((2, 9, 9, 3)), r"pixels must be uint8 .*float64.*255 \* x"),
        (np.zeros((2, 9, 9, 3), int), r"int64.*astype\('uint8'\)"),
        (np.zeros((2, 9, 9, 4), np.uint8), "Image.fromarray"),
        (torch.zeros(2, 3, 9, 9), "float32"),
        (torch.zeros(2, 9, 9, 3, dtype=torch.uint8, device="meta"), "without values"),
        (torch.zeros(2, 3, 9, 9, dtype=torch.bfloat16), "pixels must be uint8"),
        (np.zeros((0, 9, 3), np.uint8), "pixels must be uint8"),
        (["a.png", 3], "picture 2: int 3 is not a picture"),
        (["a.png", None], "picture 2: None is not a picture"),
        (pd.Series(["a.png", None]), "picture 2: float nan|picture 2: None"),
        (pd.Series(["a.png", pd.NA], dtype="string"), "picture 2: NAType"),
        (pd.Series([1.5, 2.5]), "pixels must be uint8"),
        (["a.png", ["b.png"]], "picture 2: list"),
        ([io.StringIO("text")], r'picture 1: the file is open as text; open it with mode "rb"'),
        ([np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), np.uint8)], "picture 2: pixels must be .*Image.fromarray"),
    ],
)
def test_what_is_no_picture_is_named_by_its_number(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(each_picture(given))
    with pytest.raises(ValueError, match=message):
        picture_list(given)


@pytest.mark.parametrize("given", [{"b.png", "a.png"}, frozenset(["a.png"]), "cat.jpg", Path("cat.jpg"), b"data", "."])
def test_what_has_no_order_or_is_one_is_refused_beside_labels(given: Any) -> None:
    assert len(picture_list(given)) > 0 if given != "." else True
    with pytest.raises(ValueError, match=r"X is (a set|one picture or folder).*; pass"):
        picture_list(given, with_labels=True)


def test_images_of_modes_that_no_file_holds(run: Run, pixels: np.ndarray) -> None:
    image = Image.fromarray(pixels[0])
    for mode, same in (("HSV", "RGB"), ("RGBa", "RGBA"), ("La", "LA")):
        converted = image.convert(same).convert(mode)
        found, expected = (run.predictor.record(one, mode).pixels for one in (converted, converted.convert(same)))
        assert np.array_equal(found, expected), mode


def test_an_image_whose_file_is_closed_is_named(run: Run, files: list[str]) -> None:
    with Image.open(files[1]) as closed:
        pass
    with pytest.raises(Undecodable, match=r"picture 2: .*its file is closed"):
        run.predict([files[0], closed])


def test_what_can_not_be_read_is_named_by_number_and_file(run: Run, files: list[str]) -> None:
    data = Path(files[0]).read_bytes()
    closed = io.BytesIO(data)
    closed.close()
    cut = Image.open(io.BytesIO(data[: len(data) // 2]))
    for bad, message in (
        ("absent.png", "picture 3, absent.png: No such file"),
        ("a\0b.png", "picture 3, a.*b.png: embedded null"),
        ("photos", "picture 3, photos: No such file"),
        (data[:99], "picture 3: damaged"),
        (io.BytesIO(b""), "picture 3: the file is empty"),
        (closed, "picture 3: can't be read: I/O operation on closed file"),
        (cut, "picture 3: damaged.*truncated"),
        (Image.new("F", (9, 9)), "picture 3: .*floating-point samples"),
        (Image.new("RGB", (0, 9)), "picture 3: "),
    ):
        with pytest.raises(Undecodable, match=message):
            as_pictures(run, [*files[:2], bad, files[3]]).read(np.arange(4))
    with pytest.raises(Undecodable, match=r"picture 2, absent\.png"):
        run.predict([files[0], "absent.png"], views=1)
