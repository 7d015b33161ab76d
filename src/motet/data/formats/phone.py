"""Inertial recordings: logs of phones (Sensor Logger, phyphox), WISDM, PAMAP2 and UCI-HAR.

* a folder with ``Accelerometer.csv`` and ``Gyroscope.csv`` of Sensor Logger or phyphox is a clip: stamps and x, y, z,
  each sensor on its own clock; of several accelerations ``TotalAcceleration.csv``, in which gravity is;
* ``*_raw.txt`` of WISDM: ``user,activity,time,x,y,z;`` lines of an accelerometer at 20 Hz; a clip is an uninterrupted
  stretch of one user and activity;
* ``subject*.dat`` of PAMAP2: 54 columns at 100 Hz; a clip is a stretch of one activity, of the hand, chest or ankle;
* ``total_acc_x_SIDE.txt`` and so on of UCI-HAR (folder ``Inertial Signals``): windows of 128 samples at 50 Hz; without
  these ``body_acc_…``, from which gravity was taken.

Acceleration and angular rate are the two nodes of the layout ``imu-2``, in the units of the data set or of the columns.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError, MotetNote
from motet.core.text import counted
from motet.core.units import AS_RECORDED
from motet.data import layouts
from motet.data.formats import _time
from motet.data.formats._files import bare, files_in, find_files, natural_key, next_to, read_table, read_text, stem_of
from motet.data.formats._names import NamePattern, numbered
from motet.data.formats._sensors import join_nodes, stated_unit
from motet.data.formats._sheet import Sheet
from motet.data.formats._table import without_unit
from motet.data.formats.base import Column, Format, Plan, RawClip, Unit

Array = npt.NDArray[np.float64]
_ACCELERATION = re.compile(r"(?i)(total)?_?acc(elerometer|eleration)?(uncalibrated)?\.csv|raw data\.csv")
_WISDM = re.compile(r"(?i)(wisdm.*raw.*|.*_raw)\.txt|data_\d+_(accel|gyro)_(phone|watch)\.txt")
_PAMAP = re.compile(r"(?i)subject(\d+)\.dat")
_UCI = re.compile(r"(?i)(body|total)_acc_x_(train|test)\.txt")
PAMAP_PLACES = {"hand": 4, "chest": 21, "ankle": 38}
PAMAP_ACTIVITIES = {
    **{1: "lying", 2: "sitting", 3: "standing", 4: "walking", 5: "running", 6: "cycling", 7: "Nordic walking"},
    **{9: "watching TV", 10: "computer work", 11: "car driving", 12: "ascending stairs", 13: "descending stairs"},
    **{16: "vacuum cleaning", 17: "ironing", 18: "folding laundry", 19: "house cleaning", 20: "playing soccer"},
    24: "rope jumping",
}
UCI_ACTIVITIES = ("walking", "walking upstairs", "walking downstairs", "sitting", "standing", "laying")
UNITS = {"wisdm": "m/s^2, rad/s", "pamap2": "m/s^2, rad/s", "uci-har": "g, rad/s"}
RATES = {"wisdm": 20.0, "pamap2": 100.0, "uci-har": 50.0}
SAME = 0.25  # relative difference of a rate by stamps from the one of the data set
_FILES = r"(?i).*\.(csv|txt|dat)"


@dataclass(frozen=True)
class Options:
    """Options of the ``phone`` format.

    Attributes:
        fps: samples per second to which logs with stamps are brought; by default that of the fastest sensor.
        place: sensor of PAMAP2 that is read.
        unit: of acceleration and angular rate, such as ``g, deg/s``; by default that of the data set, or of the columns
            of logs.
        pattern: regular expression on the path, with groups ``label``, ``subject`` and so on (logs of phones).
        licence: terms of the recordings.
    """

    fps: float | None = None
    place: Literal["hand", "chest", "ankle"] = "hand"
    unit: str | None = None
    pattern: str | None = None
    licence: str = "unknown"


def _kind(name: str) -> str | None:
    forms = {"log": _ACCELERATION, "wisdm": _WISDM, "pamap2": _PAMAP, "uci-har": _UCI}
    return next((kind for kind, form in forms.items() if form.fullmatch(name)), None)


def _first_choice(files: Sequence[Path]) -> list[Path]:
    """Of each folder the acceleration that has gravity in it, if several are there."""
    chosen: dict[Path, Path] = {}
    for path in sorted(files, key=lambda p: (not p.name.lower().startswith("total"), "uncal" in p.name.lower())):
        chosen.setdefault(path.parent, path)
    return [path for path in files if chosen[path.parent] == path]


def _unit(said: Sequence[set[str | None]], source: Path) -> str:
    """What the columns of all logs of accelerations and of all of turns say, as recorded where some say nothing.

    Raises:
        DataError: logs of different units.
    """
    several = next((own - {None} for own in said if len(own - {None}) > 1), None)
    if several:
        units = ", ".join(sorted(map(str, several)))
        raise DataError(f"{source} holds logs in several units ({units}), and an archive has one; import them apart")
    if any(None in own for own in said):
        return AS_RECORDED
    return ", ".join(dict.fromkeys(str(unit) for own in said for unit in own)) or AS_RECORDED


def _axes(sheet: Sheet) -> list[str]:
    """Columns of x, y and z, as many as there are."""
    found = (next((n for n in sheet.header if re.search(rf"(?i)(^|[^a-z]){a}($|[^a-z])", n)), None) for a in "xyz")
    return [name for name in found if name is not None]


def _samples(path: Path) -> tuple[Array, Array, str | None]:
    """Seconds and (n, 3) readings of one sensor's log, and the unit that its columns name."""
    sheet = Sheet(path)
    time = next((n for n in sheet.header if re.match(r"(?i)(seconds_elapsed|time|timestamp|t\b)", n)), None)
    if "seconds_elapsed" in sheet.header:
        time = "seconds_elapsed"
    axes = _axes(sheet)
    if time is None or len(axes) < 3:
        raise DataError(
            f"{path}, line 1: columns of a time and of x, y, z are due; it has {', '.join(sheet.header[:8])}"
        )
    times = _time.seconds(sheet.texts(time), time, path)
    values = sheet.numbers(axes)
    there = np.isfinite(times) & np.isfinite(values).all(axis=1)
    order = np.argsort(times[there], kind="stable")
    units = {without_unit(name)[1] for name in axes}
    return times[there][order], values[there][order], units.pop() if len(units) == 1 else None


