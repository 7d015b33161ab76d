"""CSV and TSV tables with declared columns: one clip a file, or many.

A row is one frame of one person. Columns of coordinates follow a pattern such as ``{joint}_{axis}``; the other
columns by options, whose defaults are taken where the table has a column of that name. An empty cell is a joint that
was not seen.
"""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError, MotetNote, MotetWarning
from motet.core.text import first_of, pasted
from motet.core.units import AS_RECORDED, METRES, PICTURE, unit_name
from motet.data.formats import _labels, _time, optical
from motet.data.formats._axes import decide_handedness, decide_up, probed, some_frames, up_in_pictures
from motet.data.formats._files import find_files, natural_key, read_text, stem_of
from motet.data.formats._names import NamePattern, numbered
from motet.data.formats._people import rejoin
from motet.data.formats._sensors import stated_unit, usual_units
from motet.data.formats._sheet import Sheet, without_fills
from motet.data.formats._table import (
    WHOLE,
    Coordinates,
    Options,
    declared_columns,
    described,
    filled,
    find_coordinates,
    grouped_rows,
    used_columns,
)
from motet.data.formats._time import Timing
from motet.data.formats.base import Column, Format, Plan, RawClip, Unit, units_of
from motet.data.skeletons import Skeleton

_APART = {"person": "people", "clip": "clips"}
_FEW = 4  # people in a frame


def _sheet(path: Path, options: Options) -> Sheet:
    try:
        return Sheet(path, options.separator, options.decimal)
    except DataError as error:
        if path.is_file() and (program := optical.program(read_text(path).splitlines())):
            raise DataError(f"{path} is a table of {program}: import it as optical") from error
        raise


def discover(source: Path, options: Options) -> Plan:
    files = find_files(source, r"(?i).+\.(csv|tsv|txt)", what="tables (*.csv, *.tsv)")
    units = units_of(files, source)
    names = NamePattern(options.pattern, [u.name for u in units])
    seen = _Seen(options)
    for unit in units:
        seen.look(unit)
    if seen.coordinates is None or seen.first is None:
        raise seen.reason or DataError(f"{source} holds no tables")
    first = seen.coordinates
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
    elif skeleton.kind != "sensor":
        skeleton = dataclasses.replace(skeleton, up=up_in_pictures(skeleton, options.up))
    fps = _time.one_rate(seen.timings, options.fps)
    if fps is None and skeleton.kind == "sensor":
        warnings.warn(
            "no column holds stamps, so the rate of the readings is unknown, and weights take them for 30 a second; "
            "state it with --fps, or name the column with --time",
            MotetNote,
            stacklevel=3,
        )
    common = {
        "classes": class_names,
        "names": names.class_names,
        "same": first.same,
        "numbers": {meaning: _names_of(found) for meaning, found in seen.texts.items()},
        "fps": fps,
        "tracks": seen.tracks(fps),
    }
    return Plan(
        units=[Unit(u.name, u.path, {**common, "columns": names.columns(u.name)}) for u in units],
        skeleton=skeleton,
        persons=seen.persons,
        fps=fps,
        measure=_measure(first.skeleton, options.unit or first.unit),
        channels=first.axes,
        class_names=class_names,
        licence=options.licence,
        confidence=options.confidence is not None,
        facts={"columns": described(*seen.first, options, seen.along)},
    )


