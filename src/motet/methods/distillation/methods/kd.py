"""Distillation of softened answers (Hinton, Vinyals & Dean 2015, https://arxiv.org/abs/1503.02531)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from motet.core.options import NotNegative, Positive
from motet.losses import multimodal
from motet.methods.distillation.methods.base import (
    Batch,
    Context,
    Method,
    Options,
    student_error,
    student_of,
    teacher_of,
)
from motet.methods.distillation.networks import Outputs


@dataclass(frozen=True)
class Kd(Options):
    """A frozen teacher's softened answers, in addition to the labels."""

    kd: NotNegative = 1.0
    """weight of the teacher's answers."""
    kd_temperature: Positive = 4.0
    """temperature that softens the answers of student and teacher."""

    def build(self, context: Context) -> Method:
        return KdMethod(self)


class KdMethod(Method):
    fixed_teacher = True

    def __init__(self, options: Kd) -> None:
        super().__init__()
        self.options = options

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        student, teacher = student_of(outputs)[1], teacher_of(outputs)[1]
        temperature = self.options.kd_temperature
        return {
            "student": student_error(outputs, batch),
            "answers": multimodal.softened_answers(student, teacher, temperature, rows=batch.rows),
        }

    def weights(self, epoch: int) -> dict[str, float]:
        return {"student": 1.0, "answers": self.options.kd}


METHODS = {"kd": Kd()}
