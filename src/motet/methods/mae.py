"""A masked autoencoder for motion: hide joints for some frames and reconstruct them from the feature of the clip.

As MAE (He et al., CVPR 2022, arXiv:2111.06377): most of the input is hidden, the loss counts what was hidden, targets
are standardised clip by clip, and a light decoder is dropped after training. Two things differ because any encoder will
do: what is hidden is zero instead of left out, and the decoder reads the one feature of the clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from motet.core.options import Bounds, Count
from motet.encoders import encode_together
from motet.losses._precision import at_least_float32
from motet.methods.base import Clips, Layouts, Method, Present, Streams, Terms, hidden_spans


@at_least_float32
def standardised(x: Tensor, seen: Tensor) -> Tensor:
    """Each clip about its middle, divided by its spread: mean 0 and variance 1 over joints and frames that are there.

    Args:
        x: (B, T, P, V, C).
        seen: (B, T, P, V, 1) bool, joints that are there.
    """
    there = seen.to(x.dtype)
    count = there.sum(dim=(1, 2, 3), keepdim=True).clamp_min(1)
    moved = (x - (x * there).sum(dim=(1, 2, 3), keepdim=True) / count) * there
    power = moved.square().sum(dim=(1, 2, 3, 4), keepdim=True) / (count * x.shape[-1])
    return moved / (power.sqrt() + 1e-6)


@at_least_float32
def masked_reconstruction(predicted: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Mean squared error of what was hidden and is there (MAE, Sec. 3, reconstruction target).

    Args:
        predicted, target: (B, T, P, V, C).
        counted: (B, T, P, V, 1) bool.

    Returns:
        Scalar; 0, with zero gradient, if nothing counts.
    """
    weight = counted.to(predicted.dtype)
    return (weight * (predicted - target).square()).sum() / (weight.sum() * predicted.shape[-1]).clamp_min(1)


@dataclass(frozen=True)
class MaskedAutoencoder(Method):
    """Options of the masked autoencoder; the share is MAE's."""

    title: ClassVar[str] = "masked autoencoder"
    meaning: ClassVar[str] = "Learns to fill in joints that were hidden for a while, from what is left of a recording."
    clips: ClassVar[int] = 1
    released_extra_epochs: ClassVar[int] = 0

    hidden_share: Annotated[float, Bounds(above=0, below=1)] = 0.75
    """share of the joints and spans of frames that are hidden."""
    span: Count = 4
    """frames for which a joint is hidden together."""
    decoder_width: Count = 128
    """hidden units of the decoder."""

    def build(self, streams: Sequence[str], layouts: Layouts, *, epochs: int, gaps: bool = False) -> MaskedStreams:
        return MaskedStreams(self, streams, layouts)


class Decoder(nn.Module):
    """The feature of a clip and the time of a frame → the frame.

    Args:
        features: F.
        width: hidden units.
        shape: (P, V, C) of a frame.
    """

    WAVES = 8  # of the time, from one period a clip up

    def __init__(self, features: int, width: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = shape
        self.feature, self.time = nn.Linear(features, width), nn.Linear(2 * self.WAVES, width)
        size = shape[0] * shape[1] * shape[2]
        self.out = nn.Sequential(nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, size))

    def forward(self, feature: Tensor, frames: int) -> Tensor:
        """(B, F) → (B, T, P, V, C)."""
        at = torch.linspace(0, torch.pi, frames, device=feature.device, dtype=feature.dtype)
        angle = at[:, None] * torch.arange(1, self.WAVES + 1, device=feature.device, dtype=feature.dtype)
        time = self.time(torch.cat([angle.sin(), angle.cos()], dim=1))
        decoded: Tensor = self.out(self.feature(feature)[:, None] + time)
        return decoded.view(len(feature), frames, *self.shape)


class MaskedStreams(Streams):
    """Encoders, and a decoder for each, which is not kept."""

    def __init__(self, options: MaskedAutoencoder, streams: Sequence[str], layouts: Layouts) -> None:
        super().__init__(streams, layouts)
        self.options = options
        forms = [layouts[sensor] for sensor in self.sensor_of]
        self.decoders = nn.ModuleList(
            Decoder(size, options.decoder_width, (form.persons, len(v.skeleton), form.channels))
            for size, form, v in zip(self.sizes, forms, self.views, strict=True)
        )

    def losses(self, clips: Sequence[Clips], epoch: int, present: Present = None, ids: Tensor | None = None) -> Terms:
        """``reconstruction/STREAM`` of one augmentation of the clips."""
        whole = self.inputs(clips[0])
        hidden = [self.hide(x) for x in whole]
        left = [x.masked_fill(h, 0) for x, h in zip(whole, hidden, strict=True)]
        features = encode_together(list(self.encoders), left)
        found = {}
        for stream, decoder, x, h, feature in zip(self.streams, self.decoders, whole, hidden, features, strict=True):
            seen = (x != 0).any(dim=-1, keepdim=True)
            predicted = decoder(feature, x.shape[1])
            found[f"reconstruction/{stream}"] = masked_reconstruction(predicted, standardised(x, seen), h & seen)
        return found

    def hide(self, x: Tensor) -> Tensor:
        """(B, T, 1, V, 1) bool: the joints to hide, of all persons, each for whole spans of frames."""
        span, share = self.options.span, self.options.hidden_share
        found = hidden_spans(len(x), x.shape[1], x.shape[3], span=span, share=share, device=x.device)
        return found[:, :, None, :, None]
