"""The toy tensors on which the golden values of the contrastive losses were computed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

STREAMS = ("joint", "motion", "bone")
Tensors = dict[str, Tensor]


def raw(offset: float) -> Tensors:
    n, d = torch.meshgrid(torch.arange(3.0, dtype=torch.float64), torch.arange(4.0, dtype=torch.float64), indexing="ij")
    return {s: torch.cos(0.7 * n + 1.3 * d + 0.5 * m + offset) for m, s in enumerate(STREAMS)}


def unit(tensors: Tensors) -> Tensors:
    return {s: normalize(t, dim=1) for s, t in tensors.items()}


def toy() -> tuple[Tensors, Tensors, Tensors]:
    """Queries (3, 4), keys (3, 4) and queues (8, 4) of three streams, float64, unit rows."""
    j, d = torch.meshgrid(torch.arange(8.0, dtype=torch.float64), torch.arange(4.0, dtype=torch.float64), indexing="ij")
    queues = {s: torch.sin(0.9 * j * (d + 1) + 0.4 * d + 0.3 * m + 0.1) for m, s in enumerate(STREAMS)}
    return unit(raw(0.0)), unit(raw(0.4)), unit(queues)
