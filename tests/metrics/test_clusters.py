from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from motet.core.errors import ConfigError
from motet.evaluate import cluster_scores

pairs = st.lists(st.tuples(st.integers(-4, 3), st.integers(10, 15)), min_size=1, max_size=40)


@settings(max_examples=80)
@given(pairs)
def test_against_scikit_learn_and_brute_force(samples: list[tuple[int, int]]) -> None:
    labels, clusters = (np.array(side) for side in zip(*samples, strict=True))
    scores = cluster_scores(labels, clusters)
    assert scores["nmi"] == pytest.approx(normalized_mutual_info_score(labels, clusters), abs=1e-9)
    assert scores["ari"] == pytest.approx(adjusted_rand_score(labels, clusters), abs=1e-9)
    classes, groups = list(set(labels)), list(set(clusters))
    slots = classes + [None] * max(0, len(groups) - len(classes))
    best = max(
        sum(label == chosen[groups.index(group)] for label, group in samples)
        for chosen in permutations(slots, len(groups))
    )
    assert scores["hungarian_accuracy"] == pytest.approx(best / len(samples))
    largest = sum(max(np.unique(labels[clusters == g], return_counts=True)[1]) for g in groups)
    assert scores["purity"] == pytest.approx(largest / len(samples))


def test_names_of_classes_and_clusters_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    labels, clusters = rng.integers(0, 5, 200), rng.integers(0, 7, 200)
    renamed = cluster_scores(torch.from_numpy(9 - 3 * labels), rng.permutation(100)[clusters])
    assert renamed == pytest.approx(cluster_scores(labels, clusters))


def test_extremes() -> None:
    assert set(cluster_scores([4, 4, 9], [1, 1, 0]).values()) == {1.0}
    merged = cluster_scores([0, 0, 1, 1], [5, 5, 5, 5])
    assert merged == pytest.approx({"hungarian_accuracy": 0.5, "purity": 0.5, "nmi": 0.0, "ari": 0.0})
    singles = cluster_scores([0, 0, 1, 1], [1, 2, 3, 4])
    assert singles["hungarian_accuracy"] == 0.5
    assert singles["purity"] == 1.0


def test_bad_input() -> None:
    with pytest.raises(ConfigError, match="0 labels"):
        cluster_scores([], [])
    with pytest.raises(ConfigError, match="2 labels and 3 clusters"):
        cluster_scores([0, 1], [0, 1, 2])
    with pytest.raises(ConfigError, match="integers"):
        cluster_scores([0.5, 1.0], [0, 1])
