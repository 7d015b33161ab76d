"""Anipose: triangulated points of animals (``.csv``), one file a clip.

For each point the columns ``NAME_x NAME_y NAME_z NAME_error NAME_ncams NAME_score``, and ``fnum``, the number of the
frame; the columns of the camera's centre and axes are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from motet.core.errors import DataError
from motet.data.formats import _time
from motet.data.formats._points import PointFormat, PointOptions, Recording, check_unit, metres
from motet.data.formats._sheet import Sheet


@dataclass(frozen=True)
class Options(PointOptions):
    """Options of the ``anipose`` format.

    Attributes:
        unit: of the calibration board's squares, in which the points are.
        score: below it a point is absent.
        error: reprojection error in pixels above which a point is absent.
    """

    unit: str = "mm"
    score: float = 0.0
    error: float | None = None


def _read(path: Path, options: Options) -> list[Recording]:
    check_unit(options.unit)
    sheet = Sheet(path)
    names = [n.removesuffix("_error") for n in sheet.header if n.endswith("_error")]
    header = set(sheet.header)
    joints = [n for n in names if {f"{n}_{a}" for a in "xyz"} <= header]
    if not joints:
        raise DataError(f"{path}: it has no columns NAME_x, NAME_y, NAME_z and NAME_error, so it is no file of Anipose")
    points = sheet.numbers([f"{j}_{a}" for j in joints for a in "xyz"]).reshape(-1, len(joints), 3)
    wrong = sheet.numbers([f"{j}_error" for j in joints])
    scored = [f"{j}_score" for j in joints]
    scores = sheet.numbers(scored) if set(scored) <= set(sheet.header) else np.ones_like(wrong)
    seen = np.isfinite(points).all(axis=2) & np.isfinite(scores) & (scores > 0) & (scores >= options.score)
    if options.error is not None:
        seen &= ~(wrong > options.error)
    numbers = sheet.numbers(["fnum"])[:, 0] if "fnum" in sheet.header else np.arange(len(points), dtype=np.float64)
    timing = _time.of_numbers(np.where(np.isfinite(numbers), numbers, np.arange(len(points))), path)
    placed = np.where(seen[..., None], points * metres(options.unit, path), 0)
    sure = np.where(seen, scores, 0)
    return [Recording(tuple(joints), _time.spread(timing, placed)[:, None], _time.spread(timing, sure)[:, None])]


FORMAT = PointFormat(
    files=r".+\.csv",
    what="tables of Anipose (*.csv)",
    read=_read,
    prefix="anipose",
    confidence=True,
).format("Anipose tables (.csv)", Options)
