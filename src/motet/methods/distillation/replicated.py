"""Encoders of the library as extractors: one set of weights for each replica, stacked along a leading axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from motet.core.chance import Chance
from motet.core.distributed import largest_over_ranks
from motet.core.errors import ConfigError
from motet.data.skeletons import Skeleton
from motet.encoders import TRAINED, SkeletonGRU, build_encoder, encoder_option_names
from motet.methods.distillation.layers import resampled, seed_of

KINDS = ("causal-gru", "bidirectional-gru", *(name for name in TRAINED if name != "gru"))


@dataclass(frozen=True)
class Layout:
    """What the features of a frame are, where they come from a motion archive: ``(P, V, C)``, flattened.

    Attributes:
        skeleton: joints of a body, or nodes of a sensor.
        persons: P.
        channels: C.
        preprocess: what was done to them; of sensors of earlier versions nothing.
    """

    skeleton: Skeleton
    persons: int
    channels: int
    preprocess: str = "none"

    @property
    def size(self) -> int:
        """P · V · C."""
        return self.persons * len(self.skeleton) * self.channels

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; :meth:`from_dict` is its inverse."""
        return vars(self) | {"skeleton": self.skeleton.to_dict()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Layout:
        facts = (data["persons"], data["channels"], data.get("preprocess", "none"))
        return cls(Skeleton.from_dict(data["skeleton"]), *facts)


def make_encoder(kind: str, size: int, layout: Layout | None, hidden: int, layers: int) -> nn.Module:
    """An encoder of clips (B, T, P, V, C).

    Args:
        kind: one of :data:`KINDS`.
        size: features of a frame.
        layout: of these; None for features of which nothing is known, which only a GRU takes.
        hidden: units per direction of a GRU, channels of others; an ST-GCN begins with a quarter of it and ends with
            four times it (64 gives the published 16 and 256).
        layers: where an encoder has that option.

    Raises:
        ConfigError: an encoder of joints for features without joints.
    """
    if kind.endswith("-gru"):
        shape = (size, 1, 1) if layout is None else (len(layout.skeleton), layout.persons, layout.channels)
        return SkeletonGRU(*shape, hidden, layers, kind.removesuffix("-gru"))
    if layout is None:
        raise ConfigError(f"{kind} sees joints or sensor nodes of a motion archive; a table's numbers have neither")
    names = encoder_option_names(kind)
    # dropout inside would draw from a generator that no checkpoint knows; features are dropped at the input
    values: dict[str, Any] = {"hidden": hidden, "width": hidden, "layers": layers, "dropout": 0.0}
    if "feature_size" in names:
        values |= {"width": max(1, hidden // 4), "feature_size": 4 * hidden}
    form: dict[str, Any] = {"skeleton": layout.skeleton, "persons": layout.persons, "channels": layout.channels}
    return build_encoder(kind, **form, **{name: value for name, value in values.items() if name in names})


class ReplicatedEncoder(nn.Module):
    """An encoder with weights for every replica: padded sequences (G, B, T, F) → (G, B, feature_size).

    A sequence is stretched to all T frames, as the encoders know no padding. Rows without a frame give zeros and take
    no part in batch statistics.

    Args:
        seeds: of the G replicas.
        name: key of the initial weights.
        kind, size, layout, hidden, layers: see :func:`make_encoder`.
    """

    def __init__(
        self, seeds: Sequence[int], name: str, kind: str, size: int, layout: Layout | None, hidden: int, layers: int
    ) -> None:
        super().__init__()
        made = []
        for seed in seeds:
            with Chance(seed_of(seed, name)):
                made.append(make_encoder(kind, size, layout, hidden, layers))
        self.module = made[0]
        self.feature_size = int(made[0].feature_size)  # type: ignore[arg-type]
        self.shape = (1, size, 1) if layout is None else (layout.persons, len(layout.skeleton), layout.channels)
        states = [encoder.state_dict() for encoder in made]
        for path in states[0]:
            home, _, leaf = path.rpartition(".")
            owner = self.module.get_submodule(home)
            stacked = torch.stack([state[path] for state in states])
            if leaf in owner._parameters:
                owner._parameters[leaf] = nn.Parameter(stacked)
            else:
                owner._buffers[leaf] = stacked
        self.stacked = tuple(states[0])

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        whole = lengths is None or bool(((lengths == x.shape[2]) | (lengths == 0)).all())
        clips = (x if whole else resampled(x, lengths, x.shape[2])).view(*x.shape[:3], *self.shape)
        parameters = {name: value.unbind(0) for name, value in self.module.named_parameters()}
        buffers = {name: value for name, value in self.module.named_buffers() if name in self.stacked}
        found = []
        for replica in range(len(x)):
            weights = {name: values[replica] for name, values in parameters.items()}
            weights |= {name: value[replica] for name, value in buffers.items()}
            found.append(self._encoded(weights, clips[replica], None if lengths is None else lengths[replica] > 0))
        return torch.stack(found)

    def _encoded(self, weights: dict[str, Tensor], clips: Tensor, seen: Tensor | None) -> Tensor:
        if seen is not None:
            some = float(seen.any())
            if self.training:  # batch norms of several processes meet, so none sits out where another has rows
                some = largest_over_ranks(some, clips.device)
            if not some:
                return clips.new_zeros(len(clips), self.feature_size)
        if seen is None or bool(seen.all()):
            whole: Tensor = functional_call(self.module, weights, (clips,))
            return whole
        rows = seen.nonzero().flatten()
        out = clips.new_zeros(len(clips), self.feature_size)
        return out.index_copy(0, rows, functional_call(self.module, weights, (clips[rows],)))


@contextmanager
def idle_stay(networks: nn.Module, active: Sequence[bool]) -> Iterator[None]:
    """Batch statistics of the replicas that sit a step out are what they were, after the block."""
    idle = [replica for replica, moves in enumerate(active) if not moves]
    kept = []
    if idle:
        for module in networks.modules():
            if isinstance(module, ReplicatedEncoder):
                named = dict(module.module.named_buffers())
                kept += [(named[name], named[name][idle].clone()) for name in module.stacked if name in named]
    yield
    for buffer, before in kept:
        buffer.data[idle] = before  # of data: the steps backward, which do not read it, would count a change otherwise
