"""The teacher alone, on all modalities, in use as well: the ceiling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from motet.methods.distillation.methods.base import Batch, Context, Method, Options, teacher_error
from motet.methods.distillation.networks import Outputs


@dataclass(frozen=True)
class Teacher(Options):
    """The teacher alone, on all modalities: what there is to learn from."""

    scored: ClassVar[str] = "teacher"

    def build(self, context: Context) -> Method:
        return TeacherMethod()


class TeacherMethod(Method):
    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        return {"teacher": teacher_error(outputs, batch)}

    def weights(self, epoch: int) -> dict[str, float]:
        return {"teacher": 1.0}


METHODS = {"teacher": Teacher()}
