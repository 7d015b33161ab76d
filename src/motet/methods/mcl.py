"""MCL: mutual contrastive learning between streams, the rival named in CMD's supplement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import torch
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
            if not out.present:
                return mutual_contrast(out.queries, out.keys, out.queues, temperature=self.temperature)
            losses = []
            for a, b in combinations(streams, 2):  # both directions of a pair on the clips and slots that both have
                pair = out.among(a, b)
                if pair is not None:
                    some = [{s: rows[s] for s in (a, b)} for rows in (pair.queries, pair.keys, pair.queues)]
                    losses.append(mutual_contrast(*some, temperature=self.temperature))
            return torch.stack(losses).sum() if losses else out.nothing()

        return [*self.contrast_terms(streams), Term("mutual-contrast", between, weight=self.mutual_weight)]

    def validate(self, streams: Sequence[str]) -> None:
        super().validate(streams)
        need_two(streams, "mcl")
