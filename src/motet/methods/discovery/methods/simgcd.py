"""A parametric classifier by self-distillation, kept from collapse by the entropy of its mean prediction.

SimGCD, Wen, Zhao and Qi, "Parametric Classification for Generalized Category Discovery: A Baseline Study", ICCV 2023,
https://arxiv.org/abs/2211.11727. Temperatures and weights are those of the released code.

Per branch: cosine prototypes of the clusters, on the shared branch of the source's classes too; each view's sharpened
prediction is the target of the other view; the mean prediction of the batch is to have a high entropy; two views of a
clip attract each other, and on the shared branch clips of one source class. The branches, base losses, start and epochs
are those of CoDT, so the labelling alone differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import normalize

from motet.core.options import Fraction, NotNegative, Positive
from motet.methods.discovery.methods.base import Labelling, Method, Step

if TYPE_CHECKING:
    from motet.methods.discovery.networks import Branch
    from motet.methods.discovery.settings import Settings


@dataclass(frozen=True)
class Options(Method):
    """Options of ``simgcd``."""

    summary: ClassVar[str] = (
        "self-distillation of a parametric classifier with an entropy regulariser (Wen et al., ICCV 2023)"
    )
    source_views: ClassVar[int] = 2

    weight_labels: NotNegative = 1.0
    """λ of the method's losses next to the base losses."""
    supervised: Fraction = 0.35
    """share of the supervised terms on the shared branch; the rest is that of the unsupervised ones."""
    entropy: NotNegative = 2.0
    """ε, weight of the mean prediction's entropy."""
    student_temperature: Positive = 0.1
    teacher_temperature: Positive = 0.04
    """of the predictions that serve as targets, when they have been sharpened."""
    teacher_start: Positive = 0.07
    """the same at the start of fine-tuning."""
    sharpened_after: Fraction = 0.15
    """share of the fine-tuning in which it falls from the one to the other."""
    view_temperature: Positive = 1.0
    """of the contrast of two views."""
    class_temperature: Positive = 0.07
    """of the contrast of source classes."""

    def labelling(self, settings: Settings, pair: tuple[Branch, Branch]) -> SelfDistilled:
        return SelfDistilled(self, settings, pair)


