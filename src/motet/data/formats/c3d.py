"""C3D (www.c3d.org): markers of optical motion capture, one file a clip.

The markers are the joints. Coordinates become metres by ``POINT:UNITS``; a marker that the system lost (negative
residual) is zero. Angles, forces, moments and powers, which modelling software stores as further points, and
unlabelled markers (``*12``) are left out; analog channels are not read. ``NAME:LASI`` is the marker LASI of NAME:
people of the same markers become persons, and where names are needed to tell markers apart (rigid bodies) they stay.
Files of segments without markers (Theia) give the origins of their segments.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError, MotetNote
from motet.core.text import counted
from motet.data.formats._c3d import Content, read_c3d
from motet.data.formats._markers import MarkerOptions, by_person, renamed
from motet.data.formats._points import PointFormat, Recording, check_unit, metres

_MODELLED = re.compile(r"POINT:(ANGLES|FORCES|MOMENTS|POWERS|SCALARS)\d*")


@dataclass(frozen=True)
class Options(MarkerOptions):
    """Options of the ``c3d`` format.

    Attributes:
        subject: only the markers of this person (the name before the colon).
        axes: of files of segments without markers (Theia): metres from the origin of a segment to three further points
            on its axes, which keep its turn; 0: origins alone.
    """

    subject: str | None = None
    axes: float = 0.0


def _kept(content: Content) -> list[int]:
    """Points that are labelled markers."""
    modelled = {t for name, p in content.parameters.items() if _MODELLED.fullmatch(name) for t in p.texts}
    return [
        i for i, label in enumerate(content.labels) if label and not label.startswith("*") and label not in modelled
    ]


def _origins(content: Content, scale: float, axes: float) -> Recording:
    """Origins of the segments of a file of transforms, and points on their axes."""
    labels, turns = content.rotations
    points = turns[..., :3, 3] * scale
    if axes:  # the columns of a turn are the axes of its segment
        ends = points[..., None, :] + axes * turns[..., :3, :3].swapaxes(-1, -2)
        points = np.concatenate([points, ends.reshape(len(ends), -1, 3)], axis=1)
    points = np.where(np.isfinite(points).all(axis=-1, keepdims=True), points, 0)
    names = [re.sub(r"(?i)_?4x4$", "", label) for label in labels]
    names += [f"{name}_{axis}" for name in names for axis in "xyz"] if axes else []
    return Recording(tuple(names), points[:, None], fps=content.rotation_fps, up=content.up)


def _read(path: Path, options: Options) -> list[Recording]:
    check_unit(options.unit)
    if not 0 <= options.axes <= 10:
        raise ConfigError(f"axes is {options.axes}; it is a distance of 0 to 10 m, such as 0.1")
    content = read_c3d(path)
    unit = options.unit or content.text("POINT:UNITS")
    kept = _kept(content)
    if not kept and content.rotations[0]:
        warnings.warn(
            f"{path}: no markers but {counted(len(content.rotations[0]), 'segment')}, whose origins are read"
            + ("" if options.axes else "; --axes 0.1 keeps their turns too"),
            MotetNote,
            stacklevel=4,
        )
        return [_origins(content, metres(unit or "mm", path), options.axes)]
    if not kept or not len(content.points):
        has = f"it holds {content.analog} analog channels only" if content.analog else "it holds no labelled marker"
        raise DataError(f"{path}: {has}; markers are read")
    joints, points, columns = by_person(
        renamed([content.labels[i] for i in kept], options.rename),
        content.points[:, kept],
        options.subject,
        path,
        ordered=options.skeleton is None,
    )
    scaled: npt.NDArray[np.float64] = points * metres(unit, path)
    return [Recording(joints, scaled, fps=content.fps, up=content.up, columns=columns)]


FORMAT = PointFormat(
    files=r".+\.c3d",
    what="C3D files (*.c3d)",
    read=_read,
    prefix="c3d",
).format("C3D marker files", Options)
