"""CRD (Tian et al., ICLR 2020) and CRCD (Zhu et al., CVPR 2021): contrast against memories of the training set.

https://arxiv.org/abs/1910.10699 and https://arxiv.org/abs/2103.16367
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from motet.core.errors import ConfigError
from motet.core.options import Count, Fraction, NotNegative, Positive
from motet.losses._rows import mean, unit
from motet.methods.distillation.layers import Dense, initial
from motet.methods.distillation.methods.base import (
    Batch,
    Context,
    Method,
    Softened,
    student_error,
    student_of,
    teacher_of,
)
from motet.methods.distillation.networks import Outputs

_EPSILON = 1e-7  # next to p + q in CRD's logarithms
_SHIFT = 1e-6  # added to a difference before it is normalised, in CRCD


@dataclass(frozen=True)
class Remembered(Softened):
    """Options of a contrast against memories of the training set."""

    temperature: Positive = 0.07
    """τ of the contrast."""
    negatives: Count = 16384
    """negatives of a row, of other classes; at most as many as the training rows of other classes."""
    memory_momentum: Fraction = 0.5
    """share of a memory's row that stays when the row is seen again."""
    projection: Count = 128
    """size of the space of memories and contrast."""


@dataclass(frozen=True)
class Crd(Remembered):
    """Contrastive representation distillation from a frozen teacher."""

    crd: NotNegative = 0.8
    """weight of the contrast."""
    kd: NotNegative = 0.0
    positive: Literal["exact", "relax"] = "exact"
    """the row itself, or a random row of its class."""

    def build(self, context: Context) -> Method:
        return CrdMethod(self, context)


@dataclass(frozen=True)
class Crcd(Remembered):
    """Complementary relation contrastive distillation: CRD on relations to anchors, and on gradients."""

    crcd: NotNegative = 1.0
    """weight of the contrast of relations."""
    gradient: NotNegative = 10.0
    """weight of 1 - cosine of the gradients of student and teacher with respect to their representations."""
    kd: NotNegative = 0.9
    temperature: Positive = 0.05
    negatives: Count = 500
    last_alone: Fraction = 0.04
    """last share of the epochs that learns from labels alone."""

    def build(self, context: Context) -> Method:
        return CrcdMethod(self, context)


class Negatives:
    """Uniform draws among the replica's training rows of other classes, with replacement and without a loop over rows.

    The rows stand sorted by class, so the other classes are two stretches: a number below the count of other rows is
    moved past the own class.
    """

    def __init__(self, labels: Tensor, rows: Tensor, classes: int) -> None:
        key = labels.masked_fill(~rows, classes)
        self.order = key.argsort(dim=1, stable=True)
        counts = torch.zeros(len(labels), classes + 1, dtype=torch.int64, device=labels.device)
        counts.scatter_add_(1, key, torch.ones_like(key))
        self.counts = counts[:, :classes]
        self.start = self.counts.cumsum(dim=1) - self.counts
        self.total = self.counts.sum(dim=1, keepdim=True)
        if bool((self.total - self.counts.max(dim=1, keepdim=True).values < 1).any()):
            raise ConfigError("the rows with every modality are of one class in a fold; there are no negatives")

    def most(self) -> int:
        """Largest useful number of negatives: rows of other classes of the largest class, in the smallest replica."""
        return int((self.total - self.counts.max(dim=1, keepdim=True).values).min())

    def draw(self, uniform: Tensor, labels: Tensor) -> Tensor:
        """(G, B, K) numbers in [0, 1) → (G, B, K) places."""
        own, start = self.counts.gather(1, labels)[..., None], self.start.gather(1, labels)[..., None]
        others = self.total[:, :, None] - own
        place = torch.minimum((uniform.double() * others).long(), others - 1)
        place = place + torch.where(place >= start, own, 0)
        return self.order.gather(1, place.flatten(1)).view(place.shape)

    def same_class(self, uniform: Tensor, labels: Tensor) -> Tensor:
        """(G, B) numbers in [0, 1) → (G, B) places of rows of the same class."""
        own, start = self.counts.gather(1, labels), self.start.gather(1, labels)
        place = torch.minimum((uniform.double() * own).long(), (own - 1).clamp_min(0))
        return self.order.gather(1, (start + place).clamp_max(self.order.shape[1] - 1))


def memory_loss(
    scores: Tensor, usable: Tensor, counts: Tensor, negatives: int, constant: Tensor
) -> tuple[Tensor, Tensor]:
    """ℓ(p) of CRD: noise-contrastive estimation with p = scores / Z.

    Args:
        scores: (G, R, 1 + K) exponentials, the positive first.
        usable: (G, R, 1 + K) bool, or (G, R, 1).
        counts: (G,) n.
        negatives: K.
        constant: (G,) Z; NaN where it is still unknown, then it is set to n · mean(scores) of this call.

    Returns:
        (G,) loss, the mean over rows of which anything is usable; (G,) Z.
    """
    usable = usable.expand_as(scores)
    kept = scores.detach().masked_fill(~usable, 0)
    average = kept.sum(dim=(1, 2)) / usable.sum(dim=(1, 2)).clamp_min(1)
    found = usable.any(dim=2).any(dim=1)
    constant = torch.where(constant.isnan() & found, counts * average.double(), constant)
    share = scores / constant.nan_to_num(1.0).to(scores)[:, None, None]
    q = (negatives / counts).to(scores)[:, None]
    positive = torch.log(share[..., 0] / (share[..., 0] + q + _EPSILON))
    negative = torch.log(q[..., None] / (share[..., 1:] + q[..., None] + _EPSILON))
    rows = positive.masked_fill(~usable[..., 0], 0) + negative.masked_fill(~usable[..., 1:], 0).sum(dim=2)
    return -mean(rows, usable.any(dim=2)), constant


