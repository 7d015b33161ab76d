"""CSV and TSV tables with declared columns: one clip a file, or many.

A row is one frame of one person. Columns of coordinates follow a pattern such as ``{joint}_{axis}``; the other
columns by options, whose defaults are taken where the table has a column of that name. An empty cell is a joint that
was not seen.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError, MotetNote, MotetWarning
from motet.core.text import pasted
from motet.core.units import METRES, unit_name
from motet.data import layouts
from motet.data.formats import _layout, _time
from motet.data.formats._axes import Up, decide_handedness, decide_up, probed, some_frames
from motet.data.formats._files import find_files, natural_key, stem_of
from motet.data.formats._names import NamePattern, numbered
from motet.data.formats._people import Identities, rejoin
from motet.data.formats._sheet import Sheet
from motet.data.formats._time import TimeUnit, Timing
from motet.data.formats.base import Column, Format, Plan, RawClip, Unit, units_of
from motet.data.skeletons import Skeleton

AXES = ("x", "y", "z")
_META = ("clip", "frame", "time", "person", "label", "subject", "camera", "setup", "repetition")
PATTERNS = (
    *("{joint}_{axis}", "{joint}.{axis}", "{joint} {axis}", "{joint}:{axis}", "{joint}-{axis}", "{axis}_{joint}"),
    *("{joint}{axis}", "{axis}{joint}", "{joint}[{axis}]", "{joint}({axis})"),
)
"""How columns are named where ``{joint}_{axis}`` finds none; the one that finds most counts."""
_SENSOR = re.compile(r"(?i).*(acc|gyr|mag(net)?|grav|imu|angular|linear|rotation).*")
_WHOLE = ("subject", "camera", "setup", "repetition")


@dataclass(frozen=True)
class Options:
    """Options of the ``csv`` format.

    Attributes:
        joints: how coordinate columns are named; ``{joint}`` and ``{axis}`` (x, y or z) stand for what varies. Where
            no column is named like the default, other usual forms are tried (``hip.x``, ``x_hip``, ``hipX`` …).
        confidence: the same for confidences, e.g. ``{joint}_score``; none by default.
        skeleton: built-in layout or TOML file; by default the built-in one with exactly the joints of the table, else
            its joints as points without bones.
        clip: column that tells the clips of a file apart; without it a file is one clip.
        frame: column with the number of the frame; numbers that are missing are absent frames.
        time: column with stamps (seconds, ms, µs, ns, ISO 8601 or times of day), for the frame rate, and for the
            order where there is no frame number.
        person: column that tells the persons of a frame apart.
        label: column with the class, number or text.
        subject, camera, setup, repetition: columns with whole numbers, or with names; names are numbered (by their
            digits, else in their order) and kept in a column ``subject_name`` and so on.
        columns: further columns to keep, as text.
        separator: between cells; ``auto`` is what the header has.
        decimal: of numbers, ``.`` or ``,``.
        time_unit: of the stamps; ``auto`` reads it from the column's name or its values.
        fps: frames per second; recordings whose stamps say another rate are resampled (linear).
        up: axis that points up in three dimensions; ``auto`` sees it in the recordings, and takes the layout's where
            it cannot.
        right_handed: whether three axes form a right-handed frame; None likewise.
        unit: ``m``, ``cm``, ``mm`` or ``inch`` are stored in metres, anything else as it is.
        identities: of people: as the table has them (``given``), or ``joined`` where one begins where another ended.
        pattern: regular expression on the path below the source with groups label, subject … (as columns that the
            table does not have).
        licence: terms of the recordings.
    """

    joints: str = "{joint}_{axis}"
    confidence: str | None = None
    skeleton: str | None = None
    clip: str = "clip"
    frame: str = "frame"
    time: str = "time"
    person: str = "person"
    label: str = "label"
    subject: str = "subject"
    camera: str = "camera"
    setup: str = "setup"
    repetition: str = "repetition"
    columns: tuple[str, ...] = ()
    separator: str = "auto"
    decimal: str = "."
    time_unit: TimeUnit = "auto"
    fps: float | None = None
    up: Up = "auto"
    right_handed: bool | None = None
    unit: str = "m"
    identities: Identities = "given"
    pattern: str | None = None
    licence: str = "unknown"


_DEFAULTS = {f.name: f.default for f in fields(Options)}
_USUAL = {meaning: re.compile(f"(?i){meaning}") for meaning in _META} | {
    "frame": re.compile(r"(?i)frames?([ _]?(num(ber)?|no|nr|id|idx|index))?|fnum"),
    "time": re.compile(
        r"(?i)(time[ _]?(stamps?)?|t|seconds|sec|(seconds|time)[ _]elapsed|elapsed([ _]time)?)\W*(\b|_)"
        r"([mun]?s|\w*sec(onds)?)?\W*"
    ),
    "person": re.compile(r"(?i)(person|track)([ _]?(id|idx|index))?"),
}
"""How columns that no option names are called as a rule, where exactly one is."""


@dataclass(frozen=True)
class Coordinates:
    """Coordinate columns of a table: ``columns[joint][axis]`` for the joints of the layout and the axes it has."""

    skeleton: Skeleton
    axes: tuple[str, ...]
    columns: tuple[tuple[str, ...], ...]

    @property
    def held(self) -> str:
        """Layout and axes in words."""
        return f"{', '.join(self.axes)} of {self.skeleton.name!r}"


def find_coordinates(sheet: Sheet, options: Options) -> Coordinates:
    """Match the header to a layout.

    Raises:
        ConfigError: a pattern without ``{joint}``.
        DataError: no coordinate columns, a joint without one of the axes, or joints of no layout.
    """
    if options.joints.count("{joint}") != 1 or options.joints.count("{axis}") != 1:
        raise ConfigError(f"--joints is {pasted(options.joints)}; it must hold {{joint}} and {{axis}} once each")
    declared = _declared(sheet, options).values()
    named = [name for name in sheet.header if name not in declared]
    found = _matched(named, options.joints)
    if not found and options.joints == _DEFAULTS["joints"]:
        found = max((_matched(named, p) for p in PATTERNS), key=len)
    if not found:
        raise DataError(
            f"{sheet.path}, line 1: no column looks like {pasted(options.joints)}; say how they are named with --joints"
        )
    found = _layout.by_number(found)
    skeleton = _layout_of(sheet, found, options)
    by_joint = [
        _of_joint(found, joint, canon) for joint, canon in zip(skeleton.joints, skeleton.canonical, strict=True)
    ]
    absent = [j for j, columns in zip(skeleton.joints, by_joint, strict=True) if columns is None]
    if absent:
        raise DataError(f"{sheet.path}, line 1: no columns for {', '.join(absent)} of the layout {skeleton.name!r}")
    axes = tuple(a for a in AXES if any(a in c for c in by_joint if c))
    for joint, columns in zip(skeleton.joints, by_joint, strict=True):
        missing = [a for a in axes if a not in (columns or {})]
        if missing:
            raise DataError(f"{sheet.path}, line 1: joint {joint} has no column for {missing[0]}")
    return Coordinates(skeleton, axes, tuple(tuple((c or {})[a] for a in axes) for c in by_joint))


def _of_joint(found: Mapping[str, dict[str, str]], joint: str, canonical: str) -> dict[str, str] | None:
    return found.get(joint) or found.get(canonical)


def _matched(named: Sequence[str], pattern: str) -> dict[str, dict[str, str]]:
    """Columns by joint and axis; joints of a single axis are none if others have more."""
    form = re.escape(pattern).replace(r"\{joint\}", "(?P<joint>.+?)").replace(r"\{axis\}", "(?P<axis>[xyzXYZ])")
    found: dict[str, dict[str, str]] = {}
    for name in named:
        match = re.fullmatch(form, name)
        if match:
            found.setdefault(match["joint"].strip(), {}).setdefault(match["axis"].lower(), name)
    return found


def _layout_of(sheet: Sheet, found: dict[str, dict[str, str]], options: Options) -> Skeleton:
    """The layout asked for, a built-in one, or one of the table's own joints; what is left out of that is noted."""
    flat = options.unit == "px" or not any("z" in axes for axes in found.values())
    if options.skeleton is None and all(_SENSOR.fullmatch(joint) for joint in found):
        _layout.check_joints(len(found), f"{sheet.path}, line 1")
        return layouts.build(f"sensor-{len(found)}", list(found), [-1] * len(found), up=None, kind="sensor")
    axes = Counter("".join(sorted(a)) for a in found.values()).most_common(1)[0][0]
    partial = [joint for joint, columns in found.items() if "".join(sorted(columns)) != axes]
    whole = [joint for joint in found if joint not in set(partial)]
    if partial and len(axes) > 1 and not set(partial) <= _known_joints():
        listed = ", ".join(partial[:5]) + (" …" if len(partial) > 5 else "")
        warnings.warn(f"{sheet.path}: {listed} have other axes than {axes} and are left out", MotetNote, stacklevel=4)
    else:
        whole = list(found)
    return _layout.of_names(
        whole, f"{sheet.path}, line 1", skeleton=options.skeleton, up="-y" if flat else "+y", prefix="table"
    )


