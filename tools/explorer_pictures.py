"""Pictures of the explorer for the README: `python tools/explorer_pictures.py RUN STORE [FOLDER]` (docs/figures).

Starts `alexnet serve` on the run, opens it in Chromium, and writes explorer-home.png, the living network at 1280
pixels, and explorer-live.webp, in which it looks at one prepared picture after the other. `--all` writes the home page
at 1280 and 390 pixels, light and dark, too, for a reader who checks the layouts.
"""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import FloatRect, Page, ViewportSize, sync_playwright

FIGURES = Path(__file__).parent.parent / "docs" / "figures"
CHROMIUM = shutil.which(os.environ.get("ALEXNET_CHROMIUM", "chromium"))
WIDE, NARROW = ViewportSize(width=1280, height=720), ViewportSize(width=390, height=844)
LARGEST = 2 << 20  # bytes of the recording
CLIP = FloatRect(x=0, y=0, width=1280, height=700)


def main(arguments: list[str]) -> None:
    complete = "--all" in arguments
    run, store, *folder = [one for one in arguments if one != "--all"]
    target = Path(folder[0]) if folder else FIGURES
    command = [sys.executable, "-m", "alexnet", "serve", run, "--store", store, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            assert server.stdout is not None
            address = next(line for line in server.stdout if line.startswith("open ")).split()[1]
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
                page = browser.new_page(viewport=WIDE)
                look(page, address)
                page.screenshot(path=target / "explorer-home.png", clip=CLIP)
                record(page, target / "explorer-live.webp")
                for scheme in ("light", "dark") if complete else ():
                    for size in (WIDE, NARROW):
                        page = browser.new_page(viewport=size, color_scheme=scheme)
                        look(page, address)
                        page.screenshot(path=target / f"explorer-{size['width']}-{scheme}.png", full_page=True)
        finally:
            server.terminate()


def look(page: Page, address: str) -> None:
    page.goto(address)
    page.locator("#answer [data-views='10'] li").first.wait_for()
    page.wait_for_timeout(600)  # the maps have faded in


def record(page: Page, path: Path) -> None:
    """The network looking at one prepared picture after the other, as an animation that repeats."""
    frames: list[tuple[Image.Image, int]] = []

    def frame(milliseconds: int) -> None:
        frames.append((Image.open(io.BytesIO(page.screenshot(clip=CLIP))).convert("RGB"), milliseconds))

    for button in page.locator(".prepared button").all()[:8]:
        button.click()
        frame(150)
        page.locator("#answer .about a").wait_for()
        frame(350)
        page.locator("#answer [data-views='10'] li").first.wait_for()
        frame(1500)
    images = [image.resize((960, 525), Image.Resampling.LANCZOS) for image, _ in frames]
    shown = {"duration": [milliseconds for _, milliseconds in frames], "loop": 0, "method": 6}
    for quality in (70, 50, 30):
        images[0].save(path, save_all=True, append_images=images[1:], quality=quality, **shown)
        if path.stat().st_size <= LARGEST:
            return
    sys.exit(f"{path} is larger than {LARGEST} bytes.")


if __name__ == "__main__":
    main(sys.argv[1:])
