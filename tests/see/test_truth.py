"""What the methods say against what is known to be true: on the built-in pictures with a trained run, and on real
weights. By hand: `pytest -m long tests/see/test_truth.py`. A run trained before is taken from ALEXNET_SEE_RUN, its
folder, and ALEXNET_SEE_STORE and ALEXNET_SEE_PICTURES, what it was trained on; else a thin one is trained."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet import cli
from alexnet.data import synthetic
from alexnet.data.store.read import Store
from alexnet.data.synthetic.write import Annotation
from alexnet.errors import UserError
from alexnet.measure.run import Run
from alexnet.see.correspondence import OTHER, RANDOM, correspondence_of
from alexnet.see.deconvnet import project
from alexnet.see.faces import Faces, drawn_faces, mask_over
from alexnet.see.forward_pass import inputs_of, records_of, run_forward
from alexnet.see.keypoints import in_view, read_keypoints, region_in_view
from alexnet.see.occlusion import Square, occlusion_map
from alexnet.see.top import find_top
from alexnet.see.units import strongest_units

pytestmark = pytest.mark.long
SIZE, SIDE = 224, 256
Pack = Callable[[str], Path]


@dataclass(frozen=True)
class Trained:
    """A run on the built-in set, its store, and what is true of the validation pictures by their keys."""

    run: Run
    store: Store
    folder: Path
    truth: dict[str, Annotation]

    def box(self, key: str) -> tuple[float, float, float, float]:
        """The object's box in the centre view."""
        known = self.truth[key]
        return synthetic.box_in_crop(known.box, known.width, known.height, SIDE, SIZE)

    def right(self, most: int) -> list[int]:
        """Validation pictures that the network gets right, `most` of them, evenly spread over the classes."""
        part = self.store.splits["val"]
        chosen = np.linspace(0, len(part) - 1, 2 * most).round().astype(int)
        found = self.run.viewer.probabilities(torch.from_numpy(part.read(chosen))).argmax(dim=1).numpy()
        return [int(n) for n, label in zip(chosen, found, strict=True) if label == part.labels[n]][:most]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    if given := os.environ.get("ALEXNET_SEE_RUN"):
        run, store = Path(given), Path(os.environ["ALEXNET_SEE_STORE"])
        folder = Path(os.environ["ALEXNET_SEE_PICTURES"])
    else:
        position = tmp_path_factory.mktemp("truth")
        run, store, folder = position / "run", position / "store", position / "pictures"
        assert cli.main(["prepare", f"synthetic:{folder}", str(store)]) == 0
        options = ["--width", "0.25", "--epochs", "14", "--batch", "64", "--patience", "3"]
        assert cli.main(["train", str(store), "--out", str(run), *options]) == 0
    truth = {known.file: known for known in synthetic.read_annotations(folder, "val")}
    opened = Run.open(run, device="cpu", precision="fp32")
    return Trained(opened, Store.open(store), folder, {Path(key).name: known for key, known in truth.items()})


def name_of(trained: Trained, number: int) -> str:
    return Path(trained.store.splits["val"].keys[number]).name


def test_covering_the_object_hurts_most(trained: Trained) -> None:
    """The place where the square lowers the true class's probability most lies inside the object's box."""
    part, inside, numbers = trained.store.splits["val"], 0, trained.right(60)
    for number in numbers:
        record = torch.from_numpy(part.read(np.array([number]))[0])
        found = occlusion_map(trained.run.viewer, record, int(part.labels[number]), square=Square(48, 16))
        row, column = found.weakest
        left, top, right, bottom = trained.box(name_of(trained, number))
        inside += left <= column <= right and top <= row <= bottom
    print(f"\nminimum inside the box: {inside} of {len(numbers)} = {inside / len(numbers):.1%}")
    assert inside / len(numbers) >= 0.85


def test_projections_lie_on_the_object(trained: Trained) -> None:
    """The strongest conv5 unit's projection has at least twice its box's share of the energy inside the box."""
    part, numbers = trained.store.splits["val"], trained.right(60)
    ratios = []
    for number in numbers:
        passed = run_forward(
            trained.run.network, inputs_of(trained.run.viewer, torch.from_numpy(part.read(np.array([number]))))
        )
        unit = strongest_units(trained.run.network, passed["conv5"], "conv5", 1)
        energy = project(passed, unit).pixels[0].square().sum(dim=0)
        left, top, right, bottom = (round(edge) for edge in trained.box(name_of(trained, number)))
        share = float(energy[top:bottom, left:right].sum() / energy.sum())
        ratios.append(share / ((right - left) * (bottom - top) / SIZE**2))
    print(
        f"\nenergy in the box over the box's share of the area: {np.mean(ratios):.2f}, median {np.median(ratios):.2f}"
    )
    assert np.mean(ratios) >= 2


