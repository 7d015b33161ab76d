"""Which moments to label next: first what is typical of many, then what the classifier is least sure of.

With few labels a classifier does not know what it does not know, so its doubts are a poor guide, and moments that stand
for many others teach it more (Hacohen, Dekel and Weinshall, "Active learning on a budget: opposite strategies suit
high and low budgets", ICML 2022, https://arxiv.org/abs/2202.02794); from a few labels a class on its doubts are the
better guide (Doucet, Estermann, Aczel and Wattenhofer, "Bridging diversity and uncertainty in active learning with
self-supervised pre-training", 2024, https://arxiv.org/abs/2403.03728).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
PROPOSALS = 12
FEW = 3
"""labels for each class until which typical moments are proposed."""
_NEAR = 20
_SAMPLE = 4000
"""moments that clusters and densities are computed from."""
_REMEMBERED = 400
"""labels from which new proposals keep away."""


def typicality(features: Array) -> npt.NDArray[np.float64]:
    """(n, F) → (n,): one over the mean distance to the 20 nearest moments (of a sample, where there are many)."""
    from sklearn.neighbors import NearestNeighbors

    known = _sample(features)
    near = NearestNeighbors(n_neighbors=min(_NEAR + 1, len(known)), algorithm="brute").fit(known)
    distance, _ = near.kneighbors(features)
    found: npt.NDArray[np.float64] = 1 / (distance.mean(axis=1) + 1e-9)
    return found


def choose(
    features: Array,
    typical: npt.NDArray[np.float64],
    chance: float,
    labelled: Array,
    open_: Integers,
    probabilities: Array | None,
) -> Integers:
    """Rows of the moments to label next, the most useful one first.

    Args:
        features: (n, F) all moments.
        typical: (n,) of :func:`typicality`.
        chance: distance of two random moments.
        labelled: (L, F) what has a label.
        open_: rows that may be proposed.
        probabilities: (n, K) of the classifier; none as long as there is no classifier.

    Returns:
        At most :data:`PROPOSALS` of ``open_``.
    """
    if not len(open_):
        return open_
    unsure = np.ones(len(features))
    if probabilities is not None:
        top = np.sort(probabilities, axis=1)[:, -2:]
        unsure = 1 - (top[:, 1] - top[:, 0]).astype(np.float64)
    if probabilities is None or len(labelled) < FEW * probabilities.shape[1]:
        return _typical(features, typical, labelled, open_, unsure)
    return _doubtful(features, chance, labelled[-_REMEMBERED:], open_, unsure)


def _typical(
    features: Array, typical: npt.NDArray[np.float64], labelled: Array, open_: Integers, unsure: npt.NDArray[np.float64]
) -> Integers:
    """The most typical moment of each cluster without a label; clusters with many doubtful moments first."""
    from sklearn.cluster import KMeans

    known = _sample(features)
    count = min(len(labelled) + PROPOSALS, max(1, len(known) // 2))
    clusters = KMeans(count, random_state=0, n_init=1, max_iter=50).fit(known)
    own = clusters.predict(features)
    labels = np.bincount(clusters.predict(labelled), minlength=count) if len(labelled) else np.zeros(count)
    doubt = np.bincount(own, weights=unsure, minlength=count)
    chosen: list[int] = []
    for cluster in np.lexsort((-doubt, labels)):
        rows = open_[own[open_] == cluster]
        if len(rows) and len(chosen) < PROPOSALS:
            chosen.append(int(rows[typical[rows].argmax()]))
    return np.array(chosen, dtype=np.int64)


def _doubtful(
    features: Array, chance: float, labelled: Array, open_: Integers, unsure: npt.NDArray[np.float64]
) -> Integers:
    """Moments whose two best classes are closest, each unlike the labelled ones and those proposed before it."""
    rows, doubt = features[open_], unsure[open_]
    far = np.full(len(rows), np.inf)
    for one in labelled:
        far = np.minimum(far, np.linalg.norm(rows - one, axis=1))
    chosen: list[int] = []
    for _ in range(min(PROPOSALS, len(rows))):
        score = doubt * np.minimum(far / chance, 1.0)
        score[chosen] = -1
        best = int(score.argmax())
        chosen.append(best)
        far = np.minimum(far, np.linalg.norm(rows - rows[best], axis=1))
    return open_[chosen]


def _sample(features: Array) -> Array:
    if len(features) <= _SAMPLE:
        return features
    return features[np.sort(np.random.default_rng(0).choice(len(features), _SAMPLE, replace=False))]
