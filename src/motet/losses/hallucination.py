"""Hallucinated positives on the hypersphere and their alignment loss (HaLP, Shah et al., CVPR 2023, arXiv:2304.00387).

A positive is made by walking from an anchor along a great circle towards a prototype that is not the anchor's nearest,
no further than where that prototype would become the nearer of the two. All vectors are unit vectors in D ≥ 2.

A positive is a sum of two vectors, the anchor and the tangent that points to the prototype. Only B anchors and B·N
tangents exist, whatever the number G of positives per anchor, and a similarity of a positive with anything is a sum of
two similarities. Training keeps positives in this form (:class:`Positives`); :func:`rank_filter` and
:func:`hallucination_loss` take it, or the (B, G, D) points themselves.

Of the main text the numbers of Eq. 2 (the constraint) and Eq. 8 (the total loss) are known from the supplement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, overload

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from motet.core.errors import ConfigError
from motet.losses._precision import at_least_float32

Rule = Literal["rank", "variant-1", "variant-2", "none"]


@dataclass(frozen=True)
class Positives:
    """G hallucinated positives for each of B anchors: ``along · anchor + across · tangent[chosen]``. Constants.

    Attributes:
        anchor: (B, D) unit rows.
        tangents: (B, N, D) unit tangents at the anchor, towards each prototype.
        chosen: (B, G) int64, the prototype that each positive walked to.
        along, across: (B, G) cosine and sine of the angle walked.
    """

    anchor: Tensor
    tangents: Tensor
    chosen: Tensor
    along: Tensor
    across: Tensor

    @classmethod
    def of(cls, points: Tensor) -> Positives:
        """Positives that are written out already, (B, G, D) unit rows."""
        points = points.detach()
        zero = points.new_zeros(points.shape[:2])
        chosen = torch.arange(points.shape[1], device=points.device).expand(len(points), -1)
        return cls(points.new_zeros(len(points), points.shape[2]), points, chosen, zero, zero + 1)

    def points(self) -> Tensor:
        """(B, G, D) unit rows: the positives themselves."""
        width = self.anchor.shape[1]
        tangents = self.tangents.gather(1, self.chosen.unsqueeze(2).expand(-1, -1, width))
        return self.along.unsqueeze(2) * self.anchor.unsqueeze(1) + self.across.unsqueeze(2) * tangents

    def inner(self, rows: Tensor) -> Tensor:
        """(B, G): each positive times the row of its anchor, (B, D)."""
        to_tangents = (self.tangents * rows.unsqueeze(1)).sum(dim=2)
        return self.along * (self.anchor * rows).sum(1, keepdim=True) + self.across * to_tangents.gather(1, self.chosen)

    def similarity(self, others: Tensor) -> Tensor:
        """(B, G, M): each positive times each of M vectors, (M, D)."""
        across = (self.tangents @ others.T).gather(1, self.chosen.unsqueeze(2).expand(-1, -1, len(others)))
        return torch.addcmul(
            self.along.unsqueeze(2) * (self.anchor @ others.T).unsqueeze(1), self.across[..., None], across
        )


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=-1, keepdim=True)


def _reject(vector: Tensor, axis: Tensor) -> Tensor:
    """The part of ``vector`` that is orthogonal to the unit vector ``axis``."""
    return vector - _dot(vector, axis) * axis


def great_circle(start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
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


Arc = tuple[Tensor, Tensor]
"""What :func:`great_circle` returns: angle and tangent."""


@overload
def slerp(start: Tensor, end: Tensor, t: Tensor | float, *, arc: Arc | None = None) -> Tensor: ...
@overload
def slerp(start: Tensor, end: Tensor, t: Tensor, *, chosen: Tensor, arc: Arc | None = None) -> Positives: ...
@at_least_float32
def slerp(
    start: Tensor, end: Tensor, t: Tensor | float, *, chosen: Tensor | None = None, arc: Arc | None = None
) -> Tensor | Positives:
    """Point at the fraction ``t`` of the great circle from ``start`` to ``end`` (generation step of HaLP, Sec. 3).

    Equal to ``[sin((1-t)Ω) start + sin(tΩ) end] / sin Ω`` with Ω the angle between the two (Shoemake, SIGGRAPH 1985,
    doi:10.1145/325334.325242), and well defined where that is not: coinciding points give themselves, opposite ones are
    joined through an arbitrary but fixed direction.

    Args:
        start, end: (..., D) unit vectors; leading dimensions broadcast.
        t: fractions, one number or a tensor that broadcasts against the leading dimensions ``(...)``; a trailing
            dimension of one, ``(..., 1)``, is accepted too.
        chosen: (B, G) int64, for many points on few arcs: ``start`` is (B, D), ``end`` (N, D), ``t`` (B, G), and point
            g of start b lies on its arc to ``end[chosen[b, g]]``.
        arc: of the two, if :func:`great_circle` has given it already; with ``chosen`` from every start to every end.

    Returns:
        (..., D) unit vectors; with ``chosen`` the :class:`Positives`, not written out.
    """
    if chosen is not None:
        angle, tangents = great_circle(start.unsqueeze(1), end.unsqueeze(0)) if arc is None else arc
        turn = t * angle.squeeze(2).gather(1, chosen)
        return Positives(start.detach(), tangents, chosen, turn.cos(), turn.sin())
    angle, tangent = great_circle(start, end) if arc is None else arc
    fraction = torch.as_tensor(t, dtype=angle.dtype, device=angle.device)
    if fraction.dim() < 2 or fraction.dim() < angle.dim() or fraction.shape[-1] != 1:
        fraction = fraction.unsqueeze(-1)
    turn = fraction * angle
    return torch.cos(turn) * start + torch.sin(turn) * tangent


@at_least_float32
def rank_limit(anchor: Tensor, nearest: Tensor, selected: Tensor, *, arc: Arc | None = None) -> Tensor:
    """How far an anchor may walk towards ``selected`` before it is no longer nearest to ``nearest`` (HaLP, Eq. 2).

    Source: HaLP, Shah et al., CVPR 2023, arXiv:2304.00387.

    The largest t in [0, 1] for which ``slerp(anchor, selected, t)`` is at most as similar to ``selected`` as to
    ``nearest`` (the constraint of HaLP's Eq. 2, for the two prototypes concerned). With cosines a = anchor·nearest,
    b = anchor·selected, c = nearest·selected and Ω = arccos b it is ``atan2((a-b) sin Ω, (1-c) + (a-b) cos Ω) / Ω``;
    an arc tangent of the quotient would take the wrong branch where the denominator is negative. Computed from the
    difference of the two prototypes, so that close prototypes lose no digits.

    Args:
        anchor, nearest, selected: (..., D) unit vectors; leading dimensions broadcast. ``nearest`` is the prototype
            most similar to ``anchor``.
        arc: from anchor to selected, if :func:`great_circle` has given it already.

    Returns:
        (...) in [0, 1]; 1 where the two prototypes are the same point, 0 where ``selected`` is nearer from the start.
    """
    angle, tangent = great_circle(anchor, selected) if arc is None else arc
    between = nearest - selected
    limit = torch.atan2(_dot(anchor, between), -_dot(tangent, between)) / angle.clamp_min(torch.finfo(angle.dtype).tiny)
    same = torch.linalg.vector_norm(between, dim=-1, keepdim=True) == 0
    return torch.where(same, 1.0, limit.clamp(0, 1)).squeeze(-1)


@at_least_float32
def candidates(anchor: Tensor, prototypes: Tensor, *, skip: int = 1, most: int | None = None) -> Tensor:
    """Prototypes that an anchor may walk to: all but its ``skip`` nearest; of those the ``most`` nearest.

    Source: HaLP, Shah et al., CVPR 2023, arXiv:2304.00387.

    Of prototypes that are equally near the first counts as the nearest, as in :func:`hallucinate` and :func:`retained`.

    Args:
        anchor: (B, D) unit rows.
        prototypes: (N, D) unit rows.
        skip: nearest prototypes left out, at least the one nearest.
        most: candidates kept, the nearest ones (the released code's 20); None for all.

    Returns:
        (B, M) int64 columns of prototypes, from the farthest to the nearest; M may be 0.
    """
    order = (anchor @ prototypes.T).argsort(dim=1, descending=True, stable=True).flip(1)
    last = max(0, order.shape[1] - skip)
    return order[:, (0 if most is None else max(0, last - most)) : last]


@at_least_float32
def hallucinate(
    anchor: Tensor, prototypes: Tensor, chosen: Tensor, shrink: Tensor | float, *, margin: float = 0.0
) -> Positives:
    """Walk from each anchor towards chosen prototypes, at most to where they become its nearest (HaLP, Eq. 2).

    Source: HaLP, Shah et al., CVPR 2023, arXiv:2304.00387.

    The fraction of the way is ``max(0, (1 − shrink) · t* − margin)`` with t* of :func:`rank_limit`.

    Args:
        anchor: (B, D) unit rows.
        prototypes: (N, D) unit rows.
        chosen: (B, G) int64 rows of ``prototypes``.
        shrink: (B, G) in [0, 1], u ~ U(0, λ) in the paper: 0 goes to the limit, 1 stays at the anchor.
        margin: taken off every fraction.
    """
    with torch.no_grad():
        nearest = prototypes[(anchor @ prototypes.T).argmax(dim=1)]
        # arcs and limits belong to (anchor, prototype), so they are found B·N times and not B·G times
        arc = great_circle(anchor.unsqueeze(1), prototypes.unsqueeze(0))
        limit = rank_limit(anchor.unsqueeze(1), nearest.unsqueeze(1), prototypes.unsqueeze(0), arc=arc)
        fraction = ((1 - shrink) * limit.gather(1, chosen) - margin).clamp_min(0)
        return slerp(anchor, prototypes, fraction, chosen=chosen, arc=arc)


@at_least_float32
def rank_filter(positives: Tensor | Positives, anchor: Tensor, prototypes: Tensor) -> Tensor:
    """Which positives still have the anchor's nearest prototype as their own (HaLP, Eq. 2; the default filter).

    Source: HaLP, Shah et al., CVPR 2023, arXiv:2304.00387.

    Args:
        positives: (B, G, D) unit rows, or what :func:`hallucinate` returns.
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
        found = Positives.of(positives) if isinstance(positives, Tensor) else positives
        nearest = (anchor @ prototypes.T).argmax(dim=1)
        similarity = found.similarity(prototypes)
        own = similarity.gather(2, nearest[:, None, None].expand(-1, similarity.shape[1], 1)).squeeze(2)
        return own >= similarity.amax(dim=2)


@at_least_float32
def retained(positives: Positives, prototypes: Tensor, query: Tensor, *, rule: Rule = "rank") -> Tensor:
    """Which positives are used (PosFilter; HaLP, Eq. 2, and its supplement, B.1), (B, G) bool.

    Source: HaLP, Shah et al., CVPR 2023, arXiv:2304.00387.

    ============== ==============================================================================================
    "rank"         the anchor's nearest prototype is the positive's own too (:func:`rank_filter`)
    "variant-1"    the query is at least as similar to the positive as to the anchor (supplement B.1)
    "variant-2"    the anchor is at least as similar to the positive as to the chosen prototype (B.1); positives of
                   :func:`hallucinate` always are, so nothing is dropped
    "none"         all
    ============== ==============================================================================================

    Args:
        positives: from :func:`hallucinate`.
        prototypes: (N, D) unit rows they were made with.
        query: (B, D) unit rows; its gradient is not followed.
        rule: one of the above.

    Raises:
        ConfigError: no such rule.
    """
    rules: dict[str, Callable[[], Tensor]] = {
        "rank": lambda: rank_filter(positives, positives.anchor, prototypes),
        "variant-1": lambda: positives.inner(query) >= (query * positives.anchor).sum(1, keepdim=True),
        "variant-2": lambda: _before_its_prototype(positives, prototypes),
        "none": lambda: torch.ones_like(positives.chosen, dtype=torch.bool),
    }
    if rule not in rules:
        raise ConfigError(f"filter {rule!r} is none of {', '.join(rules)}")
    with torch.no_grad():
        return rules[rule]()


def _before_its_prototype(positives: Positives, prototypes: Tensor) -> Tensor:
    # both sides are cosines of one arc and may coincide: the rounding of a product must not decide
    rounding = positives.anchor.shape[1] * torch.finfo(positives.anchor.dtype).eps
    return positives.along >= (positives.anchor @ prototypes.T).gather(1, positives.chosen) - rounding


@at_least_float32
def hallucination_loss(
    query: Tensor,
    positives: Tensor | Positives,
    keep: Tensor,
    *,
    temperature: float = 0.07,
    kept: Tensor | None = None,
) -> Tensor:
    """Alignment of queries with their retained positives: ``-(1/n) Σ_{b,g kept} query_b·positive_bg / τ`` (L_HaLP).

    Source: HaLP, Shah et al., CVPR 2023, arXiv:2304.00387.

    The term that HaLP's Eq. 8 adds to the contrast with weight μ. n is the number of positives retained in the whole
    batch, so that every retained positive weighs the same. There are no negatives: the loss lies in [-1/τ, 1/τ].

    Args:
        query: (B, D) unit rows; carries the gradient.
        positives: (B, G, D) unit rows, or what :func:`hallucinate` returns; constants.
        keep: (B, G) bool, the retained ones.
        temperature: τ, a constant factor.
        kept: n, where it is not the number of ``keep``. Of a batch that several processes share it is their mean, so
            that the mean of their losses is the loss of the batch.

    Returns:
        Scalar; 0, with zero gradient, if nothing is retained.

    Raises:
        ConfigError: ``keep`` does not have one entry for each positive.
    """
    found = Positives.of(positives) if isinstance(positives, Tensor) else positives
    if keep.shape != found.chosen.shape:
        raise ConfigError(f"keep is {tuple(keep.shape)}, but positives are {tuple(found.chosen.shape)}")
    weight = keep.to(query.dtype)
    count = weight.sum().clamp_min(1) if kept is None else kept
    return -(weight * found.inner(query)).sum() / (count * temperature)
