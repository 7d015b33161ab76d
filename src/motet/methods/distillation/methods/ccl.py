"""CCL: compositional contrastive learning (Chen et al., CVPR 2021, https://arxiv.org/abs/2104.10955), as its released
code steps.

Two networks learn at once. The student sees the composition's weights as constants, the composition sees the student's
representation as a constant. In the released code the backward passes accumulate so that the composition gets the
student-composition contrast and the agreement twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from motet.core.errors import ConfigError
from motet.core.options import NotNegative, Positive
from motet.losses import multimodal
from motet.losses._rows import unit
from motet.methods.distillation.layers import Dense
from motet.methods.distillation.methods.base import Batch, Context, Method, Options, student_error, student_of
from motet.methods.distillation.networks import Outputs


@dataclass(frozen=True)
class Ccl(Options):
    """The auxiliary is completed by what the student sees (composition), and both teach the student."""

    ccl: NotNegative = 1.0
    """weight of contrasts and agreement."""
    temperature: Positive = 0.5
    """τ of the contrasts."""

    def build(self, context: Context) -> Method:
        return CclMethod(self, context)


class CclMethod(Method):
    def __init__(self, options: Ccl, context: Context) -> None:
        super().__init__()
        self.options = options
        self.composition = Dense(context.seeds, "ccl.composition", 2 * context.features, context.features)
        self.classifier = Dense(context.seeds, "ccl.classifier", context.features, context.classes)

    def _compose(self, auxiliary: Tensor, student: Tensor, *, frozen: bool = False) -> tuple[Tensor, Tensor]:
        joined = torch.cat([unit(auxiliary), unit(student)], dim=-1)
        composed = auxiliary + self.composition(joined, frozen=frozen)
        return composed, self.classifier(composed, frozen=frozen)

    @staticmethod
    def _auxiliary(outputs: Outputs) -> Tensor:
        if not outputs.auxiliary:
            raise ConfigError("CCL needs at least one auxiliary modality")
        return torch.stack(outputs.auxiliary).mean(dim=0)

    def complete(self, outputs: Outputs) -> Outputs:
        outputs.teacher, outputs.teacher_logits = self._compose(self._auxiliary(outputs), student_of(outputs)[0])
        return outputs

    def _both_ways(self, first: Tensor, second: Tensor, batch: Batch) -> Tensor:
        def contrast(p: Tensor, q: Tensor) -> Tensor:
            tau = self.options.temperature
            return multimodal.class_contrast(p, q, batch.labels, temperature=tau, reduction="nce", rows=batch.rows)

        return contrast(first, second) + contrast(second, first)

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        auxiliary, (student, logits) = self._auxiliary(outputs), student_of(outputs)
        seen, seen_logits = self._compose(auxiliary.detach(), student, frozen=True)
        made, made_logits = self._compose(auxiliary, student.detach())
        fixed, fixed_logits = student.detach(), logits.detach()
        return {
            "student": student_error(outputs, batch),
            "student_composed": self._both_ways(student, seen, batch),
            "student_auxiliary": self._both_ways(student, auxiliary, batch),
            "agreement": multimodal.jeffreys(logits, seen_logits, rows=batch.rows),
            "composed": multimodal.cross_entropy(made_logits, batch.labels, rows=batch.rows),
            "composed_student": self._both_ways(fixed, made, batch),
            "composed_auxiliary": self._both_ways(made, auxiliary, batch),
            "composed_agreement": multimodal.jeffreys(fixed_logits, made_logits, rows=batch.rows),
        }

    def weights(self, epoch: int) -> dict[str, float]:
        share = self.options.ccl
        return {
            "student": 1.0,
            "student_composed": share,
            "student_auxiliary": share,
            "agreement": share,
            "composed": 1.0,
            "composed_student": 2 * share,
            "composed_auxiliary": share,
            "composed_agreement": 2 * share,
        }


METHODS = {"ccl": Ccl()}
