from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motet import cli, evaluate, pretrain, report
from motet.core.errors import ConfigError, RunError
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.engine.run import Run
from motet.report import Motion, build, narrative, spoken
from motet.report.motion import pack
from tests.report.made_up import BODY, POSE, SENSOR, made_up, rows
from tests.report.test_page import Page

TINY = {
    "epochs": 2,
    "hidden": 8,
    "layers": 1,
    "frames": 8,
    "batch_size": 8,
    "queue_size": 16,
    "streams": ("joint", "bone"),
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> MotionArchive:
    """Three movements of four people, 48 clips."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "waves"
    names = ["wave", "kick", "nod"]
    with ArchiveWriter(path, skeleton=BODY, class_names=names, fps=30, licence="CC0", simulated=True) as writer:
        for i in range(48):
            label, swing = i % 3, np.sin(np.linspace(0, 6, 24))[:, None]
            clip = np.tile(POSE, (24, 1, 1)) + rng.normal(size=(1, 7, 3)) * 0.02
            clip[:, (3, 5, 2)[label]] += swing * [0.1, 0.4, 0.2]
            writer.add(clip.astype(np.float32), name=f"clip_{i:02d}", label=label, subject=1 + i // 12)
    return MotionArchive.open(path)


@pytest.fixture(scope="module")
def run(archive: MotionArchive, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return pretrain("cmd/small-gru", archive, tmp_path_factory.mktemp("run") / "run", progress=False, **TINY)


@pytest.mark.parametrize(
    ("name", "text"), [("answers.csv", "recording,start\n"), ("mine.html", "<!doctype html>\n<title>Mine</title>\n")]
)
def test_what_motet_did_not_write_is_kept(tmp_path: Path, name: str, text: str, capsys: Any) -> None:
    other = tmp_path / name
    other.write_text(text)
    assert cli.main(["report", str(tmp_path / "run"), "--out", str(other)]) == 2
    said = capsys.readouterr().err
    assert said == f"error: {other} is no page of motet, so it is not overwritten; choose another name, or remove it\n"
    assert other.read_text() == text
    with pytest.raises(ConfigError, match="is a folder; --out takes the name"):
        report.write(tmp_path / "run", tmp_path)


def test_pages_of_motet_are_replaced(run: Run, tmp_path: Path) -> None:
    page = report.write(run, tmp_path / "a.html")
    made = page.read_text()
    page.write_text(made.replace("<title>", "<title>old "))
    assert report.write(run, page).read_text() == made
    page.write_text(made.replace('<meta name="generator" content="motet">\n', ""))  # of an earlier version
    assert report.write(run, page).read_text() == made


def test_before_and_after_the_evaluation(run: Run, archive: MotionArchive, tmp_path: Path) -> None:
    before = Page(report.write(run, tmp_path / "a.html").read_text())
    assert f"Run: motet evaluate {run.path} --protocols knn linear" in before.words
    assert "Simulated data." in before.words
    assert "all 24 test clips" in before.words
    points = before.data["points"]
    assert isinstance(points, dict)
    tested = [name for name, who in zip(archive.clips["name"], archive.clips["subject"], strict=True) if who % 2 == 0]
    assert points["name"] == tested

    result = evaluate.run(run, ["knn", "linear-cached"], progress=False)
    data = report.gather([run])
    assert [row.mean for row in data.rows] == pytest.approx([100 * r["mean"] for r in result["rows"]])
    assert {row.features for row in data.rows} == {"CMD", "raw", "random", "rocket"}
    assert (data.title, data.test_clips) == ("CMD on waves", 24)
    assert data.guess == pytest.approx(100 / 3)
    assert data.confusion is not None
    assert data.confusion.matrix.tolist() == result["confusion"]["matrix"]
    after = Page(report.write(run.path, tmp_path / "b.html").read_text())
    assert "Did learning help?" in after.words
    assert "has not been evaluated" not in after.words
    assert archive.hash in after.words


def test_equal_seeds_give_equal_pages_and_fewer_clips_are_told(run: Run, tmp_path: Path) -> None:
    first, second = (report.write(run, tmp_path / name, seed=3).read_bytes() for name in ("a.html", "b.html"))
    assert first == second
    few = Page(report.write(run, tmp_path / "few.html", clips=9).read_text())
    assert "9 of 24 test clips, every class in proportion" in few.words


def test_curves_come_from_the_metrics(run: Run) -> None:
    curves = {curve.title: curve for curve in report.gather([run]).curves}
    lines = run.metrics()
    assert curves["Loss"].series["loss"] == [(line["epoch"], line["loss"]) for line in lines]
    assert len(curves["Parts of the loss"].series) == len(lines[0]["terms"])
    assert [y for _, y in curves["Nearest-neighbour accuracy (%)"].series["all"]] == pytest.approx(
        [100 * line["knn"]["all"] for line in lines if "knn" in line]
    )


def test_an_evaluation_of_other_clips_is_pointed_out(run: Run, archive: MotionArchive) -> None:
    evaluate.run(run, ["knn"], progress=False)
    notes = report.gather([run], split="random:0.5@0").notes
    assert any("measured on other clips" in note for note in notes)
    assert any("optimistic" in note for note in notes)  # people on both sides of that split


def test_a_damaged_evaluation_is_named(run: Run, tmp_path: Path) -> None:
    path = run.path / "evaluation.json"
    kept = path.read_bytes() if path.exists() else None
    try:
        path.write_text(json.dumps({"rows": []})[:-1])
        with pytest.raises(RunError, match=r"evaluation\.json is damaged.*motet evaluate"):
            report.write(run, tmp_path / "a.html")
        assert not (tmp_path / "a.html").exists()
    finally:
        path.unlink()
        if kept is not None:
            path.write_bytes(kept)


def test_impossible_requests_are_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="clips is 0"):
        report.write(run, tmp_path / "a.html", clips=0)
    with pytest.raises(RunError):
        report.write(tmp_path / "nowhere", tmp_path / "a.html")


def test_what_inspect_finds_is_repeated_and_clips_name_their_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with ArchiveWriter(tmp_path / "set", skeleton=BODY, class_names=["a", "b"]) as writer:
        for i in range(12):
            clip = rng.normal(size=(9, len(BODY), 3))
            clip[:3] = 0 if i < 2 else clip[:3]
            writer.add(clip, name=f"c{i}", label=i % 2, subject=i, source=f"day/{i}.bvh")
    archive = MotionArchive.open(tmp_path / "set")
    found = {fact.label: fact.value for fact in spoken.findings(archive)}
    assert found["all-zero frames"] == "2 clips"
    assert "licence" not in found  # a note


def test_streams_of_sensors_go_by_their_own_words(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "watch", skeleton=SENSOR, units="g, deg/s") as writer:
        writer.add(np.ones((9, 2, 3)), name="c")
    archive = MotionArchive.open(tmp_path / "watch")
    page = replace(made_up(), rows=rows())
    said = spoken.of_sensors(page, archive)
    assert {row.stream for row in said.rows} == {"signal", "signal+bone"}
    assert "raw signals: 70.0 %" in narrative.headline(said).sentence
    assert "<em>raw signals</em>" in build(said)
    motion = Motion(SENSOR, ("x", "y", "z"), [archive.clip(0)], 50.0, archive.units)
    assert pack(motion)["units"] == ["g", "deg/s"]