@cache
def _known_joints() -> frozenset[str]:
    known = [layouts.get(name) for name in layouts.names()]
    return frozenset(n for skeleton in known for n in (*skeleton.joints, *skeleton.canonical))


def _declared(sheet: Sheet, options: Options) -> dict[str, str]:
    """Columns that are not coordinates: what they mean → their name.

    Raises:
        DataError: a column that an option names is not there.
    """
    found = {}
    for meaning in _META:
        name = getattr(options, meaning)
        same = [name] if name != _DEFAULTS[meaning] else [n for n in sheet.header if _USUAL[meaning].fullmatch(n)]
        if name in sheet.header or (len(same) == 1 and same[0] in sheet.header):
            found[meaning] = name if name in sheet.header else same[0]
        elif name and name != _DEFAULTS[meaning]:
            raise DataError(f"{sheet.path}, line 1: there is no column {name!r}, which --{meaning} names")
    for name in options.columns:
        if name not in sheet.header:
            raise DataError(f"{sheet.path}, line 1: there is no column {name!r}, which --columns names")
    return found


def _sheet(path: Path, options: Options) -> Sheet:
    return Sheet(path, options.separator, options.decimal)


def _groups(sheet: Sheet, declared: Mapping[str, str]) -> dict[str, npt.NDArray[np.int64]]:
    """Rows of every clip, in order of first appearance; the key is empty for the only clip of a file."""
    if "clip" not in declared:
        return {"": np.arange(len(sheet.lines))}
    groups: dict[str, list[int]] = {}
    for row, key in enumerate(sheet.texts(declared["clip"])):
        if not key:
            raise DataError(f"{sheet.path}, line {sheet.lines[row]}: column {declared['clip']} is empty")
        groups.setdefault(key, []).append(row)
    return {key: np.array(rows) for key, rows in groups.items()}


