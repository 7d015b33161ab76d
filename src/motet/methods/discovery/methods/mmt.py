"""Teachers label for the other branch, hard and soft.

Ge et al., "Mutual Mean-Teaching: Pseudo Label Refinery for Unsupervised Domain Adaptation on Person
Re-identification", ICLR 2020, https://arxiv.org/abs/2001.01526. How the authors of CoDT adapted it to skeletons is not
known; here it gets the branches, base losses, start and epochs of CoDT.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.functional import normalize

from motet.core.errors import ConfigError
from motet.memory.kmeans import Clustering, spherical_kmeans
from motet.methods.discovery.methods.base import Labelling, Method, Step, one_hot

if TYPE_CHECKING:
    from motet.methods.discovery.networks import Branch
    from motet.methods.discovery.settings import Settings

SOFT = 0.5  # weight of the other teacher's soft labels
SOFT_TRIPLETS = 0.8  # and of its soft triplets


@dataclass(frozen=True)
class Options(Method):
    """Options of ``mmt``."""

    summary: ClassVar[str] = "teachers label for the other branch, hard and soft (Ge et al., ICLR 2020)"

    weight_labels: float = 5.0
    """λ of the loss on labels and triplets."""

    def labelling(self, settings: Settings, pair: tuple[Branch, Branch]) -> MutualTeaching:
        return MutualTeaching(self, settings, pair)


class MutualTeaching(Labelling):
    """One clustering for both branches, made again every epoch, and the soft labels of the other branch's teacher.

    Attributes:
        fixed: (2, N) the clusters, the same for both branches.
    """

    options: Options
    fixed: Tensor | None = None

    def clusterings(self, pair: Sequence[Tensor], clusters: int, **options: Any) -> list[Clustering]:
        together = torch.cat([normalize(x, dim=1) for x in pair], dim=1)
        found = spherical_kmeans(together, clusters, **options)
        member = one_hot(found.assignment, clusters, pair[0])
        self.fixed = found.assignment.expand(2, -1).contiguous()
        return [found._replace(centres=normalize(member.T @ normalize(x, dim=1), dim=1)) for x in pair]

    @torch.no_grad()
    def begin_epoch(self) -> None:
        if self.fixed is None:
            raise ConfigError("the joint clusters of MMT are missing; initialise first")
        together = torch.cat([normalize(b.bank, dim=1) for b in self.pair], dim=1)
        member = one_hot(self.fixed[0], self.pair[0].clusters, together)
        found = spherical_kmeans(together, self.pair[0].clusters, start=member.T @ together, iterations=20)
        self.fixed = found.assignment.expand(2, -1).contiguous()

    def terms(self, step: Step) -> Mapping[str, Tensor]:
        assert self.fixed is not None
        losses, places = {}, step.batch.places
        for mine, logits in enumerate(self.logits(step.features)):
            other = self.pair[1 - mine]
            with torch.no_grad():
                seen = other.bank[places]
                soft = torch.softmax(other.teacher["clusters"](seen), dim=1)
            value = exchanged(logits, step.features[mine], self.fixed[mine, places], soft, seen)
            losses[f"labels/B{mine}"] = self.options.weight_labels * value
        return losses

    def state(self) -> dict[str, Any]:
        return {"fixed": self.fixed}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.fixed = self.moved(state["fixed"])


def exchanged(logits: Tensor, features: Tensor, labels: Tensor, soft: Tensor, seen: Tensor) -> Tensor:
    """Labels of the clusters and those of the other network's teacher, hard and soft, and softmax triplets likewise.

    Args:
        logits: (n, K) of the student.
        features: (n, F) of the student.
        labels: (n,) offline clusters.
        soft: (n, K) probabilities by the other teacher.
        seen: (n, F') features of the other teacher.
    """
    hard = functional.cross_entropy(logits, labels)
    mixed = (1 - SOFT) * hard + SOFT * functional.cross_entropy(logits, soft)
    far, near = hardest(features, labels)
    if far is None or near is None:
        return mixed
    mine = triplet_margin(features, far, near)
    with torch.no_grad():
        other = torch.sigmoid(triplet_margin(seen, far, near))
    ones = torch.ones_like(mine)
    hard = functional.binary_cross_entropy_with_logits(mine, ones)
    gentle = functional.binary_cross_entropy_with_logits(mine, other)
    return mixed + (1 - SOFT_TRIPLETS) * hard + SOFT_TRIPLETS * gentle


@torch.no_grad()
def hardest(features: Tensor, labels: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """(n,) the farthest clip of the same label and the nearest of another; None where a batch has one label only."""
    distance = torch.cdist(features, features)
    same = labels[:, None] == labels[None, :]
    if bool(same.all()):
        return None, None
    far = distance.masked_fill(~same, -1.0).argmax(dim=1)
    return far, distance.masked_fill(same, torch.inf).argmin(dim=1)


def triplet_margin(features: Tensor, far: Tensor, near: Tensor) -> Tensor:
    """(n,) distance to the negative less distance to the positive, the logit of MMT's softmax triplet."""
    # the small constant keeps the gradient finite where a clip is its own farthest positive
    positive, negative = (((features - features[i]).square().sum(dim=1) + 1e-12).sqrt() for i in (far, near))
    return negative - positive
