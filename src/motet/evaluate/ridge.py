"""Ridge regression on one-of-K targets, in closed form: what a linear layer can do with features, in seconds.

Columns are standardised on the training clips. The strength is the one of :data:`STRENGTHS` that labels most clips of
left-out training people rightly (of left-out clips, where people are not known); the test clips take no part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from motet.core.errors import ConfigError
from motet.core.text import counted
from motet.data.columns import absent
from motet.engine.table import Row
from motet.evaluate.context import Context
from motet.evaluate.flags import flag
from motet.evaluate.results import confusion_matrix
from motet.evaluate.streamwise import together, with_concat
from motet.metrics.knn import Features, Labels, integer_labels, standardisation
from motet.metrics.neighbours import check_finite

Integers = npt.NDArray[np.int64]

STRENGTHS = tuple(10.0**k for k in range(-6, 3))
"""strengths that are tried, as multiples of the features' total variance."""
DEFAULT = 1e-2
"""strength where there are too few clips to choose one."""
_FOLD_CLIPS = 3000  # clips that choose the strength; the solution itself sees all


FEATURES_ALONE = True
"""it asks for features of whole clips or rows and for nothing else, so it takes every kind of run"""


@dataclass(frozen=True)
class Options:
    """Options of the protocol."""

    folds: int = 5
    """parts of the training people (of the clips, where people are not known) that choose the strength."""
    strength: float | None = None
    """a fixed strength, as a multiple of the features' total variance; chosen by default."""

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ConfigError(f"{flag(self, 'folds')} is {self.folds}; it must be at least 2")
        if self.strength is not None and not self.strength > 0:
            raise ConfigError(f"{flag(self, 'strength')} is {self.strength}; it must be positive")


@dataclass(frozen=True)
class Ridge:
    """A linear map from features to a score of each class.

    Attributes:
        weight: (F, K) of standardised features.
        bias: (K,).
        shift, gain: (F,); a feature x enters as (x − shift) · gain.
        classes: (K,) the labels.
        strength: multiple of the features' total variance.
    """

    weight: Tensor
    bias: Tensor
    shift: Tensor
    gain: Tensor
    classes: Integers
    strength: float

    @classmethod
    def fit(
        cls,
        features: Features,
        labels: Labels,
        *,
        groups: npt.ArrayLike | None = None,
        folds: int = 5,
        strength: float | None = None,
    ) -> Ridge:
        """Learn from (n, F) features.

        Args:
            features: (n, F).
            labels: (n,) integers.
            groups: (n,) whom each clip is of, numbers or names; negative numbers, None and NaN are unknown. People are
                left out as a whole.
            folds: parts that choose the strength.
            strength: a fixed one.

        Raises:
            ConfigError: shapes that do not fit, or a single class.
            DataError: labels that are not integers, or a feature that is not finite.
        """
        x = torch.as_tensor(features).detach().double()
        classes, index = np.unique(integer_labels(labels), return_inverse=True)
        if x.ndim != 2 or len(index) != len(x):
            raise ConfigError(
                f"there are training features of shape {tuple(x.shape)} but {counted(len(index), 'label')}"
            )
        check_finite(x, "training")
        if len(classes) < 2:
            raise ConfigError("a classifier needs two classes or more")
        shift, gain = standardisation(x)
        rows = (x - shift) * gain
        targets = torch.full((len(x), len(classes)), -1.0, dtype=torch.float64, device=x.device)
        targets[torch.arange(len(x)), torch.from_numpy(index)] = 1.0
        if strength is None:
            strength = _chosen(rows, targets, fold_of(len(x), groups, folds, index))
        bias = targets.mean(dim=0)
        weight = _solved(rows, targets - bias, [strength])[0]
        return cls(weight, bias, shift, gain, classes.astype(np.int64), strength)

    def scores(self, features: Features) -> Tensor:
        """(m, F) → (m, K) float64, near 1 for the class and −1 for the others; DataError where one is not finite."""
        x = torch.as_tensor(features).detach().double().to(self.weight.device)
        check_finite(x, "test")
        return (x - self.shift) * self.gain @ self.weight + self.bias

    def predict(self, features: Features) -> Integers:
        """(m, F) → (m,) labels."""
        found: Integers = self.classes[self.scores(features).argmax(dim=1).cpu().numpy()]
        return found


