from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motet.core.errors import ConfigError, DataError, MotetError, MotetNote, MotetWarning
from motet.data.formats import import_dataset, smartfallmm

NAME = "S29A12T03.csv"
FRAMES = np.random.default_rng(0).normal(scale=1000, size=(4, 32, 3)).round(3)
SKELETON = "".join(",".join(f"{v:.3f}" for v in frame.ravel()) + "\n" for frame in FRAMES)


def put(folder: Path, place: str, text: str, name: str = NAME) -> Path:
    path = folder / place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def clock(times: list[float], form: str = "{:.3f}") -> str:
    """A sensor whose three readings are the time, twice and three times it."""
    return "".join(f"{form.format(t)},{t},{2 * t},{3 * t}\n" for t in times)


def test_skeleton_and_worn_sensors(tmp_path: Path) -> None:
    source = tmp_path / "in"
    put(source, "young/skeleton", SKELETON)
    put(source, "young/skeleton", SKELETON, "S30A12T03.csv")
    put(source, "young/accelerometer/watch", clock([0, 0.5, 1.0]))
    put(source, "young/gyroscope/watch", clock([0.25, 0.75, 1.25]))
    meta = "".join(f"1700000000000,2023-11-14T22:13:20,{t},1,2,3\n" for t in (5, 5.5))
    put(source, "young/accelerometer/meta_wrist", meta)
    archive = import_dataset("smartfallmm", source, tmp_path / "out", progress=False, sensor_fps=4.0)
    np.testing.assert_allclose(archive.clip(0)[:, 0], FRAMES / 1000, rtol=1e-6)
    columns = archive.clips.select("name", "label", "subject", "repetition", "group")
    assert columns.row(0) == ("young/S29A12T03", 11, 29, 3, "young")
    assert (archive.class_names[11], archive.skeleton.up) == ("left fall", "-y")
    assert list(archive.sensors) == ["watch", "meta_wrist"]
    assert archive.sensor_rows("watch").tolist() == archive.sensor_rows("meta_wrist").tolist() == [0, -1]
    times = np.array([0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(archive.sensor_clip("watch", 0), times[:, None, None] * [[1, 2, 3]] * np.ones((1, 2, 1)))
    meta_wrist = archive.sensor_clip("meta_wrist", 0)
    assert (meta_wrist[:, 0] == (1, 2, 3)).all()
    assert not meta_wrist[:, 1].any()  # no gyroscope


@pytest.mark.parametrize(
    "place", ["young/Watch Gyroscope", "young/watch/gyro", "gyroscope/watch", "young/gyroscope_watch"]
)
def test_gyroscopes_in_other_folders(tmp_path: Path, place: str) -> None:
    put(tmp_path / "in", "young/skeleton", SKELETON)
    put(tmp_path / "in", "young/accelerometer/watch", clock([0, 0.5, 1.0]))
    put(tmp_path / "in", place, clock([0, 0.5, 1.0]).replace(",", ",-"))
    archive = import_dataset("smartfallmm", tmp_path / "in", tmp_path / "out", progress=False, sensor_fps=2.0)
    assert (len(archive), list(archive.sensors)) == (1, ["watch"])
    np.testing.assert_allclose(archive.sensor_clip("watch", 0)[2], [[1, 2, 3], [-1, -2, -3]])


@pytest.mark.parametrize(
    "form", ["{:.3f}", "00:00:{:06.3f}", "2024-01-01 10:00:{:06.3f}", "0:{:06.3f}"], ids=["s", "h", "date", "min"]
)
def test_clocks(tmp_path: Path, form: str) -> None:
    path = put(tmp_path, "x", clock([1.0, 1.25, 1.5], form))
    times, values = smartfallmm.read_samples(path)
    np.testing.assert_allclose(times - times[0], [0, 0.25, 0.5], atol=1e-6)
    np.testing.assert_array_equal(values[1], [1.25, 2.5, 3.75])


@pytest.mark.parametrize("zeros", ["", "000", "000000"], ids=["ms", "us", "ns"])
def test_units_of_clocks(tmp_path: Path, zeros: str) -> None:
    path = put(tmp_path, "x", "".join(f"17000000000{n}{zeros},1,1,1\n" for n in ("00", "31", "62")))
    with pytest.warns(MotetNote, match="seconds"):
        times, _ = smartfallmm.read_samples(path)
    np.testing.assert_allclose(np.diff(times), 0.031, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,2\n", "no line of time, x, y, z"),
        ("time,x,y,z\n1,2,3,4\n1,2\n", "line 3: 2 columns"),
        ("1,2,3,4\n1,2,3,x\n", "line 2: could not"),
        ("noon,1,2,3\n", "line 1: "),
        ("1,2,3,4\n1,2,3,nan", "NaN"),
    ],
)
def test_bad_sensors_are_named(tmp_path: Path, text: str, said: str) -> None:
    put(tmp_path / "in", "skeleton", SKELETON)
    path = put(tmp_path / "in", "accelerometer/watch", text)
    with pytest.warns(MotetWarning, match=said) as caught:
        archive = import_dataset("smartfallmm", tmp_path / "in", tmp_path / "out", progress=False)
    assert str(path) in str(caught[0].message)
    assert (len(archive), archive.sensors) == (1, {})  # the skeleton is not lost with it


def test_header_lines_before_numbers(tmp_path: Path) -> None:
    put(tmp_path / "in", "skeleton", "Pelvis_X,Pelvis_Y\n" + SKELETON)
    put(tmp_path / "in", "accelerometer/watch", "time,x,y,z\n0,1,2,3\n0.1,1,2,3\n")
    archive = import_dataset("smartfallmm", tmp_path / "in", tmp_path / "out", progress=False)
    assert (archive.lengths[0], list(archive.sensors)) == (len(SKELETON.splitlines()), ["watch"])


def test_bad_skeletons_and_options_are_named(tmp_path: Path) -> None:
    path = put(tmp_path / "in", "skeleton", SKELETON[:-9])
    with pytest.raises(DataError, match="line 4"):
        import_dataset("smartfallmm", tmp_path / "in", tmp_path / "out", progress=False)
    path.rename(path.with_name("S29A15T03.csv"))
    with pytest.raises(DataError, match=r"activity of 1\.\.14"):
        import_dataset("smartfallmm", tmp_path / "in", tmp_path / "out", progress=False)
    with pytest.raises(ConfigError, match="sensor_fps"):
        import_dataset("smartfallmm", tmp_path / "in", tmp_path / "out", progress=False, sensor_fps=0.0)
    put(tmp_path / "worn", "gyroscope/watch", clock([0, 1]))
    with pytest.raises(DataError, match="no skeletons"):
        import_dataset("smartfallmm", tmp_path / "worn", tmp_path / "out", progress=False)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_sensors_raise_nothing_else(tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(clock([0, 0.5, 1.0], "10:00:{:06.3f}").encode())
    at = data.draw(st.integers(0, len(raw)))
    raw[at : at + data.draw(st.integers(0, 20))] = data.draw(
        st.binary(max_size=8) | st.text(max_size=8).map(str.encode)
    )
    path = tmp_path / NAME
    path.write_bytes(raw)
    with contextlib.suppress(MotetError, MotetNote):
        times, values = smartfallmm.read_samples(path)
        assert np.isfinite(times).all()
        assert np.isfinite(values).all()


@pytest.mark.real_data
def test_recordings_equal_the_compact_copy(shared_data: Path, tmp_path: Path) -> None:
    archive = import_dataset("smartfallmm", shared_data / "raw" / "smartfallmm", tmp_path / "out", progress=False)
    compact = dict(np.load(shared_data / "skeleton" / "smartfallmm_young.npz"))
    names = [str(n).lower() for n in compact["class_names"]]
    people = [int(n) for n in compact["subject_names"]]
    same = {"sit and stand": "sit/stand", "TUG test or walking": "tug test/walking"}
    checked = 0
    for i, row in enumerate(archive.clips.iter_rows(named=True)):
        name = archive.class_names[row["label"]]
        wanted = compact["label"] == names.index(same.get(name, name))
        wanted &= (compact["subject"] == people.index(row["subject"])) & (compact["rep"] == f"{row['repetition']:02d}")
        if wanted.any():
            (index,) = np.flatnonzero(wanted)
            clip = compact["pos"][slice(*compact["offset"][index : index + 2])]
            np.testing.assert_allclose(archive.clip(i)[:, 0], clip, atol=4e-3)
            checked += 1
    assert checked >= 6
    height = archive.frames[:, 0, archive.skeleton.index("left_foot"), 1] - archive.frames[:, 0, 26, 1]
    assert 1.2 < np.median(height) < 1.9  # metres, y down
