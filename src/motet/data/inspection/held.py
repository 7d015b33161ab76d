"""What stays the same while the rest moves: joints that are frozen, readings that are stuck or cut off.

Recordings are noisy, so a joint or reading that is exactly equal for long was not measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.data.skeletons import Skeleton

Mask = npt.NDArray[np.bool_]
Frames = npt.NDArray[np.floating[Any]]
Starts = npt.NDArray[np.int64]

LONG_SECONDS, LONG_FRAMES = 2.0, 60  # of a frozen joint, from which no jump at its end is needed
JUMPS, WIDE = 4.0, 1.2  # at the end of a frozen joint: in medians, and in 95th percentiles, of its other steps
STUCK_SECONDS, STUCK_FRAMES = 0.5, 10  # of a reading; at least so many frames
ALIVE = 0.9  # share of these in which another reading of the node changes
RAIL = 0.999  # of the largest reading of a node in all recordings: the end of the sensor's range
TOPS = 3  # flat tops of one recording that show a smaller range
_ROUNDING = 1e-6
_LEAST = 20  # steps of the sensor between rest and the end of its range
_STEEP = 2.0  # medians of the steps into or out of a flat top of two frames


def runs(same: Mask) -> list[tuple[int, int]]:
    """(begin, end) of the runs of truth.

    >>> runs(np.array([False, True, True, False, True]))
    [(1, 3), (4, 5)]
    """
    edges = np.flatnonzero(np.diff(same.astype(np.int8), prepend=0, append=0))
    return list(zip(edges[0::2].tolist(), edges[1::2].tolist(), strict=True))


def _clips(starts: Starts, frames: int) -> Iterator[tuple[int, int]]:
    return zip(starts.tolist(), [*starts[1:].tolist(), frames], strict=True)


def _frames(seconds: float, fps: float | None, otherwise: int, whole: int) -> int:
    """How many frames so many seconds are, ``otherwise`` of an unknown rate; not much more than there are."""
    return otherwise if fps is None else round(min(seconds * fps, whole + 1))


def _repeated(frames: Frames, starts: Starts) -> Mask:
    """Whether each number equals that of the frame before, of the same clip."""
    same = np.zeros(frames.shape, dtype=np.bool_)
    np.equal(frames[1:], frames[:-1], out=same[1:])
    same[starts] = False
    return same


def lost_joints(
    frames: Frames, joints: Mask, starts: Starts, skeleton: Skeleton, shortest: int, fps: float | None
) -> Mask:
    """(F,) frames in which a joint is where it was for ``shortest`` steps and more while the body moves, and from where
    it jumps, as it had moved on; or in which it is there for two seconds.

    A tracker holds a limb that rests at one place too, but that continues as before. Roots that never move in a
    clip, to which recordings are relative, do not count.

    Args:
        frames: (F, P, V, C).
        joints: (F, P, V) whether they are there.
        starts: first frame of each clip.
        skeleton: of the joints.
        shortest: steps.
        fps: frames per second, None if unknown.
    """
    same = _repeated(frames, starts).all(axis=3) & joints
    held = same & (joints & ~same).any(axis=(1, 2), keepdims=True)
    bad, lasting = np.zeros(len(frames), dtype=np.bool_), _frames(LONG_SECONDS, fps, LONG_FRAMES, len(frames))
    origin = np.array([name == "root" for name in skeleton.canonical])
    often = np.add.reduceat(held, starts, axis=0, dtype=np.int64) >= shortest
    spans = list(_clips(starts, len(frames)))
    for clip, person, joint in np.argwhere(often & ~origin).tolist():
        start, end = spans[clip]
        own, there = same[start:end, person, joint], joints[start:end, person, joint]
        if own[1:].all() and skeleton.parents[joint] in (-1, joint):
            continue
        with np.errstate(invalid="ignore"):
            steps = np.linalg.norm(np.diff(frames[start:end, person, joint], axis=0, prepend=np.nan), axis=1)
        moved = steps[1:][there[1:] & there[:-1] & ~own[1:]]
        usual = max(JUMPS * np.median(moved), WIDE * np.percentile(moved, 95)) if len(moved) else np.inf
        for a, b in runs(own):
            torn = b < len(own) and there[b] and steps[b] > usual
            if held[start + a : start + b, person, joint].sum() >= (shortest if torn else lasting):
                bad[start + a - 1 : start + b] = True
    return bad


def stuck_readings(frames: Frames, nodes: Mask, starts: Starts, fps: float | None) -> Mask:
    """(F,) frames in which a reading is the same for half a second while others of its node change; of nodes with one
    reading, others of the sensor.

    Args:
        frames: (F, P, V, C).
        nodes: (F, P, V) whether they recorded anything.
        starts: first frame of each clip.
        fps: frames per second, None if unknown.
    """
    same, bad = _repeated(frames, starts), np.zeros(len(frames), dtype=np.bool_)
    others = ~same.all(axis=3 if frames.shape[3] > 1 else (1, 2, 3), keepdims=True)
    held = same & others & nodes[..., None]
    shortest = max(STUCK_FRAMES, _frames(STUCK_SECONDS, fps, STUCK_FRAMES, len(frames)))
    often = np.add.reduceat(held, starts, axis=0, dtype=np.int64) >= ALIVE * shortest
    spans = list(_clips(starts, len(frames)))
    for clip, person, node, reading in np.argwhere(often).tolist():
        start, end = spans[clip]
        own, alive = (mask[start:end, person, node, reading] for mask in (same, held))
        for a, b in runs(own):
            if b - a >= shortest and alive[a:b].mean() >= ALIVE:
                bad[start + a - 1 : start + b] = True
    return bad


def clipped_readings(frames: Frames, starts: Starts, largest: npt.NDArray[np.floating[Any]]) -> Mask:
    """(F,) frames in which a reading is cut off at the end of the sensor's range: flat tops at the largest reading of a
    node in all recordings, or three of one recording, high above what the sensor tells apart.

    Args:
        frames: (F, P, V, C).
        starts: first frame of each clip.
        largest: (V,) magnitude of the readings of each node in all recordings.
    """
    bad, spans = np.zeros(len(frames), dtype=np.bool_), list(_clips(starts, len(frames)))
    owner = np.repeat(np.arange(len(spans)), [b - a for a, b in spans])
    for sign in (1, -1):
        tops = np.maximum.reduceat(sign * frames, starts, axis=0)
        at = sign * frames >= tops[owner] - _ROUNDING * np.abs(tops[owner])
        at[1:] &= at[:-1]
        at[starts] = False
        for clip, person, node, reading in np.argwhere(np.logical_or.reduceat(at, starts, axis=0)).tolist():
            start, end = spans[clip]
            top = float(tops[clip, person, node, reading])
            flat = _flat_tops(sign * frames[start:end, person, node, reading].astype(np.float64), top)
            others = np.delete(frames[start:end, person, node], reading, axis=1)
            flat = [(a, b) for a, b in flat if not others.size or (others[a:b] != others[a]).any()]
            if len(flat) >= (1 if abs(top) >= RAIL * largest[node] else TOPS):
                for a, b in flat:
                    bad[start + a : start + b] = True
    return bad


def _flat_tops(values: npt.NDArray[np.float64], top: float) -> list[tuple[int, int]]:
    """Where (T,) values stay at their ``top``: for three frames, or for two between steep sides."""
    at = values >= top - _ROUNDING * abs(top)
    steps = np.abs(np.diff(values))
    steps = steps[steps > 0]
    if not len(steps) or top - np.median(values) < _LEAST * steps.min():
        return []
    steep, padded = _STEEP * float(np.median(steps)), np.concatenate([[top], values, [top]])

    def kept(a: int, b: int) -> bool:
        return b - a > 2 or (b - a == 2 and top - min(padded[a], padded[b + 1]) >= steep)

    return [(a, b) for a, b in runs(at) if kept(a, b)]
