"""Markers of optical motion capture: whose they are, rows of their tables, and when rows were recorded."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError, MotetNote, MotetWarning
from motet.core.text import counted
from motet.data import layouts
from motet.data.formats import _time
from motet.data.formats._points import PointOptions
from motet.data.formats._sheet import ABSENT

PLUG_IN_GAIT = "ui-prmd-39"
MOST_PEOPLE = 10


@dataclass(frozen=True)
class MarkerOptions(PointOptions):
    """Options of formats of markers.

    Attributes:
        unit: of the coordinates, if the files do not say or are wrong.
        rename: markers that some files call otherwise, and what they are called here: ``LeftShoulder=LSHO``.
        lacking: files that lack markers of the others are refused (``refuse``), or these markers are not seen in them
            (``absent``), up to a quarter of all.
    """

    unit: str | None = None
    rename: tuple[str, ...] = ()
    lacking: Literal["refuse", "absent"] = "refuse"


def renamed(labels: Sequence[str], rename: Sequence[str]) -> list[str]:
    """Labels under the names of ``--rename``, which holds for every person.

    Raises:
        ConfigError: it is not OLD=NEW.

    >>> renamed(["Ann:LeftShoulder", "LELB"], ["LeftShoulder=LSHO"])
    ['Ann:LSHO', 'LELB']
    """
    pairs = dict(text.split("=", 1) for text in rename if "=" in text)
    if len(pairs) < len(rename) or not all(k and v for k, v in pairs.items()):
        raise ConfigError(f"rename is {' '.join(rename)}; it must be OLD=NEW, such as LeftShoulder=LSHO")
    parts = [label.rpartition(":") for label in labels]
    return [f"{who}{colon}{pairs.get(name.strip(), name)}" for who, colon, name in parts]


def by_person(
    labels: Sequence[str], points: npt.NDArray[np.float64], subject: str | None, path: Path, *, ordered: bool
) -> tuple[tuple[str, ...], npt.NDArray[np.float64], dict[str, str]]:
    """Markers as joints of people.

    Args:
        labels: of the markers; ``NAME:LASI`` is the marker LASI of NAME.
        points: (T, markers, 3).
        subject: the only person whose markers are taken.
        path: for messages.
        ordered: the plug-in gait markers alone, where all of them are there.

    Returns:
        Joints, (T, P, V, 3), and a column with the people where there are several.

    Raises:
        DataError: no marker is of ``subject``, or two have one label.
    """
    people = _people(labels, subject, path)
    joints = tuple(_ordered(people[0][2]) if ordered else people[0][2])
    found = np.zeros((len(points), len(people), len(joints), 3))
    for person, (_, rows, names) in enumerate(people):
        found[:, person] = points[:, [rows[names.index(j)] for j in joints]]
    return joints, found, {"people": ", ".join(p[0] for p in people)} if len(people) > 1 else {}


def _people(labels: Sequence[str], subject: str | None, path: Path) -> list[tuple[str, list[int], list[str]]]:
    """Name, points and their labels of each person."""
    parts = [label.rpartition(":") for label in labels]
    owners = list(dict.fromkeys(p[0].strip() for p in parts))
    if subject is not None:
        own = [i for i, p in enumerate(parts) if p[0].strip() == subject]
        if not own:
            raise DataError(
                f"{path}: no marker is of {subject!r}; there are {', '.join(filter(None, owners)) or 'none'}"
            )
        return [(subject, own, _unique([parts[i][2].strip() for i in own], path))]
    plain = [p[2].strip() for p in parts]
    if len(owners) == 1 or len(set(plain)) == len(plain):
        return [("", list(range(len(labels))), _unique(plain, path))]
    groups = {o: [i for i, p in enumerate(parts) if p[0].strip() == o] for o in owners}
    names = {o: [plain[i] for i in rows] for o, rows in groups.items()}
    named = [o for o in owners if o]
    same_names = len({frozenset(names[o]) for o in named}) == 1 and len(names[named[0]]) >= 5
    if same_names and 1 < len(named) <= MOST_PEOPLE and all(len(set(names[o])) == len(names[o]) for o in named):
        return [(o, groups[o], names[o]) for o in named]
    return [("", list(range(len(labels))), _unique([label.strip() for label in labels], path))]


def _unique(labels: Sequence[str], path: Path) -> list[str]:
    """Labels with a number where one occurs again."""
    seen: dict[str, int] = {}
    out = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        out.append(label if seen[label] == 1 else f"{label}_{seen[label]}")
    twice = [label for label, count in seen.items() if count > 1]
    if twice:
        warnings.warn(
            f"{path}: several markers are labelled {', '.join(twice[:5])}; the further ones are called "
            f"{twice[0]}_2 and so on",
            MotetWarning,
            stacklevel=5,
        )
    if len(set(out)) < len(out):  # a label that looks like a number given here
        raise DataError(f"{path}: markers are labelled {next(x for x in out if out.count(x) > 1)} more than once")
    return out


def _ordered(labels: Sequence[str]) -> Sequence[str]:
    """The plug-in gait markers where all of them are there, else the labels as they are."""
    known = layouts.get(PLUG_IN_GAIT).joints
    return known if set(known) <= set(labels) else labels


def rows_of(
    lines: Sequence[str], first: int, width: int, path: Path, mark: str | None = None, decimal: str = "."
) -> npt.NDArray[np.float64]:
    """(rows, width) numbers of the lines from ``first`` on; NaN where a cell is empty or missing at the end.

    Cells are parted by ``mark``, by default tabs, or blanks where a line has none.
    """
    found: list[list[float]] = []
    for number, line in enumerate(lines[first:], first + 1):
        if not line.strip():
            continue
        own = mark or ("\t" if "\t" in line else None)
        cells = [c.strip().replace(decimal, ".") for c in line.rstrip("\r\n").split(own)]
        while len(cells) > width and not cells[-1]:
            cells.pop()
        if len(cells) > width:
            raise DataError(f"{path}, line {number}: {counted(len(cells), 'cell')} where {width} are due")
        try:
            values = [np.nan if c.lower() in ABSENT else float(c) for c in cells]
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}") from error
        found.append(values + [np.nan] * (width - len(values)))
    if not found:
        raise DataError(f"{path}: it has no frames")
    return np.array(found)


def absent_zero(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(…, 3) points, zero where a coordinate is NaN."""
    return np.where(np.isfinite(points).all(axis=-1, keepdims=True), points, 0)


def timed(
    numbers: npt.NDArray[np.float64], stamps: npt.NDArray[np.float64] | None, rate: float | None, path: Path
) -> tuple[_time.Timing, float | None]:
    """Places of rows with numbers of frames and stamps, and their rate, of which a header says ``rate``."""
    numbered = np.isfinite(numbers).all()
    sound = stamps is not None and np.isfinite(stamps).all() and len(np.unique(stamps)) == len(stamps)
    times = _time.in_seconds(stamps, "the column Time", path) if stamps is not None and sound else None
    timing = _time.of_both(numbers if numbered else np.arange(len(numbers), dtype=np.float64), times, path)
    if rate and timing.fps and abs(timing.fps - rate) > max(_time.SAME_RATE, timing.error) * rate:
        warnings.warn(
            f"{path}: its header says {rate:.4g} frames/s and its times {timing.fps:.4g}, which is taken",
            MotetNote,
            stacklevel=3,
        )
        rate = timing.fps
    return timing, rate if rate and timing.moments is None else timing.fps
