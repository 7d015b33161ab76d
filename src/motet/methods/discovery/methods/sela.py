"""Balanced labels of the whole set, made once an epoch.

Asano et al., "Self-labelling via simultaneous clustering and representation learning", ICLR 2020,
https://arxiv.org/abs/1911.05371; here by :func:`motet.losses.balanced_assignment` on the banks of CoDT's branches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from motet.core.errors import ConfigError
from motet.methods.discovery.methods import ocm

if TYPE_CHECKING:
    from motet.methods.discovery.networks import Branch
    from motet.methods.discovery.settings import Settings


@dataclass(frozen=True)
class Options(ocm.Options):
    """Options of ``sela``: those of the transport."""

    summary: ClassVar[str] = "balanced labels of the whole set, made once an epoch (Asano et al., ICLR 2020)"

    def labelling(self, settings: Settings, pair: tuple[Branch, Branch]) -> SelfLabelled:
        return SelfLabelled(self, settings, pair)


class SelfLabelled(ocm.Transported):
    """Labels that last for an epoch.

    Attributes:
        fixed: (2, N) labels of both branches.
    """

    continues: ClassVar[bool] = False  # an epoch later the labels lie far from those of the epoch before
    fixed: Tensor | None = None

    def begin_epoch(self) -> None:
        self.fixed = torch.stack([self.labels(b) for b in (0, 1)])

    def labels_of(self, places: Tensor) -> list[Tensor]:
        if self.fixed is None:
            raise ConfigError("the labels of the epoch are missing; begin an epoch first")
        return list(self.fixed[:, places])

    def state(self) -> dict[str, Any]:
        return {**super().state(), "fixed": self.fixed}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self.fixed = self.moved(state["fixed"])
