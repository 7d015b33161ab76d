"""Contrastive tuning of encoders that were trained by prediction, as STARS does (Mehraban et al., WACV 2025).

Masked prediction gives features that a linear layer reads well and the nearest neighbour badly. A short contrastive
training fixes that, without strong augmentations: the positive of a clip is the nearest key of a memory, and the other
clips of the batch are the negatives (NNCLR, Dwibedi et al., ICCV 2021, arXiv:2104.14548).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from motet.core.distributed import world_size
from motet.core.errors import ConfigError
from motet.core.options import Count, Natural, Positive
from motet.encoders.clips import PartTokens
from motet.losses import in_batch_nce
from motet.memory import Queue
from motet.methods.base import Clips, Layouts, Method, Present, Streams, Terms, unit_rows


@dataclass(frozen=True)
class STARS(Method):
    """Options of contrastive tuning."""

    title: ClassVar[str] = "STARS"
    meaning: ClassVar[str] = "Draws recordings to their nearest neighbours among those seen before."
    released_extra_epochs: ClassVar[int] = 0

    dim: Count = 128
    """embedding size D."""
    head_width: Count = 256
    """hidden units of projection and prediction."""
    queue_size: Count = 16384
    """keys among which the nearest is looked for."""
    temperature: Positive = 0.07
    """divisor of the similarities."""
    frozen_blocks: Natural = 0
    """first blocks of the transformer that stay as they are, with its tokens."""

    def build(self, streams: Sequence[str], layouts: Layouts, *, epochs: int, gaps: bool = False) -> STARSStreams:
        if world_size() > 1:
            raise ConfigError("negatives are the clips of a batch, which one process must hold; leave --devices out")
        return STARSStreams(self, streams, layouts)

    def check_sizes(self, clips: int, batch_size: int) -> None:
        if batch_size < 2:
            raise ConfigError(f"batch_size is {batch_size}; negatives are the other clips of a batch, of two or more")

    def fitted(self, clips: int, batch_size: int) -> dict[str, int]:
        return {"queue_size": min(self.queue_size, max(batch_size, clips // 2))}


def nearest_key(rows: Tensor, queue: Tensor) -> Tensor:
    """(B, D) the key of (K, D) that each of (B, D) unit rows is most similar to, a constant (NNCLR, Eq. 2)."""
    with torch.no_grad():
        return queue[(rows @ queue.T).argmax(dim=1)]


class STARSStreams(Streams):
    """Encoders, and a projection, a prediction and a memory for each, which are not kept."""

    def __init__(self, options: STARS, streams: Sequence[str], layouts: Layouts) -> None:
        super().__init__(streams, layouts)
        self.options = options
        wide, dim = options.head_width, options.dim
        self.projections = nn.ModuleList(_perceptron(size, wide, dim) for size in self.sizes)
        self.predictions = nn.ModuleList(_perceptron(dim, wide, dim) for _ in self.sizes)
        self.queue = Queue(streams, options.queue_size, dim)
        for encoder in self.encoders if options.frozen_blocks else ():
            if not isinstance(encoder, PartTokens):
                raise ConfigError(f"frozen_blocks is {options.frozen_blocks}; only --encoder transformer has blocks")
            encoder.freeze(options.frozen_blocks)

    def fill(self) -> None:
        self.queue.filled.fill_(self.queue.size)

    def losses(self, clips: Sequence[Clips], epoch: int, present: Present = None, ids: Tensor | None = None) -> Terms:
        """``neighbour/STREAM``: NNCLR, Eq. 3, in both directions; then the first clips' keys go into the memory."""
        sides = [self.features(clip) for clip in clips]
        found, keys = {}, {}
        for number, stream in enumerate(self.streams):
            projected = [self.projections[number](side[number]) for side in sides]
            first, second = (unit_rows(z) for z in projected)
            guess = [unit_rows(self.predictions[number](z)) for z in projected]
            ring = self.queue.ring(stream).to(first.dtype)
            both = [(nearest_key(first, ring), guess[1]), (nearest_key(second, ring), guess[0])]
            parts = [in_batch_nce(near, other, temperature=self.options.temperature) for near, other in both]
            found[f"neighbour/{stream}"] = (parts[0] + parts[1]) / 2
            keys[stream] = first.detach()
        self.queue.enqueue(keys)
        return found


def _perceptron(inside: int, wide: int, outside: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inside, wide), nn.BatchNorm1d(wide), nn.ReLU(), nn.Linear(wide, outside))
