"""`alexnet see …` on a run folder: what is printed, written and refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet import cli
from alexnet.commands.options.seeing import METHODS
from alexnet.data import synthetic
from alexnet.data.store.read import Store
from alexnet.measure.run import Run


@pytest.fixture
def see(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[Path], str]]:
    """Runs `alexnet see METHOD RUN …` → exit code, files written, the rest of what was told."""

    def call(method: str, *options: object, of: Path | None = None) -> tuple[int, list[Path], str]:
        line = ["see", method, str(of or run.path), *map(str, options), "--out", str(tmp_path / "out")]
        code = cli.main(line)
        output = capsys.readouterr()
        lines = output.out.splitlines()
        files = [Path(one) for one in lines if one.startswith(str(tmp_path / "out"))]
        return code, files, "\n".join(one for one in lines if Path(one) not in files) + output.err

    return call


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory, store: Store) -> Path:
    path = tmp_path_factory.mktemp("picture") / "stripes.png"
    Image.fromarray(store.splits["val"].pictures[7]).resize((90, 70)).save(path)
    return path


def content_of(files: list[Path]) -> dict[str, object]:
    """The JSON file of those written, which hold together: every PNG can be opened and is no blank."""
    for file in files:
        if file.suffix == ".png":
            with Image.open(file) as drawn:
                assert np.asarray(drawn.convert("L")).std() > 5
    (numbers,) = (file for file in files if file.suffix == ".json")
    return json.loads(numbers.read_text())


def test_project(see: Callable, picture: Path) -> None:
    code, files, _ = see("project", picture, "--layer", "conv3", "--channels", "1,4-5", "--method", "guided")
    assert code == 0
    told = content_of(files)
    assert [unit["channel"] for unit in told["units"]] == [1, 4, 5]
    assert (told["method"], told["layer"]) == ("guided", "conv3")
    _, files, _ = see("project", picture, "--layer", "relu5", "--strongest", "2", "--whole", "--overlap", "overwrite")
    assert [unit["at"] for unit in content_of(files)["units"]] == [None, None]
    _, files, _ = see("project", picture, "--layer", "conv2", "--channels", "3", "--at", "2", "1", "--norms", "adjoint")
    assert content_of(files)["units"][0]["at"] == [2, 1]


def test_top_whole_and_in_shares(see: Callable, store: Store, tmp_path: Path) -> None:
    code, files, _ = see("top", store.path, "--layers", "conv5", "--channels", "0-2")
    assert code == 0
    whole = json.loads((tmp_path / "out" / "top-conv5.json").read_text())
    assert [file.name for file in files] == ["top.safetensors", "top-conv5.png", "top-conv5.json"]
    assert list(whole["shown"]) == ["0", "1", "2"]
    assert len(whole["strongest"]) == 32
    shares = []
    for number in (1, 2):
        _, (share,), _ = see("top", store.path, "--layers", "conv5", "--shard", f"{number}/2")
        shares.append(share)
    code, files, _ = see("top", store.path, "--channels", "0-2", "--merge", *shares)
    assert code == 0
    merged = json.loads((tmp_path / "out" / "top-conv5.json").read_text())
    assert merged["strongest"] == whole["strongest"]
    assert merged["pictures"] == 60


def test_top_with_the_most_negative_patches(see: Callable, store: Store, tmp_path: Path) -> None:
    code, _, words = see("top", store.path, "--layers", "conv5,relu5", "--channels", "0-1", "--negative")
    assert code == 0
    assert "relu5: nothing is negative here" in words
    told = json.loads((tmp_path / "out" / "top-conv5.json").read_text())["negative"]
    assert max(value for row in told["values"] for value in row) < 0
    assert list(told["shown"]) == ["0", "1"]
    quiet = json.loads((tmp_path / "out" / "top-relu5.json").read_text())["negative"]
    assert (len(quiet["never"]), quiet["shown"]["1"]) == (32, [])


def test_evolution(see: Callable, store: Store) -> None:
    code, files, _ = see("evolution", store.path, "--layers", "conv1,conv3", "--channels", "0,1", "--split", "val")
    assert code == 0
    told = content_of(files)
    assert told["epochs"] == [1, 2, 5]
    assert len(told["features"]) == 4


def test_activations(see: Callable, store: Store) -> None:
    code, files, _ = see("activations", store.path, "--layers", "conv1,conv3", "--channels", "0,1")
    assert code == 0
    told = content_of(files)
    assert [(one["layer"], one["channel"]) for one in told["features"]] == [
        ("conv1", 0),
        ("conv1", 1),
        ("conv3", 0),
        ("conv3", 1),
    ]
    assert {sum(one["counts"]) for one in told["features"]} == {told["pictures"]} == {60}


def test_invariance(see: Callable, picture: Path) -> None:
    code, files, words = see("invariance", picture, "--true", "angle1", "--normalise", "unit", "--fill", "edge")
    assert code == 0
    told = content_of(files)
    assert (told["normalisation"], told["fill"], told["layers"]) == ("unit", "edge", ["relu1", "relu7"])
    assert told["pictures"] == [{"name": "stripes.png", "class": "angle1"}]
    assert "stays right" in words


def test_filters_of_two_runs(see: Callable, run: Run) -> None:
    code, files, _ = see("filters", "--beside", run.path)
    assert code == 0
    one, two = content_of(files)
    assert one == two
    assert one["filters"] == 16


def test_occlusion(see: Callable, picture: Path, store: Store) -> None:
    code, files, told = see(
        "occlusion", picture, "--true", "angle0", "--size", "8", "--stride", "8", "--store", store.path
    )
    assert code == 0
    assert "square: 16 of 16 positions" in told
    content = content_of(files)
    assert content["precision"] == "fp32"
    assert content["square"] == {"size": 8, "stride": 8, "grey": 128.0}
    assert content["class"] == "angle0"
    assert np.array(content["probability"]).shape == (4, 4)


def test_attribution(see: Callable, picture: Path) -> None:
    code, files, _ = see("attribution", picture)
    assert code == 0
    told = content_of(files)
    assert (told["method"], told["options"]) == ("grad-cam", {"layer": "relu5"})
    assert np.array(told["map"]).shape == (32, 32)
    code, files, _ = see("attribution", picture, "--method", "integrated-gradients", "--true", "angle2", "--steps", "9")
    told = content_of(files)
    assert (told["class"], told["options"]) == ("angle2", {"steps": 9})
    assert abs(told["remainder"]) < 1


def test_visualise(see: Callable) -> None:
    line = ["--layer", "conv3", "--channels", "1,4", "--steps", "2", "--starts", "2", "--at", "1", "2", "--seed", "5"]
    code, files, _ = see("visualise", *line, "--preset", "yosinski-1")
    assert code == 0
    assert [file.name for file in files] == ["visualise-conv3.png", "visualise-conv3.json"]
    told = content_of(files)
    assert [(one["unit"], one["position"], one["preset"], one["seed"]) for one in told] == [
        (1, [1, 2], "yosinski-1", 5),
        (4, [1, 2], "yosinski-1", 5),
    ]
    assert [len(one["activations"]) for one in told] == [2, 2]
    _, files, _ = see("visualise", "--classes", "angle2", "--steps", "2")
    assert content_of(files)[0]["name"] == "angle2"


def test_invert(see: Callable, picture: Path) -> None:
    code, files, _ = see("invert", picture, "--layer", "conv2", "--steps", "3")
    assert code == 0
    told = content_of(files)
    assert (told["picture"], told["layer"], told["steps"]) == ("stripes.png", "conv2", 3)
    assert 0 < told["error"] < 2


def test_parts(see: Callable, picture: Path, tmp_path: Path) -> None:
    points = {f"{n}.png": {"left": [20 + n, 30], "right": [60, 30 + n]} for n in range(3)}
    for name in points:
        (tmp_path / name).write_bytes(picture.read_bytes())
    (tmp_path / "points.json").write_text(json.dumps(points))
    code, files, words = see("parts", tmp_path / "points.json", "--mask", "6", "--most", "2")
    assert code == 0
    told = content_of(files)
    assert told["pictures"] == ["0.png", "1.png"]
    assert "random" in words
    assert "±" in words


def test_contributions(see: Callable, picture: Path, store: Store) -> None:
    code, files, words = see(
        "contributions", picture, "--true", "angle0", "--against", "angle2", "--store", store.path, "--strongest", 1
    )
    assert code == 0
    told = content_of(files)
    assert (told["target"], told["against"], [one["layer"] for one in told["layers"]]) == (
        "angle0",
        "angle2",
        ["fc7", "conv5"],
    )
    assert abs(told["layers"][1]["remainder"]) < 1e-4
    assert "angle0 − angle2" in words
    assert told["patches"]


def test_intervene_on_a_picture_and_on_a_split(see: Callable, picture: Path, store: Store) -> None:
    code, files, words = see("intervene", picture, "--edit", "conv5:1,3-4=0", "fc7:12<->40")
    assert code == 0
    told = content_of(files)
    assert told["edits"] == ["conv5:1,3,4=0", "fc7:12<->40"]
    assert "before" in words
    code, files, words = see("intervene", "--edit", "conv5:1*0.5", "--store", store.path)
    assert code == 0
    assert content_of(files)["all"]["before"]["pictures"] == 60
    assert "of 60 (" in words


def test_ablation(see: Callable, store: Store) -> None:
    code, files, words = see(
        "ablation", store.path, "--layer", "conv5", "--points", "3", "--orders", "effect", "random"
    )
    assert code == 0
    assert content_of(files)["silenced"] == [0, 16, 32]
    assert "silenced in relu5" in words


def test_score(see: Callable, store: Store, tmp_path: Path) -> None:
    options = [store.path, "--pictures", "4", "--metrics", "deletion", "road", "--methods"]
    code, files, words = see("score", *options, "gradient")
    assert code == 0
    assert [file.name for file in files] == ["score.json", "score.png"]
    first = content_of(files)["methods"]["gradient"]
    assert len(first["values"]["road"]) == 4
    assert "gradient by deletion" in words
    _, files, words = see("score", *options, "random", "gradient")
    methods = content_of(files)["methods"]
    assert list(methods) == ["gradient", "random"]
    assert methods["gradient"] == first, "what is finished is not measured again"
    _, files, words = see("score", store.path, "--pictures", "2", "--methods", "centre")
    assert "Left out, since a store does not say where objects are: pointing and energy." in words
    assert [file.name[:6] for file in files] == ["score-", "score-"]


@pytest.mark.parametrize(
    ("method", "options", "code", "message"),
    [
        ("project", ["PICTURE", "--layer", "conv9"], 1, "toy has no layer 'conv9'. It has: conv1, relu1"),
        ("project", ["PICTURE", "--layer", "conv3", "--channels", "48"], 2, "there is no channel 48; there are 0 … 47"),
        ("project", ["absent.jpg", "--layer", "conv3"], 1, "absent.jpg: No such file"),
        ("occlusion", ["PICTURE", "--size", "40"], 1, "the square of 40 pixels is larger than the picture"),
        ("occlusion", ["PICTURE", "--true", "zebra"], 2, "there is no class 'zebra'. The run's classes are: angle0"),
        ("occlusion", ["PICTURE", "--channel", "3"], 2, "--layer and --channel name the watched map together"),
        ("attribution", ["PICTURE", "--layer", "fc7"], 1, "grad-cam needs a layer with maps, and fc7 has none"),
        ("attribution", ["PICTURE", "--method", "lrp", "--steps", "9"], 2, "lrp takes no steps; its options: epsilon"),
        ("attribution", ["PICTURE", "--true", "zebra"], 2, "there is no class 'zebra'"),
        ("top", ["STORE", "--shard", "3/2"], 2, "--shard 3/2: I/N is expected"),
        ("top", ["STORE", "--split", "test"], 1, "no pictures in a split 'test'"),
        ("evolution", ["STORE", "--epochs", "3"], 1, "no snapshot of epoch 3; there are: 1, 2, 5"),
        ("invariance", ["PICTURE", "--true", "angle0", "angle1"], 2, "2 classes for 1 pictures"),
        ("score", ["STORE", "--methods", "magic"], 2, "there is no method 'magic'. There are: gradient, "),
        ("visualise", ["--layer", "conv9"], 1, "toy has no layer 'conv9'. It has: conv1, relu1"),
        ("visualise", ["--layer", "conv3", "--channels", "48"], 2, "there is no channel 48; there are 0 … 47"),
        ("visualise", ["--layer", "conv3", "--classes", "angle0"], 2, "--classes names units of the last layer"),
        ("visualise", ["--classes", "zebra"], 2, "there is no class 'zebra'"),
        ("invert", ["absent.jpg", "--layer", "conv3"], 1, "absent.jpg: no such file"),
        ("parts", ["absent.json"], 1, "absent.json: no such file or folder"),
        ("contributions", ["PICTURE", "--layers", "fc8"], 2, "fc8: the last layer gives the answer itself"),
        (
            "contributions",
            ["PICTURE", "--true", "zebra"],
            2,
            "there is no class 'zebra'. The run's classes are: angle0",
        ),
        ("intervene", ["PICTURE", "--edit", "conv5=0"], 2, "'conv5=0': write an edit as ROW:MAPS=NUMBER"),
        ("intervene", ["PICTURE"], 2, "no edit is named"),
        ("intervene", ["--edit", "conv5:1=0"], 2, "name a picture, or a store with --store, and not both"),
        ("ablation", ["STORE", "--layer", "conv9"], 1, "toy has no layer 'conv9'"),
    ],
)
def test_what_is_refused_in_a_sentence(
    see: Callable, picture: Path, store: Store, method: str, options: list[str], code: int, message: str
) -> None:
    positions = {"PICTURE": picture, "STORE": store.path}
    found, _, told = see(method, *(positions.get(option, option) for option in options))
    assert found == code
    assert message in told
    assert "Traceback" not in told


@pytest.mark.parametrize("method", METHODS)
def test_every_method_s_help_has_an_example(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["see", method, "--help"])
    told = capsys.readouterr().out
    assert end.value.code == 0
    assert f"alexnet see {method} " in told
    assert "(default: None)" not in told
    assert "(default: )" not in told


def test_dissect(see: Callable, tmp_path: Path) -> None:
    folder = synthetic.write(tmp_path / "set", train_per_class=1, val_per_class=1, side=48)
    code, files, told = see("dissect", folder, "--layer", "conv2", "--most", "6")
    assert code == 0
    assert [file.name for file in files] == ["dissect-conv2.png", "dissect-conv2.json"]
    content = content_of(files)
    assert (content["pictures"], len(content["units"])) == (6, 32)
    assert "with random weights" in told
    code, _, told = see("dissect", tmp_path)
    assert (code, "holds no pictures with known parts" in told) == (1, True)


def test_compare(see: Callable, run: Run, store: Store) -> None:
    code, files, told = see("compare", run.path, store.path, "--layers", "conv1,fc7", "--most", "12")
    assert code == 0
    content = content_of(files)
    assert content["cka"][0][0] == pytest.approx(1)
    assert (content["layers"], content["pictures"]) == (["conv1", "fc7"], 12)
    assert "linear CKA, unbiased" in told


@pytest.mark.parametrize("thumbnails", [(), ("--thumbnails",)])
def test_map(see: Callable, store: Store, thumbnails: tuple[str, ...]) -> None:
    code, files, _ = see("map", store.path, "--method", "pca", "--most", "12", *thumbnails)
    assert code == 0
    assert files[0].name == "map-pca.png"
    assert len(content_of(files)["pictures"]) == 12
