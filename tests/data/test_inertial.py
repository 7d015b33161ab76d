"""Sensors of any device in one form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from motet.core.errors import ConfigError
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.edit import convert
from motet.data.inertial import RATE, UNITS, Inertial, nodes_of, units_of, views_of_kinds
from motet.data.skeletons import Skeleton
from motet.data.views import View


def sensor(*nodes: str) -> Skeleton:
    return layouts.build("worn", nodes, [-1] * len(nodes), up=None, kind="sensor")


def archive(path: Path, units: str, force: float, turn: float, fps: float = 60.0) -> MotionArchive:
    """A wrist that swings for two seconds, its readings times two factors."""
    time = np.arange(round(2 * fps)) / fps
    swing = np.stack([np.sin(3 * time), np.cos(3 * time), 0.2 * time], axis=1)
    clip = np.stack([(swing + np.array([0, 0, 9.8])) * force, 2 * swing * turn], axis=1)[:, None]
    with ArchiveWriter(path, skeleton=layouts.get("imu-2"), fps=fps, units=units, class_names=["swing"]) as writer:
        writer.add(clip.astype(np.float32), name="one", label=0)
    return MotionArchive.open(path)


@pytest.mark.parametrize(
    ("nodes", "found"),
    [
        (("accelerometer", "gyroscope"), (0, 1)),
        (("acc",), (0, None)),
        (("gravity", "rotationRate", "userAcceleration"), (2, 1)),
        (("hip_acc", "hip_gyro", "wrist_gyro", "wrist_acc"), (3, 2)),  # the wrist's, and both of one sensor
        (("phone_angular_velocity", "phone_acceleration", "phone_magnetometer"), (1, 0)),
        (("watch_acc", "phone_acc", "phone_gyr", "watch_gyr"), (0, 3)),
    ],
)
def test_nodes_by_their_names(nodes: tuple[str, ...], found: tuple[int | None, int | None]) -> None:
    assert nodes_of(sensor(*nodes)) == found


@pytest.mark.parametrize(
    ("nodes", "found"),
    [
        (("accelerometer", "gyroscope"), ("joint[accelerometer]", "joint[gyroscope]")),
        (("acc",), ()),
        (("hip_acc", "hip_gyro", "mag", "wrist_acc"), ("joint[hip_acc+wrist_acc]", "joint[hip_gyro]")),
        (("acc+1", "gyro"), ()),  # no view can name it
    ],
)
def test_views_of_one_kind(tmp_path: Path, nodes: tuple[str, ...], found: tuple[str, ...]) -> None:
    with ArchiveWriter(tmp_path / "a", skeleton=sensor(*nodes), fps=50.0, class_names=["one"]) as writer:
        writer.add(np.ones((5, 1, len(nodes), 3), np.float32), name="clip", label=0)
    archive = MotionArchive.open(tmp_path / "a")
    assert views_of_kinds(archive) == found
    assert [View.parse(view, archive.skeleton).name for view in found] == list(found)


def test_a_layout_without_an_accelerometer() -> None:
    with pytest.raises(ConfigError, match="worn has no node that is called an accelerometer or a gyroscope; it has a"):
        nodes_of(sensor("a", "b"))


@pytest.mark.parametrize(
    ("units", "force", "turn", "found"),
    [
        ("g, deg/s", 1.0, 1.0, "g, deg/s"),  # as written, whatever the readings are
        ("as recorded", 1.0, 1.0, "m/s^2, rad/s"),
        ("as recorded", 1 / 9.8, 57.3, "g, deg/s"),
        ("as recorded", 1000 / 9.8, 1.0, "mg, rad/s"),
        ("as recorded", 0.01, 1.0, "m/s^2, rad/s"),  # no gravity to be seen
        ("g", 1 / 9.8, 57.3, "g, deg/s"),
    ],
)
def test_units_as_written_or_as_seen(tmp_path: Path, units: str, force: float, turn: float, found: str) -> None:
    assert units_of(archive(tmp_path / "a", units, force, turn)) == found


def test_conversion_to_one_form(tmp_path: Path) -> None:
    """Unit and rate of the device do not matter; what is written is the layout's."""
    plain = convert(archive(tmp_path / "a", "m/s^2, rad/s", 1.0, 1.0, fps=30.0), tmp_path / "b", layout="inertial")
    other = convert(archive(tmp_path / "c", "?", 1 / 9.80665, 180 / np.pi, fps=90.0), tmp_path / "d", layout="inertial")
    assert (other.skeleton.name, other.fps, other.units) == ("inertial", RATE, UNITS)
    assert abs(int(other.lengths[0]) - int(plain.lengths[0])) <= 1
    np.testing.assert_allclose(other.clip(0)[:59], plain.clip(0)[:59], atol=0.03)
    np.testing.assert_array_equal(plain.clip(0), MotionArchive.open(tmp_path / "a").clip(0))


