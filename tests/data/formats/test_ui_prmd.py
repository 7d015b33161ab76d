from __future__ import annotations

import contextlib
import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from motet.core.errors import DataError, MotetError
from motet.data import layouts
from motet.data.formats import import_dataset, ui_prmd
from motet.data.formats.base import Unit

NAME = "m03_s02_e05"


def text(table: np.ndarray) -> bytes:
    return "".join(",".join(f"{v:.6f}" for v in row) + "\n" for row in table).encode()


def write_kinect(root: Path, positions: np.ndarray, angles: np.ndarray, name: str = NAME, end: str = ".txt") -> Path:
    folder = root / "Segmented Movements" / "Kinect"
    for kind, table in (("Positions", positions), ("Angles", angles)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        data = text(table)
        path = folder / kind / f"{name}_{kind.lower()}{end}"
        path.write_bytes(gzip.compress(data) if end.endswith(".gz") else data)
    return folder / "Positions" / f"{name}_positions{end}"


def read(path: Path, sensor: str = "kinect") -> np.ndarray:
    (clip,) = ui_prmd.read(Unit(path.name, path), ui_prmd.Options(sensor=sensor))  # type: ignore[arg-type]
    return clip.frames


@pytest.fixture
def tables() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(scale=20, size=(3, 66)).round(6), rng.uniform(-170, 170, size=(3, 66)).round(6)


def test_forward_kinematics_joint_by_joint(tmp_path: Path, tables: tuple[np.ndarray, np.ndarray]) -> None:
    frames = read(write_kinect(tmp_path, *tables))
    skeleton = layouts.get("ui-prmd-22")
    for t in range(3):
        offsets, angles = tables[0][t].reshape(22, 3) / 100, tables[1][t].reshape(22, 3)
        own = [Rotation.from_euler("xyz", a, degrees=True).as_matrix() for a in angles]  # extrinsic xyz = Rz Ry Rx

        def chain(joint: int, own: list[np.ndarray] = own) -> np.ndarray:
            parent = skeleton.parents[joint]
            if parent < 0 or skeleton.joints[joint] in ("LCollar", "RCollar"):
                above = np.eye(3) if parent < 0 else own[parent]
            else:
                above = chain(parent)
            return above @ own[joint]

        def position(joint: int, own: list[np.ndarray] = own, offsets: np.ndarray = offsets) -> np.ndarray:
            parent = skeleton.parents[joint]
            if parent < 0:
                return offsets[joint]
            arm = skeleton.joints[joint] in ("LCollar", "RCollar")
            return position(parent) + (own[parent] if arm else chain(parent)) @ offsets[joint]

        np.testing.assert_allclose(frames[t], [position(j) for j in range(22)], atol=1e-9)


def test_import_tells_sensors_and_quality_apart(tmp_path: Path, tables: tuple[np.ndarray, np.ndarray]) -> None:
    write_kinect(tmp_path, *tables)
    write_kinect(tmp_path, *tables, name="m10_s10_e01", end=".txt.gz")
    path = write_kinect(tmp_path / "Incorrect Segmented Movements", *tables)
    for file in (path, path.parents[1] / "Angles" / f"{NAME}_angles.txt"):
        file.rename(file.with_name(file.stem + "_inc.txt"))
    markers = np.random.default_rng(1).normal(scale=1000, size=(7, 117)).round(6)
    vicon = tmp_path / "Segmented Movements" / "Vicon" / "Positions"
    vicon.mkdir(parents=True)
    (vicon / f"{NAME}_positions.txt").write_bytes(text(markers))

    archive = import_dataset("ui-prmd", tmp_path, tmp_path / "out", progress=False)
    assert archive.clips.select("name", "label", "subject", "repetition", "quality").sort("name").rows() == [
        ("m03_s02_e05", 2, 2, 5, "correct"),
        ("m03_s02_e05_inc", 2, 2, 5, "incorrect"),
        ("m10_s10_e01", 9, 10, 1, "correct"),
    ]
    assert archive.fps == 30
    optical = import_dataset("ui-prmd", tmp_path, tmp_path / "vicon", sensor="vicon", progress=False)
    np.testing.assert_allclose(optical.clip(0)[:, 0].reshape(7, 117), markers / 1000, rtol=1e-6)
    assert (optical.fps, optical.skeleton.up) == (100, "+z")


def test_missing_or_unequal_angles(tmp_path: Path, tables: tuple[np.ndarray, np.ndarray]) -> None:
    path = write_kinect(tmp_path, tables[0], tables[1][:2])
    with pytest.raises(DataError, match="3 frames of positions but 2 of angles"):
        read(path)
    (path.parents[1] / "Angles" / f"{NAME}_angles.txt").unlink()
    with pytest.raises(DataError, match=r"joint angles .* are missing"):
        read(path)


def test_no_files_of_a_sensor(tmp_path: Path, tables: tuple[np.ndarray, np.ndarray]) -> None:
    write_kinect(tmp_path, *tables)
    with pytest.raises(DataError, match="no UI-PRMD files of the sensor vicon"):
        import_dataset("ui-prmd", tmp_path, tmp_path / "out", sensor="vicon")


def test_broken_gzip_and_wrong_joints(tmp_path: Path, tables: tuple[np.ndarray, np.ndarray]) -> None:
    path = write_kinect(tmp_path, *tables, end=".txt.gz")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match="cannot be read"):
        read(path)
    path = write_kinect(tmp_path, tables[0][:, :63], tables[1])
    with pytest.raises(DataError, match="line 1: 63 numbers where 66 are due"):
        read(path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), end=st.sampled_from([".txt", ".txt.gz"]))
def test_mutated_files_raise_nothing_else(
    tmp_path: Path, tables: tuple[np.ndarray, np.ndarray], data: st.DataObject, end: str
) -> None:
    path = write_kinect(tmp_path, *tables, end=end)
    raw = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(raw)))
    raw[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=12))
    path.write_bytes(raw)
    with contextlib.suppress(MotetError):
        assert np.isfinite(read(path)).all()


@pytest.mark.real_data
def test_recordings_equal_the_compact_copy(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "raw" / "ui_prmd"
    archive = import_dataset("ui-prmd", source, tmp_path / "out", progress=False, on_error="skip")
    assert len(archive) == 24  # the sample has 36 positions files but only 24 of angles
    assert len(archive.source["skipped"]) == 12
    compact = dict(np.load(shared_data / "skeleton" / "ui_prmd_kinect.npz"))
    columns = ("label", "subject", "quality", "rep")
    keys = list(zip(*(compact[c].tolist() for c in columns), strict=True))
    for row in archive.clips.iter_rows(named=True):
        index = keys.index((row["label"], row["subject"] - 1, row["quality"], f"{row['repetition']:02d}"))
        start, end = compact["offset"][index : index + 2]
        found = archive.frames[row["offset"] : row["offset"] + row["length"], 0]
        np.testing.assert_allclose(found, compact["pos"][start:end], atol=2e-3)  # float16 metres
