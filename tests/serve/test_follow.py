"""One number followed through the network: the numbers of the page are the network's, and what a change does."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from explored import Place, Site, Visit

from alexnet.measure.run import Run
from alexnet.see.forward_pass import ForwardPass, inputs_of, run_forward


@pytest.fixture(scope="module")
def passed(site: Site, place: Place) -> ForwardPass:
    run = Run.open(place.run, precision="fp32")
    record, _ = site.explorer.prepared_picture("val", 12)
    return run_forward(run.network, inputs_of(run.viewer, torch.from_numpy(record[None].copy())))


API = "/api/sides/own/pictures/val.12/follow"


def value_of(passed: ForwardPass, step: dict[str, Any]) -> float:
    return float(passed[step["layer"]][(0, step["unit"], *(step["at"] or ()))])


def test_the_steps_are_the_networks_own_numbers(site: Site, passed: ForwardPass) -> None:
    found = site.get(f"{API}?unit=conv1.3.5.7")
    steps = {step["layer"]: step for step in found["steps"]}
    assert list(steps) == [layer.row.name for layer in passed.network.layers]
    for step in steps.values():
        assert step["value"] == pytest.approx(value_of(passed, step), rel=1e-6, abs=1e-7)
        for reader in step["readers"]:
            assert reader["value"] == pytest.approx(value_of(passed, reader), rel=1e-6, abs=1e-7)
    conv1, fc8 = steps["conv1"], steps["fc8"]
    assert conv1["at"] == [5, 7]
    total = sum(block["sum"] for block in conv1["blocks"]) + conv1["constants"]["bias"]
    assert total == pytest.approx(conv1["value"], rel=1e-5, abs=1e-5)
    block = conv1["blocks"][0]
    products = [
        x * w for line in zip(block["inputs"], block["weights"], strict=True) for x, w in zip(*line, strict=True)
    ]
    assert math.fsum(products) == pytest.approx(block["sum"], rel=1e-5, abs=1e-5)
    pixels = [x + m for line in zip(block["inputs"], block["mean"], strict=True) for x, m in zip(*line, strict=True)]
    assert pixels == pytest.approx([round(pixel) for pixel in pixels], abs=1e-3)
    rest = sum(fc8["rest"][sign]["sum"] for sign in ("positive", "negative"))
    told = math.fsum(term["product"] for term in fc8["terms"])
    assert told + rest + fc8["constants"]["bias"] == pytest.approx(fc8["value"], rel=1e-4, abs=1e-5)
    assert found["answer"]["logits"] == pytest.approx(passed["fc8"][0].tolist(), rel=1e-6)


def test_a_path_is_led_through_a_named_reader_and_strangers_are_refused(site: Site) -> None:
    first = site.get(f"{API}?unit=conv1.3.5.7")["steps"]
    pool = next(step for step in first if step["layer"] == "pool1")
    other = pool["readers"][-1]
    name = ".".join(map(str, (other["layer"], other["unit"], *other["at"])))
    led = site.get(f"{API}?unit=conv1.3.5.7&via={name}")["steps"]
    conv2 = next(step for step in led if step["layer"] == "conv2")
    assert (conv2["unit"], conv2["at"]) == (other["unit"], other["at"])
    for bad, status in (
        ("unit=conv1.999.0.0", 409),
        ("unit=nowhere.1", 404),
        ("unit=conv1.3.5.7&via=conv2.31.0.0", 409),
        ("unit=" + "9" * 4000, 422),
    ):
        answer = site.ask("GET", f"{API}?{bad}")
        assert (answer[0], "error" in json.loads(answer[2]) or "detail" in json.loads(answer[2])) == (status, True), bad


def test_a_changed_weight_goes_through_the_whole_network(site: Site, place: Place, passed: ForwardPass) -> None:
    step = next(one for one in site.get(f"{API}?unit=conv2.3")["steps"] if one["layer"] == "conv2")
    k, row, column = step["from"]
    unit = ".".join(map(str, ("conv2", step["unit"], *step["at"])))
    edits = f"weight.{k}.{row}.{column}=0.75"
    found = site.get(f"{API}/changed?unit={unit}&edits={edits}&watch={unit},conv1.0.0.0")
    network = Run.open(place.run, precision="fp32").network
    with torch.no_grad():
        network.get_parameter("conv2.weight")[step["unit"], k, row, column] = 0.75
    after = run_forward(network, passed.inputs)
    assert found["logits"] == pytest.approx(after["fc8"][0].tolist(), rel=1e-4, abs=1e-4)
    assert found["values"] == {unit: pytest.approx(value_of(after, step), rel=1e-5)}  # conv1 lies below the change
    silent = site.get(f"{API}/changed?unit={unit}&edits=weight.{k}.*=0&watch={unit}")["values"][unit]
    (adds,) = (block["sum"] for block in step["blocks"] if block["place"] == k)
    assert silent == pytest.approx(step["value"] - adds, rel=1e-4, abs=1e-4)
    for bad in ("weight.0.0.0=x", "weight.0.0=1", "input.99.0.0=1", "weight.0.0.0=1e999", ""):
        assert site.ask("GET", f"{API}/changed?unit={unit}&edits={bad}")[0] in (404, 409), bad


def test_a_number_is_followed_with_buttons_and_keys_and_changed(visit: Callable[..., Visit]) -> None:
    page = visit().open("follow?picture=val.12&step=conv2")  # the path that comes down from the most probable class
    page.locator(".bar-row").last.click()
    name = page.locator(".bar-row").last.locator(".who").inner_text()
    page.get_by_role("button", name=f"Follow {name} instead").click()  # another path down
    page.locator("h2", has_text=name).wait_for()
    reader = page.locator(".reader").nth(1)
    chosen = reader.locator("span").inner_text()
    reader.click()  # and another up
    page.locator("h2", has_text=chosen).wait_for()
    page.goto(page.url.split("?")[0] + "?picture=val.12&layer=conv1&unit=3&row=5&column=7")
    current = page.locator(".trail [aria-current]")
    assert current.inner_text().startswith("conv1")
    assert page.locator(".matrix").count() == 3
    assert page.locator(".paper").inner_text().startswith("[A] §2")
    page.get_by_role("button", name="relu1 →").click()
    page.keyboard.press("ArrowRight")
    assert current.inner_text().startswith("norm1")
    assert page.locator(".neighbours li").count() >= 3
    page.keyboard.press("ArrowRight")
    assert current.inner_text().startswith("pool1")
    assert page.locator(".winner").count() == 1
    page.reload()  # the address has the step
    page.locator(".trail [aria-current]", has_text="pool1").wait_for()
    page.locator(".reader").last.click()
    page.locator(".trail [aria-current]", has_text="conv2").wait_for()
    page.locator(".matrix").nth(1).locator("[tabindex='0']").press("ArrowUp")  # in a window the arrows move inside it
    assert current.inner_text().startswith("conv2")
    before = page.locator(".value-now strong").inner_text()
    page.get_by_role("spinbutton", name="weight", exact=True).fill("50")
    page.get_by_role("spinbutton", name="input", exact=True).fill("30")
    assert page.locator(".value-now strong").inner_text() != before
    assert page.get_by_role("spinbutton", name="input", exact=True).input_value() == "30"
    page.locator(".effect .bars li").first.wait_for()
    cells = page.locator(".effect tbody tr").first.locator("td").all_inner_texts()
    assert cells[1] == cells[2] != cells[0]  # computed on the page, and by the network
    page.reload()
    page.locator(".effect .bars li").first.wait_for()
    assert page.locator(".effect tbody tr").first.locator("td").all_inner_texts() == cells
    page.get_by_role("button", name="Set this map's kernel to 0").click()
    assert page.locator(".adds-up strong").inner_text() == "0"
    page.get_by_role("button", name="Undo all changes").click()
    assert page.locator(".value-now strong").inner_text() == before
    page.locator(".trail button", has_text="fc8").click()
    assert page.locator(".bar-row").count() > 3
    page.locator(".trail button", has_text="softmax").click()
    assert page.locator(".bars li.own").count() == 1


def test_a_click_on_a_map_follows_that_pixel(visit: Callable[..., Visit]) -> None:
    page = visit().open("?picture=val.12&row=conv1")
    page.locator(".strongest .map").first.click()

    def click(where: str, across: float, down: float) -> None:
        image = page.locator(where)
        image.evaluate("(image) => image.decode()")
        box = image.bounding_box()
        assert box
        image.click(position={"x": box["width"] * across, "y": box["height"] * down})

    click(".projected .pixel-map", 0.5, 0.01)  # in the living network
    page.wait_for_url("**/follow?**row=0&column=7**")
    page.locator("h2", has_text="row 0, column 7").wait_for()
    click(".large img", 0.99, 0.01)
    page.wait_for_url("**row=0&column=14**")
    page.locator("h2", has_text="row 0, column 14").wait_for()
    page.go_back()
    page.locator("h2", has_text="row 0, column 7").wait_for()


# For each step, the number that it gives if the one before were 1 more: by the page, and by the network.
BOTH = """async (api) => {
  const { recomputed, numberAt } = await import(new URL("page/follow_numbers.js", document.baseURI));
  const ask = async (query) => (await fetch(new URL(`${api}${query}`, document.baseURI))).json();
  const name = ({ layer, unit, at }) => [layer, unit, ...(at ?? [])].join(".");
  const found = [];
  for (const step of (await ask("?unit=conv1.3.5.7")).steps) {
    const edits = [{ what: "input", place: step.from, number: numberAt(step, "input", step.from) + 1 }];
    if (numberAt(step, "weight", step.from) !== null) edits.push({ ...edits[0], what: "weight", number: 0.25 });
    const words = edits.map(({ what, place, number }) => `${what}.${place.join(".")}=${number}`).join();
    const { values } = await ask(`/changed?unit=${name(step)}&edits=${words}&watch=${name(step)}`);
    found.push([step.layer, recomputed(step, edits), values[name(step)], step.value]);
  }
  return found;
}"""


def test_the_page_computes_what_the_network_does(visit: Callable[..., Visit]) -> None:
    page = visit().open("training")
    found = page.evaluate(BOTH, API.removeprefix("/"))
    for layer, by_page, by_network, _ in found:
        assert by_page == pytest.approx(by_network, rel=1e-4, abs=1e-4), layer
    assert sum(by_page != before for _, by_page, _, before in found) > len(found) / 2
