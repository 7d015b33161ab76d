"""A transformer whose tokens are body parts at moments."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from motet.core.errors import ConfigError
from motet.data.skeletons import Skeleton
from motet.encoders.clips import LIMIT, check_clips, check_sizes, frame_rows, stretched

if TYPE_CHECKING:
    from typing import Self

_REACH = 1  # frames that a token reads beyond its own on either side


def body_parts(skeleton: Skeleton) -> list[tuple[int, ...]]:
    """The nodes of each token: the layout's limbs and trunk, whatever they leave over; or every node by itself.

    Parts that lie within larger ones already taken (both arms, one arm) are left out: each node is in one token.
    """
    chosen: list[tuple[int, ...]] = []
    taken: set[int] = set()
    for nodes in sorted(skeleton.parts.values(), key=len):
        if nodes and not taken & set(nodes):
            chosen.append(tuple(nodes))
            taken |= set(nodes)
    left = tuple(n for n in range(len(skeleton)) if n not in taken)
    if not chosen:
        return [(n,) for n in left]
    return [*chosen, left] if left else chosen


class Transformer(nn.Module):
    """Self-attention among tokens of body part × time (as SkeletonMAE and S-JEPA cut clips).

    The coordinates of a frame, flattened, pass a batch norm and are cut to ±8. Every ``patch`` frames, each body part
    becomes a token: a linear map of its coordinates over patch + 2 frames, plus a learned vector of the part and sines
    of the time. Pre-norm blocks of attention and a two-layer perceptron follow; the feature is mean and maximum over
    all tokens.

    Args:
        skeleton: nodes; its parts make the tokens (:func:`body_parts`).
        in_channels: C.
        persons: P; persons share a part's token.
        width: channels of a token.
        layers: blocks.
        heads: attention heads, a divisor of the width.
        patch: frames between tokens.
        dropout: share of values dropped after attention and perceptron.

    Attributes:
        feature_size: 2 · width.
        token_size: width.
        parts: the nodes of each of the S parts.
    """

    mask: Tensor

    def __init__(
        self,
        skeleton: Skeleton,
        in_channels: int = 3,
        persons: int = 1,
        *,
        width: int = 64,
        layers: int = 3,
        heads: int = 4,
        patch: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        sizes = {"in_channels": in_channels, "persons": persons, "width": width, "layers": layers}
        check_sizes("transformer", **sizes, heads=heads, patch=patch)
        if width % heads or width % 2:
            raise ConfigError(f"transformer option width is {width}; it must be even and a multiple of heads ({heads})")
        if not 0.0 <= dropout < 1.0:
            raise ConfigError(f"transformer option dropout must lie in [0, 1), not {dropout}")
        self.nodes, self.in_channels, self.persons = len(skeleton), in_channels, persons
        self.width, self.patch = width, patch
        self.feature_size, self.token_size = 2 * width, width
        self.parts = body_parts(skeleton)
        each = in_channels * persons
        self.norm = nn.BatchNorm1d(self.nodes * each)
        mask = torch.zeros(len(self.parts), self.nodes * each)
        for part, nodes in enumerate(self.parts):
            for node in nodes:
                mask[part, node * each : (node + 1) * each] = 1.0
        self.register_buffer("mask", mask.repeat_interleave(width, dim=0)[:, :, None], persistent=False)
        kernel = patch + 2 * _REACH
        self.lift = nn.Conv1d(self.nodes * each, len(self.parts) * width, kernel, stride=patch, padding=_REACH)
        with torch.no_grad():  # as if each part had a map of its own coordinates only
            for part, nodes in enumerate(self.parts):
                bound = 1.0 / math.sqrt(len(nodes) * each * kernel)
                self.lift.weight[part * width : (part + 1) * width].uniform_(-bound, bound)
        self.part = nn.Parameter(torch.randn(len(self.parts), width) * 0.02)
        self.blocks = nn.ModuleList(_Block(width, heads, dropout) for _ in range(layers))
        self.out_norm = nn.LayerNorm(width)

    @classmethod
    def of(cls, skeleton: Skeleton, persons: int, channels: int, **options: Any) -> Self:
        """The encoder for clips of ``persons`` and ``channels``; options as of the class."""
        return cls(skeleton, channels, persons, **options)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, P, V, C) → (B, feature_size)."""
        tokens = self.grid(x).flatten(1, 2)
        return torch.cat([tokens.mean(dim=1), tokens.amax(dim=1)], dim=1)

    def tokens(self, x: Tensor) -> Tensor:
        """(B, T, P, V, C) → (B, T, token_size): the mean over the parts of the tokens at every frame.

        A frame has ``token_size`` = width features; a clip has ``feature_size`` = 2 · width, its means and its maxima.
        """
        return stretched(self.grid(x).mean(dim=2), x.shape[1])

    def grid(self, x: Tensor) -> Tensor:
        """(B, T, P, V, C) → (B, ⌈T / patch⌉, S, width): the tokens of all moments and parts."""
        return self.attend(self.embed(x))

    def embed(self, x: Tensor) -> Tensor:
        """(B, T, P, V, C) → (B, ⌈T / patch⌉, S, width): tokens before any attention, places included."""
        check_clips(x, self.persons, self.nodes, self.in_channels)
        rows = frame_rows(x)
        normalised = self.norm(rows.flatten(0, 1)).view(rows.shape).clamp(-LIMIT, LIMIT).transpose(1, 2)
        # zeros behind the last frame so that each frame is in a token of its own
        padded = functional.pad(normalised, (0, self.patch - 1))
        lifted = functional.conv1d(
            padded, self.lift.weight * self.mask, self.lift.bias, stride=self.patch, padding=_REACH
        )
        tokens = lifted.transpose(1, 2).reshape(x.shape[0], -1, len(self.parts), self.width)
        return tokens + self.places(tokens)

    def places(self, tokens: Tensor) -> Tensor:
        """(N, S, width) what tells the places of (B, N, S, width) tokens: their part and their moment."""
        return self.part + _sines(tokens, self.width)

    def freeze(self, blocks: int) -> None:
        """Let training leave the first blocks, and the embedding before them, as they are.

        Raises:
            ConfigError: it has fewer blocks.
        """
        if blocks > len(self.blocks):
            has = len(self.blocks)
            raise ConfigError(f"frozen_blocks is {blocks}, but the encoder has {has}; lower --frozen-blocks")
        for part in (self.norm, self.lift, *self.blocks[:blocks]):
            part.requires_grad_(False)
        self.part.requires_grad_(False)

    def attend(self, tokens: Tensor) -> Tensor:
        """The blocks over (B, N, S, width) tokens, of the same shape."""
        flat = tokens.flatten(1, 2)
        for block in self.blocks:
            flat = block(flat)
        found: Tensor = self.out_norm(flat)
        return found.reshape(tokens.shape)


def _sines(tokens: Tensor, width: int) -> Tensor:
    """(N, 1, width) sines and cosines of the moment (Vaswani et al., 2017, Sec. 3.5)."""
    moment = torch.arange(tokens.shape[1], device=tokens.device, dtype=tokens.dtype)[:, None]
    rate = torch.exp(torch.arange(0, width, 2, device=tokens.device, dtype=tokens.dtype) * (-math.log(1e4) / width))
    angle = moment * rate
    return torch.cat([angle.sin(), angle.cos()], dim=1)[:, None]


class _Block(nn.Module):
    """Pre-norm attention and perceptron; (B, N, width) → the same."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            part.reshape(*part.shape[:2], self.heads, -1).transpose(1, 2)
            for part in self.qkv(self.attention_norm(x)).chunk(3, dim=2)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)
        x = x + self.dropout(self.out(mixed.transpose(1, 2).flatten(2)))
        found: Tensor = x + self.dropout(self.perceptron(x))
        return found


ENCODERS = {"transformer": Transformer}
