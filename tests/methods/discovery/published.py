"""The small case on which the published equations of CoDT were evaluated, end to end."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from motet.data import layouts
from motet.encoders import STGCN
from motet.methods.discovery.methods.base import Batch
from motet.methods.discovery.networks import Branch, Decoder
from motet.methods.discovery.settings import Settings
from motet.methods.discovery.step import Discovery


def fill(module: nn.Module, factor: float) -> None:
    """Weights cos(0.7 i + 0.1) · factor / √fan-in; edge importance and norms 1, biases 0."""
    with torch.no_grad():
        for name, p in module.named_parameters():
            if name.endswith("edge_importance"):
                p.fill_(1.0)
            elif p.dim() > 1:
                values = torch.cos(0.7 * torch.arange(p.numel(), dtype=torch.float64) + 0.1)
                p.copy_((factor * values / (p.numel() / p.shape[0]) ** 0.5).view_as(p))
            else:
                p.fill_(1.0 if name.endswith("weight") else 0.0)


def waves(joints: int, phase: float) -> Tensor:
    """(6, 20, 1, joints, 3)."""
    x = torch.cos(0.05 * torch.arange(6 * 3 * 20 * joints, dtype=torch.float64) + phase).view(6, 3, 20, joints, 1)
    return (x * torch.linspace(0.5, 2, 6).view(6, 1, 1, 1, 1)).permute(0, 2, 4, 3, 1).float().contiguous()


def published_case(**options: Any) -> tuple[Discovery, Batch]:
    """Both branches of width 4, K = 4, N = 12 and a batch of six, in eval mode; options besides the paper's."""
    first, second = (STGCN(layouts.get(n), width=4, feature_size=16) for n in ("shared-15", "kinect-v2"))
    decoder = Decoder(16, 15, 3, 1, dropout=0.5)
    shared = Branch(first, 12, source_classes=5, decoder=decoder)
    discovery = Discovery(Settings(clusters=4).with_options(options), shared, Branch(second, 12, projection=8))
    discovery.add_classifiers([torch.zeros(4, 16)] * 2)
    fill(discovery, 2.0)
    phases = 0.3 * torch.arange(192, dtype=torch.float64)
    discovery.pair[0].bank.copy_(torch.cos(phases).abs().view(12, 16))
    discovery.pair[1].bank.copy_(torch.sin(phases).abs().view(12, 16))
    students = waves(15, 0.2), waves(25, 0.2)
    batch = Batch(
        source=waves(15, 0.0),
        source_seen=waves(15, 0.0),
        source_labels=torch.tensor([0, 1, 2, 3, 4, 0]),
        students=students,
        seen=students,
        teachers=(waves(15, 0.25), waves(25, 0.25)),
        places=torch.tensor([3, 0, 7, 11, 5, 2]),
    )
    return discovery.eval(), batch
