"""How strange a moment is next to what held-out people do: the answer "none of these" for an activity never learnt.

Every class in turn plays the unknown: it is left out, and what lies where on recordings of people held out says which
of seven measures tell it from the known ones. Relatives are the Mahalanobis distance of Lee et al. (NeurIPS 2018,
https://arxiv.org/abs/1807.03888), the largest logit of Hendrycks et al. (ICML 2022, https://arxiv.org/abs/1911.11132).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.use.classifiers import Linear, gains, softmax
from motet.use.material import Material
from motet.use.signals import Array, moving_mean
from motet.use.windows import Dense

Arrays = dict[str, npt.NDArray[Any]]
Float = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.int64]
Marks = npt.NDArray[np.bool_]
SECONDS = (1.0, 3.0)  # over which measures are averaged
REJECTED = (0.01, 0.02, 0.05, 0.1, 0.2)
"""shares of known moments that may be given away, for which it is said what is noticed"""
USUAL = 0.05
FEWEST = 3  # classes of which one can be left out
_WIDE, _FOR_AXES, _ROWS = 128, 600, 3000  # principal components, and rows that they and a view are learnt from
_PLAYED, _EACH = 8, 1000  # classes that play the unknown at most, and moments of either side that each brings
_STEPS = 15  # of the linear classifier, enough to rank doubts
STEADY = 0.5
"""seconds that a stretch must be strange, or it is not: shorter ones are as often known"""
_FINE = 1001  # quantiles
_MOST = 4.0  # deviations that count
_TINY = 1e-6


class View:
    """Where a moment lies among the classes, in features of one kind; ``arrays`` is all that it is made of."""

    measures = 7

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = arrays
        self._linear = Linear({k.removeprefix("linear-"): v for k, v in arrays.items() if k.startswith("linear-")})

    @classmethod
    def fit(cls, features: Array, labels: Integers, used: Marks) -> View:
        """Learn from those of (n, F) features that are used; they have at least two of the classes."""
        rows = np.flatnonzero(used)
        rows = rows[_spread(len(rows), _ROWS)]
        features, labels = features[rows], np.unique(labels[rows], return_inverse=True)[1]
        shift, gain = features.mean(axis=0), gains(features)
        z = np.clip((features - shift) * gain, -8, 8).astype(np.float64)
        axes = _principal(z)
        z = z @ axes
        means = np.stack([z[labels == k].mean(axis=0) for k in range(labels.max() + 1)])
        whiten = _whitening(z - means[labels], 0.01)
        z, means = z @ whiten, means @ whiten
        _, sizes, across = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)
        linear = Linear.fit(z.astype(np.float32), labels, len(means), steps=_STEPS)
        arrays = {
            "shift": shift,
            "gain": gain,
            "projection": axes @ whiten,
            "means": means,
            "centre": z.mean(axis=0),
            "whole": _whitening(z - z.mean(axis=0), 0.01),
            "across": across[sizes > _TINY].T,
            **{f"linear-{k}": v for k, v in linear.arrays.items()},
        }
        return cls({k: v.astype(np.float32) for k, v in arrays.items()})

    def __call__(self, features: Array) -> Float:
        """(n, 7) measures of (n, F) features: logarithms of the distance to the nearest class and to the middle of all,
        those in the plane of the classes, the share of the second nearest, doubt and largest logit of a linear
        classifier.
        """
        a = self.arrays
        z = np.clip((features - a["shift"]) * a["gain"], -8, 8) @ a["projection"]
        flat, means, centre = (x @ a["across"] for x in (z, a["means"], a["centre"]))
        near = np.sort(_squares(flat, means), axis=1)
        logits = self._linear.logits(z)
        p = np.maximum(softmax(logits), _TINY)
        return np.stack(
            [
                _log(_squares(z, a["means"]).min(axis=1)),
                _log(_squares((z - a["centre"]) @ a["whole"], np.zeros((1, len(a["centre"])), np.float32))[:, 0]),
                _log(near[:, 0]),
                _log(near[:, 0] / np.maximum(near[:, 1], _TINY)),
                _log(_squares(flat, centre[None])[:, 0]),
                np.log(_TINY - (p * np.log(p)).sum(axis=1)),
                -logits.max(axis=1),
            ],
            axis=1,
        )


def _log(squares: Float) -> Float:
    return np.asarray(np.log(np.maximum(squares, _TINY)) / 2)


def _squares(a: Float, b: Float) -> Float:
    """(n, m) squared distances of (n, D) and (m, D) rows."""
    return np.asarray(np.maximum((a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * a @ b.T, 0))


def _spread(count: int, most: int) -> Integers:
    """Up to ``most`` of so many rows, evenly."""
    return np.linspace(0, count - 1, min(count, most)).astype(np.int64)


def _principal(z: Float) -> Float:
    """(F, D) axes that differ most, all of them where they are few."""
    if z.shape[1] <= _WIDE:
        return np.eye(z.shape[1])
    some = z[_spread(len(z), _FOR_AXES)]
    values, vectors = np.linalg.eigh(some @ some.T)
    kept = values > _TINY * values[-1]
    kept[:-_WIDE] = False
    return np.asarray(some.T @ (vectors[:, kept] / np.sqrt(values[kept])))


def _whitening(z: Float, least: float) -> Float:
    """(D, D) what makes the scatter of (n, D) rows about 0 one, up to a share of the mean."""
    values, vectors = np.linalg.eigh(z.T @ z / len(z))
    return np.asarray(vectors / np.sqrt(np.maximum(values, 0) + least * values.mean() + 1e-9))


def averaged(measures: Float, hop: float) -> Float:
    """(n, 2 S) means of (n, S) measures over :data:`SECONDS` around each tick; ``hop`` seconds lie between ticks."""
    whole = measures.astype(np.float64)
    return np.concatenate([moving_mean(whole, max(1, round(s / hop))) for s in SECONDS], axis=1)


@dataclass(frozen=True)
class Unknown:
    """What tells an activity that was never learnt from the known ones.

    Attributes:
        views: features, and where moments lie in them.
        arrays: (S,) shift, gain and weight of the averaged measures; quantiles of the sum over moments of people held
            out; whole, those of the mean rank of a whole recording.
    """

    views: list[tuple[Dense, View]]
    arrays: Arrays

    @property
    def reach(self) -> float:
        """Seconds around a moment that count."""
        return max(dense.reach for dense, _ in self.views) + max(SECONDS) / 2 + STEADY

    def __call__(self, look: Callable[[Dense], Array], hop: float) -> Float:
        """(n,) share of the known moments of people held out that are less strange than each moment."""
        measures = np.concatenate([view(look(dense)) for dense, view in self.views], axis=1)
        a = self.arrays
        scores = np.clip((averaged(measures, hop) - a["shift"]) * a["gain"], -_MOST, _MOST) @ a["weight"]
        return _rank(_steady(scores, hop), a["quantiles"])

    def clip(self, ranks: Float) -> float:
        """The same of a whole clip, from the ranks of its moments."""
        return float(_rank(ranks.mean(keepdims=True), self.arrays["whole"])[0])


def _steady(scores: Float, hop: float) -> Float:
    """(n,) scores that are kept up for :data:`STEADY` seconds: peaks that are shorter are cut off."""
    from scipy.ndimage import grey_opening

    return np.asarray(grey_opening(scores, max(1, round(STEADY / hop))))


def _rank(scores: Float, quantiles: Float) -> Float:
    return np.searchsorted(quantiles, scores) / len(quantiles)


@dataclass(frozen=True)
class _Game:
    """What is seen of people held out while one class plays the unknown.

    Attributes:
        lacking: the class, -1 = none.
        measures: (n, S) of every tick of all recordings, averaged, standardised on the known ones.
        known: (n,) ticks of classes that were learnt.
        unknown: (n,) ticks of the class.
        scaling: shift and gain of the measures.
    """

    lacking: int
    measures: Float
    known: Marks
    unknown: Marks
    scaling: Arrays


def learn(
    material: Material, seen: Sequence[tuple[Dense, list[Array]]], fold: Integers
) -> tuple[Unknown, dict[str, Any]] | None:
    """What tells the unknown from the known, and what share of it is noticed; None where there are too few classes.

    Args:
        material: labels.
        seen: features of each recording, of each kind.
        fold: (n,) of each recording.
    """
    truth = np.concatenate(material.ticks)
    classes = np.unique(truth[truth >= 0])
    if len(classes) < FEWEST:
        return None
    whole = [(dense, np.concatenate(features)) for dense, features in seen]
    players = [-1, *classes[_spread(len(classes), _PLAYED)].tolist()]
    usual, *played = [_played(material, whole, fold, k) for k in players]
    games = [g for g in played if g.known.any() and g.unknown.any()]
    if len(games) < 2 or not usual.known.any():
        return None
    found = {"weight": _weight(games), **usual.scaling}
    scores, even = _scores(usual, found["weight"], material), np.linspace(0, 1, _FINE)
    found["quantiles"] = np.quantile(scores[usual.known], even)
    found["whole"] = np.quantile(_clips(_rank(scores, found["quantiles"]), usual.known, material), even)
    views = [(dense, View.fit(x, truth, truth >= 0)) for dense, x in whole]
    noticed = {material.classes[g.lacking]: _noticed(g, games, material) for g in games}
    facts = {
        "noticed": {f"{r:g}": float(np.mean([own[f"{r:g}"] for own in noticed.values()])) for r in REJECTED},
        "classes": {name: own[f"{USUAL:g}"] for name, own in noticed.items()},
    }
    return Unknown(views, {k: v.astype(np.float32) for k, v in found.items()}), facts


def _played(material: Material, seen: Sequence[tuple[Dense, Array]], fold: Integers, lacking: int) -> _Game:
    lengths, hop = [len(y) for y in material.ticks], material.layout.hop / material.layout.fps
    truth, place = np.concatenate(material.ticks), np.repeat(np.arange(len(fold)), lengths)
    measures = np.zeros((len(truth), View.measures * len(seen) * len(SECONDS)))
    known, unknown = np.zeros(len(truth), dtype=np.bool_), np.zeros(len(truth), dtype=np.bool_)
    for k in range(int(fold.max()) + 1):
        used = (fold[place] != k) & (truth >= 0) & (truth != lacking)
        learnt = np.unique(truth[used])
        if len(learnt) < 2:
            continue
        views = [View.fit(x, truth, used) for _, x in seen]
        for i in np.flatnonzero(fold == k).tolist():
            own = place == i
            parts = [view(x[own]) for view, (_, x) in zip(views, seen, strict=True)]
            measures[own] = averaged(np.concatenate(parts, axis=1), hop)
            known[own], unknown[own] = np.isin(truth[own], learnt), truth[own] == lacking
    unknown &= truth >= 0
    of = measures[known] if known.any() else measures
    shift, gain = of.mean(axis=0), 1 / (of.std(axis=0) + _TINY)
    measures = np.clip((measures - shift) * gain, -_MOST, _MOST)
    return _Game(lacking, measures, known, unknown, {"shift": shift, "gain": gain})


def _weight(games: Sequence[_Game], without: Marks | None = None) -> Float:
    """(S,) weights of the measures that tell the players from the known without some of these; 0 if none is left."""
    x: list[Float] = []
    y: list[int] = []
    for game in games:
        known = game.known if without is None else game.known & ~without
        for side, of in enumerate((known, game.unknown) if known.any() else ()):
            rows = np.flatnonzero(of)[np.linspace(0, of.sum() - 1, _EACH).astype(np.int64)]
            x, y = [*x, game.measures[rows]], [*y, *[side] * _EACH]
    if not x:
        return np.zeros(games[0].measures.shape[1])
    a = Linear.fit(np.concatenate(x).astype(np.float32), np.array(y), 2).arrays
    return np.asarray((a["weight"][:, 1] - a["weight"][:, 0]) * a["gain"], dtype=np.float64)


def _scores(game: _Game, weight: Float, material: Material) -> Float:
    """(n,) what :class:`Unknown` ranks, of every tick."""
    hop, each = material.layout.hop / material.layout.fps, np.split(game.measures @ weight, _cuts(material))
    return np.concatenate([_steady(own, hop) for own in each])


def _cuts(material: Material) -> Integers:
    return np.cumsum([len(y) for y in material.ticks])[:-1]


def _clips(ranks: Float, of: Marks, material: Material) -> Float:
    """Mean rank of each recording in which some ticks are of those."""
    cuts = _cuts(material)
    return np.array([r.mean() for r, own in zip(np.split(ranks, cuts), np.split(of, cuts), strict=True) if own.any()])


def _noticed(game: _Game, games: Sequence[_Game], material: Material) -> dict[str, float]:
    """Share of a class that is noticed by what the other players taught, by the share of the known given away."""
    scores = _scores(game, _weight([g for g in games if g is not game], game.unknown), material)
    ranks = _rank(scores, np.sort(scores[game.known]))
    known, unknown = ranks[game.known], ranks[game.unknown]
    if material.track is None:
        known, unknown = _clips(ranks, game.known, material), _clips(ranks, game.unknown, material)
    return {f"{r:g}": float((unknown > np.quantile(known, 1 - r)).mean()) for r in REJECTED}