def _log(unit: Unit, options: Options) -> Iterator[RawClip]:
    nodes = [unit.path, unit.detail["gyroscope"]]
    samples = [(np.zeros(0), np.zeros((0, 3))) if p is None else _samples(p)[:2] for p in nodes]
    if not len(samples[0][0]):
        raise DataError(f"{unit.path}: it has no samples")
    for path, (times, _) in zip(nodes, samples, strict=True):
        if len(times):
            _time.of_stamps(times, path)  # refuses what no recording lasts
    frames = join_nodes([t for t, _ in samples], [v for _, v in samples], unit.detail["fps"], pauses=True)
    yield RawClip(unit.name, frames, columns=unit.detail["columns"])


def _stretches(keys: Sequence[object]) -> Iterator[tuple[int, int]]:
    start = 0
    for i in range(1, len(keys) + 1):
        if i == len(keys) or keys[i] != keys[start]:
            yield start, i
            start = i


def _placed(times: Array, frames: Array, rate: float, path: Path) -> Array:
    """The same with absent samples in pauses, where the stamps rise at the rate of the recordings."""
    if len(times) < 3 or not np.isfinite(times).all() or (np.diff(times) < 0).any():
        return frames
    try:
        timing = _time.of_order(times, path)
    except DataError:
        return frames
    return _time.spread(timing, frames) if abs((timing.fps or 0) - rate) < SAME * rate else frames


def _wisdm_rows(path: Path) -> tuple[list[tuple[str, str]], Array, Array]:
    """(user, activity) of each sample, its time, and (n, 3) readings; without lines that are cut short."""
    keys, values = [], []
    for line in re.split(r"[;\n]", read_text(path)):
        cells = [c.strip() for c in line.strip().rstrip(",").split(",")]
        if len(cells) != 6:
            continue
        try:
            found = [float(c) for c in cells[2:]]
        except ValueError:
            continue
        if np.isfinite(found).all():
            keys.append((cells[0], cells[1]))
            values.append(found)
    if not keys:
        raise DataError(f"{path}: no line is user,activity,time,x,y,z")
    table = np.array(values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MotetNote)  # of its versions, each has another unit
        return keys, _time.in_seconds(table[:, 0], "the third column", path), table[:, 1:]


