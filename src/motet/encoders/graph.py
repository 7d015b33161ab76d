"""The graph of a skeleton as ST-GCN uses it (Yan et al., AAAI 2018)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from motet.core.errors import ConfigError
from motet.data.skeletons import Skeleton


def graph_center(skeleton: Skeleton) -> int:
    """The joint from which the farthest joint is nearest; ties go to the smaller total distance, then the index.

    For Kinect v2 this is the spine at the shoulders, the published centre of its graph; a skeleton in several pieces
    is centred in its largest one.
    """
    count = len(skeleton)
    hops = np.full((count, count), np.inf)
    np.fill_diagonal(hops, 0)
    for child, parent in skeleton.bones:
        hops[child, parent] = hops[parent, child] = 1
    for via in range(count):
        hops = np.minimum(hops, hops[:, via, None] + hops[None, via, :])
    reached = np.isfinite(hops)
    distances = np.where(reached, hops, 0)
    ranked = sorted(range(count), key=lambda j: (-reached[j].sum(), distances[j].max(), distances[j].sum(), j))
    return ranked[0]


def spatial_partitions(skeleton: Skeleton, center: int | None = None) -> Tensor:
    """Adjacency of a skeleton in the three partitions of ST-GCN's "spatial" strategy.

    An edge v → w is normalised by the number of edges that enter w (columns of the sum add up to 1) and falls into
    partition 0 for v = w, 2 if v is nearer to the centre than w, else 1. As in the published code, distances
    are known up to one hop: all joints farther than that from the centre count as equally far.

    Args:
        skeleton: its bones are the edges, in both directions; sensor nodes without bones have self loops only.
        center: index of the graph's centre; None for :func:`graph_center`.

    Returns:
        (3, V, V) float32; entry [k, v, w] weighs what joint v sends to joint w.

    Raises:
        ConfigError: the centre is no joint of the skeleton.
    """
    count = len(skeleton)
    if center is None:
        center = graph_center(skeleton)
    if not 0 <= center < count:
        raise ConfigError(f"graph centre {center} is no joint of {skeleton.name!r}; its indices are 0..{count - 1}")
    linked = np.eye(count)
    for child, parent in skeleton.bones:
        linked[child, parent] = linked[parent, child] = 1
    normalised = linked / linked.sum(axis=0)
    distance = np.where(linked[:, center] > 0, 1.0, np.inf)
    distance[center] = 0
    loops = np.eye(count, dtype=bool)
    nearer = distance[:, None] < distance[None, :]
    parts = [np.where(mask, normalised, 0) for mask in (loops, ~loops & ~nearer, ~loops & nearer)]
    return torch.tensor(np.stack(parts), dtype=torch.float32)
