"""AMID: adversarial mutual-information distillation (Chen et al., CVPR 2023).

The teacher and the student learn together. The teacher's mutual information with the student and with the auxiliary is
raised by a contrast with rows of the same class as positives; the student's representation is drawn into the teacher's
distribution by two critics, one for all rows and one for rows whose class occurs again in the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from motet.core.options import Count, Fraction, Momentum, Natural, NotNegative, Positive
from motet.losses import multimodal
from motet.losses._rows import mean, repeated_rows, same_class, unit
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
from motet.methods.distillation.networks import Critic, Outputs
from motet.methods.distillation.optimise import ReplicaOptimiser


def critic_widths(first: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Hidden widths of the fundamental critic (five layers) and of the enhanced one (three layers)."""
    return tuple(max(1, first >> n) for n in range(4)), (first, max(1, first // 4))


@dataclass(frozen=True)
class Amid(Options):
    """Options of AMID; every ablation of the paper is one of them."""

    temperature: Positive = 0.5
    """τ of the contrast."""
    reduction: Literal["paper", "nce"] = "paper"
    """sums over positives and negatives (Eq. 8), or their means (L_nce, as CCL)."""
    symmetric: bool = False
    """also anchor at student and auxiliary, and average; the paper anchors at the teacher alone."""
    contrast_student: NotNegative = 4.0
    """α1, weight of the contrast of teacher and student."""
    contrast_auxiliary: NotNegative = 1.6
    """α2, weight of the contrast of teacher and auxiliary."""
    adversarial: NotNegative = 1.0
    """α3, weight of the critics' term; 0 removes both critics."""
    agreement: NotNegative = 1.0
    """weight of the divergence of the two answers (Eq. 15)."""
    divergence: Literal["jensen-shannon", "jeffreys"] = "jensen-shannon"
    """jeffreys: what CCL's code computes under that name."""
    warm_up: Natural = 20
    """epochs of classification and agreement alone, before contrast and critics (T_start)."""
    weighting: Literal["dynamic", "uniform"] = "dynamic"
    """weights of the two critics: from cosines (Eq. 14), or ½ each."""
    beta: Fraction = 0.9
    """momentum of the dynamic weights."""
    enhanced: Literal["repeated", "all", "none"] = "repeated"
    """rows of the second critic: those whose class occurs again in the batch; all: the paper's «identical»; none: one
    critic alone."""
    denominator: Literal["count", "expected"] | Positive = "count"
    """d of the second critic: rows whose class occurs again, their expectation, or a number."""
    fixed_teacher: bool = False
    """train the teacher first and freeze it."""
    critic_lr: Positive = 1e-4
    """rate of both critics at the start; it follows the schedule of the main one."""
    critic_optimiser: Literal["adam", "sgd"] = "adam"
    """of both critics; the paper names none."""
    critic_width: Count = 256
    """first hidden width of both critics; the others are halves and quarters of it. The paper gives none."""
    critic_slope: Momentum = 0.2
    """LeakyReLU slope of the critics."""

    def build(self, context: Context) -> Method:
        return AmidMethod(self, context)

    def cautions(self) -> list[str]:
        if not self.adversarial or self.warm_up:
            return []
        return [
            "AMID without a warm-up (warm_up 0): in the paper, critics that meet an untrained student drive it below "
            "the baseline; choose --warm-up 1 or more"
        ]


def expected_repeated(labels: Tensor, batch_size: int) -> float:
    """Expected number of rows of a batch whose class occurs again in it, drawn without replacement (E[w])."""
    counts = torch.unique(labels, return_counts=True)[1].double()
    total, others = float(counts.sum()), batch_size - 1
    # that none of the others is of the same class: a product of hypergeometric odds
    drawn = torch.arange(others, dtype=torch.float64)
    left = (total - counts[:, None] - drawn).clamp_min(0) / (total - 1 - drawn)
    return float((batch_size * counts / total * (1 - left.prod(dim=1))).sum())


def cosine_sums(teacher: Tensor, student: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
    """What the dynamic weights are made of (AMID, Eq. 14), float64 (G, 6), without gradient.

    Sum and number of cos(M_i, S_i); of cos(M_v, S_u) over ordered pairs of one class, v ≠ u; and, to see a collapse,
    of cos(M_v, S_u) over pairs of different classes.
    """
    with torch.no_grad():
        cosine = (unit(teacher) @ unit(student).transpose(1, 2)).double()
        same = same_class(labels, rows)
        own = cosine.diagonal(dim1=1, dim2=2).masked_fill(~rows, 0).sum(dim=1)
        count = rows.sum(dim=1)
        same_sum = cosine.masked_fill(~same, 0).sum(dim=(1, 2))
        every = cosine.masked_fill(~(rows[:, :, None] & rows[:, None, :]), 0).sum(dim=(1, 2))
        pairs = same.sum(dim=(1, 2))
        found = [own, count, same_sum - own, pairs - count, every - same_sum, count * count - pairs]
        return torch.stack(found, dim=1).double()


class AmidMethod(Method):
    raw: Tensor
    sums: Tensor
    divisor: Tensor

    def __init__(self, options: Amid, context: Context) -> None:
        super().__init__()
        self.options, self.fixed_teacher = options, options.fixed_teacher
        replicas = len(context.seeds)
        slope = options.critic_slope
        five, three = critic_widths(options.critic_width)
        self.fundamental = Critic(context.seeds, "fundamental", context.features, five, slope)
        self.enhanced = Critic(context.seeds, "enhanced", context.features, three, slope)
        self.register_buffer("raw", torch.tensor([0.0, 1.0], dtype=torch.float64).repeat(replicas, 1))
        self.register_buffer("sums", torch.zeros(replicas, 6, dtype=torch.float64))
        expected = [
            max(expected_repeated(y[rows], min(context.batch_size, int(rows.sum()))), 1e-6) if rows.any() else 1.0
            for y, rows in zip(context.labels, context.rows, strict=True)
        ]
        self.register_buffer("divisor", torch.tensor(expected, dtype=torch.float64), persistent=False)
        self._optimisers: dict[str, ReplicaOptimiser] | None = None

    # ------------------------------------------------------------------ the main step

    def own_parameters(self) -> list[nn.Parameter]:
        return []  # the critics have optimisers of their own

    def weights(self, epoch: int) -> dict[str, float]:
        warm = epoch < self.options.warm_up
        return {
            "student": 1.0,
            "teacher": 0.0 if self.fixed_teacher else 1.0,
            "agreement": self.options.agreement,
            "contrast_student": 0.0 if warm else self.options.contrast_student,
            "contrast_auxiliary": 0.0 if warm else self.options.contrast_auxiliary,
            "adversarial": 0.0 if warm else self.options.adversarial,
        }

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Terms of Eq. 17; those of weight 0 are not computed, so the warm-up does not even run the critics."""
        weights = self.weights(batch.epoch)
        compute = {
            "student": student_error,
            "teacher": teacher_error,
            "agreement": self._agreement,
            "contrast_student": self._contrast_student,
            "contrast_auxiliary": self._contrast_auxiliary,
            "adversarial": self._adversarial,
        }
        return {name: function(outputs, batch) for name, function in compute.items() if weights[name]}

    def _agreement(self, outputs: Outputs, batch: Batch) -> Tensor:
        forms = {"jensen-shannon": multimodal.jensen_shannon, "jeffreys": multimodal.jeffreys}
        divergence = forms[self.options.divergence]
        return divergence(student_of(outputs)[1], teacher_of(outputs)[1], rows=batch.rows)

    def _contrast(self, teacher: Tensor, other: Tensor, batch: Batch) -> Tensor:
        def one_way(anchors: Tensor, candidates: Tensor) -> Tensor:
            tau, reduction = self.options.temperature, self.options.reduction
            return multimodal.class_contrast(
                anchors, candidates, batch.labels, temperature=tau, reduction=reduction, rows=batch.rows
            )

        forth = one_way(teacher, other)
        return (forth + one_way(other, teacher)) / 2 if self.options.symmetric else forth

    def _contrast_student(self, outputs: Outputs, batch: Batch) -> Tensor:
        return self._contrast(teacher_of(outputs)[0], student_of(outputs)[0], batch)

    def _contrast_auxiliary(self, outputs: Outputs, batch: Batch) -> Tensor:
        teacher = teacher_of(outputs)[0]
        return torch.stack([self._contrast(teacher, other, batch) for other in outputs.auxiliary]).mean(dim=0)

    # ------------------------------------------------------------------ critics

    def shares(self) -> Tensor:
        """(G, 2) λ of this epoch."""
        if self.options.enhanced == "none":
            return torch.tensor([1.0, 0.0], dtype=torch.float64, device=self.raw.device).expand_as(self.raw)
        if self.options.weighting == "uniform" or self.options.enhanced == "all":
            return torch.full_like(self.raw, 0.5)
        return self.raw.softmax(dim=1)

    def _repeated(self, batch: Batch) -> Tensor:
        """(G, B) rows of the second critic."""
        if self.options.enhanced == "none":
            return torch.zeros_like(batch.rows)
        return batch.rows if self.options.enhanced == "all" else repeated_rows(batch.labels, batch.rows)

    def _denominator(self) -> float | Tensor | None:
        """d of Eq. 12 and 13."""
        d = self.options.denominator
        if d == "expected" and self.options.enhanced != "all":
            return self.divisor
        return None if isinstance(d, str) else d

    def _adversarial(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Eq. 12; the critics' weights are constants here, and the teacher takes no part."""
        student, repeated = student_of(outputs)[0], self._repeated(batch)
        fundamental = self.fundamental(student, frozen=True)
        enhanced = self.enhanced(student, frozen=True) if bool(repeated.any()) else torch.zeros_like(fundamental)
        return multimodal.adversarial_student(
            fundamental,
            enhanced,
            self.shares(),
            denominator=self._denominator(),
            rows=batch.rows,
            repeated=repeated,
        )

    def critic_loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Eq. 13 on detached representations."""
        return self._criticise(outputs, batch)[0]

    def _criticise(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, Tensor]:
        """(G,) loss of the critics; (G,) share of rows that the fundamental one classifies correctly, ½ by chance."""
        teacher, student = teacher_of(outputs)[0].detach(), student_of(outputs)[0].detach()
        repeated = self._repeated(batch)

        first = self.fundamental(teacher), self.fundamental(student)
        second = (torch.zeros_like(first[0]),) * 2
        if bool(repeated.any()):
            second = self.enhanced(teacher), self.enhanced(student)
        right = ((first[0] > 0).to(teacher.dtype) + (first[1] < 0).to(teacher.dtype)) / 2
        loss = multimodal.adversarial_critic(
            *first,
            *second,
            self.shares(),
            denominator=self._denominator(),
            rows=batch.rows,
            repeated=repeated,
        )
        return loss, mean(right, batch.rows)

    @property
    def optimisers(self) -> dict[str, ReplicaOptimiser]:
        """One for each critic, made when first needed: the weights have moved to their device by then."""
        if self._optimisers is None:

            def make(parameters: list[Tensor]) -> torch.optim.Optimizer:
                if self.options.critic_optimiser == "sgd":
                    return torch.optim.SGD(parameters, lr=self.options.critic_lr)
                return torch.optim.Adam(parameters, lr=self.options.critic_lr, fused=True)

            self._optimisers = {
                name: ReplicaOptimiser(critic.parameters(), make)
                for name, critic in (("fundamental", self.fundamental), ("enhanced", self.enhanced))
            }
        return self._optimisers

    def scale_rate(self, factor: float) -> None:
        """The critics' rate follows the schedule of the main one."""
        for optimiser in self.optimisers.values():
            optimiser.set_rate(self.options.critic_lr * factor)

    def after_step(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """The critics' step, and the cosines of the dynamic weights; nothing of it while warming up."""
        if batch.epoch < self.options.warm_up:
            return {}
        moving = torch.tensor(batch.active, device=self.sums.device)
        cosines = cosine_sums(teacher_of(outputs)[0], student_of(outputs)[0], batch.labels, batch.rows)
        self.sums += torch.where(moving[:, None], cosines, 0.0)
        if not self.options.adversarial:
            return {}
        loss, right = self._criticise(outputs, batch)
        if loss.requires_grad:
            loss.sum().backward()  # type: ignore[no-untyped-call]
        some = (batch.rows.any(dim=1) & moving).tolist()
        repeated = (self._repeated(batch).any(dim=1) & moving).tolist()
        self.optimisers["fundamental"].step(some)
        self.optimisers["enhanced"].step(repeated)
        return {"critics": loss.detach(), "critic_accuracy": right}

    def end_of_epoch(self, epoch: int) -> dict[str, Tensor]:
        """Eq. 14: the critic whose pairs are still unlike gets more weight."""
        if epoch < self.options.warm_up:
            return {}
        own, own_count, pairs, pair_count, others, other_count = self.sums.unbind(1)
        cosine = torch.stack([own / own_count.clamp_min(1), pairs / pair_count.clamp_min(1)], dim=1)
        seen = torch.stack([own_count, pair_count], dim=1) > 0
        moved = self.options.beta * self.raw + (1 - self.options.beta) * (1 - cosine)
        self.raw.copy_(torch.where(seen, moved, self.raw))
        across = others / other_count.clamp_min(1)
        self.sums.zero_()
        shares = self.shares()
        return {
            "cosine_own": cosine[:, 0],
            "cosine_class": cosine[:, 1],
            "cosine_others": across,
            "lambda_fundamental": shares[:, 0],
            "lambda_enhanced": shares[:, 1],
        }

    def get_extra_state(self) -> dict[str, object]:
        return {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()}

    def set_extra_state(self, state: dict[str, object]) -> None:
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state[name])  # type: ignore[arg-type]


# "nce" is AMID with the contrast of CCL
METHODS = {"amid": Amid(), "nce": Amid(reduction="nce")}

_SMALL = {"adversarial": 0.1, "warm_up": 4, "critic_width": 64}
SETTINGS = {
    "table": {
        "amid": {"contrast_student": 0.02, "contrast_auxiliary": 0.008, **_SMALL},
        "nce": {"contrast_student": 0.3, "contrast_auxiliary": 0.12, **_SMALL},
    },
    # published: τ and warm-up; the weights of the contrasts are not, these are our own
    "iemocap": {
        "amid": {"temperature": 0.6, "warm_up": 5, "contrast_student": 0.05, "contrast_auxiliary": 0.02},
        "nce": {"temperature": 0.6, "warm_up": 5},
    },
}
