"""Charts as HTML and SVG text: they need no script, so they also print. All text that comes in is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby
from unicodedata import east_asian_width

import numpy as np

from motet.core.scales import number, ticks
from motet.core.text import counted
from motet.report import narrative as words
from motet.report.data import Confusion, Curve, Row

COLOURS = 8  # --c0 … --c7 of page.css
CURVE_POINTS = 400
_AXIS = (
    '<div class="bar axis" aria-hidden="true"><span></span><span class="track">'
    + "".join(f'<i style="left:{x}%">{x}</i>' for x in (0, 25, 50, 75, 100))
    + "</span><span></span></div>"
)
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 420, 220, 46, 12, 12, 30


def bars(rows: Sequence[Row], guess: float | None) -> str:
    """Horizontal bars with ± sd whiskers, grouped by protocol; ``guess`` is the accuracy of guessing, in percent."""
    groups = []
    for protocol, group in groupby(sorted(rows, key=lambda r: _first(rows, r)), key=lambda r: r.protocol):
        name, meaning = words.PROTOCOLS.get(protocol, (protocol, ""))
        lines = "".join(_bar(row, guess) for row in sorted(group, key=_order))
        groups.append(
            f'<section class="bars"><h3>{escape(name)}</h3><p class="muted">{escape(meaning)}</p>{lines}'
            f"{_AXIS}</section>"
        )
    return "".join(groups)


def simple_bars(title: str, rows: Sequence[Row], grey: int = 0) -> str:
    """Horizontal bars of percentages under one title, the first ``grey`` of them without colour."""
    lines = "".join(_bar(row, None, "raw" if place < grey else "learned") for place, row in enumerate(rows))
    return f'<section class="bars"><h3>{escape(title)}</h3>{lines}{_AXIS}</section>'


def differences(changes: Sequence[tuple[str, float]], most: int = 60) -> str:
    """Bars to both sides of zero, the greatest gain first; of more than ``most`` the middle is left out."""
    order = sorted(changes, key=lambda change: -change[1])
    hidden = max(0, len(order) - most)
    shown = order if not hidden else [*order[: most // 2], *order[-(most - most // 2) :]]
    reach = max((abs(value) for _, value in shown), default=0) or 1.0
    lines = []
    for name, value in shown:
        wide = 50 * abs(value) / reach
        left = 50.0 if value >= 0 else 50 - wide
        kind = "gain" if value > 0 else "loss"
        lines.append(
            f'<div class="bar both {kind}"><span class="name">{escape(name)}</span><span class="track">'
            f'<b class="fill" style="left:{left:.2f}%;width:{wide:.2f}%"></b><b class="zero"></b></span>'
            f'<span class="value">{_signed(value)}</span></div>'
        )
    note = f'<p class="muted">{counted(hidden, "class")} in the middle are not shown.</p>' if hidden else ""
    return f'<section class="bars">{"".join(lines)}{note}</section>'


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + words.number(value)


def plain_table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers; cells are HTML."""

    def cells(row: Sequence[str], tag: str) -> str:
        return "".join(f"<{tag}{' class=num' if place else ''}>{cell}</{tag}>" for place, cell in enumerate(row))

    rows = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in body)
    header = cells([escape(cell) for cell in head], "th")
    return f'<div class="scroll"><table><thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table></div>'


def _first(rows: Sequence[Row], row: Row) -> int:
    return next(i for i, other in enumerate(rows) if other.protocol == row.protocol)


def _order(row: Row) -> int:
    known = list(words.FEATURES)  # then weights of the package, then what was learned
    return known.index(row.features) if row.features in known else len(known) + (not row.baseline)


def _kind(row: Row) -> str:
    return row.features if row.baseline else "learned"


def _bar(row: Row, guess: float | None, kind: str | None = None) -> str:
    wide = min(max(row.mean, 0.0), 100.0)
    whisker = ""
    if row.sd:
        low, high = max(row.mean - row.sd, 0.0), min(row.mean + row.sd, 100.0)
        whisker = f'<b class="whisker" style="left:{low:.2f}%;width:{high - low:.2f}%"></b>'
    chance = "" if guess is None else f'<b class="guess" style="left:{guess:.2f}%"></b>'
    return (
        f'<div class="bar {kind or _kind(row)}"><span class="name">{escape(words.features_name(row))} '
        f'<small>{escape(row.where)}</small></span><span class="track"><b class="fill" style="width:{wide:.2f}%"></b>'
        f'{whisker}{chance}</span><span class="value">{words.with_sd(row.mean, row.sd)}</span></div>'
    )


