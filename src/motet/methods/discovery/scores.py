"""Scores of both branches on clips with known classes: students only, clean clips, both notions of accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from motet.data.loader import ClipStore
from motet.engine.table import Row
from motet.memory.kmeans import spherical_kmeans
from motet.methods.discovery.clusters import ITERATIONS, features, joined
from motet.methods.discovery.step import Discovery
from motet.metrics.clusters import cluster_scores

METRICS = ("purity", "hungarian_accuracy", "nmi", "ari")
RESTARTS = 10
BRANCHES = ("B0", "B1")
BOTH = "B0+B1"


def score_row(
    features: str, stream: str, by: str, scores: Sequence[Mapping[str, float]], **details: Any
) -> dict[str, Any]:
    """A row of :class:`motet.engine.table.Row` by the Hungarian accuracy, with the means of all measures next to it.

    Args:
        features, stream: as of the row.
        by: ``"kmeans"`` or ``"classifier"``.
        scores: of every start; their other measures are ``details["measures"]``.
        details: further facts, also entries of their own.
    """
    measures = {metric: [one[metric] for one in scores] for metric in METRICS}
    row = Row(
        protocol="cluster",
        features=features,
        stream=stream,
        ensemble="concat" if "+" in stream else None,
        metric="hungarian_accuracy",
        values=tuple(measures["hungarian_accuracy"]),
        details={"algorithm": by, "over": "starts of k-means", "measures": measures, **details},
    )
    return row.to_dict() | {"by": by, **details} | {metric: fmean(values) for metric, values in measures.items()}


@torch.no_grad()
def predict(discovery: Discovery, pair: Sequence[Tensor]) -> list[Tensor]:
    """(n,) cluster of each clip by each branch's target classifier; empty while there are none."""
    if not discovery.pair[0].clusters:
        return []
    found = []
    for branch, x in zip(discovery.pair, pair, strict=True):
        classifier = branch.student["clusters"]
        found.append(classifier(x.to(next(classifier.parameters()).dtype)).argmax(dim=1))
    return found


@torch.no_grad()
def branch_scores(
    discovery: Discovery,
    stores: Sequence[ClipStore],
    ids: Tensor,
    labels: Tensor,
    clusters: int,
    seed: int = 0,
    method: str = "codt",
) -> list[dict[str, Any]]:
    """Rows of scores, one per branch and way of clustering.

    ``kmeans`` rows are of ten single starts of spherical k-means on the scored clips' features, of B0, B1 and
    both side by side (``B0+B1``); ``classifier`` rows are the target classifiers' answers.

    Args:
        discovery: the branches.
        stores: the target's clips in the common layout and in their own.
        ids: (n,) archive rows to score, all with a known class.
        labels: (n,) their classes.
        clusters: K.
        seed: of k-means.
        method: name of the rows' features.
    """
    pair = features(discovery, stores, ids)
    truth = labels.cpu().numpy()
    rows = []
    for name, x in zip((*BRANCHES, BOTH), (*pair, joined(pair)), strict=True):
        found = []
        for start in range(RESTARTS):
            made = spherical_kmeans(x, min(clusters, len(x)), iterations=ITERATIONS, seed=RESTARTS * seed + start)
            found.append(cluster_scores(truth, made.assignment))
        rows.append(score_row(method, name, "kmeans", found, restarts=RESTARTS) | {"branch": name})
    return rows + _of_classifiers(discovery, pair, labels, method)


def _of_classifiers(discovery: Discovery, pair: Sequence[Tensor], labels: Tensor, method: str) -> list[dict[str, Any]]:
    rows = []
    for name, predicted in zip(BRANCHES, predict(discovery, pair), strict=False):
        used = len(np.unique(predicted.cpu().numpy()))
        scores = [cluster_scores(labels.cpu().numpy(), predicted)]
        rows.append(score_row(method, name, "classifier", scores, used=used) | {"branch": name})
    return rows


@torch.no_grad()
def classifier_scores(
    discovery: Discovery, stores: Sequence[ClipStore], ids: Tensor, labels: Tensor, method: str
) -> list[dict[str, Any]]:
    """The ``classifier`` rows of :func:`branch_scores` alone."""
    return _of_classifiers(discovery, features(discovery, stores, ids), labels, method)
