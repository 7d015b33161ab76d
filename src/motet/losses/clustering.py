"""Balanced pseudo-labels and pair consistency between two clusterings.

CoDT, Liu and Wang, "Collaborating Domain-shared and Target-specific Feature Clustering for Cross-domain 3D Action
Recognition", ECCV 2022, https://arxiv.org/abs/2207.09767. Numbers of equations are those of its supplement.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, overload

import torch
from torch import Tensor

from motet.core.errors import ConfigError
from motet.losses._precision import at_least_float32

_SMALLEST = 1e-8  # similarities of predictions are kept this far from 0 and 1
# entries of a kernel below the first number are zero, and it is made again when scalings have moved by e to the second:
# denormal numbers are slow, and products stay within the range of the type
_RANGE = {torch.float32: (1e-30, 20.0), torch.float64: (1e-250, 150.0)}


class Plan(NamedTuple):
    """A transport plan in factored form, Q = row-softmax(M + g) with M = ξ log p up to a constant of each row.

    Attributes:
        logits: (N, K) M.
        scalings: (K,) g, logarithms of the clusters' scalings; a warm start for the next plan.
        iterations: how many were made.
    """

    logits: Tensor
    scalings: Tensor
    iterations: int

    def rows(self, index: Tensor | None = None) -> Tensor:
        """(n, K) rows of Q, which sum to one; all of them by default."""
        chosen = self.logits if index is None else self.logits[index]
        return torch.softmax(chosen + self.scalings, dim=1)

    def labels(self, index: Tensor | None = None) -> Tensor:
        """(n,) int64 hard labels, argmax of Q."""
        chosen = self.logits if index is None else self.logits[index]
        return (chosen + self.scalings).argmax(dim=1)


@overload
def balanced_assignment(
    logits: Tensor,
    *,
    power: float = ...,
    max_iterations: int = ...,
    tolerance: float = ...,
    marginals: Tensor | None = ...,
    relaxation: float = ...,
    warm_start: Tensor | None = ...,
    return_plan: Literal[False] = ...,
) -> Tensor: ...


@overload
def balanced_assignment(
    logits: Tensor,
    *,
    power: float = ...,
    max_iterations: int = ...,
    tolerance: float = ...,
    marginals: Tensor | None = ...,
    relaxation: float = ...,
    warm_start: Tensor | None = ...,
    return_plan: Literal[True],
) -> Plan: ...


@torch.no_grad()
@at_least_float32
def balanced_assignment(
    logits: Tensor,
    *,
    power: float = 10.0,
    max_iterations: int = 100,
    tolerance: float = 1e-2,
    marginals: Tensor | None = None,
    relaxation: float = 1.0,
    warm_start: Tensor | None = None,
    return_plan: bool = False,
) -> Tensor | Plan:
    """Soft assignment of N samples to K clusters of (nearly) equal size, by optimal transport.

    CoDT's online clustering module (supplement, Eqs. 1-11; after Asano et al., ICLR 2020,
    https://arxiv.org/abs/1911.05371): the entropic transport plan between uniform marginals at the cost
    ``-log softmax(logits)`` and regularisation 1/ξ, ``Q = N diag(v) P^ξ diag(u)``. Sinkhorn's algorithm scales the
    clusters, then the samples, at most ``max_iterations`` times; after iterations 1, 11, 21, … it stops if the samples'
    scalings changed by ``Σ_n |v_n / v'_n - 1| ≤ tolerance``. Rows are therefore exact, columns sum to N/K up to the
    tolerance.

    The iterates are those of the power form, taken in logarithms, ``g = β (log r - LSE_n(M + f))`` and
    ``f = -log N - LSE_k(M + g)`` with ``M = ξ log softmax(logits)``. The kernel is kept with the scalings absorbed into
    it and made again when they have drifted, so a half-step is a product instead of a log-sum-exp.

    Args:
        logits: (N, K), any range; -inf is allowed. A constant added to a row changes nothing.
        power: ξ, an inverse temperature; larger is closer to the unregularised, exactly balanced assignment.
        max_iterations: bound on the number of iterations, at least 1.
        tolerance: of the stopping rule.
        marginals: (K,) positive sizes r of the clusters, sum 1; equal by default.
        relaxation: β in (0, 1]; 1 enforces the sizes, less charges for departing from them (unbalanced transport,
            Chizat et al., Math. Comp. 2018, https://arxiv.org/abs/1607.05816): sizes go as r^β against what the logits
            say.
        warm_start: (K,) scalings of an earlier plan (:attr:`Plan.scalings`) to begin at; the stopping rule is then
            tested at every iteration.
        return_plan: return the :class:`Plan`, of which a few rows can be read without making all.

    Returns:
        (N, K), a constant, at least float32; rows sum to one. Or the :class:`Plan`.

    Raises:
        ConfigError: ``logits`` is not a non-empty matrix or has NaN, or an option is out of range.
    """
    if logits.dim() != 2 or logits.numel() == 0:
        raise ConfigError(f"logits are {tuple(logits.shape)}, but (N, K) with at least one row and column is needed")
    if max_iterations < 1 or power <= 0 or not 0 < relaxation <= 1:
        raise ConfigError(
            f"max_iterations is {max_iterations}, power {power} and relaxation {relaxation}; need at least 1, above 0 "
            "and in (0, 1]"
        )
    count, clusters = logits.shape
    if marginals is not None and (len(marginals) != clusters or not bool((marginals > 0).all())):
        raise ConfigError(f"marginals must be {clusters} positive numbers")
    wanted = torch.full_like(logits[0], -math.log(clusters)) if marginals is None else marginals.to(logits).log()
    # the constant of a row only enters the samples' first scalings, which a warm start does not need
    kernel = torch.log_softmax(logits, dim=1) if warm_start is None else logits
    kernel = (kernel * power).clamp_min_(-power / torch.finfo(kernel.dtype).eps)
    small, drift = _RANGE[kernel.dtype]
    change, made, scalings = math.inf, 0, warm_start
    if scalings is None:
        scalings = relaxation * (wanted - _column_sums(kernel) + math.log(count))
        made = 1
    absorbed = scalings
    share, rows = _absorbed(kernel, absorbed, small)
    if warm_start is None:  # the samples' scalings start at 1/N each; where a few have changed enough, so have all
        for some in (64, count):
            change = float((kernel[:some] + absorbed).logsumexp(dim=1).expm1_().abs_().sum())
            if change > tolerance:
                break
    while made < max_iterations and change > tolerance:
        made += 1
        mass = (share.T @ rows).clamp_min_(small)  # a product from the left would copy the matrix
        scalings = relaxation * (wanted + math.log(count) - mass.log_() + absorbed)
        factor = (scalings - absorbed).clamp_(-drift, drift)
        before, rows = rows, (share @ factor.exp()).reciprocal_()
        if warm_start is not None or made % 10 == 1:
            change = float((before / rows - 1).abs().sum())
        if float((scalings - absorbed).abs().max()) > 0.75 * drift:
            absorbed = scalings
            share, rows = _absorbed(kernel, absorbed, small)
    if not bool(scalings.isfinite().all()):
        raise ConfigError("logits hold NaN or infinity; look at the features and the learning rate")
    if return_plan:
        return Plan(kernel, scalings, made)
    # scaled in place: logits so large that scalings next to them have lost their digits still give balanced columns
    share.mul_((scalings - absorbed).exp_())
    return share.div_(share.sum(dim=1, keepdim=True))


def _column_sums(kernel: Tensor) -> Tensor:
    """(K,) log-sum-exp over the rows; what adds nothing is cut where exp would be slow with denormal numbers."""
    largest = kernel
    while len(largest) > 16:  # by halves: a maximum over rows is slow in torch
        half = (len(largest) + 1) // 2
        largest = torch.maximum(largest[:half], largest[-half:])
    largest = largest.amax(dim=0)
    return (kernel - largest).clamp_min_(-80).exp_().sum(dim=0).log_() + largest


def _absorbed(kernel: Tensor, scalings: Tensor, small: float) -> tuple[Tensor, Tensor]:
    """The kernel with the clusters' and the samples' scalings absorbed, (N, K) with rows that sum to one; ones (N,)."""
    share = torch.softmax(kernel + scalings, dim=1)
    return torch.threshold_(share, small, 0.0), torch.ones_like(share[:, 0])


@at_least_float32
def pair_likelihood(similarity: Tensor, pairs: Tensor) -> Tensor:
    """Negative log-likelihood of marked pairs under row-normalised similarities.

    The ℓ of CoDT's consistency L_cot (Liu and Wang, ECCV 2022, https://arxiv.org/abs/2207.09767), also of cosines of
    features (CCM-PF, supplement, section 5.2). With ``R̄ = R / Σ_j R_ij``, R clamped to [1e-8, 1 - 1e-8]:
    ``-(1/n) Σ_i [Σ_j G_ij log R̄_ij / Σ_j G_ij]``. The self pair counts. The minimum is ``(1/n) Σ_i log m_i`` with m_i
    the pairs of row i; equal similarities give log n.

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

    One term of L_cot (Liu and Wang, ECCV 2022, https://arxiv.org/abs/2207.09767; supplement, section 5.1):
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
    """Pairs of samples whose k largest features by magnitude are the same ones.

    Pair labels s_ij by ranking statistics (AutoNovel, Han et al., ICLR 2020, https://arxiv.org/abs/2002.05714); CoDT's
    CCM-FP (supplement, section 5.2, https://arxiv.org/abs/2207.09767) takes them from the other branch.

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
