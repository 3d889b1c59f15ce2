"""torchvision's alexnet: read, held against the same network of stock layers, written and read again bit for bit."""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from alexnet.data.sources.classes import read_classes
from alexnet.errors import UsageError, UserError
from alexnet.files.tensors import load_tensors
from alexnet.measure.run import Run
from alexnet.nets.zoo import ZOO
from alexnet.runs.export import export
from alexnet.runs.folder import RunFolder
from alexnet.runs.import_weights import import_run
from alexnet.weights import ImportOptions, read_weights

CLASSES, THIN = 1000, 64
FULL_SIZE = ZOO["torchvision"]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def stock_alexnet(hidden: int = THIN) -> nn.Sequential:
    """The network that torchvision calls alexnet, written from its layers; its state dict has torchvision's keys.

    `hidden`: units of its two hidden dense layers, 4096 in torchvision.
    """
    features = nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
    )
    classifier = nn.Sequential(
        nn.Dropout(),
        nn.Linear(256 * 36, hidden),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, CLASSES),
    )
    layers = {"features": features, "avgpool": nn.AdaptiveAvgPool2d(6), "flat": nn.Flatten(), "classifier": classifier}
    return nn.Sequential(OrderedDict(layers))


def made_peer(hidden: int) -> nn.Module:
    torch.manual_seed(0)
    network = stock_alexnet(hidden)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):  # so that a picture's logits are of the order of 1
            nn.init.normal_(module.weight, std=(2 / module.weight[0].numel()) ** 0.5)
            nn.init.normal_(module.bias, std=0.1)
    return network.eval()


@pytest.fixture(scope="module")
def peer() -> nn.Module:
    return made_peer(THIN)


