"""Smoothing of labels along time: a hidden semi-Markov model whose durations and transitions are learnt.

The duration of a class is the sum of r geometric ones (a negative binomial), so the model is a hidden Markov model with
r chained states a class and exact inference is a forward and a backward pass (Rabiner 1989, IV.D; Murphy 2002,
"Hidden semi-Markov models"). One number, ``scale``, says how much a single moment counts: neighbouring moments share
most of what they see, so their evidence must not be multiplied as if it were independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.evaluate.segmentation import segments
from motet.use.classifiers import BALANCE

Float = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
_STAGES = 6  # most chained states of a class
_TINY = 1e-12


@dataclass(frozen=True)
class Durations:
    """What is known of bouts before anything is seen.

    Attributes:
        mean: (K,) ticks that a bout of each class lasts.
        stages: (K,) number of chained states; more make durations more regular.
        transition: (K, K) probability of the next class, zero on the diagonal.
        prior: (K,) share of time of each class that a classifier assumes which was fitted with
            :data:`motet.use.classifiers.BALANCE`.
        start: (K,) probability of the first class.
        scale: weight of the evidence of one tick.
    """

    mean: Float
    stages: Integers
    transition: Float
    prior: Float
    start: Float
    scale: float = 0.3

    @classmethod
    def fit(cls, labels: Sequence[Integers], classes: int, *, scale: float = 0.3) -> Durations:
        """Learn from (T,) classes of each recording, -1 = unlabelled; bouts cut short count as they are."""
        runs = [segments(x) for x in labels]
        lengths: list[list[int]] = [[b - a for r in runs for c, a, b in r if c == k] for k in range(classes)]
        known = [n for own in lengths for n in own] or [10]
        mean = np.array([np.mean(own) if own else np.mean(known) for own in lengths], dtype=float)
        pairs = zip(lengths, mean, strict=True)
        spread = np.array([np.var(own) if len(own) > 1 else m**2 / 2 for own, m in pairs])
        mean = np.maximum(mean, 1.0)
        stages = np.clip(np.round(mean**2 / (spread + mean + _TINY)), 1, np.minimum(_STAGES, np.maximum(mean // 2, 1)))
        counts = np.full((classes, classes), 0.2)
        start = np.full(classes, 0.5)
        for own in runs:
            if own:
                start[own[0][0]] += 1
            for (a, _, end), (b, begin, _) in pairwise(own):
                if end == begin:
                    counts[a, b] += 1
        np.fill_diagonal(counts, 0 if classes > 1 else 1)
        share = np.bincount(np.concatenate([x[x >= 0] for x in labels]), minlength=classes) + 1.0
        share[share == 1] = share.mean()  # that a class was never seen is no reason to expect it
        share **= 1 - BALANCE
        return cls(
            mean,
            stages.astype(np.int64),
            counts / counts.sum(axis=1, keepdims=True),
            share / share.sum(),
            start / start.sum(),
            scale,
        )

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Plain arrays; :meth:`of` is the inverse."""
        return {
            "mean": self.mean,
            "stages": self.stages,
            "transition": self.transition,
            "prior": self.prior,
            "start": self.start,
            "scale": np.array([self.scale]),
        }

    @classmethod
    def of(cls, arrays: dict[str, npt.NDArray[Any]], classes: int) -> Durations:
        """What :meth:`arrays` gave.

        Raises:
            ValueError: they are not of so many classes, or no durations.
        """
        a = arrays
        shapes = dict.fromkeys(("mean", "stages", "prior", "start"), (classes,)) | {"transition": (classes, classes)}
        ranges = {"mean": (1, np.inf), "stages": (1, _STAGES), "prior": (_TINY, 1)}
        wrong = []
        for name, shape in shapes.items():
            low, high = ranges.get(name, (0, 1))
            x, kind = a[name], "i" if name == "stages" else "f"
            fits = x.shape == shape and x.dtype.kind == kind and ((x >= low) & (x <= high) & np.isfinite(x)).all()
            wrong += [] if fits else [name]
        if wrong:
            raise ValueError(f"durations.{wrong[0]} is not what it should be")
        return cls(a["mean"], a["stages"], a["transition"], a["prior"], a["start"], float(a["scale"][0]))


