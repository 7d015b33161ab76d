"""One line on an evaluation: which features to use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from motet.core.text import enumerated, pasted
from motet.engine.hub import shipped
from motet.engine.table import FRESH, RANDOM, RAW, ROCKET, STATISTICS, WEIGHTS, Row, is_baseline

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
    RANDOM: "`motet embed {run} ARCHIVE --untrained` gives them in seconds",
    ROCKET: "`motet embed rocket ARCHIVE` gives them in seconds",
    STATISTICS: "`motet fit` tries them",
}
_CHEAPEST = (RAW, STATISTICS, ROCKET, RANDOM)
"""kinds of features from those that ask least, before the weights of the package and what was trained"""


def advice(rows: Sequence[Row], test_clips: int, *, run: str = "RUN", supervised: bool = False) -> str:
    """Which features to use, and by how much; empty where nothing was compared.

    Two kinds of features count as level where they differ by less than the standard error of a share of ``test_clips``;
    of those that are level with the best one the cheapest is advised.

    Args:
        rows: of an evaluation.
        test_clips: number of clips that were classified.
        run: what commands call the run, or the weights whose untrained encoders are compared; ``""``: none.
        supervised: whether the learned features have used labels of the training clips, so that nothing is said of few.
    """
    compared = [(p, found) for p in CLASSIFIERS if len(found := _scores(rows, p)) > 1]
    compared = [(p, found) for p, found in compared if any(not is_baseline(kind) for kind in found)]
    if not compared:
        return ""
    protocol, scores = compared[0]
    words = _Words(learned=_learned(scores), sensors=any(row.features == STATISTICS for row in rows), run=run)
    numbers = ", ".join(f"{words.called(kind)} {100 * v:.1f}" for kind, v in scores.items() if is_baseline(kind))
    said = f"{words.learned} {100 * scores[words.learned]:.1f} by {CLASSIFIERS[protocol]}; {numbers}"
    level = _level(scores, test_clips)
    winner, mine = min(level, key=_cost), words.called(words.learned)
    if level == [words.learned]:
        said = f"Use {mine}: {said}."
    elif words.learned in level:
        together = enumerated([mine, *(words.called(kind) for kind in level if kind != words.learned)])
        costs = "" if winner == words.learned else ", the cheapest"
        said = f"No clear difference between {together}, use {words.called(winner)}{costs}: {said}{words.how(winner)}."
    else:
        lose = "loses" if words.learned == FRESH else "lose"
        said = f"{mine[0].upper()}{mine[1:]} {lose}, use {words.called(winner)}: {said}{words.how(winner)}."
    said += _centred(rows, protocol, words)
    if supervised:
        return f"{said} The learned features have used labels in their training (--class-views)."
    return said + _few(rows, winner if words.learned not in level or len(level) == 1 else "", test_clips, words)


@dataclass(frozen=True)
class _Words:
    """What kinds of features are called: the learned ones, by their name in the table; of sensors or bodies; and what
    commands call the run."""

    learned: str
    sensors: bool
    run: str

    def called(self, kind: str) -> str:
        if kind == self.learned:
            given = {FRESH: "this untrained encoder", **{name: f"the weights {name}" for name in shipped()}}
            return given.get(kind, "the learned features")
        if kind == RAW and self.sensors:
            return "raw readings"
        return f"the {kind}" if kind.startswith(WEIGHTS) else _CALLED[kind]

    def how(self, kind: str) -> str:
        """How they are had."""
        if kind.startswith(WEIGHTS):
            said = f"`motet embed {kind.removeprefix(WEIGHTS)} ARCHIVE` gives them in seconds"
        elif kind == RANDOM and not self.run:
            said = ""
        else:
            said = _HOW.get(kind, "").format(run=pasted(self.run))
        return f"; {said}" if said else ""


def _learned(kinds: Iterable[str]) -> str:
    return next(kind for kind in kinds if not is_baseline(kind))


def _cost(kind: str) -> int:
    if kind in _CHEAPEST:
        return _CHEAPEST.index(kind)
    return len(_CHEAPEST) + (not kind.startswith(WEIGHTS) and kind not in shipped())


def _level(scores: Mapping[str, float], test_clips: int) -> list[str]:
    """The kinds that are not clearly worse than the best one (one standard error), in the order of the table."""
    top = max(scores.values())

    def near(score: float) -> bool:
        share = (top + score) / 2
        return top - score <= sqrt(share * (1 - share) / max(1, test_clips))

    return [kind for kind, score in scores.items() if near(score)]


def _few(rows: Sequence[Row], winner: str, test_clips: int, words: _Words) -> str:
    """With how few labels of each class, by ridge regression, something else than the ``winner`` is ahead."""
    found: dict[str, dict[int, tuple[float, float, str]]] = {}
    own = [row for row in rows if row.protocol == "fewlabels" and row.details["algorithm"] == "ridge"]
    for count in sorted({row.details["per_class"] for row in own}):
        scores = _scores([row for row in own if row.details["per_class"] == count], "fewlabels")
        if {is_baseline(kind) for kind in scores} != {True, False}:
            continue
        learned = _learned(scores)
        best = max((kind for kind in scores if kind != learned), key=lambda kind: scores[kind])
        level = _level({kind: scores[kind] for kind in (learned, best)}, test_clips)
        if len(level) == 1 and level[0] != winner:
            ahead, other = (learned, best) if level == [learned] else (best, learned)
            found.setdefault(ahead, {})[count] = (scores[ahead], scores[other], words.called(other))
    said = ""
    for kind, figures in found.items():
        ours = enumerated(f"{100 * own:.1f}" for own, _, _ in figures.values())
        names = dict.fromkeys(name for _, _, name in figures.values())
        theirs = [(enumerated(f"{100 * s:.1f}" for _, s, n in figures.values() if n == name), name) for name in names]
        labels = "label" if list(figures) == [1] else "labels"
        against = enumerated(f"{numbers} of {name}" for numbers, name in theirs)
        counts = enumerated(map(str, figures))
        said += f" Better with {counts} {labels} a class: {words.called(kind)}, {ours} against {against}."
    return said


def _centred(rows: Sequence[Row], protocol: str, words: _Words) -> str:
    """What features less the means of groups give: the learned ones, and the best where others are."""
    said = ""
    for subset in dict.fromkeys(str(row.details.get("subset", "")) for row in rows if row.protocol == protocol):
        if subset.startswith("centred by"):
            scores = _scores(rows, protocol, subset)
            shown = dict.fromkeys([words.learned, max(scores, key=lambda kind: scores[kind])])
            figures = ", ".join(f"{words.called(kind)} {100 * scores[kind]:.1f}" for kind in shown)
            said += f" C{subset[1:]}: {figures}."
    return said


def _scores(rows: Sequence[Row], protocol: str, subset: str | None = None) -> dict[str, float]:
    """Accuracy of each kind of features, all streams together where there are several; the better of plain and
    standardised ones."""
    found: dict[str, float] = {}
    own = [row for row in rows if (row.protocol, row.metric) == (protocol, "accuracy")]
    own = [row for row in own if row.details.get("subset") == subset]
    widest = max((row.stream.count("+") for row in own), default=0)
    for row in own:
        if row.stream.count("+") == widest:
            found[row.features] = max(found.get(row.features, 0.0), row.mean)
    return found
