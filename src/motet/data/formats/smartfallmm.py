"""SmartFallMM: daily activities and falls of young and old people, Azure Kinect skeletons and worn sensors.

A trial is ``SssAaaTtt.csv`` (subject, activity, trial) without a header, in a folder for each recorder::

    young/skeleton/S29A08T03.csv                  96 numbers a line: 32 joints × x y z in millimetres, 30 Hz, y down
    young/accelerometer/watch/S29A08T03.csv       time, x, y, z
    young/gyroscope/watch/S29A08T03.csv           likewise; also phone
    young/accelerometer/meta_wrist/S29A08T03.csv  epoch (ms), time, elapsed (s), x, y, z; also meta_hip

Sensors may lie in folders of other names (``watch_gyroscope``), and outside of ``young`` and ``old``.
Sensors keep their own clocks, and neither begin nor end with the skeleton to the sample. Accelerometer and gyroscope of
one device are brought to one rate; a trial that a device did not record lacks it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError, MotetWarning
from motet.core.text import counted
from motet.data import layouts
from motet.data.formats import _time
from motet.data.formats._files import bare, find_files, natural_key, read_text
from motet.data.formats._sensors import join_nodes, note_pauses
from motet.data.formats.base import Format, Plan, RawClip, SensorPlan, Unit

# in the order of the activity numbers, from 1
CLASS_NAMES = (
    "drinking water",
    "pick up object",
    "put on and take off jacket",
    "stepping up",
    "sweeping floor",
    "washing hand",
    "waving hand",
    "TUG test or walking",
    "sit and stand",
    "back fall",
    "front fall",
    "left fall",
    "right fall",
    "rotate fall",
)
LAYOUT = "azure-kinect-32"
NODES = ("accelerometer", "gyroscope")  # of the layout imu-2
DEVICES = ("watch", "phone", "meta_wrist", "meta_hip")
GROUPS = ("young", "old")
_NAME = re.compile(r"(?i)S(\d{2})A(\d{2})T(\d{2})\.csv")
Samples = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Options:
    """Options of the ``smartfallmm`` format.

    Attributes:
        sensor_fps: rate to which each worn sensor is brought (linear interpolation).
    """

    sensor_fps: float = 32.0


def _parts(path: Path) -> list[str]:
    return [re.sub(r"[ -]+", "_", p.lower()) for p in path.parts]


def _recorder(path: Path, source: Path) -> str:
    """``skeleton``, or device and node (``watch/gyroscope``), from the folders below the source, the innermost first.

    Folders are called ``gyroscope/watch``, ``watch/gyro``, ``Watch Gyroscope`` and so on.
    """
    parts = _parts(path.relative_to(source).parent if source.is_dir() else path.parent)[::-1]
    device = next((d for part in parts for d in DEVICES if d in part), None)
    node = next((n for part in parts for n, short in zip(NODES, ("acc", "gyro"), strict=True) if short in part), None)
    return f"{device}/{node}" if device and node else "skeleton"


def _group(path: Path) -> str | None:
    return next((g for part in reversed(_parts(path.parent)) for g in GROUPS if part.startswith(g)), None)


def _key(path: Path) -> str:
    """What the files of one trial share."""
    return bare(path).stem.upper()


def discover(source: Path, options: Options) -> Plan:
    if not 0 < options.sensor_fps <= 10_000:
        raise ConfigError(f"sensor_fps is {options.sensor_fps}; it must be positive")
    files = find_files(source, _NAME.pattern, what="SmartFallMM files (SssAaaTtt.csv)")
    worn: dict[tuple[str | None, str], dict[str, Path]] = {}
    skeletons = []
    for path in files:
        recorder = _recorder(path, source)
        if recorder == "skeleton":
            skeletons.append(path)
        else:
            worn.setdefault((_group(path), _key(path)), {})[recorder] = path
    if not skeletons:
        raise DataError(f"{source} holds no skeletons of SmartFallMM (folder skeleton); give the folder above")
    skeletons.sort(key=lambda p: (_group(p) or "", natural_key(p.name)))
    devices = sorted({r.split("/")[0] for found in worn.values() for r in found}, key=DEVICES.index)
    names = [p.name if p == source else p.relative_to(source).as_posix() for p in skeletons]
    return Plan(
        units=[
            Unit(name, path, worn.get((None, _key(path)), {}) | worn.get((_group(path), _key(path)), {}))
            for name, path in zip(names, skeletons, strict=True)
        ],
        skeleton=layouts.get(LAYOUT),
        fps=30.0,
        class_names=CLASS_NAMES,
        licence="none stated by the authors",
        facts={"split": "odd-even"},
        sensors={d: SensorPlan(layouts.get("imu-2"), options.sensor_fps, "as recorded") for d in devices},
    )


def _seconds(text: str) -> float:
    """Seconds of a clock reading: a number, a time of day, or a date with time."""
    try:
        return float(text)
    except ValueError:
        pass
    clock = re.fullmatch(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:\.\d+)?)", text.strip())
    if clock:
        return int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + float(clock[3])
    return datetime.fromisoformat(text.strip()).timestamp()


def _holds_numbers(cells: Sequence[str]) -> bool:
    """Whether the readings at the end of a line are numbers."""
    try:
        return len(cells) >= 4 and all(np.isfinite(float(c)) for c in cells[-3:])
    except ValueError:
        return False


def read_samples(path: Path) -> Samples:
    """(seconds (T',), readings (T', 3)) of one sensor of one trial.

    Raises:
        DataError: names the first line with another number of columns, or text that is neither time nor number.
    """
    times: list[float] = []
    values: list[list[float]] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        cells = [c.strip() for c in line.split(",")]
        if not any(cells):
            continue
        if not times and not _holds_numbers(cells):
            continue  # a header, or what an application wrote before the samples
        if len(cells) not in (4, 6):
            raise DataError(
                f"{path}, line {number}: {counted(len(cells), 'column')}; time, x, y, z or six of a meta sensor are due"
            )
        try:
            times.append(_seconds(cells[2] if len(cells) == 6 else cells[0]))
            values.append([float(c) for c in cells[-3:]])
        except (ValueError, OverflowError) as error:
            raise DataError(f"{path}, line {number}: {error!s:.80}") from error
    if not times:
        raise DataError(f"{path}: it has no line of time, x, y, z")
    moments, readings = np.array(times), np.array(values).reshape(-1, 3)
    if not (np.isfinite(moments).all() and np.isfinite(readings).all()):
        raise DataError(f"{path}: a time or reading is NaN or infinite")
    return _time.in_seconds(moments, "the first column", path), readings


def _skeleton_rows(path: Path, columns: int) -> npt.NDArray[np.float64]:
    """(frames, columns) numbers, without header lines before them.

    Raises:
        DataError: names the first line that is not as the others.
    """
    rows: list[list[float]] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        cells = line.split(",")
        if not line.strip() or (not rows and not _holds_numbers(cells)):
            continue
        if len(cells) != columns:
            raise DataError(
                f"{path}, line {number}: {counted(len(cells), 'number')} where {columns} are due (is it cut off?)"
            )
        try:
            rows.append([float(c) for c in cells])
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}") from error
        if not np.isfinite(rows[-1]).all():
            raise DataError(f"{path}, line {number}: a number is NaN or infinite")
    if not rows:
        raise DataError(f"{path}: it has no line of numbers")
    return np.array(rows)


def _samples_or_none(path: Path, empty: Samples) -> Samples:
    """Samples of a file; none where it is broken, which is said and does not cost the skeleton."""
    try:
        return read_samples(path)
    except DataError as error:
        warnings.warn(f"{error}; the sensor is left out of this clip", MotetWarning, stacklevel=2)
        return empty


def _worn(files: Mapping[str, Path], options: Options) -> dict[str, npt.NDArray[np.float32]]:
    sensors = {}
    for device in DEVICES:
        nodes = [files.get(f"{device}/{node}") for node in NODES]
        if any(nodes):
            empty = np.zeros(0), np.zeros((0, 3))
            samples = [empty if path is None else _samples_or_none(path, empty) for path in nodes]
            for path, (times, _) in zip(nodes, samples, strict=True):
                note_pauses(f"{path}", [times])
            sensors[device] = join_nodes([t for t, _ in samples], [v for _, v in samples], options.sensor_fps)
    return sensors


def read(unit: Unit, options: Options) -> list[RawClip]:
    path = unit.path
    found = _NAME.fullmatch(bare(path).name)
    if found is None or not 1 <= int(found[2]) <= len(CLASS_NAMES):
        raise DataError(f"{path}: the name is not SssAaaTtt.csv with an activity of 1..{len(CLASS_NAMES)}")
    subject, activity, trial = (int(g) for g in found.groups())
    joints = len(layouts.get(LAYOUT))
    frames = _skeleton_rows(path, 3 * joints).reshape(-1, joints, 3) / 1000
    group = _group(path)
    columns = {"label": activity - 1, "subject": subject, "repetition": trial, "group": group}
    name = f"{group}/{bare(path).stem}" if group else bare(path).stem
    return [RawClip(name, frames, columns=columns, sensors=_worn(unit.detail, options))]


FORMAT = Format(
    description="SmartFallMM: skeletons and worn sensors (.csv)", options=Options, discover=discover, read=read
)
