"""Encoders: a batch of clips (B, T, P, V, C) → features (B, feature_size)."""

from __future__ import annotations

import inspect
from typing import Any

from motet.core.errors import ConfigError
from motet.data.skeletons import Skeleton
from motet.encoders.graph import graph_center, spatial_partitions
from motet.encoders.gru import CausalGRU, SkeletonGRU, encode_together
from motet.encoders.stgcn import STGCN

__all__ = [
    "ENCODERS",
    "STGCN",
    "CausalGRU",
    "SkeletonGRU",
    "build_encoder",
    "encode_together",
    "graph_center",
    "spatial_partitions",
]

ENCODERS = ("gru", "stgcn")


def build_encoder(name: str, *, skeleton: Skeleton, persons: int, channels: int, **options: Any) -> SkeletonGRU | STGCN:
    """Build an encoder by its name in a recipe.

    Args:
        name: ``"gru"`` or ``"stgcn"``.
        skeleton: the nodes that the stream's view delivers (a sub-skeleton for a view of some parts).
        persons: P; an ST-GCN takes any number.
        channels: C.
        options: keyword options of :class:`SkeletonGRU` (``hidden``, ``layers``, ``mode``) or :class:`STGCN`
            (``width``, ``feature_size``, ``dropout``, ``temporal_kernel``, ``center``).

    Raises:
        ConfigError: the name or an option does not exist, or a value is out of range.
    """
    if name not in ENCODERS:
        raise ConfigError(f"encoder {name!r} is none of {', '.join(ENCODERS)}")
    kind = SkeletonGRU if name == "gru" else STGCN
    fixed = {"nodes", "persons", "channels", "skeleton", "in_channels"}
    known = [p for p in inspect.signature(kind).parameters if p not in fixed]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(f"encoder {name!r} has no option {', '.join(unknown)}; it has {', '.join(known)}")
    if name == "gru":
        return SkeletonGRU(len(skeleton), persons, channels, **options)
    return STGCN(skeleton, channels, **options)
