from __future__ import annotations

import numpy as np
import pytest

from motet.report import maps


def test_stratified_keeps_proportions_and_forgets_no_label() -> None:
    labels = np.repeat([0, 1, 2, -1], [600, 300, 98, 2])
    chosen = maps.stratified(labels, 100, seed=0)
    assert len(chosen) == len(set(chosen.tolist())) == 100
    assert np.all(np.diff(chosen) > 0)
    kinds, counts = np.unique(labels[chosen], return_counts=True)
    assert dict(zip(kinds.tolist(), counts.tolist(), strict=True)) == {-1: 1, 0: 60, 1: 30, 2: 9}
    assert np.array_equal(chosen, maps.stratified(labels, 100, seed=0))
    assert not np.array_equal(chosen, maps.stratified(labels, 100, seed=1))


@pytest.mark.parametrize("limit", [1, 3, 7, 50])
def test_stratified_never_exceeds_its_limit(limit: int) -> None:
    labels = np.random.default_rng(0).integers(0, 12, 200)
    assert len(maps.stratified(labels, limit, 0)) == limit


def test_few_clips_are_all_chosen() -> None:
    assert maps.stratified(np.array([3, 1, 1]), 10, 0).tolist() == [0, 1, 2]


def _blobs(count: int = 60, groups: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % groups
    return rng.normal(size=(count, 16)) * 0.2 + 4 * np.eye(16)[labels], labels


def test_groups_are_found_and_lie_apart_on_the_map() -> None:
    features, labels = _blobs()
    clusters = maps.cluster(features * np.linspace(0.1, 9, 60)[:, None], 3, seed=0)  # lengths do not matter
    assert len({(a, b) for a, b in zip(labels, clusters, strict=True)}) == 3
    plane = maps.positions(features, seed=0)
    far = np.linalg.norm(plane[:, None] - plane[None], axis=-1)
    np.fill_diagonal(far, np.inf)
    assert (labels[far.argmin(1)] == labels).mean() > 0.95
    assert np.abs(plane).max() == pytest.approx(1.0)
    assert np.array_equal(plane, maps.positions(features, seed=0))


@pytest.mark.parametrize("features", [np.ones((1, 4)), np.ones((9, 4)), np.zeros((3, 2)), np.eye(2), np.eye(6)[:, :1]])
def test_degenerate_features_still_have_a_map(features: np.ndarray) -> None:
    plane = maps.positions(features, seed=0)
    assert plane.shape == (len(features), 2)
    assert np.isfinite(plane).all()
    assert maps.cluster(features, 4, seed=0).shape == (len(features),)
    assert maps.nearest(features, 5)[0].shape == (len(features), min(5, len(features) - 1))


def test_nearest_are_the_largest_cosines_and_never_the_clip_itself() -> None:
    features = np.random.default_rng(1).normal(size=(30, 6))
    near, similar = maps.nearest(features, 4)
    for i, row in enumerate(features):
        cosine = features @ row / np.linalg.norm(features, axis=1) / np.linalg.norm(row)
        cosine[i] = -2
        assert near[i].tolist() == np.argsort(-cosine)[:4].tolist()
        assert similar[i] == pytest.approx(np.sort(cosine)[::-1][:4])
