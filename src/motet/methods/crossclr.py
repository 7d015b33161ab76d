"""CrosSCLR: contrast first, then positives mined across streams (Li et al., CVPR 2021, arXiv:2104.14540)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from motet.core.errors import ConfigError
from motet.losses import cross_positive_mining
from motet.methods.contrastive import Contrastive, StepOutput, Term, need_two


@dataclass(frozen=True)
class CrosSCLR(Contrastive):
    """Options of CrosSCLR on these encoders (CrosSCLR-B in CMD's tables, when those are GRUs).

    The second stage replaces the first's loss. No source fixes the split for CrosSCLR-B; the original switches
    half-way.
    """

    title: ClassVar[str] = "CrosSCLR"
    meaning: ClassVar[str] = "As MoCo, and what one stream finds similar counts as similar for the other streams too."

    cross_start: int | None = None
    """first epoch of the second stage, counted from 0; by default half of the epochs. 0 gives one stage."""
    mined: int = 1
    """positives that each partner mines."""
    context: bool = True
    """whether products of similarities are further logits."""
    frozen_twins: bool = False
    """as released: in the second stage only the motion stream's key encoder follows its query encoder (a slip of the
    released code)."""

    def terms(self, streams: Sequence[str], epochs: int) -> list[Term]:
        switch = self.switch(epochs)

        def mine(out: StepOutput) -> Tensor:
            return cross_positive_mining(
                out.queries,
                out.keys,
                out.queues,
                temperature=self.temperature,
                top_k=self.mined,
                context=self.context,
                present=out.present,
                held=out.held,
            )

        return [*self.contrast_terms(streams, stop=switch), Term("cross-mining", mine, start=switch)]

    def switch(self, epochs: int) -> int:
        """First epoch of the second stage."""
        return epochs // 2 if self.cross_start is None else self.cross_start

    def released(self, split: str | None) -> CrosSCLR:
        return replace(self, frozen_twins=True)

    def moving_key_encoders(self, streams: Sequence[str], epoch: int, epochs: int) -> list[str]:
        if not self.frozen_twins or epoch < self.switch(epochs):
            return list(streams)
        return ["motion"] if "motion" in streams else [streams[-1]]

    def validate(self, streams: Sequence[str]) -> None:
        super().validate(streams)
        need_two(streams, "crossclr")
        if not 1 <= self.mined <= self.queue_size:
            raise ConfigError(f"mined is {self.mined}, it must lie in 1..{self.queue_size} (queue_size)")
