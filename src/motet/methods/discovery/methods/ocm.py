"""Balanced online pseudo-labels, each branch for itself: CoDT's online clustering module.

Liu and Wang, ECCV 2022, https://arxiv.org/abs/2207.09767; the transport is
:func:`motet.losses.balanced_assignment` (supplement, Eqs. 1-11).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.functional import normalize

from motet.core.errors import ConfigError
from motet.core.options import Bounds, Count, Natural, NotNegative, Positive
from motet.losses import balanced_assignment
from motet.losses.clustering import Plan
from motet.memory.kmeans import Clustering
from motet.methods.discovery.methods.base import Labelling, Method, Step
from motet.methods.discovery.rounding import balanced_labels

if TYPE_CHECKING:
    from motet.methods.discovery.networks import Branch
    from motet.methods.discovery.settings import Settings

SHARPNESS = 10.0
"""length that features have in the transport before the classifiers start, as those of weights have it"""


@dataclass(frozen=True)
class Options(Method):
    """Options of ``ocm``, and of the methods that label by transport."""

    summary: ClassVar[str] = "balanced pseudo-labels, each branch for itself"

    weight_labels: float = 5.0
    """λ of the loss on pseudo-labels."""
    power: Positive = 10.0
    """ξ, inverse temperature of the transport: larger makes the plan harder."""
    sinkhorn_iterations: Count = 100
    sinkhorn_tolerance: float = 1e-2
    sinkhorn_warm: Natural = 5
    """iterations of a transport that starts at the scalings of the step before; 0: start from nothing in every step, as
    released. Where a step renews a hundredth of the bank or less, as in the paper, five bring clusters nearer to the
    wanted sizes than a hundred from nothing; where it renews more, take more."""
    balance: Annotated[float, Bounds(above=0, most=1)] = 1.0
    """1: clusters of equal size; less: sizes may depart from it (relaxed marginals), for targets whose classes are not
    balanced."""
    shares: tuple[float, ...] = ()
    """wanted shares of the clusters, in any order; the largest goes to the cluster that the logits make largest."""
    rounding: Literal["argmax", "balanced"] = "argmax"
    """balanced: the cheapest labels with exactly the wanted sizes."""
    start_rounds: Natural = 0
    """rounds in which the clusters of k-means take the wanted sizes before the classifiers start at their centres."""
    equal_cost: NotNegative = 0.0
    """how much more clusters of equal size may scatter than those of k-means, as a share: beyond it classes seem
    to differ in size (or similar ones are one cluster), and the sizes that k-means finds are the wanted ones. 0: sizes
    are equal whatever they cost."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rounding == "balanced" and self.balance < 1:
            raise ConfigError("rounding 'balanced' enforces the sizes that balance below 1 leaves open; drop one")

    def released(self) -> Self:
        return replace(self, sinkhorn_warm=0)

    def check(self, clusters: int | None) -> None:
        if self.shares and (min(self.shares) <= 0 or clusters != len(self.shares)):
            raise ConfigError(f"shares must be {clusters or 'as many as --clusters'} positive numbers")

    def labelling(self, settings: Settings, pair: tuple[Branch, Branch]) -> Transported:
        return Transported(self, settings, pair)


