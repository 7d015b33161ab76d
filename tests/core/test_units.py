"""Units have one spelling, wherever they come from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from motet.core.units import unit_name
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.edit import convert, merge
from motet.data.inertial import units_of
from motet.use.signals import Layout


@pytest.mark.parametrize(
    ("unit", "spellings"),
    [
        ("m/s^2", ["m/s²", "m/s2", "m/s**2", "m/s/s", "m·s⁻²", "ms-2", "[m/s^2]", "meters/second^2", "m s^(-2)"]),
        ("deg/s", ["°/s", "DPS", "degrees/s", "°·s⁻¹", "deg s-1", "deg / sec", "degrees per second", "d/s"]),
        ("rad/s", ["rad·s⁻¹", "rad s^-1", "radians/second", "rad/sec"]),
        ("g, deg/s", ["g,dps", "g; °/s"]),
        ("m", ["metres", "Meter", "M"]),
        ("px", ["pixels", "Pixel"]),
    ],
)
def test_spellings_of_a_unit(unit: str, spellings: list[str]) -> None:
    assert {unit_name(text) for text in [unit, *spellings]} == {unit}


def test_what_is_no_known_unit_stays() -> None:
    for text in ("as recorded", "shares of the picture", "G", "m/s", "mm/s^2", "µT", "in"):
        assert unit_name(text) == text


def test_archives_whose_units_are_spelled_differently_are_of_one_unit(tmp_path: Path) -> None:
    for name, units in (("a", "m/s²"), ("b", "m s-2"), ("c", "mg")):
        with ArchiveWriter(tmp_path / name, skeleton=layouts.get("imu-2"), fps=20.0, units=units) as writer:
            writer.add(np.ones((40, 2, 3)), name=name)
    first = MotionArchive.open(tmp_path / "a")
    assert first.units == "m/s^2"
    assert merge([tmp_path / "a", tmp_path / "b"], tmp_path / "ab").units == "m/s^2"
    Layout.of(first).check(MotionArchive.open(tmp_path / "b"))
    assert convert(tmp_path / "c", tmp_path / "d", units="m/s²").units == "m/s^2"
    meta = json.loads((tmp_path / "a/archive.json").read_text())
    older = MotionArchive(tmp_path / "a", meta | {"units": "m·s⁻²"}, first.clips)
    assert older.units == "m/s^2"
    assert units_of(MotionArchive(tmp_path / "a", meta | {"units": "acceleration in m/s²"}, first.clips))[:5] == "m/s^2"
