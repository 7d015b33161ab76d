"""How well a clustering agrees with known classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from motet.core.errors import ConfigError


def contingency(labels: npt.ArrayLike | Tensor, clusters: npt.ArrayLike | Tensor) -> npt.NDArray[np.int64]:
    """(classes, clusters) counts of every pair that occurs; rows and columns in rising order of the given integers."""
    sides = [np.asarray(x.detach().cpu() if isinstance(x, Tensor) else x) for x in (labels, clusters)]
    for name, side in zip(("labels", "clusters"), sides, strict=True):
        if side.ndim != 1 or (side.size and side.dtype.kind not in "iub"):
            raise ConfigError(f"{name} must be a sequence of integers, not {side.dtype} of shape {side.shape}")
    if len(sides[0]) != len(sides[1]) or len(sides[0]) == 0:
        raise ConfigError(
            f"there are {len(sides[0])} labels and {len(sides[1])} clusters; both need the same number, ≥ 1"
        )
    codes = [np.unique(side, return_inverse=True) for side in sides]
    table = np.zeros([len(values) for values, _ in codes], dtype=np.int64)
    np.add.at(table, (codes[0][1], codes[1][1]), 1)
    return table


def cluster_scores(labels: npt.ArrayLike | Tensor, clusters: npt.ArrayLike | Tensor) -> dict[str, float]:
    """Agreement of a clustering with class labels; the integers themselves and their order do not matter.

    * ``hungarian_accuracy``: share of samples in agreement under the best one-to-one match of clusters and classes
      (Kuhn 1955); with unequal numbers, what is left unmatched counts as wrong.
    * ``purity``: share of samples that belong to the largest class of their cluster.
    * ``nmi``: mutual information over the mean of both entropies (arithmetic).
    * ``ari``: Rand index adjusted for chance (Hubert & Arabie 1985); 0 expected at random, 1 for equal partitions.

    Args:
        labels: (n,) integers, the classes.
        clusters: (n,) integers.

    Raises:
        ConfigError: no samples, or not one cluster per label.
    """
    from scipy.optimize import linear_sum_assignment

    table = contingency(labels, clusters)
    count = int(table.sum())
    matched = linear_sum_assignment(table, maximize=True)
    return {
        "hungarian_accuracy": float(table[matched].sum() / count),
        "purity": float(table.max(axis=0).sum() / count),
        "nmi": _nmi(table),
        "ari": _ari(table),
    }


def _entropy(counts: npt.NDArray[Any]) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def _nmi(table: npt.NDArray[np.int64]) -> float:
    rows, columns = _entropy(table.sum(axis=1)), _entropy(table.sum(axis=0))
    if rows == columns == 0:  # one class, one cluster: the partitions are equal
        return 1.0
    information = rows + columns - _entropy(table.ravel())
    return max(0.0, min(1.0, 2 * information / (rows + columns)))


def _ari(table: npt.NDArray[np.int64]) -> float:
    def pairs(counts: npt.NDArray[np.int64]) -> int:
        return sum(int(c) * (int(c) - 1) // 2 for c in counts.ravel())

    both, rows, columns = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    total = pairs(np.array([table.sum()]))
    if rows == columns and both == rows:
        return 1.0
    expected = rows * columns / total
    return float((both - expected) / ((rows + columns) / 2 - expected))
