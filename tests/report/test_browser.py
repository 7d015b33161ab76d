"""The page in a real browser, where there is one: pointing, pinning, keys and search do what the page says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motet import report
from motet.data.archive import MotionArchive
from motet.methods import distillation as distill
from motet.report import build
from tests.methods.distillation.toys import write_table
from tests.report.made_up import made_up
from tests.use.made import FPS, recordings

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# Steps are taken as a reader would; what the page shows after each goes into the document for the test to read.
SCRIPT = """<script>
(async () => {
  const found = {errors: []}, $ = (id) => document.getElementById(id);
  addEventListener("error", (event) => found.errors.push(event.message));
  const tell = () => [$("clip-name").textContent, $("pin").getAttribute("aria-pressed"), $("near").children.length];
  const key = (name) => $("plane").dispatchEvent(new KeyboardEvent("keydown", {key: name, bubbles: true}));
  const pixels = (canvas) => new Set(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data).size;
  await new Promise((done) => setTimeout(done, 300));
  found.start = tell();
  found.drawn = [$("plane"), $("big"), ...document.querySelectorAll("#near canvas")].map(pixels);
  const box = $("plane").getBoundingClientRect();
  for (let x = 4; x < box.width && found.hovered === undefined; x += 4) for (let y = 4; y < box.height; y += 4) {
    const where = {clientX: box.left + x, clientY: box.top + y, pointerType: "mouse"};
    $("plane").dispatchEvent(new PointerEvent("pointermove", where));
    if ($("tip").hidden || tell()[0] === found.start[0]) continue;
    found.hovered = tell();
    found.tip = $("tip").textContent;
    break;
  }
  key("ArrowRight"); key("ArrowDown");
  found.moved = tell();
  key("Enter");
  found.pinned = tell();
  key("Escape");
  found.free = tell();
  $("search").value = "clip_007";
  $("search").dispatchEvent(new Event("input"));
  found.hits = $("found").children.length;
  $("found").querySelector("button").click();
  found.sought = tell();
  document.querySelector("#near button").click();
  found.neighbour = tell();
  document.querySelector("[data-colour=cluster]").click();
  found.legend = $("legend").textContent;
  $("legend").querySelector("button").click();
  found.filtered = $("legend").className;
  document.documentElement.dataset.found = JSON.stringify(found);
})();
</script></body>"""


def dom_of(page: Path, tmp_path: Path) -> str:
    """The document after its scripts have run."""
    assert BROWSER is not None
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    command += ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={tmp_path / 'user'}"]
    command += ["--window-size=1200,1000", "--virtual-time-budget=3000", "--dump-dom", page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


# a reader points at the second chart; boxes that are wider than the page would have to be scrolled
CHARTS = """<script>
(async () => {
  const found = {errors: []};
  addEventListener("error", (event) => found.errors.push(event.message));
  await new Promise((done) => setTimeout(done, 300));
  const charts = [...document.querySelectorAll(".curve svg")], box = charts[1].getBoundingClientRect();
  found.titles = [...document.querySelectorAll(".curve figcaption b")].map((one) => one.textContent);
  const where = {clientX: box.right - box.width / 10, clientY: box.top + box.height / 2, pointerType: "mouse"};
  charts[1].dispatchEvent(new PointerEvent("pointermove", {...where, bubbles: true}));
  found.tip = [...document.querySelectorAll("#tip, .tip")].map((one) => one.textContent).join("");
  found.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  document.documentElement.dataset.found = JSON.stringify(found);
})();
</script></body>"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_the_page_of_a_distillation(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.npz", available_ear=np.arange(120) % 10 > 2)
    small: dict[str, Any] = {"epochs": 3, "batch_size": 16, "features": 8, "warm_up": 1}
    distill.run(table, "eye", "ear", tmp_path / "run", progress=False, **small)
    page = tmp_path / "page.html"
    report.write(tmp_path / "run", page)
    page.write_text(page.read_text().replace("</body>", CHARTS))
    dom = dom_of(page, tmp_path)
    match = re.search(r'data-found="([^"]*)"', dom)
    assert match is not None, dom[:500]
    found: dict[str, Any] = json.loads(unescape(match[1]))
    assert found["errors"] == []
    assert found["wide"] <= 0
    assert found["titles"][:3] == ["Student and teacher (%)", "Gap (points)", "Cosine of student and teacher"]
    assert "gap" in found["tip"]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_pointing_pinning_keys_and_search(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(build(made_up()).replace("</body>", SCRIPT))
    dom = dom_of(page, tmp_path)
    match = re.search(r'data-found="([^"]*)"', dom)
    assert match is not None, dom[:500]
    found: dict[str, Any] = json.loads(unescape(match[1]))

    assert found["errors"] == []
    assert found["start"] == ["clip_000 · 1.0 s", "false", 5]
    assert len(found["drawn"]) == 7
    assert min(found["drawn"]) > 10  # every canvas shows something
    assert found["hovered"][1:] == ["false", 5]
    assert found["tip"].split("\n")[1] == found["hovered"][0].split(" · ")[0]
    assert found["moved"][0] != found["hovered"][0]
    assert found["pinned"] == [found["moved"][0], "true", 5]
    assert found["free"] == [found["moved"][0], "false", 5]
    assert found["hits"] == 1
    assert found["sought"] == ["clip_007 · 1.0 s", "true", 5]
    assert found["neighbour"][0] != "clip_007 · 1.0 s"
    assert "group 1 · class" in found["legend"]
    assert found["filtered"] == "filtered"


# a reader clicks in the middle of the second recording, then moves on by a key
ALONG = """<script>
(async () => {
  const found = {errors: []}, $ = (id) => document.getElementById(id);
  addEventListener("error", (event) => found.errors.push(event.message));
  await new Promise((done) => setTimeout(done, 300));
  const rows = document.querySelectorAll(".rows")[1], box = rows.querySelector("svg").getBoundingClientRect();
  rows.setPointerCapture = () => {};
  rows.dispatchEvent(new PointerEvent("pointerdown", {clientX: box.left + box.width / 2, clientY: box.top}));
  found.where = $("where").textContent;
  found.now = [...$("now").children].map((one) => one.textContent);
  const cursor = document.querySelector(".current .cursor").getBoundingClientRect();
  found.off = Math.abs(cursor.left + 1 - box.left - box.width / 2);
  const g = $("figure").getContext("2d");
  found.drawn = new Set(g.getImageData(0, 0, $("figure").width, $("figure").height).data).size;
  rows.dispatchEvent(new KeyboardEvent("keydown", {key: "PageDown", bubbles: true}));
  found.moved = $("where").textContent;
  document.documentElement.dataset.found = JSON.stringify(found);
})();
</script></body>"""


def found_along(archive: MotionArchive, folder: Path) -> dict[str, Any]:
    """What a reader finds on the page of an archive who points at the middle of its second recording."""
    page = report.write(archive.path, folder / "page.html")
    page.write_text(page.read_text().replace("</body>", ALONG))
    match = re.search(r'data-found="([^"]*)"', dom_of(page, folder))
    assert match is not None
    found: dict[str, Any] = json.loads(unescape(match[1]))
    assert found["errors"] == []
    return found


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_the_cursor_along_time(tmp_path: Path) -> None:
    archive = recordings(tmp_path / "a.motet", people=1)
    found = found_along(archive, tmp_path)
    half = int(archive.lengths[1]) / FPS / 2
    rows = archive.tracks["activity"].filter(recording="r01").iter_rows(named=True)
    own = [r for r in rows if r["start"] <= half < r["end"]]
    assert found["where"] == f"r01 at {half:.1f} s"
    assert found["now"] == [f"activity{own[0]['label']}"]
    assert found["off"] < 1.5
    assert found["drawn"] > 10
    assert found["moved"] == f"r01 at {half + 5:.1f} s"
    archive.tracks.remove("activity")  # and nothing else is labelled
    bare = found_along(archive, tmp_path)
    assert bare["now"] == ["clip—"]
    assert (bare["where"], bare["moved"]) == (found["where"], found["moved"])
    assert bare["drawn"] > 10
