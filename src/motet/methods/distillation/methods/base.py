"""What every way to distil has in common: outputs of the networks and labels in, named terms out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from motet.core.errors import ConfigError
from motet.core.options import NotNegative, Positive
from motet.core.options import Options as BaseOptions
from motet.core.rng import CounterRNG
from motet.losses import multimodal
from motet.methods.distillation.networks import Ensemble, Outputs


@dataclass(frozen=True)
class Context:
    """What a method may need to know of the replicas before training.

    Attributes:
        seeds: of the G replicas.
        features: D.
        classes: C.
        labels: (G, n) classes of the training rows, padded at the end.
        rows: (G, n) bool, the training rows that have every modality; False in the padding.
        counts: (G,) training rows of each replica.
        batch_size: B.
        epochs: of the training.
    """

    seeds: tuple[int, ...]
    features: int
    classes: int
    labels: Tensor
    rows: Tensor
    counts: Tensor
    batch_size: int
    epochs: int


@dataclass
class Batch:
    """One step's rows.

    Attributes:
        labels: (G, B).
        rows: (G, B) bool, rows that have every modality; terms about teacher or auxiliary are of these.
        index: (G, B) place of the row among the replica's training rows.
        active: for each replica, whether it takes this step; a shorter epoch sits the last ones out.
        epoch: counted from 0.
    """

    labels: Tensor
    rows: Tensor
    index: Tensor
    active: Sequence[bool]
    epoch: int

    def draws(self, seeds: Sequence[int]) -> CounterRNG:
        """Random numbers of the rows, (G · B); a replica's depend on its seed, the epoch and the row alone."""
        seed = torch.tensor(seeds, device=self.index.device)[:, None]
        return CounterRNG(0, self.epoch, (seed * 2**32 + self.index).flatten(), -4)


@dataclass(frozen=True)
class Options(BaseOptions):
    """Options of a way to distil; every field is an option of the command line.

    Attributes:
        scored: whose answers are the result, ``student`` or ``teacher``.
        uses_teacher: whether anything but the student is needed.
    """

    scored: ClassVar[str] = "student"
    uses_teacher: ClassVar[bool] = True

    def build(self, context: Context) -> Method:
        """The method with these options."""
        raise NotImplementedError

    def cautions(self) -> list[str]:
        """What to warn of before training."""
        return []


@dataclass(frozen=True)
class Softened(Options):
    """Options of what learns a teacher's softened answers (Hinton, Vinyals & Dean 2015) too."""

    kd: NotNegative = 1.0
    """weight of the teacher's softened answers."""
    kd_temperature: Positive = 4.0
    """temperature that softens the answers of student and teacher."""

    def answers(self, outputs: Outputs, batch: Batch) -> Tensor:
        """(G,) their term, of rows that have every modality."""
        logits = student_of(outputs)[1], teacher_of(outputs)[1]
        return multimodal.softened_answers(*logits, self.kd_temperature, rows=batch.rows)


class Method(nn.Module):
    """Terms of a way to distil, their weights, and what it does besides.

    Attributes:
        fixed_teacher: the teacher is trained first and then frozen; it has extractors of its own.
    """

    fixed_teacher: bool = False

    def attach(self, networks: Ensemble, teacher: Ensemble | None) -> None:
        """Look at the networks that learn, and at the frozen teacher if there is one, before training."""

    def scale_rate(self, factor: float) -> None:
        """Rate of optimisers of the method's own in the epoch that begins, by the schedule of the main one."""

    def complete(self, outputs: Outputs) -> Outputs:
        """Outputs with what networks of the method's own add; in training and in use."""
        return outputs

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Unweighted terms, (G,) each."""
        raise NotImplementedError

    def weights(self, epoch: int) -> dict[str, float]:
        """Weight of every term in an epoch, counted from 0."""
        raise NotImplementedError

    def own_parameters(self) -> list[nn.Parameter]:
        """Parameters that the main optimiser moves with the networks'."""
        return list(self.parameters())

    def after_step(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """What follows the main optimiser's step, on the same outputs (critics, memories); losses to log, (G,) each."""
        return {}

    def end_of_epoch(self, epoch: int) -> dict[str, Tensor]:
        """What follows an epoch; numbers to log, (G,) each."""
        return {}


def teacher_of(outputs: Outputs) -> tuple[Tensor, Tensor]:
    """Representation and logits of the teacher."""
    if outputs.teacher is None or outputs.teacher_logits is None:
        raise ConfigError("this method needs a teacher: name at least one auxiliary modality")
    return outputs.teacher, outputs.teacher_logits


def student_of(outputs: Outputs) -> tuple[Tensor, Tensor]:
    """Representation and logits of the student."""
    assert outputs.student is not None
    assert outputs.student_logits is not None
    return outputs.student, outputs.student_logits


def student_error(outputs: Outputs, batch: Batch) -> Tensor:
    """(G,) cross-entropy of the student on every row."""
    return multimodal.cross_entropy(student_of(outputs)[1], batch.labels)


def teacher_error(outputs: Outputs, batch: Batch) -> Tensor:
    """(G,) cross-entropy of the teacher on the rows with every modality."""
    return multimodal.cross_entropy(teacher_of(outputs)[1], batch.labels, rows=batch.rows)
