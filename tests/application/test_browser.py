"""The page in a real browser, where there is one: looking, finding, naming, teaching, exporting, as a person would."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from motet.application import Application, app
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.simulate import simulate
from motet.report.motion import to_screen

sync_api = pytest.importorskip("playwright.sync_api")
pytest.importorskip("starlette")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
HOSTILE = '<img src=x onerror="document.title=1">'


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    """Simulated people, with names that try to be code."""
    made = simulate(tmp_path_factory.mktemp("made") / "s.motet", clips=24, actions=3, actors=4, seed=0)
    path = tmp_path_factory.mktemp("named") / "recordings.motet"
    options = {"persons": made.persons, "fps": made.fps, "class_names": made.class_names, "units": made.units}
    with ArchiveWriter(path, skeleton=made.skeleton, **options) as writer:
        for number, clip in enumerate(made):
            label, subject = int(made.labels[number]), made.clips["subject"][number]
            writer.add(clip, name=f"{HOSTILE} {number}", label=label, subject=subject)
    return MotionArchive.open(path)


@pytest.fixture(scope="module")
def running(recordings: MotionArchive) -> Iterator[Application]:
    with app(recordings, browser=False, rater="ann") as found:
        yield found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any, running: Application) -> Iterator[Any]:
    """A page on the first recording, all labels taken away; nothing may go wrong in it."""
    labels = running.session.labels
    if labels.all():
        labels.edit([{"do": "remove", "id": one.id} for one in labels.all()], "ann")
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    found = context.new_page()
    errors: list[str] = []
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    found.goto(running.address)
    found.wait_for_selector("body[data-ready]")
    yield found
    context.close()
    assert errors == []


def drag(page: Any, start: float, end: float) -> None:
    """Select from one share of the timeline to another."""
    box = page.locator("#timeline").bounding_box()
    y = box["y"] + box["height"] * 0.75
    page.mouse.move(box["x"] + start * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + end * box["width"], y, steps=4)
    page.mouse.up()


def intervals(running: Application, count: int, page: Any) -> list[tuple[int, float, float, str]]:
    """The labels, once the page shows as many."""
    sync_api.expect(page.locator("#intervals li")).to_have_count(count)
    return sorted((i.clip, i.start, i.end, i.label) for i in running.session.labels.all())


def test_names_are_text_and_the_library_can_be_searched(page: Any) -> None:
    assert page.title() == "recordings · motet"
    assert page.locator("#name").inner_text() == f"{HOSTILE} 0"
    assert page.locator("#library img").count() == 0
    page.fill("#search", " 17")
    assert page.locator(".clip").count() == 1
    page.locator(".clip").click()
    assert page.locator("#name").inner_text() == f"{HOSTILE} 17"
    page.fill("#search", "")
    page.select_option("#by-person", "1")
    assert 0 < page.locator(".clip").count() < 24


def test_the_skeleton_is_drawn_where_it_was_recorded(page: Any, running: Application) -> None:
    page.wait_for_function(
        "() => { const c = document.getElementById('player'), d = c.getContext('2d').getImageData(0, 0, c.width,"
        " c.height).data; let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n > 500; }"
    )
    rows = page.evaluate(
        "() => { const c = document.getElementById('player'), d = c.getContext('2d').getImageData(0, 0, c.width,"
        " c.height).data; const rows = []; for (let y = 0; y < c.height * 0.84; y++) for (let x = 0; x < c.width; x++)"
        " if (d[4 * (y * c.width + x) + 3]) { rows.push(y); break; } return [rows[0], rows.at(-1), c.height]; }"
    )
    first = to_screen(running.session.archive.clip(0)[0].astype(float), running.session.archive.skeleton, 3)
    tall = float(first[0, :, 1].max() - first[0, :, 1].min())
    assert tall > 0.5
    assert rows[1] - rows[0] > 0.4 * rows[2]  # a standing person fills the height


def test_draw_name_move_split_merge_undo_by_keys(page: Any, running: Application) -> None:
    classes = running.session.labels.classes
    length = float(running.session.archive.lengths[0] / running.session.archive.fps)
    drag(page, 0.1, 0.4)
    page.keyboard.press("1")
    found = intervals(running, 1, page)
    assert found[0][3] == classes[0]
    assert found[0][1:3] == pytest.approx((0.1 * length, 0.4 * length), abs=0.02 * length)
    drag(page, 0.5, 0.8)
    page.keyboard.press("2")
    assert [i[3] for i in intervals(running, 2, page)] == classes[:2]
    page.keyboard.press("3")  # the selected one gets another name
    sync_api.expect(page.locator("#intervals b").nth(1)).to_have_text(classes[2])
    page.evaluate("() => document.getElementById('timeline').focus()")
    page.keyboard.press("Escape")
    box = page.locator("#timeline").bounding_box()
    page.mouse.click(box["x"] + 0.65 * box["width"], box["y"] + 8)  # the ruler moves the cursor
    page.keyboard.press("s")
    found = intervals(running, 3, page)
    assert found[1][2] == found[2][1] == pytest.approx(0.65 * length, abs=0.02 * length)
    page.keyboard.press(".")
    page.keyboard.press(".")
    page.keyboard.press("m")
    merged = intervals(running, 2, page)
    assert merged[1][1:3] == pytest.approx((0.5 * length, 0.8 * length), abs=0.02 * length)
    page.keyboard.press("Delete")
    intervals(running, 1, page)
    page.keyboard.press("Control+z")
    assert intervals(running, 2, page) == merged
    page.keyboard.press("Control+Shift+z")
    intervals(running, 1, page)


def test_edges_are_dragged(page: Any, running: Application) -> None:
    length = float(running.session.archive.lengths[0] / running.session.archive.fps)
    drag(page, 0.2, 0.5)
    page.keyboard.press("1")
    intervals(running, 1, page)
    before = page.locator("#intervals small").inner_text()
    drag(page, 0.5, 0.7)  # the end of the selected label
    sync_api.expect(page.locator("#intervals small")).not_to_have_text(before)
    found = intervals(running, 1, page)
    assert found[0][1:3] == pytest.approx((0.2 * length, 0.7 * length), abs=0.02 * length)


def test_a_new_class_is_named_and_renamed(page: Any, running: Application) -> None:
    drag(page, 0.1, 0.3)
    page.keyboard.press("n")
    page.fill("#rename-to", HOSTILE)
    page.keyboard.press("Enter")
    assert intervals(running, 1, page)[0][3] == HOSTILE
    assert page.locator("#classes img").count() == 0
    page.locator(".class", has_text="onerror").dblclick()
    page.fill("#rename-to", "kick")
    page.keyboard.press("Enter")
    sync_api.expect(page.locator("#intervals b")).to_have_text("kick")
    assert HOSTILE not in running.session.labels.classes


def test_two_pages_see_each_other_and_a_dead_server_is_said(
    chromium: Any, recordings: MotionArchive, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.motet"
    shutil.copytree(recordings.path, copy)
    own = app(copy, browser=False, rater="ann")
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    first, second = context.new_page(), context.new_page()
    for one in (first, second):
        one.goto(own.address)
        one.wait_for_selector("body[data-ready]")
    first.bring_to_front()
    drag(first, 0.1, 0.4)
    first.keyboard.press("1")
    sync_api.expect(first.locator("#intervals li")).to_have_count(1)
    second.bring_to_front()
    sync_api.expect(second.locator("#intervals li")).to_have_count(1, timeout=15_000)
    own.close()
    drag(second, 0.5, 0.8)
    second.keyboard.press("1")
    sync_api.expect(second.locator("#message")).to_contain_text("does not answer")
    context.close()
    assert len(MotionArchive.open(copy).tracks["labels"]) == 1


def test_similar_moments_the_map_and_a_lasso(page: Any, running: Application) -> None:
    assert running.session.moments.ready.wait(60)
    page.click("#tab-similar")
    page.click("#more")
    page.wait_for_selector("#hits li")
    page.locator("#hits .go").first.click()
    assert page.locator("#name").inner_text() != f"{HOSTILE} 0"
    page.click("#tab-map")
    sync_api.expect(page.locator("#map-state")).to_contain_text("24 moments", timeout=15_000)
    page.click("#lasso")
    box = page.locator("#plane").bounding_box()
    corners = [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99), (0.01, 0.02)]
    page.mouse.move(box["x"] + corners[0][0] * box["width"], box["y"] + corners[0][1] * box["height"])
    page.mouse.down()
    for x, y in corners[1:]:
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
    page.mouse.up()
    sync_api.expect(page.locator("#picked-count")).to_contain_text("24 moments")
    page.locator("#picked-classes button", has_text="+ class").click()
    page.fill("#rename-to", "all")
    page.keyboard.press("Enter")
    page.click("#tab-labels")
    assert len(intervals(running, 1, page)) == 24


def test_moments_of_a_state_are_found_by_person_and_the_map_shows_certainty(page: Any, running: Application) -> None:
    archive, tracks = running.session.archive, running.session.archive.tracks
    rows = [
        {"recording": name, "start": 0.0, "end": 0.5, "label": f"state {i % 2}", "certainty": 1 - i / 40}
        for i, name in enumerate(archive.clips["name"])
    ]
    tracks.save("states", rows)
    page.reload()
    page.wait_for_selector("body[data-ready]")
    page.click("#tab-similar")
    page.select_option("#track", label="state 1")
    sync_api.expect(page.locator("#hits li")).to_have_count(12)
    assert page.locator("#hits small").first.inner_text().endswith("43 %")  # the least certain one first
    page.select_option("#by-person", "1")
    assert page.locator("#hits li").count() == int(
        sum(archive.clips["subject"][i] == archive.clips["subject"].unique().sort()[1] for i in range(1, 24, 2))
    )
    page.click("#tab-map")
    sync_api.expect(page.locator("#map-state")).to_contain_text("24 moments", timeout=15_000)
    for colour, count in (("track:states", 2), ("certainty:states", 5), ("person", 4)):
        page.select_option("#colour", colour)
        assert page.locator("#legend > span").count() == count
    tracks.remove("states")


def test_typical_moments_are_proposed_before_there_are_labels(page: Any, running: Application) -> None:
    page.click("#tab-teach")
    sync_api.expect(page.locator("#teach-state")).to_contain_text("Label two classes", timeout=30_000)
    sync_api.expect(page.locator("#proposals li")).to_have_count(12, timeout=30_000)
    assert page.locator("#proposals button", has_text="✓").count() == 0
    page.locator("#proposals .act:visible").first.click()
    page.locator("#proposals .class").first.click()
    page.click("#tab-labels")
    sync_api.expect(page.locator("#intervals li")).to_have_count(1)


def test_a_classifier_proposes_and_is_corrected(page: Any, running: Application) -> None:
    archive, labels = running.session.archive, running.session.labels
    ends = archive.lengths / archive.fps
    names = archive.class_names
    add = [
        {"do": "add", "clip": c, "start": 0.0, "end": float(ends[c]), "label": names[archive.labels[c]]}
        for c in range(12)
    ]
    labels.edit(add, "ann")
    running.session.teacher.wake()
    page.click("#tab-teach")
    sync_api.expect(page.locator("#teach-state")).to_contain_text("12 labels of 3 classes", timeout=30_000)
    before = len(labels.all())
    page.locator("#proposals button", has_text="✓").first.click()
    sync_api.expect(page.locator("#teach-state")).to_contain_text("13 labels", timeout=30_000)
    assert len(labels.all()) == before + 1
    page.locator("#proposals button", has_text="✎").first.click()
    page.locator("#proposals .class").last.click()
    sync_api.expect(page.locator("#teach-state")).to_contain_text("14 labels", timeout=30_000)
    predicted = {row[0]: row[3] for row in running.session.teacher.predictions()}
    right = [predicted[c] == names[archive.labels[c]] for c in range(24)]
    assert sum(right) >= 16  # a third would be chance


@pytest.mark.parametrize("width", [390, 820, 1600])
def test_every_width_has_no_sideways_scroll_and_all_panels(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    if width <= 820:
        for place in ("library", "side", "stage"):
            page.click(f'#places [data-place="{place}"]')
            assert page.locator(f"#{place}").is_visible()
    for node in ("#player", "#timeline", "#classes"):
        assert page.locator(node).is_visible()


def test_everything_can_be_reached_by_keyboard_and_has_a_name(page: Any) -> None:
    unnamed = page.evaluate(
        "() => [...document.querySelectorAll('button, input, select, canvas')].filter((n) => n.offsetParent &&"
        " !(n.textContent.trim() || n.getAttribute('aria-label') || n.title || n.closest('label'))).map((n) => n.id)"
    )
    assert unnamed == []
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("() => document.activeElement.id"))
    assert {"search", "list", "player", "play", "timeline", "tab-labels", "take"} <= reached


CONTRAST = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (let one = node; one; one = one.parentElement) {
      const colour = rgb(getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((one) => one.nodeType === 3 && one.textContent.trim());
    if (!own || node.disabled || !node.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(`${node.tagName} ${node.id || node.className} ${node.textContent.trim()} ${ratio}`);
  }
  return found;
}"""


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_in_light_and_dark(page: Any, dark: bool) -> None:
    drag(page, 0.1, 0.4)
    page.keyboard.press("1")
    if dark:
        page.click("#theme")
    assert (page.evaluate("() => document.documentElement.dataset.theme") == "dark") == dark
    for tab in ("labels", "similar", "map", "teach"):
        page.click(f"#tab-{tab}")
        assert page.evaluate(CONTRAST) == []
    page.keyboard.press("?")
    assert page.evaluate(CONTRAST) == []


def test_nothing_moves_by_itself_where_less_motion_is_wanted(page: Any) -> None:
    moving = page.evaluate(
        "() => [...document.querySelectorAll('*')].filter((n) => { const s = getComputedStyle(n);"
        " return [s.transitionDuration, s.animationDuration].some((t) => parseFloat(t) > 0.01); }).map((n) => n.id)"
    )
    assert moving == []
    before = page.locator("#clock").inner_text()
    page.wait_for_timeout(300)
    assert page.locator("#clock").inner_text() == before


def test_the_report_and_the_scene_are_saved(page: Any, running: Application) -> None:
    assert running.session.moments.ready.wait(60)
    drag(page, 0.1, 0.4)
    page.keyboard.press("1")
    intervals(running, 1, page)
    for words, ending in (("Report", "-report.html"), ("This recording", ".glb")):
        page.click("#take")
        with page.expect_download() as saved:
            page.locator("#formats button", has_text=words).click()
        assert saved.value.suggested_filename.endswith(ending)