class Chain:
    """The states of :class:`Durations` laid out, for decoding."""

    def __init__(self, durations: Durations) -> None:
        self.durations = durations
        count = durations.stages
        self.owner = np.repeat(np.arange(len(count)), count)  # class of each state
        self.first = np.concatenate([[0], np.cumsum(count)[:-1]])
        self.last = np.cumsum(count) - 1
        leave = np.minimum(count / durations.mean, 1.0)[self.owner]
        self.matrix = np.diag(1 - leave)
        for state, own in enumerate(self.owner):
            if state == self.last[own]:
                self.matrix[state, self.first] += leave[state] * durations.transition[own]
            else:
                self.matrix[state, state + 1] += leave[state]
        self.initial = np.zeros(len(self.owner))
        # a recording may begin inside a bout
        self.initial[:] = (durations.start / count)[self.owner]

    def evidence(self, probabilities: npt.NDArray[Any]) -> Float:
        """(T, K) logarithm of what each tick says about each class, scaled."""
        p = np.maximum(np.asarray(probabilities, dtype=np.float64), 1e-6)
        return np.asarray(self.durations.scale * (np.log(p) - np.log(self.durations.prior)))

    def forward(self, evidence: Float, state: Float | None = None) -> Float:
        """(T, states) filtered probabilities; ``state`` is the last row of what came before."""
        found: Float = np.exp(evidence - evidence.max(axis=1, keepdims=True))[:, self.owner]  # then filtered in place
        for own in found:
            own *= self.initial if state is None else state @ self.matrix
            own /= np.add.reduce(own) + _TINY
            state = own
        return found

    def smooth(self, probabilities: npt.NDArray[Any]) -> Float:
        """(T, K) probability of each class at each tick, given the whole recording."""
        evidence = self.evidence(probabilities)
        return self.backward(self.forward(evidence), evidence)

    def backward(self, filtered: Float, evidence: Float) -> Float:
        """(T, K) smoothed probabilities from filtered ones."""
        joint: Float = np.exp(evidence - evidence.max(axis=1, keepdims=True))[:, self.owner]  # then smoothed in place
        after = np.ones(len(self.owner))
        for t in range(len(filtered) - 1, -1, -1):
            before = self.matrix @ (joint[t] * after)
            np.multiply(filtered[t], after, out=joint[t])
            after = before / (np.maximum.reduce(before) + _TINY)
        found = np.add.reduceat(joint, self.first, axis=1)
        return np.asarray(found / (found.sum(axis=1, keepdims=True) + _TINY))

    def decode(self, probabilities: npt.NDArray[Any]) -> Integers:
        """(T,) the most likely sequence of classes (Viterbi)."""
        if len(probabilities) == 0:
            return np.zeros(0, dtype=np.int64)
        evidence = self.evidence(probabilities)[:, self.owner]
        with np.errstate(divide="ignore"):
            moves, best = np.log(self.matrix), np.log(self.initial) + evidence[0]
        moves, scores = np.ascontiguousarray(moves.T), np.empty_like(moves)
        came = np.zeros(evidence.shape, dtype=np.int16)
        for t in range(1, len(evidence)):
            came[t] = np.add(moves, best, out=scores).argmax(axis=1)
            best = np.maximum.reduce(scores, axis=1)
            best += evidence[t]
        path = np.empty(len(evidence), dtype=np.int64)
        path[-1] = int(best.argmax())
        for t in range(len(evidence) - 1, 0, -1):
            path[t - 1] = came[t, path[t]]
        return np.asarray(self.owner[path])
