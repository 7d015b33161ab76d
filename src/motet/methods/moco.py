"""MoCo-v2 (Chen et al., 2020, arXiv:2003.04297) on motion: contrast within each stream, nothing between them.

The base of CMD's tables (with one stream) and the baseline of every comparison (with several, each learns alone).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from motet.methods.contrastive import Contrastive


@dataclass(frozen=True)
class MoCo(Contrastive):
    """Options of MoCo; see :class:`motet.methods.contrastive.Contrastive`."""

    title: ClassVar[str] = "MoCo"
    meaning: ClassVar[str] = "Learns that two altered copies of one recording belong together, stream by stream."
