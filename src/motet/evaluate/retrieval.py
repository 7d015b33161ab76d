"""Retrieval: test clips ask, training clips are ranked by cosine similarity.

``R@k`` is the share of queries with a clip of their class among the first k, ``mAP`` the mean over queries of the
average precision of the whole ranking. Nothing is trained; centre crops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from motet.core.errors import ConfigError, DataError
from motet.core.text import counted
from motet.engine.table import Row
from motet.evaluate.context import Context
from motet.evaluate.flags import flag
from motet.evaluate.streamwise import together, with_concat
from motet.metrics.knn import Features, Labels, integer_labels
from motet.metrics.neighbours import nearest, unit_rows

_SCORE_BYTES = 256 << 20  # similarities that are held at a time
_GALLERY_ROWS = 1 << 16


def retrieval_scores(
    train_features: Features,
    train_labels: Labels,
    test_features: Features,
    test_labels: Labels,
    *,
    ks: Sequence[int] = (1, 5),
) -> dict[str, float]:
    """``R@k`` for each k, and ``mAP``, of a ranking by cosine similarity.

    Average precision is Σ (R_n − R_{n−1}) P_n over the thresholds of the ranking, equal similarities being one
    threshold, as in scikit-learn's ``average_precision_score``. A query whose class is not in the gallery scores 0.
    Memory beyond the features stays below a few hundred MiB for any number of rows.

    Args:
        train_features: (n, F) the gallery; need not be normalised.
        train_labels: (n,) integers.
        test_features: (m, F) the queries.
        test_labels: (m,) integers.
        ks: depths of R@k.

    Raises:
        ConfigError: shapes or depths that do not fit, or no queries.
        DataError: a feature that is not finite.
    """
    gallery, queries = torch.as_tensor(train_features).detach(), torch.as_tensor(test_features).detach()
    owners, wanted = integer_labels(train_labels), integer_labels(test_labels)
    if len(owners) != len(gallery) or len(wanted) != len(queries) or len(queries) == 0:
        raise ConfigError(
            f"there are {len(gallery)} and {counted(len(queries), 'feature')} but {len(owners)} and "
            f"{counted(len(wanted), 'label')}; each side needs as many of both, and at least one query"
        )
    if not ks or min(ks) < 1 or max(ks) > len(gallery):
        raise ConfigError(
            f"the depths {tuple(ks)} must lie between 1 and the {counted(len(gallery), 'clip')} of the gallery"
        )
    found = owners[nearest(gallery, queries.to(gallery.device), max(ks))[1].cpu().numpy()]
    hits = (found == wanted[:, None]).cumsum(axis=1) > 0
    scores = {f"R@{k}": float(hits[:, k - 1].mean()) for k in ks}
    return scores | {"mAP": _mean_average_precision(gallery, owners, queries, wanted)}


def _mean_average_precision(
    gallery: torch.Tensor, owners: np.ndarray, queries: torch.Tensor, wanted: np.ndarray
) -> float:
    rows = max(1, _SCORE_BYTES // (4 * len(gallery)))
    members = {label: np.flatnonzero(owners == label) for label in np.unique(wanted)}
    total = 0.0
    for at in range(0, len(queries), rows):
        asked = unit_rows(queries[at : at + rows].float()).to(gallery.device)
        scores = np.empty((len(asked), len(gallery)), dtype=np.float32)
        for start in range(0, len(gallery), _GALLERY_ROWS):
            block = unit_rows(gallery[start : start + _GALLERY_ROWS].float())
            scores[:, start : start + _GALLERY_ROWS] = (asked @ block.T).cpu().numpy()
        for row, label in zip(scores, wanted[at : at + rows], strict=True):
            right = np.sort(row[members[label]])
            if len(right) == 0:
                continue
            row.sort()
            # how many score at least as much as each right one, of all and of the right ones
            ahead = len(row) - np.searchsorted(row, right, side="left")
            ahead_right = len(right) - np.searchsorted(right, right, side="left")
            total += float((ahead_right / ahead).mean())
    if not np.isfinite(total):
        raise DataError("a feature is not finite")
    return total / len(queries)


FEATURES_ALONE = True
"""it asks for features of whole clips or rows and for nothing else, so it takes every kind of run"""


@dataclass(frozen=True)
class Options:
    """Options of the protocol."""

    ks: tuple[int, ...] = (1, 5)
    """depths of R@k."""

    def __post_init__(self) -> None:
        if not self.ks or min(self.ks) < 1:
            raise ConfigError(f"{flag(self, 'ks')} is {self.ks}; it must be one or more numbers from 1 on")


def evaluate(context: Context, options: Options) -> list[Row]:
    """For each stream and all streams together (``concat``) one row per measure."""
    if max(options.ks) > len(context.train):
        raise ConfigError(
            f"ks is {options.ks} but only {counted(len(context.train), 'clip')} can be found; lower --retrieval.ks"
        )
    rows = []
    names = (*context.streams, *together(context.streams))
    for kind, sets in context.groups():
        found: dict[tuple[str, str], list[float]] = {}
        for features in context.track(sets, f"retrieval: {kind}"):
            sides = [with_concat(features.centre(ids), context.streams) for ids in (context.train, context.test)]
            for name in names:
                gallery, queries = (side[name] for side in sides)
                scores = retrieval_scores(gallery, context.train_labels, queries, context.test_labels, ks=options.ks)
                for metric, value in scores.items():
                    found.setdefault((name, metric), []).append(value)
        rows += [
            context.row(
                "retrieval", kind, name, values, metric=metric, details={"over": context.over(kind, probe_seeds=False)}
            )
            for (name, metric), values in found.items()
        ]
    return rows
