"""Encoders: a batch of clips (B, T, P, V, C) → features (B, feature_size), or of every frame (B, T, token_size).

An encoder is one file: a module of this package whose ``ENCODERS`` gives its name and its class, which has ``of``,
``forward`` and ``tokens`` (:class:`motet.encoders.clips.ClipEncoder`). Its keyword options are those of a recipe that
carry the same names.
"""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

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
    "TRAINED",
    "CausalGRU",
    "EncoderName",
    "Rocket",
    "SkeletonGRU",
    "TrainedName",
    "Transformer",
    "build_encoder",
    "encode_together",
    "encoder_option_names",
    "graph_center",
    "spatial_partitions",
]


def _kinds() -> dict[str, type[Any]]:
    """The encoders of all modules of this package, by name."""
    found: dict[str, type[Any]] = {}
    for module in pkgutil.iter_modules(__path__):
        found |= getattr(import_module(f"{__name__}.{module.name}"), "ENCODERS", {})
    return found


KINDS = _kinds()
ENCODERS = tuple(KINDS)
TRAINED = tuple(name for name, kind in KINDS.items() if getattr(kind, "learns", True))
"""those with weights that learn"""
if TYPE_CHECKING:
    EncoderName: TypeAlias = str
    TrainedName: TypeAlias = str
else:
    EncoderName, TrainedName = Literal[ENCODERS], Literal[TRAINED]
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
