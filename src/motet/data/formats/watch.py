"""Exercises worn on a smart watch, as the package seglearn ships them (Burns et al., 2018; BSD 3-clause).

140 recordings of seven shoulder exercises by ten people, on the left or right wrist, at 50 Hz: acceleration and
angular rate. ``SOURCE`` is the word ``seglearn`` (the file is found in the installed package, which is not imported)
or the path of its ``watch_dataset.npy``. The file is a pickle, so it is read by an unpickler that knows nothing but
plain arrays and never runs what a pickle names.
"""

from __future__ import annotations

import importlib.util
import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError
from motet.data import layouts
from motet.data.formats import _pickle
from motet.data.formats._files import read_bytes
from motet.data.formats.base import Format, Plan, RawClip, Unit

FPS = 50.0
LICENCE = "BSD 3-clause (with the package seglearn)"
# what the letters in the file stand for (Burns et al., 2018)
EXERCISES = {
    "PEN": "pendulum",
    "ABD": "abduction",
    "FEL": "forward elevation",
    "IR": "internal rotation",
    "ER": "external rotation",
    "TRAP": "trapezius extension",
    "ROW": "upright row",
}
SIDES = ("left", "right")
_INSIDE = Path("data") / "watch_dataset.npy"
_INSTALL = "pip install seglearn==1.2.5 --no-deps"


@dataclass(frozen=True)
class Options:
    """Options of the ``watch`` format.

    Attributes:
        window: seconds of a clip; 0 keeps every recording whole.
        overlap: share of a window that the next one repeats, 0 ≤ overlap < 1.
    """

    window: float = 4.0
    overlap: float = 0.5


@dataclass(frozen=True)
class Recordings:
    """What the file holds.

    Attributes:
        series: (T, 6) each: acceleration x y z, angular rate x y z.
        exercise: (N,) index into ``names``.
        subject: (N,) number of the person.
        side: (N,) 0 left, 1 right.
        names: exercises.
    """

    series: tuple[npt.NDArray[np.float64], ...]
    exercise: npt.NDArray[np.int64]
    subject: npt.NDArray[np.int64]
    side: npt.NDArray[np.int64]
    names: tuple[str, ...]


def locate(source: Path) -> Path:
    """The file: ``source`` itself, the file in a folder, or the one in the installed package if it is ``seglearn``.

    Raises:
        ConfigError: the package is not installed; says how to.
        DataError: there is no such file.
    """
    if str(source) == "seglearn" and not source.exists():
        found = importlib.util.find_spec("seglearn")
        if found is None or found.origin is None:
            raise ConfigError(f"the package seglearn, which holds the recordings, is not installed; run: {_INSTALL}")
        source = Path(found.origin).parent
    for path in (source, source / _INSIDE, source / _INSIDE.name):
        if path.is_file():
            return path
    raise DataError(f"{source} is not the word seglearn, nor a file or folder with {_INSIDE.name} ({_INSTALL})")


def load(path: Path) -> Recordings:
    """Read ``watch_dataset.npy`` without running anything in it.

    Raises:
        DataError: another file, a damaged one, or one that names anything but arrays.
    """
    return _load(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)  # windows of one recording after the other come from the same file
def _load(path: Path, mtime: int) -> Recordings:
    data = read_bytes(path)
    try:
        stream = io.BytesIO(data)
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ValueError(f"array version {version}")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        if shape != () or dtype != np.dtype(object):
            raise ValueError(f"an array of {dtype} {shape}")
        held = _pickle.load(stream)
        [content] = held.state[4]
        recordings = Recordings(
            series=tuple(_pickle.array(x).astype(np.float64) for x in content["X"]),
            exercise=_pickle.array(content["y"]).astype(np.int64),
            subject=_pickle.array(content["subject"]).astype(np.int64),
            side=_pickle.array(content["side"]).astype(np.int64),
            names=tuple(EXERCISES.get(str(n), str(n)) for n in content["y_labels"]),
        )
        _check(recordings)
    except Exception as error:  # a damaged pickle may raise anything, and nothing here has side effects
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is not the watch data of seglearn 1.2.5 ({error!s:.100}); {_INSTALL}") from error
    return recordings


def _check(found: Recordings) -> None:
    count = len(found.series)
    if not count or any(a.shape != (count,) for a in (found.exercise, found.subject, found.side)):
        raise ValueError("not one exercise, person and side for each recording")
    if any(x.ndim != 2 or x.shape[1] != 6 or not len(x) for x in found.series):
        raise ValueError("a recording does not have six columns")
    if found.exercise.min() < 0 or found.exercise.max() >= len(found.names):
        raise ValueError("an exercise has no name")
    if set(found.side.tolist()) - {0, 1}:
        raise ValueError("a side is neither left nor right")


def windows(length: int, size: int, step: int) -> list[tuple[int, int]]:
    """(start, end) of every window that fits; the whole recording if not even one does or ``size`` is 0."""
    if size == 0 or length < size:
        return [(0, length)]
    return [(start, start + size) for start in range(0, length - size + 1, step)]


def discover(source: Path, options: Options) -> Plan:
    if options.window < 0 or not 0 <= options.overlap < 1:
        raise ConfigError(f"window {options.window} must not be negative and overlap {options.overlap} in [0, 1)")
    if 0 < options.window < 2 / FPS:
        raise ConfigError(f"a window of {options.window} s holds fewer than two samples at {FPS:g} Hz")
    path = locate(source)
    found = load(path)
    return Plan(
        units=[Unit(f"series_{i:03d}", path, i) for i in range(len(found.series))],
        skeleton=layouts.get("imu-2"),
        fps=FPS,
        measure="g, rad/s",
        class_names=found.names,
        licence=LICENCE,
        light=True,
        facts={"split": "odd-even", "window": options.window, "overlap": options.overlap},
    )


def read(unit: Unit, options: Options) -> list[RawClip]:
    found, which = load(unit.path), int(unit.detail)
    series = found.series[which].reshape(-1, 2, 3)
    size = round(options.window * FPS)
    step = max(1, round(size * (1 - options.overlap)))
    return [
        RawClip(
            f"{unit.name}_{start:05d}",
            series[start:end].astype(np.float32),
            columns={
                "label": int(found.exercise[which]),
                "subject": int(found.subject[which]),
                "side": SIDES[int(found.side[which])],
                "repetition": number,
                "series": which,
                "start": start,
            },
        )
        for number, (start, end) in enumerate(windows(len(series), size, step))
    ]


FORMAT = Format(
    description="smart-watch exercises shipped in the package seglearn (SOURCE: seglearn)",
    options=Options,
    discover=discover,
    read=read,
    example="seglearn",
)
