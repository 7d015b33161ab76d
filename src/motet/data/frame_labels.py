"""One label a frame, or one a stamp: lines of labels, and tables with a column of labels for each track."""

from __future__ import annotations

import contextlib
import csv
import io
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError, MotetNote
from motet.core.text import counted, from_cell
from motet.data.formats import _time
from motet.data.timing import LONGEST_GAP
from motet.data.tracks import intervals

Rows = list[dict[str, Any]]
_PLACES = ("frame", "index", "")
CERTAIN = ("certainty", "confidence", "probability")
"""columns that say how certain labels are, which is lost frame by frame."""
_WRITTEN = ("recording", "file", "clip")
"""how a column of recordings is called in a table of stamps."""
FASTEST = 5e-4  # seconds between rows that are believed of a unit that nothing names
LIKE = 0.02  # share of a recording by which stamps of another clock may last longer or shorter


def records(text: str) -> Any:
    """Reader of the lines of a table; cells in quotes may hold line breaks."""
    return csv.reader(io.StringIO(text, newline=""), delimiter=max("\t;,", key=text.partition("\n")[0].count))


def too_many(row: Sequence[str], names: Sequence[str]) -> str:
    """What is wrong with a row that does not fit under its header."""
    return f"{counted(len(row), 'cell')} under {counted(len(names), 'column')}"


def read(
    path: Path,
    text: str,
    fps: float | None,
    *,
    frames: int | None = None,
    longest: float | None = None,
    titles: Sequence[str] = (),
) -> dict[str, Rows]:
    """One label a line, or a table with a column per track and a row per frame or stamp.

    Args:
        path: the file.
        text: what it holds.
        fps: frames per second, for lines without stamps.
        frames: of the recording that the file is about, if it is known.
        longest: seconds of the longest recording, which tells the unit of stamps.
        titles: what a column of labels may be called, in lower case.

    Returns:
        Rows of :mod:`motet.data.tracks` by column (``""`` of lines). Those of stamps that are not those of the frames
        have ``stamps``, the first and the last one of their recording; :func:`placed` brings them to its time.

    Raises:
        DataError: names the file and what does not fit.
        ConfigError: the frame rate is needed.
    """
    table = list(records(text))
    if not table:
        raise DataError(f"{path} is empty")
    single = len(table[0]) <= 1
    if not single:
        stamped = _stamped(path, table, fps, frames, longest)
        if stamped is not None:
            return stamped
    if fps is None:
        raise ConfigError(f"{path} has one label a frame: its frame rate is needed (--fps)")
    header = not single or (bool(table[0]) and table[0][0].strip().lower() in titles)
    if frames is not None:
        while len(table) > frames + header and not any(cell.strip() for cell in table[-1]):
            table.pop()
        header |= len(table) == frames + 1
        if len(table) != frames + header:
            raise DataError(
                f"{path}: intervals need columns start, end and label; one label a frame needs "
                f"{counted(frames, 'line')}, it has {len(table) - header}, or a column time"
            )
    columns = (
        {"": [from_cell(row[0].strip()) if row else "" for row in table[header:]]} if single else _columns(path, table)
    )
    return {name: intervals(path.stem, labels, fps) for name, labels in _checked(path, columns).items()}


def _checked(path: Path, columns: Mapping[str, list[str]]) -> Mapping[str, list[str]]:
    for name, labels in columns.items():
        if name.lower() == "label":
            continue
        number = next((label for label in labels if re.fullmatch(r"[+-]?\d*[.,]\d+(e[+-]?\d+)?", label, re.I)), None)
        if number is not None:
            what = f"column {name!r} has" if name else "it has"
            raise DataError(f"{path}: intervals need columns start, end and label; {what} {number}, which is no label")
    return columns


def _columns(path: Path, records: Sequence[list[str]], places: Sequence[str] = _PLACES) -> dict[str, list[str]]:
    """Columns of labels by their names."""
    names = [name.strip() for name in records[0]]
    wrong = next((n for n, row in enumerate(records, 1) if row and len(row) != len(names)), None)
    if wrong is not None:
        raise DataError(f"{path}, line {wrong}: {too_many(records[wrong - 1], names)}")
    left = (*places, *CERTAIN)
    taken = [i for i, name in enumerate(names) if name.lower() not in left and not _time.COLUMN.fullmatch(name)]
    return {names[i]: [from_cell(row[i].strip()) if row else "" for row in records[1:]] for i in taken}


