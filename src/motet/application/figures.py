"""Figures of the present state as SVG, for papers and slides: labels along time, the map, the learning curve."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import numpy.typing as npt

from motet.application.labels import Interval, Labels
from motet.application.moments import Moments
from motet.application.report import labels_of_moments
from motet.application.teach import Teacher
from motet.core.colours import COLOURS, GREY, colour
from motet.core.errors import ConfigError
from motet.core.scales import ticks
from motet.data.archive import MotionArchive

MOST = 60
"""rows of the figure along time: recordings with labels, one for each of their raters."""
DOTS = 10_000
_WIDE, _LEFT, _ROW = 900, 190, 18


def figures(archive: MotionArchive, labels: Labels, moments: Moments, teacher: Teacher) -> dict[str, str]:
    """SVG by file name: ``labels.svg``, and ``map.svg`` and ``learning-curve.svg`` once there is what they show.

    Raises:
        ConfigError: nothing is labelled yet.
    """
    given = labels.all()
    if not given:
        raise ConfigError("nothing is labelled yet, so there is nothing to draw")
    found = {"labels.svg": _along_time(archive, given, labels.classes)}
    if moments.features is not None and "x" in (placed := moments.map()):
        names = labels_of_moments(given, moments, teacher)
        found["map.svg"] = _map(np.array([placed["x"], placed["y"]]), names, labels.classes)
    if len(teacher.curve) > 1:
        found["learning-curve.svg"] = _curve(teacher.curve)
    return found


def _svg(wide: float, high: float, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:g} {high:g}" width="{wide:g}" height="{high:g}"'
    plate = '<rect width="100%" height="100%" fill="#fff"/>'
    return "\n".join([f'{head} font-family="sans-serif" font-size="12">{plate}', *parts, "</svg>\n"])


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#333">{escape(words)}</text>'


def _short(name: str, most: int = 26) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _legend(classes: Sequence[str], used: set[str], y: float, wide: float) -> tuple[list[str], float]:
    """The classes in use, in rows of columns, and the height that they take."""
    shown = [(number, name) for number, name in enumerate(classes) if name in used]
    columns = max(1, int(wide // 180))
    parts = []
    for place, (number, name) in enumerate(shown):
        x, top = 14 + 180 * (place % columns), y + 18 * (place // columns)
        parts.append(f'<rect x="{x}" y="{top + 2}" width="11" height="11" rx="2" fill="{colour(number)}"/>')
        parts.append(_text(x + 17, top + 12, _short(name)))
    return parts, 18.0 * -(-len(shown) // columns) + 12


def _along_time(archive: MotionArchive, given: Sequence[Interval], classes: Sequence[str]) -> str:
    """A row for each recording and rater; what is labelled as bars along its seconds."""
    raters = sorted({one.rater for one in given})
    lanes = sorted({(one.clip, one.rater) for one in given})[:MOST]
    row = {lane: place for place, lane in enumerate(lanes)}
    parts, top = _legend(classes, {one.label for one in given}, 10, _WIDE)
    top += 10
    names: list[str] = archive.clips["name"].to_list()
    fps = float(archive.fps or 1)
    longest = max(float(archive.lengths[clip]) / fps for clip, _ in lanes)
    base = top + _ROW * len(lanes)

    def px(seconds: float) -> float:
        return _LEFT + seconds / longest * (_WIDE - _LEFT - 20)

    for t in ticks(0, longest, 8):
        parts.append(f'<path d="M{px(t):.1f} {top}V{base}" stroke="#e4e0d6"/>')
        parts.append(_text(px(t), base + 16, f"{t:g} s", "middle"))
    for (clip, rater), place in row.items():
        y = top + _ROW * place
        own = f"{names[clip]} ({rater})" if len(raters) > 1 else names[clip]
        parts.append(_text(_LEFT - 8, y + 12, _short(own), "end"))
        wide = px(float(archive.lengths[clip]) / fps) - _LEFT
        parts.append(f'<rect x="{_LEFT}" y="{y + 2}" width="{wide:.1f}" height="{_ROW - 4}" fill="#f1ede4"/>')
    number = {name: place for place, name in enumerate(classes)}
    for one in given:
        if (one.clip, one.rater) in row:
            y = top + _ROW * row[one.clip, one.rater] + 2
            wide = px(one.end) - px(one.start)
            parts.append(
                f'<rect x="{px(one.start):.1f}" y="{y}" width="{wide:.1f}" height="{_ROW - 4}" '
                f'fill="{colour(number[one.label])}"><title>{escape(one.label)}</title></rect>'
            )
    return _svg(_WIDE, base + 26, parts)


def _map(places: npt.NDArray[np.float64], names: Sequence[str | None], classes: Sequence[str]) -> str:
    """A dot for each moment, coloured by the label given to it, else by the one predicted."""
    size = 560.0
    number = {name: place for place, name in enumerate(classes)}
    chosen = np.arange(len(names))
    if len(chosen) > DOTS:
        chosen = np.sort(np.random.default_rng(0).choice(chosen, DOTS, replace=False))
    radius = float(np.clip(60 / np.sqrt(len(chosen)), 1, 4))
    parts, top = _legend(classes, {name for name in names if name is not None}, 10, size)
    low, spread = places.min(axis=1), float(np.ptp(places, axis=1).max()) or 1.0
    for i in chosen.tolist():
        x, y = 12 + (places[:, i] - low) / spread * (size - 24)
        name = names[i]
        fill = GREY if name is None else colour(number.get(name, len(classes)))
        parts.append(f'<circle cx="{x:.1f}" cy="{top + size - y:.1f}" r="{radius:.1f}" fill="{fill}"/>')
    return _svg(size, top + size, parts)


def _curve(points: Sequence[tuple[int, float]]) -> str:
    """Expected accuracy on people without labels against the number of labels."""
    wide, high, left = 520.0, 320.0, 52.0
    most = max(count for count, _ in points)

    def at(count: float, share: float) -> tuple[float, float]:
        return left + count / most * (wide - left - 20), high - 44 - share * (high - 64)

    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        _, y = at(0, share)
        parts.append(f'<path d="M{left} {y:.1f}H{wide - 20}" stroke="#e4e0d6"/>')
        parts.append(_text(left - 6, y + 4, f"{share:.0%}", "end"))
    for count in ticks(0, most, 5):
        if count == int(count):
            parts.append(_text(at(count, 0)[0], high - 28, f"{count:,.0f}", "middle"))
    parts.append(_text((wide + left) / 2, high - 8, "labels; expected for people without labels", "middle"))
    places = [at(count, share) for count, share in points]
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    parts.append(f'<path d="M{line}" fill="none" stroke="{COLOURS[0]}" stroke-width="2"/>')
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOURS[0]}"/>' for x, y in places]
    return _svg(wide, high, parts)
