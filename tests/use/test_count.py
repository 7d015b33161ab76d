"""Repetitions: how many, when they begin and end, and what is too fast to be counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from motet.core.errors import ConfigError, DataError, MotetWarning
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.edit import select
from motet.use.count import count, likeness, repetitions
from motet.use.signals import Layout


def squats(path: Path, counts: tuple[int, ...] = (5, 8, 3)) -> MotionArchive:
    """Recordings with rest before and after so many lifts of a sensor, each of 1.5 to 2.5 s."""
    random = np.random.default_rng(0)
    with ArchiveWriter(path, skeleton=layouts.get("imu-2"), fps=30.0, class_names=["squat"]) as writer:
        for index, times in enumerate(counts):
            lifts = [1 - np.cos(np.linspace(0, 2 * np.pi, int(random.integers(45, 75)))) for _ in range(times)]
            height = np.concatenate([np.zeros(20), *lifts, np.zeros(20)])
            frames = height[:, None, None] * [[1, 0.5, 0.2], [0.4, 0.1, 0.3]] + random.normal(
                0, 0.03, (len(height), 2, 3)
            )
            edges = (20 + np.cumsum([0, *map(len, lifts)])) / 30
            rows = [None] * len(frames)
            facts = {"label": 0, "edges": json.dumps(edges.tolist())}
            writer.add(frames, name=f"s{index}", tracks={"t": rows}, **facts)
    return MotionArchive.open(path)


def test_repetitions_are_counted_with_their_ends(tmp_path: Path) -> None:
    archive = squats(tmp_path / "s.motet")
    found = count(archive, tmp_path / "r.csv", measures=tmp_path / "m.csv")
    assert found.group_by("recording", maintain_order=True).len()["len"].to_list() == [5, 8, 3]
    assert pl.read_csv(tmp_path / "r.csv").columns == ["recording", "repetition", "start", "end"]
    assert {"seconds", "range", "similarity"} <= set(pl.read_csv(tmp_path / "m.csv").columns)
    assert set(found["label"]) == {"squat"}
    for index, edges in enumerate(archive.clips["edges"]):
        own, true = found.filter(recording=f"s{index}"), np.array(json.loads(edges))
        assert np.abs(own["start"].to_numpy()[1:] - true[1:-1]).max() < 0.25
        assert own["similarity"].min() > 0.85
        assert own["range"].is_between(0.8, 1).all()


def test_a_rest_between_sets_is_part_of_no_repetition(tmp_path: Path) -> None:
    lift, rest = 1 - np.cos(np.linspace(0, 2 * np.pi, 60)), np.zeros(1800)
    height = np.concatenate([rest[:30], *[lift] * 6, rest, *[lift] * 6, rest[:30]])
    noise = np.random.default_rng(0).normal(0, 0.01, (len(height), 2, 3))
    with ArchiveWriter(tmp_path / "s.motet", skeleton=layouts.get("imu-2"), fps=30.0) as writer:
        writer.add(height[:, None, None] * [[1, 0.5, 0.2], [0.4, 0.1, 0.3]] + noise, name="sets")
    found = count(tmp_path / "s.motet")
    assert len(found) == 12
    assert found["seconds"].max() < 3  # of lifts of two; the seventh lasted a minute
    assert found["end"][5] < 1 + 12 + 1
    assert found["start"][6] > 1 + 12 + 60 - 1


def test_repetitions_of_two_raters_are_counted_once(tmp_path: Path) -> None:
    archive = squats(tmp_path / "s.motet")
    whole = archive.clips["name"].to_list(), archive.lengths / 30
    rows = [
        {"recording": n, "start": 0.0, "end": t, "label": "squat", "rater": "kim"} for n, t in zip(*whole, strict=True)
    ]
    archive.tracks.save("t", [*rows, *({**r, "start": 0.2, "rater": "lee"} for r in rows)])
    found = count(archive, track="t")
    assert found.select("recording", "start", "end").equals(count(archive).select("recording", "start", "end"))


@pytest.mark.parametrize("seed", range(4))
def test_rest_before_and_after_is_no_repetition(seed: int) -> None:
    random = np.random.default_rng(seed)
    lifts = np.tile(1 - np.cos(np.linspace(0, 2 * np.pi, 45)), 6)
    height = np.concatenate([np.zeros(int(random.integers(60, 200))), lifts, np.zeros(int(random.integers(60, 200)))])
    frames = height[:, None] * random.normal(size=6) + random.normal(0, 0.02, (len(height), 6))
    found = repetitions(frames.reshape(-1, 1, 2, 3), Layout(layouts.get("imu-2"), 1, 3, 30.0))
    assert len(found) == 6


def test_a_drift_of_posture_hides_no_repetition() -> None:
    lifts = np.tile(1 - np.cos(np.linspace(0, 2 * np.pi, 45)), 4)[:, None, None]
    lean = 4 * np.tanh(6 * (np.linspace(0, 1, len(lifts)) - 0.4))[:, None, None]
    frames = lifts * np.array([1, 0.5, 0.2]) + lean * np.array([0.3, 1, 0.1])
    found = repetitions(np.repeat(frames, 2, axis=1)[:, None], Layout(layouts.get("imu-2"), 1, 3, 30.0))
    assert [round(a / 45) for a, *_ in found] == [0, 1, 2, 3]


@pytest.mark.parametrize(("cycles", "whole"), [((0.8, 5.2), 4), ((0.1, 5.2), 5), ((0.1, 5.85), 6)])
def test_what_the_ends_of_a_recording_cut_is_no_repetition(cycles: tuple[float, float], whole: int) -> None:
    turn = 2 * np.pi * np.arange(*cycles, 1 / 40)
    swing = np.stack([1 - np.cos(turn), 0.4 * np.sin(turn), 0.1 * np.sin(2 * turn)], axis=1)[:, None, None]
    frames = (swing * [[1.0], [0.3]]).astype(np.float32)
    found = repetitions(frames, Layout(layouts.get("imu-2"), 1, 3, 30.0))
    assert len(found) == whole
    assert all(24 <= b - a <= 50 for a, b, *_ in found)


def test_two_tables_need_two_files(tmp_path: Path) -> None:
    archive = squats(tmp_path / "s.motet", (3,))
    with pytest.raises(ConfigError, match="name two files"):
        count(archive, tmp_path / "r.csv", measures=tmp_path / "x" / ".." / "r.csv")
    assert not (tmp_path / "r.csv").exists()


def test_likeness_is_a_correlation_of_what_overlaps() -> None:
    turn = 2 * np.pi * np.arange(100) / 40
    found = likeness(np.stack([5 + np.sin(turn), np.cos(turn)], axis=1), 60)
    assert found[[0, 20, 40]] == pytest.approx([1, -1, 1], abs=0.05)
    random = np.random.default_rng(0).normal(size=(50, 1))
    assert likeness(random, 30)[7] == pytest.approx(np.corrcoef(random[:-7, 0], random[7:, 0])[0, 1])


def test_nothing_recurs_in_noise_or_rest() -> None:
    layout = Layout(layouts.get("imu-2"), 1, 3, 30.0)
    assert repetitions(np.zeros((300, 1, 2, 3), np.float32), layout) == []
    assert repetitions(np.zeros((5, 1, 2, 3), np.float32), layout) == []
    drift = np.random.default_rng(0).normal(size=(300, 1, 2, 3)).cumsum(axis=0)
    assert len(repetitions(drift.astype(np.float32), layout)) < 4


def swings(seconds: float, fps: float, times: int = 20) -> np.ndarray:
    """(T, 1, 2, 3) readings of a sensor that swings so many times, each in so many seconds, with some noise."""
    random, phase = np.random.default_rng(0), np.arange(round(times * seconds * fps)) / (seconds * fps)
    swing = 1 - np.cos(2 * np.pi * phase)[:, None] + 0.3 * np.sin(4 * np.pi * phase)[:, None]
    readings = swing * random.normal(size=6) + random.normal(0, 0.05, (len(phase), 6))
    return np.asarray(readings.reshape(-1, 1, 2, 3), dtype=np.float32)


@pytest.mark.parametrize(("seconds", "fps"), [(0.2, 50.0), (0.25, 30.0), (0.3, 50.0), (0.09, 50.0), (0.04, 100.0)])
def test_quick_repetitions_are_counted(seconds: float, fps: float) -> None:
    found = repetitions(swings(seconds, fps), Layout(layouts.get("imu-2"), 1, 3, fps))
    assert abs(len(found) - 20) <= 1
    assert np.median([b - a for a, b, *_ in found]) == pytest.approx(seconds * fps, abs=1)


def test_a_recording_that_is_too_slow_for_its_movement_is_named(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a", skeleton=layouts.get("imu-2"), fps=10.0) as writer:
        for name, seconds in (("brushing", 0.3), ("waving", 0.7), ("tapping", 0.3)):
            writer.add(swings(seconds, 10.0), name=name)
    words = r"a: brushing \(and tapping\) repeats every 0.3 s, .* at 10 frames per second: 4 frames .* too low"
    with pytest.warns(MotetWarning, match=words):
        found = count(tmp_path / "a")
    assert len(found.filter(recording="waving")) == 20


def test_recordings_in_which_nothing_is_counted_are_named(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a", skeleton=layouts.get("imu-2"), fps=50.0) as writer:
        for name, times in (("many", 20.0), ("once", 1.0), ("half", 0.5)):
            writer.add(swings(0.6, 50.0, 20)[: round(30 * times)], name=name)
    with pytest.warns(MotetWarning) as said:
        found = count(tmp_path / "a", tmp_path / "r.csv")
    assert "half lasts 0.30 s, too short to count in: a movement must come twice, in at least 0.36 s; leave out" in str(
        said[0].message
    )
    assert "once lasts 0.60 s, but nothing recurs in it: a" in str(said[1].message)  # not short: another warning
    assert "motet data select" in str(said[0].message)
    assert "--where 'length >= 18'" in str(said[0].message)
    assert set(found["recording"]) == {"many"}
    one = select(tmp_path / "a", tmp_path / "b", keep=["once"])
    with pytest.warns(
        MotetWarning, match=r"recording once lasts 0.60 s, but nothing recurs in it: a movement must come"
    ):
        assert count(one).is_empty()
    with pytest.raises(
        DataError, match=r"recording half lasts 0.30 s, too short to count in: a movement must come twice"
    ):
        count(select(tmp_path / "a", tmp_path / "c", keep=["half"]), tmp_path / "none.csv")
    assert not (tmp_path / "none.csv").exists()


@pytest.mark.parametrize("seed", [2, 3, 5, 8, 9])
def test_uneven_repetitions_are_counted_where_there_are_many(seed: int) -> None:
    random, parts = np.random.default_rng(seed), []
    for frames in random.integers(40, 100, 10):
        turn = np.linspace(0, 2 * np.pi, frames)
        ways = [(1 - np.cos(turn)) * random.uniform(0.7, 1.3), np.sin(turn) * random.normal() * 0.5]
        parts.append(np.stack([*ways, np.sin(2 * turn) * random.normal() * 0.5], axis=1))
    found = repetitions(
        np.repeat(np.concatenate(parts)[:, None], 2, axis=1)[:, None], Layout(layouts.get("imu-2"), 1, 3, 30.0)
    )
    assert len(found) == 10
