"""k nearest neighbours by cosine similarity: the protocol of CMD (Mao et al., ECCV 2022), k = 1, centre crops.

Nothing is trained: each test clip takes the majority label of its k most similar training clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from motet.core.errors import ConfigError, DataError
from motet.evaluate.context import Context
from motet.evaluate.features import FeatureSet
from motet.evaluate.flags import flag
from motet.evaluate.neighbours import nearest
from motet.evaluate.results import Row, confusion_matrix
from motet.evaluate.streamwise import ensemble_of, together, with_concat

Features = Tensor | npt.NDArray[np.floating[Any]]
Labels = Tensor | npt.NDArray[np.integer[Any]] | Sequence[int]
Integers = npt.NDArray[np.int64]

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
        raise ConfigError(f"there are {len(train)} training features but {len(labels)} labels")
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
            f"there are {len(test_features)} test features and {len(truth)} labels; both need the same, ≥ 1"
        )
    return float((knn_predict(train_features, train_labels, test_features, k=k) == truth).mean())


def integer_labels(labels: Labels) -> Integers:
    """Labels as (n,) int64; DataError unless they are a sequence of integers."""
    values = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if values.ndim != 1 or (values.dtype.kind not in "iub" and values.size):
        raise DataError(f"labels must be a sequence of integers, not {values.dtype} of shape {values.shape}")
    return values.astype(np.int64)


@dataclass(frozen=True)
class Options:
    """Options of the protocol."""

    k: int = 1
    """number of neighbours that vote."""
    checkpoints: bool = True
    """also judge the checkpoints that the run kept, for the best-epoch column."""

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ConfigError(f"{flag(self, 'k')} is {self.k}; it must be at least 1")


def check(context: Context, options: Options) -> None:
    """Refuse more neighbours than there are training clips, before anything is computed."""
    if options.k > len(context.train):
        raise ConfigError(f"k is {options.k} but only {len(context.train)} clips train; lower --knn.k")


def evaluate(context: Context, options: Options) -> list[Row]:
    """One row for each stream and one for all streams together (``concat``: L2-normalised, side by side).

    Last epoch: the final weights. Best epoch: the best of these and of the checkpoints on disk, chosen on the test
    clips.
    """
    check(context, options)
    rows, classes = [], len(context.class_names)
    for kind, sets in context.groups():
        names = (*context.streams, *together(context.streams))
        values: dict[str, list[float]] = {name: [] for name in names}
        best: dict[str, list[float]] = {name: [] for name in names}
        confusion = {name: np.zeros((classes, classes), dtype=np.int64) for name in names}
        for features in context.track(sets, f"knn: {kind}"):
            found = _predictions(context, features, options.k)
            for name in names:
                values[name].append(_share(context, found[name]))
                confusion[name] += confusion_matrix(context.test_labels, found[name], classes)
            earlier = features.earlier() if options.checkpoints else []
            tried = [_predictions(context, other, options.k) for other in earlier]
            for name in names if tried else ():
                best[name].append(max([values[name][-1], *(_share(context, t[name]) for t in tried)]))
        for name in names:
            shown = kind == context.method and name == names[-1]
            rows.append(
                Row(
                    protocol="knn",
                    features=kind,
                    stream=name,
                    ensemble=ensemble_of(name, context.streams),
                    metric="accuracy",
                    values=tuple(values[name]),
                    best_values=tuple(best[name]),
                    details={"k": options.k, "over": context.over(kind, probe_seeds=False)},
                    confusion=confusion[name].tolist() if shown else None,
                )
            )
    return rows


def _share(context: Context, predicted: Integers) -> float:
    return float((predicted == context.test_labels).mean())


def _predictions(context: Context, features: FeatureSet, k: int) -> dict[str, Integers]:
    """Predicted labels of the test clips by stream and for all streams together."""
    train, test = (with_concat(features.centre(ids), context.streams) for ids in (context.train, context.test))
    return {name: knn_predict(train[name], context.train_labels, test[name], k=k) for name in train}
