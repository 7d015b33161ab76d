"""The figure of `benchmarks.accuracy_time` as SVG: a panel a set, CPU seconds (logarithmic) against accuracy."""

from __future__ import annotations

from html import escape
from math import log10
from statistics import fmean, stdev
from typing import Any

WIDTH, HEIGHT, LEFT, TOP, BOTTOM, GAP = 300, 250, 40, 34, 40, 14
COLUMNS, ROW = 3, TOP + HEIGHT + BOTTOM
OURS, OTHERS = "#0b6e99", "#8a8f98"
_TICKS = (0.1, 1, 10, 100, 1000)


def figure(result: dict[str, Any]) -> str:
    """SVG text of what `benchmarks.accuracy_time` has written."""
    sets = result["sets"]
    seconds = [fmean(row["cpu_seconds"]) for found in sets for row in found["rows"]]
    low, high = log10(max(min(seconds) / 2, 0.01)), log10(max(seconds) * 3)
    panels = [_panel(found, number, low, high) for number, found in enumerate(sets)]
    names = list(dict.fromkeys(row["way"] for found in sets for row in found["rows"]))
    width = min(COLUMNS, len(sets)) * (WIDTH + GAP) + GAP
    below = -(-len(sets) // COLUMNS) * ROW
    height = below + 22 * -(-len(names) // 4) + 8
    legend = [_entry(name, number, width, below) for number, name in enumerate(names)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
            ' font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="Accuracy against CPU seconds">',
            f'<rect width="{width}" height="{height}" rx="10" fill="#ffffff"/>',
            *panels,
            *legend,
            "</svg>\n",
        ]
    )


def _panel(found: dict[str, Any], number: int, low: float, high: float) -> str:
    rows = found["rows"]
    left, above = GAP + number % COLUMNS * (WIDTH + GAP), number // COLUMNS * ROW
    best = [100 * fmean(row["accuracy"]) for row in rows]
    bottom = max(0.0, 5 * (min(best) // 5) - 2)
    plot = WIDTH - LEFT - 8

    def x(seconds: float) -> float:
        return left + LEFT + plot * (log10(max(seconds, 1e-3)) - low) / (high - low)

    def y(percent: float) -> float:
        return TOP + HEIGHT * (1 - (percent - bottom) / (101 - bottom))

    parts = [f'<g transform="translate(0 {above})">']
    parts.append(f'<text x="{left + LEFT}" y="22" font-weight="600" fill="#1c2430">{escape(found["name"])}</text>')
    step = 5 if 101 - bottom < 45 else 10
    for percent in range(int(-(-bottom // step) * step), 101, step):
        parts.append(_line(left + LEFT, y(percent), left + WIDTH - 8, y(percent)))
        parts.append(_text(left + LEFT - 6, y(percent) + 4, f"{percent}", "end"))
    for tick in _TICKS:
        if low <= log10(tick) <= high:
            parts.append(_line(x(tick), TOP, x(tick), TOP + HEIGHT))
            parts.append(_text(x(tick), TOP + HEIGHT + 16, f"{tick:g}", "middle"))
    parts.append(_text(left + LEFT + plot / 2, TOP + HEIGHT + 33, "CPU seconds, features and classifier", "middle"))
    for row, percent in zip(rows, best, strict=True):
        spread = 100 * stdev(row["accuracy"]) if len(row["accuracy"]) > 1 else 0.0
        at, colour = x(fmean(row["cpu_seconds"])), _colour(row["way"])
        parts.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y(min(percent + spread, 101)):.1f}" y2="{y(percent - spread):.1f}"'
            f' stroke="{colour}" stroke-width="1.5"/>'
        )
        title = f"{row['way']}: {percent:.1f} %, {fmean(row['cpu_seconds']):.1f} s"
        parts.append(f"<g><title>{escape(title)}</title>{_mark(row['way'], at, y(percent))}</g>")
    return "\n".join([*parts, "</g>"])


def _entry(name: str, number: int, width: int, below: int) -> str:
    left, top = GAP + 12 + (number % 4) * (width - 2 * GAP) / 4, below + 12 + 22 * (number // 4)
    return _mark(name, left, top) + _text(left + 12, top + 4, name, "start", "#1c2430")


_SHAPES = ("raw", "untrained", "statistics", "random", "MiniRocket", "body", "cmd")


def _colour(name: str) -> str:
    return OURS if name.startswith(("body", "cmd")) else OTHERS


def _mark(name: str, x: float, y: float) -> str:
    """A shape for every way, so that nothing depends on colour."""
    number = next(i for i, word in enumerate(_SHAPES) if name.startswith(word))
    paths = (
        f"M{x - 5:.1f} {y - 5:.1f}h10v10h-10z",
        f"M{x:.1f} {y - 6:.1f}l6 11h-12z",
        f"M{x:.1f} {y + 6:.1f}l6 -11h-12z",
        f"M{x - 6:.1f} {y:.1f}l6 -6 6 6 -6 6z",
        f"M{x - 5:.1f} {y - 5:.1f}l10 10m0 -10l-10 10",
    )
    if number >= len(paths):
        filled = number == len(_SHAPES) - 1
        fill = OURS if filled else "#ffffff"
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{fill}" stroke="{OURS}" stroke-width="2.5"/>'
    cross = number == len(paths) - 1
    fill = "none" if cross else OTHERS
    return f'<path d="{paths[number]}" fill="{fill}" stroke="{"#4a4f57" if cross else OTHERS}" stroke-width="2"/>'


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#e6e8ec"/>'


def _text(x: float, y: float, words: str, anchor: str, fill: str = "#5a616b") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}">{escape(words)}</text>'
