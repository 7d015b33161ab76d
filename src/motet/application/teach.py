"""A classifier that learns from the labels while they are given, and says which moments it would learn most from."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.application import proposals
from motet.application.labels import Interval, Labels
from motet.application.moments import Moments
from motet.application.proposals import FEW
from motet.core.errors import ConfigError, MotetError
from motet.core.text import counted
from motet.data.archive import MotionArchive
from motet.use.classifiers import softmax

Array = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
PAUSE = 0.8
"""seconds without an edit after which the classifier is fitted again."""
FOLDS = 5
MORE, GROWN = 20, 0.15
"""labels, at least so many and so large a share of all, over which …"""
STEADY = 0.02
"""… the answers for at most this share of the moments have changed, when more labels will hardly help."""
_TICKS = 40  # ticks of one label that count, so that long labels do not outweigh short ones
_STRENGTHS = tuple(10.0**k for k in range(-4, 3))
_SHARP = tuple(float(s) for s in np.geomspace(1, 30, 12))


@dataclass
class State:
    """What the page shows of the classifier."""

    words: str = "Label two classes; then a classifier starts to propose others."
    version: int = 0
    working: bool = False
    curve: list[tuple[int, float]] = field(default_factory=list)
    proposals: list[dict[str, Any]] = field(default_factory=list)
    predicted: list[list[Any]] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    held_out: list[tuple[int, int]] = field(default_factory=list)
    changed: float | None = None


class Teacher:
    """Fits in a thread of its own after every pause of the edits.

    Args:
        archive: recordings.
        labels: what is labelled.
        moments: their features.
    """

    def __init__(self, archive: MotionArchive, labels: Labels, moments: Moments) -> None:
        self.archive, self.labels, self.moments = archive, labels, moments
        people = archive.clips["subject"].to_list()
        names = archive.clips["name"].to_list()
        # without people the recordings themselves are what is held out
        self._group = [f"p{p}" if p is not None else f"r{n}" for p, n in zip(people, names, strict=True)]
        if len(set(self._group)) < 2:
            self._group = [f"r{n}" for n in names]
        self._state = State()
        self._answers: list[tuple[int, npt.NDArray[np.str_]]] = []  # labels of a fit, and its answer for every moment
        self._skipped: set[tuple[int, int]] = set()
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        self.wake()

    def close(self) -> None:
        """End the work in the background."""
        self._stop.set()
        self._wake.set()
        self._thread.join(10)

    def wake(self) -> None:
        """Labels have changed."""
        self._wake.set()

    def skip(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Do not propose a moment again."""
        clip, start = body.get("clip"), body.get("start")
        if not isinstance(clip, int) or not isinstance(start, int | float):
            raise ConfigError("a moment has a clip and a start")
        self._skipped.add((clip, round(float(start) * 10)))
        return {}

    def predictions(self) -> list[list[Any]]:
        """Bouts of all recordings: clip, start, end, label, probability."""
        return self._state.predicted

    @property
    def words(self) -> str:
        """How far the classifier is."""
        return self._state.words

    @property
    def curve(self) -> list[tuple[int, float]]:
        """(labels, accuracy on people held out) of the fits so far."""
        return list(self._state.curve)

    @property
    def finished(self) -> bool:
        """Whether further labels of this kind will hardly help."""
        return _steady(self._state)

    def held_out(self) -> tuple[Integers, list[str]]:
        """(K, K) counts of (label, answer) for labels whose people were held out, and the K classes."""
        now = self._state
        matrix = np.zeros((len(now.classes), len(now.classes)), dtype=np.int64)
        for true, answer in now.held_out:
            matrix[true, answer] += 1
        return matrix, list(now.classes)

    def state(self, rater: str) -> dict[str, Any]:
        """For the page."""
        now = self._state
        return {
            "state": now.words,
            "working": now.working or self._wake.is_set(),
            "version": now.version,
            "curve": now.curve,
            "proposals": now.proposals,
        }

    def _work(self) -> None:
        while not self.moments.ready.wait(0.2):
            if self._stop.is_set():
                return
        while not self._stop.is_set():
            self._wake.wait()
            while not self._stop.is_set() and self._wake.is_set():
                self._wake.clear()
                self._stop.wait(PAUSE)  # another edit within the pause starts it again
            if self._stop.is_set():
                return
            self._state.working = True
            try:
                self.fit()
            except (MotetError, ValueError, np.linalg.LinAlgError) as error:
                self._state.words = f"The classifier could not be fitted: {error}"
            self._state.working = False

    # ---------------------------------------------------------------------------------------------------- one fit

    def fit(self) -> None:
        """Fit once to the labels as they are, and make proposals."""
        given = self.labels.all()
        classes = [c for c in self.labels.classes if any(one.label == c for one in given)]
        features = self.moments.features
        if features is None:
            self._state = State(version=self._state.version + 1)
            return
        parts = [self._features(one) for one in given]
        if len(classes) < 2:
            words = f"{State.words} These moments are typical of many others; open one, and name it (N)."
            typical = self._proposals(given, parts, None, classes)
            self._state = State(words, self._state.version + 1, proposals=typical)
            return
        number = {c: i for i, c in enumerate(classes)}
        y = np.array([number[one.label] for one in given], dtype=np.int64)
        probabilities = _fit_linear(parts, y, len(classes))(features)
        best = self._answered(given, probabilities.argmax(axis=1), number)
        pairs, accuracy = self._held_out(given, parts, y, best, len(classes))
        state = State(version=self._state.version + 1, curve=list(self._state.curve), classes=classes, held_out=pairs)
        state.changed = self._changed(len(given), np.array(classes)[best])
        if accuracy is not None and (not state.curve or state.curve[-1][0] != len(given)):
            state.curve.append((len(given), accuracy))
        state.predicted = self._bouts(probabilities, classes)
        state.proposals = self._proposals(given, parts, probabilities, classes)
        state.words = _advice(accuracy, len(given), len(classes), steady=_steady(state), left=bool(state.proposals))
        self._state = state

    def _features(self, one: Interval) -> Array:
        rows = self.moments.rows(one.clip, one.start, one.end)
        return rows[:: -(-len(rows) // _TICKS)]

    def _answered(self, given: Sequence[Interval], best: Integers, number: Mapping[str, int]) -> Integers:
        """The classifier's answers, and the given labels where there are some: (moments,) classes."""
        m, found = self.moments, best.copy()
        middle = (m.start + m.end) / 2
        for one in given:
            own = m.of(one.clip)
            inside = (middle[own.start : own.stop] >= one.start) & (middle[own.start : own.stop] < one.end)
            found[own.start : own.stop][inside] = number[one.label]
        return found

    def _held_out(
        self, given: Sequence[Interval], parts: Sequence[Array], y: Integers, best: Integers, classes: int
    ) -> tuple[list[tuple[int, int]], float | None]:
        """What is answered for people whose labels are held out.

        Returns:
            (label, answer) of their labels. Classes that only the held-out people have are left out: what was never
            seen cannot be recognised. And the share of their moments that get the answer of the classifier that knows
            all labels; None of a single group. Labels are mostly of moments that are hard to distinguish, so the share
            of right ones among them would be too low.
        """
        groups = [self._group[one.clip] for one in given]
        fold_of = {g: i % FOLDS for i, g in enumerate(sorted(set(groups)))}
        folds = np.array([fold_of[g] for g in groups])
        of_moment = np.array([fold_of.get(g, -1) for g in self._group])[self.moments.clip]
        pairs: list[tuple[int, int]] = []
        same: list[npt.NDArray[np.bool_]] = []
        assert self.moments.features is not None
        for fold in np.unique(folds):
            train, test = np.flatnonzero(folds != fold).tolist(), np.flatnonzero(folds == fold).tolist()
            if len(np.unique(y[train])) < 2:
                continue
            model = _fit_linear([parts[i] for i in train], y[train], classes)
            pairs += [(int(y[i]), int(model(parts[i]).mean(axis=0).argmax())) for i in test if y[i] in y[train]]
            own = np.flatnonzero(of_moment == fold)
            if len(own):
                same.append(model(self.moments.features[own]).argmax(axis=1) == best[own])
        return pairs, float(np.concatenate(same).mean()) if same and len(given) >= FEW * classes else None

    def _changed(self, labels: int, answers: npt.NDArray[np.str_]) -> float | None:
        """Share of the moments whose answer is another one than so many labels ago (Bloodgood and Vijay-Shanker,
        "A method for stopping active learning based on stabilizing predictions", CoNLL 2009)."""
        since = labels - max(MORE, GROWN * labels)
        before = [one for one in self._answers if one[0] < labels]  # labels may have been removed since
        earlier = [n for n, (count, _) in enumerate(before) if count <= since]
        self._answers = [*before[max(earlier, default=0) :], (labels, answers)]
        return float((self._answers[0][1] != answers).mean()) if earlier else None

    def _bouts(self, probabilities: Array, classes: Sequence[str]) -> list[list[Any]]:
        """Neighbouring moments of one class as one bout."""
        m, best = self.moments, probabilities.argmax(axis=1)
        found: list[list[Any]] = []
        weights: list[int] = []
        for i, number in enumerate(best):
            clip, start, end = int(m.clip[i]), float(m.start[i]), float(m.end[i])
            certain = float(probabilities[i, number])
            last = found[-1] if found and found[-1][0] == clip else None
            if last is not None and last[3] == classes[number]:
                last[4] = (last[4] * weights[-1] + certain) / (weights[-1] + 1)
                last[2], weights[-1] = end, weights[-1] + 1
                continue
            if last is not None:  # windows overlap; a bout begins where the one before ends
                start = last[2] = (start + last[2]) / 2 if start < last[2] else start
            found.append([clip, start, end, classes[number], certain])
            weights.append(1)
        return [[c, round(s, 3), round(e, 3), name, round(p, 3)] for c, s, e, name, p in found]

    def _proposals(
        self, given: Sequence[Interval], parts: Sequence[Array], probabilities: Array | None, classes: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Moments to label next; without a class and its probability as long as there is no classifier."""
        m = self.moments
        assert m.features is not None
        open_ = np.ones(len(m.clip), dtype=bool)
        for one in given:
            open_ &= ~((m.clip == one.clip) & (m.start < one.end) & (m.end > one.start))
        for clip, start in self._skipped:
            open_ &= ~((m.clip == clip) & (np.abs(m.start * 10 - start) < 1))
        labelled = np.array([part.mean(axis=0) for part in parts], dtype=np.float32)
        chosen = proposals.choose(m.features, m.typical, m.chance, labelled, np.flatnonzero(open_), probabilities)
        found: list[dict[str, Any]] = []
        for i in chosen:
            best = None if probabilities is None else int(probabilities[i].argmax())
            found.append(
                {
                    "clip": int(m.clip[i]),
                    "start": float(m.start[i]),
                    "end": float(m.end[i]),
                    "label": None if best is None else classes[best],
                    "probability": None if probabilities is None else float(probabilities[i].max()),
                }
            )
        return found


class Ridge:
    """Ridge regression on one-of-K targets; leave-one-out chooses its strength and how sharp its probabilities are.

    Columns keep their scale, so components that vary little say little: a few labels are enough.

    Args:
        rows: (n, F) features.
        labels: (n,) classes.
        classes: K.
    """

    def __init__(self, rows: Array, labels: Integers, classes: int) -> None:
        x, targets = rows.astype(np.float64), np.eye(classes)[labels]
        self.shift, self.bias = x.mean(axis=0), targets.mean(axis=0)
        x, targets = x - self.shift, targets - self.bias
        values, vectors = np.linalg.eigh(x.T @ x)
        z = x @ vectors
        inner, least, scores = z.T @ targets, np.inf, targets
        for strength in _STRENGTHS:
            gain = 1 / (np.maximum(values, 0) + strength * max(float(values.sum()), 1e-12) / len(values))
            hat = (z * z * gain).sum(axis=1) + 1 / len(x)
            left = targets - (targets - z @ (gain[:, None] * inner)) / np.maximum(1 - hat, 1e-6)[:, None]
            error = float(((left - targets) ** 2).mean())
            if error < least:
                least, scores, self.weight = error, left + self.bias, vectors @ (gain[:, None] * inner)
        own = np.arange(len(x)), labels
        self.sharp = min(_SHARP, key=lambda s: -float(np.log(softmax(s * scores)[own] + 1e-12).mean()))

    def __call__(self, rows: Array) -> Array:
        """(n, F) -> (n, K) probabilities."""
        return softmax(self.sharp * ((rows - self.shift) @ self.weight + self.bias))


def _fit_linear(parts: Sequence[Array], y: Integers, classes: int) -> Ridge:
    return Ridge(np.concatenate(parts), np.repeat(y, [len(part) for part in parts]), classes)


def _steady(state: State) -> bool:
    return state.changed is not None and state.changed <= STEADY


def _advice(accuracy: float | None, count: int, classes: int, *, steady: bool, left: bool) -> str:
    """What the estimate means for who labels."""
    have = f"{counted(count, 'label')} of {counted(classes, 'class')}."
    if accuracy is None:
        return (
            f"{have} {counted(FEW, 'label')} for each class, of at least two people (or recordings), tell what to "
            f"expect."
        )
    have += f" For people without any labels about {round(100 * accuracy)} % of the moments should come out right."
    if not left:
        return f"{have} No moment is left without a label."
    if steady:
        return f"{have} The last labels changed hardly any answer: more of this kind will hardly help."
    return f"{have} These moments would teach it most:"
