"""Features → what the map shows: a choice of clips, positions in the plane, clusters, nearest neighbours."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from motet.report.data import Float, Int

PCA_SIZE = 50  # t-SNE's own advice: reduce noise and cost before neighbours are sought
PERPLEXITY = 30.0


def stratified(labels: Int, limit: int, seed: int) -> npt.NDArray[np.int64]:
    """Sorted indices of at most ``limit`` clips, every label in proportion (and none forgotten while there is room)."""
    if len(labels) <= limit:
        return np.arange(len(labels))
    rng = np.random.default_rng(seed)
    kinds, counts = np.unique(labels, return_counts=True)
    exact = counts * limit / counts.sum()
    share = np.minimum(np.maximum(np.floor(exact).astype(int), 1), counts)
    for kind in np.argsort(exact - np.floor(exact), kind="stable")[::-1]:
        if share.sum() < limit and share[kind] < counts[kind]:
            share[kind] += 1
    while share.sum() > limit:
        share[int(np.argmax(share))] -= 1
    parts = zip(kinds, share, strict=True)
    chosen = [rng.choice(np.flatnonzero(labels == kind), n, replace=False) for kind, n in parts]
    return np.sort(np.concatenate(chosen))


def unit_rows(features: Float) -> Float:
    """Rows of length one; a row of zeros stays zero."""
    features = np.asarray(features, dtype=np.float64)
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    unit: Float = features / np.where(norms > 0, norms, 1.0)
    return unit


def positions(features: Float, seed: int) -> Float:
    """(n, F) → (n, 2) in [-1, 1]: t-SNE of the unit rows, started from their first two principal components.

    t-SNE: van der Maaten and Hinton, JMLR 2008. Neighbourhoods are meaningful, distances between far groups are not.
    """
    unit = unit_rows(features)
    size = min(PCA_SIZE, *unit.shape)
    count = len(unit)
    flat = count < 5 or not np.ptp(unit, axis=0).any()
    reduced = unit - unit.mean(0) if flat else PCA(size, random_state=seed).fit_transform(unit)
    reduced = np.pad(reduced, ((0, 0), (0, max(0, 2 - reduced.shape[1]))))
    plane = reduced[:, :2]
    if not flat:
        start = plane / max(float(plane[:, 0].std()), 1e-12) * 1e-4
        perplexity = min(PERPLEXITY, (count - 1) / 3)
        plane = TSNE(2, perplexity=perplexity, init=start, random_state=seed, n_jobs=1).fit_transform(reduced)
    plane = np.asarray(plane, dtype=np.float64)
    plane = plane - (plane.max(0) + plane.min(0)) / 2
    spread = float(np.abs(plane).max())
    placed: Float = plane / (spread or 1.0)
    return placed


def cluster(features: Float, groups: int, seed: int) -> npt.NDArray[np.int64]:
    """Spherical k-means: Lloyd's on unit rows. At most as many clusters as there are different rows."""
    unit = unit_rows(features)
    different = len(np.unique(unit.round(9), axis=0))
    groups = max(1, min(groups, different))
    return np.asarray(KMeans(groups, n_init=4, random_state=seed).fit_predict(unit), dtype=np.int64)


def nearest(features: Float, count: int) -> tuple[npt.NDArray[np.int64], Float]:
    """The ``count`` most similar other rows by cosine: indices and similarities, both (n, min(count, n - 1))."""
    unit = unit_rows(features)
    similar = unit @ unit.T
    np.fill_diagonal(similar, -np.inf)
    order = np.argsort(-similar, axis=1, kind="stable")[:, : min(count, len(unit) - 1)]
    return order, np.take_along_axis(similar, order, axis=1)
