"""MCL: mutual contrastive learning between streams, the baseline named in CMD's supplement (arXiv:2208.12448)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from motet.losses import mutual_contrast
from motet.methods.contrastive import Contrastive, StepOutput, Term, need_two


@dataclass(frozen=True)
class MCL(Contrastive):
    """Options of MCL. The paper gives no formula; see :func:`motet.losses.mutual_contrast` for the reading."""

    title: ClassVar[str] = "MCL"
    meaning: ClassVar[str] = "As MoCo, and every stream also has to recognise the recording in the other streams."

    mutual_weight: float = 1.0
    """weight of the contrast between streams."""

    def terms(self, streams: Sequence[str], epochs: int) -> list[Term]:
        def between(out: StepOutput) -> Tensor:
            rows = out.queries, out.keys, out.queues
            return mutual_contrast(*rows, temperature=self.temperature, present=out.present, held=out.held)

        return [*self.contrast_terms(streams), Term("mutual-contrast", between, weight=self.mutual_weight)]

    def validate(self, streams: Sequence[str]) -> None:
        super().validate(streams)
        need_two(streams, "mcl")
