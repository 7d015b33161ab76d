"""Hallucinated positives of a whole batch without holding one of them (HaLP, Shah et al., CVPR 2023, Sec. 3).

A positive lies on the great circle from its anchor towards a prototype, so it is a sum of two vectors: the anchor and
the tangent that points to the prototype. Only B anchors and B·N tangents exist, whatever the number G of positives per
anchor, and a similarity of a positive with anything is a sum of two similarities. The equations are those of
:mod:`motet.losses.hallucination`; G positives of D numbers are never written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from motet.core.errors import ConfigError
from motet.losses._precision import at_least_float32
from motet.losses.hallucination import _arc, _limit

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


@at_least_float32
def candidates(anchor: Tensor, prototypes: Tensor, *, skip: int = 1, most: int | None = None) -> Tensor:
    """Prototypes that an anchor may walk to: all but its ``skip`` nearest, of those the ``most`` nearest.

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

    The fraction of the way is ``max(0, (1 − shrink) · t* − margin)`` with t* of :func:`motet.losses.rank_limit`.

    Args:
        anchor: (B, D) unit rows.
        prototypes: (N, D) unit rows.
        chosen: (B, G) int64 rows of ``prototypes``.
        shrink: (B, G) in [0, 1], u ~ U(0, λ) in the paper: 0 goes to the limit, 1 stays at the anchor.
        margin: taken off every fraction.
    """
    with torch.no_grad():
        nearest = prototypes[(anchor @ prototypes.T).argmax(dim=1)]
        # limits belong to (anchor, prototype), so they are found B·N times and not B·G times
        angle, tangents = _arc(anchor.unsqueeze(1), prototypes.unsqueeze(0))
        limit = _limit(anchor.unsqueeze(1), nearest.unsqueeze(1), prototypes.unsqueeze(0), angle, tangents)
        fraction = ((1 - shrink) * limit.gather(1, chosen) - margin).clamp_min(0)
        turn = fraction * angle.squeeze(2).gather(1, chosen)
        return Positives(anchor.detach(), tangents, chosen, turn.cos(), turn.sin())


@at_least_float32
def retained(positives: Positives, prototypes: Tensor, query: Tensor, *, rule: Rule = "rank") -> Tensor:
    """Which positives are used (PosFilter), (B, G) bool.

    ============== ==============================================================================================
    "rank"         the anchor's nearest prototype is the positive's own too (Eq. 2), ties kept
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
        "rank": lambda: _same_prototype(positives, prototypes),
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


def _same_prototype(positives: Positives, prototypes: Tensor) -> Tensor:
    nearest = (positives.anchor @ prototypes.T).argmax(dim=1)
    similarity = positives.similarity(prototypes)
    own = similarity.gather(2, nearest[:, None, None].expand(-1, similarity.shape[1], 1)).squeeze(2)
    return own >= similarity.amax(dim=2)


@at_least_float32
def alignment_loss(
    query: Tensor, positives: Positives, keep: Tensor, *, temperature: float = 0.07, kept: Tensor | None = None
) -> Tensor:
    """:func:`motet.losses.hallucination_loss` of factored positives: minus the mean similarity of the kept, over τ.

    Args:
        query: (B, D) unit rows; carries the gradient.
        positives: from :func:`hallucinate`.
        keep: (B, G) bool.
        temperature: τ.
        kept: number that the sum is divided by; those of ``keep`` by default. Where a batch is shared by several
            processes it is their mean, so that the mean of their losses is the loss of the batch.

    Returns:
        Scalar; 0, with zero gradient, if nothing is kept.
    """
    weight = keep.to(query.dtype)
    count = weight.sum().clamp_min(1) if kept is None else kept
    return -(weight * positives.inner(query)).sum() / (count * temperature)
