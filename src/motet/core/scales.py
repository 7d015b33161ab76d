"""Round numbers along the axis of a figure."""

from __future__ import annotations

from math import ceil, floor, log10


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers within [low, high], about ``count`` of them."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** floor(log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
    first = ceil(low / step - 1e-9)
    last = floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def number(value: float) -> str:
    """A number as it stands at an axis."""
    return f"{value:.3g}".replace("e-0", "e-").replace("e+0", "e").replace("-", "−")
