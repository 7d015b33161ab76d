"""Which moments are labelled next."""

from __future__ import annotations

import numpy as np

from motet.application.proposals import FEW, PROPOSALS, choose, typicality

SIZES = (200, 60, 40, 30)


def blobs() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    centres = 10 * np.eye(len(SIZES), 6)
    features = np.concatenate([c + random.normal(size=(n, 6)) for c, n in zip(centres, SIZES, strict=True)])
    return features.astype(np.float32), np.repeat(np.arange(len(SIZES)), SIZES)


def test_a_moment_is_typical_where_many_are_near() -> None:
    features, of = blobs()
    typical = typicality(features)
    middle = np.linalg.norm(features[of == 0] - features[of == 0].mean(axis=0), axis=1)
    assert np.corrcoef(typical[of == 0], -middle)[0, 1] > 0.8


def test_without_labels_every_group_is_proposed_by_typical_moments() -> None:
    features, of = blobs()
    typical = typicality(features)
    chosen = choose(features, typical, 14.0, features[:0], np.arange(len(of)), None)
    assert len(set(chosen)) == PROPOSALS
    assert set(of[chosen]) == set(range(len(SIZES)))
    assert of[chosen[0]] == 0  # most moments are without a label there
    for group in range(len(SIZES)):
        assert typical[chosen[of[chosen] == group]].max() > np.median(typical[of == group])


def test_groups_that_have_labels_come_last() -> None:
    features, of = blobs()
    labelled = np.flatnonzero(of == 0)[:1]
    open_ = np.setdiff1d(np.arange(len(of)), labelled)
    chosen = choose(features, typicality(features), 14.0, features[labelled], open_, None)
    assert not set(chosen) & set(labelled)
    assert set(of[chosen[:3]]) <= set(range(len(SIZES)))
    everything = np.repeat(0.5, 2 * len(of)).reshape(-1, 2).astype(np.float32)
    sure = np.where(of[:, None] == 3, everything, np.array([1.0, 0.0], dtype=np.float32))
    first = choose(features, typicality(features), 14.0, features[labelled], open_, sure)[0]
    assert of[first] == 3  # the classifier is sure of all others


def test_with_labels_enough_doubts_decide_and_neighbours_are_not_asked_twice() -> None:
    features, of = blobs()
    labelled = np.concatenate([np.flatnonzero(of == k)[:FEW] for k in range(len(SIZES))])
    open_ = np.setdiff1d(np.arange(len(of)), labelled)
    probabilities = np.eye(len(SIZES), dtype=np.float32)[of]
    doubtful = np.flatnonzero(of == 2)[10:14]
    probabilities[doubtful] = [0.5, 0.5, 0.0, 0.0]
    chosen = choose(features, typicality(features), 14.0, features[labelled], open_, probabilities)
    assert set(chosen[: len(doubtful)]) == set(doubtful)
    twin = doubtful[0]
    features[doubtful[1]] = features[twin]  # the same moment again
    chosen = choose(features, typicality(features), 14.0, features[labelled], open_, probabilities)
    assert len({int(twin), int(doubtful[1])} & set(chosen[:3].tolist())) == 1


def test_nothing_is_proposed_twice_or_when_all_is_labelled() -> None:
    features, _ = blobs()
    chosen = choose(features, typicality(features), 14.0, features[5:], np.arange(5), None)
    assert len(chosen) == len(set(chosen))
    assert set(chosen) <= set(range(5))
    assert len(choose(features, typicality(features), 14.0, features, np.arange(0), None)) == 0
