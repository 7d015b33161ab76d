"""CoDT: two branches exchange pair labels on balanced pseudo-labels of their own.

Liu and Wang, "Collaborating Domain-shared and Target-specific Feature Clustering for Cross-domain 3D Action
Recognition", ECCV 2022, https://arxiv.org/abs/2207.09767. Variants CCM-FP and CCM-PF: supplement, section 5.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor
from torch.nn.functional import normalize

from motet.core.options import Count
from motet.losses import pair_consistency, pair_likelihood, rank_statistics_pairs
from motet.methods.discovery.methods import ocm
from motet.methods.discovery.methods.base import Step

if TYPE_CHECKING:
    from motet.methods.discovery.networks import Branch
    from motet.methods.discovery.settings import Settings


@dataclass(frozen=True)
class Options(ocm.Options):
    """Options of ``codt``."""

    summary: ClassVar[str] = "two branches exchange pair labels (CCM) on balanced pseudo-labels of their own (OCM)"

    pairs: Literal["labels", "features", "cosine"] = "labels"
    """CCM: labels of the other branch mark pairs; features: CCM-FP, its top-ranked features do; cosine: CCM-PF, labels
    mark the pairs and the cosine of features is what must agree."""
    weight_pairs: float = 10.0
    """λ of the pair consistency."""
    rank_features: Count = 5
    """CCM-FP: how many of the largest features must be the same."""

    def labelling(self, settings: Settings, pair: tuple[Branch, Branch]) -> Collaborating:
        return Collaborating(self, settings, pair)


class Collaborating(ocm.Transported):
    """Pseudo-labels of each branch (OCM), and pairs that one branch marks for the other (CCM)."""

    options: Options

    def terms(self, step: Step) -> Mapping[str, Tensor]:
        logits, labels = self.logits(step.features), self.labels_of(step.batch.places)
        return self.labelled(logits, labels) | self._pairs(logits, labels, step)

    def _pairs(self, logits: list[Tensor], labels: list[Tensor], step: Step) -> dict[str, Tensor]:
        """What one branch puts together, the other must find similar."""
        options, losses = self.options, {}
        for mine in (0, 1):
            marks = labels[1 - mine]
            if options.pairs == "features":
                other = self.pair[1 - mine].bank[step.batch.places]
                marks = rank_statistics_pairs(other, k=min(options.rank_features, other.shape[1]))
            if options.pairs == "cosine":
                value = pair_likelihood(self.same_class(mine, step.features[mine]), marks[:, None] == marks[None, :])
            else:
                value = pair_consistency(logits[mine], marks)
            losses[f"pairs/B{mine}"] = options.weight_pairs * value
        return losses

    def same_class(self, branch: int, features: Tensor) -> Tensor:
        """(n, n) cosines; those of features that are never negative as they are, others from [-1, 1] to [0, 1]."""
        unit = normalize(features, dim=1)
        cosine = unit @ unit.T
        return cosine if getattr(self.pair[branch].student["encoder"], "non_negative", False) else (1 + cosine) / 2
