"""Gyroscopes of which some are in degrees, others in radians."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from motet.core.errors import MotetWarning
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.edit import select
from motet.data.inspection import found
from motet.data.inspection.mixed import warn_mixed


def worn(path: Path, units: str, degrees: set[int], *, gravity: float = 9.81, speed: float = 2.0) -> MotionArchive:
    """A wrist that is turned to and fro in gravity; clips of ``degrees`` have their turns in these."""
    random, fps = np.random.default_rng(0), 50.0
    with ArchiveWriter(path, skeleton=layouts.get("imu-2"), fps=fps, units=units) as writer:
        for number in range(6):
            time = np.arange(300) / fps
            rate = speed * np.sin(2 * np.pi * (0.4 + 0.1 * number) * time)
            angle = rate.cumsum() / fps
            force = gravity * np.stack([np.sin(angle), np.cos(angle), 0.2 * np.ones(300)], axis=-1)
            turn = np.stack([0 * rate, 0 * rate, rate], axis=-1) * (57.3 if number in degrees else 1)
            clip = np.stack([force, turn], axis=1)
            writer.add(
                clip + random.normal(0, 0.02, clip.shape) * np.abs(clip).max(axis=(0, 2))[:, None], name=f"c{number}"
            )
    return MotionArchive.open(path)


def named(archive: MotionArchive) -> list[str]:
    return [str(e["clip"]) for fault in found(archive) if fault.name == "mixed gyroscopes" for e in fault.examples]


@pytest.mark.parametrize(
    ("units", "degrees", "due"),
    [
        ("m/s^2, rad/s", {1, 4}, ["c1", "c4"]),
        ("m/s^2, rad/s", {0, 1, 2, 3}, ["c0", "c1", "c2", "c3"]),  # those that are not in the stated unit
        ("m/s^2, deg/s", {0, 1}, ["c2", "c3", "c4", "c5"]),
        ("as recorded", {0, 1, 2, 3}, ["c4", "c5"]),  # those that are fewer
        ("m/s^2, rad/s", set(), []),
        ("m/s^2, deg/s", {*range(6)}, []),
    ],
)
def test_clips_of_the_other_unit_are_named(tmp_path: Path, units: str, degrees: set[int], due: list[str]) -> None:
    archive = worn(tmp_path / "a", units, degrees)
    assert named(archive) == due
    if not due:
        return warn_mixed(archive)
    with pytest.warns(MotetWarning, match=rf"the gyroscope is in .*{due[0]} first"):
        warn_mixed(archive)
    assert named(select(archive, tmp_path / "b", drop_finding=["mixed gyroscopes"])) == []


def test_nothing_is_said_at_rest_or_without_gravity(tmp_path: Path) -> None:
    assert named(worn(tmp_path / "rest", "m/s^2, rad/s", {1}, speed=0.1)) == []
    assert named(worn(tmp_path / "linear", "m/s^2, rad/s", {1}, gravity=0.0)) == []
