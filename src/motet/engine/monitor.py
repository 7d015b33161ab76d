"""Cheap looks at the features while training runs: nearest neighbours and collapse."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import normalize

from motet.metrics.knn import knn_accuracy


def online_knn(
    train: Mapping[str, Tensor], test: Mapping[str, Tensor], train_labels: Tensor, test_labels: Tensor
) -> dict[str, float]:
    """1-NN accuracy per stream and, with several streams, of their concatenation (``"all"``). A monitor only."""
    found = {s: knn_accuracy(train[s], train_labels, test[s], test_labels) for s in train}
    if len(train) > 1:
        together = [torch.cat([normalize(f, dim=1) for f in side.values()], dim=1) for side in (train, test)]
        found["all"] = knn_accuracy(together[0], train_labels, together[1], test_labels)
    return found


def spread(features: Tensor) -> float:
    """1 − length of the mean of the normalised (N, F) features: 0 when all point the same way, near 1 when spread."""
    return 1.0 - float(normalize(features.double(), dim=1).mean(dim=0).norm())
