"""Statistics and spectrum of time series: the hand-made features of activity recognition."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_BANDS = 8
_STILL = 1e-3
"""power below which a series counts as still; its logarithm has no bound"""
PER_SERIES = 5 + len(_QUANTILES) + _BANDS


def statistics(x: Tensor) -> Tensor:
    """Numbers that say how each channel of a clip moves.

    Of each node's channels and of their magnitude: mean, standard deviation, root mean square of the differences,
    share of crossings of the mean, seven quantiles, the share of the power in each of eight bands, wider upwards, and
    the logarithm of the power.

    Args:
        x: (B, T, P, V, C), two frames or more.

    Returns:
        (B, P · V · (C + 1) · :data:`PER_SERIES`).
    """
    magnitude = torch.linalg.vector_norm(x, dim=4, keepdim=True)
    series = torch.cat([x, magnitude], dim=4).flatten(2).transpose(1, 2).contiguous()  # (B, channels, T)
    mean = series.mean(dim=2)
    centred = series - mean[:, :, None]
    change = torch.diff(series, dim=2)
    crossings = (torch.diff(centred.sign(), dim=2) != 0).to(series.dtype).mean(dim=2)
    power = _power(centred)
    total = power.sum(dim=2).clamp_min(torch.finfo(power.dtype).tiny)
    free = (series.shape[2] - 1) ** 0.5  # math.sqrt would fix the number of frames of an exported graph
    deviation = torch.linalg.vector_norm(centred, dim=2) / free
    parts = [mean, deviation, change.square().mean(dim=2).sqrt(), crossings]
    shares = power @ _bands(power).T / total[:, :, None]
    loudness = total.clamp_min(_STILL).log()[:, :, None]
    return torch.cat([torch.stack(parts, dim=2), _quantiles(series), shares, loudness], dim=2).flatten(1)


def with_statistics(feature: Tensor, clips: Tensor, usual: Tensor) -> Tensor:
    """Features of clips, and the statistics of the clips next to them.

    Args:
        feature: (B, F).
        clips: (B, T, P, V, C).
        usual: (F + S,); the statistics of a node that recorded nothing are those of it, which say nothing.
    """
    found = statistics(clips.float())
    absent = (clips.abs().amax(dim=(1, 4)) == 0)[..., None].expand(-1, -1, -1, (clips.shape[4] + 1) * PER_SERIES)
    return torch.cat([feature, torch.where(absent.flatten(1), usual[feature.shape[1] :], found)], dim=1)


def _quantiles(series: Tensor) -> Tensor:
    """(B, channels, T) → (B, channels, 7), linear between two frames."""
    place = torch.tensor(_QUANTILES, dtype=series.dtype, device=series.device) * (series.shape[2] - 1)
    low = place.floor()
    ordered = _sorted(series)
    before, after = ordered[:, :, low.long()], ordered[:, :, place.ceil().long()]
    return before + (place - low) * (after - before)


def _sorted(series: Tensor) -> Tensor:
    """Sorted along the last axis: by torch, which ONNX has, or by NumPy, which takes a twentieth of the time."""
    if torch.is_inference_mode_enabled() and series.device.type == "cpu":
        return torch.from_numpy(np.sort(series.numpy(), axis=2))
    return series.sort(dim=2).values


def _power(centred: Tensor) -> Tensor:
    """(B, channels, T) → (B, channels, T // 2), of all frequencies but 0; by a product, which ONNX has."""
    frames = centred.shape[2]
    time = torch.arange(frames, dtype=torch.float64)  # on the CPU: not every device has doubles
    turns = time[1 : frames // 2 + 1, None] * time / frames
    angle = 2 * math.pi * (turns - turns.floor())
    return (centred @ angle.cos().to(centred).T).square() + (centred @ angle.sin().to(centred).T).square()


def _bands(power: Tensor) -> Tensor:
    """(8, K): which frequencies a band holds, one at least."""
    count = power.shape[2]
    edge = torch.arange(_BANDS + 1, dtype=torch.float64) / _BANDS
    edge = ((torch.zeros_like(edge) + count + 1) ** edge - 1).round()
    first, last = edge[:-1, None], torch.maximum(edge[1:], edge[:-1] + 1)[:, None]
    number = torch.arange(count, dtype=torch.float64)
    return ((number >= first) & (number < last)).to(power)
