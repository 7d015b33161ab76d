"""The contrastive host: streams with momentum twins and slot-aligned queues, and the terms of a loss.

MoCo, MCL, CrosSCLR, CMD and HaLP are this host with different terms. One step follows CMD's order (Mao et al.,
ECCV 2022, and its released training script):

1. inputs of every stream from both augmented clips;
2. queries (with gradient) from the first clip;
3. momentum update of every key encoder with the weights the queries were made with, parameters only;
4. keys from the second clip, without gradient, in train mode (their BatchNorm uses batch statistics);
5. the terms, against the queues as they were before this step;
6. enqueue the keys of all streams at the same slots.

The loop then takes the gradient and moves the query encoders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from motet.distributed import gather_rows
from motet.encoders import build_encoder, encode_together
from motet.errors import ConfigError
from motet.losses import info_nce
from motet.memory import Queue, ema_update, make_twin
from motet.skeletons import Skeleton
from motet.views import View


@dataclass(frozen=True)
class StepOutput:
    """What the streams produced in one step. All embeddings are unit rows.

    Attributes:
        queries: stream → (B, D), with gradient.
        keys: stream → (B, D), constants.
        queues: stream → (K, D), before this step's keys.
        epoch: epoch, counted from 0.
        filled: how many slots of the queues hold real keys.
    """

    queries: Mapping[str, Tensor]
    keys: Mapping[str, Tensor]
    queues: Mapping[str, Tensor]
    epoch: int
    filled: int


@dataclass(frozen=True)
class Term:
    """One addend of the loss, with a weight and the epochs in which it counts.

    Attributes:
        name: how the term appears in logs, e.g. ``"contrast/joint"``.
        loss: the equation, from what the streams produced to a scalar.
        weight: factor once the term counts in full.
        start, stop: first epoch in which it counts, and the first in which it does not any more.
        ramp: epochs over which the weight rises linearly from ``start``.
    """

    name: str
    loss: Callable[[StepOutput], Tensor]
    weight: float = 1.0
    start: int = 0
    stop: int | None = None
    ramp: int = 0

    def weight_at(self, epoch: int) -> float:
        """Factor of the term in an epoch; 0 means that it is not computed."""
        if epoch < self.start or (self.stop is not None and epoch >= self.stop):
            return 0.0
        return self.weight * (min(1.0, (epoch - self.start + 1) / self.ramp) if self.ramp else 1.0)


@dataclass(frozen=True)
class Contrastive:
    """Options that every method on the contrastive host has (MoCo-v2 as in CMD).

    Attributes:
        title: what tables and reports call the method.
        meaning: one sentence on it, for a reader who never trained a model.
    """

    title: ClassVar[str]
    meaning: ClassVar[str]

    dim: int = 128
    """embedding size D."""
    queue_size: int = 16384
    """slots K of each stream's queue."""
    key_momentum: float = 0.999
    """momentum m of the key encoders."""
    temperature: float = 0.07
    """temperature of the contrastive terms."""
    mlp_head: bool = True
    """two-layer projection head; false gives one linear layer."""

    def terms(self, streams: Sequence[str], epochs: int) -> list[Term]:
        """Terms of the loss for the given streams in a run of ``epochs`` epochs."""
        return self.contrast_terms(streams)

    def contrast_terms(self, streams: Sequence[str], stop: int | None = None) -> list[Term]:
        """InfoNCE within each stream (CMD, Eq. 1)."""

        def within(stream: str) -> Callable[[StepOutput], Tensor]:
            return lambda out: info_nce(
                out.queries[stream], out.keys[stream], out.queues[stream], temperature=self.temperature
            )

        return [Term(f"contrast/{s}", within(s), stop=stop) for s in streams]

    def moving_twins(self, streams: Sequence[str], epoch: int, epochs: int) -> list[str]:
        """Streams whose key encoder follows its query encoder in an epoch: all of them."""
        return list(streams)

    def validate(self, streams: Sequence[str]) -> None:
        """Refuse options that cannot work together.

        Raises:
            ConfigError: names the option and the remedy.
        """
        if self.queue_size < 1 or self.dim < 1:
            raise ConfigError("queue_size and dim must be 1 or more")
        if not 0 <= self.key_momentum < 1:
            raise ConfigError(f"key_momentum is {self.key_momentum}, it must lie in [0, 1)")
        if self.temperature <= 0:
            raise ConfigError(f"temperature is {self.temperature}, it must be positive")