class Transported(Labelling):
    """Labels of the transport of each branch's bank to its clusters.

    Attributes:
        scalings: warm starts of the two plans, None before the first.
        order: clusters from the largest wanted share to the smallest, where shares are given.
        found: (K,) clips of each cluster of k-means, by branch, where equal sizes would cost too much.
        goes_on: whether a plan resembles the one before, so that a few iterations from its scalings are enough.
    """

    continues: ClassVar[bool] = True
    options: Options

    def __init__(self, options: Options, settings: Settings, pair: tuple[Branch, Branch]) -> None:
        super().__init__(options, settings, pair)
        self.scalings: list[Tensor | None] = [None, None]
        self.order: list[Tensor | None] = [None, None]
        self.found: list[Tensor | None] = [None, None]

    def state(self) -> dict[str, Any]:
        return {"scalings": list(self.scalings), "order": list(self.order), "found": list(self.found)}

    def restore(self, state: Mapping[str, Any]) -> None:
        # "prices" in checkpoints of earlier releases
        self.scalings = [self.moved(x) for x in state.get("scalings", state.get("prices"))]
        self.order = [self.moved(x) for x in state["order"]]
        self.found = [self.moved(x) for x in state.get("found", (None, None))]

    def terms(self, step: Step) -> Mapping[str, Tensor]:
        return self.labelled(self.logits(step.features), self.labels_of(step.batch.places))

    def labels_of(self, places: Tensor) -> list[Tensor]:
        """(B,) labels of the batch's clips by each branch."""
        return [self.labels(b, places) for b in (0, 1)]

    def labelled(self, logits: list[Tensor], labels: list[Tensor]) -> dict[str, Tensor]:
        """Cross-entropy of both students against their pseudo-labels (L_cls)."""
        weight = self.options.weight_labels
        return {
            f"labels/B{b}": weight * functional.cross_entropy(x, y)
            for b, (x, y) in enumerate(zip(logits, labels, strict=True))
        }

    def clusterings(self, pair: Sequence[Tensor], clusters: int, **options: Any) -> list[Clustering]:
        made, limit = super().clusterings(pair, clusters, **options), self.options.equal_cost
        for branch, x in enumerate(pair):
            unit, plain = normalize(x, dim=1), made[branch]
            made[branch] = self._sized(branch, unit, plain)
            if limit and not self.options.shares and scatter(unit, made[branch]) > (1 + limit) * scatter(unit, plain):
                self.found[branch] = torch.bincount(plain.assignment, minlength=clusters)
                made[branch] = plain
        return made

    @property
    def says(self) -> str:
        """Which sizes the clusters of B0 and of B1 begin with, where that was looked at."""
        kept = [f"B{b}" for b, sizes in enumerate(self.found) if sizes is not None]
        if not self.options.equal_cost or self.options.shares:
            return ""
        if not kept:
            return "B0 and B1 begin with clusters of equal size, which scatter little more than those of k-means"
        who = f"{kept[0]} keeps" if len(kept) == 1 else "B0 and B1 keep"
        why = "classes differ in size, or similar ones are one cluster"
        return f"{why}: {who} the sizes of k-means; --equal-cost 0 makes all equal"

    def _sized(self, branch: int, unit: Tensor, found: Clustering) -> Clustering:
        """Clusters that transport and means of their members, in turn, bring to the wanted sizes."""
        count = len(found.centres)
        for _ in range(self.options.start_rounds):
            labels = self.transport(branch, SHARPNESS * unit @ found.centres.T).labels()
            if torch.equal(labels, found.assignment):
                break
            member = functional.one_hot(labels, count).to(unit)
            sums = torch.where(member.any(dim=0)[:, None], member.T @ unit, found.centres)
            found = found._replace(centres=normalize(sums, dim=1), assignment=labels)
        return found

    @torch.no_grad()
    def plan(self, branch: int) -> Plan:
        """Transport of the branch's bank to its clusters, from the scalings of the step before."""
        of = self.pair[branch]
        before = self.scalings[branch] if self.options.sinkhorn_warm else None
        found = self.transport(branch, of.teacher["clusters"](of.bank), before)
        self.scalings[branch] = found.scalings
        return found

    def transport(self, branch: int, logits: Tensor, before: Tensor | None = None) -> Plan:
        """Transport of (N, K) logits to the wanted sizes, from the scalings of a transport before it."""
        options, marginals = self.options, None
        if options.shares:
            order = self.order[branch]
            if order is None:
                # the largest share to the cluster that holds most before any balancing, once and for all
                order = torch.softmax(logits, dim=1).sum(dim=0).argsort(descending=True, stable=True)
                self.order[branch] = order
            wanted = torch.tensor(sorted(options.shares, reverse=True)).to(logits)
            marginals = torch.empty_like(wanted)
            marginals[order] = wanted / wanted.sum()
        elif (sizes := self.found[branch]) is not None:
            sizes = sizes.clamp_min(1)
            marginals = (sizes / sizes.sum()).to(logits)
        return balanced_assignment(
            logits,
            power=options.power,
            marginals=marginals,
            relaxation=options.balance,
            warm_start=before,
            max_iterations=options.sinkhorn_warm
            if self.continues and before is not None
            else options.sinkhorn_iterations,
            tolerance=options.sinkhorn_tolerance,
            return_plan=True,
        )

    def labels(self, branch: int, places: Tensor | None = None) -> Tensor:
        """Hard labels of some clips, or of all: rounded row by row, or so that clusters have the wanted sizes."""
        found = self.plan(branch)
        if self.options.rounding == "argmax":
            return found.labels(places)
        labels = balanced_labels(found, self._sizes(branch, found))
        return labels if places is None else labels[places]

    def _sizes(self, branch: int, found: Plan) -> list[int] | None:
        """Whole numbers of clips by cluster that add up to N, from the wanted shares."""
        order, sizes = self.order[branch], self.found[branch]
        if order is None:
            return None if sizes is None else sizes.tolist()
        count = len(found.logits)
        wanted = sorted(self.options.shares, reverse=True)
        # differences of rounded cumulated shares: each is off by less than one clip, their sum by none
        edges = [round(count * sum(wanted[: i + 1]) / sum(wanted)) for i in range(len(wanted))]
        whole = [b - a for a, b in zip([0, *edges[:-1]], edges, strict=True)]
        placed = [0] * len(whole)
        for size, cluster in zip(whole, order.tolist(), strict=True):
            placed[cluster] = size
        return placed


def scatter(unit: Tensor, found: Clustering) -> float:
    """Mean of 1 − cosine of (N, F) unit rows and the mean direction of their cluster."""
    member = functional.one_hot(found.assignment, len(found.centres)).to(unit)
    centres = normalize(member.T @ unit, dim=1)
    return float((1 - (unit * centres[found.assignment]).sum(dim=1)).mean())
