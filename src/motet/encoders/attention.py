"""Energy-based attention-guided drop: hide what a feature map relies on (AimCLR, Guo et al., AAAI 2022, EADM)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SMALLEST_VARIANCE = 1e-4
LEAST_ATTENTION = 1 / (1 + math.exp(-0.5))  # of an entry that equals the mean of its channel


def energy_attention(nodes: Tensor) -> Tensor:
    """How much each entry of a channel stands out from its channel, in (0.62, 1).

    sigmoid(d / (4 (σ² + 1e-4)) + 1/2) with d the squared distance from the channel's mean over frames and joints and
    σ² its unbiased variance: the inverse energy of SimAM (Yang et al., ICML 2021).

    Args:
        nodes: (N, T, V, C).

    Returns:
        (N, T, V, C).
    """
    distance = (nodes - nodes.mean(dim=(1, 2), keepdim=True)).square()
    count = max(1, nodes.shape[1] * nodes.shape[2] - 1)
    variance = distance.sum(dim=(1, 2), keepdim=True) / count
    return torch.sigmoid(distance / (4 * (variance + SMALLEST_VARIANCE)) + 0.5)


def energy_drop(nodes: Tensor, threshold: float = 0.7) -> Tensor:
    """Zero the joints and the entries that stand out; what is left is scaled up by the share that is left.

    Joints of a clip whose attention, averaged over frames and channels, reaches the threshold are dropped, and single
    entries that reach it. Both rules are deterministic, as released: a threshold, not a probability.

    Args:
        nodes: (N, T, V, C) feature map.
        threshold: attention from which it is dropped; 1 drops nothing.

    Returns:
        (N, T, V, C); the masks are constants.
    """
    with torch.no_grad():
        attention = energy_attention(nodes.detach().float())
        joints = attention.mean(dim=(1, 3)) < threshold
        entries = attention < threshold
        scale = joints.numel() / joints.sum().clamp_min(1) * (entries.numel() / entries.sum().clamp_min(1))
        keep = (entries & joints[:, None, :, None]) * scale
    return nodes * keep.to(nodes.dtype)