def need_two(streams: Sequence[str], method: str) -> None:
    """Refuse a cross-stream method with a single stream."""
    if len(streams) < 2:
        raise ConfigError(f"{method} lets streams teach each other and needs two or more; for one stream use moco")


class Head(nn.Sequential):
    """Projection to the embedding: Linear, ReLU, Linear (MoCo-v2) or one Linear; the last is Xavier-initialised.

    As in CMD's released code only the output layer is re-initialised, the hidden one keeps torch's default.
    """

    def __init__(self, features: int, dim: int, *, mlp: bool) -> None:
        last = nn.Linear(features, dim)
        nn.init.xavier_uniform_(last.weight)
        super().__init__(*([nn.Linear(features, features), nn.ReLU()] if mlp else []), last)


class ContrastiveHost(nn.Module):
    """Streams, their momentum twins and queues; ``forward`` is one step up to the loss.

    Args:
        options: the method's options.
        streams: views of the clip, see :class:`motet.views.View`.
        skeleton, persons, channels: what the clips look like.
        encoder: name of the encoder and its options, for :func:`motet.encoders.build_encoder`.
        epochs: length of the run, for terms that start part-way.
    """

    def __init__(
        self,
        options: Contrastive,
        streams: Sequence[str],
        *,
        skeleton: Skeleton,
        persons: int,
        channels: int,
        encoder: Mapping[str, object],
        epochs: int,
    ) -> None:
        super().__init__()
        options.validate(streams)
        self.options, self.streams, self.epochs = options, tuple(streams), epochs
        self.views = [View.parse(s, skeleton) for s in streams]
        encoders = [
            build_encoder(skeleton=v.skeleton, persons=persons, channels=channels, **encoder)  # type: ignore[arg-type]
            for v in self.views
        ]
        heads = [Head(e.feature_size, options.dim, mlp=options.mlp_head) for e in encoders]
        self.encoders, self.heads = nn.ModuleList(encoders), nn.ModuleList(heads)
        self.key_encoders, self.key_heads = make_twin(self.encoders), make_twin(self.heads)
        self.queue = Queue(streams, options.queue_size, options.dim)
        self.terms = options.terms(streams, epochs)

    def inputs(self, clips: Tensor) -> list[Tensor]:
        """Each stream's view of (B, T, P, V, C) clips."""
        return [view(clips) for view in self.views]

    def _embed(self, encoders: nn.ModuleList, heads: nn.ModuleList, clips: Tensor) -> dict[str, Tensor]:
        features = encode_together(list(encoders), self.inputs(clips))
        # normalised in float32 whatever autocast does: unit rows are what the equations assume
        return {
            s: normalize(head(f).float() if f.dtype != torch.float64 else head(f), dim=1)
            for s, head, f in zip(self.streams, heads, features, strict=True)
        }

    @torch.no_grad()
    def update_twins(self, epoch: int) -> None:
        """Momentum update of the key encoders and heads; parameters only, never buffers."""
        moving = [self.streams.index(s) for s in self.options.moving_twins(self.streams, epoch, self.epochs)]
        for twins, online in ((self.key_encoders, self.encoders), (self.key_heads, self.heads)):
            pick = nn.ModuleList([twins[i] for i in moving]), nn.ModuleList([online[i] for i in moving])
            ema_update(*pick, self.options.key_momentum)

    def forward(self, first: Tensor, second: Tensor, epoch: int) -> dict[str, Tensor]:
        """One step on two augmentations of the same clips, both (B, T, P, V, C).

        Returns:
            Term name → weighted scalar loss; their sum is the loss. Keys are enqueued when this returns.
        """
        queries = self._embed(self.encoders, self.heads, first)
        self.update_twins(epoch)
        with torch.no_grad():
            keys = self._embed(self.key_encoders, self.key_heads, second)
        output = StepOutput(queries, keys, self.queue.snapshot(), epoch, int(self.queue.filled))
        losses = {}
        for term in self.terms:
            weight = term.weight_at(epoch)
            if weight:
                losses[term.name] = weight * term.loss(output)
        self.queue.enqueue({s: gather_rows(k) for s, k in keys.items()})
        return losses
