"""The semi-Markov model against sums over all paths, written out."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from motet.use.classifiers import balanced
from motet.use.durations import Chain, Durations


def small() -> Durations:
    return Durations(
        mean=np.array([3.0, 2.0]),
        stages=np.array([2, 1]),
        transition=np.array([[0.0, 1.0], [1.0, 0.0]]),
        prior=np.array([0.6, 0.4]),
        start=np.array([0.7, 0.3]),
        scale=0.8,
    )


def paths(p: np.ndarray) -> dict[tuple[int, ...], float]:
    """Weight of each path of states: 0 and 1 are the stages of class 0, 2 is class 1."""
    leave = np.array([2 / 3, 2 / 3, 1 / 2])
    moves = np.array([[1 / 3, 2 / 3, 0], [0, 1 / 3, 2 / 3], [1 / 2, 0, 1 / 2]])
    assert np.allclose(moves.sum(axis=1), 1)
    assert np.allclose(1 - leave, np.diag(moves))
    owner, first = [0, 0, 1], [0.35, 0.35, 0.3]
    likely = (p / [0.6, 0.4]) ** 0.8
    found = {}
    for path in product(range(3), repeat=len(p)):
        weight = first[path[0]] * likely[0, owner[path[0]]]
        for t in range(1, len(p)):
            weight *= moves[path[t - 1], path[t]] * likely[t, owner[path[t]]]
        found[path] = weight
    return found


def test_smoothing_and_decoding_sum_over_all_paths() -> None:
    p = np.random.default_rng(0).dirichlet([1, 1], size=6)
    every, owner = paths(p), np.array([0, 0, 1])
    total = sum(every.values())
    wanted = np.zeros((6, 2))
    for path, weight in every.items():
        wanted[np.arange(6), owner[list(path)]] += weight / total
    chain = Chain(small())
    assert np.allclose(chain.smooth(p), wanted)
    assert chain.decode(p).tolist() == owner[list(max(every, key=lambda k: every[k]))].tolist()


def test_filtering_goes_on_where_it_stopped() -> None:
    chain = Chain(small())
    evidence = chain.evidence(np.random.default_rng(1).dirichlet([1, 1], size=9))
    whole = chain.forward(evidence)
    begun = chain.forward(evidence[:4])
    assert np.allclose(chain.forward(evidence[4:], begun[-1]), whole[4:])


def test_durations_are_learnt_by_their_moments() -> None:
    # class 0 always lasts 20 ticks: as regular as the stages allow; class 1 lasts 1 to 39: spread out
    random = np.random.default_rng(0)
    labels = [np.concatenate([[0] * 20, [1] * int(random.integers(1, 40)), [0] * 20]) for _ in range(40)]
    found = Durations.fit(labels, 2)
    assert found.mean[0] == pytest.approx(20)
    assert found.stages[0] == 6
    assert found.stages[1] < found.stages[0]
    assert found.transition[0, 1] == found.transition[1, 0] == 1
    assert found.start[0] > 0.95


def test_a_flicker_is_smoothed_away_and_a_bout_is_not() -> None:
    labels = [np.repeat([0, 1, 0], 30)]
    chain = Chain(Durations.fit(labels, 2, scale=1.0))
    p = np.full((90, 2), (0.8, 0.2))
    p[10], p[30:60] = (0.3, 0.7), (0.2, 0.8)
    found = chain.decode(p)
    assert found[10] == 0
    assert np.array_equal(found, labels[0])


def test_probabilities_are_divided_by_the_shares_that_a_classifier_assumes() -> None:
    """Rare classes are lifted by the square root of their share when it is fitted, so the other root is left."""
    labels = np.repeat([0, 1], [899, 99])
    prior = Durations.fit([labels], 2).prior
    assert prior[0] / prior[1] == pytest.approx(3.0)
    lifted = np.bincount(labels, balanced(labels, 2))
    assert lifted / lifted.sum() == pytest.approx(prior, abs=0.01)


def test_a_class_that_was_never_seen_is_not_favoured() -> None:
    """Probabilities are divided by the share of each class; one of a recording that is left out has none."""
    known = np.repeat([0, 1], 1000)
    durations = Durations.fit([known], 3, scale=1.0)
    assert durations.prior.sum() == pytest.approx(1)
    decoded = Chain(durations).decode(np.tile([0.6, 0.35, 0.05], (300, 1)))
    assert set(decoded.tolist()) == {0}


def test_nothing_to_decode() -> None:
    assert len(Chain(small()).decode(np.zeros((0, 2)))) == 0
