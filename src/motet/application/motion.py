"""Recordings as the page plays and draws them: windows of frames, envelopes of signals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError
from motet.data.archive import MotionArchive
from motet.report.motion import ASSUMED_FPS, dimensions, facing, to_screen

Float32 = npt.NDArray[np.float32]
MAX_FRAMES = 1200
"""frames of one window that is played: 40 s at 30 frames per second."""
MAX_POINTS = 4000
"""columns of an envelope: more than a screen has."""
BLOCK = 65_536
"""frames read at once where a whole recording is summarised."""


@dataclass(frozen=True)
class Window:
    """Frames of one recording.

    Attributes:
        meta: what the page must know to draw them; plain data for JSON.
        values: little-endian float32, absent joints NaN.
    """

    meta: dict[str, Any]
    values: Float32


def rate(archive: MotionArchive) -> float:
    """Frames per second; the one that playback assumes where it is unknown."""
    return float(archive.fps or ASSUMED_FPS)


def play(archive: MotionArchive, clip: int, start: float, end: float) -> Window:
    """Skeletons of a clip between two times, in screen axes (x right, y up, z towards the viewer).

    Args:
        archive: recordings.
        clip: row of the archive.
        start, end: seconds; clipped to the recording.

    Returns:
        (T, P, V, 2 or 3) with at most :data:`MAX_FRAMES` frames: every ``stride``-th where there are more.
    """
    first, last = _range(archive, clip, start, end)
    stride = -(-(last - first) // MAX_FRAMES)
    frames = np.asarray(archive.clip(clip)[first:last:stride], dtype=np.float64)
    dims = dimensions(archive.skeleton, archive.channels)
    present = _seen(frames)
    turned = to_screen(frames, archive.skeleton, dims)
    seen = turned[present] if present.any() else np.zeros((1, dims))
    low, high = np.percentile(seen, [1, 99], axis=0)
    values = np.where(present[..., None], turned, np.nan).astype("<f4")
    return Window(
        {
            "shape": list(values.shape),
            "start": first / rate(archive),
            "fps": rate(archive) / stride,
            "middle": ((low + high) / 2).tolist(),
            "size": float(np.max(high - low)) or 1.0,
            "yaw": facing(turned, present, archive.skeleton) if dims == 3 else 0.0,
        },
        values,
    )


def envelope(archive: MotionArchive, clip: int, start: float, end: float, points: int) -> Window:
    """Lowest and highest value of every channel in each of ``points`` equal parts of a time range.

    Of sensors the channels are their readings; of bodies there is one, the mean speed of all joints that are seen.

    Returns:
        (points, channels, 2); NaN where nothing was recorded.
    """
    first, last = _range(archive, clip, start, end)
    points = max(1, min(points, MAX_POINTS, last - first))
    edges = np.linspace(first, last, points + 1).round().astype(np.int64)
    sensor = archive.skeleton.kind == "sensor"
    names = sensor_channels(archive) if sensor else ["speed"]
    found = np.full((points, len(names), 2), np.nan, dtype="<f4")
    frames = archive.clip(clip)
    column = 0
    while column < points:
        # whole columns in blocks of frames, so that hours of recording need little memory
        stop = max(column + 1, int(np.searchsorted(edges, edges[column] + BLOCK, side="right")) - 1)
        stop = min(stop, points)
        low, high = edges[column], edges[stop]
        part = np.asarray(frames[max(low - 1, 0) : high], dtype=np.float32)
        values = part[low - max(low - 1, 0) :].reshape(high - low, -1) if sensor else _speed(part, low > 0, archive)
        for number in range(column, stop):
            own = values[edges[number] - low : edges[number + 1] - low]
            if len(own) and not np.isnan(own).all():
                found[number, :, 0] = np.nanmin(own, axis=0)
                found[number, :, 1] = np.nanmax(own, axis=0)
        column = stop
    spread = [float(np.nanmin(found)), float(np.nanmax(found))] if np.isfinite(found).any() else [0.0, 1.0]
    units = [unit_of(name, archive.units) for name in names] if sensor else [f"{archive.units}/s"]
    return Window(
        {
            "shape": list(found.shape),
            "start": first / rate(archive),
            "end": last / rate(archive),
            "names": names,
            "units": units,
            "range": spread,
        },
        found,
    )


def sensor_channels(archive: MotionArchive) -> list[str]:
    """Name of every column of a sensor's flattened readings: ``node channel`` in the archive's own words."""
    nodes = archive.skeleton.joints
    one = len(nodes) == 1
    people = [""] if archive.persons == 1 else [f" ({p + 1})" for p in range(archive.persons)]
    return [(c if one else f"{n} {c}") + p for p in people for n in nodes for c in archive.channels]


def unit_of(channel: str, units: str) -> str:
    """Unit of one channel where an archive states those of accelerations and rates of turning: ``m/s^2, rad/s``."""
    both = units.replace("^2", "²").split(", ")
    turning = "gyro" in channel.lower()
    return both[turning] if len(both) == 2 and (turning or "acc" in channel.lower()) else ", ".join(both)


def _speed(frames: Float32, led: bool, archive: MotionArchive) -> Float32:
    """(T, 1) mean speed of the joints that are seen in a frame and the one before; ``led``: frame 0 comes before."""
    present = _seen(frames)
    moved = np.linalg.norm(np.diff(frames, axis=0), axis=-1) * rate(archive)
    both = present[1:] & present[:-1]
    count = both.sum(axis=(1, 2))
    total = np.where(both, moved, 0.0).sum(axis=(1, 2))
    speed = np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
    if not led:
        speed = np.concatenate([speed[:1] if len(speed) else np.full(1, np.nan, np.float32), speed])
    return speed[:, None]


def _seen(frames: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """(T, P, V) whether a joint was recorded."""
    return np.asarray((frames != 0).any(axis=-1))


def _range(archive: MotionArchive, clip: int, start: float, end: float) -> tuple[int, int]:
    """Frames of a time range, at least one."""
    if not 0 <= clip < len(archive):
        raise ConfigError(f"there is no recording {clip}; the archive has {len(archive)}")
    if not (np.isfinite(start) and np.isfinite(end)):
        raise ConfigError("start and end must be numbers of seconds")
    length = int(archive.lengths[clip])
    first = int(np.clip(np.floor(start * rate(archive)), 0, length - 1))
    last = int(np.clip(np.ceil(end * rate(archive)), first + 1, length))
    return first, last
