"""MCL: mutual contrastive learning between streams, the rival named in CMD's supplement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from motet.losses import mutual_contrast
from motet.methods.contrastive import Contrastive, Term, need_two


@dataclass(frozen=True)
class MCL(Contrastive):
    """Options of MCL. The paper gives no formula; see :func:`motet.losses.mutual_contrast` for the reading."""

    title: ClassVar[str] = "MCL"
    meaning: ClassVar[str] = "As MoCo, and every stream also has to recognise the recording in the other streams."

    mutual_weight: float = 1.0
    """weight of the contrast between streams."""

    def terms(self, streams: Sequence[str], epochs: int) -> list[Term]:
        between = Term(
            "mutual-contrast",
            lambda out: mutual_contrast(out.queries, out.keys, out.queues, temperature=self.temperature),
            weight=self.mutual_weight,
        )
        return [*self.contrast_terms(streams), between]

    def validate(self, streams: Sequence[str]) -> None:
        super().validate(streams)
        need_two(streams, "mcl")
