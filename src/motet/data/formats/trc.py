"""OpenSim: marker files (``.trc``) and tables of joint positions (``.sto``, ``.mot``), one file a clip.

A ``.trc`` has its rate, units and the names of the markers in its first lines, then a row for each frame: number, time
and three coordinates a marker; an empty cell or NaN is a marker that was not seen. A ``.sto`` or ``.mot`` is read where
its columns are positions (``NAME_tx``, ``NAME_X`` …); angles of joints are not positions and need a body model.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np

from motet.core.errors import DataError, MotetNote, MotetWarning
from motet.core.text import first_of
from motet.data.formats import _time
from motet.data.formats._files import read_text
from motet.data.formats._markers import MarkerOptions, absent_zero, renamed, rows_of, timed
from motet.data.formats._points import PointFormat, Recording, check_unit, metres

_POSITION = re.compile(r"(?i)(.+?)[_./:]?t?([xyz])")


def _read_trc(lines: list[str], path: Path, options: MarkerOptions) -> Recording:
    start = next((i for i, line in enumerate(lines[:10]) if line.lower().startswith("frame#")), None)
    if start is None:
        raise DataError(f"{path}: it has no line 'Frame# Time …', so it is no .trc file")
    named, stated = (
        ((x.rstrip().split("\t") if "\t" in x else x.split()) for x in lines[1:3]) if start > 2 else ([], [])
    )
    facts = {n.strip().lower(): v.strip() for n, v in zip(named, stated, strict=False)}
    parts = (
        [c.strip() for c in lines[start].rstrip("\r\n").split("\t")] if "\t" in lines[start] else lines[start].split()
    )
    names = renamed([c for c in parts[2:] if c], options.rename)
    if not names:
        raise DataError(f"{path}: it names no markers")
    labels = start + 1 < len(lines) and re.match(r"\s*X1\b", lines[start + 1]) is not None
    values = rows_of(lines, start + 1 + labels, 2 + 3 * len(names), path)
    points = absent_zero(values[:, 2:].reshape(len(values), len(names), 3))
    unit = options.unit or facts.get("units", "mm")
    try:
        rate: float | None = float(facts["datarate"])
    except (KeyError, ValueError):
        rate = None
    timing, rate = timed(values[:, 0], values[:, 1], rate, path)
    placed = _time.spread(timing, points * metres(unit, path), path)
    return Recording(tuple(names), placed[:, None], fps=rate, up="+y")


def _read_table(lines: list[str], path: Path, options: MarkerOptions) -> Recording:
    start = next((i for i, line in enumerate(lines) if line.strip().lower() == "endheader"), -1)
    header = lines[start + 1].split() if start + 1 < len(lines) else []
    if not header or header[0].lower() != "time":
        raise DataError(f"{path}: it has no column 'time' after its header, so it is no table of OpenSim")
    found: dict[str, dict[str, int]] = {}
    for column, name in enumerate(header):
        match = _POSITION.fullmatch(name.rsplit("/", 1)[-1] if name.count("/") == 1 else name)
        if match and column:
            found.setdefault(match[1], {})[match[2].lower()] = column
    joints = {name: axes for name, axes in found.items() if len(axes) == 3}
    if not joints:
        raise DataError(
            f"{path}: none of its columns are positions (NAME_tx NAME_ty NAME_tz); angles of joints need a body model: "
            "export positions with OpenSim's PointKinematics or BodyKinematics"
        )
    read = {column for axes in joints.values() for column in axes.values()}
    if other := [name for column, name in enumerate(header[1:], 1) if column not in read]:
        warnings.warn(
            f"{path}: {first_of(other, 'column')} are no positions and are left out; angles of joints need a body "
            "model: export positions with OpenSim's PointKinematics or BodyKinematics",
            MotetWarning if len(other) > len(read) else MotetNote,
            stacklevel=2,
        )
    values = rows_of(lines, start + 2, len(header), path)
    timing = _time.of_stamps(_time.in_seconds(values[:, 0], "the column time", path), path)
    points = np.stack([[values[:, axes[a]] for a in "xyz"] for axes in joints.values()]).transpose(2, 0, 1)
    placed = _time.spread(timing, absent_zero(points) * metres(options.unit or "m", path), path)
    return Recording(tuple(renamed(list(joints), options.rename)), placed[:, None], fps=timing.fps, up="+y")


def _read(path: Path, options: MarkerOptions) -> list[Recording]:
    check_unit(options.unit)
    lines = read_text(path).splitlines()
    name = path.name.lower().removesuffix(".gz")
    return [_read_trc(lines, path, options) if name.endswith(".trc") else _read_table(lines, path, options)]


FORMAT = PointFormat(
    files=r".+\.(trc|sto|mot)",
    what="files of OpenSim (*.trc, *.sto, *.mot)",
    read=_read,
    prefix="trc",
).format("OpenSim markers (.trc) and positions (.sto, .mot)", MarkerOptions)
