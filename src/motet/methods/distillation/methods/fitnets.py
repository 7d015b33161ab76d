"""FitNets: hints, then answers (Romero et al., ICLR 2015, https://arxiv.org/abs/1412.6550).

In the first epochs the student's hidden features learn to predict those of the teacher through a regressor (Eq. 3);
then the whole student learns from labels and from the teacher's softened answers, whose weight falls linearly (Eq. 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from motet.core.distributed import whole
from motet.core.errors import ConfigError
from motet.core.options import Momentum, NotNegative, Positive
from motet.losses._rows import mean
from motet.methods.distillation.layers import Dense
from motet.methods.distillation.methods.base import (
    Batch,
    Context,
    Method,
    Softened,
    student_error,
    student_of,
    teacher_of,
)
from motet.methods.distillation.networks import Ensemble, Outputs


@dataclass(frozen=True)
class Fitnets(Softened):
    """Hidden features of a frozen teacher as hints, then its softened answers."""

    hints: Momentum = 0.25
    """first share of the epochs, in which only hints are learned; the paper stops by validation."""
    kd: NotNegative = 4.0
    """weight λ of the teacher's answers when the hints end."""
    kd_last: NotNegative = 1.0
    """the same in the last epoch; it falls linearly."""
    kd_temperature: Positive = 3.0

    def build(self, context: Context) -> Method:
        return FitnetsMethod(self, context)


def hint_loss(hint: Tensor, guided: Tensor, rows: Tensor) -> Tensor:
    """``½ ‖u_h(x) − r(v_g(x))‖²``, mean over rows (FitNets, Eq. 3).

    Args:
        hint: (…, B, H) hidden features of the teacher, constants.
        guided: (…, B, H) those of the student behind the regressor.
        rows: (…, B) bool, the rows that count.

    Returns:
        (…).
    """
    return mean((hint.detach() - guided).square().sum(dim=-1) / 2, rows)


def soft_cross_entropy(teacher: Tensor, student: Tensor, temperature: float, rows: Tensor) -> Tensor:
    """``H(P_T^τ, P_S^τ)`` of logits (…, B, C), mean over rows (FitNets, Eq. 1 and the second term of Eq. 2)."""
    target = torch.softmax(teacher.detach() / temperature, dim=-1)
    return -mean((target * torch.log_softmax(student / temperature, dim=-1)).sum(dim=-1), rows)


class _Taken:
    """Keeps what a layer was given in the last forward pass: the hidden features before it."""

    def __init__(self, layer: nn.Module) -> None:
        self.value: Tensor | None = None
        layer.register_forward_pre_hook(self._take)

    def _take(self, layer: nn.Module, given: tuple[Any, ...]) -> None:
        self.value = given[0]


class FitnetsMethod(Method):
    fixed_teacher = True

    def __init__(self, options: Fitnets, context: Context) -> None:
        super().__init__()
        self.options, self.seeds, self.epochs = options, context.seeds, context.epochs
        self.hint_epochs = round(options.hints * context.epochs)

    def attach(self, networks: Ensemble, teacher: Ensemble | None) -> None:
        """Take the hidden features of the extractors, and those in the middle of the teacher, its fusion's."""
        if teacher is None or teacher.fuse is None:
            raise ConfigError("fitnets needs a teacher: name at least one auxiliary modality")
        extractors: list[Any] = list(networks.student.extractors.values())
        self.taken = [_Taken(extractor.last) for extractor in extractors]
        self.hint, self.slope = _Taken(teacher.fuse.last), teacher.fuse.slope
        width = sum(extractor.hidden_size for extractor in extractors)
        self.regressor = Dense(self.seeds, "fitnets.regressor", width, teacher.fuse.hidden_size)

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        if batch.epoch < self.hint_epochs:
            assert self.hint.value is not None
            hidden = [taken.value for taken in self.taken if taken.value is not None]
            # the regressor ends in the non-linearity of the hint (§2.2)
            guided = leaky_relu(self.regressor(torch.cat(hidden, dim=-1)), self.slope)
            hint, guided = (whole(x, batch.rows.shape[1], dim=1) for x in (self.hint.value, guided))
            return {"hint": hint_loss(hint, guided, batch.rows)}
        student, teacher = student_of(outputs)[1], teacher_of(outputs)[1]
        return {
            "student": student_error(outputs, batch),
            "answers": soft_cross_entropy(teacher, student, self.options.kd_temperature, batch.rows),
        }

    def weights(self, epoch: int) -> dict[str, float]:
        done = (epoch - self.hint_epochs) / max(self.epochs - 1 - self.hint_epochs, 1)
        answers = self.options.kd + done * (self.options.kd_last - self.options.kd)
        return {"hint": 1.0, "student": 1.0, "answers": answers}


METHODS = {"fitnets": Fitnets()}
