"""Pairs of equal top-ranked features.

AutoNovel, Han et al., "Automatically Discovering and Learning New Visual Categories with Ranking Statistics", ICLR
2020, https://arxiv.org/abs/2002.05714. How the authors of CoDT adapted it to skeletons is not known; here it gets the
branches, base losses, start and epochs of CoDT.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from motet.core.options import Count
from motet.losses import rank_statistics_pairs
from motet.methods.discovery.methods.base import Labelling, Method, Step

if TYPE_CHECKING:
    from motet.methods.discovery.networks import Branch
    from motet.methods.discovery.settings import Settings

CONSISTENCY = 50.0  # weight of the consistency when its ramp has ended
RAMP = 0.5  # share of the fine-tuning in which it grows


@dataclass(frozen=True)
class Options(Method):
    """Options of ``autonovel``."""

    summary: ClassVar[str] = "pairs of equal top-ranked features (Han et al., ICLR 2020)"

    weight_labels: float = 5.0
    """λ of the loss on pairs and of the consistency."""
    rank_features: Count = 5
    """how many of the largest features must be the same."""

    def labelling(self, settings: Settings, pair: tuple[Branch, Branch]) -> Ranked:
        return Ranked(self, settings, pair)


class Ranked(Labelling):
    """Each branch's pairs across two views."""

    options: Options

    def terms(self, step: Step) -> Mapping[str, Tensor]:
        first, second = self.logits(step.features), self.logits(self.second_view(step.batch))
        return {
            f"labels/B{b}": self.options.weight_labels
            * ranked(first[b], second[b], step.features[b], self.options.rank_features, step.progress)
            for b in (0, 1)
        }


def ranked(first: Tensor, second: Tensor, features: Tensor, k: int, progress: float) -> Tensor:
    """Pairs with the same k largest features agree across two views.

    Binary cross-entropy of p_i·p'_j on all pairs, and the mean squared difference of a clip's two predictions with a
    weight that grows as exp(-5 (1 - t)²) over the first half of the fine-tuning.

    Args:
        first, second: (n, K) logits of two views of the same clips.
        features: (n, F) of the first view; a constant.
        k: number of features that are compared.
        progress: share of the fine-tuning that is done.
    """
    marks = rank_statistics_pairs(features, k=min(k, features.shape[1])).to(first.dtype)
    p, q = torch.softmax(first, dim=1), torch.softmax(second, dim=1)
    same = (p @ q.T).clamp(1e-6, 1 - 1e-6)
    ramp = math.exp(-5 * (1 - min(progress / RAMP, 1)) ** 2)
    return functional.binary_cross_entropy(same, marks) + CONSISTENCY * ramp * functional.mse_loss(p, q)
