from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motet.core.errors import DataError, MotetError
from motet.data.formats import import_dataset, utd_mhad

SKELETON = np.random.default_rng(0).normal(size=(20, 3, 5))
INERTIAL = np.random.default_rng(1).normal(size=(9, 6))


def lay_out(folder: Path) -> None:
    for kind, clip, name, values in (
        ("Skeleton", "a7_s1_t2", "d_skel", SKELETON),
        ("Inertial", "a7_s1_t2", "d_iner", INERTIAL),
        ("Skeleton", "a22_s8_t4", "d_skel", SKELETON[..., :1]),
    ):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        scipy.io.savemat(folder / kind / f"{clip}_{kind.lower()}.mat", {name: values})


def test_skeletons_with_the_inertial_sensor_beside(tmp_path: Path) -> None:
    lay_out(tmp_path / "in")
    archive = import_dataset("utd-mhad", tmp_path / "in", tmp_path / "out", progress=False)
    np.testing.assert_array_equal(archive.clip(0)[:, 0], SKELETON.transpose(2, 0, 1).astype(np.float32))
    assert len(archive.clip(1)) == 1
    columns = archive.clips.select("name", "label", "subject", "repetition", "place")
    assert columns.rows() == [("a7_s1_t2", 6, 1, 2, "right wrist"), ("a22_s8_t4", 21, 8, 4, "right thigh")]
    assert archive.class_names[21] == "jog"
    assert (archive.sensors["inertial"].fps, archive.sensor_rows("inertial").tolist()) == (50.0, [0, -1])
    np.testing.assert_array_equal(archive.sensor_clip("inertial", 0), INERTIAL.reshape(9, 2, 3).astype(np.float32))
    assert archive.source["without_inertial"] == 1


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("a7_s1_t2_skeleton.mat", {"d_skel": SKELETON[:19]}, r"d_skel of shape \(19, 3, 5\)"),
        ("a7_s1_t2_skeleton.mat", {"other": SKELETON}, "no array of numbers 'd_skel'"),
        ("a7_s1_t2_skeleton.mat", {"d_skel": "words"}, "no array of numbers 'd_skel'"),
        ("a7_s1_t2_skeleton.mat", {"d_skel": SKELETON * np.nan}, "NaN"),
        ("a7_s1_t2_inertial.mat", {"d_iner": INERTIAL[:, :5]}, r"d_iner of shape \(9, 5\)"),
    ],
)
def test_bad_arrays_are_named(tmp_path: Path, file: str, content: dict[str, object], said: str) -> None:
    lay_out(tmp_path / "in")
    (path,) = (tmp_path / "in").rglob(file)
    scipy.io.savemat(path, content)
    with pytest.raises(DataError, match=said) as caught:
        import_dataset("utd-mhad", tmp_path / "in", tmp_path / "out", progress=False)
    assert str(path) in str(caught.value)


def test_names_tell_the_action(tmp_path: Path) -> None:
    lay_out(tmp_path / "in")
    path = tmp_path / "in" / "Skeleton" / "a7_s1_t2_skeleton.mat"
    path.rename(path.with_name("a28_s1_t2_skeleton.mat"))
    with pytest.raises(DataError, match=r"an action of 1\.\.27"):
        import_dataset("utd-mhad", tmp_path / "in", tmp_path / "out", progress=False)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), packed=st.booleans())
def test_mutated_files_raise_nothing_else(tmp_path: Path, data: st.DataObject, packed: bool) -> None:
    path = tmp_path / "a7_s1_t2_skeleton.mat"
    scipy.io.savemat(path, {"d_skel": SKELETON}, do_compression=packed)
    raw = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(raw)))
    raw[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=12))
    path.write_bytes(raw)
    with contextlib.suppress(MotetError):
        assert np.isfinite(utd_mhad.read_mat(path, "d_skel")).all()
