"""Spherical k-means: clusters of directions (Dhillon & Modha, Machine Learning 2001)."""

from __future__ import annotations

import torch
from torch import Tensor

from motet.errors import ConfigError
from motet.evaluate.neighbours import unit_rows


def spherical_kmeans(
    x: Tensor, clusters: int, *, seed: int = 0, restarts: int = 10, max_iterations: int = 100
) -> tuple[Tensor, Tensor]:
    """Assign unit vectors to the centres of largest cosine, centres being their members' normalised means.

    All restarts run side by side; the one with the largest sum of cosines wins. Centres start as rows drawn one after
    the other with probability proportional to 1 − (largest cosine so far), the k-means++ of the sphere. A cluster that
    loses all members keeps its centre.

    Args:
        x: (n, F), need not be normalised.
        clusters: K ≤ n.
        seed: of the starts.
        restarts: number of starts.
        max_iterations: at most so many updates of each.

    Returns:
        (n,) int64 clusters and (K, F) unit centres.

    Raises:
        ConfigError: K outside 1 … n.
    """
    if x.ndim != 2 or not 1 <= clusters <= len(x):
        raise ConfigError(f"{clusters} clusters of {tuple(x.shape)} features; their number must lie in 1 … {len(x)}")
    unit = unit_rows(x.float())
    generator = torch.Generator().manual_seed(seed)
    best: tuple[float, Tensor, Tensor] | None = None
    for _ in range(restarts):
        centres = unit[_starts(unit, clusters, generator)]
        owner = torch.full((len(unit),), -1, device=unit.device)
        for _ in range(max_iterations):
            cosine, found = (unit @ centres.T).max(dim=1)
            if torch.equal(found, owner):
                break
            owner = found
            sums = torch.zeros_like(centres).index_add_(0, owner, unit)
            moved = unit_rows(sums)
            centres = torch.where(moved.any(dim=1, keepdim=True), moved, centres)
        total = float(cosine.double().sum())
        if best is None or total > best[0]:
            best = total, owner, centres
    assert best is not None
    return best[1], best[2]


def _starts(unit: Tensor, clusters: int, generator: torch.Generator) -> Tensor:
    chosen = [int(torch.randint(len(unit), (), generator=generator))]
    nearest = unit @ unit[chosen[0]]
    for _ in range(clusters - 1):
        distance = (1 - nearest).clamp_min(0).double().cpu()
        if float(distance.sum()) <= 0:
            distance = torch.ones_like(distance)  # fewer distinct rows than clusters
        chosen.append(int(torch.multinomial(distance, 1, generator=generator)))
        nearest = torch.maximum(nearest, unit @ unit[chosen[-1]])
    return torch.tensor(chosen, device=unit.device)
