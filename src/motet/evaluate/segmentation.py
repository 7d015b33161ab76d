"""How well labels along time agree with the true ones: frames, segments, order.

The scores of temporal action segmentation as MS-TCN reports them (Farha and Gall, CVPR 2019,
https://arxiv.org/abs/1903.01945); segmental F1 is that of Lea et al. (CVPR 2017, https://arxiv.org/abs/1611.05267).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError

Integers = npt.NDArray[np.int64]
UNLABELLED = -1
OVERLAPS = (0.10, 0.25, 0.50)


def segments(labels: npt.ArrayLike) -> list[tuple[int, int, int]]:
    """(label, start, end) of each run of equal labels, unlabelled (-1) runs left out; ``end`` is exclusive.

    >>> segments([0, 0, -1, 2])
    [(0, 0, 2), (2, 3, 4)]
    """
    values = np.asarray(labels)
    if len(values) == 0:
        return []
    edges = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)]
    return [(int(values[a]), a, b) for a, b in pairwise(edges) if values[a] != UNLABELLED]


def edit_distance(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """Levenshtein distance: fewest insertions, deletions and substitutions that turn ``a`` into ``b``."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def match_states(true: Sequence[Integers], predicted: Sequence[Integers]) -> dict[int, int]:
    """The one-to-one assignment of predicted states to classes that gets most frames right over all recordings."""
    from scipy.optimize import linear_sum_assignment

    t, p = np.concatenate(list(true)), np.concatenate(list(predicted))
    keep = (t != UNLABELLED) & (p != UNLABELLED)
    classes, t = np.unique(t[keep], return_inverse=True)
    states, p = np.unique(p[keep], return_inverse=True)
    table = np.zeros((len(classes), len(states)), dtype=np.int64)
    np.add.at(table, (t, p), 1)
    rows, columns = linear_sum_assignment(table, maximize=True)
    return {int(states[c]): int(classes[r]) for r, c in zip(rows, columns, strict=True)}


def segmentation_scores(true: Any, predicted: Any, *, matched: bool = False) -> dict[str, float]:
    """Agreement of labels along time, over one recording or several.

    * ``frames``: share of labelled frames that are right, pooled over recordings.
    * ``f1@10``, ``f1@25``, ``f1@50``: F1 of segments, pooled. A predicted segment is right if its overlap
      (intersection over union) with a true segment of its class is at least .10, .25, .50; a true segment counts once.
    * ``edit``: 1 − Levenshtein distance of the two sequences of segments over the longer one's length, mean over
      recordings.

    All are shares from 0 to 1. Frames whose true label is -1 are unlabelled and count nowhere; a predicted -1 ("none of
    these") on a labelled frame is wrong.

    Args:
        true: (T,) labels of one recording (integers or text), or a list of such sequences, one a recording.
        predicted: the same shapes.
        matched: states have no names: match them one to one with the classes first, over all recordings, so that
            most frames are right; states without a partner are wrong (the Hungarian accuracy of clusterings).

    Raises:
        ConfigError: no labelled frame, or shapes that differ.
    """
    pairs = _pairs(true, predicted)
    if matched:
        partner = match_states([t for t, _ in pairs], [p for _, p in pairs])
        lone = 1 + max((int(max(t.max(), p.max())) for t, p in pairs), default=0)
        pairs = [(t, np.array([partner.get(int(s), lone + int(s)) for s in p])) for t, p in pairs]
    kept = [t != UNLABELLED for t, _ in pairs]
    labelled = sum(int(k.sum()) for k in kept)
    if not labelled:
        raise ConfigError("no frame has a true label, so there is nothing to score")
    right = sum(int((t[k] == p[k]).sum()) for (t, p), k in zip(pairs, kept, strict=True))
    runs = [(segments(t), _known(t, p)) for t, p in pairs]
    scores = {"frames": right / labelled}
    for overlap in OVERLAPS:
        scores[f"f1@{overlap * 100:.0f}"] = _f1(runs, overlap)
    edits = [_edit([s[0] for s in a], [s[0] for s in b]) for a, b in runs if a]
    scores["edit"] = float(np.mean(edits))
    return scores


def _pairs(true: Any, predicted: Any) -> list[tuple[Integers, Integers]]:
    """Integer labels of each recording; texts are numbered over all of them."""
    one = len(true) > 0 and np.ndim(true[0]) == 0
    sides = (
        [[np.asarray(true)], [np.asarray(predicted)]]
        if one
        else [[np.asarray(x) for x in s] for s in (true, predicted)]
    )
    if len(sides[0]) != len(sides[1]):
        raise ConfigError(f"there are {len(sides[0])} true recordings and {len(sides[1])} predicted ones")
    for number, (t, p) in enumerate(zip(*sides, strict=True)):
        if t.ndim != 1 or t.shape != p.shape:
            raise ConfigError(f"recording {number}: true labels of shape {t.shape}, predicted ones of shape {p.shape}")
    if any(x.dtype.kind in "US" for s in sides for x in s):
        names: dict[str, int] = {}
        sides = [[np.array([names.setdefault(str(v), len(names)) for v in x]) for x in s] for s in sides]
    if any(x.dtype.kind not in "iub" for s in sides for x in s if len(x)):
        raise ConfigError("labels along time must be integers or text")
    return [(t.astype(np.int64), p.astype(np.int64)) for t, p in zip(*sides, strict=True)]


Runs = list[tuple[int, int, int]]


def _known(true: Integers, predicted: Integers) -> Runs:
    """Predicted segments, cut to the stretches in which the truth is known.

    Where a segment that is right continues through unlabelled frames, nobody knows where it should end: what it covers
    on the other side, less than half of the stretch there, is no segment of its own.
    """
    stretches = segments(np.where(true == UNLABELLED, UNLABELLED, 0))
    found: Runs = []
    for label, start, end in segments(predicted):
        parts = [(max(start, a), min(end, b), b - a) for _, a, b in stretches if a < end and start < b]
        right = [bool((true[a:b] == label).any()) for a, b, _ in parts]
        found += [
            (label, a, b)
            for (a, b, whole), here in zip(parts, right, strict=True)
            if here or not any(right) or 2 * (b - a) >= whole
        ]
    return found


def _f1(runs: Sequence[tuple[Runs, Runs]], overlap: float) -> float:
    hits = predicted = real = 0
    for true, guesses in runs:
        used: set[int] = set()
        for label, start, end in guesses:
            shares = [
                max(0, min(end, e) - max(start, s)) / (max(end, e) - min(start, s)) if label == c else 0.0
                for c, s, e in true
            ]
            best = int(np.argmax(shares)) if shares else -1
            if best >= 0 and shares[best] >= overlap and best not in used:
                used.add(best)
        hits, predicted, real = hits + len(used), predicted + len(guesses), real + len(true)
    return 2 * hits / (predicted + real)


def _edit(a: Sequence[int], b: Sequence[int]) -> float:
    return 1 - edit_distance(a, b) / max(len(a), len(b))