def _measure(skeleton: Skeleton, unit: str | None) -> str:
    """The unit of what is stored; that of sensors is unknown unless it is given, which is noted.

    Raises:
        ConfigError: no unit, or of sensors see :func:`stated_unit`.
    """
    if skeleton.kind != "sensor":
        if unit is not None and unit_name(unit) not in (*METRES, *PICTURE, AS_RECORDED):
            raise ConfigError(f"--unit is {pasted(unit)}; of bodies and hands it is {', '.join(METRES)}, px or shares")
        return "m" if unit is None or unit_name(unit) in METRES else unit_name(unit)
    if unit is None:
        warnings.warn(
            f"the unit of {', '.join(skeleton.joints[:4])}{' …' * (len(skeleton) > 4)} is unknown, so models of other "
            f"units cannot be refused; state it, e.g. --unit {pasted(usual_units(skeleton.joints))}",
            MotetNote,
            stacklevel=3,
        )
    return stated_unit(unit, skeleton.joints)


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
        self.first: tuple[Sequence[str], Coordinates, Mapping[str, str]] | None = None
        self.along = _labels.LabelColumns(options.tracks)
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
                coordinates, declared = find_coordinates(sheet, self.options), declared_columns(sheet, self.options)
                groups = grouped_rows(sheet, declared)
                if self.coordinates is not None and coordinates.like(*self.coordinates.same) is None:
                    return
                times = _times(sheet, declared, self.options)
                timings = {key: _timing(sheet, rows, declared, times) for key, rows in groups.items()}
                used = used_columns(coordinates, declared, self.options)
                free = [name for name in sheet.header if name not in used]
                clips = [(groups[k], t) for k, t in timings.items()]
                self.along.look(sheet, declared.get("label"), free, clips, people="person" in declared)
        except DataError as error:
            self.reason = self.reason or error
            return
        self.timings += [(f"{unit.name} ({key})" if key else unit.name, timing) for key, timing in timings.items()]
        if self.coordinates is None:
            self.coordinates, self.first = coordinates, (sheet.header, coordinates, declared)
        self.readable.append(unit)
        self.persons = max(self.persons, len(coordinates.people))
        if "person" in declared:
            if len(coordinates.people) > 1:
                raise ConfigError(
                    f"{unit.path}: --joints has several persons in a row, and column {declared['person']} one in each; "
                    'pass --person ""'
                )
            people = np.array(sheet.texts(declared["person"]))
            self.persons = max(self.persons, *(len(set(people[rows].tolist())) for rows in groups.values()))
        for meaning in set(WHOLE) & set(declared):
            self.texts.setdefault(meaning, set()).update(sheet.texts(declared[meaning]))
        if "label" in declared:
            self.labels |= {text for text in sheet.texts(declared["label"]) if text}

    def tracks(self, fps: float | None) -> dict[str, bool]:
        """Columns that become label tracks, and whether each person has one of his own.

        Raises:
            ConfigError: there are some that were asked for, and no rate.
        """
        if fps is None and self.along.asked:
            raise ConfigError(
                f"--tracks {pasted(*self.along.asked)}: labels along time need a rate; state it with --fps"
            )
        if fps is None and self.along.apart:
            left = ", ".join(self.along.apart)
            self.along.apart = {}
            warnings.warn(
                f"labels in {left} change within a clip, and labels along time need a rate; state it with --fps to "
                "have a label track of them",
                MotetNote,
                stacklevel=3,
            )
        label = None if self.first is None else self.first[2].get("label")
        if label in self.along.apart and not self.along.asked:
            warnings.warn(
                f"column {label} changes within a clip, so it becomes a label track; where a file holds several clips, "
                "tell them apart with --clip",
                MotetNote,
                stacklevel=3,
            )
        return self.along.apart

    def probe(self, unit: Unit) -> npt.NDArray[np.floating[Any]]:
        """(rows, V, C) some rows of a file."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MotetWarning)
            sheet = _sheet(unit.path, self.options)
            found = find_coordinates(sheet, self.options)
            ordered = found.like(*self.coordinates.same) if self.coordinates is not None else None
            return some_frames(_values(sheet, ordered or found, self.options)[:, 0])


def _values(sheet: Sheet, coordinates: Coordinates, options: Options) -> npt.NDArray[np.float64]:
    """(rows, persons in a row, V, C) coordinates; a joint is there with all of them or not at all."""
    values = sheet.numbers([c for joint in coordinates.columns for c in joint])
    values = values.reshape(len(values), len(coordinates.people), -1, len(coordinates.axes))
    values = without_fills(values, sheet.path)
    values *= METRES.get(unit_name(options.unit or coordinates.unit or "m"), 1.0)
    values[np.isnan(values).any(axis=3)] = 0
    return values


def read(unit: Unit, options: Options) -> list[RawClip]:
    sheet = _sheet(unit.path, options)
    found, declared = find_coordinates(sheet, options), declared_columns(sheet, options)
    coordinates = found.like(*unit.detail["same"])
    if coordinates is None:
        held, skeleton = unit.detail["same"]
        ours, theirs = set(found.skeleton.joints), set(skeleton.joints)
        differ = {"lacks": sorted(theirs - ours), "has": sorted(ours - theirs)}
        said = " and ".join(f"{verb} {first_of(names, 'joint')}" for verb, names in differ.items() if names)
        then = ", then `motet data convert … --layout inertial` each and `motet data merge`"
        raise DataError(
            f"{unit.path} holds {found.held}, the files before it {held}, and an archive has one "
            f"layout and unit{f' (it {said})' * bool(said)}; import them apart"
            f"{then * (skeleton.kind == 'sensor')}"
        )
    values = _values(sheet, coordinates, options)
    certain = _confidences(sheet, coordinates, options)
    person = sheet.texts(declared["person"]) if "person" in declared else [""] * len(values)
    times = _times(sheet, declared, options)
    along: Mapping[str, bool] = unit.detail["tracks"]
    used = used_columns(coordinates, declared, options)
    free = [name for name in sheet.header if name not in used]
    columns = _clip_columns(sheet, {m: c for m, c in declared.items() if c not in along}, options, unit)
    stem = stem_of(unit.name)
    clips = []
    for key, rows in grouped_rows(sheet, declared).items():
        slots = {p: i for i, p in enumerate(sorted({person[r] for r in rows.tolist()}, key=natural_key))}
        timing = _timing(sheet, rows, declared, times)
        once = coordinates.skeleton.kind != "sensor" or "frame" in declared
        place = _places(
            sheet, rows, timing, [slots[person[r]] for r in rows.tolist()], len(slots), declared if once else {}, free
        )
        together = len(coordinates.people) * len(slots)
        frames = np.zeros((timing.count, together, *values.shape[2:]), dtype=np.float32)
        flat = frames.reshape(-1, *values.shape[1:])
        with np.errstate(over="ignore"):
            flat[place] = values[rows] if len(np.unique(place)) == len(place) else _means(values[rows], place)
        confidence = None
        if certain is not None:
            confidence = np.zeros(frames.shape[:3], dtype=np.float32)
            confidence.reshape(-1, *certain.shape[1:])[place] = certain[rows]
        rejoin(frames, confidence, options.identities, f"{unit.name} {key}".strip())
        wanted = options.fps or (timing.moments is not None and unit.detail["fps"]) or None
        frames, confidence = _time.brought(frames, confidence, timing, wanted)
        tracks = _labels.tracks(sheet, along, rows, timing, person, wanted=wanted, count=len(frames))
        named = all(slots) and options.identities == "given" and not any(", " in name for name in slots)
        facts = columns(rows) | ({"individuals": ", ".join(slots)} if named else {})
        clips.append(RawClip(f"{stem}/{key}" if key else stem, frames, confidence, facts, tracks=tracks))
    return clips


def _means(values: npt.NDArray[np.float64], place: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(rows, persons, V, C) mean of the readings of each row's moment: clocks of sensors repeat stamps."""
    sums = np.zeros((place.max() + 1, *values.shape[1:]))
    np.add.at(sums, place, values)
    return np.asarray(sums[place] / np.bincount(place)[place, None, None, None])


