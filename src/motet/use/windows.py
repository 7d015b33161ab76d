"""Features of windows around every moment of a recording, ten times a second.

Means and deviations over several window lengths, by cumulative sums, and the deviation of differences at several lags
(a spectrum in octaves), so that an hour costs seconds.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from motet.use.signals import Array, Layout, signals

Float = npt.NDArray[np.floating[Any]]
WINDOWS = (0.4, 1.0, 2.0, 4.0)  # seconds
LAGS = (0.06, 0.12, 0.25, 0.5)  # seconds
LAG_WINDOW = 1.5
SHIFT = 1.0  # seconds before and after at which the mean of a short window is taken as well
_RAW_SECONDS, _RAW_POINTS = 1.6, 8


class Dense(Protocol):
    """Features at every tick of a recording.

    Attributes:
        name: what results call it.
        reach: seconds before and after a moment that its features look at.
    """

    name: str
    reach: float

    def __call__(self, frames: Float, layout: Layout) -> Array:
        """(n, F) features of (T, P, V, C) frames, n = ``layout.ticks(T)``."""


def _sums(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    found = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, axis=0, out=found[1:])
    return found


def _window(sums: npt.NDArray[np.float64], at: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.float64]:
    """Means of windows centred at ``at``, cut at the ends of the recording."""
    low = np.clip(at - width // 2, 0, len(sums) - 2)
    high = np.clip(at + (width + 1) // 2, low + 1, len(sums) - 1)
    return np.asarray((sums[high] - sums[low]) / (high - low)[:, None])


def window_means(values: npt.NDArray[np.float64], at: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.float64]:
    """(n, S) means of (T, S) values over ``width`` frames around each of the frames ``at``, cut at the ends."""
    return _window(_sums(values), at, width)


class Statistics:
    """Means, deviations and a spectrum in octaves over windows of several lengths."""

    name = "statistics"
    reach = max(WINDOWS) / 2 + max(LAGS)

    def __call__(self, frames: Float, layout: Layout) -> Array:
        x = signals(frames, layout).astype(np.float64)
        at = layout.centres(len(x))
        offset = x.mean(axis=0)  # sums of squares lose digits far from zero
        first, second = _sums(x - offset), _sums((x - offset) ** 2)
        found = []
        for seconds in WINDOWS:
            width = max(2, round(seconds * layout.fps))
            mean = _window(first, at, width)
            found += [mean + offset, np.sqrt(np.maximum(_window(second, at, width) - mean**2, 0))]
        short, shift = max(2, round(WINDOWS[0] * layout.fps)), round(SHIFT * layout.fps)
        for side in (-shift, shift):
            found.append(_window(first, np.clip(at + side, 0, len(x) - 1), short) + offset)
        for lag in sorted({max(1, round(s * layout.fps)) for s in LAGS}):
            change = np.zeros_like(x)
            change[lag:] = (x[lag:] - x[:-lag]) ** 2
            found.append(np.sqrt(np.maximum(_window(_sums(change), at, round(LAG_WINDOW * layout.fps)), 0)))
        return np.concatenate(found, axis=1, dtype=np.float32)


class Raw:
    """The signals themselves at eight moments of a window."""

    name = "raw"
    reach = _RAW_SECONDS / 2 + 0.1

    def __call__(self, frames: Float, layout: Layout) -> Array:
        x = signals(frames, layout).astype(np.float64)
        sums, at = _sums(x), layout.centres(len(x))
        width = max(1, round(_RAW_SECONDS / _RAW_POINTS * layout.fps))
        shifts = np.round((np.arange(_RAW_POINTS) - (_RAW_POINTS - 1) / 2) * _RAW_SECONDS / _RAW_POINTS * layout.fps)
        found = [_window(sums, np.clip(at + int(s), 0, len(x) - 1), width) for s in shifts]
        return np.concatenate(found, axis=1, dtype=np.float32)


class Rocket:
    """Random convolutions of two random signals each: share of positive responses and their maximum over a window.

    After ROCKET (Dempster, Petitjean and Webb, 2020, https://arxiv.org/abs/1910.13051), along time instead of over
    whole series.
    """

    name = "rocket"
    kernels, seconds = 256, 1.5
    reach = seconds / 2 + 1.0

    def __call__(self, frames: Float, layout: Layout) -> Array:
        x = signals(frames, layout)
        random = np.random.default_rng(0)
        at, width = layout.centres(len(x)), max(2, round(self.seconds * layout.fps))
        most = max(1, int(2 * layout.fps / 8))
        found = np.empty((len(at), 2 * self.kernels), dtype=np.float32)
        for kernel in range(self.kernels):
            weights = random.normal(size=(7, min(2, x.shape[1])))
            weights -= weights.mean(axis=0)
            picked = random.choice(x.shape[1], size=weights.shape[1], replace=False)
            dilation = int(2 ** random.uniform(0, np.log2(most + 1)))
            own, response = x[:, picked], np.zeros(len(x))
            for tap, weight in enumerate(weights):
                shift = (tap - 3) * dilation
                index = np.clip(np.arange(len(x)) + shift, 0, len(x) - 1)
                response += own[index] @ weight
            positive = _window(_sums((response > 0)[:, None].astype(np.float64)), at, width)
            strength = _window(_sums(np.abs(response)[:, None]), at, width)
            found[:, 2 * kernel], found[:, 2 * kernel + 1] = positive[:, 0], strength[:, 0]
        return found


WINDOWED: dict[str, Dense] = {"raw": Raw(), "statistics": Statistics(), "rocket": Rocket()}
