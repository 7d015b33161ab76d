"""Clusters of features against the known classes: how much of the classes is found without labels.

Spherical k-means with as many clusters as classes (or as many as are asked for), and HDBSCAN (Campello et al., PAKDD
2013), which finds the number itself. The clips of the test side are clustered: the encoder has not seen them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from motet.core.errors import ConfigError
from motet.core.text import counted
from motet.engine.table import Row
from motet.evaluate.context import Context
from motet.evaluate.flags import flag
from motet.evaluate.streamwise import together, with_concat
from motet.memory.kmeans import spherical_kmeans
from motet.metrics.clusters import cluster_scores
from motet.metrics.neighbours import unit_rows

METRICS = ("hungarian_accuracy", "purity", "nmi", "ari")
KMEANS, HDBSCAN = "spherical k-means", "HDBSCAN"
_ITERATIONS = 100


FEATURES_ALONE = True
"""it asks for features of whole clips or rows and for nothing else, so it takes every kind of run"""


@dataclass(frozen=True)
class Options:
    """Options of the protocol."""

    clusters: int | None = None
    """clusters of k-means; by default the number of classes."""
    restarts: int = 10
    """starts of k-means; the best counts."""
    unknown: bool = True
    """also let HDBSCAN find the number of clusters."""
    min_cluster_size: int = 5
    """fewest clips of a cluster of HDBSCAN."""
    components: int = 32
    """principal components of the unit features that HDBSCAN sees; densities mean little in many dimensions."""

    def __post_init__(self) -> None:
        if self.clusters is not None and self.clusters < 2:
            raise ConfigError(f"{flag(self, 'clusters')} is {self.clusters}; it must be at least 2")
        for name, least in (("min_cluster_size", 2), ("restarts", 1), ("components", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{flag(self, name)} is {getattr(self, name)}; it must be at least {least}")


def evaluate(context: Context, options: Options) -> list[Row]:
    """For each stream and all streams together (``concat``) and each algorithm one row per measure.

    k-means differs by the seed of its starts, so a run's value is the mean over ``seeds`` of them; HDBSCAN is
    deterministic. What HDBSCAN calls noise counts as one cluster; its share is in ``details["noise"]``.
    """
    wanted = options.clusters or len(np.unique(context.test_labels))
    if not 2 <= wanted <= len(context.test):
        raise ConfigError(
            f"{counted(wanted, 'cluster')} of {counted(len(context.test), 'test clip')}; choose --cluster.clusters "
            f"in between"
        )
    algorithms = (KMEANS, HDBSCAN) if options.unknown else (KMEANS,)
    rows = []
    for kind, sets in context.groups():
        found: dict[tuple[str, str], list[list[npt.NDArray[np.int64]]]] = {}
        for features in context.track(sets, f"cluster: {kind}"):
            for name, x in with_concat(features.centre(context.test), context.streams).items():
                for algorithm in algorithms:
                    found.setdefault((name, algorithm), []).append(
                        _clusterings(x, algorithm, wanted, context.seeds, options)
                    )
        for name in (*context.streams, *together(context.streams)):
            for algorithm in algorithms:
                rows += _rows(context, kind, name, algorithm, found[name, algorithm])
    return rows


def _clusterings(x: Tensor, algorithm: str, wanted: int, seeds: int, options: Options) -> list[npt.NDArray[np.int64]]:
    """Clusterings of (n, F) features, several where a seed matters."""
    if algorithm == KMEANS:
        found = [
            spherical_kmeans(x, wanted, iterations=_ITERATIONS, restarts=options.restarts, seed=s).assignment
            for s in range(seeds)
        ]
        return [f.cpu().numpy() for f in found]
    return [density_clusters(x, min_cluster_size=options.min_cluster_size, components=options.components)]


def density_clusters(x: Tensor, *, min_cluster_size: int = 5, components: int = 32) -> npt.NDArray[np.int64]:
    """HDBSCAN of the leading principal components of unit rows.

    Args:
        x: (n, F), need not be normalised.
        min_cluster_size: fewest rows of a cluster.
        components: number of components, fewer where n or F is smaller.

    Returns:
        (n,) clusters, −1 for noise.
    """
    from sklearn.cluster import HDBSCAN as Density

    if len(x) <= min_cluster_size:
        return np.full(len(x), -1, dtype=np.int64)
    unit = unit_rows(x.double())
    centred = unit - unit.mean(dim=0)
    _, _, basis = torch.linalg.svd(centred, full_matrices=False)
    reduced = (centred @ basis[:components].T).cpu().numpy()
    found = Density(min_cluster_size=min_cluster_size, copy=True).fit_predict(reduced)
    return np.asarray(found, dtype=np.int64)


def _rows(
    context: Context, kind: str, name: str, algorithm: str, found: list[list[npt.NDArray[np.int64]]]
) -> list[Row]:
    """A row per measure; ``found`` holds the clusterings of each feature set."""
    scores = [[cluster_scores(context.test_labels, c) for c in clusterings] for clusterings in found]
    details = {
        "over": context.over(kind, probe_seeds=algorithm == KMEANS),
        "algorithm": algorithm,
        "clusters": [len(np.unique(c[c >= 0])) for clusterings in found for c in clusterings],
        "classes": len(np.unique(context.test_labels)),
        "noise": [float((c < 0).mean()) for clusterings in found for c in clusterings],
    }
    rows = []
    for metric in METRICS:
        values = [[s[metric] for s in per_set] for per_set in scores]
        # one set (a run, raw): a value per seed; several: a value per set, the mean over seeds
        flat = values[0] if len(values) == 1 else [float(np.mean(v)) for v in values]
        rows.append(context.row("cluster", kind, name, flat, metric=metric, details=details))
    return rows
