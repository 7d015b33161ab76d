"""Student alone, teacher alone, and distillation of answers (Hinton, Vinyals & Dean 2015)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from motet.losses import multimodal
from motet.methods.distillation.methods.base import (
    Batch,
    Context,
    Method,
    student_error,
    student_of,
    teacher_error,
    teacher_of,
)
from motet.methods.distillation.networks import Outputs
from motet.methods.distillation.ranges import within


@dataclass(frozen=True)
class Alone:
    """The student learns from labels, with no help: the baseline."""

    def build(self, context: Context) -> Method:
        return AloneMethod()


class AloneMethod(Method):
    uses_teacher = False

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        return {"student": student_error(outputs, batch)}

    def weights(self, epoch: int) -> dict[str, float]:
        return {"student": 1.0}


@dataclass(frozen=True)
class Teacher:
    """The teacher alone, on all modalities: what there is to learn from."""

    def build(self, context: Context) -> Method:
        return TeacherMethod()


class TeacherMethod(Method):
    judged: ClassVar[str] = "teacher"

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        return {"teacher": teacher_error(outputs, batch)}

    def weights(self, epoch: int) -> dict[str, float]:
        return {"teacher": 1.0}


@dataclass(frozen=True)
class Kd:
    """A frozen teacher's softened answers beside the labels."""

    kd: float = 1.0
    """weight of the teacher's answers."""
    kd_temperature: float = 4.0
    """temperature that softens the answers of student and teacher."""

    def __post_init__(self) -> None:
        within(self, "kd", least=0)
        within(self, "kd_temperature", above=0)

    def build(self, context: Context) -> Method:
        return KdMethod(self)


class KdMethod(Method):
    fixed_teacher = True

    def __init__(self, options: Kd) -> None:
        super().__init__()
        self.options = options

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        student, teacher = student_of(outputs)[1], teacher_of(outputs)[1]
        return {
            "student": student_error(outputs, batch),
            "answers": multimodal.softened_answers(
                student, teacher, self.options.kd_temperature, rows=batch.rows
            ),
        }

    def weights(self, epoch: int) -> dict[str, float]:
        return {"student": 1.0, "answers": self.options.kd}
