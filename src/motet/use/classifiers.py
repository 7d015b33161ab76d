"""Classifiers of single moments whose parameters are plain arrays: a linear one and extremely randomised trees.

They are fitted with balanced classes and kept as tensors, so that a saved model runs no code of its own.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray[Any]]
Integers = npt.NDArray[np.int64]
_TOGETHER = 4096  # moments times trees that are looked up at once: of short clips all trees
STILL = 1e-4
"""of the usual deviation of a column: how much one moves that counts as still"""
BALANCE = 0.5
"""strength of the weights by which rare classes are lifted: shares to the power of what is left are assumed."""
_MOST_ROWS = 60_000  # rows that a classifier learns from; more are thinned evenly


class Classifier(Protocol):
    """From features to the probabilities of K classes; ``arrays`` is all that it is made of."""

    arrays: Arrays

    def __call__(self, features: Array) -> Array:
        """(n, F) -> (n, K) probabilities."""


def thinned(labels: Integers, most: int = _MOST_ROWS) -> Integers:
    """Rows to learn from: all labelled ones, or every second, third … where they are many."""
    rows = np.flatnonzero(labels >= 0)
    return rows[:: max(1, -(-len(rows) // most))]


def balanced(labels: Integers, classes: int, strength: float = BALANCE) -> npt.NDArray[np.float64]:
    """(n,) weights that lift rare classes; strength 1 gives every class the same total, 0 leaves all similar."""
    counts = np.maximum(np.bincount(labels, minlength=classes), 1)
    weights = (len(labels) / classes / counts[labels]) ** strength
    return np.asarray(weights / weights.mean())


def gains(features: Array) -> Array:
    """(F,) factors that standardise the columns of (n, F) features; 0 for a column that never moved next to the others,
    but for rounding: the middle of the hips where it is made of the hips says nothing of one that is tracked itself."""
    scale = features.std(axis=0)
    moving = scale > (STILL * np.median(scale[scale > 0]) if (scale > 0).any() else 0)
    return np.where(moving, 1 / np.where(moving, scale, 1), 0).astype(np.float32)


class Linear:
    """Multinomial logistic regression on standardised features."""

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = arrays

    @classmethod
    def fit(
        cls,
        features: Array,
        labels: Integers,
        classes: int,
        *,
        penalty: float = 3e-3,
        steps: int = 60,
        seed: int = 0,
    ) -> Linear:
        """Learn from (n, F) features by ``steps`` of L-BFGS; ``penalty`` is that of the squared weights."""
        import torch

        del seed
        shift, scale = features.mean(axis=0), features.std(axis=0)
        gain = np.where(scale > 1e-6, 1 / np.maximum(scale, 1e-6), 0).astype(np.float32)
        x = torch.from_numpy(np.clip((features - shift) * gain, -8, 8).astype(np.float32))
        y, w = torch.from_numpy(labels), torch.from_numpy(balanced(labels, classes).astype(np.float32))
        weight = torch.zeros(x.shape[1], classes, requires_grad=True)
        bias = torch.zeros(classes, requires_grad=True)
        optimiser = torch.optim.LBFGS([weight, bias], max_iter=steps, history_size=10, line_search_fn="strong_wolfe")

        def closure() -> torch.Tensor:
            optimiser.zero_grad()
            error = torch.nn.functional.cross_entropy(x @ weight + bias, y, reduction="none")
            loss = (w * error).mean() + penalty * weight.square().sum()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        optimiser.step(closure)  # type: ignore[no-untyped-call]
        found = {"weight": weight.detach().numpy(), "bias": bias.detach().numpy()}
        return cls({**found, "shift": shift.astype(np.float32), "gain": gain})

    def logits(self, features: Array) -> Array:
        """(n, F) -> (n, K)."""
        a = self.arrays
        x = features - a["shift"]
        x *= a["gain"]  # in place: rows are many and wide
        return np.asarray(np.clip(x, -8, 8, out=x) @ a["weight"] + a["bias"])

    def __call__(self, features: Array) -> Array:
        return softmax(self.logits(features))


def softmax(scores: npt.NDArray[Any]) -> Array:
    """(n, K) probabilities of (n, K) scores."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float32)


