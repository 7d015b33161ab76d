"""AimCLR: contrast with extremely augmented views (Guo et al., AAAI 2022, arXiv:2112.03590).

A third view of each clip is augmented far beyond what keeps its class. It makes two further queries, one of the whole
feature map and one of what attention-guided dropping leaves of it. Neither is pulled to the key; both imitate how the
normal query is distributed over key and queue. From a later epoch on, queue neighbours of all three queries count as
positives of the normal one. Streams learn each by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from motet.core.errors import ConfigError
from motet.core.options import Fraction
from motet.core.rng import CounterRNG
from motet.data.extreme import Extreme, augment_extremely, check_extreme
from motet.data.skeletons import Skeleton
from motet.encoders.attention import LEAST_ATTENTION, energy_drop
from motet.encoders.clips import NodeMaps
from motet.losses import distributional_divergence, neighbour_mining
from motet.memory import momentum_encoder
from motet.methods.contrastive import Contrastive, ContrastiveStreams, StepOutput, Term
from motet.methods.halp import HaLP


@dataclass(frozen=True)
class AimCLR(Contrastive):
    """Options of AimCLR; the defaults are those of its code on NTU RGB+D."""

    title: ClassVar[str] = "AimCLR"
    meaning: ClassVar[str] = "As MoCo, and strongly distorted copies must look the same to the same other recordings."
    clips: ClassVar[int] = 3
    released_extra_epochs: ClassVar[int] = 0

    extremes: Extreme = field(default_factory=Extreme)
    padding: Fraction = 1 / 6
    attention_drop: bool = True
    """whether a query of the extreme view with its most attended parts dropped takes part too (ST-GCN only)."""
    drop_threshold: float = 0.7
    """attention from which they are dropped."""
    divergence_weight: float = 1.0
    """weight of the mean divergence of the extreme queries."""
    mine_start: int | None = None
    """first epoch, counted from 0, in which neighbours are positives too; by default half of the epochs."""
    mined: int = 1
    """neighbours that each query mines."""
    own_key_weights: bool = False
    """as released: key encoders start with weights of their own, not with a copy (a slip of the released code)."""

    def terms(self, streams: Sequence[str], epochs: int) -> list[Term]:
        start = self.mining_start(epochs)
        mining = [Term(f"mining/{s}", self._mining_of(s), start=start) for s in streams]
        divergence = [Term(f"divergence/{s}", self._divergence_of(s), weight=self.divergence_weight) for s in streams]
        return [*self.contrast_terms(streams, stop=start), *mining, *divergence]

    def mining_start(self, epochs: int) -> int:
        """First epoch in which neighbours are positives."""
        return epochs // 2 if self.mine_start is None else self.mine_start

    def _mining_of(self, stream: str) -> Callable[[StepOutput], Tensor]:
        def loss(out: StepOutput) -> Tensor:
            miners = [queries[stream] for queries in out.further.values()]
            query, key, queue = out.queries[stream], out.keys[stream], out.queues[stream]
            return neighbour_mining(query, miners, key, queue, temperature=self.temperature, top_k=self.mined)

        return loss

    def _divergence_of(self, stream: str) -> Callable[[StepOutput], Tensor]:
        def loss(out: StepOutput) -> Tensor:
            fixed = out.queries[stream], out.keys[stream], out.queues[stream]
            each = [
                distributional_divergence(queries[stream], *fixed, temperature=self.temperature)
                for queries in out.further.values()
            ]
            return torch.stack(each).mean()

        return loss

    def network(self, streams: Sequence[str], **layout: Any) -> ContrastiveStreams:
        return AimCLRStreams(self, streams, **layout)

    def transform(self, clips: Sequence[Tensor], keyed: Sequence[CounterRNG], skeleton: Skeleton) -> tuple[Tensor, ...]:
        """Shift all three clips in time and distort the third."""
        first, second, third = super().transform(clips, keyed, skeleton)
        return first, second, augment_extremely(third, keyed[2], self.extremes, skeleton)

    def check_layout(self, skeleton: Skeleton, channels: int) -> None:
        super().check_layout(skeleton, channels)
        check_extreme(self.extremes, skeleton, channels)

    def validate(self, streams: Sequence[str]) -> None:
        super().validate(streams)
        if not 1 <= self.mined <= self.queue_size:
            raise ConfigError(f"mined is {self.mined}, it must lie in 1..{self.queue_size} (queue_size)")
        if self.mine_start is not None and self.mine_start < 0:
            raise ConfigError(f"mine_start is {self.mine_start}, it must not be negative")
        if not 0 <= self.divergence_weight < math.inf:
            raise ConfigError(f"divergence_weight is {self.divergence_weight}, it must be finite and not negative")
        if not self.drop_threshold > LEAST_ATTENTION:
            raise ConfigError(
                f"drop_threshold is {self.drop_threshold}; no attention is below {LEAST_ATTENTION:.3f}, so everything "
                "would be dropped"
            )

    def released(self, split: str | None) -> Self:
        """The Gaussian filter without normalisation, and key encoders that start elsewhere."""
        method = super().released(split)
        return replace(method, own_key_weights=True, extremes=replace(self.extremes, blur_normalised=False))


@dataclass(frozen=True)
class HaLPAimCLR(HaLP, AimCLR):
    """Options of HaLP on AimCLR: positives around the normal key for the normal query; no source gives settings."""

    title: ClassVar[str] = "HaLP on AimCLR"
    meaning: ClassVar[str] = "As AimCLR, and every recording is also drawn to invented neighbours of its own group."
    start_share: ClassVar[float] = 0.5
    needs_queue: ClassVar[bool] = True

    padding: Fraction = 1 / 6


class AimCLRStreams(ContrastiveStreams):
    """Contrastive streams with two further queries per stream, ``extreme`` and ``dropped``, from a third clip.

    Layers of the heads start N(0, 0.02²) with zero biases like those of the ST-GCN, as in the released code.
    """

    options: AimCLR

    def __init__(self, options: AimCLR, streams: Sequence[str], **layout: Any) -> None:
        super().__init__(options, streams, **layout)
        if options.attention_drop and not all(isinstance(e, NodeMaps) for e in self.encoders):
            raise ConfigError(
                "attention_drop hides joints of a feature map, which only --encoder stgcn has; "
                "or leave it out with --no-attention-drop"
            )
        self.heads.apply(_start)
        if options.own_key_weights:
            other = ContrastiveStreams(options, streams, **layout)
            other.heads.apply(_start)
            self.key_encoders, self.key_heads = momentum_encoder(other.encoders), momentum_encoder(other.heads)
        else:
            self.key_heads = momentum_encoder(self.heads)

    def embed_further(self, clips: Sequence[Tensor]) -> Mapping[str, Mapping[str, Tensor]]:
        """``extreme`` → stream → (B, D), and ``dropped`` with the attended parts of the feature map dropped."""
        (clip,) = clips
        if not self.options.attention_drop:
            return {"extreme": self._embed(self.encoders, self.heads, clip)}
        whole: list[Tensor] = []
        left: list[Tensor] = []
        for encoder, x in zip(self.encoders, self.inputs(clip), strict=True):
            assert isinstance(encoder, NodeMaps)
            nodes = encoder.forward_nodes(x)
            for features, each in ((whole, nodes), (left, energy_drop(nodes, self.options.drop_threshold))):
                features.append(each.mean(dim=(1, 2)).view(len(x), x.shape[2], -1).mean(dim=1))
        return {"extreme": self.project(self.heads, whole), "dropped": self.project(self.heads, left)}


def _start(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
        nn.init.zeros_(module.bias)