def test_a_fast_sensor_is_averaged_and_an_absent_gyroscope_is_zero() -> None:
    noise = np.tile([1.0, -1.0], 90)[:, None, None, None] * np.ones((1, 1, 1, 3))
    found = Inertial.of(sensor("acc"), "m/s^2, rad/s", 60.0)(noise)
    assert found.shape == (90, 1, 2, 3)
    assert np.abs(found[1:, :, 0]).max() < 1e-6  # two samples of alternating sign
    assert not found[:, :, 1].any()


@pytest.mark.parametrize("fps", [30.0, 60.0])
def test_lost_samples_are_bridged_before_the_rate_changes(fps: float) -> None:
    line = np.linspace(1, 2, 61)[:, None, None, None] * np.ones((1, 1, 2, 3))
    reads = Inertial.of(sensor("acc", "gyr"), "m/s^2, rad/s", fps)
    holed = line.copy()
    holed[[7, 8, 20]] = 0
    holed[30:50] = 0
    holed[40, 0, 1] = 5  # the accelerometer alone is lost
    found, whole = reads(holed), reads(line)
    np.testing.assert_allclose(found[:, :, 0], whole[:, :, 0], atol=1e-6)
    np.testing.assert_allclose(found[: int(25 * 30 / fps), :, 1], whole[: int(25 * 30 / fps), :, 1], atol=1e-6)
    ends = line.copy()
    ends[:3] = ends[-3:] = 0
    np.testing.assert_allclose(reads(ends)[[0, -1], 0, 0, 0], [line[3, 0, 0, 0], line[-4, 0, 0, 0]], atol=0.02)
    still = line.copy()
    still[10:20, :, 1] = 0  # a gyroscope that does not turn
    assert not reads(still)[int(12 * 30 / fps) : int(18 * 30 / fps), :, 1].any()


def test_a_gyroscope_alone_rests_at_zero() -> None:
    """Zeros after which it turns slowly, or at the ends, are readings; those amid turns are lost samples."""
    turns = np.zeros((60, 1, 2, 3))
    turns[10:50, 0, 1] = 0.01 * np.minimum(np.arange(40), 39 - np.arange(40))[:, None] ** 2  # from rest to rest
    turns[[25, 26, 33]] = 0
    turns[52:55, 0, 1] = 2.0  # a stop on one side, and the end on the other
    for reads in (Inertial.of(sensor("acc", "gyr"), UNITS, RATE), Inertial.of(sensor("mag", "gyr"), UNITS, RATE)):
        found = reads(turns)[:, 0, 1, 0]
        kept = np.setdiff1d(np.arange(60), [25, 26, 33])
        np.testing.assert_allclose(found[kept], turns[kept, 0, 1, 0], atol=1e-6)
        np.testing.assert_allclose(found[[25, 26]], np.interp([25, 26], [24, 27], turns[[24, 27], 0, 1, 0]), atol=1e-6)
        assert found[33] > 2
    assert not reads(np.zeros((60, 1, 2, 3))).any()


def test_a_conversion_keeps_long_holes(tmp_path: Path) -> None:
    frames = np.ones((120, 2, 3))
    frames[[10, 11]] = frames[40:80] = frames[118:] = 0
    with ArchiveWriter(tmp_path / "a", skeleton=sensor("acc", "gyr"), fps=60.0, units="m/s^2, rad/s") as writer:
        writer.add(frames, name="a")
        alone = np.ones((120, 2, 3))
        alone[40:80, 0] = 0
        writer.add(alone, name="of the accelerometer")
    made = convert(tmp_path / "a", tmp_path / "b", layout="inertial")
    there = made.clip(0)[:, 0].all(axis=(1, 2))
    assert np.flatnonzero(~there).tolist() == [*range(20, 40), 59]
    assert (made.clip(0)[there] == 1).all()
    force, turn = made.clip(1)[:, 0].any(axis=2).T
    assert np.flatnonzero(~force).tolist() == [*range(20, 40)]
    assert turn.all()
