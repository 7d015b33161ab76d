"""How well a clustering agrees with known classes."""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt
from torch import Tensor

from motet.core.errors import ConfigError
from motet.core.text import counted

EPS = sys.float_info.epsilon


def cluster_scores(labels: npt.ArrayLike | Tensor, clusters: npt.ArrayLike | Tensor) -> dict[str, float]:
    """Agreement of a clustering with class labels; the integers themselves and their order do not matter.

    * ``hungarian_accuracy``: share of samples in agreement under the best one-to-one match of clusters and classes
      (Kuhn 1955, https://doi.org/10.1002/nav.3800020109); with unequal numbers, what is left unmatched counts as wrong.
    * ``purity``: share of samples that belong to the largest class of their cluster.
    * ``nmi``: mutual information over the mean of both entropies (arithmetic).
    * ``ari``: Rand index adjusted for chance (Hubert & Arabie 1985, https://doi.org/10.1007/BF01908075); 0 expected at
      random, 1 for equal partitions.

    Args:
        labels: (n,) integers, the classes.
        clusters: (n,) integers.

    Raises:
        ConfigError: no samples, or not one cluster per label.
    """
    from scipy.optimize import linear_sum_assignment

    classes, groups = _integers("labels", labels), _integers("clusters", clusters)
    count = len(classes)
    if count != len(groups) or count == 0:
        raise ConfigError(
            f"there are {count} labels and {counted(len(groups), 'cluster')}; both need the same number, ≥ 1"
        )
    table = _contingency(classes, groups)
    matched = linear_sum_assignment(table, maximize=True)
    return {
        "hungarian_accuracy": float(table[matched].sum() / count),
        "purity": float(table.max(axis=0).sum() / count),
        "nmi": _mutual_information(table),
        "ari": _rand(table),
    }


def _contingency(classes: npt.NDArray[np.int64], groups: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(classes, clusters) numbers of samples; every row and column has some."""
    (one, rows), (other, columns) = (np.unique(side, return_inverse=True) for side in (classes, groups))
    return np.bincount(rows * len(other) + columns, minlength=len(one) * len(other)).reshape(len(one), len(other))


def _mutual_information(table: npt.NDArray[np.int64]) -> float:
    """Over the mean of both entropies; 1 if each side is one set."""
    if table.shape == (1, 1):
        return 1.0
    count, sides = table.sum(), (table.sum(axis=1), table.sum(axis=0))
    places = table.nonzero()
    found, (expected, other) = table[places], (side[place] for side, place in zip(sides, places, strict=True))
    share, whole = found / count, np.log(count)
    terms = share * (np.log(found) - whole) + share * (-np.log(expected * other) + whole + whole)
    mutual = np.where(np.abs(terms) < EPS, 0.0, terms).sum()
    entropy = [-(side / count * (np.log(side) - np.log(count))).sum() for side in sides]
    return float(mutual / np.mean(entropy)) if mutual > EPS else 0.0


def _rand(table: npt.NDArray[np.int64]) -> float:
    """Adjusted for chance, from the numbers of pairs that each side puts together."""
    count, both = int(table.sum()), int((table**2).sum())
    one, other = (int((table.sum(axis=axis) ** 2).sum()) for axis in (1, 0))
    # ordered pairs: together in both, in one alone, in the other alone, in none
    together, first, second = both - count, one - both, other - both
    apart = count**2 - one - second
    if first == second == 0:
        return 1.0
    chance = (together + first) * (first + apart) + (together + second) * (second + apart)
    return 2 * (together * apart - first * second) / chance


def _integers(name: str, values: npt.ArrayLike | Tensor) -> npt.NDArray[np.int64]:
    found = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iub"):
        raise ConfigError(f"{name} must be a sequence of integers, not {found.dtype} of shape {found.shape}")
    return found.astype(np.int64)
