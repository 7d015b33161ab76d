"""Sentences computed from the numbers: what a reader who never trained a model needs to hear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from motet.core.text import counted
from motet.report.data import Confusion, ReportData, Row

# The protocol and the row that the headline speaks of are fixed beforehand, not chosen by their result.
HEADLINE_PROTOCOLS = ("linear", "linear-cached", "knn")

PROTOCOLS = {
    "knn": (
        "nearest neighbour",
        "A test clip takes the label of the most similar training clip. Nothing is trained.",
    ),
    "linear": ("linear probe", "The encoder is frozen; one linear layer learns to name the classes from its features."),
    "linear-cached": ("linear probe, cached", "The linear probe on features computed once, without random crops."),
    "semi": ("few labels", "The encoder is fine-tuned with a small share of the labels."),
    "finetune": ("fine-tuning", "The encoder continues training with all labels."),
    "transfer": ("transfer", "The encoder was pretrained on other recordings than it is tested on."),
    "ensemble": ("ensemble", "Several streams vote together."),
    "retrieval": ("retrieval", "Share of test clips whose most similar clip is of the same class."),
    "svm": ("support vector machine", "Features are frozen; the machine is trained and tested in cross-validation."),
    "cluster": ("clustering", "Clusters found without labels, matched one to one with the classes."),
}
FEATURES = {
    "raw": ("raw coordinates", "the recorded coordinates themselves, nothing learned"),
    "statistics": ("statistics", "means, quantiles and spectrum of every channel, nothing learned"),
    "random": ("untrained encoder", "the same network before training, with random weights"),
    "rocket": ("random convolutions", "shares of the time that random filters respond, nothing learned"),
}


@dataclass(frozen=True)
class Headline:
    """The one sentence of the page, its margin of chance, and whether it is good news."""

    sentence: str
    detail: str
    verdict: str  # "better" | "unclear" | "worse" | "none"


def number(value: float) -> str:
    """One decimal, a real minus sign."""
    return f"{value:.1f}".replace("-", "−")


def with_sd(mean: float, sd: float | None) -> str:
    return number(mean) + ("" if not sd else f" ± {number(sd)}")


def points(value: float) -> str:
    return f"{number(abs(value))} point{'' if number(abs(value)) == '1.0' else 's'}"


def protocol_name(protocol: str) -> str:
    return PROTOCOLS.get(protocol, (protocol, ""))[0]


def features_name(row: Row) -> str:
    return row.called or FEATURES.get(row.features, (row.features, ""))[0]


def margin(first: Row, second: Row, clips: int | None) -> float | None:
    """Difference in points that chance alone easily makes, about 95 %: two standard errors of the difference.

    Per row: the variance over seeds, plus that of evaluating on ``clips`` test clips only (binomial). None if neither
    is known. The rows share their test clips, so this is on the cautious side.
    """
    variance, known = 0.0, False
    for row in (first, second):
        if row.sd is not None:
            variance, known = variance + row.sd**2, True
        if clips:
            share = min(max(row.mean / 100, 0.0), 1.0)
            variance, known = variance + 1e4 * share * (1 - share) / clips, True
    return 2 * sqrt(variance) if known else None


def main_row(rows: Sequence[Row]) -> Row | None:
    """The learned row that the page speaks of: by protocol in fixed order, an ensemble before one stream."""
    learned = [row for row in rows if not row.baseline and row.accuracy]
    for protocol in (*HEADLINE_PROTOCOLS, *dict.fromkeys(row.protocol for row in learned)):
        here = [row for row in learned if row.protocol == protocol]
        if here:
            return next((row for row in here if row.ensemble), here[0])
    return None


def baselines(rows: Sequence[Row], learned: Row) -> list[Row]:
    """Of raw and of random features the best row of the same protocol: the learned ones have to beat both."""
    here = [row for row in rows if row.accuracy and row.protocol == learned.protocol]
    kinds = ([row for row in here if row.features == kind] for kind in FEATURES)
    return [max(kind, key=lambda row: row.mean) for kind in kinds if kind]


def headline(data: ReportData) -> Headline:
    """What came out, in one sentence: against the harder of the two baselines, with the margin of chance."""
    row = main_row(data.rows)
    if row is None:
        return Headline("This run has not been evaluated yet.", "", "none")
    others = baselines(data.rows, row)
    reached = f"{data.method} names {with_sd(row.mean, row.sd)} % of the test {data.noun}s correctly"
    how = f"{protocol_name(row.protocol)}, {row.where}"
    if not others:
        return Headline(f"{reached}.", f"Measured by {how}. No baseline was evaluated next to it.", "none")
    hardest = max(others, key=lambda r: r.mean)
    difference = row.mean - hardest.mean
    against = f"{features_name(hardest)}: {with_sd(hardest.mean, hardest.sd)} %"
    chance = margin(row, hardest, data.test_clips)
    rest = [f"{features_name(r)} {with_sd(r.mean, r.sd)} %" for r in others if r is not hardest]
    detail = (
        f"Measured by {how}, against the best row of each baseline" + (f"; {', '.join(rest)}" if rest else "") + "."
    )
    if chance is None:
        detail += " One run and an unknown number of test clips: the margin of chance is unknown."
    else:
        detail += f" Differences below about {points(chance)} can be chance"
        detail += f" ({_sample(row, data.test_clips, data.noun)})."
    if chance is not None and abs(difference) < chance:
        lean = "the same" if number(abs(difference)) == "0.0" else f"{points(difference)} {_direction(difference)}"
        return Headline(f"{reached}; {against}: {lean}, too little to rule out chance.", detail, "unclear")
    if difference > 0:
        return Headline(f"{reached}; {against}: better by {points(difference)}.", detail, "better")
    return Headline(
        f"{reached} and does not beat {features_name(hardest)} ({with_sd(hardest.mean, hardest.sd)} %): "
        + ("the same." if number(abs(difference)) == "0.0" else f"worse by {points(difference)}."),
        detail,
        "worse",
    )


def _direction(difference: float) -> str:
    return "more" if difference > 0 else "less"


def _sample(row: Row, clips: int | None, noun: str) -> str:
    seeds = f"{len(row.values)} {row.over or 'seeds'}" if len(row.values) > 1 else "one run"
    return f"{counted(clips, f'test {noun}')}, {seeds}" if clips else seeds


def mistakes(confusion: Confusion, count: int = 8) -> list[tuple[str, str, int, float]]:
    """The most frequent confusions: (true class, taken for, clips, share of the true class)."""
    matrix, names = np.array(confusion.matrix), confusion.class_names
    sizes = np.maximum(matrix.sum(1), 1)
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    pairs = []
    for flat in np.argsort(-wrong, axis=None, kind="stable")[:count]:
        true, taken = divmod(int(flat), matrix.shape[1])
        if wrong[true, taken]:
            amount = int(wrong[true, taken])
            pairs.append((names[true], names[taken], amount, amount / float(sizes[true])))
    return pairs