def table(rows: Sequence[Row]) -> str:
    """The comparison as a table: last epoch first, best epoch next to it and marked as optimistic."""
    has_best = any(row.best_values for row in rows)
    head = ["Evaluated by", "Features", "Stream", "Last epoch (%)", "Values"]
    head += ["Best epoch (%) *"] if has_best else []
    body = []
    for row in rows:
        best = ""
        if has_best:
            best = f'<td class="num muted">{_best(row)}</td>'
        body.append(
            f'<tr class="{_kind(row)}"><td>{escape(words.protocol_name(row.protocol))}</td>'
            f"<td>{escape(words.features_name(row))}</td><td>{escape(row.where)}</td>"
            f'<td class="num"><b>{words.with_sd(row.mean, row.sd)}</b></td>'
            f'<td class="num">{escape(f"{len(row.values)} {row.over}")}</td>{best}</tr>'
        )
    note = (
        '<p class="muted">* The best epoch is picked by looking at the test clips, so it is optimistic: '
        "compare runs by the last epoch.</p>"
        if has_best
        else ""
    )
    return (
        '<div class="scroll"><table class="compare"><thead><tr>'
        + "".join(f'<th scope="col"{_num(i)}>{escape(cell)}</th>' for i, cell in enumerate(head))
        + f"</tr></thead><tbody>{''.join(body)}</tbody></table></div>{note}"
    )


def _num(column: int) -> str:
    return ' class="num"' if column >= 3 else ""


def _best(row: Row) -> str:
    if not row.best_values:
        return "–"
    mean = sum(row.best_values) / len(row.best_values)
    return words.number(mean)


