"""Balanced pseudo-labels from a bank (CoDT's online clustering module, Liu et al., ECCV 2022), beyond equal sizes.

:func:`motet.losses.balanced_assignment` is the published equation. Here the same iterates can start from the prices of
the step before, aim at unequal sizes or only lean towards them, and their rounding can be balanced exactly.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from motet.core.errors import ConfigError

_DRIFT = 20.0  # prices may move this far, as logarithms, before the kernel is made anew
_SMALL = 1e-30


class Plan(NamedTuple):
    """A transport plan in factored form: Q = row-softmax(ξ log p + prices).

    Attributes:
        logits: (N, K) log-probabilities times the power, up to a constant of each row.
        prices: (K,) logarithms of the clusters' scalings; a warm start for the next plan.
        iterations: how many were made.
    """

    logits: Tensor
    prices: Tensor
    iterations: int

    def rows(self, index: Tensor | None = None) -> Tensor:
        """(n, K) rows of Q, which sum to one; all of them by default."""
        chosen = self.logits if index is None else self.logits[index]
        return torch.softmax(chosen + self.prices, dim=1)

    def labels(self, index: Tensor | None = None) -> Tensor:
        """(n,) int64 hard labels, argmax of Q."""
        chosen = self.logits if index is None else self.logits[index]
        return (chosen + self.prices).argmax(dim=1)


@torch.no_grad()
def transport(
    logits: Tensor,
    *,
    power: float = 10.0,
    shares: Tensor | None = None,
    balance: float = 1.0,
    prices: Tensor | None = None,
    max_iterations: int = 100,
    tolerance: float = 1e-2,
) -> Plan:
    """Entropic transport of N samples to K clusters whose sizes are given, or only leaned to.

    Iterates in logarithms, clusters first: ``g = β (log r - LSE_n(M + f))``, ``f = -log N - LSE_k(M + g)`` with
    ``M = ξ log softmax(logits)``. β = 1 enforces the sizes r (with equal r the published iteration); β < 1 charges
    for departing from them instead (unbalanced transport, Chizat et al., Math. Comp. 2018): sizes go as r^β against
    what the logits say.

    Args:
        logits: (N, K).
        power: ξ.
        shares: (K,) positive sizes of the clusters, sum 1; equal by default.
        balance: β in (0, 1].
        prices: (K,) warm start.
        max_iterations, tolerance: the published stopping rule, tested at iterations 1, 11, 21, …; from a warm start
            at every iteration.

    Raises:
        ConfigError: logits that are not finite, or an option out of range.
    """
    if logits.dim() != 2 or logits.numel() == 0:
        raise ConfigError(f"logits are {tuple(logits.shape)}, but (N, K) with at least one row and column is needed")
    if not 0 < balance <= 1 or power <= 0 or max_iterations < 1:
        raise ConfigError(f"balance {balance} must lie in (0, 1], power {power} and max_iterations be positive")
    count, clusters = logits.shape
    log_shares = torch.full_like(logits[0], -math.log(clusters)) if shares is None else shares.to(logits).log()
    given = logits.float() if logits.dtype.itemsize < 4 else logits
    # what a row has in common is only told apart by the samples' first scalings, of which a warm start has no need
    scaled = torch.log_softmax(given, dim=1) if prices is None else given
    scaled = (scaled * power).clamp_min_(-power / torch.finfo(scaled.dtype).eps)
    if shares is not None and (len(shares) != clusters or not bool((shares > 0).all())):
        raise ConfigError(f"shares must be {clusters} positive numbers")
    price = prices
    change = math.inf
    made = 0
    if price is None:
        price = balance * (log_shares - torch.logsumexp(scaled, dim=0) + math.log(count))
        made = 1
    share, rows = _absorbed(scaled, price)
    if prices is None:
        # against the samples' scalings of the start, 1/N each
        total = torch.logsumexp(scaled + price, dim=1)
        change = float(total.expm1_().abs_().sum())
    start = price
    while made < max_iterations and change > tolerance:
        made += 1
        mass = (rows @ share).clamp_min_(_SMALL)
        price = balance * (log_shares + math.log(count) - mass.log_() + start)
        factor = (price - start).clamp_(-_DRIFT, _DRIFT)
        before, rows = rows, (share @ factor.exp()).reciprocal_()
        if prices is not None or made % 10 == 1:
            change = float((before / rows - 1).abs().sum())
        if float((price - start).abs().max()) > _DRIFT / 2:
            start = price
            share, rows = _absorbed(scaled, price)
    if not bool(price.isfinite().all()):
        raise ConfigError("logits hold NaN or infinity; look at the features and the learning rate")
    return Plan(scaled, price, made)


def _absorbed(scaled: Tensor, price: Tensor) -> tuple[Tensor, Tensor]:
    """The kernel with prices and the samples' scalings absorbed, (N, K) with rows that sum to one, and ones (N,).

    A half-step then is a product with it instead of a log-sum-exp. Entries too small to matter are zero, because
    processors are slow on denormal numbers.
    """
    share = torch.softmax(scaled + price, dim=1)
    return torch.threshold_(share, _SMALL, 0.0), torch.ones_like(share[:, 0])


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
            raise ConfigError(f"sizes must be {clusters} numbers that sum to {count}")
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
    return torch.from_numpy(labels).to(plan.prices.device)


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