class Trees:
    """Extremely randomised trees (Geurts, Ernst and Wehenkel, 2006, https://doi.org/10.1007/s10994-006-6226-1)."""

    count, leaf, depth = 100, 4, 18

    def __init__(self, arrays: Arrays) -> None:
        nodes = len(arrays["value"])
        for name, most in (("left", nodes), ("right", nodes), ("root", nodes), ("feature", 2**31), ("depth", 1000)):
            found = arrays[name]
            if found.dtype.kind != "i" or not found.size or not ((found >= 0) & (found < most)).all():
                raise ValueError(f"{name} of the trees is not what it should be")
        self.arrays = arrays

    @classmethod
    def fit(cls, features: Array, labels: Integers, classes: int, *, seed: int = 0) -> Trees:
        """Learn from (n, F) features."""
        from sklearn.ensemble import ExtraTreesClassifier

        forest = ExtraTreesClassifier(
            cls.count, min_samples_leaf=cls.leaf, max_depth=cls.depth, max_features="sqrt", random_state=seed
        )
        forest.fit(features, labels, sample_weight=balanced(labels, classes))
        trees = [t.tree_ for t in forest.estimators_]
        starts = np.cumsum([0, *(t.node_count for t in trees)])
        value = np.full((int(starts[-1]), classes), 1e-3, dtype=np.float32)
        leaves = np.concatenate([t.value[:, 0] for t in trees])
        value[:, forest.classes_] += (leaves / leaves.sum(axis=1, keepdims=True)).astype(np.float32)
        value /= value.sum(axis=1, keepdims=True)
        child = [np.where(s < 0, np.arange(len(s)), s) + o for o, s in _children(trees, starts)]
        half = len(trees)
        return cls(
            {
                "feature": np.concatenate([np.maximum(t.feature, 0) for t in trees]).astype(np.int32),
                "threshold": np.concatenate([t.threshold for t in trees]).astype(np.float32),
                "left": np.concatenate(child[:half]).astype(np.int32),
                "right": np.concatenate(child[half:]).astype(np.int32),
                "value": value,
                "root": starts[:-1].astype(np.int32),
                "depth": np.array([max(t.max_depth for t in trees)], dtype=np.int32),
            }
        )

    def __call__(self, features: Array) -> Array:
        a = self.arrays
        found = np.zeros((len(features), a["value"].shape[1]), dtype=np.float32)
        flat, width = np.ascontiguousarray(features, dtype=np.float32).ravel(), features.shape[1]
        start = np.arange(len(features), dtype=np.int64) * width
        together = max(1, _TOGETHER // max(1, len(features)))
        for first in range(0, len(a["root"]), together):
            roots = a["root"][first : first + together, None]
            node = np.broadcast_to(roots, (len(roots), len(features))).astype(np.int32)
            for _ in range(int(a["depth"][0])):  # a leaf is its own child
                right = flat[start + a["feature"][node]] > a["threshold"][node]
                node = np.where(right, a["right"][node], a["left"][node])
            for own in a["value"][node]:  # one tree after the other, so that sums are those of any number together
                found += own
        return np.asarray(found / len(a["root"]), dtype=np.float32)


def _children(trees: list[Any], starts: npt.NDArray[np.int64]) -> list[tuple[int, npt.NDArray[np.int64]]]:
    sides = [[t.children_left for t in trees], [t.children_right for t in trees]]
    return [(int(o), s) for side in sides for o, s in zip(starts[:-1], side, strict=True)]


CLASSIFIERS: dict[str, type[Linear] | type[Trees]] = {"linear": Linear, "trees": Trees}