def thin(series: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most CURVE_POINTS points: means of equal runs of neighbours, so that spikes weigh what they weigh."""
    finite = [(x, y) for x, y in series if np.isfinite(x) and np.isfinite(y)]
    if len(finite) <= CURVE_POINTS:
        return finite
    chunks = np.array_split(np.array(finite), CURVE_POINTS)
    return [(float(chunk[-1, 0]), float(chunk[:, 1].mean())) for chunk in chunks]


def curve(chart: Curve, index: int) -> str:
    """One line chart as inline SVG with a legend; ``index`` ties it to its numbers for the pointer's read-out."""
    series = {name: thin(points) for name, points in chart.series.items()}
    series = {name: points for name, points in series.items() if points}
    if not series:
        return ""
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    x0, x1 = min(xs), max(xs)
    y0, y1 = _widened(min(ys), max(ys), chart.least)
    pad = (y1 - y0) * 0.06 or abs(y1) * 0.1 or 1.0
    y0, y1 = (y0 if y0 == 0 else y0 - pad), y1 + pad
    x1 = x1 if x1 > x0 else x0 + 1

    def px(x: float) -> float:
        return _LEFT + (x - x0) / (x1 - x0) * (_WIDTH - _LEFT - _RIGHT)

    def py(y: float) -> float:
        return _HEIGHT - _BOTTOM - (y - y0) / (y1 - y0) * (_HEIGHT - _TOP - _BOTTOM)

    right, base = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = []
    for y in ticks(y0, y1):
        parts.append(f'<path class="grid" d="M{_LEFT} {py(y):.1f}H{right}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{py(y) + 3.5:.1f}" text-anchor="end">{number(y)}</text>')
    for x in (t for t in ticks(x0, x1, 5) if t == int(t)):
        parts.append(f'<text x="{px(x):.1f}" y="{_HEIGHT - 15}" text-anchor="middle">{x:,.0f}</text>')
    unit = escape(chart.x_label)
    parts.append(f'<text class="axis" x="{right}" y="{_HEIGHT - 3}" text-anchor="end">{unit}</text>')
    for i, points in enumerate(series.values()):
        parts.append(_line([(px(x), py(y)) for x, y in points], i))
    parts.append(f'<path class="cross" d="M0 {_TOP}V{base}" visibility="hidden"/>')
    box = f'data-curve="{index}" data-x0="{x0!r}" data-x1="{x1!r}" data-left="{_LEFT}" data-right="{_RIGHT}"'
    legend = "".join(_key(name, i) for i, name in enumerate(series)) if len(series) > 1 else ""
    legend = f'<ul class="keys">{legend}</ul>' if legend else ""
    last = ", ".join(f"{name} {number(points[-1][1])}" for name, points in series.items())
    return (
        f'<figure class="curve"><figcaption><b>{escape(chart.title)}</b> '
        f'<span class="muted">{escape(chart.meaning)}</span></figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" {box} '
        f'aria-label="{escape(chart.title)}, at the end: {escape(last)}">{"".join(parts)}</svg>{legend}</figure>'
    )


def _widened(low: float, high: float, least: float) -> tuple[float, float]:
    """A range of values that is at least so wide, about the same middle; it does not cross zero for that."""
    lack = max(0.0, least - (high - low)) / 2
    if not lack:
        return low, high
    if low >= 0 and low < lack:
        return 0.0, least
    return low - lack, high + lack


def _line(points: Sequence[tuple[float, float]], index: int) -> str:
    colour = f"var(--c{index % COLOURS})"
    if len(points) == 1:
        return f'<circle cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="3" style="fill:{colour}"/>'
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dash = ";stroke-dasharray:5 3" if _dashed(index) else ""
    return f'<path class="line" d="M{path}" style="stroke:{colour}{dash}"/>'


def _key(name: str, index: int) -> str:
    dash = ' class="dashed"' if _dashed(index) else ""
    return f'<li><i{dash} style="background:var(--c{index % COLOURS})"></i>{escape(name)}</li>'


def _dashed(index: int) -> bool:
    """Colours repeat after COLOURS lines; every other round is dashed."""
    return bool(index // COLOURS % 2)


def confusion(data: Confusion) -> str:
    """Heat map: a row is a true class, a column what it was taken for, shade is the share of the row."""
    matrix = np.asarray(data.matrix)
    count = len(matrix)
    cell = max(9.0, min(30.0, 620 / max(count, 1)))
    font = min(12.0, max(7.5, cell * 0.62))
    names = [str(name) for name in data.class_names]
    left = font * max((_ems(_short(name)) for name in names), default=1) + 12
    size = cell * count
    wide, high = left + size + 8, size + left * 0.78 + 26
    parts = [f'<rect class="plate" x="{left:.1f}" y="4" width="{size:.1f}" height="{size:.1f}"/>']
    totals = np.maximum(matrix.sum(1), 1)
    for i, j in zip(*np.nonzero(matrix), strict=True):
        share = matrix[i, j] / totals[i]
        kind = "hit" if i == j else "miss"
        tip = f"{names[i]}: {int(matrix[i, j])} of {int(totals[i])} ({words.number(100 * share)} %) " + (
            "recognised" if i == j else f"taken for {names[j]}"
        )
        x, y = left + j * cell, 4 + i * cell
        parts.append(
            f'<rect class="{kind}" x="{x + 0.5:.1f}" y="{y + 0.5:.1f}" width="{cell - 1:.1f}" height="{cell - 1:.1f}" '
            f'fill-opacity="{0.12 + 0.88 * share:.2f}" data-tip="{escape(tip)}"/>'
        )
        if cell >= 24:
            ink = "on" if share > 0.55 else "off"
            parts.append(
                f'<text class="{ink}" x="{x + cell / 2:.1f}" y="{y + cell / 2 + 3.5:.1f}" text-anchor="middle" '
                f'font-size="{min(10.5, cell * 0.38):.1f}">{int(matrix[i, j])}</text>'
            )
    style = f'text-anchor="end" font-size="{font:.1f}"'
    for i, name in enumerate(names):
        middle = 4 + i * cell + cell / 2
        text = escape(_short(name))
        parts.append(f'<text x="{left - 6:.1f}" y="{middle + font * 0.36:.1f}" {style}>{text}</text>')
        x, y = left + i * cell + cell / 2 + font * 0.3, size + 14
        parts.append(f'<text transform="translate({x:.1f} {y:.1f}) rotate(-50)" {style}>{text}</text>')
    return (
        f'<div class="scroll"><svg class="confusion" viewBox="0 0 {wide:.0f} {high:.0f}" width="{wide:.0f}" role="img" '
        f'aria-label="confusion matrix, {counted(count, "class")}; the most frequent confusions are listed next to it">'
        f"{''.join(parts)}</svg></div>"
    )


def _ems(text: str) -> float:
    """Width of a text in widths of its font, rather too much than too little: fonts differ."""
    wide = {"W": 1.05, "F": 1.05}
    return sum(wide.get(east_asian_width(c), 0.88 if c in "mwMW%@" else 0.76 if c.isupper() else 0.62) for c in text)


def _short(name: str, limit: int = 22) -> str:
    return name if len(name) <= limit else name[: limit - 1] + "…"
