"""The picture of a comparison: means and people of every group, the effect, and what the correction leaves of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from motet.core.colours import colour as paint
from motet.core.files import written
from motet.core.scales import number, ticks
from motet.core.text import counted

MOST = 40  # measures that are drawn, smallest p first
UNITS = {
    "share of time": "share",
    "bouts a minute": "1/min",
    "seconds a bout": "s",
    "next after": "share of the bouts that follow",
    "seconds": "s",
    "range": "share of the widest repetition",
    "similarity": "correlation with the mean repetition",
}
_OF_BOUTS = re.compile(r"(share of time|bouts a minute|seconds a bout|next after):? (.+)")
_STEP, _HEAD, _AXIS, _KEY, _LEFT, _WIDE = 8, 30, 44, 66, 300, 460
_GREY = "#555"


def draw(result: Mapping[str, Any], path: str | Path) -> None:
    """Write the result of :func:`motet.compare` as SVG: a panel a quantity with its axis, a row a measure.

    Measures of one quantity (shares of time, bouts a minute …) share an axis. Lines are means ± one standard deviation
    of people; filled circles are means of measures whose corrected p-value is below .05.
    """
    tests, groups = result["tests"][:MOST], list(result["groups"])
    panels: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for test in tests:
        split = _OF_BOUTS.fullmatch(test["measure"])
        quantity, name = (split[1], split[2]) if split else (test["measure"], "")
        panels.setdefault(quantity, []).append((name.replace(": ", " → ") if quantity == "next after" else name, test))
    parts, y = _key(result, groups), float(_KEY)
    for quantity, rows in panels.items():
        parts += _panel(quantity, rows, groups, y)
        y += _HEAD + _row(groups) * len(rows) + _AXIS
    left = len(result["tests"]) - len(tests)
    if left:
        parts.append(_text(20, y + 8, f"{counted(left, 'more measure')} in the table", fill=_GREY))
        y += 20
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 {y:g}" width="1000" height="{y:g}" '
        'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="#fff"/>'
    )
    with written(Path(path)) as partial:
        partial.write_text("\n".join([head, *parts, "</svg>\n"]), encoding="utf-8")


def _row(groups: Sequence[str]) -> int:
    """Height of a measure."""
    return _STEP * (len(groups) + 1)


def _key(result: Mapping[str, Any], groups: Sequence[str]) -> list[str]:
    """Groups by colour, what circles and lines mean, and the heads of the columns."""
    parts, x = [], 20.0
    for place, group in enumerate(groups):
        label = f"{group} ({counted(result['groups'][group], 'person', 'people')})"
        parts += [_circle(x, 18, paint(place), filled=True), _text(x + 10, 22, label)]
        x += 40 + 7.5 * len(label)
    parts += [_circle(20, 42, _GREY, filled=True), _text(30, 46, "mean, corrected p < .05", fill=_GREY)]
    parts += [_circle(210, 42, _GREY, filled=False), _text(220, 46, "mean, p ≥ .05", fill=_GREY)]
    parts += [_line(330, 42, 366, 42, _GREY, width=2), _text(374, 46, "± one standard deviation of people", fill=_GREY)]
    effect = ", ".join(dict.fromkeys(test["effect_is"] for test in result["tests"]))
    parts.append(_text(_LEFT + _WIDE + 20, 46, effect, fill=_GREY))
    parts.append(_text(_LEFT + _WIDE + 140, 46, "p, corrected", fill=_GREY))
    return parts


def _panel(quantity: str, rows: Sequence[tuple[str, Mapping[str, Any]]], groups: Sequence[str], y: float) -> list[str]:
    """Measures of one quantity above their axis."""
    spans = [(t["means"][g], t["sd"][g]) for _, t in rows for g in groups]
    low, high = min(m - s for m, s in spans), max(m + s for m, s in spans)
    edge = 0.03 * (high - low) or 0.5
    low, high = low - edge, high + edge

    def at(value: float) -> float:
        return float(_LEFT + _WIDE * (value - low) / (high - low))

    top, base = y + _HEAD, y + _HEAD + _row(groups) * len(rows)
    parts = [_text(_LEFT - 12, y + 20, quantity, anchor="end", weight="bold")]
    for tick in ticks(low, high, 5):
        parts.append(_line(at(tick), top, at(tick), base + 4, "#e4e0d6"))
        parts.append(_text(at(tick), base + 18, number(tick), fill=_GREY, anchor="middle"))
    parts.append(_line(_LEFT, base, _LEFT + _WIDE, base, "#8a8a8a"))
    parts.append(
        _text(
            _LEFT + _WIDE / 2, base + 34, UNITS.get(quantity, "in the unit of the table"), fill=_GREY, anchor="middle"
        )
    )
    for place, (name, test) in enumerate(rows):
        middle = top + _row(groups) * (place + 0.5)
        name = name if len(name) <= 42 else name[:41] + "…"
        parts.append(_text(_LEFT - 12, middle + 4, name, anchor="end"))
        sure = test["p_adjusted"] < 0.05
        for k, group in enumerate(groups):
            mean, spread = test["means"][group], test["sd"][group]
            height = middle + _STEP * (k - (len(groups) - 1) / 2)
            parts.append(_line(at(mean - spread), height, at(mean + spread), height, paint(k), width=2))
            title = f"{group}: {mean:.4g} ± {spread:.4g}"
            parts.append(_circle(at(mean), height, paint(k), filled=sure, title=title))
        weight = "bold" if sure else "normal"
        p = "< 0.001" if test["p_adjusted"] < 0.001 else f"{test['p_adjusted']:.3f}"
        sign = "" if len(groups) > 2 else "+"
        effect = "–" if test["effect"] is None else f"{test['effect']:{sign}.2f}"
        parts.append(_text(_LEFT + _WIDE + 20, middle + 4, effect, weight=weight))
        parts.append(_text(_LEFT + _WIDE + 140, middle + 4, p, weight=weight))
    return parts


def _text(x: float, y: float, words: str, *, fill: str = "#111", anchor: str = "start", weight: str = "normal") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" fill="{fill}" text-anchor="{anchor}" font-weight="{weight}"'
    return f"<text {place}>{escape(words)}</text>"


def _line(x: float, y: float, right: float, bottom: float, colour: str, width: float = 1) -> str:
    ends = f'x1="{x:.1f}" y1="{y:.1f}" x2="{right:.1f}" y2="{bottom:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width:g}"/>'


def _circle(x: float, y: float, colour: str, *, filled: bool, title: str = "") -> str:
    fill = colour if filled else "#fff"
    inside = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{fill}" stroke="{colour}" stroke-width="2">{inside}</circle>'
    )