@pytest.fixture(scope="module")
def file(peer: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("torchvision") / "alexnet.pth"
    torch.save(peer.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def imported(thin_zoo: None, file: Path) -> RunFolder:
    return import_run(file, file.parent / "run")


def test_the_logits_are_those_of_stock_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its full size."""
    monkeypatch.setitem(ZOO, "torchvision", FULL_SIZE)
    peer = made_peer(4096)
    torch.save(peer.state_dict(), tmp_path / "alexnet.pth")
    imported = import_run(tmp_path / "alexnet.pth", tmp_path / "run")
    assert sum(tensor.numel() for tensor in peer.state_dict().values()) == 61_100_840
    pictures = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 256, 256, 3), np.uint8))
    run = Run.open(imported.path, device="cpu", precision="fp32")
    centre = torch.full((4, 2), 16)
    with torch.inference_mode():
        found = run.network(run.inputs.crop(pictures, centre, torch.zeros(4, dtype=torch.bool)))
        scaled = pictures[:, 16:240, 16:240].permute(0, 3, 1, 2).float() / 255
        wanted = peer((scaled - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None])
    assert wanted.abs().max() > 1
    assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    assert imported.config["classes"]["order"] == "sorted synset"


@pytest.mark.parametrize("name", ["again.pth", "again.safetensors"])
def test_there_and_back_bit_for_bit(peer: nn.Module, imported: RunFolder, tmp_path: Path, name: str) -> None:
    made = export(imported, "torchvision", tmp_path / name)
    assert "Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])" in made.notes[0]
    again = import_run(made.path, tmp_path / "run")
    ours, theirs = (load_tensors(run.path / "model.safetensors")[0] for run in (imported, again))
    assert all(torch.equal(ours[key], theirs[key]) for key in ours | theirs)
    assert torch.equal(imported.inputs.mean_image, again.inputs.mean_image)
    if name.endswith(".pth"):
        written = torch.load(made.path, weights_only=True)
        stock_alexnet().load_state_dict(written, strict=True)
        assert all(torch.equal(written[key], tensor) for key, tensor in peer.state_dict().items()), "as it came"


def test_a_run_of_our_own_comes_back_too(imported: RunFolder, tmp_path: Path) -> None:
    """Learned further, its mean an image: conv1 is written as it is, and what it is fed lies beside it."""
    weights, _ = load_tensors(imported.path / "model.safetensors")
    weights["conv1.weight"] = weights["conv1.weight"] * 1.0001
    names = [f"thing {number}" for number in range(CLASSES)]
    config = imported.config | {"classes": {"names": names, "ids": names, "order": "as listed"}}
    image = torch.rand(3, 256, 256, generator=torch.Generator().manual_seed(0)) * 255
    inputs = type(imported.inputs)(image, 224)
    run = RunFolder.create(tmp_path / "run", config, inputs)
    run.save_model(weights)
    made = export(run, "torchvision", tmp_path / "own.pth")
    assert "minus the mean image" in made.notes[0]
    again = import_run(made.path, tmp_path / "again")
    found, _ = load_tensors(again.path / "model.safetensors")
    assert all(torch.equal(found[key], weights[key]) for key in weights)
    assert torch.equal(again.inputs.mean_image, image)
    assert again.config["classes"] == config["classes"]


@pytest.mark.usefixtures("thin_zoo")
def test_wrapped_as_training_scripts_do(file: Path, peer: nn.Module, tmp_path: Path) -> None:
    wrapped = {"epoch": 3, "state_dict": {f"module.{key}": tensor for key, tensor in peer.state_dict().items()}}
    torch.save(wrapped, tmp_path / "checkpoint.pth")
    plain, found = read_weights(file), read_weights(tmp_path / "checkpoint.pth")
    assert all(torch.equal(found.weights[key], tensor) for key, tensor in plain.weights.items())


@pytest.mark.usefixtures("thin_zoo")
def test_the_class_order_is_checked(file: Path, tmp_path: Path) -> None:
    wnids = [f"n{90000000 - number}" for number in range(CLASSES)]
    listed = tmp_path / "words.txt"
    listed.write_text("\n".join(f"{wnid} thing {number}" for number, wnid in enumerate(wnids)))
    with pytest.raises(UserError, match=r"in the order of sorted synsets, this list does not \(entry 1 is n90000000\)"):
        import_run(file, tmp_path / "run", classes=read_classes(listed))
    run = import_run(file, tmp_path / "run", classes=read_classes(listed, "sorted"))
    assert run.config["classes"]["ids"] == sorted(wnids)
    assert run.class_names[0] == "thing 999"
    assert run.config["classes"]["order"] == "sorted synset"
    (tmp_path / "few.txt").write_text("cat\ndog\n")
    with pytest.raises(UserError, match="2 classes are named, the network has 1,000 outputs"):
        import_run(file, tmp_path / "other", classes=read_classes(tmp_path / "few.txt"))


@pytest.mark.usefixtures("thin_zoo")
def test_faults_name_the_layer_and_both_shapes(file: Path, peer: nn.Module, tmp_path: Path) -> None:
    whole = peer.state_dict()
    wrong = {
        "wide": whole | {"features.3.weight": torch.zeros(192, 48, 5, 5)},
        "short": {key: tensor for key, tensor in whole.items() if key != "classifier.1.weight"},
        "other": {"layer1.0.conv1.weight": torch.zeros(2)},
        "more": whole | {"features.20.weight": torch.zeros(2)},
        "whole": whole | {"features.0.bias": torch.zeros(64, dtype=torch.int64)},
    }
    for name, tensors in wrong.items():
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, tmp_path / f"{name}.safetensors")
    for name, message in (
        ("wide", r"conv2.weight \(features.3.weight\) is \(192, 48, 5, 5\); torchvision needs \(192, 64, 5, 5\)"),
        ("short", r"fc6.weight \(classifier.1.weight\) is missing; torchvision needs \(64, 9216\)"),
        ("other", r"not torchvision's alexnet: it holds layer1.0.conv1.weight"),
        ("more", r"not torchvision's alexnet: it holds features.20.weight"),
        ("whole", r"features.0.bias holds torch.int64, not floats"),
    ):
        with pytest.raises(UserError, match=message):
            read_weights(tmp_path / f"{name}.safetensors")
    (tmp_path / "cut.pth").write_bytes(file.read_bytes()[:100_000])
    with pytest.raises(UserError, match="damaged or cut short"):
        read_weights(tmp_path / "cut.pth")
    with pytest.raises(UserError, match="leave out --colours"):
        read_weights(file, ImportOptions(colours="bgr"))


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('a pickle was run')",)


def test_nothing_in_a_pickle_is_run(tmp_path: Path) -> None:
    torch.save({"features.0.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match="only plain tensors are taken; nothing is run"):
        read_weights(tmp_path / "evil.pth")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(UserError, match="holds a list, a state dict is needed"):
        read_weights(tmp_path / "list.pth")


def test_other_networks_do_not_fit_its_layout(tmp_path: Path, imported: RunFolder) -> None:
    with pytest.raises(UsageError, match=r"must end in .pth or .safetensors"):
        export(imported, "torchvision", tmp_path / "net.onnx")
    with pytest.raises(UsageError, match="torchvision holds weights alone"):
        export(imported, "torchvision", tmp_path / "net.pth", preprocessing=True)
