"""Columns of a table with a label for each row: they become label tracks."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from motet.core.errors import DataError
from motet.data.formats._sheet import Sheet
from motet.data.formats._time import GAP, Timing
from motet.data.timing import LONGEST_GAP, clock, nearest

Codes = npt.NDArray[np.int64]
Clips = Sequence[tuple[npt.NDArray[np.int64], Timing]]
USUAL = re.compile(
    r"(?i)(labels?|class|activity|behaviou?r|annotation|action|exercise|gesture|posture|phase)"
    r"([ _]?(label|class|name|id))?"
)
"""How columns of labels are called as a rule."""
_EMPTY = ("", "nan", "NaN", "NA", "N/A", "#N/A")
MOST = 100  # different labels of a column that nobody asked for


class LabelColumns:
    """Which columns become tracks, seen file by file.

    Args:
        asked: columns that an option names; ``("",)``: none; ``()``: those with a usual name that change within a clip.
    """

    def __init__(self, asked: Sequence[str]) -> None:
        self.asked = tuple(name for name in asked if name)
        self.search = not asked
        self.apart: dict[str, bool] = {}
        """Each column found, and whether people of one moment have labels of their own in it."""
        self.others: tuple[str, ...] = ()
        """Columns of the first file without a usual name that look like it."""
        self.whole: str | None = None
        """A column with a usual name that is no track, as it says one thing of each clip; not read."""

    def look(self, sheet: Sheet, label: str | None, free: Iterable[str], clips: Clips, *, people: bool) -> None:
        """Look at a file.

        Args:
            sheet: the file.
            label: its column of labels.
            free: columns that mean nothing else.
            clips: rows and timing of each clip.
            people: whether rows are of several people.

        Raises:
            DataError: a column asked for is not there, or holds numbers that are no labels.
        """
        free = list(free)
        first = not self.apart and not self.others
        for column in self.asked:
            if column not in sheet.header:
                raise DataError(f"{sheet.path}, line 1: there is no column {column!r}, which --tracks names")
            self._add(column, sheet, clips, people)
        if self.search:
            usual = [name for name in free if USUAL.fullmatch(name)]
            for column in [*([label] if label else []), *usual]:
                if _along_time(sheet, column, clips):
                    self._add(column, sheet, clips, people)
            if first and not label:
                self.whole = next((name for name in usual if _of_clips(sheet, name)), None)
            if first:
                rest = [name for name in free if name not in self.apart]
                self.others = tuple(name for name in rest if _along_time(sheet, name, clips, words=True))

    def _add(self, column: str, sheet: Sheet, clips: Clips, people: bool) -> None:
        codes, names = sheet.coded(column, _EMPTY)
        number = _fraction(names)
        if number is not None:
            raise DataError(f"{sheet.path}: column {column} has {number}, which is no label; leave it out of --tracks")
        apart = people and any(_differ(codes[rows], timing.place) for rows, timing in clips)
        self.apart[column] = self.apart.get(column, False) or apart


def _fraction(names: Iterable[str]) -> str | None:
    return next((name for name in names if re.fullmatch(r"[+-]?\d*[.,]\d+(e[+-]?\d+)?", name, re.IGNORECASE)), None)


def _of_clips(sheet: Sheet, column: str) -> bool:
    """Whether a column holds few enough values, and no fractions, to be labels."""
    names = sheet.coded(column, _EMPTY)[1]
    return 0 < len(names) <= MOST and _fraction(names) is None


def _along_time(sheet: Sheet, column: str, clips: Clips, *, words: bool = False) -> bool:
    """Whether a column holds labels that change within a clip; ``words``: no numbers, and seldom enough to last."""
    codes, names = sheet.coded(column, _EMPTY)
    if not _of_clips(sheet, column) or (words and _number(names[0])):
        return False
    changes = [int((np.diff(codes[rows]) != 0).sum()) for rows, _ in clips]
    return any(changes) and not (words and 2 * sum(changes) > len(codes))


def _number(text: str) -> bool:
    with contextlib.suppress(ValueError):
        float(text.replace(",", "."))
        return True
    return False


def _differ(codes: Codes, place: npt.NDArray[np.int64]) -> bool:
    """Whether rows of one frame have different labels."""
    filled = codes >= 0
    pairs = np.unique(place[filled] * (int(codes.max(initial=0)) + 1) + codes[filled])
    return len(np.unique(place[filled])) < len(pairs)


def tracks(
    sheet: Sheet,
    columns: Mapping[str, bool],
    rows: npt.NDArray[np.int64],
    timing: Timing,
    person: Sequence[str],
    *,
    wanted: float | None,
    count: int,
) -> dict[str, list[str | None]]:
    """(count,) label of each frame of a clip by track.

    Args:
        sheet: the table.
        columns: of :attr:`LabelColumns.apart`; where people have labels of their own, each has a track of his own.
        rows: of the clip.
        timing: of these rows.
        person: person of each row of the table.
        wanted: frames per second that the clip was brought to.
        count: its frames.
    """
    found: dict[str, list[str | None]] = {}
    for column in (c for c in columns if c in sheet.header):
        codes, names = sheet.coded(column, _EMPTY)
        people = np.array([person[row] for row in rows.tolist()]) if columns[column] else np.zeros(len(rows), "U1")
        for who in dict.fromkeys(people.tolist()):
            own = people == who
            numbers = _on_frames(codes[rows[own]], timing.place[own], timing, wanted, count)
            found[_track(f"{column} {who}".strip())] = [names[n] if n >= 0 else None for n in numbers.tolist()]
    return found


def _track(name: str) -> str:
    return re.sub(r"[^\w .+-]|^\W", "_", name)[:100].rstrip(" .")


def _on_frames(
    codes: Codes, place: npt.NDArray[np.int64], timing: Timing, wanted: float | None, count: int
) -> npt.NDArray[np.int64]:
    """(count,) label of the row nearest to each frame, -1 in holes that readings are not interpolated over."""
    filled, frames = codes >= 0, np.unique(place)
    held = np.full(timing.count, -1, dtype=np.int64)
    held[place[filled]] = codes[filled]
    rate = timing.fps or wanted or 1.0
    times = frames / rate
    at = np.arange(count) / (rate if count == timing.count else wanted or rate)
    if timing.moments is not None:
        times, at = timing.moments[frames], clock([timing.moments], wanted or rate)
    found = np.asarray(nearest(times, held[frames], at))
    steps = np.append(np.diff(times), 0)
    longest = max(LONGEST_GAP, (1 + GAP) * float(np.median(steps[:-1]) if len(steps) > 1 else 0))
    before = np.clip(np.searchsorted(times, at + 1e-9, side="right") - 1, 0, len(times) - 1)
    found[(steps[before] > longest + 1e-9) & (at > times[before] + 1e-9)] = -1
    outside = (at > times[-1] + longest) | (at < times[0] - longest)
    return np.where(outside, -1, found)
