"""What all encoders share: how they are called, and what they say to clips of another shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from motet.core.errors import ConfigError

if TYPE_CHECKING:
    from typing import Self

    from motet.data.skeletons import Skeleton


LIMIT = 8.0
"""normalised coordinates are cut here: a tracking jump moves a feature no further"""


class ClipEncoder(Protocol):
    """A module that turns clips into features.

    Attributes:
        feature_size: F, features of a clip.
        token_size: features of a frame.
        learns: false where nothing trains it; true if not stated.
    """

    feature_size: int
    token_size: int

    @classmethod
    def of(cls, skeleton: Skeleton, persons: int, channels: int, **options: Any) -> Self:
        """The encoder for clips of P ``persons`` and C ``channels``."""
        ...

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, P, V, C) → (B, feature_size)."""
        ...

    def tokens(self, x: Tensor) -> Tensor:
        """(B, T, P, V, C) → (B, T, token_size): features of every frame, which may be fewer than those of a clip."""
        ...


# What some encoders can do besides: a method asks whether one can, never which one it is.


@runtime_checkable
class Streaming(Protocol):
    """An encoder that can run frame by frame.

    Attributes:
        causal: whether this one can: no frame of it sees the future.
    """

    causal: bool

    def start(self, batch: int) -> Any:
        """The state of :meth:`step` before the first frame."""
        ...

    def step(self, frame: Tensor, state: Any) -> tuple[Tensor, Any]:
        """(B, P, V, C) → (B, feature_size), equal to ``forward`` of the clip up to this frame, and the next state."""
        ...


@runtime_checkable
class Folding(Protocol):
    """An encoder that can be made faster for many clips."""

    def folded(self) -> Any:
        """A copy for evaluation whose norms are part of the convolutions: equal up to rounding."""
        ...


@runtime_checkable
class Sharing(Protocol):
    """An encoder that can compute once what overlapping windows of a recording share."""

    def shares(self, frames: int, shift: int) -> bool:
        """Whether it can for windows of so many frames that come again ``shift`` frames later."""
        ...

    def overlapping(self, x: Tensor, every: int, shift: int) -> Tensor:
        """``forward`` of (B, T, P, V, C) windows: window k + ``every`` is window k, ``shift`` frames later."""
        ...


@runtime_checkable
class NodeMaps(Protocol):
    """An encoder whose features keep the nodes apart until they are averaged."""

    def forward_nodes(self, x: Tensor) -> Tensor:
        """(B, T, P, V, C) → (B·P, T', V, feature_size)."""
        ...


@runtime_checkable
class PartTokens(Protocol):
    """An encoder of tokens of body parts × moments, which can be hidden before they attend to each other.

    Attributes:
        width: size of a token.
        parts: nodes of each of the S body parts.
        patch: frames of a moment.
    """

    width: int
    parts: Sequence[Sequence[int]]
    patch: int

    def grid(self, x: Tensor) -> Tensor:
        """(B, T, P, V, C) → (B, N, S, width)."""
        ...

    def embed(self, x: Tensor) -> Tensor:
        """(B, T, P, V, C) → (B, N, S, width) before attention."""
        ...

    def places(self, tokens: Tensor) -> Tensor:
        """What says where a token is: added by ``embed``."""
        ...

    def attend(self, tokens: Tensor) -> Tensor:
        """(B, N, S, width) → the same, after attention."""
        ...

    def freeze(self, blocks: int) -> None:
        """Let training leave the first blocks, and what lies before them, as they are."""
        ...


def check_sizes(encoder: str, **sizes: int) -> None:
    """Raise ConfigError where a size is not positive."""
    for name, value in sizes.items():
        if value < 1:
            raise ConfigError(f"{encoder} option {name} must be at least 1, not {value}")


def check_clips(x: Tensor, persons: int, nodes: int, channels: int) -> None:
    """Raise ConfigError for clips of another shape, or without a frame."""
    expected = (persons, nodes, channels)
    if x.dim() != 5 or x.shape[2:] != expected:
        raise ConfigError(
            f"this encoder reads clips of (batch, frames, persons, nodes, channels) with the last three {expected},"
            f" not {tuple(x.shape)}"
        )
    if x.shape[1] == 0:
        raise ConfigError("an encoder needs at least one frame; the batch has none")


def frame_rows(x: Tensor) -> Tensor:
    """(B, T, P, V, C) → (B, T, V·C·P), joint-major, then channel, then person."""
    return x.permute(0, 1, 3, 4, 2).flatten(2)


def stretched(tokens: Tensor, frames: int) -> Tensor:
    """(B, T', F) → (B, frames, F): each frame takes the token that covers it."""
    index = torch.arange(frames, device=tokens.device) * tokens.shape[1] // frames
    return tokens[:, index]
