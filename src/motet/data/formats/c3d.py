"""C3D (www.c3d.org): markers of optical motion capture, one file a clip; read with the package ``c3d``.

The markers are the joints. Coordinates become metres by ``POINT:UNITS``; a marker that the system lost (negative
residual) is zero. Angles, forces, moments and powers, which modelling software stores as further points, and
unlabelled markers (``*12``) are left out. Analog channels are not read.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError
from motet.data import layouts
from motet.data.convert import estimate_up
from motet.data.formats._files import find_files, read_bytes
from motet.data.formats._names import NamePattern
from motet.data.formats.base import Format, Plan, RawClip, Unit, units_of
from motet.data.skeletons import Skeleton

METRES = {"m": 1.0, "dm": 0.1, "cm": 0.01, "mm": 0.001, "in": 0.0254, "inch": 0.0254, "ft": 0.3048}
_MODELLED = ("ANGLES", "FORCES", "MOMENTS", "POWERS", "SCALARS")  # groups of labels that are no positions
PLUG_IN_GAIT = "ui-prmd-39"
_SAME_RATE = 0.01  # relative


@dataclass(frozen=True)
class Options:
    """Options of the ``c3d`` format.

    Attributes:
        skeleton: built-in layout or TOML file whose joints are markers of every file; by default the plug-in gait
            markers where the first file has them, else all of its markers, without bones.
        unit: of the coordinates, if the files do not say or are wrong.
        pattern: regular expression on the path, with groups ``label``, ``subject`` and so on.
        licence: terms of the recordings.
    """

    skeleton: str | None = None
    unit: str | None = None
    pattern: str | None = None
    licence: str = "unknown"


@dataclass(frozen=True)
class Markers:
    """What a file holds.

    Attributes:
        labels: of the markers, without the subject's name before a colon.
        points: (T, markers, 3) in the file's unit; lost = zero.
        fps: frames per second.
        unit: as the file says, lower case; empty if it does not.
    """

    labels: tuple[str, ...]
    points: npt.NDArray[np.float64]
    fps: float
    unit: str


def read_markers(path: Path) -> Markers:
    """Every labelled marker of a file.

    Raises:
        ConfigError: the package ``c3d`` is not installed.
        DataError: not a C3D file, a damaged one, or one without markers.
    """
    if importlib.util.find_spec("c3d") is None:
        raise ConfigError(
            "C3D files are read with the package c3d, which is not installed: pip install '.[c3d]' in the folder "
            "of motet"
        )
    import c3d

    data = read_bytes(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader = c3d.Reader(io.BytesIO(data))
            found = _labels(reader)
            rows = [points for _, points, _ in reader.read_frames(copy=True)]
            fps, unit = float(reader.point_rate), _text(reader, "POINT:UNITS")
    except Exception as error:  # the package lets all sorts of errors out on damaged files
        raise DataError(f"{path} is no C3D file that can be read ({type(error).__name__}: {error!s:.80})") from error
    points = np.array(rows, dtype=np.float64) if rows else np.zeros((0, 0, 5))
    kept = [i for i, label in enumerate(found) if label and i < points.shape[1]]
    labels = tuple(found[i] for i in kept)
    if not labels or not len(points):
        raise DataError(f"{path}: it holds no labelled marker in any frame")
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise DataError(f"{path}: two markers are labelled {twice}")
    if not 0 < fps < 1e5:
        raise DataError(f"{path}: {fps:g} frames per second are not plausible")
    points = points[:, kept]
    points[(points[..., 3] < 0) | ~np.isfinite(points[..., :3]).all(axis=-1)] = 0
    return Markers(labels, points[..., :3], fps, unit.lower())


def _text(reader: Any, name: str) -> str:
    found = reader.get(name)
    return "" if found is None else str(found.string_value).strip()


def _labels(reader: Any) -> list[str]:
    """Label of every point; empty for those that are no marker."""
    modelled = set()
    for group in _MODELLED:
        found = reader.get(f"POINT:{group}")
        if found is not None:
            modelled |= {str(label).strip() for label in np.ravel(found.string_array)}
    labels = [str(label).strip() for label in reader.point_labels]
    return ["" if x in modelled or x.startswith("*") else x.rpartition(":")[2].strip() for x in labels]


def _skeleton(labels: Sequence[str], options: Options) -> Skeleton:
    """The layout asked for, the built-in one of the plug-in gait model where its markers are there, or bare markers."""
    if options.skeleton is not None:
        return layouts.get(options.skeleton)
    known = layouts.get(PLUG_IN_GAIT)
    if set(known.joints) <= set(labels):
        return known
    return layouts.build(f"c3d-{len(labels)}", labels, [-1] * len(labels), up="+z")


def _frames(markers: Markers, joints: Sequence[str], path: Path, options: Options) -> npt.NDArray[np.float64]:
    """(T, V, 3) metres of the markers that are wanted.

    Raises:
        DataError: one of them is not there, or the unit is unknown.
    """
    missing = [j for j in joints if j not in markers.labels]
    if missing:
        raise DataError(
            f"{path} lacks the markers {', '.join(missing[:5])}; it has {', '.join(markers.labels[:60])}: "
            "name a layout of markers that all files have with --skeleton"
        )
    unit = (options.unit or markers.unit).lower()
    if unit not in METRES:
        said = f"its unit is {markers.unit!r}" if markers.unit else "it does not say its unit"
        raise DataError(f"{path}: {said}; give one of {', '.join(METRES)} with --unit")
    return markers.points[:, [markers.labels.index(j) for j in joints]] * METRES[unit]


def discover(source: Path, options: Options) -> Plan:
    if options.unit is not None and options.unit.lower() not in METRES:
        raise ConfigError(f"option unit is {options.unit!r}; it must be one of {', '.join(METRES)}")
    units = units_of(find_files(source, r"(?i).+\.c3d(\.gz)?", what="C3D files (*.c3d)"), source)
    names = NamePattern(options.pattern, [u.name for u in units])
    skeleton, fps = _first(units, options)
    return Plan(
        units=[
            Unit(u.name, u.path, {"joints": skeleton.joints, "fps": fps, "columns": names.columns(u.name)})
            for u in units
        ],
        skeleton=skeleton,
        fps=fps,
        class_names=tuple(names.class_names),
        licence=options.licence,
        facts={"split": "odd-even"},
    )


def _first(units: Sequence[Unit], options: Options) -> tuple[Skeleton, float]:
    """Layout and rate of the first file that can be read."""
    reason: DataError | None = None
    for unit in units:
        try:
            markers = read_markers(unit.path)
            skeleton = _skeleton(markers.labels, options)
            frames = _frames(markers, skeleton.joints, unit.path, options)
        except DataError as error:
            reason = reason or error  # *read* will say so again, and can be told to go on
            continue
        return dataclasses.replace(skeleton, up=estimate_up(frames, skeleton) or skeleton.up), markers.fps
    raise reason or DataError("there are no files")


def read(unit: Unit, options: Options) -> list[RawClip]:
    markers = read_markers(unit.path)
    frames = _frames(markers, unit.detail["joints"], unit.path, options)
    wanted = unit.detail["fps"]
    if abs(markers.fps - wanted) > _SAME_RATE * wanted:
        raise DataError(f"{unit.path} has {markers.fps:g} frames/s, others {wanted:g}, and an archive has one rate")
    return [RawClip(re.sub(r"(?i)\.c3d(\.gz)?$", "", unit.name), frames, columns=unit.detail["columns"])]


FORMAT = Format(description="C3D marker files", options=Options, discover=discover, read=read)
