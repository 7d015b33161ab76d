"""Few labels: what a simple classifier makes of 1 to 20 labelled clips of each class, on the whole test side.

Labelled clips are drawn from the training side; all feature sets see the same draws. Two classifiers read them: the
nearest neighbour by cosine, and ridge regression whose strength is chosen by leaving each labelled clip out (in closed
form; with one clip of a class it is fixed). Columns are standardised on all training clips, whose labels that does not
need. The test clips choose nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from motet.core.errors import ConfigError
from motet.core.text import counted
from motet.engine.table import Row
from motet.evaluate.context import Context
from motet.evaluate.features import FeatureSet
from motet.evaluate.flags import flag
from motet.evaluate.ridge import DEFAULT, STRENGTHS
from motet.evaluate.streamwise import with_concat
from motet.metrics.knn import standardisation
from motet.metrics.neighbours import unit_rows

Integers = npt.NDArray[np.int64]


FEATURES_ALONE = True


@dataclass(frozen=True)
class Options:
    """Options of the protocol."""

    counts: tuple[int, ...] = (1, 2, 5, 10, 20)
    """labelled clips of each class; each number gives rows of its own."""
    repeats: int = 10
    """draws of each number."""

    def __post_init__(self) -> None:
        if not self.counts or min(self.counts) < 1:
            raise ConfigError(f"{flag(self, 'counts')} is {self.counts}; give one or more numbers of at least 1")
        if self.repeats < 1:
            raise ConfigError(f"{flag(self, 'repeats')} is {self.repeats}; it must be at least 1")


def draw(labels: Integers, count: int, repeat: int) -> Integers:
    """Positions of ``count`` clips of every class, or of all that a class has if these are fewer; ascending."""
    random = np.random.default_rng([repeat, count])
    chosen = []
    for c in np.unique(labels):
        members = np.flatnonzero(labels == c)
        chosen.append(random.choice(members, min(count, len(members)), replace=False))
    found: Integers = np.sort(np.concatenate(chosen))
    return found


def ridge_scores(gram: Tensor, across: Tensor, targets: Tensor) -> tuple[Tensor, float]:
    """Scores of test rows by ridge regression with a free offset, its strength by leave-one-out in closed form.

    With H the smoother of the targets y, the residual of a row that is left out is (y − Hy)ᵢ / (1 − Hᵢᵢ) (Allen's
    PRESS, 1974).

    Args:
        gram: (n, n) inner products of labelled rows.
        across: (m, n) of test rows with labelled rows.
        targets: (n, K), 1 of the class and −1 of the others.

    Returns:
        (m, K) scores, and the strength as a multiple of the rows' total variance.
    """
    n = len(gram)
    column = gram.mean(dim=1)
    centred = gram - column[:, None] - column[None, :] + gram.mean()
    offset = targets.mean(dim=0)
    moved = targets - offset
    values, vectors = torch.linalg.eigh(centred)
    values = values.clamp_min(0)
    inner, total = vectors.T @ moved, float(values.sum()) or 1.0
    truth = targets.argmax(dim=1)
    tried = []
    for strength in STRENGTHS:
        share = values / (values + strength * total / n)
        own = (vectors.square() @ share + 1 / n)[:, None]
        left_out = moved - (moved - vectors @ (share[:, None] * inner)) / (1 - own).clamp_min(1e-9)
        right = int((left_out.argmax(dim=1) == truth).sum())
        tried.append((-right, float((left_out - moved).square().sum()), strength))
    best = min(tried)
    strength = DEFAULT if best[0] == 0 else best[2]
    weight = vectors @ (inner / (values + strength * total / n)[:, None])
    rows = across - across.mean(dim=1, keepdim=True) - column[None, :] + gram.mean()
    return rows @ weight + offset, strength


def _labels(context: Context, features: FeatureSet, draws: Sequence[Integers]) -> dict[str, list[float]]:
    """Accuracy of every draw by both classifiers, all streams together."""
    needed = np.unique(np.concatenate(draws))
    place = np.searchsorted(needed, np.arange(len(context.train)))
    known = torch.from_numpy(needed)
    sides = [with_concat(features.centre(ids), context.streams) for ids in (context.train, context.test)]
    train, test = (list(side.values())[-1] for side in sides)
    near = unit_rows(test.float()) @ unit_rows(train[known].float()).T
    shift, gain = standardisation(train.double())
    rows, asked = (train[known].double() - shift) * gain, (test.double() - shift) * gain
    gram, across = rows @ rows.T, asked @ rows.T
    classes = len(context.class_names)
    found: dict[str, list[float]] = {"1-NN": [], "ridge": []}
    for chosen in draws:
        at = torch.from_numpy(place[chosen])
        labels = torch.from_numpy(context.train_labels[chosen])
        targets = torch.full((len(chosen), classes), -1.0, dtype=torch.float64).scatter_(1, labels[:, None], 1.0)
        scores, _ = ridge_scores(gram[at][:, at].cpu(), across[:, at].cpu(), targets)
        answers = {"1-NN": labels[near[:, at].argmax(dim=1).cpu()], "ridge": scores.argmax(dim=1)}
        for name, answer in answers.items():
            found[name].append(float((answer.numpy() == context.test_labels).mean()))
    return found


def usable(context: Context, options: Options) -> tuple[int, ...]:
    """The numbers that at least one class has clips for.

    Raises:
        ConfigError: none of them.
    """
    largest = int(np.bincount(context.train_labels).max())
    kept = tuple(c for c in options.counts if c <= largest)
    if not kept:
        raise ConfigError(
            f"no class has {counted(min(options.counts), 'training clip')}; lower {flag(options, 'counts')}"
        )
    return kept


def check(context: Context, options: Options) -> None:
    """Raise ConfigError for numbers that no class has, before anything is computed."""
    usable(context, options)


def evaluate(context: Context, options: Options) -> list[Row]:
    """For each number of labels one row of every kind of features and classifier, all streams together."""
    counts = usable(context, options)
    sizes = np.bincount(context.train_labels)
    smallest = int(sizes[sizes > 0].min())
    if len(counts) < len(options.counts) or smallest < max(counts):
        span = ("" if smallest == sizes.max() else f"{smallest} to ") + counted(int(sizes.max()), "training clip")
        context.notes.append(f"classes have {span} each; one with fewer than asked for gives all it has")
    draws = {c: [draw(context.train_labels, c, repeat) for repeat in range(options.repeats)] for c in counts}
    together = [d for several in draws.values() for d in several]
    stream = "+".join(context.streams)
    rows = []
    for kind, sets in context.groups():
        found = [_labels(context, features, together) for features in context.track(sets, f"fewlabels: {kind}")]
        several = len(sets) > 1
        for number, count in enumerate(counts):
            part = slice(number * options.repeats, (number + 1) * options.repeats)
            for name in ("1-NN", "ridge"):
                values = [fmean(f[name][part]) for f in found] if several else found[0][name][part]
                details: dict[str, Any] = {"per_class": count, "algorithm": name}
                details["over"] = context.over(kind, probe_seeds=False) if several else "draws"
                rows.append(context.row("fewlabels", kind, stream, values, details=details))
    return sorted(rows, key=lambda row: row.details["per_class"])