def discover(source: Path, options: Options) -> Plan:
    files = find_files(source, r"(?i).+\.(csv|tsv|txt)", what="tables (*.csv, *.tsv)")
    units = units_of(files, source)
    names = NamePattern(options.pattern, [u.name for u in units])
    seen = _Seen(options)
    for unit in units:
        seen.look(unit)
    first = seen.coordinates
    if first is None:
        raise seen.reason or DataError(f"{source} holds no tables")
    labels = seen.labels | set(names.class_names)
    class_names = tuple(sorted(labels, key=natural_key))
    skeleton = first.skeleton
    if len(first.axes) == 3 and skeleton.kind != "sensor":
        clips = {}
        for unit in probed(seen.readable):
            with contextlib.suppress(DataError):  # for *read* to complain of
                clips[unit.name] = seen.probe(unit)
        up = decide_up(clips, skeleton, asked=options.up)
        handed = decide_handedness(clips, skeleton, options.right_handed)
        skeleton = dataclasses.replace(skeleton, up=up, right_handed=handed)
    fps = _time.one_rate(seen.timings, options.fps)
    common = {
        "classes": class_names,
        "names": names.class_names,
        "held": first.held,
        "numbers": {meaning: _names_of(found) for meaning, found in seen.texts.items()},
        "fps": fps,
    }
    return Plan(
        units=[Unit(u.name, u.path, {**common, "columns": names.columns(u.name)}) for u in units],
        skeleton=skeleton,
        persons=seen.persons,
        fps=fps,
        measure="m" if unit_name(options.unit) in METRES else options.unit,
        channels=first.axes,
        class_names=class_names,
        licence=options.licence,
        confidence=options.confidence is not None,
    )


def _names_of(texts: set[str]) -> dict[str, int | None] | None:
    """A number for each name; None where the texts are numbers, or some of them are."""
    for text in texts:
        with contextlib.suppress(ValueError):
            float(text or "name")
            return None
    return numbered(texts)


