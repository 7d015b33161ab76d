"""The student alone: labels, and no help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from motet.methods.distillation.methods.base import Batch, Context, Method, Options, student_error
from motet.methods.distillation.networks import Outputs


@dataclass(frozen=True)
class Alone(Options):
    """The student learns from labels, with no help: what every distillation is compared with."""

    uses_teacher: ClassVar[bool] = False

    def build(self, context: Context) -> Method:
        return AloneMethod()


class AloneMethod(Method):
    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        return {"student": student_error(outputs, batch)}

    def weights(self, epoch: int) -> dict[str, float]:
        return {"student": 1.0}


METHODS = {"alone": Alone()}
