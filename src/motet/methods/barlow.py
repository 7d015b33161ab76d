"""Barlow Twins (Zbontar et al., ICML 2021, arXiv:2103.03230) on motion: no queue, no momentum encoder, no negatives.

Two altered copies of a clip pass the same encoder and projector. Over the batch, each number of the one projection is
to correlate with the same number of the other, and with no other number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from motet.core.distributed import sum_over_ranks, world_size
from motet.core.errors import ConfigError
from motet.core.options import Count, NotNegative
from motet.losses._precision import at_least_float32
from motet.methods.base import Clips, Layouts, Method, Present, Streams, Terms


@at_least_float32
def cross_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Correlation of every number of one projection with every number of the other (Barlow Twins, Eq. 2).

    Args:
        first, second: (B, D), each column with mean 0 and variance 1 over the batch.

    Returns:
        (D, D); over the batches of all processes.
    """
    return sum_over_ranks(first.T @ second / len(first)) / world_size()


@at_least_float32
def redundancy_reduction(correlation: Tensor, *, off_diagonal: float = 5e-3) -> Tensor:
    """``Σ_i (1 − C_ii)² + λ Σ_i Σ_{j≠i} C_ij²`` (Barlow Twins, Eq. 1).

    Args:
        correlation: (D, D) from :func:`cross_correlation`.
        off_diagonal: λ.
    """
    own = correlation.diagonal()
    others = correlation.square().sum() - own.square().sum()
    return (1 - own).square().sum() + off_diagonal * others


@dataclass(frozen=True)
class BarlowTwins(Method):
    """Options of Barlow Twins; λ is the paper's, sizes are for small encoders."""

    title: ClassVar[str] = "Barlow Twins"
    meaning: ClassVar[str] = "Describes a recording by numbers that survive distortion and do not repeat each other."
    released_extra_epochs: ClassVar[int] = 0

    projection: Count = 256
    """width of the three layers of the projector, and numbers that are correlated (the paper's 8192)."""
    off_diagonal: NotNegative = 5e-3
    """weight λ of the correlations that should vanish."""

    def build(self, streams: Sequence[str], layouts: Layouts, *, epochs: int, gaps: bool = False) -> BarlowStreams:
        return BarlowStreams(self, streams, layouts)

    def check_sizes(self, clips: int, batch_size: int) -> None:
        if batch_size < 2:
            raise ConfigError(f"batch_size is {batch_size}; a correlation needs two clips or more")


class BarlowStreams(Streams):
    """Encoders, and a projector for each, which is not kept."""

    def __init__(self, options: BarlowTwins, streams: Sequence[str], layouts: Layouts) -> None:
        super().__init__(streams, layouts)
        self.options = options
        self.projectors = nn.ModuleList(_projector(size, options.projection) for size in self.sizes)

    def losses(self, clips: Sequence[Clips], epoch: int, present: Present = None, ids: Tensor | None = None) -> Terms:
        """``redundancy/STREAM`` of two augmentations of the same clips."""
        first, second = (self.features(clip) for clip in clips)
        found = {}
        for stream, projector, a, b in zip(self.streams, self.projectors, first, second, strict=True):
            correlation = cross_correlation(projector(a), projector(b))
            found[f"redundancy/{stream}"] = redundancy_reduction(correlation, off_diagonal=self.options.off_diagonal)
            self.observed[f"redundancy/{stream}/agreement"] = correlation.detach().diagonal().mean()
        return found


def _projector(features: int, width: int) -> nn.Sequential:
    """Three layers; the last norm has no gain and no offset, so that what it gives are standard scores."""
    hidden = [m for i in (features, width) for m in (nn.Linear(i, width, bias=False), nn.BatchNorm1d(width), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(width, width, bias=False), nn.BatchNorm1d(width, affine=False))
