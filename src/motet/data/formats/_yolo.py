"""Pose labels of Ultralytics YOLO: a text file a frame, a person a line.

``class x y w h``, then ``x y`` or ``x y confidence`` of each key point, all as shares of the picture; perhaps the
confidence of the person and the number of a track after them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from motet.core.errors import DataError
from motet.core.text import counted
from motet.data.formats._files import read_text
from motet.data.formats._people import Sighting

BOX = 5  # numbers before the key points: the class, and centre and size of the box
MOST_EXTRA = 2  # confidence and track


def _form(count: int, points: int, where: str) -> tuple[int, int]:
    """Numbers of each key point, and further numbers, of a line of ``count``."""
    for width in (3, 2):
        extra = count - BOX - points * width
        if 0 <= extra <= MOST_EXTRA:
            return width, extra
    raise DataError(
        f"{where}: {counted(count, 'number')} instead of class, box and {points} key points; name a layout of "
        f"as many with --skeleton"
    )


def people(path: Path, points: int, size: tuple[int, int]) -> list[Sighting]:
    """Everybody in a frame.

    Args:
        points: key points of a person.
        size: of the picture, which the shares are multiplied by.

    Raises:
        DataError: no such file; names the line.
    """
    found = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        cells, where = line.split(), f"{path}, line {number}"
        if not cells:
            continue
        try:
            values = np.array([float(c) for c in cells])
        except ValueError as error:
            raise DataError(f"{where}: {error!s:.80}") from error
        if not np.isfinite(values).all() or (np.abs(values) > 1e9).any():
            raise DataError(f"{where}: a number is NaN, infinite or absurd")
        width, extra = _form(len(values), points, where)
        marks = values[BOX : BOX + points * width].reshape(points, width)
        there = marks[:, :2].any(axis=1)
        scores = np.where(there, marks[:, 2].clip(0, None) if width == 3 else 1.0, 0)
        placed = np.where(scores[:, None] > 0, marks[:, :2] * size, 0)
        last = values[-1]
        # of one further number, a whole one above 1 can only be a track
        tracked = extra == MOST_EXTRA or (extra == 1 and last > 1)
        if placed.any():
            found.append(Sighting(placed, scores, int(last) if tracked and last == int(last) else None))
    return found
