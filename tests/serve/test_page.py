"""The five pages in a browser: what a person does on them, and that nothing leaves the machine."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from explored import Visit
from PIL import Image

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[test]'")
PAGES = (
    "",
    "layer/conv2",
    "layer/conv2/unit/3",
    "follow?picture=val.12&step=conv2",
    "compare",
    "errors?show=gallery",
    "training",
)
PAINTED = """() => [...document.querySelectorAll("canvas.map-face")].filter(
  (one) => new Set(one.getContext("2d").getImageData(0, 0, one.width, one.height).data).size > 4).length"""


def test_the_network_lives_with_a_prepared_picture_before_one_is_chosen(visit: Callable[..., Visit]) -> None:
    here = visit(viewport={"width": 1280, "height": 800})
    page = here.open()
    page.locator("#answer li", has_text="%").first.wait_for()
    names = [f"conv{n}" for n in range(1, 6)] + ["fc6", "fc7", "fc8"]
    assert page.locator(".label strong").all_text_contents() == names
    assert page.locator("svg.network a.box").count() == 16  # two columns
    painted = page.evaluate(PAINTED)
    assert painted >= 14
    for part in (".source img", "canvas.map-face", "#answer .bars", ".row-chips"):  # seen without scrolling
        box = page.locator(part).first.bounding_box()
        assert box is not None, part
        assert box["y"] + box["height"] <= 800, part
    assert page.locator(".reads.crossing").count() > 0
    page.locator("svg.network a.box").nth(4).hover()
    assert page.locator("#tip li").count() >= 1
    assert page.evaluate("window.shifted") < 0.05
    page.get_by_role("button", name="norm", exact=True).first.click()
    page.wait_for_url("**row=norm1")
    assert "neighbouring maps" in page.locator("#row").inner_text()
    page.locator("#row .map").nth(8).wait_for()
    page.locator(".label a", has_text="conv3").click()
    page.wait_for_url("**/layer/conv3")
    page.locator("h1", has_text="conv3").wait_for()
    assert page.evaluate("document.activeElement.tagName") == "H1"


def test_units_by_address_with_the_slider_and_the_keys(visit: Callable[..., Visit], tmp_path: Path) -> None:
    here = visit()
    page = here.open("layer/conv2/unit/3")
    page.locator(".preparation:not([aria-busy])").wait_for(state="attached")  # it begins by itself
    page.locator(".patches li").nth(8).wait_for()
    slider = page.get_by_role("slider", name="Epoch")
    slider.wait_for()
    assert "epoch 3" in page.locator("output").inner_text()
    before = page.locator(".slider img").first.get_attribute("src")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert "epoch 2" in page.locator("output").inner_text()
    assert page.locator(".slider img").first.get_attribute("src") != before
    with page.expect_download() as saved:
        page.locator("figure", has_text="What activates it most").get_by_role("link", name="PNG").click()
    saved.value.save_as(tmp_path / "unit.png")
    with Image.open(tmp_path / "unit.png") as drawn:
        assert drawn.width > 300
    with page.expect_download() as saved:
        page.locator("figure", has_text="How often it is active").get_by_role("button", name="PNG").click()
    with Image.open(saved.value.path()) as drawn:
        assert len(np.unique(np.asarray(drawn.convert("L").resize((40, 20))))) > 3
    page.locator(".folded summary").first.click()
    assert "alexnet see top" in page.locator(".command code").first.inner_text()
    page.locator("h1").click()
    page.keyboard.press("ArrowRight")
    page.locator("h1", has_text="conv2 · 4").wait_for()
    page.keyboard.press("u")
    page.locator("h1", has_text="3×3").wait_for()


def photograph(shared_pack: Callable[[str], Path]) -> Path:
    return sorted(shared_pack("imagenet-sample").rglob("*.JPEG"))[3]


def test_a_photograph_gets_five_labels_maps_occlusion_and_moves(
    visit: Callable[..., Visit], shared_pack: Callable[[str], Path]
) -> None:
    walk_picture(visit, photograph(shared_pack).read_bytes(), "photograph.jpg")


def test_a_drawn_picture_gets_five_labels_maps_occlusion_and_moves(visit: Callable[..., Visit], picture: bytes) -> None:
    walk_picture(visit, picture, "drawn.png")


def walk_picture(visit: Callable[..., Visit], data: bytes, name: str) -> None:
    page = visit().open("picture")
    page.set_input_files("#file", {"name": name, "mimeType": "image/*", "buffer": data})
    page.locator(".answer[data-views='10'] li").nth(4).wait_for()
    assert page.locator(".answer[data-views='1'] li").count() == 5
    assert page.locator("#answer h2").inner_text() == name
    page.locator("#row .map").first.click()
    page.locator(".projected img").first.wait_for()
    page.locator(".projected select").first.select_option("guided")
    assert (page.locator(".projected code").first.text_content() or "").endswith("--method guided")
    page.locator("#row summary", has_text="all").first.press("Enter")
    page.get_by_label("Project unit").first.fill("2")
    page.keyboard.press("Enter")
    page.locator(".projected .by", has_text="relu1 · 2").wait_for()
    for number in range(3):  # sections below begin when they come into sight
        page.locator(".in-sight").nth(number).scroll_into_view_if_needed()
    page.locator("#occlusion .save a").first.wait_for()
    page.get_by_role("button", name="Shift, scale and rotate it").click()
    page.get_by_role("button", name="Rotate", exact=True).click()
    slider = page.get_by_role("slider", name="Rotate")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert "10 degrees" in page.locator(".transformed output").inner_text()
    with page.expect_download() as saved:
        page.locator("#invariance").get_by_role("button", name="JSON").click()
    assert [one["kind"] for one in json.loads(Path(saved.value.path()).read_text())["curves"]] == [
        "translation",
        "scale",
        "rotation",
    ]


def test_what_is_no_picture_is_refused_on_the_page(visit: Callable[..., Visit]) -> None:
    here = visit()
    page = here.open("picture")
    page.set_input_files("#file", {"name": "x.png", "mimeType": "image/png", "buffer": b"<svg onload='alert(1)'/>"})
    page.locator(".fault", has_text="an SVG drawing").wait_for()
    here.faults[:] = [fault for fault in here.faults if "415" not in fault]  # the browser notes the refusal


FAKE_CAMERA = "--use-fake-device-for-media-stream"
ALLOWED = "--use-fake-ui-for-media-stream"  # the question whether the page may use the camera is answered with yes
REMEMBER_STREAMS = """
  const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  window.streams = [];
  navigator.mediaDevices.getUserMedia = async (constraints) => {
    streams.push(await open(constraints));
    return streams.at(-1);
  };
