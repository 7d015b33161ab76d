"""Labels balanced within the batch; two views predict each other's.

UNO, Fini et al., "A Unified Objective for Novel Class Discovery", ICCV 2021, https://arxiv.org/abs/2108.08536. How the
authors of CoDT adapted it to skeletons is not known; here it gets the branches, base losses, start and epochs of CoDT.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import normalize

from motet.losses import balanced_assignment
from motet.methods.discovery.methods.base import Labelling, Method, Step

if TYPE_CHECKING:
    from motet.methods.discovery.networks import Branch
    from motet.methods.discovery.settings import Settings

TEMPERATURE = 0.1
POWER = 2.0  # that temperature over the paper's ε of 0.05
ITERATIONS = 3
HEADS = 4  # of K prototypes, the target classifier among them, and as many finer ones
FINER = 3  # times K


@dataclass(frozen=True)
class Options(Method):
    """Options of ``uno``."""

    summary: ClassVar[str] = "balanced within the batch, two views predict each other's (Fini et al., ICCV 2021)"

    weight_labels: float = 5.0
    """λ of the loss on the swapped labels."""

    def labelling(self, settings: Settings, pair: tuple[Branch, Branch]) -> Swapped:
        return Swapped(self, settings, pair)


class Swapped(Labelling):
    """One softmax over known and new classes in which each view labels the other.

    Attributes:
        heads: one :class:`Heads` per branch, from the start of fine-tuning on.
    """

    options: Options

    def __init__(self, options: Options, settings: Settings, pair: tuple[Branch, Branch]) -> None:
        super().__init__(options, settings, pair)
        self.heads = nn.ModuleList()

    def begin(self) -> None:
        for branch in self.pair:
            known = None if branch.source_classifier is None else branch.source_classifier.weight
            self.heads.append(Heads(branch.clusters, branch.features, known).to(branch.bank.device))

    def _each(self) -> list[tuple[Heads, Tensor]]:
        """Heads of each branch with the weights of its target classifier; none before fine-tuning."""
        return [(h, b.student["clusters"].weight) for h, b in zip(self.heads, self.pair, strict=False)]  # type: ignore[misc]

    def terms(self, step: Step) -> Mapping[str, Tensor]:
        losses, second = {}, self.second_view(step.batch)
        for b, (heads, new) in enumerate(self._each()):
            losses[f"labels/B{b}"] = self.options.weight_labels * heads.swapped(new, step.features[b], second[b])
        heads, new = self._each()[0]
        known = heads.known_loss(new, step.source, step.batch.source_labels)
        return losses | {"source": self.settings.weight_source * known}

    def after_step(self) -> None:
        for heads, new in self._each():
            heads.normalise(new)


class Heads(nn.Module):
    """Prototypes: known classes, several heads of new ones, several finer ones.

    Features and prototypes are compared by cosine, without bias. The first head of new classes is the branch's target
    classifier, which is handed in. A clip of the target is labelled by balanced transport within the batch, three
    iterations, from its other view; the loss of each head is one softmax over known and new classes together.

    Args:
        clusters: K.
        features: F.
        known: (C_s, F) first prototypes of the known classes, None for a branch that sees no source.
    """

    def __init__(self, clusters: int, features: int, known: Tensor | None) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(clusters)
        sizes = [clusters] * (HEADS - 1) + [FINER * clusters] * HEADS
        drawn = [normalize(torch.randn(size, features, generator=generator), dim=1) for size in sizes]
        self.further = nn.ParameterList(nn.Parameter(x) for x in drawn)
        self.known = None if known is None else nn.Parameter(normalize(known.detach().clone(), dim=1))

    def _logits(self, prototypes: Tensor, feature: Tensor) -> tuple[Tensor, Tensor]:
        """(n, C_s + K) over both kinds of classes, and the part (n, K) of the new ones."""
        unit = normalize(feature, dim=1)
        new = unit @ normalize(prototypes, dim=1).T / TEMPERATURE
        if self.known is None:
            return new, new
        return torch.cat([unit @ normalize(self.known, dim=1).T / TEMPERATURE, new], dim=1), new

    def swapped(self, first_head: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Mean over heads of the loss in which each view's batch-balanced labels are what the other is to predict.

        Args:
            first_head: (K, F) prototypes of the target classifier.
            first, second: (n, F) features of two views.
        """
        losses = []
        for prototypes in (first_head, *self.further):
            (all_a, new_a), (all_b, new_b) = (self._logits(prototypes, x) for x in (first, second))
            losses.append((self._against(all_a, new_b) + self._against(all_b, new_a)) / 2)
        # plain and finer heads count equally, as there are as many of them
        return torch.stack(losses).mean()

    @staticmethod
    def _against(logits: Tensor, other: Tensor) -> Tensor:
        soft = balanced_in_batch(other)
        return functional.cross_entropy(logits, functional.pad(soft, (logits.shape[1] - other.shape[1], 0)))

    def known_loss(self, first_head: Tensor, feature: Tensor, labels: Tensor) -> Tensor:
        """Mean over heads of the cross-entropy of labelled clips over known and new classes."""
        heads = (first_head, *self.further)
        values = [functional.cross_entropy(self._logits(p, feature)[0], labels) for p in heads]
        return torch.stack(values).mean()

    @torch.no_grad()
    def normalise(self, first_head: Tensor) -> None:
        """Bring all prototypes back to length one, in place."""
        for prototypes in (first_head, *self.parameters()):
            prototypes.copy_(normalize(prototypes, dim=1))


def balanced_in_batch(logits: Tensor) -> Tensor:
    """(n, K) soft labels of a batch, clusters of equal weight (SwAV's three iterations); constants."""
    plan = balanced_assignment(logits, power=POWER, max_iterations=ITERATIONS, tolerance=0.0, return_plan=True)
    return plan.rows()
