"""The page in a real browser, where there is one: pointing, pinning, keys and search do what the page says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from motet.report import build
from tests.report.made_up import made_up

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


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_pointing_pinning_keys_and_search(tmp_path: Path) -> None:
    assert BROWSER is not None
    page = tmp_path / "page.html"
    page.write_text(build(made_up()).replace("</body>", SCRIPT))
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    command += ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={tmp_path / 'user'}"]
    command += ["--window-size=1200,1000", "--virtual-time-budget=3000", "--dump-dom", page.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
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
