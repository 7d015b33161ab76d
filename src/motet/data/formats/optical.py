"""Tables of optical motion capture: Vicon Nexus and OptiTrack Motive (``.csv``), Qualisys (``.tsv``), one file a clip.

*Nexus* writes a line ``Trajectories``, the rate, the names of the markers, axes, units and a row a frame; sections of
other things (devices, model outputs) are left out. *Motive* states its facts in the first line, then for each column
type, name, kind and axis; what is no position (rotations, errors) is left out. *Qualisys* has a line for each fact,
then rows of coordinates. An empty cell is a marker that was not seen; unlabelled markers are left out. ``NAME:LASI`` is
the marker LASI of NAME, as in C3D files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from motet.core.errors import DataError
from motet.data.formats import _time
from motet.data.formats._files import read_text
from motet.data.formats._markers import MarkerOptions, absent_zero, by_person, renamed, rows_of, timed
from motet.data.formats._points import PointFormat, Recording, check_unit, metres

_UNLABELLED = re.compile(r"(?i)(.*:)?(\*\d*|unlabell?ed.*)")
SIGNS = {"Trajectories": "Vicon Nexus", "Format Version": "OptiTrack Motive", "NO_OF_FRAMES": "Qualisys"}
"""what the table of each program begins with"""


@dataclass(frozen=True)
class Options(MarkerOptions):
    """Options of the ``optical`` format.

    Attributes:
        subject: only the markers of this person (the name before the colon).
    """

    subject: str | None = None


@dataclass(frozen=True)
class _Table:
    """Where the numbers of a table lie: its lines, the first of them that is a frame, and what its columns are."""

    lines: Sequence[str]
    first: int
    mark: str
    names: Sequence[str]
    columns: Sequence[int]
    """of the x of each marker; y and z follow"""
    rate: float | None
    unit: str
    stamps: int | None = None


def _cells(line: str, mark: str) -> list[str]:
    return [cell.strip(' "') for cell in line.split(mark)]


def _markers(axes: Sequence[str], names: Sequence[str], kinds: Sequence[str]) -> tuple[list[str], list[int]]:
    """Names of the markers and the column of the x of each, where x, y and z are positions."""
    found: dict[int, str] = {}
    for column in range(len(axes) - 2):
        whole = [a.lower() for a in axes[column : column + 3]] == ["x", "y", "z"]
        kind = kinds[column].lower() if column < len(kinds) else ""
        name = names[column] if column < len(names) else ""
        if whole and kind in ("", "position") and name and not _UNLABELLED.fullmatch(name):
            found[column] = name
    return list(found.values()), list(found)


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None


def _nexus(lines: list[str], path: Path) -> _Table:
    at = next(i for i, line in enumerate(lines) if line.strip(',;\t "') == "Trajectories")
    part = lines[at : at + 6]
    row = next((i for i, line in enumerate(part) if line.lower().strip(' "').startswith("frame")), None)
    if row is None or row < 2:
        raise DataError(f"{path}: below 'Trajectories' it has no lines of markers and axes; export it again from Nexus")
    mark = next((m for m in "\t;," if m in part[row]), ",")
    units = next((c for c in _cells(lines[at + row + 1], mark) if c), "") if at + row + 1 < len(lines) else ""
    first = at + row + 1 + (_number(units) is None)
    last = next((i for i in range(first, len(lines)) if not lines[i].strip(mark + " ")), len(lines))
    names, columns = _markers(_cells(part[row], mark), _cells(part[row - 1], mark), ())
    return _Table(lines[:last], first, mark, names, columns, _number(_cells(part[1], mark)[0]), units)


def _motive(lines: list[str], path: Path) -> _Table:
    mark = next((m for m in "\t;," if m in lines[0]), ",")
    stated = _cells(lines[0], mark)
    facts = dict(zip(stated[::2], stated[1::2], strict=False))
    row = next((i for i, line in enumerate(lines[:20]) if _cells(line, mark)[0].lower() == "frame"), None)
    above = [_cells(line, mark) for line in lines[1:row] if line.strip(mark + " ")]
    if row is None or len(above) < 2:
        raise DataError(f"{path}: it has no lines of names and axes above its frames; export it again from Motive")
    named = [cells for cells in above if "name" in [c.lower() for c in cells[:2]]]
    names, columns = _markers(
        _cells(lines[row], mark), named[0] if named else max(above, key=lambda c: len(set(c))), above[-1]
    )
    rate = _number(facts.get("Export Frame Rate", facts.get("Capture Frame Rate", "")))
    unit = facts.get("Length Units", "m").lower()
    return _Table(lines, row + 1, mark, names, columns, rate, {"meters": "m"}.get(unit, unit), stamps=1)


def _qualisys(lines: list[str], path: Path) -> _Table:
    cut = next((i for i, line in enumerate(lines) if _number(line.split("\t")[0]) is not None), len(lines))
    facts = {cells[0]: cells[1:] for cells in (_cells(line, "\t") for line in lines[:cut])}
    names = [name for name in facts.get("MARKER_NAMES", ()) if name]
    width = len(_cells(lines[cut].rstrip("\t"), "\t")) if cut < len(lines) else 0
    before = 2 if "Frame" in facts or width == 3 * len(names) + 2 else 0
    kept = [i for i, name in enumerate(names) if not _UNLABELLED.fullmatch(name)]
    return _Table(
        lines,
        cut,
        "\t",
        [names[i] for i in kept],
        [before + 3 * i for i in kept],
        _number(facts.get("FREQUENCY", [""])[0]),
        "mm",
        stamps=1 if before else None,
    )


_PARSE = {"Vicon Nexus": _nexus, "OptiTrack Motive": _motive, "Qualisys": _qualisys}


def program(lines: Sequence[str]) -> str | None:
    """The program that wrote a table of markers, None if it is none."""
    begins = [line.strip(',;\t "\ufeff') for line in lines[:1]]
    found = next((who for sign, who in SIGNS.items() if begins and begins[0].startswith(sign)), None)
    sections = any(line.strip(',;\t "\r\n') == "Trajectories" for line in lines)
    return found or ("Vicon Nexus" if sections else None)


def _read(path: Path, options: Options) -> list[Recording]:
    check_unit(options.unit)
    lines = read_text(path).splitlines()
    who = program(lines)
    if who is None:
        signs = ", ".join(f"'{sign}' ({by})" for sign, by in SIGNS.items())
        raise DataError(f"{path}: it does not begin with {signs}; other tables are imported as csv")
    table = _PARSE[who](lines, path)
    if not table.names:
        raise DataError(f"{path}: it names no markers")
    width = max([table.columns[-1] + 3, *(len(_cells(line, table.mark)) for line in table.lines[table.first :][:1])])
    decimal = "," if table.mark != "," and "," in "".join(table.lines[table.first : table.first + 3]) else "."
    values = rows_of(table.lines, table.first, width, path, table.mark, decimal)
    places = [c + axis for c in table.columns for axis in range(3)]
    points = absent_zero(values[:, places].reshape(len(values), -1, 3)) * metres(options.unit or table.unit, path)
    numbers = values[:, 0] if table.columns[0] else np.arange(len(values), dtype=np.float64)
    timing, rate = timed(numbers, None if table.stamps is None else values[:, table.stamps], table.rate, path)
    labels, placed = renamed(table.names, options.rename), _time.spread(timing, points, path)
    joints, people, columns = by_person(labels, placed, options.subject, path, ordered=options.skeleton is None)
    return [Recording(joints, people, fps=rate, columns=columns)]


FORMAT = PointFormat(
    files=r".+\.(csv|tsv|txt)",
    what="tables of Vicon Nexus, OptiTrack Motive or Qualisys (*.csv, *.tsv)",
    read=_read,
    prefix="optical",
).format("markers of Vicon Nexus, OptiTrack Motive (.csv) and Qualisys (.tsv)", Options)
