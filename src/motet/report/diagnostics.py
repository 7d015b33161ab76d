"""Curves of what terms observe while they learn: HaLP's analyses (Shah et al., CVPR 2023, supplement B.6)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from motet.report.data import Curve

Line = Mapping[str, Any]
Series = dict[str, list[tuple[float, float]]]

_TERM = "hallucination"
_SIMILARITIES = {
    "query_real": "own copy",
    "query_hallucinated": "own invented neighbours",
    "queue_real": "other recordings, of the copy",
    "queue_hallucinated": "other recordings, of the invented",
}
_GROUP = {"prototype_good": "kept", "prototype_bad": "rejected"}


def diagnostic_curves(lines: Sequence[Line]) -> list[Curve]:
    """Share of positives kept, by stream; similarities as means over the streams. Empty without HaLP.

    Args:
        lines: of ``metrics.jsonl``; those before the first positives have nothing.
    """
    curves = [
        Curve(
            "Invented neighbours kept (%)",
            "HaLP invents neighbours of each recording; those that would belong to another group are dropped.",
            "epoch",
            _by_stream(lines, "retained", 100.0),
        ),
        Curve(
            "How similar invented and real positives are",
            "Mean cosine of a recording with its own copy and its invented neighbours, and of both with all earlier "
            "recordings. Look for invented neighbours clearly closer to their recording than to all others; where both "
            "are equally close, they say nothing about it.",
            "epoch",
            _means(lines, _SIMILARITIES),
        ),
        Curve(
            "Kept and rejected neighbours in their group",
            "Mean cosine with the middle of the recording's own group: rejected ones should lie further out.",
            "epoch",
            _means(lines, _GROUP),
        ),
    ]
    return [curve for curve in curves if curve.series]


def _numbers(line: Line, quantity: str) -> dict[str, float]:
    """Stream → finite value of a quantity in one epoch."""
    found = {}
    for name, value in line.get("diagnostics", {}).items():
        term, _, rest = name.partition("/")
        stream, _, last = rest.rpartition("/")
        if term == _TERM and last == quantity and value is not None and math.isfinite(value):
            found[stream] = float(value)
    return found


def _by_stream(lines: Sequence[Line], quantity: str, factor: float) -> Series:
    series: Series = {}
    for line in lines:
        for stream, value in _numbers(line, quantity).items():
            series.setdefault(stream, []).append((line["epoch"], factor * value))
    return series


def _means(lines: Sequence[Line], quantities: Mapping[str, str]) -> Series:
    series: Series = {}
    for line in lines:
        for quantity, title in quantities.items():
            values = _numbers(line, quantity)
            if values:
                series.setdefault(title, []).append((line["epoch"], fmean(values.values())))
    return series
