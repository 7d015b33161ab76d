"""Scores of both branches on clips with known classes: students only, clean clips, both notions of accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from motet.data.loader import ClipStore
from motet.memory.kmeans import spherical_kmeans
from motet.methods.discovery.clusters import ITERATIONS, features, joined
from motet.methods.discovery.step import Discovery
from motet.metrics.clusters import cluster_scores

METRICS = ("purity", "hungarian_accuracy", "nmi", "ari")
RESTARTS = 10
BRANCHES = ("B0", "B1")


@torch.no_grad()
def predict(discovery: Discovery, pair: Sequence[Tensor]) -> list[Tensor]:
    """(n,) cluster of each clip by each branch's target classifier; empty while there are none."""
    if not discovery.pair[0].clusters:
        return []
    return [b.student["clusters"](x).argmax(dim=1) for b, x in zip(discovery.pair, pair, strict=True)]


@torch.no_grad()
def branch_scores(
    discovery: Discovery, stores: Sequence[ClipStore], ids: Tensor, labels: Tensor, clusters: int, seed: int = 0
) -> list[dict[str, Any]]:
    """Rows of scores, one per branch and way of clustering.

    ``kmeans`` rows are means over ten single starts of spherical k-means on the scored clips' features, of B0, B1 and
    both side by side (``B0+B1``); ``classifier`` rows are the target classifiers' answers.

    Args:
        discovery: the branches.
        stores: the target's clips in the common layout and in their own.
        ids: (n,) archive rows to score, all with a known class.
        labels: (n,) their classes.
        clusters: K.
        seed: of k-means.
    """
    pair = features(discovery, stores, ids)
    truth = labels.cpu().numpy()
    rows = []
    for name, x in zip((*BRANCHES, "B0+B1"), (*pair, joined(pair)), strict=True):
        found = []
        for start in range(RESTARTS):
            made = spherical_kmeans(x, min(clusters, len(x)), iterations=ITERATIONS, seed=RESTARTS * seed + start)
            found.append(cluster_scores(truth, made.assignment))
        mean = {metric: fmean(f[metric] for f in found) for metric in METRICS}
        rows.append({"branch": name, "by": "kmeans", "restarts": RESTARTS, **mean})
    for name, predicted in zip(BRANCHES, predict(discovery, pair), strict=False):
        used = len(np.unique(predicted.cpu().numpy()))
        rows.append({"branch": name, "by": "classifier", "used": used, **cluster_scores(truth, predicted)})
    return rows
