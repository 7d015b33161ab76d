"""Equations of distillation for many lanes at once, on the rows that have every modality.

The same equations as :mod:`motet.losses.multimodal`, for batches (G, B, …) of G independent lanes, and with a mask: a
row that lacks an auxiliary modality takes no part, and numbers of positives, negatives and class-mates are those of
the other rows. Every function returns one value per lane, (G,), 0 with zero gradient where no row is left.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from motet.core.errors import ConfigError

_OUT = -1e30  # stands for minus infinity in a logit: it has a gradient, zero


def unit(rows: Tensor) -> Tensor:
    """Rows of length one along the last axis; a row of zeros stays zero and gets no gradient."""
    length = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    return torch.where(length > 1e-12, rows / length.clamp_min(1e-12), 0.0)


def mean(values: Tensor, rows: Tensor) -> Tensor:
    """(G, B) → (G,) mean over the rows (G, B) that count."""
    return values.masked_fill(~rows, 0).sum(dim=1) / rows.sum(dim=1).clamp_min(1)


def same_class(labels: Tensor, rows: Tensor) -> Tensor:
    """(G, B, B) bool: both rows count and are of one class; an instance is its own mate."""
    return (labels[:, :, None] == labels[:, None, :]) & rows[:, :, None] & rows[:, None, :]


def repeated(labels: Tensor, rows: Tensor) -> Tensor:
    """(G, B) bool: the row has a class-mate besides itself (W of AMID, §3.3)."""
    return same_class(labels, rows).sum(dim=2) > 1


def cross_entropy(logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
    """Mean cross-entropy of (G, B, C) logits."""
    chosen = torch.log_softmax(logits, dim=-1).gather(2, labels[..., None]).squeeze(2)
    return -mean(chosen, rows)


def _log_complement(logits: Tensor) -> Tensor:
    """log(1 - softmax), exact where it saturates; see :mod:`motet.losses.multimodal`."""
    total = torch.logsumexp(logits, dim=-1, keepdim=True)
    largest = torch.zeros_like(logits, dtype=torch.bool).scatter_(-1, logits.argmax(dim=-1, keepdim=True), True)
    others = torch.logsumexp(logits.masked_fill(largest, _OUT), dim=-1, keepdim=True) - total
    share = (logits - total).masked_fill(largest, _OUT).exp()
    return torch.where(largest, others, torch.log1p(-share))


def class_contrast(
    anchors: Tensor, candidates: Tensor, labels: Tensor, rows: Tensor, *, temperature: float, reduction: str
) -> Tensor:
    """:func:`motet.losses.class_contrast` of every lane (AMID, Eq. 7-9): (G, B, D), (G, B, D), (G, B), (G, B) → (G,).

    A lane of fewer than two rows gives 0.
    """
    same = same_class(labels, rows)
    other = rows[:, :, None] & rows[:, None, :] & ~same
    logits = unit(anchors) @ unit(candidates).transpose(1, 2) / temperature
    logits = logits.masked_fill(~rows[:, None, :], _OUT)
    positive = torch.log_softmax(logits, dim=-1).masked_fill(~same, 0).sum(dim=2)
    negative = _log_complement(logits).masked_fill(~other, 0).sum(dim=2)
    if reduction == "nce":
        positive = positive / same.sum(dim=2).clamp_min(1)
        negative = negative / other.sum(dim=2).clamp_min(1)
    return -mean(positive + negative, rows & (rows.sum(dim=1, keepdim=True) > 1))


def jensen_shannon(first: Tensor, second: Tensor, rows: Tensor) -> Tensor:
    """:func:`motet.losses.jensen_shannon` of every lane (AMID, Eq. 15)."""
    log_p, log_q = torch.log_softmax(first, dim=-1), torch.log_softmax(second, dim=-1)
    to_p = log_p.exp() * (math.log(2) + logsigmoid(log_p - log_q))
    to_q = log_q.exp() * (math.log(2) + logsigmoid(log_q - log_p))
    return mean((to_p + to_q).sum(dim=-1) / 2, rows)


def jeffreys(first: Tensor, second: Tensor, rows: Tensor) -> Tensor:
    """½ (KL(p‖q) + KL(q‖p)), which CCL's code calls Jensen-Shannon; near p = q four times that."""
    log_p, log_q = torch.log_softmax(first, dim=-1), torch.log_softmax(second, dim=-1)
    return mean(((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(dim=-1) / 2, rows)


def softened(student: Tensor, teacher: Tensor, rows: Tensor, temperature: float) -> Tensor:
    """T² KL(teacher ‖ student) of logits softened by T (Hinton et al. 2015); no gradient to the teacher."""
    log_p = torch.log_softmax(teacher.detach() / temperature, dim=-1)
    log_q = torch.log_softmax(student / temperature, dim=-1)
    return temperature**2 * mean((log_p.exp() * (log_p - log_q)).sum(dim=-1), rows)


def adversarial(
    fundamental: Tensor, enhanced: Tensor, weights: Tensor, rows: Tensor, mates: Tensor, denominator: float | None
) -> Tensor:
    """λ1 mean(fundamental over ``rows``) + λ2 Σ(enhanced over ``mates``) / d (AMID, Eq. 12 and 13).

    Args:
        fundamental, enhanced: (G, B) row losses.
        weights: (G, 2) λ.
        rows, mates: (G, B) rows that count for each.
        denominator: d; None is the number of ``mates``.
    """
    if denominator is not None and not denominator > 0:
        raise ConfigError(f"denominator is {denominator}; it must be above 0")
    share = weights.to(fundamental)
    total = enhanced.masked_fill(~mates, 0).sum(dim=1)
    divisor = mates.sum(dim=1).clamp_min(1) if denominator is None else denominator
    return share[:, 0] * mean(fundamental, rows) + share[:, 1] * total / divisor


def cosine_sums(teacher: Tensor, student: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
    """What the dynamic weights are made of (AMID, Eq. 14), float64 (G, 6), without gradient.

    Sum and number of cos(M_i, S_i); of cos(M_v, S_u) over ordered pairs of one class, v ≠ u; and, to see a collapse,
    of cos(M_v, S_u) over pairs of different classes.
    """
    with torch.no_grad():
        cosine = (unit(teacher) @ unit(student).transpose(1, 2)).double()
        same = same_class(labels, rows)
        own = cosine.diagonal(dim1=1, dim2=2).masked_fill(~rows, 0).sum(dim=1)
        count = rows.sum(dim=1)
        mates = cosine.masked_fill(~same, 0).sum(dim=(1, 2))
        every = cosine.masked_fill(~(rows[:, :, None] & rows[:, None, :]), 0).sum(dim=(1, 2))
        pairs = same.sum(dim=(1, 2))
        found = [own, count, mates - own, pairs - count, every - mates, count * count - pairs]
        return torch.stack(found, dim=1).double()
