"""PYSKL and MMAction2: a whole set of skeletons in one pickle.

A dict with ``annotations``, a list of ``{"frame_dir", "label", "total_frames", "keypoint" (M, T, V, C),
"keypoint_score" (M, T, V), "img_shape" (height, width)}``, and ``split``: names of clips under ``xsub_train``,
``xsub_val`` and so on; or the bare list. Three coordinates are metres, two are pixels. Nothing that the pickle names
is imported or called (:mod:`motet.data.formats._pickle`).
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError
from motet.core.text import counted
from motet.data import layouts
from motet.data.formats import _pickle
from motet.data.formats._files import find_files, read_bytes, read_text, version
from motet.data.formats.base import Column, Format, Plan, RawClip, Unit
from motet.data.skeletons import Skeleton

LAYOUTS = {
    (25, 3): "kinect-v2",
    (20, 3): "kinect-v1",
    (17, 2): "coco-17",
    (18, 2): "openpose-18",
    (25, 2): "openpose-25",
}
_NTU = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")
_SPLIT = re.compile(r"(?:(.+)_)?(train|val|test)(\d*)")
MOST_CLASSES = 100_000


@dataclass(frozen=True)
class Options:
    """Options of the ``pyskl`` format.

    Attributes:
        skeleton: built-in layout or TOML file; by default the one with as many joints and coordinates.
        persons: people kept of a clip: those with the highest confidence, or in three dimensions the first.
        fps: frames per second.
        classes: text file with the name of a class on each line, from label 0.
        licence: terms of the recordings.
    """

    skeleton: str | None = None
    persons: int = 2
    fps: float | None = 30.0
    classes: Path | None = None
    licence: str = "unknown"


def load(path: Path) -> tuple[list[Mapping[str, Any]], Mapping[str, Any]]:
    """Annotations and splits of a file.

    Raises:
        DataError: no pickle, a damaged one, one that names anything but arrays, or without annotations.
    """
    return _load(path, *version(path))


@lru_cache(maxsize=1)  # clips are units of their own, so that one bad clip can be skipped; the file is read once
def _load(path: Path, mtime: int, size: int) -> tuple[list[Mapping[str, Any]], Mapping[str, Any]]:
    try:
        content = _pickle.load(io.BytesIO(read_bytes(path)))
    except DataError:
        raise
    except Exception as error:  # a damaged pickle may raise anything, and nothing here has side effects
        raise DataError(f"{path} is no pickle of plain data and arrays ({error!s:.100})") from error
    split: Any = {}
    if isinstance(content, dict):
        split = content.get("split") or {}
        content = content.get("annotations")
    if not isinstance(content, list) or not content or not isinstance(split, dict):
        raise DataError(f"{path}: neither a list of annotations nor a dict with 'annotations' and 'split'")
    for number, row in enumerate(content):
        if not isinstance(row, dict) or not isinstance(row.get("frame_dir", row.get("filename")), str):
            raise DataError(f"{path}, annotation {number}: it has no frame_dir")
    return content, split


def _name(row: Mapping[str, Any]) -> str:
    return str(row.get("frame_dir", row.get("filename")))


def keypoints(row: Mapping[str, Any], where: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    """(M, T, V, C) key points of an annotation, and (M, T, V) confidences if it has them.

    Raises:
        DataError: missing, not numbers, or shapes that do not fit.
    """
    if "keypoint" not in row:
        reason = "it has no keypoint; in Kinetics-400 they are files of their own, which must be put in first"
        raise DataError(f"{where}: {reason}")
    try:
        points = _pickle.numbers(row["keypoint"])
        scores = None if row.get("keypoint_score") is None else _pickle.numbers(row["keypoint_score"])
    except Exception as error:  # sizes and types of a damaged file
        raise DataError(f"{where}: its key points are no array of numbers ({error!s:.80})") from error
    if points.ndim != 4 or points.shape[3] not in (2, 3) or 0 in points.shape or points.dtype.kind not in "fiu":
        raise DataError(f"{where}: keypoint of shape {points.shape} instead of (people, frames, joints, 2 or 3)")
    if scores is not None and (scores.shape != points.shape[:3] or scores.dtype.kind not in "fiu"):
        raise DataError(f"{where}: keypoint_score of shape {scores.shape} does not fit keypoint {points.shape}")
    return points, scores


def _sides(split: Mapping[str, Any]) -> tuple[dict[str, dict[str, str]], str | None]:
    """Column → clip → side, and the rule that uses the first column with both sides."""
    columns: dict[str, dict[str, str]] = {}
    for name, clips in split.items():
        found = _SPLIT.fullmatch(str(name))
        column, side = (f"{found[1] or 'split'}{found[3]}", found[2]) if found else (f"split_{name}", "in")
        for clip in clips if isinstance(clips, list | tuple) else ():
            columns.setdefault(column, {})[str(clip)] = side
    rule = None
    for column, clips in columns.items():
        test = next((s for s in ("val", "test") if s in clips.values()), None)
        if rule is None and test and "train" in clips.values():
            rule = f"column:{column}=train,{test}"
    return columns, rule


def _columns(row: Mapping[str, Any]) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    label = row.get("label")
    if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < MOST_CLASSES:
        columns["label"] = label
    found = _NTU.search(_name(row))
    if found:
        setup, camera, subject, repetition, _ = (int(g) for g in found.groups())
        columns |= {"setup": setup, "camera": camera, "subject": subject, "repetition": repetition}
    shape = row.get("img_shape")
    if isinstance(shape, tuple | list) and len(shape) == 2 and all(isinstance(n, int) for n in shape):
        columns |= {"height": shape[0], "width": shape[1]}
    return columns


def _skeleton(shape: Sequence[int], options: Options, path: Path) -> Skeleton:
    joints, channels = shape[2], shape[3]
    if options.skeleton is None and (joints, channels) not in LAYOUTS:
        known = ", ".join(f"{v} × {c}" for v, c in LAYOUTS)
        raise DataError(
            f"{path}: {counted(joints, 'joint')} of {counted(channels, 'coordinate')}; known are {known}: name a "
            f"layout with --skeleton"
        )
    return layouts.get(options.skeleton or LAYOUTS[joints, channels])


def discover(source: Path, options: Options) -> Plan:
    if options.persons < 1:
        raise ConfigError(f"option persons is {options.persons}; it must be at least 1")
    files = find_files(source, r"(?i).+\.(pkl|pickle)", what="pickles of PYSKL or MMAction2 (*.pkl)")
    if len(files) > 1:
        raise DataError(f"{source} holds {counted(len(files), 'pickle')}; import one at a time, e.g. {files[0]}")
    path = files[0]
    rows, split = load(path)
    found = [keypoints(row, f"{path}, {_name(row)}") if "keypoint" in row else None for row in rows]
    there = [f for f in found if f is not None]
    if not there:
        keypoints(rows[0], f"{path}, {_name(rows[0])}")
    points = there[0][0]
    sides, rule = _sides(split)
    names = () if options.classes is None else tuple(x for x in read_text(options.classes).splitlines() if x.strip())
    flat = points.shape[3] == 2
    return Plan(
        units=[
            Unit(_name(row), path, {"row": i, "sides": {c: s.get(_name(row)) for c, s in sides.items()}})
            for i, row in enumerate(rows)
        ],
        skeleton=_skeleton(points.shape, options, path),
        persons=min(options.persons, max(len(f[0]) for f in there)),
        fps=options.fps,
        measure="px" if flat else "m",
        channels=("x", "y") if flat else ("x", "y", "z"),
        class_names=names,
        licence=options.licence,
        confidence=all(f[1] is not None for f in there),
        light=True,
        facts={"split": rule or "odd-even"},
    )


def read(unit: Unit, options: Options) -> list[RawClip]:
    rows, _ = load(unit.path)
    row, where = rows[unit.detail["row"]], f"{unit.path}, {unit.name}"
    points, scores = keypoints(row, where)
    frames = points.transpose(1, 0, 2, 3).astype(np.float32)
    certain = None if scores is None else scores.transpose(1, 0, 2).astype(np.float32)
    if not np.isfinite(frames).all() or not (certain is None or np.isfinite(certain).all()):
        raise DataError(f"{where}: a coordinate or confidence is NaN or infinite")
    there = frames.any(axis=(0, 2, 3))
    if certain is not None:
        frames = np.where(certain[..., None] > 0, frames, 0)
        best = np.argsort(-certain.sum(axis=(0, 2)), kind="stable")[: options.persons]
    else:
        best = np.argsort(~there, kind="stable")[: options.persons]  # those who are there, in the order of the file
    columns = {**_columns(row), **unit.detail["sides"], "people": int(there.sum())}
    return [RawClip(unit.name, frames[:, best], None if certain is None else certain[:, best].clip(0, None), columns)]


FORMAT = Format(
    description="PYSKL and MMAction2 pickles (.pkl)", options=Options, discover=discover, read=read, example="set.pkl"
)