def fold_of(count: int, groups: npt.ArrayLike | None, folds: int, classes: Integers) -> Integers:
    """(n,) fold of each row: people as a whole where there are two or more, else every n-th clip of each class."""
    people = np.full(count, -1) if groups is None else _numbered(np.asarray(groups))
    known = np.unique(people[people >= 0])
    if len(known) < 2 or (people < 0).any():
        order = np.argsort(classes, kind="stable")
        fold = np.empty(count, dtype=np.int64)
        fold[order] = np.arange(count) % folds
        return fold
    sizes = [(int((people == p).sum()), int(p)) for p in known]
    load = [0] * min(folds, len(known))
    place = {}
    for size, person in sorted(sizes, reverse=True):  # the largest first, each to the emptiest fold
        place[person] = int(np.argmin(load))
        load[place[person]] += size
    return np.array([place[int(p)] for p in people], dtype=np.int64)


def _numbered(groups: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Numbers as they are, names by numbers; -1 for what is none."""
    if groups.dtype.kind == "f":
        return np.where(np.isnan(groups), -1, groups)
    if groups.dtype.kind not in "OU":
        return groups
    known = np.array([not absent(group) for group in groups])
    found = np.full(len(groups), -1)
    found[known] = np.unique(groups[known].astype(str), return_inverse=True)[1]
    return found


def _chosen(rows: Tensor, targets: Tensor, fold: Integers) -> float:
    if len(rows) > _FOLD_CLIPS:
        kept = np.linspace(0, len(rows) - 1, _FOLD_CLIPS).round().astype(np.int64)
        rows, targets, fold = rows[kept], targets[kept], fold[kept]
    right, squares = np.zeros(len(STRENGTHS)), np.zeros(len(STRENGTHS))
    truth = targets.argmax(dim=1)
    for inside, outside in _sides(fold):
        if not len(inside) or not len(outside):
            continue
        bias = targets[inside].mean(dim=0)
        for number, weight in enumerate(_solved(rows[inside], targets[inside] - bias, STRENGTHS)):
            scores = rows[outside] @ weight + bias
            right[number] += float((scores.argmax(dim=1) == truth[outside]).sum())
            squares[number] += float((scores - targets[outside]).square().sum())
    if not right.any():
        return DEFAULT
    best = np.flatnonzero(right == right.max())
    return STRENGTHS[int(best[squares[best].argmin()])]


def _sides(fold: Integers) -> Iterator[tuple[Tensor, Tensor]]:
    for number in np.unique(fold):
        yield torch.from_numpy(np.flatnonzero(fold != number)), torch.from_numpy(np.flatnonzero(fold == number))


def _solved(rows: Tensor, targets: Tensor, strengths: list[float] | tuple[float, ...]) -> list[Tensor]:
    """(F, K) weights of each strength, from one decomposition of the smaller of the two Gram matrices."""
    wide = rows.shape[1] > len(rows)
    gram = rows @ rows.T if wide else rows.T @ rows
    total = float(gram.diagonal().sum())
    if total == 0:
        return [rows.new_zeros(rows.shape[1], targets.shape[1]) for _ in strengths]
    values, vectors = torch.linalg.eigh(gram)
    inner = vectors.T @ (targets if wide else rows.T @ targets)
    found = []
    for strength in strengths:
        solution = vectors @ (inner / (values.clamp_min(0) + strength * total / min(rows.shape))[:, None])
        found.append(rows.T @ solution if wide else solution)
    return found


def people(context: Context) -> Integers | None:
    """(n,) subject of each training clip, −1 where unknown."""
    return None if context.people is None else context.people[context.train.numpy()]


def evaluate(context: Context, options: Options) -> list[Row]:
    """One row for each stream and one for all streams together (``concat``: each of length one, side by side)."""
    rows, classes, groups = [], len(context.class_names), people(context)
    names = (*context.streams, *together(context.streams))
    for kind, sets in context.groups():
        values: dict[str, list[float]] = {name: [] for name in names}
        strengths: dict[str, list[float]] = {name: [] for name in names}
        confusion = np.zeros((classes, classes), dtype=np.int64)
        for features in context.track(sets, f"ridge: {kind}"):
            train, test = (with_concat(features.centre(ids), context.streams) for ids in (context.train, context.test))
            for name in names:
                fitted = Ridge.fit(
                    train[name], context.train_labels, groups=groups, folds=options.folds, strength=options.strength
                )
                predicted = fitted.predict(test[name])
                values[name].append(float((predicted == context.test_labels).mean()))
                strengths[name].append(fitted.strength)
            confusion += confusion_matrix(context.test_labels, predicted, classes)
        for name in names:
            details: dict[str, Any] = {"over": context.over(kind, probe_seeds=False), "strengths": strengths[name]}
            shown = kind == context.method and name == names[-1]
            rows.append(
                context.row(
                    "ridge", kind, name, values[name], details=details, confusion=confusion.tolist() if shown else None
                )
            )
    return rows