class MemoryMethod(Method):
    """Two memories, one slot per training row: of the student (0) and of the teacher (1)."""

    fixed_teacher = True
    memories: Tensor
    constants: Tensor
    normalised = False

    def __init__(self, options: Crd | Crcd, context: Context) -> None:
        super().__init__()
        self.settings, self.seeds, self.counts = options, context.seeds, context.counts
        self.embed = nn.ModuleList(
            Dense(context.seeds, f"memory.embed.{who}", context.features, options.projection)
            for who in ("student", "teacher")
        )
        slots, bound = context.labels.shape[1], 1 / math.sqrt(options.projection / 3)
        # a replica's memory must not depend on the padding that longer replicas force on it
        drawn = [
            [
                nn.functional.pad(initial(seed, f"memory.{who}", int(n), options.projection), (0, 0, 0, slots - int(n)))
                for seed, n in zip(context.seeds, context.counts, strict=True)
            ]
            for who in ("student", "teacher")
        ]
        memories = bound * torch.stack([torch.stack(replicas) for replicas in drawn])
        self.register_buffer("memories", unit(memories) if self.normalised else memories)
        nothing = torch.full((2, len(context.seeds)), math.nan, dtype=torch.float64)
        self.register_buffer("constants", nothing)
        self.pool = Negatives(context.labels, context.rows, context.classes)
        self.negatives = min(options.negatives, self.pool.most())
        self._new: tuple[Tensor, Tensor] | None = None

    def contrasted(self, batch: Batch) -> Tensor:
        """(G, B, 1 + K) slots: the row itself, then rows of other classes."""
        replicas, size = batch.index.shape
        uniform = batch.draws(self.seeds).uniform("negatives", self.negatives).view(replicas, size, self.negatives)
        drawn = self.pool.draw(uniform, batch.labels)
        return torch.cat([self.positives(batch)[..., None], drawn], dim=2)

    def positives(self, batch: Batch) -> Tensor:
        """(G, B) slot of every row's positive: its own."""
        return batch.index

    def embedded(self, outputs: Outputs) -> tuple[Tensor, Tensor]:
        """Unit projections of student and teacher, (G, B, F)."""
        student = unit(self.embed[0](student_of(outputs)[0]))
        teacher = unit(self.embed[1](teacher_of(outputs)[0].detach()))
        return student, teacher

    def contrast(self, outputs: Outputs, batch: Batch) -> Tensor:
        """(G,) ℓ of the student against the teacher's memory plus ℓ of the teacher against the student's."""
        pair = self.embedded(outputs)
        self._new = (pair[0].detach(), pair[1].detach())
        slots = self.contrasted(batch)
        total = torch.zeros(len(self.seeds), dtype=pair[0].dtype, device=pair[0].device)
        for mine in (0, 1):
            loss, constant = self.side(pair[mine], self.memories[1 - mine], slots, batch, self.constants[mine])
            self.constants[mine] = torch.where(self._moving(batch), constant, self.constants[mine])
            total = total + loss
        return total

    def side(
        self, rows: Tensor, memory: Tensor, slots: Tensor, batch: Batch, constant: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Loss of one side against the other's memory, and its Z."""
        raise NotImplementedError

    @staticmethod
    def _moving(batch: Batch) -> Tensor:
        return torch.tensor(batch.active, device=batch.index.device)

    def after_step(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """The memories follow: V ← norm(μ V + (1 - μ) v)."""
        if self._new is None:
            return {}
        write = batch.rows & self._moving(batch)[:, None]
        momentum = self.settings.memory_momentum
        for memory, new in zip(self.memories, self._new, strict=True):
            place = batch.index[..., None].expand_as(new)
            old = memory.gather(1, place)
            moved = unit(momentum * old + (1 - momentum) * new)
            memory.scatter_(1, place, torch.where(write[..., None], moved, old))
        self._new = None
        return {}


class CrdMethod(MemoryMethod):
    def __init__(self, options: Crd, context: Context) -> None:
        super().__init__(options, context)
        self.options = options

    def positives(self, batch: Batch) -> Tensor:
        if self.options.positive == "exact":
            return batch.index
        uniform = batch.draws(self.seeds).uniform("positive", 1).view(batch.index.shape)
        return self.pool.same_class(uniform, batch.labels)

    def side(
        self, rows: Tensor, memory: Tensor, slots: Tensor, batch: Batch, constant: Tensor
    ) -> tuple[Tensor, Tensor]:
        # all dot products at once are one matrix product; gathering memories would copy B · K · F numbers
        cosine = (rows @ memory.transpose(1, 2)).gather(2, slots)
        scores = (cosine / self.options.temperature).exp()
        return memory_loss(scores, batch.rows[..., None], self.counts, self.negatives, constant)

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        found = {"student": student_error(outputs, batch), "contrast": self.contrast(outputs, batch)}
        if self.options.kd:
            found["answers"] = self.options.answers(outputs, batch)
        return found

    def weights(self, epoch: int) -> dict[str, float]:
        return {"student": 1.0, "contrast": self.options.crd, "answers": self.options.kd}


class CrcdMethod(MemoryMethod):
    normalised = True
    skip_degenerate = True  # a relation of a slot to itself has no direction; the released code gives it a constant one

    def __init__(self, options: Crcd, context: Context) -> None:
        super().__init__(options, context)
        self.options = options
        self.alone_from = context.epochs - round(options.last_alone * context.epochs)

    def side(
        self, rows: Tensor, memory: Tensor, slots: Tensor, batch: Batch, constant: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Relations of rows to anchors against relations of memories to the same anchors.

        The scalar product of (v_i + ε - a_j) and (V_c + ε - a_j) is expanded into products of all rows, anchors and
        memories with each other, so no tensor has B² (1 + K) F numbers.
        """
        replicas, size, width = rows.shape
        anchors = memory.gather(1, batch.index[..., None].expand(replicas, size, width))
        shifted, kept = rows + _SHIFT, memory + _SHIFT
        row_anchor, anchor_norm = shifted @ anchors.transpose(1, 2), anchors.square().sum(dim=-1)
        row_memory = (shifted @ kept.transpose(1, 2)).gather(2, slots)  # (G, i, k)
        anchor_memory = anchors @ kept.transpose(1, 2)  # (G, j, n)
        spread = slots[:, :, None, :].expand(-1, -1, size, -1)
        anchor_memory = anchor_memory[:, None].expand(-1, size, -1, -1).gather(3, spread)  # (G, i, j, k)
        memory_norm = kept.square().sum(dim=-1).gather(1, slots.flatten(1)).view(slots.shape)
        product = row_memory[:, :, None] - row_anchor[..., None] - anchor_memory + anchor_norm[:, None, :, None]
        other = memory_norm[:, :, None] - 2 * anchor_memory + anchor_norm[:, None, :, None]
        difference = shifted[:, :, None] - anchors[:, None]
        length = torch.linalg.vector_norm(difference, dim=-1)
        cosine = product / (length[..., None].clamp_min(1e-12) * other.clamp_min(1e-12).sqrt())
        itself = slots[:, :, None, :] == batch.index[:, None, :, None]
        constant_direction = difference.sum(dim=-1) / (length.clamp_min(1e-12) * math.sqrt(width))
        cosine = torch.where(itself, constant_direction[..., None], cosine).clamp(-1, 1)
        usable = (batch.rows[:, :, None] & batch.rows[:, None, :])[..., None]
        if self.skip_degenerate:
            usable = usable & ~itself
        scores = (cosine / self.options.temperature).exp()
        flat = usable.expand_as(scores).flatten(1, 2)
        return memory_loss(scores.flatten(1, 2), flat, self.counts, self.negatives, constant)

    @staticmethod
    def gradient_difference(student: Tensor, teacher: Tensor, rows: Tensor) -> Tensor:
        """(G,) 1 - mean cosine of two gradients (G, B, D)."""
        return 1 - mean((unit(student) * unit(teacher)).sum(dim=-1), rows)

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        found = {"student": student_error(outputs, batch)}
        if batch.epoch >= self.alone_from:
            return found
        found["contrast"] = self.contrast(outputs, batch)
        found["answers"] = self.options.answers(outputs, batch)
        if outputs.student_slope is not None and outputs.teacher_slope is not None:
            # of a linear classifier the gradient of the cross-entropy is (softmax - one-hot) Wᵀ
            sides = (
                (student_of(outputs)[1], outputs.student_slope),
                (teacher_of(outputs)[1].detach(), outputs.teacher_slope.detach()),
            )
            gradients = [self._gradient(logits, weight, batch.labels) for logits, weight in sides]
            found["gradient"] = self.gradient_difference(gradients[0], gradients[1], batch.rows)
        return found

    @staticmethod
    def _gradient(logits: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
        target = nn.functional.one_hot(labels, logits.shape[-1]).to(logits)
        return (logits.softmax(dim=-1) - target) @ weight.transpose(1, 2)

    def weights(self, epoch: int) -> dict[str, float]:
        alone = epoch >= self.alone_from
        options = self.options
        parts = {"contrast": options.crcd, "answers": options.kd, "gradient": options.gradient}
        return {"student": 1.0} | {name: 0.0 if alone else weight for name, weight in parts.items()}


METHODS = {"crd": Crd(), "crcd": Crcd()}
SETTINGS = {"table": {"crd": {"negatives": 128}, "crcd": {"negatives": 16}}}
