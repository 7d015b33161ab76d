"""The picture of a comparison: means and people of every group, the effect, and what the correction leaves of it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from motet.core.colours import colour as paint
from motet.core.files import written
from motet.core.text import counted

MOST = 40  # measures that are drawn, smallest p first
_ROW, _TOP, _LEFT, _WIDE = 26, 56, 300, 460


def draw(result: Mapping[str, Any], path: str | Path) -> None:
    """Write the result of :func:`motet.compare` as SVG: a row a measure, its groups ± one standard deviation.

    Every row has its own scale, from the smallest to the largest mean ∓ deviation; filled circles are means of measures
    whose corrected p-value is below .05.
    """
    tests, groups = result["tests"][:MOST], list(result["groups"])
    high = _TOP + _ROW * len(tests) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 {high}" width="1000" height="{high}" '
        'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="#fff"/>'
    ]
    for number, group in enumerate(groups):
        x, colour = 20 + 200 * number, paint(number)
        label = f"{group} ({counted(result['groups'][group], 'person', 'people')})"
        parts.append(
            f'<circle cx="{x}" cy="18" r="5" fill="{colour}"/><text x="{x + 10}" y="22">{escape(label)}</text>'
        )
    parts.append(f'<text x="{_LEFT + _WIDE + 20}" y="44" fill="#555">effect</text>')
    parts.append(f'<text x="{_LEFT + _WIDE + 110}" y="44" fill="#555">p, corrected</text>')
    for row, test in enumerate(tests):
        parts += _row(test, groups, _TOP + _ROW * row + _ROW / 2)
    left = len(result["tests"]) - len(tests)
    if left:
        parts.append(f'<text x="20" y="{high - 8}" fill="#555">{left} more measures are in the table</text>')
    with written(Path(path)) as partial:
        partial.write_text("\n".join([*parts, "</svg>\n"]), encoding="utf-8")


def _row(test: Mapping[str, Any], groups: list[str], y: float) -> list[str]:
    spans = {g: (test["means"][g], test["sd"][g]) for g in groups}
    low = min(m - s for m, s in spans.values())
    size = max(m + s for m, s in spans.values()) - low or 1.0
    name = test["measure"]
    name = name if len(name) <= 42 else name[:41] + "…"
    parts = [
        f'<text x="{_LEFT - 12}" y="{y + 4}" text-anchor="end">{escape(name)}</text>',
        f'<line x1="{_LEFT}" y1="{y}" x2="{_LEFT + _WIDE}" y2="{y}" stroke="#e4e0d6"/>',
    ]
    sure = test["p_adjusted"] < 0.05
    for number, (mean, spread) in enumerate(spans.values()):
        at, colour = y + 5 * (number - (len(spans) - 1) / 2), paint(number)
        a, x, b = (_LEFT + _WIDE * (v - low) / size for v in (mean - spread, mean, mean + spread))
        parts.append(f'<line x1="{a:.1f}" y1="{at}" x2="{b:.1f}" y2="{at}" stroke="{colour}" stroke-width="2"/>')
        fill = colour if sure else "#fff"
        parts.append(
            f'<circle cx="{x:.1f}" cy="{at}" r="5" fill="{fill}" stroke="{colour}" stroke-width="2">'
            f"<title>{mean:.4g} ± {spread:.4g}</title></circle>"
        )
    weight = ' font-weight="bold"' if sure else ""
    said = f"{test['effect']:+.2f}", f"{test['p_adjusted']:.3f}"
    parts += [
        f'<text x="{_LEFT + _WIDE + 20 + 90 * i}" y="{y + 4}"{weight}>{text}</text>' for i, text in enumerate(said)
    ]
    return parts
