"""Layers with a leading axis of replicas: G networks of one shape, each with its own weights, in one product.

A replica is one fold with one seed. Replicas never mix, so what one computes does not depend on the others. Initial
weights depend on the replica's seed and the layer's name alone.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu


def module_name(modality: str) -> str:
    """What a modality's module is called: torch takes no points, which those of sensors and nodes have."""
    return modality.replace(".", "/")


def seed_of(seed: int, name: str) -> int:
    """Seed of torch's generator for what a name and a seed stand for; it reads 32 bits and no more."""
    return zlib.crc32(f"{seed} {name}".encode())


def initial(seed: int, name: str, *shape: int) -> Tensor:
    """(shape) float32, uniform on [-1, 1), a pure function of its arguments."""
    generator = torch.Generator().manual_seed(seed_of(seed, name))
    return torch.rand(shape, generator=generator) * 2 - 1


class Dense(nn.Module):
    """(G, B, …, inputs) → (G, B, …, outputs), started as ``nn.Linear`` is.

    Args:
        seeds: of the G replicas.
        name: key of the initial weights.
    """

    def __init__(self, seeds: Sequence[int], name: str, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(bound * torch.stack([initial(s, f"{name}.weight", inputs, outputs) for s in seeds]))
        self.bias = nn.Parameter(bound * torch.stack([initial(s, f"{name}.bias", 1, outputs) for s in seeds]))

    def forward(self, x: Tensor, *, frozen: bool = False) -> Tensor:
        weight, bias = (self.weight.detach(), self.bias.detach()) if frozen else (self.weight, self.bias)
        return torch.baddbmm(bias, x.flatten(1, -2), weight).view(*x.shape[:-1], -1)


class Perceptron(nn.Module):
    """Dense layers with LeakyReLU between them, and optionally a parallel linear path.

    Args:
        sizes: inputs, hidden widths, outputs.
        slope: of LeakyReLU.
        straight: add a linear map of the input to the output. On few samples it keeps the network from being worse
            than a linear one.
    """

    def __init__(
        self, seeds: Sequence[int], name: str, sizes: Sequence[int], slope: float, *, straight: bool = False
    ) -> None:
        super().__init__()
        pairs = pairwise(sizes)
        self.layers = nn.ModuleList(Dense(seeds, f"{name}.{n}", a, b) for n, (a, b) in enumerate(pairs))
        self.straight = Dense(seeds, f"{name}.straight", sizes[0], sizes[-1]) if straight and len(sizes) > 2 else None
        self.slope, self.hidden_size = slope, sizes[-2]

    @property
    def last(self) -> nn.Module:
        """The layer that takes the hidden features, (G, B, hidden_size)."""
        return self.layers[-1]

    def forward(self, x: Tensor, *, frozen: bool = False) -> Tensor:
        parallel = self.straight(x, frozen=frozen) if self.straight is not None else None
        for number, layer in enumerate(self.layers):
            if number:
                x = leaky_relu(x, self.slope)
            x = layer(x, frozen=frozen)
        return x if parallel is None else x + parallel


def resampled(x: Tensor, lengths: Tensor | None, frames: int) -> Tensor:
    """(G, B, T, C) sequences of (G, B) valid frames → (G, B, frames, C), linear between frames, ends included.

    Without ``lengths`` all frames are valid, here and in the encoders below.
    """
    lengths = x.new_full(x.shape[:2], x.shape[2], dtype=torch.long) if lengths is None else lengths
    place = torch.linspace(0, 1, frames, device=x.device, dtype=x.dtype) * (lengths[..., None] - 1).clamp_min(0)
    below = place.floor().long()
    above = torch.minimum(below + 1, (lengths[..., None] - 1).clamp_min(0))
    part = (place - below)[..., None]

    def at(index: Tensor) -> Tensor:
        return x.gather(2, index[..., None].expand(*index.shape, x.shape[-1]))

    return torch.lerp(at(below), at(above), part)


class Convolutions(nn.Module):
    """Two strided convolutions over time, then mean and maximum over the valid frames: (G, B, T, C) → (G, B, 2 H)."""

    KERNELS = ((5, 2), (3, 2))

    def __init__(self, seeds: Sequence[int], name: str, channels: int, hidden: int, slope: float) -> None:
        super().__init__()
        inputs = (channels, hidden)
        self.layers = nn.ModuleList(
            Dense(seeds, f"{name}.{n}", kernel * inputs[n], hidden) for n, (kernel, _) in enumerate(self.KERNELS)
        )
        self.slope, self.feature_size = slope, 2 * hidden

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        lengths = x.new_full(x.shape[:2], x.shape[2], dtype=torch.long) if lengths is None else lengths
        for layer, (kernel, stride) in zip(self.layers, self.KERNELS, strict=True):
            half = kernel // 2
            windows = nn.functional.pad(x, (0, 0, half, half)).unfold(2, kernel, stride)
            x = leaky_relu(layer(windows.flatten(3)), self.slope)
            lengths = (lengths + stride - 1) // stride  # windows whose middle is a valid frame
            x = x * self._valid(x, lengths)
        valid = self._valid(x, lengths)
        mean = x.sum(dim=2) / lengths.clamp_min(1)[..., None]
        largest = x.masked_fill(valid == 0, -torch.inf).amax(dim=2)
        return torch.cat([mean, torch.where(lengths[..., None] > 0, largest, 0.0)], dim=-1)

    @staticmethod
    def _valid(x: Tensor, lengths: Tensor) -> Tensor:
        return (torch.arange(x.shape[2], device=x.device) < lengths[..., None])[..., None].to(x.dtype)


class Recurrence(nn.Module):
    """One GRU layer, read out by its last valid state and the maximum of its states: (G, B, T, C) → (G, B, 2 H)."""

    def __init__(self, seeds: Sequence[int], name: str, channels: int, hidden: int, slope: float) -> None:
        super().__init__()
        self.inward = Dense(seeds, f"{name}.inward", channels, 3 * hidden)
        self.onward = Dense(seeds, f"{name}.onward", hidden, 3 * hidden)
        self.feature_size = 2 * hidden

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        steps = self.inward(x).unbind(2)
        state = x.new_zeros(*x.shape[:2], self.feature_size // 2)
        largest = torch.zeros_like(state)
        for number in range(len(steps) if lengths is None else int(lengths.max())):
            reset, update, new = steps[number].chunk(3, dim=-1)
            reset_on, update_on, new_on = self.onward(state).chunk(3, dim=-1)
            update = torch.sigmoid(update + update_on)
            candidate = torch.tanh(new + torch.sigmoid(reset + reset_on) * new_on)
            moved = torch.lerp(candidate, state, update)
            above = torch.maximum(largest, moved) if number else moved
            if lengths is None:
                state, largest = moved, above
                continue
            valid = (number < lengths)[..., None]
            state = torch.where(valid, moved, state)
            largest = torch.where(valid, above, largest)
        return torch.cat([state, largest], dim=-1)


class SequenceExtractor(nn.Module):
    """A padded sequence → its representation (G, B, D): an encoder over time and a parallel linear path.

    The linear path sees the sequence brought to a fixed number of frames.

    Args:
        encoder: (G, B, T, C), (G, B) → (G, B, feature_size).
        channels: C.
        features: D.
        frames: of the linear path; 0 leaves it out.
    """

    def __init__(
        self, seeds: Sequence[int], name: str, encoder: nn.Module, channels: int, features: int, *, frames: int
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = Dense(seeds, f"{name}.head", cast(int, encoder.feature_size), features)
        self.straight = Dense(seeds, f"{name}.straight", frames * channels, features) if frames else None
        self.frames, self.hidden_size = frames, cast(int, encoder.feature_size)

    @property
    def last(self) -> nn.Module:
        """The layer that takes the hidden features, (G, B, hidden_size)."""
        return self.head

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        out: Tensor = self.head(self.encoder(x, lengths))
        if self.straight is None:
            return out
        parallel: Tensor = self.straight(resampled(x, lengths, self.frames).flatten(2))
        return out + parallel