def _stamped(
    path: Path, records: Sequence[list[str]], fps: float | None, frames: int | None, longest: float | None
) -> dict[str, Rows] | None:
    """Rows of a table with stamps; None where it has none, or they are those of the frames."""
    names = [name.strip() for name in records[0]]
    column = next((i for i, name in enumerate(names) if _time.COLUMN.fullmatch(name)), None)
    if column is None:
        return None
    filled = [records[0], *(row for row in records[1:] if any(cell.strip() for cell in row))]
    own = next((i for i, name in enumerate(names) if name.lower() in _WRITTEN), None)
    places = _PLACES if own is None else (*_PLACES, names[own].lower())
    columns = _columns(path, filled, places)
    as_many = own is None and frames in (None, len(filled) - 1)
    times = np.zeros(0)
    with contextlib.suppress(DataError) if as_many and fps else contextlib.nullcontext():
        times = _seconds([row[column].strip() for row in filled[1:]], names[column], path, longest)
        if np.isnan(times).any():
            raise DataError(f"{path}, row {int(np.argmax(np.isnan(times))) + 1}: column {names[column]} is empty")
    if as_many and fps and (not len(times) or np.abs(times - times[0] - np.arange(len(times)) / fps).max() < 0.5 / fps):
        return None
    about = np.array([path.stem if own is None else row[own].strip() for row in filled[1:]])
    found: dict[str, Rows] = {}
    for name, labels in _checked(path, columns).items():
        texts = np.array(labels)
        for recording in dict.fromkeys(about.tolist()):
            mine = about == recording
            found.setdefault(name, []).extend(_spans(f"{path}: column {name}", recording, times[mine], texts[mine]))
    return found


def _seconds(texts: Sequence[str], column: str, path: Path, longest: float | None) -> npt.NDArray[np.float64]:
    """Stamps in the unit that the column's name says, else the largest in which they last no longer than recordings."""
    values, texts = np.zeros(0), [text.replace(",", ".") for text in texts]
    with contextlib.suppress(ValueError):
        values = np.array([float(text) for text in texts])
    if longest is None or _time.unit_of_name(column) or not len(values) or not np.isfinite(values).all():
        return _time.seconds(texts, column, path)
    most, step = longest * (1 + LIKE) + 1, np.ptp(values) / len(values)
    fits = (u for u, size in _time.SECONDS.items() if np.ptp(values) * size <= most and step * size >= FASTEST)
    unit = next(fits, "s")
    if unit != "s":
        warnings.warn(
            f"{path}: the stamps in column {column} are taken for {_time.WORDS[unit]}", MotetNote, stacklevel=6
        )
    return np.asarray(values * _time.SECONDS[unit])


def _spans(where: str, recording: str, times: npt.NDArray[np.float64], labels: npt.NDArray[np.str_]) -> Rows:
    """Intervals of one column: a label lasts until the next stamp, or half the way where some are lost; in holes and at
    the end, for the usual step."""
    order = np.argsort(times, kind="stable")
    times, labels = _time.apart(times[order]), labels[order]
    changes = labels[1:] != labels[:-1]
    if len(labels) > 2 and 2 * changes.sum() > len(changes):
        raise DataError(
            f"{where} changes at every other row, so it says when something begins; give each label a start and an end"
        )
    steps = np.diff(times)
    usual = float(np.median(steps[steps > 0])) if (steps > 0).any() else LONGEST_GAP
    hole = np.append(steps > max(LONGEST_GAP, (1 + _time.GAP) * usual), True)
    after = np.append(times[1:], 0)
    lost = np.append(steps > _time.GAP * usual, True)
    ends = np.where(hole, times + usual, np.where(lost, (times + after + usual) / 2, after))
    starts = np.where(np.insert(hole[:-1], 0, True), times, np.insert(ends[:-1], 0, 0))
    rows, start = Rows(), 0
    for at in np.flatnonzero(hole | np.append(changes, True)).tolist():
        span = {"start": round(float(starts[start]), 6), "end": round(float(ends[at]), 6)}
        if labels[start] and span["end"] > span["start"]:
            known = {"recording": recording, **span, "label": str(labels[start])}
            rows.append(known | {"stamps": (float(times[0]), float(times[-1]))})
        start = at + 1
    return rows


def placed(rows: Rows, durations: Mapping[str, float], frame: float, where: str) -> Rows:
    """Rows on the time of their recordings: stamps are seconds since the first frame, or last as long; others stay.

    Args:
        rows: of :func:`read`, with the names of their recordings.
        durations: seconds of each recording.
        frame: seconds of a frame.
        where: what messages name.

    Raises:
        DataError: the stamps are neither.
    """
    shifts: dict[str, float] = {}
    made = Rows()
    for row in rows:
        name = row["recording"]
        if "stamps" in row and name in durations:
            if name not in shifts:
                shifts[name] = _shift(name, row["stamps"], durations[name], frame, where)
            start, end = row["start"] - shifts[name], row["end"] - shifts[name]
            row = {**row, "start": max(0.0, start), "end": min(end, durations[name])}
        made.append(row)
    return made


def _shift(name: str, stamps: tuple[float, float], duration: float, frame: float, where: str) -> float:
    first, last = stamps
    if first >= -frame and last <= duration + frame:
        return 0.0
    said = f"{where}: stamps from {first:.12g} to {last:.12g} s are not those of {name}"
    if abs(last - first + frame - duration) > max(LIKE * duration, 2 * frame):
        raise DataError(
            f"{said}, which lasts {duration:g} s, and do not last as long; write seconds since its first frame"
        )
    warnings.warn(f"{said}, which lasts as long, so they count from the first", MotetNote, stacklevel=4)
    return first
