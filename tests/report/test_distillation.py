"""The page of a distillation."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motet import report
from motet.cli import main
from motet.core.errors import ConfigError, RunError
from motet.methods import distillation as distill
from motet.report import charts
from motet.report.data import Confusion, Curve
from tests.methods.distillation.toys import write_table
from tests.report.test_page import Page

TINY: dict[str, Any] = {"epochs": 3, "batch_size": 16, "features": 8, "hidden": (8,), "fuse_hidden": 8, "warm_up": 1}
TINY |= {"lr": 0.03}  # both students learn, and not the same


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of which a third of the ears are deaf; AMID and the student alone, two seeds."""
    folder = tmp_path_factory.mktemp("runs")
    heard = np.arange(120) % 10 > 2
    names = np.array(["<wave>", "point", "rest"])
    table = write_table(folder / "t.npz", available_ear=heard, class_names=names)
    given: dict[str, Any] = {"seeds": (0, 1), "progress": False}
    distill.run(table, "eye", "ear", folder / "amid", **given, **TINY)
    alone = {name: value for name, value in TINY.items() if name != "warm_up"}
    distill.run(table, "eye", (), folder / "alone", method="alone", **given, **alone)
    return folder


def written(runs: Path, tmp_path: Path, name: str = "amid", baseline: str | None = None) -> tuple[str, dict[str, Any]]:
    out = tmp_path / "page.html"
    report.write(runs / name, out, baseline=None if baseline is None else runs / baseline)
    text = out.read_text()
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert data is not None
    return text, json.loads(data[1])


def test_the_page_tells_results_classes_folds_and_curves(runs: Path, tmp_path: Path) -> None:
    text, data = written(runs, tmp_path, baseline="alone")
    page = Page(text)
    result, alone = (json.loads((runs / name / "result.json").read_text()) for name in ("amid", "alone"))
    assert "eye, taught with ear" in text
    assert "Each fold trains on 60 of 120 rows. ear is absent in 36 of the 120 (30 %)." in text
    assert "120 rows; 36 lack ear" in text
    assert "Which classes profit" in text
    assert "cannot be seen from this alone" not in text
    assert "One seed" not in text
    for anchor in ("compare", "forecast", "classes", "folds", "mistakes", "trained", "curves", "reproduce"):
        assert f'id="{anchor}"' in text, anchor
    assert "<wave>" not in text
    change = 100 * (result["summary"]["recalls"][1] - alone["summary"]["recalls"][1])
    assert f"{abs(change):.1f}" in text.split('id="classes"')[1]
    curves = {tuple(chart["series"]): chart["series"] for chart in data["curves"]}
    both, gap = curves["student", "teacher"], curves["gap",]["gap"]
    assert len(gap) == 3
    assert gap[-1][1] == pytest.approx(both["teacher"][-1][1] - both["student"][-1][1], abs=1e-2)
    student = [100 * replica["student"]["accuracy"] for replica in result["replicas"]]
    assert both["student"][-1] == [3, pytest.approx(np.mean(student), abs=1e-2)]
    assert ("cosine own", "cosine class", "cosine others") in curves
    assert ("critic accuracy", "lambda fundamental", "lambda enhanced") in curves
    cosine = [np.mean(line["curve"]["cosine"]) for line in result["curves"]]
    assert [y for _, y in curves["cosine",]["cosine"]] == pytest.approx(cosine, rel=1e-4)
    assert ("contrast student", "contrast auxiliary") in curves
    pooled = 100 * result["summary"]["student"]["pooled_recall"]["mean"]
    assert f"{pooled:.1f}" in text.split('id="folds"')[1]
    achieved = [100 * r["summary"]["student"]["accuracy"]["mean"] for r in (result, alone)]
    assert f"{achieved[0] - achieved[1]:+.1f} ± ".replace("-", "−") in text.split('id="forecast"')[1]
    assert "(%)" in page.words
    assert not any(attributes.get("src") for _, attributes in page.elements)


