"""People or animals whom a tracker mistook for each other."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]

UNSEEN = 15  # frames at most in which one of both is not seen while they are mistaken
STEP = 0.3  # of its length, that neither goes from one frame to the next; unseen it may go its whole length
CLEAR = 0.3  # of the way that both would have gone, as long as the one that they go if they are each other


def swapped(frames: npt.NDArray[Any], joints: Mask, starts: npt.NDArray[np.int64]) -> Mask:
    """(T,) frames from which on two bodies are where the other one was, further than they go meanwhile.

    Args:
        frames: (T, P, V, C) of whole clips.
        joints: (T, P, V) which joints were seen.
        starts: where clips begin.
    """
    out = np.zeros(len(frames), dtype=np.bool_)
    bodies: Mask = np.asarray(joints.any(axis=2))
    if frames.shape[1] < 2 or not bodies.any():
        return out
    clip = np.searchsorted(starts, np.arange(len(frames)), side="right")
    with np.errstate(over="ignore", invalid="ignore"):
        middle = (frames * joints[..., None]).sum(axis=2, dtype=np.float64) / np.maximum(joints.sum(2), 1)[..., None]
        there = joints[bodies][..., None]
        high = np.where(there, frames[bodies], -np.inf).max(axis=1)
        long = float(np.median((high - np.where(there, frames[bodies], np.inf).min(axis=1)).max(axis=1)))
        for a, b in combinations(range(frames.shape[1]), 2):
            both = np.flatnonzero(bodies[:, a] & bodies[:, b])
            before, now = both[:-1], both[1:]
            close = (now - before <= UNSEEN) & (clip[now] == clip[before])
            before, now = before[close], now[close]
            kept = [_way(middle, before, now, p, p) for p in (a, b)]
            other = _way(middle, before, now, a, b) + _way(middle, before, now, b, a)
            least = long * np.where(now - before > 1, 1, STEP)
            out[now] |= (np.minimum(*kept) > least) & (other < CLEAR * (kept[0] + kept[1]))
    return out


def _way(
    middle: npt.NDArray[np.float64], before: npt.NDArray[np.int64], now: npt.NDArray[np.int64], one: int, then: int
) -> npt.NDArray[np.float64]:
    """(n,) distance from where ``one`` was to where ``then`` is."""
    return np.asarray(np.linalg.norm(middle[now, then] - middle[before, one], axis=-1))
