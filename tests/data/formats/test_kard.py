from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motet.core.errors import DataError, MotetError
from motet.data.formats import import_dataset, kard
from motet.data.formats.base import Unit

NAME = "a03_s02_e01_realworld.txt"


def text(frames: np.ndarray) -> str:
    return "".join(" ".join(f"{v:.4f}" for v in joint) + "\n" for frame in frames for joint in frame)


def read(path: Path) -> np.ndarray:
    (clip,) = kard.read(Unit(path.name, path), kard.Options())
    return clip.frames


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).normal(scale=1000, size=(3, 15, 3)).round(4)


def test_millimetres_become_metres(tmp_path: Path, frames: np.ndarray) -> None:
    (tmp_path / NAME).write_text(text(frames))
    archive = import_dataset("kard", tmp_path, tmp_path / "out", progress=False)
    np.testing.assert_allclose(archive.clip(0)[:, 0], frames / 1000, rtol=1e-6)
    row = archive.clips.row(0, named=True)
    assert (row["label"], row["subject"], row["repetition"]) == (2, 2, 1)
    assert archive.class_names[2] == "two hand wave"
    assert archive.skeleton.right_handed is False


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: "", "is empty"),
        (lambda t: t[: t.rindex(" ")], "2 numbers where 3"),
        (lambda t: t[: t[:-1].rindex("\n") + 1], "no whole number of frames of 15 joints"),
        (lambda t: t + "1 2 3 4\n", "4 numbers where 3 are due"),
        (lambda t: "nan" + t[t.index(" ") :], "line 1: a number is NaN"),
        (lambda t: "one" + t[t.index(" ") :], "line 1: could not convert"),
        (lambda t: "\x00\x01" + t, "line 1"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, frames: np.ndarray, change, said: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / NAME
    path.write_text(change(text(frames)))
    with pytest.raises(DataError, match=said) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_binary(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(b"\xfe\x00\x80" * 50)
    with pytest.raises(DataError, match="is not a text file"):
        read(path)


def test_unknown_activity(tmp_path: Path, frames: np.ndarray) -> None:
    path = tmp_path / "a19_s02_e01_realworld.txt"
    path.write_text(text(frames))
    with pytest.raises(DataError, match=r"activity of 1\.\.18"):
        read(path)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_raise_nothing_else(tmp_path: Path, frames: np.ndarray, data: st.DataObject) -> None:
    raw = bytearray(text(frames).encode())
    at = data.draw(st.integers(0, len(raw)))
    raw[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=12))
    path = tmp_path / NAME
    path.write_bytes(raw)
    with contextlib.suppress(MotetError):
        assert np.isfinite(read(path)).all()


@pytest.mark.real_data
def test_recordings_equal_the_compact_copy(shared_data: Path, tmp_path: Path) -> None:
    archive = import_dataset("kard", shared_data / "raw" / "kard", tmp_path / "out", progress=False)
    compact = dict(np.load(shared_data / "skeleton" / "kard.npz"))
    keys = list(zip(compact["label"], compact["subject"], compact["rep"], strict=True))
    for row in archive.clips.iter_rows(named=True):
        names = compact["class_names"]
        label = int(np.flatnonzero([n.lower() == archive.class_names[row["label"]] for n in names])[0])
        index = keys.index((label, row["subject"] - 1, f"{row['repetition']:02d}"))
        start, end = compact["offset"][index : index + 2]
        found = archive.frames[row["offset"] : row["offset"] + row["length"], 0]
        np.testing.assert_allclose(found, compact["pos"][start:end], atol=2e-3)
