"""Clocks that run apart: what two sensors on one body say of it.

Stamps of one clock cannot say that it is fast. But sensors on one body move together: the lag at which their
magnitudes agree stays the same if both clocks agree, and grows along a line if one is fast. Windows of one sensor are
correlated with the other at every lag, and the line on which they agree best is sought (drift and first lag together,
as single windows of a cyclic movement agree at many lags).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
RATE = 20.0  # samples a second that are compared
WINDOW = 160  # samples
LONGEST = 900.0  # seconds of a recording that are looked at
SHORTEST = 60.0
MOST = 0.03  # drift that is looked for, either way
SLACK = 1.0  # seconds by which the first readings may be apart
LEAST = 0.3  # seconds that a drift must add up to
SHARED = 0.2  # correlation that sensors on one body reach at their best line
FEW, MANY = 10, 400  # recordings whose ends say something, and that are looked at
LEAST_SHARE = 0.002  # drift that their ends must exclude
GAIN = 0.12  # and by how much it must be above that without a drift


@dataclass(frozen=True)
class Drift:
    """How much faster the clock of a second sensor runs.

    Attributes:
        share: 0.01 is a per cent.
        shared: mean correlation of windows along that line.
        without: the same without a drift.
    """

    share: float
    shared: float
    without: float


def drift(times: Sequence[Array], readings: Sequence[npt.NDArray[np.floating[Any]]]) -> Drift | None:
    """Drift of the clock of the second of two sensors against the first; None if none can be seen.

    Args:
        times: (n,) rising seconds of each.
        readings: (n, C) of each; the magnitude of the first three counts.

    >>> drift([np.arange(9.0)] * 2, [np.ones((9, 3))] * 2) is None
    True
    """
    start = max(float(t[0]) for t in times)
    length = min(min(float(t[-1]) for t in times) - start, LONGEST)
    if length < SHORTEST:
        return None
    until = start + length * (1 + MOST)
    one, other = (
        _moving(t[inside], r[inside, :3])
        for t, r in zip(times, readings, strict=True)
        for inside in [(t >= start) & (t <= until)]
    )
    table, middles = _correlations(one[: int(length * RATE)], other, int((MOST * length + SLACK) * RATE))
    if len(middles) < SHORTEST * RATE / WINDOW / 2:
        return None
    shares, scores = _lines(table, middles)
    near = np.abs(shares) * length <= LEAST / 3
    best, without = int(scores.argmax()), float(scores[near].max())
    found = Drift(float(shares[best]), float(scores[best]), without)
    believed = found.shared >= SHARED and found.shared - without >= GAIN
    return found if believed and abs(found.share) * length >= LEAST else None


def _moving(times: Array, readings: npt.NDArray[np.floating[Any]]) -> Array:
    """Magnitude at :data:`RATE` from the first stamp on, without what lasts longer than a second."""
    place = np.floor((times - times[0]) * RATE).astype(np.int64)
    count = np.bincount(place)
    means = np.bincount(place, np.linalg.norm(readings, axis=1)) / np.maximum(count, 1)
    known = np.flatnonzero(count)
    values = np.interp(np.arange(len(count)), known, means[known])
    width = int(RATE)
    padded = np.pad(values, (width // 2, width - 1 - width // 2), mode="edge")
    return np.asarray(values - np.convolve(padded, np.ones(width) / width, "valid"))


def _correlations(one: Array, other: Array, span: int) -> tuple[Array, Array]:
    """(windows, 2 span + 1) correlation of windows of ``one`` with ``other`` at each lag, and (windows,) their middles.

    0 where ``other`` has ended; windows in which nothing moves are left out.
    """
    padded = np.pad(other, (span, max(0, len(one) + span - len(other))))
    spread = float(one.std())
    rows, middles = [], []
    for first in range(0, len(one) - WINDOW + 1, WINDOW):
        window = one[first : first + WINDOW] - one[first : first + WINDOW].mean()
        if window.std() <= spread / 20:
            continue
        piece = np.lib.stride_tricks.sliding_window_view(padded[first : first + 2 * span + WINDOW], WINDOW)
        size = np.sqrt((window @ window) * np.maximum((piece**2).sum(axis=1) - WINDOW * piece.mean(axis=1) ** 2, 0))
        rows.append(np.divide(piece @ window, size, out=np.zeros(len(piece)), where=size > 1e-9))
        middles.append(first + WINDOW / 2)
    return np.array(rows).reshape(len(rows), 2 * span + 1), np.array(middles)


def _lines(table: Array, middles: Array) -> tuple[Array, Array]:
    """Shares of drift that are tried, and the mean correlation along the best line of each."""
    span, slack, windows = table.shape[1] // 2, int(SLACK * RATE), np.arange(len(table))[:, None]
    shares = np.linspace(-MOST, MOST, 2 * int(np.ceil(MOST * middles[-1])) + 1)  # a sample at the end is a step
    lags = np.round(shares[:, None] * middles).astype(np.int64) + span
    scores = [table[windows, lag[:, None] + np.arange(-slack, slack + 1)].mean(axis=0).max() for lag in lags]
    return shares, np.array(scores)


def ends(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Drift that many recordings of two sensors say that begin and end together; None if none can be seen.

    What the second lasts longer must grow with how long the first lasts (Theil and Sen): what it starts or stops later
    by does not.

    Args:
        one: seconds of each recording by the first clock.
        other: by the second.
    """
    found = _slopes(one, other)
    if found is None:
        return None
    least, share, most = found
    return share if max(least, -most) >= LEAST_SHARE and abs(share) <= MOST else None


def unseen(one: Sequence[float], other: Sequence[float]) -> float | None:
    """The largest drift that the same recordings could have and :func:`ends` not see; None where they say nothing."""
    found = _slopes(one, other)
    return None if found is None else max(LEAST_SHARE, -found[0], found[2])


def _slopes(one: Sequence[float], other: Sequence[float]) -> tuple[float, float, float] | None:
    """What the second lasts longer for each second of the first: the interval of Sen (1968), of 99.9 %, around the
    median; None of recordings that are few or last equally long."""
    lasting = np.stack([one, other])
    lasting = lasting[:, np.isfinite(lasting).all(axis=0)]
    count = lasting.shape[1]
    if count < FEW:
        return None
    first, second = lasting[:, np.linspace(0, count - 1, min(count, MANY)).astype(np.int64)]
    low, high = np.triu_indices(len(first), 1)
    wider = first[high] - first[low]
    slopes = np.sort(((second - first)[high] - (second - first)[low])[wider != 0] / wider[wider != 0])
    rank = 3.29 * np.sqrt(len(first) * (len(first) - 1) * (2 * len(first) + 5) / 18)
    least, most = (round((len(slopes) + sign * rank) / 2) for sign in (-1, 1))
    if not 0 <= least < most < len(slopes):
        return None
    return float(slopes[least]), float(np.median(slopes)), float(slopes[most])
