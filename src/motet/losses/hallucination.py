"""Hallucinated positives on the hypersphere and their alignment loss (HaLP, Shah et al., CVPR 2023).

A positive is made by walking from an anchor along a great circle towards a prototype that is not the anchor's nearest,
no further than where that prototype would become the nearer of the two. All vectors are unit vectors in D ≥ 2.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from motet.core.errors import ConfigError
from motet.losses._precision import at_least_float32


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=-1, keepdim=True)


def _reject(vector: Tensor, axis: Tensor) -> Tensor:
    """The part of ``vector`` that is orthogonal to the unit vector ``axis``."""
    return vector - _dot(vector, axis) * axis


def _arc(start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Angle in [0, π] from start to end (..., 1), and the unit tangent (..., D) at start that points to end.

    From the lengths of the chords to ``end`` and to ``-end``, so that neither small angles nor angles near π lose
    digits as they do in an arc cosine. Between equal or opposite points every direction is right: one is chosen.
    """
    chord = torch.linalg.vector_norm(end - start, dim=-1, keepdim=True)
    opposite = torch.linalg.vector_norm(end + start, dim=-1, keepdim=True)
    angle = 2 * torch.atan2(chord, opposite)
    # twice: the first difference of two nearly parallel vectors is orthogonal only up to its own rounding
    tangent = _reject(normalize(_reject(end, start), dim=-1), start)
    length = torch.linalg.vector_norm(tangent, dim=-1, keepdim=True)
    least = one_hot(start.detach().abs().argmin(dim=-1), start.shape[-1]).to(start.dtype)
    # what is left of a unit vector after the second pass is short only where the first pass left nothing but rounding
    tangent = torch.where(length > 0.5, tangent, _reject(least, start))
    return angle, normalize(tangent, dim=-1)


@at_least_float32
def slerp(start: Tensor, end: Tensor, t: Tensor | float) -> Tensor:
    """Point at the fraction ``t`` of the great circle from ``start`` to ``end`` (HaLP §3, generation step).

    Equal to ``[sin((1-t)Ω) start + sin(tΩ) end] / sin Ω`` with Ω the angle between the two, and well defined where that
    is not: coinciding points give themselves, opposite points are joined through an arbitrary but fixed direction.

    Args:
        start, end: (..., D) unit vectors; leading dimensions broadcast.
        t: fractions, one number or a tensor that broadcasts against the leading dimensions ``(...)``; a trailing
            dimension of one, ``(..., 1)``, is accepted too.

    Returns:
        (..., D) unit vectors.
    """
    angle, tangent = _arc(start, end)
    fraction = torch.as_tensor(t, dtype=angle.dtype, device=angle.device)
    if fraction.dim() < 2 or fraction.dim() < angle.dim() or fraction.shape[-1] != 1:
        fraction = fraction.unsqueeze(-1)
    turn = fraction * angle
    return torch.cos(turn) * start + torch.sin(turn) * tangent


@at_least_float32
def rank_limit(anchor: Tensor, nearest: Tensor, selected: Tensor) -> Tensor:
    """How far an anchor may walk towards ``selected`` before it is no longer nearest to ``nearest``.

    The largest t in [0, 1] for which ``slerp(anchor, selected, t)`` is at most as similar to ``selected`` as to
    ``nearest`` (the constraint of HaLP's Eq. 2, for the two prototypes concerned). With cosines a = anchor·nearest,
    b = anchor·selected, c = nearest·selected and Ω = arccos b it is ``atan2((a-b) sin Ω, (1-c) + (a-b) cos Ω) / Ω``;
    an arc tangent of the quotient would take the wrong branch where the denominator is negative. Computed from the
    difference of the two prototypes, so that close prototypes lose no digits.

    Args:
        anchor, nearest, selected: (..., D) unit vectors; leading dimensions broadcast. ``nearest`` is the prototype
            most similar to ``anchor``.

    Returns:
        (...) in [0, 1]; 1 where the two prototypes are the same point, 0 where ``selected`` is nearer from the start.
    """
    return _limit(anchor, nearest, selected, *_arc(anchor, selected))


def _limit(anchor: Tensor, nearest: Tensor, selected: Tensor, angle: Tensor, tangent: Tensor) -> Tensor:
    """:func:`rank_limit`, given the arc from anchor to selected."""
    between = nearest - selected
    limit = torch.atan2(_dot(anchor, between), -_dot(tangent, between)) / angle.clamp_min(torch.finfo(angle.dtype).tiny)
    same = torch.linalg.vector_norm(between, dim=-1, keepdim=True) == 0
    return torch.where(same, 1.0, limit.clamp(0, 1)).squeeze(-1)


@at_least_float32
def rank_filter(positives: Tensor, anchor: Tensor, prototypes: Tensor) -> Tensor:
    """Which positives still have the anchor's nearest prototype as their own (HaLP, Eq. 2; the default filter).

    Args:
        positives: (B, G, D) unit rows.
        anchor: (B, D) unit rows.
        prototypes: (N, D) unit rows.

    Returns:
        (B, G) bool, constant. A tie counts as kept, so identical prototypes are one.

    Raises:
        ConfigError: there is no prototype.
    """
    if len(prototypes) == 0:
        raise ConfigError("there are no prototypes; fit them before filtering positives")
    with torch.no_grad():
        nearest = (anchor @ prototypes.T).argmax(dim=1)
        similarity = positives @ prototypes.T
        own = similarity.gather(2, nearest[:, None, None].expand(-1, similarity.shape[1], 1)).squeeze(2)
        return own >= similarity.amax(dim=2)


@at_least_float32
def hallucination_loss(query: Tensor, positives: Tensor, keep: Tensor, *, temperature: float = 0.07) -> Tensor:
    """Alignment of queries with their retained positives: ``-(1/n) Σ_{b,g kept} query_b·positive_bg / τ`` (L_HaLP).

    n is the number of positives retained in the whole batch, so that every retained positive weighs the same. There
    are no negatives: the loss lies in [-1/τ, 1/τ].

    Args:
        query: (B, D) unit rows; carries the gradient.
        positives: (B, G, D) unit rows; constants.
        keep: (B, G) bool, the retained ones.
        temperature: τ, a constant factor.

    Returns:
        Scalar; 0, with zero gradient, if nothing is retained.

    Raises:
        ConfigError: ``keep`` does not have one entry for each positive.
    """
    if keep.shape != positives.shape[:2]:
        raise ConfigError(f"keep is {tuple(keep.shape)}, but positives are {tuple(positives.shape)}")
    weight = keep.to(positives.dtype)
    # one weighted sum of the positives per anchor: neither pass holds (B, G, D) products
    total = torch.bmm(weight.unsqueeze(1), positives.detach()).squeeze(1)
    return -(query * total).sum() / (weight.sum().clamp_min(1) * temperature)
