"""Encoders: a batch of clips (B, T, P, V, C) → features (B, feature_size), or of every frame (B, T, token_size).

An encoder is one file: a module with ``of``, ``forward`` and ``tokens`` (:class:`motet.encoders.clips.ClipEncoder`),
named in :data:`KINDS`; its keyword options are those of a recipe that carry the same names.
"""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from motet.core.errors import ConfigError
from motet.data.skeletons import Skeleton
from motet.encoders.graph import graph_center, spatial_partitions
from motet.encoders.gru import CausalGRU, SkeletonGRU, encode_together
from motet.encoders.rocket import Rocket
from motet.encoders.stgcn import STGCN
from motet.encoders.tcn import TCN
from motet.encoders.transformer import Transformer

__all__ = [
    "ENCODERS",
    "STGCN",
    "TCN",
    "CausalGRU",
    "Rocket",
    "SkeletonGRU",
    "Transformer",
    "build_encoder",
    "encode_together",
    "encoder_option_names",
    "graph_center",
    "spatial_partitions",
]

KINDS: dict[str, type[Any]] = {
    "gru": SkeletonGRU,
    "stgcn": STGCN,
    "tcn": TCN,
    "transformer": Transformer,
    "rocket": Rocket,
}
ENCODERS = tuple(KINDS)
_LAYOUT = {"nodes", "persons", "channels", "skeleton", "in_channels"}


def encoder_option_names(name: str) -> list[str]:
    """Keyword options of an encoder.

    Raises:
        ConfigError: no such encoder.
    """
    if name not in KINDS:
        raise ConfigError(f"encoder {name!r} is none of {', '.join(ENCODERS)}")
    return [p for p in inspect.signature(KINDS[name]).parameters if p not in _LAYOUT]


def build_encoder(name: str, *, skeleton: Skeleton, persons: int, channels: int, **options: Any) -> nn.Module:
    """Build an encoder by its name in a recipe.

    Args:
        name: one of :data:`ENCODERS`.
        skeleton: the nodes that the stream's view delivers (a sub-skeleton for a view of some parts).
        persons: P; an ST-GCN takes any number.
        channels: C.
        options: keyword options of the encoder's class; what is left out takes its default there.

    Raises:
        ConfigError: the name or an option does not exist, or a value is out of range.
    """
    known = encoder_option_names(name)
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(f"encoder {name!r} has no option {', '.join(unknown)}; it has {', '.join(known)}")
    built: nn.Module = KINDS[name].of(skeleton, persons, channels, **options)
    return built
