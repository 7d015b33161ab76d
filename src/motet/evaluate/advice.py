"""One line on an evaluation: which features to use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
_HOW = {
    RANDOM: "`motet pretrain RECIPE --start none --epochs 0` makes one",
    ROCKET: "`motet embed rocket ARCHIVE` gives them in seconds",
    STATISTICS: "`motet fit` tries them",
}


def advice(rows: Sequence[Row], test_clips: int, *, supervised: bool = False) -> str:
    """Which features to use, and by how much; empty where nothing was compared.

    Two kinds of features count as level where they differ by less than the standard error of a share of ``test_clips``.

    Args:
        rows: of an evaluation.
        test_clips: number of clips that were classified.
        supervised: whether the learned features have used labels of the training clips, so that nothing is said of few.
    """
    compared = [(p, found) for p in CLASSIFIERS if len(found := _scores(rows, p)) > 1]
    compared = [(p, found) for p, found in compared if any(not is_baseline(kind) for kind in found)]
    if not compared:
        return ""
    protocol, scores = compared[0]
    learned = next(kind for kind in scores if not is_baseline(kind))
    sensors = STATISTICS in scores
    baselines = {kind: value for kind, value in scores.items() if is_baseline(kind)}
    best, winner = _compared(scores, test_clips)
    numbers = ", ".join(f"{_called(kind, sensors)} {100 * value:.1f}" for kind, value in baselines.items())
    said = f"{learned} {100 * scores[learned]:.1f} by {CLASSIFIERS[protocol]}; {numbers}"
    if not winner:
        said = f"No difference beyond chance between the learned features and {_called(best, sensors)}: {said}."
    elif winner == learned:
        said = f"Use the learned features: {said}."
    else:
        how = f"; {_how(best)}" if _how(best) else ""
        said = f"The learned features lose, use {_called(best, sensors)}: {said}{how}."
    if supervised:
        return f"{said} The learned features have used labels in their training (--class-views)."
    return said + _few(rows, winner, test_clips, sensors)


def _compared(scores: Mapping[str, float], test_clips: int) -> tuple[str, str]:
    """The best baseline, and what is better beyond chance: it, the learned features or, ``""``, neither."""
    learned = next(kind for kind in scores if not is_baseline(kind))
    best = max((kind for kind in scores if is_baseline(kind)), key=lambda kind: scores[kind])
    gap, share = scores[learned] - scores[best], (scores[learned] + scores[best]) / 2
    if abs(gap) <= sqrt(share * (1 - share) / max(1, test_clips)):
        return best, ""
    return best, learned if gap > 0 else best


def _few(rows: Sequence[Row], winner: str, test_clips: int, sensors: bool) -> str:
    """With how few labels of each class, by ridge regression, something else than the ``winner`` is ahead."""
    found: dict[str, dict[int, tuple[float, float]]] = {}
    own = [row for row in rows if row.protocol == "fewlabels" and row.details["algorithm"] == "ridge"]
    for count in sorted({row.details["per_class"] for row in own}):
        scores = _scores([row for row in own if row.details["per_class"] == count], "fewlabels")
        if {is_baseline(kind) for kind in scores} == {True, False}:
            best, ahead = _compared(scores, test_clips)
            other = best if not is_baseline(ahead) else next(kind for kind in scores if not is_baseline(kind))
            if ahead not in ("", winner):
                found.setdefault(ahead, {})[count] = (scores[ahead], scores[other])
    said = ""
    for kind, figures in found.items():
        features = _called(kind, sensors) if is_baseline(kind) else "the learned features"
        ours, theirs = (_listed(f"{100 * pair[i]:.1f}" for pair in figures.values()) for i in (0, 1))
        labels = "label" if list(figures) == [1] else "labels"
        said += f" Better with {_listed(map(str, figures))} {labels} a class: {features}, {ours} against {theirs}."
    return said


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _called(kind: str, sensors: bool) -> str:
    if kind == RAW and sensors:
        return "raw readings"
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
