"""Evaluation of graph features: a support vector machine in cross-validation (GraphCL's unsupervised protocol)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import SVC

from motet.core.errors import ConfigError, DataError
from motet.core.text import counted

COSTS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def svm_accuracy(
    features: NDArray[np.floating], labels: Ints, *, folds: int = 10, inner: int = 5, seed: int = 0
) -> list[float]:
    """Test accuracy of every fold: RBF kernel, cost chosen by cross-validation inside the training side.

    γ is 1 / (F · variance of all training features), as scikit-learn's ``scale``; costs are 0.001 … 1000. The distances
    of all graphs are computed once and every kernel is made of them, which gives the machines of
    ``GridSearchCV(SVC(), {"C": COSTS}, cv=inner)`` in a fraction of the time.

    Args:
        features: (N, F), not scaled.
        labels: (N,) classes.
        folds: outer folds, stratified and shuffled.
        inner: folds inside a training side, stratified, in the order of the rows.
        seed: of the outer folds.

    Raises:
        ConfigError: a class with fewer graphs than folds.
        DataError: features that are not finite.
    """
    x = np.asarray(features, dtype=np.float64)
    if not np.isfinite(x).all():
        row = int((~np.isfinite(x)).any(axis=1).argmax())
        raise DataError(f"features of graph {row + 1} are not finite; lower the learning rate")
    check_folds(labels, folds, inner)
    squares = (x**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares[None] - 2 * x @ x.T, 0)
    outer = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return [_fold(x, distances, labels, train, test, inner) for train, test in outer.split(x, labels)]


def check_folds(labels: Ints, folds: int, inner: int = 5) -> None:
    """Raise ConfigError unless every fold, and every fold inside a training side, can have every class."""
    if folds < 2:
        raise ConfigError(f"folds is {folds}, it must be 2 or more")
    counts = np.unique(labels, return_counts=True)[1]
    if len(counts) < 2:
        raise ConfigError("all graphs have one class; there is nothing to classify")
    rarest = int(counts.min())
    if rarest < folds or rarest - -(-rarest // folds) < inner:
        raise ConfigError(
            f"a class has {counted(rarest, 'graph')}, too few for {counted(folds, 'fold')}; lower --folds"
        )


def _fold(x: Floats, distances: Floats, labels: Ints, train: Ints, test: Ints, inner: int) -> float:
    reached = np.zeros(len(COSTS))
    for a, b in StratifiedKFold(inner).split(train, labels[train]):
        reached += _scores(x, distances, labels, train[a], train[b], COSTS)
    # rounded: equal counts must tie whatever the order of their sum, and the smallest cost wins
    cost = COSTS[int(np.round(reached, 9).argmax())]
    return _scores(x, distances, labels, train, test, (cost,))[0]


def _scores(x: Floats, distances: Floats, labels: Ints, train: Ints, test: Ints, costs: Sequence[float]) -> list[float]:
    variance = x[train].var()
    gamma = 1 / (x.shape[1] * variance) if variance else 1.0
    fitted, asked = np.exp(-gamma * distances[np.ix_(train, train)]), np.exp(-gamma * distances[np.ix_(test, train)])
    scores = []
    for cost in costs:
        machine = SVC(C=cost, kernel="precomputed").fit(fitted, labels[train])
        scores.append(float((machine.predict(asked) == labels[test]).mean()))
    return scores
