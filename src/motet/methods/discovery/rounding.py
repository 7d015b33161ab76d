"""Hard labels of a transport plan whose clusters have exactly the wanted sizes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from motet.core.errors import ConfigError
from motet.core.text import counted
from motet.losses.clustering import Plan


def balanced_labels(plan: Plan, sizes: npt.ArrayLike | None = None) -> Tensor:
    """Hard labels whose clusters have exactly the wanted sizes at the least total cost -log p.

    The argmax of a plan is the cheapest labelling with the sizes that it happens to have; the surplus is then moved
    along shortest paths between clusters, which keeps it the cheapest for the sizes it has reached.

    Args:
        plan: converged or not; a better one leaves less to move.
        sizes: (K,) numbers of samples, sum N; by default N/K, the first ones one more where K does not divide N.

    Returns:
        (N,) int64.
    """
    cost = -plan.logits.double().cpu().numpy()
    count, clusters = cost.shape
    wanted = np.full(clusters, count // clusters)
    wanted[: count % clusters] += 1
    if sizes is not None:
        wanted = np.asarray(sizes, dtype=np.int64)
        if wanted.shape != (clusters,) or wanted.sum() != count or (wanted < 0).any():
            raise ConfigError(f"sizes must be {counted(clusters, 'number')} that sum to {count}")
    labels = plan.labels().cpu().numpy()
    have = np.bincount(labels, minlength=clusters)
    edge, mover = np.full((clusters, clusters), np.inf), np.zeros((clusters, clusters), dtype=np.int64)
    changed = set(range(clusters))
    while (have > wanted).any():
        for here in changed:
            edge[here], mover[here] = _leaving(cost, labels, here)
        path = _cheapest_path(edge, have > wanted, have < wanted)
        # all movers are chosen before the first one moves
        moves = [(int(mover[a, b]), b) for a, b in pairwise(path)]
        for row, there in moves:
            labels[row] = there
        have[path[0]] -= 1
        have[path[-1]] += 1
        changed = set(path)
    return torch.from_numpy(labels).to(plan.scalings.device)


def _leaving(
    cost: npt.NDArray[np.float64], labels: npt.NDArray[Any], here: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """(K,) what it costs that the cheapest sample of a cluster goes to each other one, and which sample that is."""
    clusters = cost.shape[1]
    rows = np.flatnonzero(labels == here)
    if not len(rows):
        return np.full(clusters, np.inf), np.zeros(clusters, dtype=np.int64)
    extra = cost[rows] - cost[rows, here][:, None]
    extra[:, here] = np.inf
    best = extra.argmin(axis=0)
    return extra[best, np.arange(clusters)], rows[best]


def _cheapest_path(
    edge: npt.NDArray[np.float64], full: npt.NDArray[np.bool_], room: npt.NDArray[np.bool_]
) -> list[int]:
    """Clusters from a full one to one with room along edges of (K, K) costs (Bellman-Ford)."""
    clusters = len(edge)
    distance = np.where(full, 0.0, np.inf)
    parent = np.full(clusters, -1)
    for _ in range(clusters):
        through = distance[:, None] + edge
        best = through.argmin(axis=0)
        shorter = through[best, np.arange(clusters)] < distance - 1e-12
        if not shorter.any():
            break
        distance = np.where(shorter, through[best, np.arange(clusters)], distance)
        parent = np.where(shorter, best, parent)
    path = [int(np.where(room, distance, np.inf).argmin())]
    while parent[path[0]] != -1:
        path.insert(0, int(parent[path[0]]))
    return path
