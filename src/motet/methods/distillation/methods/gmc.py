"""GMC: geometric multimodal contrastive representation learning (Poklukar et al., ICML 2022).

https://arxiv.org/abs/2202.03390
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from motet.core.options import Count, NotNegative, Positive
from motet.losses._rows import NEVER, mean, unit
from motet.methods.distillation.layers import Dense
from motet.methods.distillation.methods.base import (
    Batch,
    Context,
    Method,
    Options,
    student_error,
    student_of,
    teacher_error,
    teacher_of,
)
from motet.methods.distillation.networks import Outputs


@dataclass(frozen=True)
class Gmc(Options):
    """Student and auxiliary are each contrasted with the joint representation, the teacher."""

    gmc: NotNegative = 1.0
    """weight of the contrast."""
    temperature: Positive = 0.1
    """τ of the contrast."""
    form: Literal["code", "paper", "joints"] = "code"
    """code: the positive stands in the denominator; paper: it does not; joints: other joint representations alone stand
    there, in either role."""
    latent: Count = 64
    """size of the space in which they are compared."""

    def build(self, context: Context) -> Method:
        return GmcMethod(self, context)


def geometric_contrast(
    joint: Tensor, others: tuple[Tensor, ...], rows: Tensor, *, temperature: float, form: str
) -> Tensor:
    """(G,) contrast of unit rows (G, B, L): the sum over ``others``, the mean over rows."""
    total = torch.zeros(len(joint), dtype=joint.dtype, device=joint.device)
    off = ~torch.eye(joint.shape[1], dtype=torch.bool, device=joint.device) & rows[:, None, :]
    enough = rows & (rows.sum(dim=1, keepdim=True) > 1)  # the paper's form has no denominator for a single row
    for other in others:
        positive = (joint * other).sum(dim=-1) / temperature
        if form == "joints":  # the denominator of a row is the same whether it is the joint one or the other
            others_of_joint = (joint @ joint.transpose(1, 2) / temperature).masked_fill(~off, NEVER)
            total = total + mean(torch.logsumexp(others_of_joint, dim=-1) - positive, enough)
            continue
        across = other @ joint.transpose(1, 2) / temperature  # (other_i, joint_j)
        within = [(x @ x.transpose(1, 2) / temperature).masked_fill(~off, NEVER) for x in (joint, other)]
        if form == "paper":
            logits = torch.cat([across.masked_fill(~off, NEVER), within[1], within[0]], dim=-1)
            total = total + mean(torch.logsumexp(logits, dim=-1) - positive, enough)
            continue
        column = rows[:, None, :]
        of_joint = torch.cat([within[0], across.transpose(1, 2).masked_fill(~column, NEVER)], dim=-1)
        of_other = torch.cat([within[1], across.masked_fill(~column, NEVER)], dim=-1)
        loss = torch.logsumexp(of_joint, dim=-1) + torch.logsumexp(of_other, dim=-1) - 2 * positive
        total = total + mean(loss / 2, rows)
    return total


class GmcMethod(Method):
    def __init__(self, options: Gmc, context: Context) -> None:
        super().__init__()
        self.options = options
        self.head = Dense(context.seeds, "gmc.head", context.features, options.latent)

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        seen = (teacher_of(outputs)[0], student_of(outputs)[0], *outputs.auxiliary)
        joint, *others = [unit(self.head(x)) for x in seen]
        options = self.options
        return {
            "student": student_error(outputs, batch),
            "teacher": teacher_error(outputs, batch),
            "geometric": geometric_contrast(
                joint, tuple(others), batch.rows, temperature=options.temperature, form=options.form
            ),
        }

    def weights(self, epoch: int) -> dict[str, float]:
        return {"student": 1.0, "teacher": 1.0, "geometric": self.options.gmc}


METHODS = {"gmc": Gmc()}
