"""Base losses only: nothing is labelled, clusters are those of spherical k-means (BM in CoDT's tables)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from motet.methods.discovery.methods.base import Labelling, Method

if TYPE_CHECKING:
    from motet.methods.discovery.networks import Branch
    from motet.methods.discovery.settings import Settings


@dataclass(frozen=True)
class Options(Method):
    """Options of ``bm``: none."""

    summary: ClassVar[str] = "base losses only, then spherical k-means"
    trains: ClassVar[bool] = False

    def labelling(self, settings: Settings, pair: tuple[Branch, Branch]) -> Labelling:
        return Labelling(self, settings, pair)