def _confidences(sheet: Sheet, coordinates: Coordinates, options: Options) -> npt.NDArray[np.float64] | None:
    """(rows, persons in a row, V), None if nobody asked for them."""
    if options.confidence is None:
        return None
    several = len(coordinates.people) > 1
    if options.confidence.count("{joint}") != 1 or (several and "{person}" not in options.confidence):
        needed = "{joint} and {person}" if several else "{joint}"
        raise ConfigError(f"option confidence is {options.confidence!r}; it must hold {needed} once")
    columns = []
    for person in coordinates.people:
        for names in coordinates.names:
            named = [filled(options.confidence, person, name) for name in names]
            column = next((n for n in named if n in sheet.header), None)
            if column is None:
                raise DataError(f"{sheet.path}, line 1: there is no column {named[0]!r}, which --confidence asks for")
            columns.append(column)
    return np.nan_to_num(sheet.numbers(columns)).reshape(len(sheet.lines), len(coordinates.people), -1)


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
    free: Sequence[str],
) -> npt.NDArray[np.int64]:
    """Where each row of a clip goes among frames × persons; with columns declared one row each."""
    place = timing.place * persons + np.array(slots)
    _, first, again = np.unique(place, return_index=True, return_counts=True)
    if declared and (again > 1).any():
        twice = np.setdiff1d(np.arange(len(place)), first)[0]
        known = " and ".join(declared[m] for m in ("frame", "time", "person") if m in declared)
        line = sheet.lines[int(rows[twice])]
        telling = _telling(sheet, rows, place, free)
        remedies = [f"{what} with --{m}{telling}" for m, what in _APART.items() if m not in declared]
        remedy = f"tell {' or '.join(remedies)} apart, or remove it" if remedies else "remove it"
        raise DataError(f"{sheet.path}, line {line}: a second row with the same {known}; {remedy}")
    return np.asarray(place, dtype=np.int64)


def _telling(sheet: Sheet, rows: npt.NDArray[np.int64], place: npt.NDArray[np.int64], free: Sequence[str]) -> str:
    """The one of these columns that has few values and tells rows of a place apart, as the value of an option."""
    for name in free:
        texts = sheet.texts(name)
        values = [texts[row] for row in rows.tolist()]
        if len(set(values)) <= _FEW and len(set(zip(place.tolist(), values, strict=True))) == len(values):
            return f" {pasted(name)}"
    return ""


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
    for meaning in WHOLE:
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