class _Seen:
    """What the tables of a source hold, file by file; *read* will complain of those that cannot be read."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.coordinates: Coordinates | None = None
        self.reason: DataError | None = None
        self.persons = 1
        self.labels: set[str] = set()
        self.texts: dict[str, set[str]] = {}
        self.timings: list[tuple[str, Timing]] = []
        self.readable: list[Unit] = []

    def look(self, unit: Unit) -> None:
        quiet = self.coordinates is not None  # what is noted of the first file holds for all
        try:
            with warnings.catch_warnings():
                if quiet:
                    warnings.simplefilter("ignore", MotetWarning)
                sheet = _sheet(unit.path, self.options)
                coordinates, declared = find_coordinates(sheet, self.options), _declared(sheet, self.options)
                groups = _groups(sheet, declared)
                if quiet and self.coordinates is not None and coordinates.held != self.coordinates.held:
                    return
                times = _times(sheet, declared, self.options)
                self.timings += [
                    (f"{unit.name} ({key})" if key else unit.name, _timing(sheet, rows, declared, times))
                    for key, rows in groups.items()
                ]
        except DataError as error:
            self.reason = self.reason or error
            return
        self.coordinates = self.coordinates or coordinates
        self.readable.append(unit)
        if "person" in declared:
            people = np.array(sheet.texts(declared["person"]))
            self.persons = max(self.persons, *(len(set(people[rows].tolist())) for rows in groups.values()))
        for meaning in set(_WHOLE) & set(declared):
            self.texts.setdefault(meaning, set()).update(sheet.texts(declared[meaning]))
        if "label" in declared:
            self.labels |= {text for text in sheet.texts(declared["label"]) if text}

    def probe(self, unit: Unit) -> npt.NDArray[np.floating[Any]]:
        """(rows, V, C) some rows of a file."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MotetWarning)
            sheet = _sheet(unit.path, self.options)
            return some_frames(_values(sheet, find_coordinates(sheet, self.options), self.options))


def _values(sheet: Sheet, coordinates: Coordinates, options: Options) -> npt.NDArray[np.float64]:
    """(rows, V, C) coordinates; a joint is there with all of them or not at all."""
    values = sheet.numbers([c for joint in coordinates.columns for c in joint])
    values = values.reshape(len(values), -1, len(coordinates.axes)) * METRES.get(unit_name(options.unit), 1.0)
    values[np.isnan(values).any(axis=2)] = 0
    return values


def read(unit: Unit, options: Options) -> list[RawClip]:
    sheet = _sheet(unit.path, options)
    coordinates, declared = find_coordinates(sheet, options), _declared(sheet, options)
    if coordinates.held != unit.detail["held"]:
        raise DataError(
            f"{unit.path} holds {coordinates.held}, the files before it {unit.detail['held']}, and an archive has one "
            "layout"
        )
    values = _values(sheet, coordinates, options)
    certain = _confidences(sheet, coordinates, options)
    person = sheet.texts(declared["person"]) if "person" in declared else [""] * len(values)
    times = _times(sheet, declared, options)
    columns = _clip_columns(sheet, declared, options, unit)
    stem = stem_of(unit.name)
    clips = []
    for key, rows in _groups(sheet, declared).items():
        slots = {p: i for i, p in enumerate(dict.fromkeys(person[r] for r in rows.tolist()))}
        timing = _timing(sheet, rows, declared, times)
        place = _places(sheet, rows, timing, [slots[person[r]] for r in rows.tolist()], len(slots), declared)
        frames = np.zeros((timing.count, len(slots), *values.shape[1:]), dtype=np.float32)
        flat = frames.reshape(-1, *values.shape[1:])
        with np.errstate(over="ignore"):
            flat[place] = values[rows]
        confidence = None
        if certain is not None:
            confidence = np.zeros(frames.shape[:3], dtype=np.float32)
            confidence.reshape(-1, confidence.shape[2])[place] = certain[rows]
        rejoin(frames, confidence, options.identities, f"{unit.name} {key}".strip())
        frames, confidence = _time.brought(frames, confidence, timing.fps, options.fps)
        clips.append(RawClip(f"{stem}/{key}" if key else stem, frames, confidence, columns(rows)))
    return clips


def _confidences(sheet: Sheet, coordinates: Coordinates, options: Options) -> npt.NDArray[np.float64] | None:
    if options.confidence is None:
        return None
    if options.confidence.count("{joint}") != 1:
        raise ConfigError(f"option confidence is {options.confidence!r}; it must hold {{joint}} once")
    columns = []
    for joint, canonical in zip(coordinates.skeleton.joints, coordinates.skeleton.canonical, strict=True):
        named = [options.confidence.replace("{joint}", n) for n in (joint, canonical)]
        column = next((n for n in named if n in sheet.header), None)
        if column is None:
            raise DataError(f"{sheet.path}, line 1: there is no column {named[0]!r}, which --confidence asks for")
        columns.append(column)
    return np.nan_to_num(sheet.numbers(columns))