def test_every_class_stands_in_the_chart_with_its_change(runs: Path, tmp_path: Path) -> None:
    """The per-class chart of the paper: the greatest gain first, bars to both sides of zero, in proportion."""
    text, _ = written(runs, tmp_path, baseline="alone")
    chart = text.partition('id="classes"')[2].partition("</section></section>")[0].partition('id="folds"')[0]
    both = (json.loads((runs / name / "result.json").read_text())["summary"]["recalls"] for name in ("amid", "alone"))
    changes = [100 * (a - b) for a, b in zip(*both, strict=True)]
    named = sorted(zip(changes, ("&lt;wave&gt;", "point", "rest"), strict=True), key=lambda one: -one[0])
    assert re.findall(r'class="name">([^<]+)<', chart) == [name for _, name in named]
    values = [float(v.replace("−", "-")) for v in re.findall(r'class="value">([^<]+)<', chart)]
    assert values == pytest.approx([change for change, _ in named], abs=0.051)
    reach = max(map(abs, changes))
    assert reach > 0
    for place, (change, _) in zip(re.findall(r"left:([\d.]+)%;width:([\d.]+)%", chart), named, strict=True):
        left, wide = map(float, place)
        assert wide == pytest.approx(50 * abs(change) / reach, abs=0.01)
        assert (left if change >= 0 else left + wide) == pytest.approx(50, abs=0.01)
    assert "The smallest class has 40 test rows: one of them is 2.5 points." in chart


def test_scores_and_diagnosis_are_those_of_the_result(runs: Path, tmp_path: Path) -> None:
    text, _ = written(runs, tmp_path, baseline="alone")
    result, alone = (json.loads((runs / name / "result.json").read_text()) for name in ("amid", "alone"))
    scores = text.partition('id="compare"')[2].partition('id="forecast"')[0]
    shown = [[float(n) for n in pair] for pair in re.findall(r"([\d.]+) ± ([\d.]+)", scores)]
    wanted = [
        [100 * one["summary"][who][metric]["mean"], 100 * one["summary"][who][metric]["sd"]]
        for metric in ("accuracy", "recall", "retrieval_1", "retrieval_5")
        for one, who in ((alone, "student"), (result, "student"), (result, "teacher"))
        if metric in one["summary"][who]
    ]
    assert np.array(shown) == pytest.approx(np.array(wanted), abs=0.0501)
    forecast = text.partition('id="forecast"')[2].partition('id="classes"')[0]
    found = result["forecast"]
    assert f"help is {found['forecast']}" in forecast
    assert f"{found['information']['mean']:.2f} ± {found['information']['error']:.2f} bits" in forecast
    for name in ("eye", "ear", "all"):
        assert f"{100 * found['probes'][name]['accuracy']:.1f}" in forecast
    assert not re.search(r" -\d", forecast.partition("</p>")[0])


