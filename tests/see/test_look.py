"""What a notebook works with: each answer is that of the method itself, draws itself, and saves itself."""

import json
import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

import alexnet
from alexnet.data.store.read import Store
from alexnet.drawing import Result
from alexnet.errors import UsageError, UserError
from alexnet.look import Look
from alexnet.see.deconvnet import project
from alexnet.see.forward_pass import inputs_of, run_forward
from alexnet.see.occlusion import occlusion_map
from alexnet.see.units import strongest_units


@pytest.fixture(scope="module")
def opened(run: alexnet.Run) -> alexnet.Run:
    return alexnet.load(run.path, device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def look(opened: alexnet.Run, store: Store) -> Look:
    return opened.look(store.splits["val"].read(np.array([20]))[0])


def test_a_look_says_what_the_methods_say(opened: alexnet.Run, look: Look, store: Store) -> None:
    record = torch.from_numpy(store.splits["val"].read(np.array([20])))
    passed = run_forward(opened.network, inputs_of(opened.viewer, record))
    np.testing.assert_array_equal(look.maps("conv2").values, passed["conv2"][0].numpy())
    assert look.maps("fc7").values.shape[1:] == (1, 1)
    seen = project(passed, strongest_units(opened.network, passed["conv2"], "conv2", 4))
    torch.testing.assert_close(look.project("conv2", best=4).projections.pixels, seen.pixels, rtol=0, atol=0)
    chosen = look.project("conv2", [3, 1], whole=True).projections
    assert [(unit.channel, unit.row) for unit in chosen.units] == [(3, None), (1, None)]
    name = opened.class_names[2]
    torch.testing.assert_close(look.occlusion(name).found.logit, occlusion_map(opened.viewer, record[0], 2).logit)
    assert look.label(name) == 2
    assert look.label() == int(passed.probabilities[0].argmax())


def test_every_answer_draws_and_saves_itself(opened: alexnet.Run, look: Look, store: Store, tmp_path: Path) -> None:
    top = opened.top(store, "conv2", unit=[1, 3])
    assert list(top.patches) == [1, 3]
    answers = [look.maps("conv2"), look.project("conv2", best=2), look.occlusion(), top, opened.filters()]
    answers += [
        look.attribution("grad-cam"),
        look.contributions(),
        look.intervene("conv2:1=0"),
        opened.ablation(store, "conv2", points=2),
        opened.visualise("conv2", 1, steps=2),
        look.invert("conv1", steps=2),
    ]
    for answer in answers:
        assert isinstance(answer, Result)
        with Image.open(answer.save(tmp_path / f"{type(answer).__name__}.png")) as picture:
            assert np.asarray(picture).std() > 0
        assert json.loads(answer.save(tmp_path / f"{type(answer).__name__}.json").read_text())["result"]
    maps, ax = answers[0], Figure().subplots()
    assert maps.plot(ax) is ax.figure  # all are shown, drawn and saved by the same base
    assert "<img" in maps._repr_html_()
    maps.save(tmp_path / "Maps.png")  # its own file may be replaced
    (tmp_path / "mine.png").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"mine\.png: exists, and was not written by this command"):
        top.save(tmp_path / "mine.png")
    with pytest.raises(UserError, match=r"must end in \.png, for the figure, or in \.json"):
        top.save(tmp_path / "top.pdf")


def test_an_answer_is_shown_as_bars(opened: alexnet.Run, look: Look) -> None:
    answer = opened.predict(look.record[0])
    first = answer.labels[0]
    assert re.search(rf"{first.name} +{first.probability:.1%}", str(answer))
    html = answer._repr_html_()
    assert html.count("<tr>") == len(answer.labels)
    assert f"{first.probability:.1%}" in html
    assert "<img src='data:image/png" in html
    assert len(opened.predict([look.record[0]] * 2)) == 2


def test_a_run_that_was_pickled_still_looks(opened: alexnet.Run, look: Look) -> None:
    again = pickle.loads(pickle.dumps(opened)).look(look.record[0])
    np.testing.assert_array_equal(again.maps("conv2").values, look.maps("conv2").values)


def test_what_is_not_there_is_named(opened: alexnet.Run, look: Look, store: Store) -> None:
    with pytest.raises(UserError, match="conv9"):
        look.maps("conv9")
    with pytest.raises(UserError, match="conv2 has no map 999"):
        opened.top(store, "conv2", unit=999)
    with pytest.raises(UsageError, match="there is no class 'bird'"):
        look.occlusion(true="bird")


@pytest.mark.parametrize(("slope", "words"), [(0.001, "logit of the class"), (0.9, "probability of the class")])
def test_the_logit_is_drawn_where_the_probability_hardly_changes(look: Look, slope: float, words: str) -> None:
    occluded = look.occlusion()
    probability = torch.linspace(1 - slope, 1, occluded.found.probability.numel())
    changed = replace(occluded.found, probability=probability.view_as(occluded.found.probability))
    titles = [axes.get_title() for axes in replace(occluded, found=changed).plot().axes]
    assert any(words in title for title in titles)
