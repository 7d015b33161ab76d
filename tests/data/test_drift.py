"""A clock that runs apart is noticed by what sensors on one body say, and nobody else is accused."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from motet.cli import main
from motet.core.errors import ConfigError, MotetWarning
from motet.data.archive import MotionArchive
from motet.data.drift import drift, ends, unseen
from motet.data.formats import import_dataset

Array = npt.NDArray[np.float64]


def moves(seed: int, times: Array) -> Array:
    """(n, 3) readings of a body that moves now and then: gravity and bursts of swinging."""
    random = np.random.default_rng(seed)
    out = np.tile([0.0, 0.0, 1.0], (len(times), 1))
    start = 0.0
    while start < 400:
        start, length = start + random.uniform(1, 6), random.uniform(1, 4)
        inside = np.clip((times - start) / length, 0, 1)
        swing = np.sin(np.pi * inside) * np.sin(2 * np.pi * random.uniform(0.7, 2.5) * times + random.uniform(0, 6))
        out += swing[:, None] * random.normal(size=3)
        start += length
    return out


def pair(
    seed: int, fast: float, *, seconds: float = 150.0, other: int | None = None
) -> tuple[list[Array], list[Array]]:
    """Stamps and readings of two sensors on one body (or on two), the clock of the second one fast."""
    random = np.random.default_rng(100 + seed)
    times, readings = [], []
    for n, rate in enumerate((50.0, 62.0)):
        true = np.sort(np.arange(0, seconds, 1 / rate) + random.uniform(0, 0.3 / rate, round(seconds * rate)))
        own = moves(seed if n == 0 or other is None else other, true)
        turned = own @ np.linalg.qr(random.normal(size=(3, 3)))[0]
        readings.append(turned + 0.3 * random.normal(size=own.shape) + 0.2 * moves(900 + 2 * seed + n, true))
        times.append(true * (1 + fast * n) + 3.0 + 0.2 * n)
    return times, readings


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fast", [0.01, -0.01, 0.004, -0.025])
def test_a_clock_that_runs_apart_is_noticed(seed: int, fast: float) -> None:
    found = drift(*pair(seed, fast))
    assert found is not None
    assert abs(found.share - fast) < 0.001


@pytest.mark.parametrize("seed", range(6))
def test_nobody_else_is_accused(seed: int) -> None:
    assert drift(*pair(seed, 0.0)) is None
    assert drift(*pair(seed, 0.01, other=seed + 1)) is None
    assert drift(*pair(seed, 0.01, seconds=40)) is None
    times, readings = pair(seed, 0.01)
    assert drift(times, [readings[0], np.ones_like(readings[1])]) is None


def test_ends_of_many_recordings() -> None:
    random = np.random.default_rng(0)
    lasting = random.uniform(8, 15, 60)
    late = random.normal(0, 0.01, 60)
    found = ends(lasting, 1.01 * lasting + late)
    assert found is not None
    assert abs(found - 0.01) < 0.002
    assert ends(lasting, lasting + 0.2 + late) is None  # one that always stops later
    assert ends(lasting[:9], 1.01 * lasting[:9]) is None
    assert ends(lasting, random.permutation(lasting)) is None
    assert ends(np.full(60, 9.0), np.full(60, 9.09)) is None
    bound = unseen(lasting, lasting + 0.2 + late)
    assert bound is not None
    assert 0.002 <= bound < 0.006
    assert unseen(lasting, lasting) == 0.002
    assert unseen(lasting, 1.01 * lasting + late) > found - 0.002
    assert unseen(lasting[:9], lasting[:9]) is None


@pytest.mark.parametrize(
    ("recordings", "seconds", "words"),
    [
        (
            1,
            40.0,
            r"1 recording of less than 60 s, too short .* clocks of phone and watch run apart; nothing else says it",
        ),
        (12, 9.0, r"12 recordings of less than 60 s, .*; by the ends of all they do by 0\.20 % at most"),
        (3, 70.0, None),
    ],
)
def test_where_nothing_tells_of_a_drift_is_said(
    tmp_path: Path, recordings: int, seconds: float, words: str | None
) -> None:
    lasting = [seconds + n / 2 for n in range(recordings)]
    stamps = [np.arange(0, s, 0.05) for s in lasting]
    offsets = np.cumsum([0, *map(len, stamps)])
    arrays: dict[str, Any] = {}
    for name in ("phone", "watch"):
        readings = np.random.default_rng(0).normal(size=(offsets[-1], 3))
        arrays |= {name: readings, f"{name}_time": np.concatenate(stamps), f"{name}_offset": offsets}
    np.savez(tmp_path / "s.npz", **arrays)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        import_dataset("streams", tmp_path / "s.npz", tmp_path / "a", progress=False)
        import_dataset("streams", tmp_path / "s.npz", tmp_path / "b", streams=("watch",), progress=False)
    found = [str(w.message) for w in said]
    assert len(found) == (words is not None)
    assert words is None or re.search(words, found[0])


def write(path: Path, fast: float) -> Path:
    times, readings = pair(0, fast)
    arrays: dict[str, Any] = {"recording": np.array(["day"]), "class_names": np.array(["early", "late"])}
    for name, stamps, values in zip(("phone", "watch"), times, readings, strict=True):
        labels = (np.arange(len(stamps)) >= len(stamps) // 2).astype(np.int16)
        arrays |= {name: values, f"{name}_time": stamps, f"{name}_offset": np.array([0, len(stamps)])}
        arrays[f"{name}_label"] = labels
    np.savez(path, **arrays)
    return path


def test_it_is_said_and_corrected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(write(tmp_path / "s.npz", 0.01))
    with pytest.warns(MotetWarning, match=r"recording day: the clock of watch runs 1\.0 % fast against that of phone"):
        import_dataset("streams", source, tmp_path / "a", progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main(["data", "import", "streams", source, str(tmp_path / "b"), "--clock", "watch=1.01"]) == 0
        import_dataset("streams", write(tmp_path / "t.npz", 0.0), tmp_path / "c", progress=False)
    mended, right = (MotionArchive.open(tmp_path / name) for name in "bc")
    assert abs(int(mended.lengths[0]) - int(right.lengths[0])) <= 1
    border = [archive.tracks["labels"]["end"][0] for archive in (mended, right)]
    assert abs(border[0] - border[1]) < 0.05
    frames = [archive.clip(0)[:7000, 0, 1].astype(float) for archive in (mended, right)]
    assert np.abs(frames[0] - frames[1]).mean() < 0.2 * np.abs(frames[1]).mean()


@pytest.mark.parametrize(
    ("clock", "words"),
    [
        ("watch", "is not STREAM=FACTOR, e.g. watch=1.01"),
        ("ring=1.01", "has no stream 'ring'; it has phone, watch"),
        ("watch=101", "a clock counts 0.5 to 2 seconds in one"),
        ("watch=nan", "a clock counts 0.5 to 2 seconds in one"),
    ],
)
def test_what_is_no_clock_is_refused(tmp_path: Path, clock: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        import_dataset("streams", write(tmp_path / "s.npz", 0.0), tmp_path / "a", clock=(clock,), progress=False)