class SelfDistilled(Labelling):
    """The losses of both branches.

    Attributes:
        known: (C_s, F0) prototypes of the source's classes.
        projections: one head per branch for the contrasts.
    """

    options: Options

    def __init__(self, options: Options, settings: Settings, pair: tuple[Branch, Branch]) -> None:
        super().__init__(options, settings, pair)
        self.known: nn.Parameter | None = None
        self.projections = nn.ModuleList()

    def begin(self) -> None:
        shared = self.pair[0]
        assert shared.source_classifier is not None
        self.known = nn.Parameter(normalize(shared.source_classifier.weight.detach().clone(), dim=1))
        for branch in self.pair:
            width = branch.features
            layers = nn.Linear(width, width), nn.GELU(), nn.Linear(width, width), nn.GELU()
            head = nn.Sequential(*layers, nn.Linear(width, self.settings.dim))
            self.projections.append(head.to(branch.bank.device))

    def terms(self, step: Step) -> Mapping[str, Tensor]:
        options, batch = self.options, step.batch
        assert self.known is not None
        assert step.source_again is not None
        second = self.second_view(batch)
        # on the shared branch the unsupervised terms see the source's clips too, as published
        views = [
            (torch.cat([step.source, step.features[0]]), torch.cat([step.source_again, second[0]])),
            (step.features[1], second[1]),
        ]
        sharp = self.sharpness(step.progress)
        rest, losses = options.weight_labels * (1 - options.supervised), {}
        for b, (first, again) in enumerate(views):
            logits = [self._cosines(b, x) for x in (first, again)]
            found = self_distillation(*logits, student=options.student_temperature, teacher=sharp)
            mean = mean_entropy(torch.cat(logits) / options.student_temperature)
            losses[f"labels/B{b}"] = rest * (found - options.entropy * mean)
            rows = torch.arange(len(first), device=first.device).repeat(2)
            unit = self._projected(b, first, again)
            losses[f"views/B{b}"] = rest * supervised_contrast(unit, rows, options.view_temperature)
        weight, labels = options.weight_labels * options.supervised, batch.source_labels.repeat(2)
        both = self._cosines(0, torch.cat([step.source, step.source_again])) / options.student_temperature
        unit = self._projected(0, step.source, step.source_again)
        return losses | {
            "source": weight * functional.cross_entropy(both, labels),
            "classes/B0": weight * supervised_contrast(unit, labels, options.class_temperature),
        }

    def sharpness(self, progress: float) -> float:
        """The teachers' temperature at this share of the fine-tuning."""
        options = self.options
        done = min(1.0, progress / options.sharpened_after) if options.sharpened_after else 1.0
        return options.teacher_start + done * (options.teacher_temperature - options.teacher_start)

    def _cosines(self, branch: int, features: Tensor) -> Tensor:
        """(n, C_s + K) of the shared branch, (n, K) of the target's own."""
        new: Tensor = self.pair[branch].student["clusters"].weight  # type: ignore[assignment]
        prototypes = new if branch or self.known is None else torch.cat([self.known, new])
        return normalize(features, dim=1) @ normalize(prototypes, dim=1).T

    def _projected(self, branch: int, first: Tensor, second: Tensor) -> Tensor:
        found: Tensor = self.projections[branch](torch.cat([first, second]))
        return normalize(found, dim=1)

    @torch.no_grad()
    def after_step(self) -> None:
        for prototypes in (self.known, *(b.student["clusters"].weight for b in self.pair if b.clusters)):
            if prototypes is not None:
                prototypes.copy_(normalize(prototypes, dim=1))  # type: ignore[operator, arg-type]


def self_distillation(first: Tensor, second: Tensor, *, student: float, teacher: float) -> Tensor:
    """Each view's sharpened prediction is what the other view is to predict (L_cls^u without its regulariser).

    Mean over both directions of the cross-entropy between ``softmax(other / teacher)``, a constant, and
    ``softmax(own / student)``.

    Args:
        first, second: (n, K) cosines of two views with the prototypes.
        student, teacher: temperatures.
    """
    targets = [torch.softmax(x.detach() / teacher, dim=1) for x in (second, first)]
    losses = [functional.cross_entropy(x / student, y) for x, y in zip((first, second), targets, strict=True)]
    return torch.stack(losses).mean()


def mean_entropy(logits: Tensor) -> Tensor:
    """Entropy H(p̄) of the mean prediction of (n, K) logits, largest (log K) where all classes are used equally."""
    mean = torch.softmax(logits, dim=1).mean(dim=0)
    return -torch.xlogy(mean, mean).sum()


def supervised_contrast(unit: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Rows of one label attract each other (Khosla et al., NeurIPS 2020, Eq. 2, https://arxiv.org/abs/2004.11362).

    ``-mean_i mean_{p ∈ P_i} log softmax_{j ≠ i}(u_i·u_j / τ)_p``, P_i the other rows with the label of i. With a label
    for every clip and two views it is the contrast of views (NT-Xent, Chen et al., ICML 2020,
    https://arxiv.org/abs/2002.05709). Rows without another one of their label do not count.

    Args:
        unit: (n, D) unit rows, with gradient.
        labels: (n,).
        temperature: τ.
    """
    own = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    logits = (unit @ unit.T / temperature).masked_fill(own, -torch.inf)
    share = torch.log_softmax(logits, dim=1).masked_fill(own, 0.0)
    positive = (labels[:, None] == labels[None, :]) & ~own
    count = positive.sum(dim=1)
    rows = (share * positive).sum(dim=1) / count.clamp_min(1)
    return -rows.sum() / (count > 0).sum().clamp_min(1)
