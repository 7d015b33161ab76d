"""Balanced pseudo-labels and pair consistency between two clusterings (CoDT, Liu et al., ECCV 2022)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from motet.core.errors import ConfigError
from motet.losses._precision import at_least_float32

_SMALLEST = 1e-8  # similarities of predictions are kept this far from 0 and 1


def _chunks(logits: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Groups of rows, small enough that the temporaries of a million rows stay small."""
    size = max(1, 2**20 // logits.shape[1])
    for first in range(0, len(logits), size):
        rows = slice(first, first + size)
        yield rows, logits[rows]


def _powers(logits: Tensor, power: float) -> Tensor:
    """ξ log softmax of rows, without infinities: below -1/ε a log-probability says nothing more."""
    return torch.log_softmax(logits, dim=1).clamp_min_(-1 / torch.finfo(logits.dtype).eps).mul_(power)


def _shares(logarithms: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """exp(x - max x) along ``dim``, overwriting x, and the maximum; what would be a denormal number is a tiny one.

    Processors take many times longer over exponentials and products that end among the denormal numbers.
    """
    largest = logarithms.amax(dim=dim, keepdim=True)
    floor = 0.9 * math.log(torch.finfo(logarithms.dtype).tiny)
    return logarithms.sub_(largest).clamp_min_(floor).exp_(), largest


def _first_prices(logits: Tensor, power: float) -> Tensor:
    """The first scaling of the clusters, in logarithms (K,): -log K - LSE_n(ξ log p_nk - log N)."""
    parts = []
    for _, chunk in _chunks(logits):
        shares, largest = _shares(_powers(chunk, power), dim=0)
        parts.append(shares.sum(dim=0).log() + largest.squeeze(0))
    rows, columns = logits.shape
    return math.log(rows) - math.log(columns) - torch.logsumexp(torch.stack(parts), dim=0)


def _fill_plan(plan: Tensor, logits: Tensor, power: float, prices: Tensor) -> Tensor:
    """Write the plan whose rows are balanced exactly, softmax_k(ξ log p + prices); its rows' scalings (N,), as logs.

    Entries too small to matter are zero: below about 1e-27 in single precision.
    """
    negligible = _negligible(plan.dtype)
    scaling = []
    for rows, chunk in _chunks(logits):
        shares, largest = _shares(_powers(chunk, power).add_(prices), dim=1)
        total = shares.sum(dim=1, keepdim=True)
        scaling.append(total.log().add_(largest).squeeze(1))
        torch.threshold_(torch.div(shares, total, out=plan[rows]), negligible, 0.0)
    return torch.cat(scaling)


def _negligible(dtype: torch.dtype) -> float:
    return float(torch.finfo(dtype).tiny ** 0.7)


@at_least_float32
def balanced_assignment(
    logits: Tensor, *, power: float = 10.0, max_iterations: int = 100, tolerance: float = 1e-2
) -> Tensor:
    """Soft assignment of N samples to K clusters of (nearly) equal size, by optimal transport.

    The entropic transport plan between uniform marginals at the cost ``-log softmax(logits)`` and regularisation
    1/ξ (CoDT's online clustering module, after Asano et al., ICLR 2020): ``Q = N diag(v) P^ξ diag(u)``. Sinkhorn's
    algorithm scales the clusters, then the samples, at most ``max_iterations`` times; after iterations 1, 11, 21, … it
    stops if the samples' scalings changed by ``Σ_n |v_n / v'_n - 1| ≤ tolerance``. Rows are therefore exact, columns
    sum to N/K up to the tolerance.

    The iterates are those of the power form, but never leave the range of floating-point numbers: the kernel is kept
    with the logarithms of the scalings absorbed into it, and made anew from the logits when they have drifted. That
    costs a product with the kernel per half-step instead of a log-sum-exp, and no denormal numbers.

    Args:
        logits: (N, K), any range; -inf is allowed. A constant added to a row changes nothing.
        power: ξ; larger is closer to the unregularised, exactly balanced assignment.
        max_iterations: bound on the number of iterations, at least 1.
        tolerance: of the stopping rule.

    Returns:
        (N, K), a constant; rows sum to one. Beside the logits, it is the only tensor of this size that is held.

    Raises:
        ConfigError: ``logits`` is not a non-empty matrix or has NaN, or an option is out of range.
    """
    if logits.dim() != 2 or logits.numel() == 0:
        raise ConfigError(f"logits are {tuple(logits.shape)}, but (N, K) with at least one row and column is needed")
    if max_iterations < 1 or power <= 0:
        raise ConfigError(f"max_iterations is {max_iterations} and power {power}: need at least 1 and above 0")
    logits = logits.detach()
    count, clusters = logits.shape
    # entries dropped from the plan stay negligible while the scalings on top of it are within this range
    drift = -math.log(_negligible(logits.dtype)) / 6
    prices = _first_prices(logits, power)
    if not bool(prices.isfinite().all()):
        raise ConfigError("logits hold NaN or +inf; look at the features and the learning rate")
    plan = torch.empty_like(logits, memory_format=torch.contiguous_format)
    # the samples' scalings start at 1/N, the plan's are 1/N times the exponential of these: their ratio to the start
    change = float(torch.expm1(_fill_plan(plan, logits, power, prices)).abs().sum())
    rows, columns = torch.ones_like(logits[:, 0]), torch.ones_like(prices)
    for iteration in range(1, max_iterations):
        if change <= tolerance:
            break
        columns = (count / clusters) / (rows @ plan)
        scaled = (plan @ columns).reciprocal_()
        if iteration % 10 == 0:
            change = float((rows / scaled - 1).abs().sum())
        rows = scaled
        if float(columns.log().abs().max()) > drift:
            prices += columns.log()
            _fill_plan(plan, logits, power, prices)
            rows, columns = torch.ones_like(rows), torch.ones_like(columns)
    # scaled in place: logits so large that prices next to them have lost their digits still give balanced columns
    plan.mul_(columns)
    return plan.div_(plan.sum(dim=1, keepdim=True))


@at_least_float32
def pair_likelihood(similarity: Tensor, pairs: Tensor) -> Tensor:
    """Negative log-likelihood of marked pairs under row-normalised similarities (CoDT's ℓ).

    With ``R̄ = R / Σ_j R_ij``, R clamped to [1e-8, 1 - 1e-8]: ``-(1/n) Σ_i [Σ_j G_ij log R̄_ij / Σ_j G_ij]``. The self
    pair counts. The minimum is ``(1/n) Σ_i log m_i`` with m_i the pairs of row i; equal similarities give log n.

    Args:
        similarity: (n, n) in [0, 1], as p_i·p_j or the cosine of non-negative features; carries the gradient.
        pairs: (n, n) bool G, constant; every row marks itself.

    Returns:
        Scalar.

    Raises:
        ConfigError: shapes differ or are not square.
    """
    if similarity.dim() != 2 or similarity.shape[0] != similarity.shape[1] or similarity.shape != pairs.shape:
        raise ConfigError(f"similarity {tuple(similarity.shape)} and pairs {tuple(pairs.shape)} must both be (n, n)")
    bounded = similarity.clamp(_SMALLEST, 1 - _SMALLEST)
    log_share = bounded.log() - bounded.sum(dim=1, keepdim=True).log()
    marks = pairs.to(log_share.dtype)
    return -((marks * log_share).sum(dim=1) / marks.sum(dim=1)).mean()


@at_least_float32
def pair_consistency(logits: Tensor, other_labels: Tensor) -> Tensor:
    """One direction of CoDT's cross-branch consistency: samples that the other branch clusters together agree.

    :func:`pair_likelihood` of the similarities ``p_i·p_j``, p = softmax(logits), for the pairs with equal labels. It
    does not change when either branch renames its clusters. CoDT adds both directions.

    Args:
        logits: (n, K) of this branch; the gradient reaches both members of every pair.
        other_labels: (n,) hard pseudo-labels of the other branch, constants; or the pairs themselves, (n, n) bool,
            as :func:`rank_statistics_pairs` gives them (variant CCM-FP).

    Returns:
        Scalar.

    Raises:
        ConfigError: labels do not fit the logits.
    """
    prediction = torch.softmax(logits, dim=1)
    pairs = other_labels if other_labels.dim() == 2 else other_labels[:, None] == other_labels[None, :]
    return pair_likelihood(prediction @ prediction.T, pairs)


def rank_statistics_pairs(features: Tensor, *, k: int = 5) -> Tensor:
    """Pairs of samples whose k largest features by magnitude are the same ones (Han et al., ICLR 2020; CoDT's CCM-FP).

    Args:
        features: (n, d).
        k: number of features that are compared; their order among themselves does not matter. Among equal magnitudes
            the lower index comes first.

    Returns:
        (n, n) bool, constant, symmetric with a true diagonal.

    Raises:
        ConfigError: ``k`` is not in 1..d.
    """
    width = features.shape[1]
    if not 1 <= k <= width:
        raise ConfigError(f"k is {k}, but it must lie in 1..{width}, the number of features")
    top = features.detach().abs().argsort(dim=1, descending=True, stable=True)[:, :k]
    member = torch.zeros(features.shape, device=features.device).scatter_(1, top, 1.0)
    return member @ member.T == k
