"""CMD: cross-modal mutual distillation (Mao et al., ECCV 2022, arXiv:2208.12448)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from motet.core.errors import ConfigError, MotetWarning
from motet.losses import consensus_distillation, mutual_distillation
from motet.methods.contrastive import Contrastive, StepOutput, Term, need_two


@dataclass(frozen=True)
class CMD(Contrastive):
    """Options of CMD; the defaults are the paper's."""

    title: ClassVar[str] = "CMD"
    meaning: ClassVar[str] = "As MoCo, and the streams teach each other which recordings are similar."

    teachers: Literal["pairwise", "consensus"] = "pairwise"
    """pairwise: every stream teaches every other, as published; consensus: each is taught once, by the mean of the
    others, at a cost linear in the number of streams."""
    neighbours: int | None = None
    """anchors N per clip; by default half of the queue, as released."""
    student_temperature: float = 0.1
    teacher_temperature: float = 0.05
    distill_weight: float = 1.0
    """weight λ of the distillation."""
    distill_start: int = 0
    """first epoch with distillation: 0 is the one-stage form of the paper, later is two-stage."""
    distill_ramp: int = 0
    """epochs over which the weight rises from distill_start."""
    wait_for_queue: bool = False
    """no distillation while slots of the queue still hold their initial noise (the paper distils from the start)."""

    def terms(self, streams: Sequence[str], epochs: int) -> list[Term]:
        loss = {"pairwise": mutual_distillation, "consensus": consensus_distillation}[self.teachers]

        def distill(out: StepOutput) -> Tensor:
            if self.wait_for_queue and out.filled < self.queue_size:
                return out.nothing()
            return loss(
                out.queries,
                out.keys,
                out.queues,
                top_k=self.neighbours,
                student_temperature=self.student_temperature,
                teacher_temperature=self.teacher_temperature,
                present=out.present,
                held=out.held,
            )

        term = Term(
            "distillation", distill, weight=self.distill_weight, start=self.distill_start, ramp=self.distill_ramp
        )
        return [*self.contrast_terms(streams), term]

    def validate(self, streams: Sequence[str]) -> None:
        super().validate(streams)
        need_two(streams, "cmd")
        if self.neighbours is not None and not 1 <= self.neighbours <= self.queue_size:
            raise ConfigError(f"neighbours is {self.neighbours}, it must lie in 1..{self.queue_size} (queue_size)")
        if (self.neighbours or self.queue_size) == 1:
            warnings.warn(
                "distillation over one neighbour compares two certainties and is always 0; raise --neighbours",
                MotetWarning,
                stacklevel=2,
            )
        if min(self.student_temperature, self.teacher_temperature) <= 0:
            raise ConfigError("student_temperature and teacher_temperature must be positive")
