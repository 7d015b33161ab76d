"""Makes the pictures of the application: `app.gif` (a short session) and `app.png`, in a real browser.

    pip install 'motet[app]' playwright pillow        # and a Chromium
    python docs/images/make.py

The recordings are simulated; what the page shows is what it answers, nothing is drawn in.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path
from typing import Any

import motet
from motet.application import app
from motet.data.simulate import simulate

HERE = Path(__file__).parent
SIZE = {"width": 1100, "height": 660}
COLOURS = 96


def session(page: Any, running: Any) -> list[tuple[bytes, int]]:
    """Pictures of a session and how many milliseconds each is shown."""
    shots: list[tuple[bytes, int]] = []
    archive, labels = running.session.archive, running.session.labels

    def film(frames: int, milliseconds: int = 120) -> None:
        for _ in range(frames):
            page.wait_for_timeout(milliseconds)
            shots.append((page.screenshot(), milliseconds))

    page.keyboard.press("Space")
    film(6)
    names, ends = archive.class_names, archive.lengths / archive.fps
    for clip in range(0, 12, 2):  # a digit names a whole clip
        page.keyboard.press(str(1 + names.index(names[archive.labels[clip]])))
        page.wait_for_timeout(150)
        shots.append((page.screenshot(), 350))
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
    rest = [
        {"do": "add", "clip": c, "start": 0.0, "end": float(ends[c]), "label": names[archive.labels[c]]}
        for c in range(12, 60)
    ]
    labels.edit(rest, running.session.rater)  # the same for more clips, without filming it
    running.session.teacher.wake()
    page.click("#tab-teach")
    page.wait_for_selector("#proposals li", timeout=60_000)
    page.wait_for_timeout(3000)
    film(3, 250)
    for proposed in running.session.teacher.state("")["proposals"][:4]:
        right = proposed["label"] == names[archive.labels[proposed["clip"]]]
        page.locator("#proposals .go").first.click()
        film(2, 250)
        page.locator("#proposals .act", has_text="✓" if right else "✕").first.click()  # a wrong one is skipped
        film(1, 350)
    page.click("#tab-map")
    page.wait_for_function("() => document.getElementById('map-state').textContent.endsWith(').')", timeout=120_000)
    page.select_option("#colour", "track:classifier")
    film(3, 500)
    return shots


def write_gif(shots: list[tuple[bytes, int]], path: Path) -> None:
    from PIL import Image

    pictures = [Image.open(io.BytesIO(content)).convert("RGB").resize((880, 528)) for content, _ in shots]
    together = Image.new("RGB", (880, 528 * 3))
    for place, picture in enumerate((pictures[0], pictures[len(pictures) // 2], pictures[-1])):
        together.paste(picture, (0, 528 * place))
    palette = together.quantize(COLOURS, dither=Image.Dither.NONE)
    frames = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    times = [milliseconds for _, milliseconds in shots]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=times, loop=0, optimize=True)


def main() -> None:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "actions.motet"
        simulate(path, clips=160, actions=6, actors=8, seed=5, progress=False)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        with app(motet.MotionArchive.open(path), browser=False, rater="ann") as running:
            running.session.moments.begin()
            running.session.moments.ready.wait()
            page.goto(running.address)
            page.wait_for_selector("body[data-ready]")
            shots = session(page, running)
            page.set_viewport_size({"width": 1440, "height": 810})
            page.wait_for_timeout(1000)
            page.screenshot(path=HERE / "app.png")
        browser.close()
        write_gif(shots, HERE / "app.gif")


if __name__ == "__main__":
    main()
