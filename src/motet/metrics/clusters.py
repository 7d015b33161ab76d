"""How well a clustering agrees with known classes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

from motet.core.errors import ConfigError
from motet.core.text import counted


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
    from sklearn import config_context
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix

    classes, groups = _integers("labels", labels), _integers("clusters", clusters)
    count = len(classes)
    if count != len(groups) or count == 0:
        raise ConfigError(
            f"there are {count} labels and {counted(len(groups), 'cluster')}; both need the same number, ≥ 1"
        )
    table = contingency_matrix(classes, groups)
    matched = linear_sum_assignment(table, maximize=True)
    with config_context(skip_parameter_validation=True):  # they are integers, and as many
        nmi, ari = normalized_mutual_info_score(classes, groups), adjusted_rand_score(classes, groups)
    return {
        "hungarian_accuracy": float(table[matched].sum() / count),
        "purity": float(table.max(axis=0).sum() / count),
        "nmi": float(nmi),
        "ari": float(ari),
    }


def _integers(name: str, values: npt.ArrayLike | Tensor) -> npt.NDArray[np.int64]:
    found = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iub"):
        raise ConfigError(f"{name} must be a sequence of integers, not {found.dtype} of shape {found.shape}")
    return found.astype(np.int64)
