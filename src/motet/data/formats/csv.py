"""CSV and TSV tables with declared columns: one clip a file, or many.

A row is one frame of one person. Columns of coordinates are told by a pattern such as ``{joint}_{axis}``; the other
columns by options, whose defaults are taken where the table has a column of that name. An empty cell is a joint that
was not seen.
"""

from __future__ import annotations

import contextlib
import csv as _csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from motet.core.errors import ConfigError, DataError
from motet.data import layouts
from motet.data.formats._names import NamePattern
from motet.data.formats.base import Column, Format, Plan, RawClip, Unit, find_files, natural_key, read_text, units_of
from motet.data.formats.npz import subject_numbers
from motet.data.skeletons import Skeleton

AXES = ("x", "y", "z")
METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254}
_META = ("clip", "frame", "time", "person", "label", "subject", "camera", "setup", "repetition")
NEAR = 0.25  # share of the joints that may differ from a layout which an error names as the one that was meant
_WHOLE = ("subject", "camera", "setup", "repetition")


@dataclass(frozen=True)
class Options:
    """Options of the ``csv`` format.

    Attributes:
        joints: how coordinate columns are named; ``{joint}`` and ``{axis}`` (x, y or z) stand for what varies.
        confidence: the same for confidences, e.g. ``{joint}_score``; none by default.
        skeleton: built-in layout or TOML file; by default the built-in one with exactly the joints of the table.
        clip: column that tells the clips of a file apart; without it a file is one clip.
        frame: column with the number of the frame.
        time: column with seconds, for the frame rate, and for the order where there is no frame number.
        person: column that tells the persons of a frame apart.
        label: column with the class, number or text.
        subject, camera, setup, repetition: columns with whole numbers, or with names; names are numbered (by their
            digits, else in their order) and kept in a column ``subject_name`` and so on.
        columns: further columns to keep, as text.
        separator: between cells; a tab for files named ``.tsv``.
        fps: frames per second, if there is no time column.
        unit: ``m``, ``cm``, ``mm`` or ``inch`` are stored in metres, anything else as it is.
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
    separator: str = ","
    fps: float | None = None
    unit: str = "m"
    pattern: str | None = None
    licence: str = "unknown"


_DEFAULTS = {f.name: f.default for f in fields(Options)}


class Sheet:
    """A table of texts, with the line in the file that each row comes from.

    Args:
        path: the file.
        separator: between cells.

    Raises:
        DataError: not text, no header, a column named twice, or a line with more or fewer cells than the header.
    """

    def __init__(self, path: Path, separator: str) -> None:
        self.path = path
        if len(separator) != 1 or separator in '"\r\n':
            raise ConfigError(f"option separator must be one character, not {separator!r}")
        text = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
        if "\0" in text:
            raise DataError(f"{path} is not a text table: it holds a zero byte")
        lines = text.split("\n")
        filled = [i for i, line in enumerate(lines) if line.strip(" \t") or (separator in line)]
        self.lines = [i + 1 for i in filled[1:]]
        body = [lines[i] for i in filled]
        other = next((c for c in ";\t|," if c in body[0]), None)
        if separator not in body[0] and other is not None:
            shown = "$'\\t'" if other == "\t" else f"'{other}'"
            raise DataError(
                f"{path}, line 1: no {separator!r} between cells; they seem to be parted by {shown}: pass "
                f"--separator {shown}"
            )
        self.header = [name.strip() for name in _cells(path, body[0], separator, 1)]
        twice = sorted({n for n in self.header if self.header.count(n) > 1})
        if twice:
            raise DataError(f"{path}, line 1: two columns are called {twice[0]!r}")
        for line, row in zip(self.lines, body[1:], strict=True):
            cells = row.count(separator) + 1 if '"' not in row else len(_cells(path, row, separator, line))
            if cells != len(self.header):
                raise DataError(f"{path}, line {line}: {cells} cells, the header has {len(self.header)}")
        if not self.lines:
            raise DataError(f"{path}: it has a header and no rows")
        self._frame = self._read(body[1:], separator)

    def _read(self, rows: Sequence[str], separator: str) -> pl.DataFrame:
        try:
            frame = pl.read_csv(
                BytesIO("\n".join(rows).encode()),
                separator=separator,
                has_header=False,
                infer_schema=False,
                raise_if_empty=False,
            )
        except pl.exceptions.PolarsError as error:
            raise DataError(f"{self.path}: the table cannot be read ({error!s:.100})") from error
        if frame.shape != (len(rows), len(self.header)):
            raise DataError(f"{self.path}: a quoted cell runs over several lines, which is not read")
        return frame.rename(dict(zip(frame.columns, self.header, strict=True))).fill_null("")

    def texts(self, column: str) -> list[str]:
        """Cells of a column, without blanks around them."""
        return self._frame[column].str.strip_chars().to_list()

    def numbers(self, columns: Sequence[str], remedy: str = "") -> npt.NDArray[np.float64]:
        """(rows, columns) numbers; NaN for an empty cell.

        Raises:
            DataError: names line and column of a cell that is no finite number.
        """
        texts = self._frame.select(pl.col(list(columns)).str.strip_chars())
        values = texts.select(pl.all().cast(pl.Float64, strict=False))
        out = np.empty((len(self.lines), len(columns)))
        for place, column in enumerate(columns):
            number, text = values[column], texts[column]
            wrong = (~number.is_finite()).fill_null(True) & (text != "")
            if wrong.any():
                row = int(wrong.arg_true()[0])
                raise DataError(
                    f"{self.path}, line {self.lines[row]}, column {column}: {text[row]!r} is no number{remedy}"
                )
            out[:, place] = number.fill_null(float("nan")).to_numpy()
        return out

    def whole(self, column: str, names: Mapping[str, int | None] | None = None) -> list[int | None]:
        """Whole numbers of a column, or those of the ``names`` in it; None for an empty cell."""
        if names is not None:
            return [names.get(text) for text in self.texts(column)]
        found: list[int | None] = []
        remedy = "; write numbers throughout, or names throughout"
        for row, value in enumerate(self.numbers([column], remedy)[:, 0].tolist()):
            if value == value and (value != int(value) or abs(value) >= 2**62):
                raise DataError(f"{self.path}, line {self.lines[row]}, column {column}: {value:g} is no whole number")
            found.append(int(value) if value == value else None)
        return found


def _cells(path: Path, row: str, separator: str, line: int) -> list[str]:
    try:
        return next(_csv.reader(StringIO(row), delimiter=separator, strict=True))
    except (_csv.Error, StopIteration) as error:
        raise DataError(f"{path}, line {line}: quotes that do not fit ({error})") from error


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
        raise ConfigError(f"option joints is {options.joints!r}; it must hold {{joint}} and {{axis}} once each")
    pattern = (
        re.escape(options.joints).replace(r"\{joint\}", "(?P<joint>.+)").replace(r"\{axis\}", "(?P<axis>[xyzXYZ])")
    )
    found: dict[str, dict[str, str]] = {}
    for name in sheet.header:
        match = re.fullmatch(pattern, name)
        if match and name not in _declared(sheet, options).values():
            found.setdefault(match["joint"], {})[match["axis"].lower()] = name
    if not found:
        raise DataError(
            f"{sheet.path}, line 1: no column looks like {options.joints!r}; say how they are named with --joints"
        )
    skeleton = _layout(sheet, list(found), options)
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


def _layout(sheet: Sheet, joints: list[str], options: Options) -> Skeleton:
    if options.skeleton is not None:
        return layouts.get(options.skeleton)
    for name in layouts.names():
        skeleton = layouts.get(name)
        if set(joints) in (set(skeleton.joints), set(skeleton.canonical)):
            return skeleton
    listed = ", ".join(joints[:8]) + (" …" if len(joints) > 8 else "")
    raise DataError(
        f"{sheet.path}, line 1: no built-in layout has exactly the joints {listed}; {_nearest(joints)}name one, or a "
        "TOML file with your own, with --skeleton"
    )


def _nearest(joints: Sequence[str]) -> str:
    """What parts the joints from the layout that is nearest to them; empty where none is near."""
    given, found = set(joints), []
    for name in layouts.names():
        skeleton = layouts.get(name)
        for names in (set(skeleton.joints), set(skeleton.canonical)):
            lacking, more = sorted(names - given), sorted(given - names)
            found.append((len(lacking) + len(more), name, lacking, more))
    differ, name, lacking, more = min(found)
    if differ > NEAR * len(given):
        return ""
    words = [f"lacks only {', '.join(lacking)}"] if lacking else []
    words += [f"has {', '.join(more)} beyond it"] if more else []
    return f"compared with {name} the table {' and '.join(words)}; "


def _declared(sheet: Sheet, options: Options) -> dict[str, str]:
    """Columns that are not coordinates: what they mean → their name.

    Raises:
        DataError: a column that an option names is not there.
    """
    found = {}
    for meaning in _META:
        name = getattr(options, meaning)
        if name in sheet.header:
            found[meaning] = name
        elif name != _DEFAULTS[meaning]:
            raise DataError(f"{sheet.path}, line 1: there is no column {name!r}, which --{meaning} names")
    for name in options.columns:
        if name not in sheet.header:
            raise DataError(f"{sheet.path}, line 1: there is no column {name!r}, which --columns names")
    return found


def _sheet(path: Path, options: Options) -> Sheet:
    named_tsv = path.name.lower().removesuffix(".gz").endswith(".tsv")
    return Sheet(path, "\t" if named_tsv and options.separator == "," else options.separator)


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
    files = find_files(source, r"(?i).+\.(csv|tsv|txt)(\.gz)?", what="tables (*.csv, *.tsv)")
    units = units_of(files, source)
    names = NamePattern(options.pattern, [u.name for u in units])
    first: Coordinates | None = None
    texts: dict[str, set[str]] = {}
    fps, persons, labels = options.fps, 1, set(names.class_names)
    reason: DataError | None = None
    for unit in units:
        try:
            sheet = _sheet(unit.path, options)
            coordinates, declared = find_coordinates(sheet, options), _declared(sheet, options)
            groups = _groups(sheet, declared)
        except DataError as error:
            reason = reason or error  # *read* will say so again, and can be told to go on
            continue
        if first is not None and coordinates.held != first.held:
            continue  # likewise
        first = first or coordinates
        if "person" in declared:
            people = np.array(sheet.texts(declared["person"]))
            persons = max(persons, *(len(set(people[rows].tolist())) for rows in groups.values()))
        for meaning in set(_WHOLE) & set(declared):
            texts.setdefault(meaning, set()).update(sheet.texts(declared[meaning]))
        if "label" in declared:
            labels |= {text for text in sheet.texts(declared["label"]) if text}
        if fps is None and "time" in declared:
            with contextlib.suppress(DataError):  # likewise
                fps = _rate(sheet, declared, next(iter(groups.values())))
    if first is None:
        raise reason or DataError(f"{source} holds no tables")
    class_names = tuple(sorted(labels, key=natural_key))
    common = {
        "classes": class_names,
        "names": names.class_names,
        "held": first.held,
        "numbers": {meaning: _numbered(found) for meaning, found in texts.items()},
    }
    return Plan(
        units=[Unit(u.name, u.path, {**common, "columns": names.columns(u.name)}) for u in units],
        skeleton=first.skeleton,
        persons=persons,
        fps=fps,
        measure="m" if options.unit in METRES else options.unit,
        channels=first.axes,
        class_names=class_names,
        licence=options.licence,
        confidence=options.confidence is not None,
    )


def _numbered(texts: set[str]) -> dict[str, int | None] | None:
    """A number for each name; None where the texts are numbers, or some of them are."""
    names = sorted(texts - {""}, key=natural_key)
    if not names or any(_is_number(name) for name in names):
        return None
    return dict(zip(names, subject_numbers(names), strict=True))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _rate(sheet: Sheet, declared: Mapping[str, str], rows: npt.NDArray[np.int64]) -> float | None:
    times = np.unique(sheet.numbers([declared["time"]])[rows, 0])
    times = times[~np.isnan(times)]
    return round(float(1 / np.median(np.diff(times))), 3) if len(times) > 1 else None


def read(unit: Unit, options: Options) -> list[RawClip]:
    sheet = _sheet(unit.path, options)
    coordinates, declared = find_coordinates(sheet, options), _declared(sheet, options)
    if coordinates.held != unit.detail["held"]:
        raise DataError(
            f"{unit.path} holds {coordinates.held}, the files before it {unit.detail['held']}, and an archive has one "
            "layout"
        )
    scale = METRES.get(options.unit, 1.0)
    count = len(coordinates.axes)
    values = sheet.numbers([c for joint in coordinates.columns for c in joint])
    values = values.reshape(len(values), -1, count) * scale
    values[np.isnan(values).any(axis=2)] = 0  # a joint is there with all its coordinates or not at all
    certain = _confidences(sheet, coordinates, options)
    person = sheet.texts(declared["person"]) if "person" in declared else [""] * len(values)
    frame = _order(sheet, declared)
    columns = _clip_columns(sheet, declared, options, unit)
    stem = unit.name.removesuffix(".gz").rsplit(".", 1)[0]
    clips = []
    for key, rows in _groups(sheet, declared).items():
        slots = {p: i for i, p in enumerate(dict.fromkeys(person[r] for r in rows.tolist()))}
        at, place = _places(sheet, rows, frame, [slots[person[r]] for r in rows.tolist()], len(slots), declared)
        frames = np.zeros((at, len(slots), *values.shape[1:]), dtype=np.float32)
        flat = frames.reshape(-1, *values.shape[1:])
        with np.errstate(over="ignore"):
            flat[place] = values[rows]
        confidence = None
        if certain is not None:
            confidence = np.zeros(frames.shape[:3], dtype=np.float32)
            confidence.reshape(-1, confidence.shape[2])[place] = certain[rows]
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


def _order(sheet: Sheet, declared: Mapping[str, str]) -> npt.NDArray[np.float64]:
    """What the rows are ordered by: frame number, else time, else their order in the file."""
    for meaning in ("frame", "time"):
        if meaning in declared:
            values = sheet.numbers([declared[meaning]])[:, 0]
            empty = np.flatnonzero(np.isnan(values))
            if len(empty):
                raise DataError(f"{sheet.path}, line {sheet.lines[int(empty[0])]}: column {declared[meaning]} is empty")
            return values
    if "person" in declared:
        raise DataError(f"{sheet.path}: with a column for persons, one for the frame or the time is needed")
    return np.arange(len(sheet.lines), dtype=np.float64)


def _places(
    sheet: Sheet,
    rows: npt.NDArray[np.int64],
    frame: npt.NDArray[np.float64],
    slots: Sequence[int],
    persons: int,
    declared: Mapping[str, str],
) -> tuple[int, npt.NDArray[np.int64]]:
    """Number of frames of a clip, and where each of its rows goes among frames × persons."""
    distinct, at = np.unique(frame[rows], return_inverse=True)
    place = at * persons + np.array(slots)
    _, first, again = np.unique(place, return_index=True, return_counts=True)
    if (again > 1).any():
        twice = np.setdiff1d(np.arange(len(place)), first)[0]
        known = " and ".join(declared[m] for m in ("frame", "time", "person") if m in declared)
        line = sheet.lines[int(rows[twice])]
        raise DataError(f"{sheet.path}, line {line}: a second row with the same {known}")
    return len(distinct), np.asarray(place, dtype=np.int64)


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
