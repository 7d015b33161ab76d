"""Distillation of softened answers (Hinton, Vinyals & Dean 2015, https://arxiv.org/abs/1503.02531)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from motet.methods.distillation.methods.base import Batch, Context, Method, Softened, student_error
from motet.methods.distillation.networks import Outputs


@dataclass(frozen=True)
class Kd(Softened):
    """A frozen teacher's softened answers, in addition to the labels."""

    def build(self, context: Context) -> Method:
        return KdMethod(self)


class KdMethod(Method):
    fixed_teacher = True

    def __init__(self, options: Kd) -> None:
        super().__init__()
        self.options = options

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        return {"student": student_error(outputs, batch), "answers": self.options.answers(outputs, batch)}

    def weights(self, epoch: int) -> dict[str, float]:
        return {"student": 1.0, "answers": self.options.kd}


METHODS = {"kd": Kd()}