def test_one_seed_and_no_student_alone_are_told(runs: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"progress": False, "diagnose": False, **TINY}
    distill.run(runs / "t.npz", "eye", "ear", tmp_path / "one", **given)
    report.write(tmp_path / "one", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    notes = [re.sub("<[^>]+>", "", note) for note in re.findall(r'class="note" role="note">(.+?)</p>', text)]
    assert len(notes) == 4
    assert "ear is absent in" in notes[0]
    options = "--features 8 --hidden 8 --epochs 3 --batch-size 16 --lr 0.03"
    assert f"--method alone {options} --out {tmp_path / 'one'}-alone" in notes[1]
    assert "One seed: there is no spread" in notes[-1]
    assert "`" not in "".join(notes)
    assert "<code>motet distill" in text
    assert '<span class="flag">--method</span> alone' in text


def test_without_a_baseline_the_student_is_held_against_its_teacher(runs: Path, tmp_path: Path) -> None:
    text, _ = written(runs, tmp_path)
    assert "minus that of its teacher" in text
    assert "The gap to the teacher" in text
    assert "Which classes profit" not in text
    told = re.sub("<[^>]+>", "", text)
    assert f"The student alone was trained, too. Name it by --baseline {runs / 'alone'} to compare" in told
    text, data = written(runs, tmp_path, "alone")
    assert 'id="classes"' not in text
    assert "One seed" not in text
    assert 'id="forecast"' not in text
    assert [list(chart["series"]) for chart in data["curves"]] == [["student"], ["student"]]


def test_a_student_that_was_not_tested(runs: Path, tmp_path: Path) -> None:
    distill.run(runs / "t.npz", "eye", "ear", tmp_path / "ship", split="all", progress=False, diagnose=False, **TINY)
    report.write(tmp_path / "ship", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "nothing was tested" in text
    assert 'id="folds"' not in text


def test_the_report_of_a_distillation_on_the_command_line(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "page.html")
    assert main(["report", str(runs / "amid"), "--baseline", str(runs / "alone"), "--out", out]) == 0
    assert Path(out).exists()
    (tmp_path / "half" / "checkpoints").mkdir(parents=True)
    (tmp_path / "half" / "config.json").write_text((runs / "amid" / "config.json").read_text())
    capsys.readouterr()
    assert main(["report", str(tmp_path / "half"), "--out", out]) == 2
    assert "has no result yet" in capsys.readouterr().err


def test_a_report_of_nothing_names_the_verbs_that_make_something(tmp_path: Path) -> None:
    said = (
        "is not a run directory; `motet pretrain`, `motet discover`, `motet distill`, `motet distill raw` and "
        "`motet graphs` make one"
    )
    with pytest.raises(RunError, match=said):
        report.write(tmp_path, tmp_path / "page.html")
    with pytest.raises(RunError, match=said):
        report.write(tmp_path / "absent", tmp_path / "page.html")


def test_baselines_that_do_not_fit(runs: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    alone = {name: value for name, value in TINY.items() if name != "warm_up"}
    distill.run(runs / "t.npz", "ear", (), other, method="alone", progress=False, **alone)
    with pytest.raises(ConfigError, match="baseline's target is"):
        report.write(runs / "amid", tmp_path / "page.html", baseline=other)
    result = json.loads((runs / "alone" / "result.json").read_text())
    result["table"]["name"] = "elsewhere"
    (other / "result.json").write_text(json.dumps(result))
    with pytest.raises(ConfigError, match="of another table"):
        report.write(runs / "amid", tmp_path / "page.html", baseline=other)
    (other / "result.json").write_text("{}")
    with pytest.raises(RunError, match="is damaged"):
        report.write(other, tmp_path / "page.html")


def test_a_ripple_does_not_fill_its_panel() -> None:
    def reach(values: list[float], least: float) -> float:
        drawn = charts.curve(Curve("gap", "", "epoch", {"gap": list(enumerate(values))}, least), 0)
        heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", re.findall(r'class="line[^>]*', drawn)[0])]
        return max(heights) - min(heights)

    assert reach([10.0, 10.1], 0.0) > 100
    assert reach([10.0, 10.1], 5.0) < 5
    assert reach([10.0, 30.0], 5.0) > 100
    assert reach([0.0, 0.1], 5.0) < 5


def test_names_of_rows_and_columns_fit_beside_the_matrix() -> None:
    """The widest letters take .88 of the font size, Chinese ones all of it."""
    for name, ems in (("mmmmmmmm", 8 * 0.85), ("六七八九", 4.0), ("walking", 7 * 0.6)):
        drawn = charts.confusion(Confusion(np.eye(2, dtype=int), [name, "b"]))
        place, size = re.findall(rf'<text x="([\d.]+)"[^>]*font-size="([\d.]+)">{name}', drawn)[0]
        assert float(place) >= ems * float(size)


def test_many_classes_show_both_ends() -> None:
    drawn = charts.differences([(f"class {n:03}", n - 50.0) for n in range(100)], most=10)
    names = re.findall(r'class="name">([^<]+)<', drawn)
    assert names == [f"class {n:03}" for n in (99, 98, 97, 96, 95, 4, 3, 2, 1, 0)]
    assert "90 classes in the middle" in drawn
