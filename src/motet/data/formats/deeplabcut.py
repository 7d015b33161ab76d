"""DeepLabCut: body parts of animals or people in a video, as tables (``.csv``), one file a clip.

Columns have a header of several rows: scorer, individuals (in projects with several animals), bodyparts, coords
(``x, y, likelihood``, or ``x, y, z`` of a triangulated project). Two coordinates are pixels. The ``.h5`` files beside
the tables are not read: the header inside is a pickle.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError
from motet.data import layouts
from motet.data.formats._files import find_files, read_text
from motet.data.formats._names import NamePattern
from motet.data.formats.base import Format, Plan, RawClip, Unit, units_of
from motet.data.skeletons import Skeleton

_LEVELS = ("scorer", "individuals", "bodyparts", "coords")
_SCORER = re.compile(r"DLC_.*$")  # what DeepLabCut adds to the video's name
Column = tuple[str, str, str]
"""Individual ("" if there is one), body part, coordinate."""


@dataclass(frozen=True)
class Options:
    """Options of the ``deeplabcut`` format.

    Attributes:
        skeleton: layout (TOML file) with the body parts; by default those of the files, without bones.
        likelihood: below it a body part is absent.
        fps: frames per second of the videos.
        unit: of three coordinates; two are always pixels.
        pattern: regular expression on the path, with groups ``label``, ``subject`` and so on.
        licence: terms of the recordings.
    """

    skeleton: str | None = None
    likelihood: float = 0.0
    fps: float | None = None
    unit: str = "as recorded"
    pattern: str | None = None
    licence: str = "unknown"


@dataclass(frozen=True)
class Tracks:
    """What a file holds.

    Attributes:
        parts: body parts.
        points: (T, individuals, parts, 2 or 3); absent = zero.
        likelihood: (T, individuals, parts), 1 where the file has none.
        individuals: their names.
    """

    parts: tuple[str, ...]
    points: npt.NDArray[np.float32]
    likelihood: npt.NDArray[np.float32]
    individuals: tuple[str, ...]


def _table(path: Path) -> tuple[list[Column], npt.NDArray[np.float64]]:
    try:
        rows = list(csv.reader(io.StringIO(read_text(path))))
    except csv.Error as error:
        raise DataError(f"{path} is no table ({error})") from error
    header: dict[str, list[str]] = {}
    while len(header) < len(rows) and rows[len(header)] and rows[len(header)][0] in _LEVELS:
        header[rows[len(header)][0]] = rows[len(header)][1:]
    if "bodyparts" not in header or "coords" not in header:
        raise DataError(f"{path}: its first lines are not DeepLabCut's header ({', '.join(_LEVELS)})")
    count = len(header["coords"])
    if any(len(level) != count for level in header.values()):
        raise DataError(f"{path}: the lines of its header have different lengths")
    values = []
    for number, row in enumerate(rows[len(header) :], len(header) + 1):
        if not any(row):
            continue
        if len(row) != count + 1:
            raise DataError(f"{path}, line {number}: {len(row)} cells where {count + 1} are due (is it cut off?)")
        try:
            values.append([float(cell) if cell else np.nan for cell in row[1:]])
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}") from error
    who = header.get("individuals", [""] * count)
    return list(zip(who, header["bodyparts"], header["coords"], strict=True)), np.array(values).reshape(-1, count)


def read_tracks(path: Path) -> Tracks:
    """Body parts of every frame.

    Raises:
        DataError: no table of DeepLabCut; names the line.
    """
    columns, values = _table(path)
    place = {column: i for i, column in enumerate(columns)}
    if not len(values) or len(place) < len(columns):
        raise DataError(f"{path}: it has no frames, or two columns of one name")
    # the part "single" of projects with several animals belongs to none of them
    individuals = [i for i in dict.fromkeys(c[0] for c in columns) if i != "single"]
    parts = list(dict.fromkeys(part for who, part, _ in columns if who != "single"))
    axes = [a for a in "xyz" if any(c[2] == a for c in columns)]
    if not parts or axes not in (["x", "y"], ["x", "y", "z"]):
        raise DataError(f"{path}: its columns have no coords x and y")
    missing = [(w, p, a) for w in individuals for p in parts for a in axes if (w, p, a) not in place]
    if missing:
        raise DataError(f"{path}: there is no column {' '.join(filter(None, missing[0]))}")
    points = np.stack([[[values[:, place[w, p, a]] for a in axes] for p in parts] for w in individuals])
    likelihood = np.ones(points.shape[:2] + points.shape[3:])
    for i, who in enumerate(individuals):
        for j, part in enumerate(parts):
            column = place.get((who, part, "likelihood"))
            if column is not None:
                likelihood[i, j] = values[:, column]
    points, likelihood = points.transpose(3, 0, 1, 2), likelihood.transpose(2, 0, 1)
    seen = np.isfinite(points).all(axis=-1) & np.isfinite(likelihood)
    return Tracks(
        tuple(parts),
        np.where(seen[..., None], points, 0).astype(np.float32),
        np.where(seen, likelihood, 0).clip(0, None).astype(np.float32),
        tuple(individuals),
    )


def _skeleton(parts: Sequence[str], options: Options, channels: int) -> Skeleton:
    if options.skeleton is not None:
        return layouts.get(options.skeleton)
    up = "-y" if channels == 2 else "+z"
    return layouts.match(parts) or layouts.build(f"deeplabcut-{len(parts)}", parts, [-1] * len(parts), up=up)


def discover(source: Path, options: Options) -> Plan:
    if not 0 <= options.likelihood <= 1:
        raise ConfigError(f"option likelihood is {options.likelihood}; it must be between 0 and 1")
    what = "tables of DeepLabCut (*.csv; write them with deeplabcut.analyze_videos_converth5_to_csv)"
    units = units_of(find_files(source, r"(?i).+\.csv(\.gz)?", what=what), source)
    names = NamePattern(options.pattern, [u.name for u in units])
    first, persons, reason = None, 1, None
    for unit in units:
        try:
            tracks = read_tracks(unit.path)
        except DataError as error:
            reason = reason or error  # *read* will say so again, and can be told to go on
            continue
        first, persons = first or tracks, max(persons, len(tracks.individuals))
    if first is None:
        raise reason or DataError(f"{source} holds no tables")
    channels = first.points.shape[3]
    skeleton = _skeleton(first.parts, options, channels)
    detail = {"parts": skeleton.joints, "channels": channels}
    return Plan(
        units=[Unit(u.name, u.path, {**detail, "columns": names.columns(u.name)}) for u in units],
        skeleton=skeleton,
        persons=persons,
        fps=options.fps,
        measure="px" if channels == 2 else options.unit,
        channels=("x", "y", "z")[:channels],
        class_names=tuple(names.class_names),
        licence=options.licence,
        confidence=True,
        facts={"split": "odd-even"},
    )


def read(unit: Unit, options: Options) -> list[RawClip]:
    tracks, detail = read_tracks(unit.path), unit.detail
    missing = [p for p in detail["parts"] if p not in tracks.parts]
    if missing or tracks.points.shape[3] != detail["channels"]:
        what = f"lacks the body parts {', '.join(missing)}" if missing else "has other coordinates than the first file"
        raise DataError(f"{unit.path} {what}; it has {', '.join(tracks.parts)}")
    order = [tracks.parts.index(p) for p in detail["parts"]]
    likelihood = tracks.likelihood[:, :, order]
    sure = (likelihood >= options.likelihood) & (likelihood > 0)
    frames = np.where(sure[..., None], tracks.points[:, :, order], 0)
    if not frames.any():
        raise DataError(f"{unit.path}: no body part was seen with a likelihood of at least {options.likelihood:g}")
    name = _SCORER.sub("", re.sub(r"(?i)\.csv(\.gz)?$", "", unit.name))
    columns: Mapping[str, str | int | None] = {**detail["columns"], "individuals": ", ".join(tracks.individuals)}
    return [RawClip(name, frames, np.where(sure, likelihood, 0), columns)]


FORMAT = Format(description="DeepLabCut tables (.csv)", options=Options, discover=discover, read=read)
