"""NWB files with poses (the extension ndx-pose), one file a session.

A ``PoseEstimation`` holds a ``PoseEstimationSeries`` for each point: ``data`` (frames, 2 or 3), ``confidence`` and
``timestamps`` in seconds, or a starting time with a rate; its ``edges`` become the bones. Each is a recording of its
own.
Read with ``h5py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from motet.core.errors import DataError
from motet.data.formats import _time
from motet.data.formats._h5 import array, edges, read_h5, texts
from motet.data.formats._points import PointFormat, PointOptions, Recording
from motet.data.formats.sleap import parents_of


@dataclass(frozen=True)
class Options(PointOptions):
    """Options of the ``nwb`` format.

    Attributes:
        unit: of three coordinates; two are pixels.
    """

    unit: str = "as recorded"


def _kind(attributes: Any) -> str:
    return (texts(attributes.get("neurodata_type")) or [""])[0]


def _series(items: Any, name: str, path: Path) -> tuple[Any, Any, Any]:
    """Data, confidence and timing of one point."""
    data = array(items, f"{name}/data", path).astype(np.float64)
    if data.ndim != 2 or data.shape[1] not in (2, 3) or not len(data):
        raise DataError(f"{path}: {name}/data of shape {data.shape} instead of (frames, 2 or 3)")
    sure = np.ones(len(data))
    if f"{name}/confidence" in items:
        sure = array(items, f"{name}/confidence", path).astype(np.float64)
    if f"{name}/timestamps" in items and items[f"{name}/timestamps"].values is not None:
        stamps = array(items, f"{name}/timestamps", path).astype(np.float64)
        times: Any = _time.in_seconds(stamps, "timestamps", path)
    else:
        start = items.get(f"{name}/starting_time")
        rate = None if start is None else start.attributes.get("rate")
        times = np.arange(len(data)) / rate if isinstance(rate, int | float) and rate > 0 else None
    if sure.shape != (len(data),) or (times is not None and times.shape != (len(data),)):
        raise DataError(f"{path}: confidence or timestamps of {name} do not fit its data")
    return data, sure, times


def _read(path: Path, options: Options) -> list[Recording]:
    wanted = ("*/data", "*/confidence", "*/timestamps", "*/starting_time", "*/nodes", "*/edges")
    items = read_h5(path, wanted)
    groups = [n for n, item in items.items() if _kind(item.attributes) == "PoseEstimation"]
    if not groups:
        raise DataError(f"{path}: it holds no PoseEstimation (extension ndx-pose)")
    recordings = []
    for group in groups:
        names = [
            n
            for n, item in items.items()
            if n.rpartition("/")[0] == group and _kind(item.attributes) == "PoseEstimationSeries"
        ]
        found = [_series(items, n, path) for n in names]
        if not found or len({f[0].shape for f in found}) > 1:
            raise DataError(f"{path}: the points of {group} are none, or have different numbers of frames")
        joints = [n.rpartition("/")[2].removeprefix("PoseEstimationSeries") for n in names]
        points = np.stack([f[0] for f in found], axis=1)
        sure = np.stack([f[1] for f in found], axis=1)
        seen = np.isfinite(points).all(axis=2) & np.isfinite(sure) & (sure > 0)
        times = found[0][2]
        timing = (
            _time.Timing(None, np.arange(len(points)), len(points)) if times is None else _time.of_stamps(times, path)
        )
        pairs = edges(items, f"{group}/edges")
        nodes = texts(items[f"{group}/nodes"].values) if f"{group}/nodes" in items else joints
        named = [
            (joints.index(nodes[a]), joints.index(nodes[b]))
            for a, b in pairs
            if 0 <= min(a, b) <= max(a, b) < len(nodes) and {nodes[a], nodes[b]} <= set(joints)
        ]
        recordings.append(
            Recording(
                tuple(joints),
                _time.spread(timing, np.where(seen[..., None], points, 0), f"{path}, {group}")[:, None],
                _time.spread(timing, np.where(seen, sure, 0))[:, None],
                fps=timing.fps,
                parents=tuple(parents_of(len(joints), named)) if named else None,
                name=group.rpartition("/")[2] if len(groups) > 1 else "",
            )
        )
    return recordings


FORMAT = PointFormat(
    files=r".+\.nwb",
    what="NWB files (*.nwb)",
    read=_read,
    prefix="nwb",
    measure=lambda channels, options: "px" if channels == 2 else options.unit,
    confidence=True,
).format("NWB files with poses (ndx-pose)", Options)
