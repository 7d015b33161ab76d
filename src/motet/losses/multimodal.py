"""Distillation between modalities: contrastive, divergence and adversarial terms (AMID, CVPR 2023)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from motet.core.errors import ConfigError
from motet.losses._precision import at_least_float32


def _unit(rows: Tensor) -> Tensor:
    """Rows of length one; a row of zeros has no direction: it stays zero and gets no gradient."""
    length = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return torch.where(length > 1e-12, rows / length.clamp_min(1e-12), 0.0)


def _log_complement(logits: Tensor) -> Tensor:
    """log(1 - softmax) of rows of two or more logits, exact where the softmax saturates.

    Every entry but the largest is at most one half, where log1p is safe; for the largest, 1 - h is the share of the
    others, a log-sum-exp without it.
    """
    total = torch.logsumexp(logits, dim=1, keepdim=True)
    largest = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, logits.argmax(dim=1, keepdim=True), True)
    others = torch.logsumexp(logits.masked_fill(largest, -math.inf), dim=1, keepdim=True) - total
    # masked before the logarithm as well: an infinity in the branch not taken would make the gradient NaN
    share = (logits - total).masked_fill(largest, -math.inf).exp()
    return torch.where(largest, others, torch.log1p(-share))


@at_least_float32
def class_contrast(
    anchors: Tensor, candidates: Tensor, labels: Tensor, *, temperature: float = 0.5, reduction: str = "paper"
) -> Tensor:
    """Contrastive bound of mutual information with class-mates as positives (AMID, Eq. 7-9).

    ``h_iu`` is the softmax over the batch's candidates of ``cos(anchor_i, candidate_u) / τ``. With positives P_i (same
    label, the own instance among them) and negatives N_i (the rest):

    - ``"paper"``: ``(1/B) Σ_i [-Σ_{P_i} log h_ij - Σ_{N_i} log(1 - h_il)]``. Sums: the value grows with the number of
      class-mates k, and its weight must be tuned to the batch. It is never below ``(1/B) Σ_i k_i log k_i``.
    - ``"nce"``: both inner sums are means (CCL, Chen et al., CVPR 2021).

    Args:
        anchors: (B, D), the teacher's rows, of any length; carry gradient.
        candidates: (B, D), the student's (Eq. 8) or the auxiliary's rows (Eq. 9); carry gradient.
        labels: (B,) classes.
        temperature: τ.
        reduction: "paper" or "nce".

    Returns:
        Scalar; 0 with zero gradient for a batch of fewer than two rows.

    Raises:
        ConfigError: an unknown reduction, or shapes that do not fit.
    """
    if reduction not in ("paper", "nce"):
        raise ConfigError(f"reduction is {reduction!r}; choose 'paper' (sums) or 'nce' (means)")
    if anchors.shape != candidates.shape or len(labels) != len(anchors):
        shapes = [tuple(tensor.shape) for tensor in (anchors, candidates, labels)]
        raise ConfigError(f"anchors, candidates and labels are {shapes}; need (B, D), (B, D) and (B,)")
    if len(anchors) < 2:
        return (anchors.sum() + candidates.sum()) * 0
    logits = _unit(anchors) @ _unit(candidates).T / temperature
    same = labels[:, None] == labels[None, :]
    positive = torch.log_softmax(logits, dim=1).masked_fill(~same, 0).sum(dim=1)
    negative = _log_complement(logits).masked_fill(same, 0).sum(dim=1)
    if reduction == "nce":
        positive = positive / same.sum(dim=1)
        negative = negative / (~same).sum(dim=1).clamp_min(1)
    return -(positive + negative).mean()


@at_least_float32
def jensen_shannon(logits_p: Tensor, logits_q: Tensor) -> Tensor:
    """Jensen-Shannon divergence of two rows of class logits, mean over the batch (AMID, Eq. 15; Lin 1991).

    ``½ KL(p‖m) + ½ KL(q‖m)`` with m = (p + q)/2; symmetric, in [0, log 2].

    Args:
        logits_p, logits_q: (B, C); both carry gradient.

    Returns:
        Scalar.

    Raises:
        ConfigError: shapes differ.
    """
    if logits_p.shape != logits_q.shape:
        raise ConfigError(f"logits are {tuple(logits_p.shape)} and {tuple(logits_q.shape)}; they must have one shape")
    log_p, log_q = torch.log_softmax(logits_p, dim=1), torch.log_softmax(logits_q, dim=1)
    # log(p/m) = log 2 + log sigmoid(log p - log q): no difference of large logarithms
    to_p = log_p.exp() * (math.log(2) + logsigmoid(log_p - log_q))
    to_q = log_q.exp() * (math.log(2) + logsigmoid(log_q - log_p))
    return (to_p + to_q).sum(dim=1).mean() / 2


def _weighted(fundamental: Tensor, enhanced: Tensor, weights: Tensor, denominator: float | None) -> Tensor:
    """λ1 · mean(fundamental) + λ2 · sum(enhanced) / d; an empty tensor contributes 0."""
    if len(weights) != 2:
        raise ConfigError(f"there are {len(weights)} weights; need two, of the fundamental and the enhanced critic")
    if denominator is not None and not denominator > 0:
        raise ConfigError(f"denominator is {denominator}; it must be above 0, or None for the number of rows")
    divisor = max(enhanced.numel(), 1) if denominator is None else denominator
    share = weights.detach().to(fundamental)
    return share[0] * fundamental.sum() / max(fundamental.numel(), 1) + share[1] * enhanced.sum() / divisor


@at_least_float32
def adversarial_student(
    fundamental_student: Tensor, enhanced_student: Tensor, weights: Tensor, *, denominator: float | None = None
) -> Tensor:
    """What the student minimises against the critics, ``-log D(S)`` of both (AMID, Eq. 12, non-saturating).

    ``λ1 mean_i softplus(-ℓ1(S_i)) + (λ2/d) Σ_v softplus(-ℓ2(S_v))``, ℓ the critics' raw logits. At D ≡ 1/2 and
    d = w it is (λ1 + λ2) log 2.

    Args:
        fundamental_student: (B,) logits of the fundamental critic; carry gradient.
        enhanced_student: (w,) logits of the enhanced critic, for rows with a class-mate in the batch; may be empty.
        weights: (2,) λ, constants.
        denominator: d; None is w.

    Returns:
        Scalar. Its gradient also reaches the critics' parameters, where it must not be applied.

    Raises:
        ConfigError: not two weights, or a denominator that is not positive.
    """
    return _weighted(-logsigmoid(fundamental_student), -logsigmoid(enhanced_student), weights, denominator)


@at_least_float32
def adversarial_critic(
    fundamental_teacher: Tensor,
    fundamental_student: Tensor,
    enhanced_teacher: Tensor,
    enhanced_student: Tensor,
    weights: Tensor,
    *,
    denominator: float | None = None,
) -> Tensor:
    """What the critics minimise: 1 on the teacher, 0 on the student (AMID, Eq. 13).

    ``λ1 mean_i [softplus(-ℓ1(M_i)) + softplus(ℓ1(S_i))] + (λ2/d) Σ_v [softplus(-ℓ2(M_v)) + softplus(ℓ2(S_v))]``.
    At D ≡ 1/2 and d = w it is 2 (λ1 + λ2) log 2.

    Args:
        fundamental_teacher, fundamental_student: (B,) logits of the fundamental critic, of detached features.
        enhanced_teacher, enhanced_student: (w,) logits of the enhanced critic, likewise; may be empty.
        weights: (2,) λ, constants.
        denominator: d; None is w.

    Returns:
        Scalar; its gradient is for the critics alone.

    Raises:
        ConfigError: teacher's and student's logits differ in shape; as :func:`adversarial_student`.
    """
    for teacher, student in ((fundamental_teacher, fundamental_student), (enhanced_teacher, enhanced_student)):
        if teacher.shape != student.shape:
            raise ConfigError(
                f"a critic's logits are {tuple(teacher.shape)} and {tuple(student.shape)}; need one shape"
            )
    fundamental = -logsigmoid(fundamental_teacher) - logsigmoid(-fundamental_student)
    enhanced = -logsigmoid(enhanced_teacher) - logsigmoid(-enhanced_student)
    return _weighted(fundamental, enhanced, weights, denominator)