def _wisdm(unit: Unit, options: Options) -> Iterator[RawClip]:
    keys, times, values = _wisdm_rows(unit.path)
    classes: Sequence[str] = unit.detail["classes"]
    node = int("_gyro_" in unit.path.name.lower())  # of the layout imu-2
    for number, (start, end) in enumerate(_stretches(keys)):
        user, activity = keys[start]
        frames = np.zeros((end - start, 2, 3))
        frames[:, node] = values[start:end]
        frames = _placed(times[start:end], frames, RATES["wisdm"], unit.path)
        columns: dict[str, Column] = {"label": classes.index(activity), "repetition": number}
        people = unit.detail["people"]  # by name, or None if all are numbers
        if people is None:
            columns["subject"] = int(user[-9:]) if user else None
        else:
            columns |= {"subject": people.get(user), "subject_name": user or None}
        yield RawClip(f"{bare(unit.path).stem}_{number:05d}", frames, columns=columns)


def _pamap2(unit: Unit, options: Options) -> Iterator[RawClip]:
    rows = []
    for number, line in enumerate(read_text(unit.path).splitlines(), 1):
        cells = line.split()
        if cells and len(cells) != 54:
            raise DataError(
                f"{unit.path}, line {number}: {counted(len(cells), 'number')} where 54 are due (is it cut off?)"
            )
        try:
            rows += [[float(c) for c in cells]] if cells else []
        except ValueError as error:
            raise DataError(f"{unit.path}, line {number}: {error}") from error
    table = np.array(rows).reshape(-1, 54)
    first = PAMAP_PLACES[options.place]  # of the acceleration; the temperature lies before it
    named = _PAMAP.fullmatch(bare(unit.path).name)
    known = list(PAMAP_ACTIVITIES)
    for number, (start, end) in enumerate(_stretches(table[:, 1].tolist())):
        activity = table[start, 1]
        if activity not in known:
            continue  # 0: between two activities
        block = table[start:end, [*range(first, first + 3), *range(first + 6, first + 9)]]
        frames = np.where(np.isfinite(block), block, 0).reshape(-1, 2, 3)
        frames = _placed(table[start:end, 0], frames, RATES["pamap2"], unit.path)
        columns = {
            "label": known.index(int(activity)),
            "subject": int(named[1]) if named else None,
            "repetition": number,
        }
        yield RawClip(f"{stem_of(unit.name)}_{number:03d}", frames, columns=columns)


def _there(folder: Path, name: str) -> Path:
    return next_to(folder, name) or folder / name  # reading it will say that it is missing


def _uci(unit: Unit, options: Options) -> Iterator[RawClip]:
    found = _UCI.fullmatch(bare(unit.path).name)
    kind, side = (found[1].lower(), found[2].lower()) if found else ("body", "train")
    names = [f"{kind}_acc_{a}_{side}.txt" for a in "xyz"] + [f"body_gyro_{a}_{side}.txt" for a in "xyz"]
    tables = [read_table(_there(unit.path.parent, n)) for n in names]
    if len({t.shape for t in tables}) != 1:
        raise DataError(f"{unit.path}: the six signals next to it have different shapes")
    count = len(tables[0])
    top = unit.path.parent.parent
    labels, people = (read_table(_there(top, f"{n}_{side}.txt"), 1)[:, 0].astype(int) for n in ("y", "subject"))
    if len(labels) != count or len(people) != count:
        raise DataError(
            f"{top}: y_{side}.txt and subject_{side}.txt are not for the {counted(count, 'window')} of {unit.path.name}"
        )
    windows = np.stack(tables, axis=-1).reshape(count, -1, 2, 3)
    for i, frames in enumerate(windows):
        if not 1 <= labels[i] <= len(UCI_ACTIVITIES):
            raise DataError(f"{top}/y_{side}.txt, line {i + 1}: {labels[i]} is no activity")
        columns = {"label": int(labels[i]) - 1, "subject": int(people[i]), "split": side}
        yield RawClip(f"{side}_{i:05d}", frames, columns=columns)