def _times(sheet: Sheet, declared: Mapping[str, str], options: Options) -> npt.NDArray[np.float64] | None:
    """(rows,) seconds; None where the table has no stamps, or numbers of frames in their place."""
    if "time" not in declared:
        return None
    texts = sheet.texts(declared["time"])
    column = declared["time"]
    if "" in texts:
        raise DataError(f"{sheet.path}, line {sheet.lines[texts.index('')]}: column {column} is empty")
    if options.decimal == ",":
        texts = [t.replace(",", ".") for t in texts]
    coarse = not {"clip", "person"} & set(declared) and len(set(texts)) <= len(texts) / 2
    if options.time_unit == "auto" and not coarse:
        with contextlib.suppress(ValueError):
            if _time.counts_frames(np.array([float(t) for t in texts])):
                return None  # _timing takes it for numbers
    return _time.seconds(texts, column, sheet.path, options.time_unit)


def _timing(
    sheet: Sheet, rows: npt.NDArray[np.int64], declared: Mapping[str, str], times: npt.NDArray[np.float64] | None
) -> Timing:
    """Rate and places of the rows of a clip: by number, else by stamp, else in their order."""
    stamps = None if times is None else times[rows] if "person" in declared else _time.apart(times[rows])
    numbers = declared.get("frame", declared.get("time") if times is None else None)
    if numbers is None:
        if stamps is None and "person" in declared:
            raise DataError(f"{sheet.path}: with a column for persons, one for the frame or the time is needed")
        return Timing(None, np.arange(len(rows)), len(rows)) if stamps is None else _time.of_stamps(stamps, sheet.path)
    values = sheet.numbers([numbers])[:, 0]
    empty = np.flatnonzero(np.isnan(values))
    if len(empty):
        raise DataError(f"{sheet.path}, line {sheet.lines[int(empty[0])]}: column {numbers} is empty")
    return _time.of_both(values[rows], stamps, sheet.path)


def _places(
    sheet: Sheet,
    rows: npt.NDArray[np.int64],
    timing: Timing,
    slots: Sequence[int],
    persons: int,
    declared: Mapping[str, str],
) -> npt.NDArray[np.int64]:
    """Where each row of a clip goes among frames × persons."""
    place = timing.place * persons + np.array(slots)
    _, first, again = np.unique(place, return_index=True, return_counts=True)
    if (again > 1).any():
        twice = np.setdiff1d(np.arange(len(place)), first)[0]
        known = " and ".join(declared[m] for m in ("frame", "time", "person") if m in declared)
        line = sheet.lines[int(rows[twice])]
        raise DataError(f"{sheet.path}, line {line}: a second row with the same {known}")
    return np.asarray(place, dtype=np.int64)


def _clip_columns(sheet: Sheet, declared: Mapping[str, str], options: Options, unit: Unit) -> Any:
    """Function from the rows of a clip to its columns; what the table says goes before the file's name."""
    classes: Sequence[str] = unit.detail["classes"]
    outer = dict(unit.detail["columns"])
    if outer.get("label") is not None:
        outer["label"] = classes.index(unit.detail["names"][outer["label"]])
    held: dict[str, tuple[str, Sequence[Column]]] = {}
    if "label" in declared:
        texts = sheet.texts(declared["label"])
        held["label"] = declared["label"], [classes.index(t) if t else None for t in texts]
    for meaning in _WHOLE:
        if meaning in declared:
            numbers = unit.detail["numbers"].get(meaning)
            held[meaning] = declared[meaning], sheet.whole(declared[meaning], numbers)
            if numbers is not None:
                held[f"{meaning}_name"] = declared[meaning], [t or None for t in sheet.texts(declared[meaning])]
    for name in options.columns:
        held[name] = name, [t or None for t in sheet.texts(name)]

    def columns(rows: npt.NDArray[np.int64]) -> dict[str, Column]:
        found = dict(outer)
        for meaning, (column, cells) in held.items():
            value = cells[int(rows[0])]
            for row in rows.tolist():
                if cells[row] != value:
                    raise DataError(
                        f"{sheet.path}, line {sheet.lines[row]}, column {column}: it changes within a clip; tell the "
                        "clips apart with --clip"
                    )
            found[meaning] = value
        return found

    return columns


FORMAT = Format(description="CSV or TSV tables with declared columns", options=Options, discover=discover, read=read)
