"""k nearest neighbours by cosine similarity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from motet.core.errors import ConfigError, DataError
from motet.core.text import counted
from motet.metrics.neighbours import nearest

Features = Tensor | npt.NDArray[np.floating[Any]]
Labels = Tensor | npt.NDArray[np.integer[Any]] | Sequence[int]
Integers = npt.NDArray[np.int64]

CONSTANT = 1e-6
"""a column that varies less than this share of the widest, or of its own mean, carries rounding only"""
_VOTE_ROWS = 65536


def knn_predict(train_features: Features, train_labels: Labels, test_features: Features, *, k: int = 1) -> Integers:
    """Labels by majority vote among the k training rows of largest cosine similarity.

    Equal to scikit-learn's ``KNeighborsClassifier(k, metric="cosine")``: where several labels get the same number of
    votes, the lowest label wins. Where training rows are equally similar, the first ones count. A zero vector has
    similarity 0 with everything. Works in blocks on the features' device: a million rows need little more
    memory than they take.

    Args:
        train_features: (n, F) array or tensor; need not be normalised.
        train_labels: (n,) integers, any values.
        test_features: (m, F).
        k: number of neighbours that vote.

    Returns:
        (m,) int64.

    Raises:
        ConfigError: shapes or k that do not fit.
        DataError: a feature that is not finite.
    """
    train, test = torch.as_tensor(train_features).detach(), torch.as_tensor(test_features).detach()
    labels = integer_labels(train_labels)
    if len(labels) != len(train):
        raise ConfigError(f"there are {counted(len(train), 'training feature')} but {counted(len(labels), 'label')}")
    neighbours = nearest(train, test.to(train.device), k)[1].cpu().numpy()
    classes, votes = np.unique(labels, return_inverse=True)
    if k == 1:
        alone: Integers = labels[neighbours[:, 0]]
        return alone
    winners = []
    for start in range(0, len(neighbours), _VOTE_ROWS):
        cast = torch.from_numpy(votes[neighbours[start : start + _VOTE_ROWS]])
        ballot = torch.zeros(len(cast), len(classes), dtype=torch.int64)
        winners.append(ballot.scatter_add_(1, cast, torch.ones_like(cast)).numpy().argmax(axis=1))
    predicted: Integers = classes[np.concatenate(winners)] if winners else labels[:0]
    return predicted


def knn_accuracy(
    train_features: Features, train_labels: Labels, test_features: Features, test_labels: Labels, *, k: int = 1
) -> float:
    """Share of test rows that :func:`knn_predict` labels correctly, 0 … 1.

    Raises:
        ConfigError: shapes or k that do not fit, or no test rows.
        DataError: a feature that is not finite.
    """
    truth = integer_labels(test_labels)
    if len(truth) != len(test_features) or len(truth) == 0:
        raise ConfigError(
            f"there are {counted(len(test_features), 'test feature')} and {counted(len(truth), 'label')}; both need "
            f"the same, ≥ 1"
        )
    return float((knn_predict(train_features, train_labels, test_features, k=k) == truth).mean())


def integer_labels(labels: Labels) -> Integers:
    """Labels as (n,) int64; DataError unless they are a sequence of integers."""
    values = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if values.ndim != 1 or (values.dtype.kind not in "iub" and values.size):
        raise DataError(f"labels must be a sequence of integers, not {values.dtype} of shape {values.shape}")
    return values.astype(np.int64)


def standardisation(x: Tensor) -> tuple[Tensor, Tensor]:
    """Shift and gain (F,) that give each column of (n, F) mean 0 and variance 1; 0 where it does not vary."""
    mean, sd = x.mean(dim=0), x.std(dim=0, correction=0)
    active = sd > CONSTANT * torch.maximum(sd.max(), mean.abs())
    return mean, torch.where(active, 1 / sd.where(active, 1), 0)