_READ = {"log": _log, "wisdm": _wisdm, "pamap2": _pamap2, "uci-har": _uci}


def _log_units(files: Sequence[Path], source: Path, options: Options) -> tuple[list[Unit], tuple[str, ...], float, str]:
    """Clips, classes, rate and unit of logs."""
    names = [p.parent.relative_to(source).as_posix() if p.parent != source else p.parent.name for p in files]
    pattern = NamePattern(options.pattern, names)
    rates, units = [], []
    said: tuple[set[str | None], set[str | None]] = (set(), set())
    for path, name in zip(files, names, strict=True):
        gyroscope = next((p for p in files_in(path.parent) if re.fullmatch(r"(?i)gyro\w*\.csv", bare(p).name)), None)
        units.append(Unit(name, path, {"gyroscope": gyroscope, "columns": pattern.columns(name)}))
        for own, log in zip(said, (path, gyroscope), strict=True):
            if log is None:
                continue
            try:
                times, _, unit = _samples(log)
                rates.append(_time.of_stamps(times, log).fps or 0.0)
                own.add(unit)
            except DataError:
                continue  # *read* will say so
    fps = options.fps or float(np.round(max(rates, default=50.0)))
    if not 0 < fps <= 10_000:
        raise ConfigError(f"a rate of {fps:g} samples a second is not plausible; state one with --fps")
    planned = [Unit(u.name, u.path, {**u.detail, "fps": fps}) for u in units]
    return planned, tuple(pattern.class_names), fps, _unit(said, source)


def discover(source: Path, options: Options) -> Plan:
    files = [
        p for p in find_files(source, _FILES, what="logs of phones, WISDM, PAMAP2 or UCI-HAR") if _kind(bare(p).name)
    ]
    kinds = {_kind(bare(p).name) for p in files}
    if kinds == {"uci-har"} or (kinds == {"uci-har", None}):
        files = [p for p in files if p.name.lower().startswith("total")] or files
    if len(kinds) != 1:
        found = ", ".join(sorted(filter(None, kinds))) or "none"
        raise DataError(f"{source} must hold recordings of one kind (log, wisdm, pamap2 or uci-har); found: {found}")
    kind = kinds.pop() or ""
    skeleton, unit = layouts.get("imu-2"), UNITS.get(kind, AS_RECORDED)
    folder = source if source.is_dir() else source.parent
    classes: tuple[str, ...] = ()
    people: dict[str, int | None] | None = None
    if kind == "log":
        units, classes, fps, unit = _log_units(_first_choice(files), folder, options)
    else:
        fps = RATES[kind]
        if kind == "wisdm":
            seen = {key for p in files for key in _wisdm_rows(p)[0]}
            classes = tuple(sorted({activity for _, activity in seen}, key=natural_key))
            people = numbered(user for user, _ in seen)
        else:
            classes = tuple(PAMAP_ACTIVITIES.values()) if kind == "pamap2" else UCI_ACTIVITIES
        units = [Unit(p.relative_to(folder).as_posix(), p, {"classes": classes, "people": people}) for p in files]
    turns = kind != "log" or any(u.detail["gyroscope"] for u in units)
    stated = stated_unit(options.unit, skeleton.joints, skeleton.joints[: 1 + turns])
    return Plan(
        units=[Unit(u.name, u.path, {**u.detail, "kind": kind}) for u in units],
        skeleton=skeleton,
        fps=fps,
        measure=stated if options.unit else unit,
        class_names=classes,
        licence=options.licence,
        facts={"split": "column:split=train,test" if kind == "uci-har" else "odd-even", "kind": kind},
    )


def read(unit: Unit, options: Options) -> list[RawClip]:
    return list(_READ[unit.detail["kind"]](unit, options))


FORMAT = Format(
    description="phone logs (Sensor Logger, phyphox), WISDM, PAMAP2, UCI-HAR",
    options=Options,
    discover=discover,
    read=read,
)
