"""One line on an evaluation: which features to use."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from motet.engine.table import RANDOM, RAW, ROCKET, STATISTICS, WEIGHTS, Row, is_baseline

CLASSIFIERS = {
    "ridge": "ridge regression",
    "linear": "a linear layer",
    "linear-cached": "a linear layer",
    "knn": "1-NN",
}
"""protocols that compare features on the whole test side, the fairest first"""
_CALLED = {
    RANDOM: "the untrained encoder",
    RAW: "raw coordinates",
    ROCKET: "random convolutions",
    STATISTICS: STATISTICS,
}
_HOW = {ROCKET: "`motet embed rocket ARCHIVE` gives them in seconds", STATISTICS: "`motet fit` tries them"}


def advice(rows: Sequence[Row], test_clips: int) -> str:
    """Which features to use, and by how much; empty where nothing was compared.

    Two kinds of features count as level where they differ by less than the standard error of a share of ``test_clips``.

    Args:
        rows: of an evaluation.
        test_clips: number of clips that were classified.
    """
    compared = [(p, found) for p in CLASSIFIERS if len(found := _scores(rows, p)) > 1]
    compared = [(p, found) for p, found in compared if any(not is_baseline(kind) for kind in found)]
    if not compared:
        return ""
    protocol, scores = compared[0]
    learned = next(kind for kind in scores if not is_baseline(kind))
    baselines = {kind: value for kind, value in scores.items() if is_baseline(kind)}
    best = max(baselines, key=lambda kind: baselines[kind])
    gap = scores[learned] - baselines[best]
    share = (scores[learned] + scores[best]) / 2
    level = abs(gap) <= sqrt(share * (1 - share) / max(1, test_clips))
    numbers = ", ".join(f"{_called(kind)} {100 * value:.1f}" for kind, value in baselines.items())
    said = f"{learned} {100 * scores[learned]:.1f} by {CLASSIFIERS[protocol]}; {numbers}"
    if level:
        return f"No difference beyond chance between the learned features and {_called(best)}: {said}."
    if gap > 0:
        return f"Use the learned features: {said}."
    how = f"; {_how(best)}" if _how(best) else ""
    return f"The learned features lose, use {_called(best)}: {said}{how}."


def _called(kind: str) -> str:
    return f"the {kind}" if kind.startswith(WEIGHTS) else _CALLED[kind]


def _how(kind: str) -> str:
    if kind.startswith(WEIGHTS):
        return f"`motet embed {kind.removeprefix(WEIGHTS)} ARCHIVE` gives them in seconds"
    return _HOW.get(kind, "")


def _scores(rows: Sequence[Row], protocol: str) -> dict[str, float]:
    """Accuracy of each kind of features, all streams together where there are several; the better of plain and
    standardised ones."""
    found: dict[str, float] = {}
    own = [row for row in rows if row.protocol == protocol and row.metric == "accuracy" and "subset" not in row.details]
    widest = max((row.stream.count("+") for row in own), default=0)
    for row in own:
        if row.stream.count("+") == widest:
            found[row.features] = max(found.get(row.features, 0.0), row.mean)
    return found
