from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motet.core.errors import ConfigError, DataError, MotetError
from motet.data.formats import import_dataset, watch
from motet.data.worn import axis_of

INSTALLED = importlib.util.find_spec("seglearn") is not None


def content() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "X": [rng.normal(size=(450, 6)), np.asfortranarray(rng.normal(size=(100, 6)))],
        "X_labels": ["ax", "ay", "az", "wx", "wy", "wz"],
        "y": np.array([1, 0]),
        "y_labels": ["PEN", "ROW"],
        "subject": np.array([3, 12]),
        "side": np.array([1.0, 0.0]),
    }


def write(folder: Path, held: Any, protocol: int = 2) -> Path:
    """As ``numpy.save`` writes an object, in the pickle protocol of the published file."""
    path = folder / "watch_dataset.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        boxed = np.empty((), dtype=object)
        boxed[()] = held
        pickle.dump(boxed, file, protocol=protocol)
    return path


@pytest.mark.parametrize("protocol", [2, 4])
def test_recordings_come_back(tmp_path: Path, protocol: int) -> None:
    held = content()
    found = watch.load(write(tmp_path, held, protocol))
    for series, want in zip(found.series, held["X"], strict=True):
        np.testing.assert_array_equal(series, want)
    assert found.names == ("pendulum", "upright row")
    assert (found.exercise.tolist(), found.subject.tolist(), found.side.tolist()) == ([1, 0], [3, 12], [1, 0])


def test_windows_overlap(tmp_path: Path) -> None:
    held = content()
    write(tmp_path, held)
    archive = import_dataset("watch", tmp_path, tmp_path / "a", progress=False)
    # 4 s at 50 Hz, half of it repeated; the second recording is shorter than a window and stays whole
    assert archive.lengths.tolist() == [200, 200, 200, 100]
    assert archive.clips["start"].to_list() == [0, 100, 200, 0]
    np.testing.assert_array_equal(archive.clip(1)[:, 0, 0], held["X"][0][100:300, :3].astype(np.float32))
    np.testing.assert_array_equal(archive.clip(1)[:, 0, 1], held["X"][0][100:300, 3:].astype(np.float32))
    assert archive.clips.select("label", "subject", "side", "series").rows()[3] == (0, 12, "left", 1)
    assert (archive.fps, archive.skeleton.name, archive.skeleton.kind) == (50.0, "imu-2", "sensor")


@pytest.mark.parametrize(
    ("length", "size", "step", "wanted"),
    [
        (10, 4, 2, [(0, 4), (2, 6), (4, 8), (6, 10)]),
        (10, 4, 4, [(0, 4), (4, 8)]),
        (3, 4, 2, [(0, 3)]),
        (10, 0, 1, [(0, 10)]),
    ],
)
def test_window_bounds(length: int, size: int, step: int, wanted: list[tuple[int, int]]) -> None:
    assert watch.windows(length, size, step) == wanted


@pytest.mark.parametrize("options", [{"window": -1.0}, {"overlap": 1.0}, {"window": 0.01}])
def test_impossible_windows(tmp_path: Path, options: dict[str, float]) -> None:
    write(tmp_path, content())
    with pytest.raises(ConfigError, match="window"):
        import_dataset("watch", tmp_path, tmp_path / "a", progress=False, **options)


class Malicious:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def test_nothing_in_the_file_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    path = write(tmp_path, content() | {"X": [Malicious(mark)]})
    with pytest.raises(DataError, match=r"it names posix\.mkdir|it names nt\.mkdir"):
        watch.load(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"X": []},
        {"X": [np.zeros((5, 4)), np.zeros((5, 6))]},
        {"y": np.array([1, 2])},
        {"y": np.array([1])},
        {"side": np.array([0, 2])},
        {"subject": np.array(["a", "b"])},
        {"subject": [1, 2]},
    ],
)
def test_other_content_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = write(tmp_path, content() | change)
    with pytest.raises(DataError, match=r"watch_dataset\.npy is not the watch data"):
        watch.load(path)


def test_not_installed_says_how_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install seglearn==1\.2\.5"):
        watch.locate(Path("seglearn"))
    with pytest.raises(DataError, match="is not the word seglearn"):
        watch.locate(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.data())
def test_only_motet_errors_escape(tmp_path: Path, data: st.DataObject) -> None:
    held = content()
    held["X"] = [x[:3] for x in held["X"]]
    buffer = io.BytesIO(write(tmp_path, held).read_bytes())
    raw = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 6))] = data.draw(st.binary(max_size=6))
    path = tmp_path / "fuzz.npy"
    path.write_bytes(bytes(raw))
    with contextlib.suppress(MotetError), warnings.catch_warnings():
        warnings.simplefilter("error")
        watch._load.cache_clear()
        watch.load(path)


@pytest.mark.skipif(not INSTALLED, reason="the package seglearn is not installed")
def test_the_published_recordings(tmp_path: Path) -> None:
    archive = import_dataset("watch", "seglearn", tmp_path / "a", progress=False)
    assert archive.clips["series"].n_unique() == 140
    assert len(archive.class_names) == 7
    assert sorted(set(archive.clips["subject"])) == list(range(1, 11))
    assert set(archive.clips["side"]) == {"left", "right"}
    assert axis_of(archive) == "x"
    assert archive.lengths.max() == 200
    # gravity: the acceleration is about one g long
    accelerations = np.linalg.norm(archive.frames[:, 0, 0], axis=-1)
    assert 0.9 < np.median(accelerations) < 1.1