def test_a_map_s_strongest_pictures_share_a_class(trained: Trained) -> None:
    """Among the nine of each conv5 map the most frequent class has more than nine drawn at random would have."""
    part = trained.store.splits["val"]
    best = find_top(trained.run.viewer, part, ["conv5"])["conv5"]
    alive = [channel for channel in range(len(best.values)) if best.values[channel, 0] > 0]
    shares = [np.bincount(part.labels[best.pictures[c].numpy()]).max() / 9 for c in alive]
    random = np.random.default_rng(0)
    chance = [np.bincount(part.labels[random.choice(len(part), 9, replace=False)]).max() / 9 for _ in range(2000)]
    print(
        f"\nlargest class's share of the nine, {len(alive)} maps: {np.mean(shares):.2f}, chance {np.mean(chance):.2f}"
    )
    assert np.mean(shares) > np.mean(chance) + 3 * np.std(chance) / len(alive) ** 0.5


def excess_over_groups(run: Run, faces: Faces, layers: tuple[str, ...], mask: int) -> dict[tuple[str, str], np.ndarray]:
    """For each control and layer, and each group of five faces: Δ of true parts, their mean, less the control's."""
    inputs, found = inputs_of(run.viewer, torch.from_numpy(faces.records)), {}
    for first in range(0, len(faces), 5):
        some = slice(first, first + 5)
        table = correspondence_of(
            run.viewer, inputs[some], faces.points[some], names="abcde", layers=layers, mask=mask,
            regions=faces.boxes[some], seed=first,
        )  # fmt: skip
        for layer in layers:
            cells = {part: table.cells[part, layer].normalised for part in table.parts}
            true = np.mean([value for part, value in cells.items() if part not in (RANDOM, OTHER)])
            for control in (RANDOM, OTHER):
                found.setdefault((control, layer), []).append(true - cells[control])
    return {key: np.array(values) for key, values in found.items()}


def test_true_parts_correspond_more_than_random_positions(trained: Trained) -> None:
    """Drawn faces that stand alike, 200 groups of five as in [Z], masks of 40 pixels, which cover an eye. By two
    standard errors over the groups, masking the same part changes the features more alike, at layers 5 and 7, than

    - masking random positions on the faces does: [Z]'s control;
    - masking different parts does.

    Layer 5 ends in its pool, as in [Z] Fig. 3. Before it, its units know places to a few pixels, and Δ of parts lies
    *above* that of random positions: told here, not asserted. See docs/seeing.md."""
    faces = drawn_faces(1000, SIDE, SIZE, seed=2)
    found = excess_over_groups(trained.run, faces, ("relu5", "pool5", "relu7"), mask_over(SIZE, SIDE))
    error = {key: float(values.std(ddof=1) / len(values) ** 0.5) for key, values in found.items()}
    for (control, layer), values in found.items():
        print(f"\n{layer}: parts less {control} {values.mean():+.4f} ± {error[control, layer]:.4f}", end="")
    for key in product((RANDOM, OTHER), ("pool5", "relu7")):
        assert found[key].mean() < -2 * error[key], key


# ── a real trained network ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def real(shared_pack: Pack, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("real") / "run"
    assert cli.main(["import", str(shared_pack("alexnet-real")), str(folder)]) == 0
    return Run.open(folder, device="cpu")


def test_real_weights_give_what_was_recorded(real: Run, shared_pack: Pack) -> None:
    """Each layer fed with the recorded output of the one below; quantised weights correlate as measured before
    (conv2 0.980, fc8 0.992 with the same five answers)."""
    from alexnet.data.sources.mat import read_mat

    def recorded(name: str) -> torch.Tensor:
        file = shared_pack("alexnet-real") / "activations_poodle" / f"{name}.mat"
        (values,) = (v for k, v in read_mat(file.read_bytes(), name).items() if not k.startswith("__"))
        array = torch.from_numpy(np.array(values, dtype=np.float32))
        return array.reshape(-1, *array.shape[-3:]).permute(0, 3, 1, 2) if array.ndim > 2 else array.reshape(1, -1)

    with torch.inference_mode():
        conv2 = real.network.get_submodule("conv2")(recorded("maxpool1")).relu()
        fc8 = real.network.get_submodule("fc8")(recorded("fc7"))
    assert np.corrcoef(conv2.flatten(), recorded("conv2").flatten())[0, 1] > 0.97
    assert np.corrcoef(fc8.flatten(), recorded("fc8").flatten())[0, 1] > 0.985
    assert set(fc8[0].topk(5).indices.tolist()) == {266, 265, 267, 181, 228}
    assert "poodle" in real.class_names[266]


def test_real_dogs_are_measured_whatever_comes_out(real: Run, shared_pack: Pack) -> None:
    dogs = read_keypoints(shared_pack("pets-dogs") / "frontal" / "keypoints.json")
    inputs = inputs_of(real.viewer, torch.from_numpy(records_of(real, [str(dog.file) for dog in dogs])))
    points = [in_view(dog, real.inputs.side, real.inputs.size) for dog in dogs]
    regions = [region_in_view(dog, real.inputs.side, real.inputs.size) for dog in dogs]
    names = [dog.file.name for dog in dogs]
    found = correspondence_of(real.viewer, inputs, points, names=names, layers=["relu5"], regions=regions)
    for part in found.parts:
        print(
            f"\n{part:12} {found.cells[part, 'relu5'].normalised:.3f} ± {found.cells[part, 'relu5'].deviation:.3f}",
            end="",
        )
    assert {"nose", "left_eye", "right_eye", "random", "other parts"} == set(found.parts)
    with pytest.raises(UserError, match="fc6"):
        _ = run_forward(real.network, inputs[:1])["fc7"]
