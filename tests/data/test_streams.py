"""Several sensors with clocks of their own become one archive at a stated rate."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motet.core.errors import ConfigError, DataError, MotetNote
from motet.data.doctor import diagnose
from motet.data.formats import import_dataset
from motet.data.timing import nearest, resample

pytestmark = pytest.mark.filterwarnings("ignore:.*too short for movements to show")


def write(path: Path, **changes: Any) -> Path:
    """Two recordings of a phone and a watch that start 40 ms apart; readings say their time in seconds."""
    random = np.random.default_rng(0)
    arrays: dict[str, Any] = {"class_names": np.array(["sit", "walk"]), "recording": np.array(["a", "b"])}
    arrays["subject"] = np.array(["s01", "s02"])
    for name, start in (("phone", 0.0), ("watch", 0.04)):
        stamps = [1e6 + start + np.sort(random.uniform(0, 4, 400)) for _ in range(2)]
        joined = np.concatenate(stamps)
        arrays[name] = np.repeat(joined[:, None] - 1e6, 6, axis=1)
        arrays[f"{name}_time"] = joined
        arrays[f"{name}_offset"] = np.array([0, 400, 800])
        arrays[f"{name}_label"] = (joined - 1e6 > 2).astype(np.int16)
    arrays |= changes
    np.savez(path, **arrays)
    return path


def test_streams_share_a_clock(tmp_path: Path) -> None:
    source = write(tmp_path / "s.npz")
    archive = import_dataset("streams", source, tmp_path / "a.motet", fps=25.0, progress=False)
    assert archive.skeleton.joints[:3] == ("phone_accelerometer", "phone_gyroscope", "watch_accelerometer")
    assert archive.clips["name"].to_list() == ["a", "b"]
    assert archive.clips["subject"].to_list() == [1, 2]
    clip = archive.clip(0)[:, 0]
    # both sensors read their own time, so after alignment they agree, and time rises by the period
    assert np.allclose(clip[:, 0], clip[:, 2], atol=1e-4)
    assert np.allclose(np.diff(clip[:, 0, 0]), 0.04, atol=1e-4)
    labels = archive.tracks.frames("labels", 0, archive.class_names)
    assert (labels == (clip[:, 2, 0] > 2)).mean() > 0.97


def test_stamps_in_microseconds_are_recognised(tmp_path: Path) -> None:
    with np.load(write(tmp_path / "s.npz")) as held:
        stamps = {f"{n}_time": held[f"{n}_time"] * 1e6 for n in ("phone", "watch")}
    archives = []
    for name, changes in (("s", {}), ("us", stamps)):
        with pytest.warns(MotetNote, match="taken for microseconds") if changes else contextlib.nullcontext():
            source = write(tmp_path / f"{name}.npz", **changes)
            archives.append(import_dataset("streams", source, tmp_path / name, progress=False))
    np.testing.assert_allclose(archives[1].frames, archives[0].frames, atol=1e-3)


def test_a_gap_is_absent_and_jitter_is_not() -> None:
    times = np.array([0.0, 0.1, 0.2, 2.0, 2.1])
    values = times[:, None] + 1
    at = np.array([0.05, 0.2, 1.0, 2.05, 2.5])
    assert np.allclose(resample(times, values, at)[:, 0], [1.05, 1.2, 0, 3.05, 0])
    assert np.allclose(resample(times, values, at, longest_gap=3.0)[:, 0], [1.05, 1.2, 2.0, 3.05, 0])


def test_readings_of_one_moment_are_averaged() -> None:
    assert resample(
        np.array([0.0, 0.0, 1.0]), np.array([[1.0], [3.0], [4.0]]), np.array([0.0, 0.5]), longest_gap=2
    ).ravel().tolist() == [2.0, 3.0]


def test_the_nearest_label() -> None:
    assert nearest(np.array([0.0, 1.0]), np.array([5, 7]), np.array([-1.0, 0.4, 0.6, 9.0])).tolist() == [5, 5, 7, 7]


def test_clocks_that_run_apart(tmp_path: Path) -> None:
    late = {"watch_time": np.concatenate([1e6 + np.linspace(3, 7, 400)] * 2)}
    with pytest.raises(DataError, match=r"recording a: clocks of phone and watch run apart: they share 1\.0 of 4\.0 s"):
        import_dataset("streams", write(tmp_path / "s.npz", **late), tmp_path / "a.motet", progress=False)
    assert not (tmp_path / "a.motet").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"watch_offset": np.array([0, 500, 400])}, "'watch_offset' does not rise"),
        ({"watch_offset": np.array([0, 800])}, "different numbers of recordings"),
        ({"watch_time": np.zeros(3)}, "not one time stamp for each"),
        ({"watch_label": np.full(800, 9)}, "'watch_label' is not one index"),
        ({"phone": np.full((800, 6), np.nan)}, "stream 'phone' is empty, NaN"),
        ({"phone": np.zeros((800, 5))}, "a multiple of 3"),
        (dict.fromkeys(("phone_time", "watch_time"), [*np.arange(399) / 100, 1e7] * 2), "correct the time stamps"),
        ({"class_names": np.array(3)}, "'class_names' is not a list of names"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        import_dataset("streams", write(tmp_path / "s.npz", **changes), tmp_path / "a.motet", progress=False)


def test_a_unit_of_streams_is_stated_or_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "s.npz")
    known = import_dataset("streams", path, tmp_path / "a.motet", progress=False, unit="m/s², rad/s")
    assert known.units == "m/s^2, rad/s"
    plain = import_dataset("streams", path, tmp_path / "b.motet", progress=False)
    assert plain.units == "as recorded"
    asked = [[f.remedy for f in diagnose(archive) if f.name == "unit"] for archive in (known, plain)]
    assert asked[0] == []
    assert asked[1][0].endswith("b.motet --unit 'g, deg/s' --overwrite")
    with pytest.raises(ConfigError, match=r"--unit 'g, mm': 'mm' is no unit of a sensor"):
        import_dataset("streams", path, tmp_path / "c.motet", progress=False, unit="g, mm")
    with pytest.raises(ConfigError, match=r"gives 3 units for 4 nodes \(phone_acc.*gyroscope\); give 1 or 2 or 4"):
        import_dataset("streams", path, tmp_path / "c.motet", progress=False, unit="g, deg/s, uT")
    with pytest.warns(MotetNote, match="the unit g says nothing of phone_gyroscope, watch_gyroscope; .* 'g, deg/s'"):
        import_dataset("streams", path, tmp_path / "d.motet", progress=False, unit="g")


def test_an_unknown_stream_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no stream 'ring'; it has phone, watch"):
        import_dataset("streams", write(tmp_path / "s.npz"), tmp_path / "a.motet", streams=("ring",), progress=False)


def test_labels_of_frames_of_the_compact_layout(tmp_path: Path) -> None:
    names = {"joint_names": np.array(["hip", "head"]), "parents": np.array([-1, 0]), "fps": 10.0}
    labels = {"frame_label": np.array([0, 0, -1, 1, 1]), "class_names": np.array(["sit", "walk"])}
    rest = {"offset": np.array([0, 3, 5]), "name": np.array(["x", "y"]), "subject": np.array(["13", "14"])}
    np.savez(tmp_path / "c.npz", pos=np.random.default_rng(0).normal(size=(5, 2, 3)), **names, **labels, **rest)
    archive = import_dataset("npz", tmp_path / "c.npz", tmp_path / "c.motet", progress=False)
    assert archive.clips["subject"].to_list() == [13, 14]
    assert archive.tracks["labels"].select("recording", "start", "end", "label").rows() == [
        ("x", 0.0, 0.2, "sit"),
        ("y", 0.0, 0.2, "walk"),
    ]