"""
LIVE = "() => streams.flatMap((stream) => stream.getTracks()).filter((track) => track.readyState === 'live').length"


def test_a_photograph_is_taken_and_gets_five_labels(equipped: Callable[..., Visit]) -> None:
    here = equipped(FAKE_CAMERA, ALLOWED)
    here.context.add_init_script(REMEMBER_STREAMS)
    page = here.open("picture")
    page.get_by_role("button", name="Use the camera").click()
    page.get_by_role("button", name="Take photo").wait_for()
    width, height = page.evaluate(
        "() => { const v = document.querySelector('video'); return [v.videoWidth, v.videoHeight]; }"
    )
    assert width > 0
    assert page.evaluate(LIVE) == 1
    page.keyboard.press("Enter")  # the button that takes it has the focus
    page.locator(".answer[data-views='10'] li").nth(4).wait_for()
    assert page.locator("#answer h2").inner_text() == "from the camera"
    assert f"of {width} × {height} pixels" in page.locator("#answer .about").inner_text()
    assert page.locator("video").count() == 0
    assert page.evaluate(LIVE) == 0


def test_the_camera_goes_off_when_something_else_is_chosen_or_the_page_is_left(equipped: Callable[..., Visit]) -> None:
    here = equipped(FAKE_CAMERA, ALLOWED)
    here.context.add_init_script(REMEMBER_STREAMS)
    page = here.open("picture")
    for leave in (".prepared button >> nth=0", "text=Use the camera", "nav a[data-page='training']"):
        page.get_by_role("button", name="Use the camera").click()
        page.locator("video").wait_for()
        page.locator(leave).click()
        page.wait_for_function(f"() => ({LIVE})() === {int('camera' in leave)}")
    page.locator("h1", has_text="Training").wait_for()


def test_without_a_camera_it_is_said_what_to_do(equipped: Callable[..., Visit]) -> None:
    said = {
        (FAKE_CAMERA,): "The browser did not allow the camera: allow it in the address bar, or choose a file.",
        (ALLOWED,): "The browser finds no camera: connect one, or choose a file.",
    }
    for arguments, words in said.items():
        page = equipped(*arguments).open("picture")
        page.get_by_role("button", name="Use the camera").click()
        page.locator(".fault").wait_for()
        assert page.locator(".fault").inner_text() == words
        page.locator(".prepared button").first.click()  # the page still works
        page.locator(".answer[data-views='10'] li").nth(4).wait_for()
        assert page.locator(".fault").count() == 0


def test_a_camera_that_another_program_has_is_said_to_be_in_use(equipped: Callable[..., Visit]) -> None:
    here = equipped(FAKE_CAMERA, ALLOWED)
    here.context.add_init_script(
        "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotReadableError'); }"
    )
    page = here.open("picture")
    page.get_by_role("button", name="Use the camera").click()
    page.locator(".fault", has_text="Another program has the camera: close it, or choose a file.").wait_for()


def test_where_browsers_lend_no_camera_the_way_through_ssh_is_named(equipped: Callable[..., Visit]) -> None:
    here = equipped()
    here.context.add_init_script("Object.defineProperty(Navigator.prototype, 'mediaDevices', { value: undefined })")
    page = here.open("picture")
    page.get_by_role("button", name="Use the camera").click()
    page.locator(".fault", has_text="come through SSH").wait_for()


def test_two_runs_side_by_side(visit: Callable[..., Visit], picture: bytes) -> None:
    page = visit().open("compare")
    assert page.locator("select[name='Right']").input_value() == "beside"
    page.set_input_files("#file", {"name": "x.png", "mimeType": "image/png", "buffer": picture})
    page.locator("#same .answer").nth(1).locator("li").nth(4).wait_for()
    if page.get_by_role("button", name="Measure both").count():
        page.get_by_role("button", name="Measure both").click()
    page.locator("table.accuracy tbody tr").nth(6).wait_for()
    page.select_option("select[name='Right']", "epoch-1")
    page.wait_for_url("**right=epoch-1")


def test_training_shows_its_curves(visit: Callable[..., Visit]) -> None:
    page = visit().open("training")
    assert page.locator("#live svg.chart").count() == 3
    page.locator("#live svg.chart").first.focus()
    page.keyboard.press("ArrowLeft")
    assert "epoch 2" in page.locator("#live .read").first.text_content()
    assert not page.locator("#now").is_visible()  # no training is in progress


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_a_phone_and_is_read_easily(visit: Callable[..., Visit], scheme: str) -> None:
    here = visit(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    for path in PAGES:
        page = here.open(path)
        page.wait_for_timeout(150)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
        assert page.evaluate(FAINT) == [], path
        assert page.locator("img:not([alt])").count() == 0


# Text whose contrast with its ground is below WCAG AA's 4.5 (3 for large text).
FAINT = """() => {
  const parts = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
  const linear = (value) => (value <= 10 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = parts(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] > 0.99) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    const aside = element.closest("[aria-hidden=true], svg, .unseen, .skip, option");
    if (!own || aside || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const [a, b] = [luminance(parts(style.color)), luminance(ground(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const least = parseFloat(style.fontSize) >= 24 ? 3 : 4.5;
    const words = `${element.tagName} ${element.textContent.slice(0, 30)}`;
    if (contrast < least) found.push(`${words}: ${contrast.toFixed(2)}`);
  }
  return found;
}"""
