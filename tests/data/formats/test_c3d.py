from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motet.core.errors import ConfigError, DataError, MotetError
from motet.data import layouts
from motet.data.archive import MotionArchive
from motet.data.formats import c3d as format
from motet.data.formats import import_dataset

c3d = pytest.importorskip("c3d", reason="needs the extra c3d")

LABELS = ["Ann:LASI", "Ann:RASI", "Ann:HEAD", "*3", "LHipAngles"]
POINTS = np.random.default_rng(0).normal(scale=900, size=(6, len(LABELS), 3)).astype(np.float32)


def content(labels: list[str] = LABELS, points: np.ndarray = POINTS, unit: str = "mm", rate: float = 100.0) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        writer = c3d.Writer(point_rate=rate, point_scale=-1.0)
        writer.set_point_labels(labels)
        for number, frame in enumerate(points):
            rows = np.column_stack([frame, np.zeros((len(frame), 2))]).astype(np.float32)
            if number == 2:
                rows[1, 3] = -1  # the second marker is lost
            writer.add_frames([(rows, np.zeros((0, 0)))])
        group = writer.get("POINT")
        write = group.add_str if group.get("UNITS") is None else group.set_str
        write("UNITS", "unit", unit.ljust(8), 8)
        group.add_str("ANGLES", "modelled", "LHipAngles", 10, 1)
        stream = io.BytesIO()
        writer.write(stream)
    return stream.getvalue()


def load(folder: Path, files: dict[str, bytes], **options: Any) -> MotionArchive:
    (folder / "in").mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / "in" / name).write_bytes(data)
    return import_dataset("c3d", folder / "in", folder / "out", progress=False, overwrite=True, **options)


def test_markers_become_joints_in_metres(tmp_path: Path) -> None:
    archive = load(tmp_path, {"s2_walk.c3d": content()}, pattern=r"s(?P<subject>\d)_(?P<label>[a-z]+)")
    assert (archive.skeleton.joints, archive.skeleton.bones) == (("LASI", "RASI", "HEAD"), ())
    wanted = POINTS[:, :3] / 1000
    wanted[2, 1] = 0
    np.testing.assert_allclose(archive.clip(0)[:, 0], wanted, rtol=1e-5)
    assert (archive.fps, archive.units, archive.clips["subject"][0], archive.class_names) == (100.0, "m", 2, ["walk"])


def test_plug_in_gait_has_a_layout(tmp_path: Path) -> None:
    gait = layouts.get(format.PLUG_IN_GAIT)
    labels = [*reversed(gait.joints), "EXTRA"]
    points = np.random.default_rng(1).normal(size=(3, len(labels), 3)).astype(np.float32)
    points[:, [labels.index(n) for n in gait.joints if n.endswith("HD")], 1] += 10  # heads are up, along y
    archive = load(tmp_path, {"a.c3d": content(labels, points, "m")})
    assert (archive.skeleton.joints, archive.skeleton.up) == (gait.joints, "+y")
    np.testing.assert_allclose(archive.clip(0)[1:2, 0], points[1:2, -2::-1], rtol=1e-5)


def test_units_rates_and_markers_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.c3d: its unit is 'parsec'; give one of m, dm"):
        load(tmp_path, {"a.c3d": content(unit="parsec")})
    np.testing.assert_allclose(
        load(tmp_path, {"a.c3d": content(unit="")}, unit="cm").clip(0)[0, 0], POINTS[0, :3] / 100
    )
    with pytest.raises(ConfigError, match="option unit"):
        load(tmp_path, {"a.c3d": content()}, unit="ell")
    with pytest.raises(DataError, match=r"b\.c3d has 200 frames/s, others 100"):
        load(tmp_path, {"a.c3d": content(), "b.c3d": content(rate=200.0)})
    with pytest.raises(DataError, match=r"b\.c3d lacks the markers LASI; it has LHEE"):
        load(tmp_path, {"a.c3d": content(), "b.c3d": content(["Ann:LHEE", *LABELS[1:]])})
    with pytest.raises(DataError, match="two markers are labelled LASI"):
        load(tmp_path, {"a.c3d": content(["A:LASI", "B:LASI", *LABELS[2:]])})
    (tmp_path / "in" / "b.c3d").unlink()
    with pytest.raises(DataError, match="no labelled marker"):
        load(tmp_path, {"a.c3d": content(["*1", "*2", "*3", "*4", "*5"])})


def test_a_layout_of_ones_own(tmp_path: Path) -> None:
    toml = tmp_path / "two.toml"
    toml.write_text('name = "two"\njoints = [{ name = "HEAD", parent = "" }, { name = "LASI", parent = "HEAD" }]\n')
    archive = load(tmp_path, {"a.c3d": content()}, skeleton=str(toml))
    np.testing.assert_allclose(archive.clip(0)[:, 0], POINTS[:, [2, 0]] / 1000, rtol=1e-5)


@pytest.mark.parametrize("data", [b"", b"no c3d", b"\x02\x50" * 600])
def test_other_files_are_named(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DataError, match=r"a\.c3d"):
        load(tmp_path, {"a.c3d": data})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_raise_nothing_else(tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(content())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, 1600))] = data.draw(st.integers(0, 255))
    path = tmp_path / "a.c3d"
    path.write_bytes(raw[: data.draw(st.integers(1, len(raw)))] if data.draw(st.booleans()) else raw)
    with contextlib.suppress(MotetError):
        assert np.isfinite(format.read_markers(path).points).all()
