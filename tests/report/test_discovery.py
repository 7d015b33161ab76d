"""The page of a discovery: every cluster, what fits nowhere, names, and no trust in words from the recordings."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from motet.cli import main
from motet.core.errors import RunError
from motet.data.archive import MotionArchive
from motet.methods import discovery as discover
from motet.methods.discovery.describe import figure, resembling
from tests.conftest import write_clips
from tests.report.test_browser import BROWSER

TINY: dict[str, Any] = {"epochs": 1, "finetune_epochs": 1, "frames": 8, "dim": 4, "batch_size": 8, "kmeans_restarts": 1}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[MotionArchive, MotionArchive]:
    folder = tmp_path_factory.mktemp("sets")
    return write_clips(folder / "source", 24, 3, 2, seed=1), write_clips(folder / "target", 40, 3, 4, seed=2)


@pytest.fixture(scope="module")
def run(sets: tuple[MotionArchive, MotionArchive], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "found"
    discover.run(*sets, out, progress=False, encoder="gru", hidden=4, layers=1, **TINY)
    discover.name_clusters(out, {0: "<b>wave</b>"})
    return out


def test_the_page(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page.html"
    assert main(["report", str(run), "--out", str(out)]) == 0
    page, result = out.read_text(), json.loads((run / "result.json").read_text())
    for branch in ("B0", "B1"):
        for cluster in range(result["k"]):
            assert f'id="{branch}-{cluster}"' in page
    assert "&lt;b&gt;wave&lt;/b&gt;" in page
    assert "<b>wave" not in page
    assert page.count("Fit nowhere") == 2
    assert "How many clusters?" in page  # the number was estimated
    assert "<td>B0</td><td>its classifier, at the end</td>" in page
    assert "<td>none</td><td>k-means on raw coordinates, no discovery</td>" in page
    assert result["warning"] in page
    found = re.search(r'id="data">(.*?)</script>', page)
    assert found is not None
    motion = json.loads(found[1])["motion"]
    shown = {int(i) for i in re.findall(r'data-clip="(\d+)"', page)}
    assert shown == set(range(len(motion["clips"])))
    assert not re.search(r'(src|href)="(?!#)', page)
    # the command names the run and the branch that is shown
    for branch, option in (("B0", ""), ("B1", " --branch B1")):
        assert re.search(rf'<code data-branch="{branch}"[^>]*>motet clusters {run}{option} --name 0=', page)
    assert page.count("discover again with more clusters") == 2
    # names of classes and clips are whole in captions, and figures are no negative zeros
    assert 'class="name">clip-' in page
    assert "-0.00" not in page


def test_likenesses_near_chance_are_none(run: Path) -> None:
    def told(known: int, *shares: float) -> str:
        resembles = [{"class": name, "share": share} for name, share in zip(("9", "wave"), shares, strict=True)]
        return resembling({"size": 5, "known": known, "resembles": resembles})

    assert told(10, 0.21, 0.12) == "class 9: 21 %"
    assert told(10, 0.13, 0.12) == "nothing clearly"
    assert told(2, 0.8, 0.2) == "class 9: 80 %"
    assert told(2, 0.6, 0.4) == "nothing clearly"
    assert (figure(-0.001), figure(-0.016)) == ("0.00", "-0.02")
    for clusters in json.loads((run / "result.json").read_text())["clusters"].values():
        assert {c["known"] for c in clusters} == {3}


def test_a_page_needs_the_recordings(run: Path, sets: tuple[MotionArchive, MotionArchive], tmp_path: Path) -> None:
    from motet.report import write

    moved = tmp_path / "moved"
    shutil.copytree(sets[1].path, moved)
    assert write(run, tmp_path / "a.html", data=moved).exists()
    with pytest.raises(RunError, match="does not hold the clips"):
        write(run, tmp_path / "b.html", data=sets[0].path)
    assert not (tmp_path / "b.html").exists()


SCRIPT = """<script>
(async () => {
  const found = {errors: []};
  addEventListener("error", (event) => found.errors.push(event.message));
  await new Promise((done) => setTimeout(done, 300));
  const pixels = (canvas) => new Set(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data).size;
  const drawn = (branch) => [...document.querySelectorAll(`[data-branch=${branch}] canvas`)].map(pixels);
  found.first = drawn("B0");
  document.querySelector(".branches button[value=B1]").click();
  const tone = (name) => { // of the two buttons, text and ground, once colours have settled
    document.documentElement.dataset.theme = name;
    const style = (value) => getComputedStyle(document.querySelector(`.branches button[value=${value}]`));
    return ["B0", "B1"].map((value) => [style(value).color, style(value).backgroundColor]);
  };
  found.light = tone("light");
  found.dark = tone("dark");
  const play = document.getElementById("play");
  play.textContent = "❚❚ pause";
  found.overflow = play.scrollWidth - play.clientWidth;
  found.commands = [...document.querySelectorAll("header code")].map((code) => code.hidden);
  found.hidden = document.querySelector("[data-branch=B0]").hidden;
  found.second = drawn("B1");
  document.documentElement.dataset.found = JSON.stringify(found);
})();
</script></body>"""


@pytest.mark.skipif(BROWSER is None, reason="no browser")
def test_in_a_browser(run: Path, tmp_path: Path) -> None:
    from html import unescape

    from motet.report import write

    out = write(run, tmp_path / "page.html")
    out.write_text(out.read_text().replace("</body>", SCRIPT))
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--virtual-time-budget=3000"]
    done = subprocess.run([*command, out.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'data-found="([^"]*)"', done.stdout)
    assert found is not None
    told = json.loads(unescape(found[1]))
    assert told["errors"] == []
    assert told["hidden"]
    assert told["commands"] == [True, False]
    assert told["overflow"] <= 0
    # the chosen branch is marked by a ground of its own, on which its text is legible
    for theme, ground in (("light", "rgb(10, 95, 138)"), ("dark", "rgb(98, 182, 228)")):
        (_, plain), (ink, chosen) = told[theme]
        assert (plain, chosen) == ("rgba(0, 0, 0, 0)", ground)
        assert ink == {"light": "rgb(255, 255, 255)", "dark": "rgb(12, 26, 34)"}[theme]
    assert min(told["first"] + told["second"]) > 4
