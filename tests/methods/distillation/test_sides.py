"""Distillations read sensors that were worn on the left as if worn on the right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motet.cli import main
from motet.core.errors import MotetNote
from motet.data import layouts
from motet.data.archive import ArchiveWriter
from motet.data.edit import convert, select
from motet.data.worn import worn_left
from motet.engine.run import Run
from motet.methods import distillation as distill
from motet.methods.distillation import Motion, open_table, student
from motet.methods.distillation.run import _plan
from tests.data.test_worn import archive
from tests.methods.distillation.test_motion import SMALL

NAMES = ("sensor", "gyroscope")
MIRRORED = r"^sensors worn on the left \(column side\) are mirrored along y$"


def values(source: Path, **motion: Any) -> list[np.ndarray]:
    table = open_table([source], NAMES, Motion(sensor_frames=8, **motion))
    return [table.modalities[name].values for name in NAMES]


def trained(source: Path, out: Path, **motion: Any) -> distill.Student:
    call: dict[str, Any] = {"method": "alone", "split": "all", "progress": False} | SMALL
    distill.run(source, "gyroscope", (), out, motion=Motion(sensor_frames=8, **motion), **call)
    return distill.load(out)


def test_the_left_is_mirrored_where_clips_become_rows(tmp_path: Path) -> None:
    both = archive(tmp_path / "both")
    one_side = convert(both, tmp_path / "one-side", mirror="left")
    with pytest.warns(MotetNote, match=MIRRORED):
        found = values(both.path)
    for mine, theirs, raw in zip(
        found, values(one_side.path, sensor_preprocess="none"), values(both.path, sensor_preprocess="none"), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
        changed = (mine != raw).any(axis=(1, 2))
        assert changed.tolist() == (worn_left(both) == 1).tolist()


def test_the_command_line_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = archive(tmp_path / "both")
    words = ["distill", str(both.path), "--target", "gyroscope", "--auxiliary", "accelerometer", "--diagnose-only"]
    assert main([*words, "--sensor-frames", "8", "--quiet"]) == 0
    assert main([*words, "--sensor-frames", "8"]) == 0
    assert capsys.readouterr().err.count("note: sensors worn on the left (column side) are mirrored along y") == 1
    assert main([*words, "--sensor-preprocess", "spin"]) == 2
    assert "sensor_preprocess 'spin' is none of bridge, mirror, mirror-x" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:sensors worn on the left")
def test_a_student_keeps_the_axis_for_recordings_of_one_side(tmp_path: Path) -> None:
    both = archive(tmp_path / "both")
    answers = trained(both.path, tmp_path / "run")
    left = select(both, tmp_path / "left", where="side = 'left'")
    with pytest.warns(MotetNote, match=MIRRORED):
        found = answers.transform(left)
    np.testing.assert_allclose(found, answers.transform(both)[worn_left(both) == 1], atol=1e-5)


@pytest.mark.filterwarnings("ignore:sensors worn on the left")
def test_runs_of_earlier_versions_read_as_they_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = archive(tmp_path / "both")
    run = tmp_path / "run"
    before = trained(both.path, run, sensor_preprocess="none").transform(both)
    config = json.loads((run / "config.json").read_text())
    del config["plan"]["motion"]["sensor_preprocess"], config["digest"]
    (run / "config.json").write_text(json.dumps(config))
    assert _plan(Run.open(run, "distill")).motion.sensor_preprocess == "none"
    tensors, facts = student._read(run / "student.safetensors")
    del facts["layouts"]["gyroscope"]["preprocess"], facts["motion"]["sensor_preprocess"]
    monkeypatch.setattr(student, "_read", lambda _: (tensors, facts))
    np.testing.assert_array_equal(distill.load(run).transform(both), before)
    monkeypatch.undo()
    assert not np.array_equal(trained(both.path, tmp_path / "new").transform(both), before)


def test_lost_samples_are_bridged(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a", skeleton=layouts.get("imu-2"), fps=50.0, class_names=["a"], units="g") as to:
        clip = np.ones((16, 1, 2, 3), np.float32)
        clip[6:8] = 0
        to.add(clip, name="c0", label=0)
    assert (values(tmp_path / "a")[0] == 1).all()
    assert not (values(tmp_path / "a", sensor_preprocess="none")[0] == 1).all()
