"""Distillation between modalities: contrastive, divergence and adversarial terms.

Every function takes one batch, (B, …), or a stack of independent batches with leading axes, (…, B, …), and returns one
value per batch. ``rows`` (…, B) says which rows count: a row that lacks a modality takes no part, and the numbers of
positives and negatives are those of the other rows. Where no row counts the value is 0 with zero gradient.

AMID is M. Chen, L. Xing, Y. Wang, Y. Zhang: "Enhanced Multimodal Representation Learning with Cross-modal KD", CVPR
2023, https://arxiv.org/abs/2306.07646.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from motet.core.errors import ConfigError
from motet.core.text import counted
from motet.losses._precision import at_least_float32
from motet.losses._rows import NEVER, every, mean, same_class, total, unit


def _log_complement(logits: Tensor) -> Tensor:
    """log(1 - softmax) of rows of two or more logits, exact where the softmax saturates.

    Every entry but the largest is at most one half, where log1p is safe; for the largest, 1 - h is the share of the
    others, a log-sum-exp without it.
    """
    whole = torch.logsumexp(logits, dim=-1, keepdim=True)
    largest = torch.zeros_like(logits, dtype=torch.bool).scatter_(-1, logits.argmax(dim=-1, keepdim=True), True)
    others = torch.logsumexp(logits.masked_fill(largest, NEVER), dim=-1, keepdim=True) - whole
    # masked before the logarithm as well: an infinity in the branch not taken would make the gradient NaN
    share = (logits - whole).masked_fill(largest, NEVER).exp()
    return torch.where(largest, others, torch.log1p(-share))


@at_least_float32
def class_contrast(
    anchors: Tensor,
    candidates: Tensor,
    labels: Tensor,
    *,
    temperature: float = 0.5,
    reduction: str = "paper",
    rows: Tensor | None = None,
) -> Tensor:
    """Contrastive bound of mutual information with rows of the same class as positives (AMID, Eq. 7-9).

    ``h_iu`` is the softmax over the batch's candidates of ``cos(anchor_i, candidate_u) / τ``. With positives P_i (same
    label, the own instance among them) and negatives N_i (the rest):

    - ``"paper"``: ``(1/B) Σ_i [-Σ_{P_i} log h_ij - Σ_{N_i} log(1 - h_il)]``. Sums: the value grows with the number of
      positives k, and its weight must be tuned to the batch. It is never below ``(1/B) Σ_i k_i log k_i``.
    - ``"nce"``: both inner sums are means (CCL, Chen et al., CVPR 2021, https://arxiv.org/abs/2104.10955).

    Source: AMID, CVPR 2023, Eq. 7 (h), Eq. 8 (teacher and student), Eq. 9 (teacher and auxiliary),
    https://arxiv.org/abs/2306.07646.

    Args:
        anchors: (…, B, D), the teacher's rows, of any length; carry gradient.
        candidates: (…, B, D), the student's (Eq. 8) or the auxiliary's rows (Eq. 9); carry gradient.
        labels: (…, B) classes.
        temperature: τ.
        reduction: "paper" or "nce".
        rows: (…, B) bool, the rows that count, as anchors and as candidates; all by default.

    Returns:
        (…), a scalar for one batch; 0 with zero gradient where fewer than two rows count.

    Raises:
        ConfigError: an unknown reduction, or shapes that do not fit.
    """
    if reduction not in ("paper", "nce"):
        raise ConfigError(f"reduction is {reduction!r}; choose 'paper' (sums) or 'nce' (means)")
    if anchors.shape != candidates.shape or labels.shape != anchors.shape[:-1]:
        shapes = [tuple(tensor.shape) for tensor in (anchors, candidates, labels)]
        raise ConfigError(f"anchors, candidates and labels are {shapes}; need (B, D), (B, D) and (B,)")
    if anchors.shape[-2] < 2:
        return (anchors.sum(dim=(-2, -1)) + candidates.sum(dim=(-2, -1))) * 0
    rows = every(labels, rows)
    same = same_class(labels, rows)
    other = rows[..., :, None] & rows[..., None, :] & ~same
    logits = unit(anchors) @ unit(candidates).transpose(-1, -2) / temperature
    logits = logits.masked_fill(~rows[..., None, :], NEVER)
    positive = total(torch.log_softmax(logits, dim=-1), same)
    negative = total(_log_complement(logits), other)
    if reduction == "nce":
        positive = positive / same.sum(dim=-1).clamp_min(1)
        negative = negative / other.sum(dim=-1).clamp_min(1)
    return -mean(positive + negative, rows & (rows.sum(dim=-1, keepdim=True) > 1))


def _log_probabilities(logits_p: Tensor, logits_q: Tensor) -> tuple[Tensor, Tensor]:
    if logits_p.shape != logits_q.shape:
        raise ConfigError(f"logits are {tuple(logits_p.shape)} and {tuple(logits_q.shape)}; they must have one shape")
    return torch.log_softmax(logits_p, dim=-1), torch.log_softmax(logits_q, dim=-1)


@at_least_float32
def jensen_shannon(logits_p: Tensor, logits_q: Tensor, *, rows: Tensor | None = None) -> Tensor:
    """Jensen-Shannon divergence of two rows of class logits, mean over the batch (AMID, Eq. 15).

    ``½ KL(p‖m) + ½ KL(q‖m)`` with m = (p + q)/2; symmetric, in [0, log 2].

    Source: AMID, CVPR 2023, Eq. 15, https://arxiv.org/abs/2306.07646; the divergence is J. Lin, IEEE Transactions on
    Information Theory 37(1), 1991, https://doi.org/10.1109/18.61115.

    Args:
        logits_p, logits_q: (…, B, C); both carry gradient.
        rows: (…, B) bool, the rows that count; all by default.

    Returns:
        (…), a scalar for one batch.

    Raises:
        ConfigError: shapes differ.
    """
    log_p, log_q = _log_probabilities(logits_p, logits_q)
    # log(p/m) = log 2 + log sigmoid(log p - log q): no difference of large logarithms
    to_p = log_p.exp() * (math.log(2) + logsigmoid(log_p - log_q))
    to_q = log_q.exp() * (math.log(2) + logsigmoid(log_q - log_p))
    divergence = (to_p + to_q).sum(dim=-1) / 2
    return mean(divergence, every(divergence, rows))


@at_least_float32
def jeffreys(logits_p: Tensor, logits_q: Tensor, *, rows: Tensor | None = None) -> Tensor:
    """``½ (KL(p‖q) + KL(q‖p))``, which CCL's released code calls Jensen-Shannon; near p = q four times that.

    Source: H. Jeffreys, Proceedings of the Royal Society A 186, 1946, https://doi.org/10.1098/rspa.1946.0056; in CCL
    (Chen et al., CVPR 2021), https://arxiv.org/abs/2104.10955. Arguments and errors as :func:`jensen_shannon`.
    """
    log_p, log_q = _log_probabilities(logits_p, logits_q)
    divergence = ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(dim=-1) / 2
    return mean(divergence, every(divergence, rows))


@at_least_float32
def softened_answers(student: Tensor, teacher: Tensor, temperature: float, *, rows: Tensor | None = None) -> Tensor:
    """``T² KL(teacher ‖ student)`` of logits softened by T, mean over the batch; no gradient to the teacher.

    Source: G. Hinton, O. Vinyals, J. Dean: "Distilling the Knowledge in a Neural Network", 2015, §2,
    https://arxiv.org/abs/1503.02531.

    Args:
        student, teacher: (…, B, C) logits.
        temperature: T.
        rows: (…, B) bool, the rows that count; all by default.

    Returns:
        (…), a scalar for one batch.

    Raises:
        ConfigError: shapes differ.
    """
    log_p, log_q = _log_probabilities(teacher.detach() / temperature, student / temperature)
    divergence = (log_p.exp() * (log_p - log_q)).sum(dim=-1)
    return temperature**2 * mean(divergence, every(divergence, rows))


@at_least_float32
def cross_entropy(logits: Tensor, labels: Tensor, *, rows: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of (…, B, C) logits over the rows that count."""
    chosen = torch.log_softmax(logits, dim=-1).gather(-1, labels[..., None]).squeeze(-1)
    return -mean(chosen, every(chosen, rows))


def _weighted(
    fundamental: Tensor,
    enhanced: Tensor,
    weights: Tensor,
    denominator: float | Tensor | None,
    rows: Tensor | None,
    repeated: Tensor | None,
) -> Tensor:
    """λ1 · mean(fundamental) + λ2 · sum(enhanced) / d; an empty tensor contributes 0."""
    if weights.ndim < 1 or weights.shape[-1] != 2:
        raise ConfigError(
            f"there are {counted(weights.shape[-1] if weights.ndim else 1, 'weight')}; need two, of the fundamental "
            f"and the enhanced critic"
        )
    if isinstance(denominator, int | float) and not denominator > 0:
        raise ConfigError(f"denominator is {denominator}; it must be above 0, or None for the number of rows")
    repeated = every(enhanced, repeated)
    divisor = repeated.sum(dim=-1).clamp_min(1) if denominator is None else denominator
    divisor = divisor.to(enhanced) if isinstance(divisor, Tensor) and divisor.is_floating_point() else divisor
    share = weights.detach().to(fundamental)
    return (
        share[..., 0] * mean(fundamental, every(fundamental, rows))
        + share[..., 1] * total(enhanced, repeated) / divisor
    )


@at_least_float32
def adversarial_student(
    fundamental_student: Tensor,
    enhanced_student: Tensor,
    weights: Tensor,
    *,
    denominator: float | Tensor | None = None,
    rows: Tensor | None = None,
    repeated: Tensor | None = None,
) -> Tensor:
    """What the student minimises against the critics, ``-log D(S)`` of both (AMID, Eq. 12, non-saturating).

    ``λ1 mean_i softplus(-ℓ1(S_i)) + (λ2/d) Σ_v softplus(-ℓ2(S_v))``, ℓ the critics' raw logits. At D ≡ 1/2 and
    d = w it is (λ1 + λ2) log 2.

    Source: AMID, CVPR 2023, Eq. 12, https://arxiv.org/abs/2306.07646.

    Args:
        fundamental_student: (…, B) logits of the fundamental critic; carry gradient.
        enhanced_student: (…, w) logits of the enhanced critic, for rows whose class occurs again in the batch; may be
            empty.
        weights: (2,) or (…, 2) λ, constants.
        denominator: d, one number or (…) of them; None is w.
        rows: (…, B) bool, the rows that count for the fundamental critic; all by default.
        repeated: (…, w) bool, the rows that count for the enhanced one, all by default; then w is their number.

    Returns:
        (…), a scalar for one batch. Its gradient also reaches the critics' parameters, where it must not be applied.

    Raises:
        ConfigError: not two weights, or a denominator that is not positive.
    """
    enhanced = softplus(-enhanced_student)
    return _weighted(softplus(-fundamental_student), enhanced, weights, denominator, rows, repeated)


@at_least_float32
def adversarial_critic(
    fundamental_teacher: Tensor,
    fundamental_student: Tensor,
    enhanced_teacher: Tensor,
    enhanced_student: Tensor,
    weights: Tensor,
    *,
    denominator: float | Tensor | None = None,
    rows: Tensor | None = None,
    repeated: Tensor | None = None,
) -> Tensor:
    """What the critics minimise: 1 on the teacher, 0 on the student (AMID, Eq. 13).

    ``λ1 mean_i [softplus(-ℓ1(M_i)) + softplus(ℓ1(S_i))] + (λ2/d) Σ_v [softplus(-ℓ2(M_v)) + softplus(ℓ2(S_v))]``.
    At D ≡ 1/2 and d = w it is 2 (λ1 + λ2) log 2.

    Source: AMID, CVPR 2023, Eq. 13, https://arxiv.org/abs/2306.07646.

    Args:
        fundamental_teacher, fundamental_student: (…, B) logits of the fundamental critic, of detached features.
        enhanced_teacher, enhanced_student: (…, w) logits of the enhanced critic, likewise; may be empty.
        weights, denominator, rows, repeated: as of :func:`adversarial_student`.

    Returns:
        (…), a scalar for one batch; its gradient is for the critics alone.

    Raises:
        ConfigError: teacher's and student's logits differ in shape; as :func:`adversarial_student`.
    """
    for teacher, student in ((fundamental_teacher, fundamental_student), (enhanced_teacher, enhanced_student)):
        if teacher.shape != student.shape:
            raise ConfigError(
                f"a critic's logits are {tuple(teacher.shape)} and {tuple(student.shape)}; need one shape"
            )
    fundamental = softplus(-fundamental_teacher) + softplus(fundamental_student)
    enhanced = softplus(-enhanced_teacher) + softplus(enhanced_student)
    return _weighted(fundamental, enhanced, weights, denominator, rows, repeated)
