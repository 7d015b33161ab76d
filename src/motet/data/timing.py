"""Readings with time stamps, brought onto one clock of a stated rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import DataError
from motet.core.text import counted

Array = npt.NDArray[np.floating[Any]]
MOST, MOST_MORE = 1_000_000, 100  # samples on a clock: in any case, and for each sample recorded
LONGEST_GAP = 0.5  # seconds that are interpolated; longer ones are absent


def clock(times: Sequence[Array], fps: float) -> npt.NDArray[np.float64]:
    """(T,) moments at ``fps`` of the time that all sensors share; empty if they share none.

    Args:
        times: (n,) rising seconds of each sensor, on one clock.
        fps: samples per second wanted.

    Raises:
        DataError: stamps so far apart that the clock would have far more samples than were recorded.
    """
    start, end = max(float(t[0]) for t in times), min(float(t[-1]) for t in times)
    count = int(np.floor((end - start) * fps + 1e-6)) + 1
    if count > MOST + MOST_MORE * sum(map(len, times)):
        raise DataError(
            f"{counted(sum(map(len, times)), 'sample')} over {end - start:.4g} s would become {count:,} at {fps:g} a "
            "second; correct the time stamps, or lower the rate"
        )
    moments: npt.NDArray[np.float64] = start + np.arange(max(0, count)) / fps
    return moments


def resample(times: Array, values: Array, at: Array, *, longest_gap: float = LONGEST_GAP) -> npt.NDArray[np.float32]:
    """(T, C) readings at the moments ``at``: linear between neighbours, absent (zero) inside gaps and outside.

    Several readings of one moment are averaged; steps back in time are sorted away.

    Args:
        times: (n,) seconds.
        values: (n, C) readings.
        at: (T,) seconds.
        longest_gap: seconds between neighbours beyond which what lies between counts as absent.
    """
    moments, place = np.unique(times, return_inverse=True)
    sums = np.zeros((len(moments), values.shape[1]))
    np.add.at(sums, place, values)
    means = sums / np.bincount(place)[:, None]
    after = np.clip(np.searchsorted(moments, at, side="left"), 1 if len(moments) > 1 else 0, len(moments) - 1)
    before = np.maximum(after - 1, 0)
    width = moments[after] - moments[before]
    share = np.where(width > 0, (at - moments[before]) / np.where(width > 0, width, 1), 0.0)
    result = means[before] * (1 - share[:, None]) + means[after] * share[:, None]
    exact = np.isin(at, moments)
    absent = ((width > longest_gap) & ~exact) | (at < moments[0] - 1e-9) | (at > moments[-1] + 1e-9)
    result[absent] = 0
    return np.asarray(result, dtype=np.float32)


def nearest(times: Array, values: npt.NDArray[Any], at: Array) -> npt.NDArray[Any]:
    """(T,) value of the reading nearest to each moment, e.g. its label.

    Args:
        times: (n,) rising seconds.
        values: (n,) anything.
        at: (T,) seconds.
    """
    after = np.clip(np.searchsorted(times, at), 0, len(times) - 1)
    before = np.maximum(after - 1, 0)
    closer = np.abs(at - times[before]) <= np.abs(times[after] - at)
    return np.asarray(values[np.where(closer, before, after)])


def resampled(frames: npt.NDArray[Any], old: float, new: float) -> npt.NDArray[np.float32]:
    """(T', …) frames at another rate: means where it falls, linear in between; absent next to absent."""
    at = np.arange(max(1, round(len(frames) * new / old))) * (old / new)
    at = np.minimum(at, len(frames) - 1)
    low = at.astype(np.int64)
    high, share = np.minimum(low + 1, len(frames) - 1), (at - low).reshape(-1, *[1] * (frames.ndim - 1))
    there = (frames != 0).any(axis=-1, keepdims=True)
    mixed = frames[low] * (1 - share) + frames[high] * share
    near = np.where(share < 0.5, frames[low], frames[high])
    return np.asarray(np.where(there[low] & there[high], mixed, near), dtype=np.float32)
