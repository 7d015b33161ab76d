"""The two branches of CoDT (Liu et al., ECCV 2022): student, EMA teacher, heads and bank of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from motet.discover.settings import Settings
from motet.encoders import STGCN, build_encoder
from motet.errors import ConfigError
from motet.memory import make_twin
from motet.skeletons import Skeleton

CHUNK = 1 << 16  # bank rows that are compared at once


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer with weights N(0, 0.02²) and zero bias, as released."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, 0.0, 0.02)
    nn.init.zeros_(layer.bias)
    return layer


def make_encoder(settings: Settings, skeleton: Skeleton, persons: int, channels: int) -> nn.Module:
    """The encoder of a branch."""
    options: dict[str, Any] = (
        {"width": settings.width, "feature_size": settings.feature_size, "dropout": settings.dropout}
        if settings.encoder == "stgcn"
        else {"hidden": settings.hidden, "layers": settings.layers}
    )
    return build_encoder(settings.encoder, skeleton=skeleton, persons=persons, channels=channels, **options)


@contextmanager
def kept_statistics(encoder: nn.Module, kept: bool) -> Iterator[None]:
    """Batch norms normalise by the batch as ever, but where ``kept`` is true their running statistics do not move."""
    norms = [m for m in encoder.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)] if kept else []
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


class Decoder(nn.Module):
    """Coordinates of the clip from the encoder's features (D_0).

    On an ST-GCN each person and step of the map is decoded by itself and compared with the input pooled to as many
    steps. Encoders without a map give one feature per clip, of which all steps and persons are decoded at once.

    Args:
        features: F.
        joints, channels, persons: of the clips.
        dropout: between the two layers.
        steps: 0 for a map; otherwise how many steps one feature becomes.
    """

    def __init__(
        self, features: int, joints: int, channels: int, persons: int, *, dropout: float, steps: int = 0
    ) -> None:
        super().__init__()
        self.steps, self.persons = steps, persons
        outputs = joints * channels * (steps * persons if steps else 1)
        self.layers = nn.Sequential(
            linear(features, features), nn.ReLU(), nn.Dropout(dropout), linear(features, outputs)
        )

    def loss(self, features: Tensor, clips: Tensor) -> Tensor:
        """Mean squared error of every coordinate, empty person slots included.

        Args:
            features: (B, P, F, T') map, or (B, F).
            clips: (B, T, P, V, C), augmented but not masked.
        """
        if self.steps:
            decoded = self.layers(features).view(len(clips), self.steps, self.persons, -1)
        else:
            decoded = self.layers(features.permute(0, 3, 1, 2))  # (B, T', P, V·C)
        return functional.mse_loss(decoded, pooled(clips, decoded.shape[1]))


def pooled(clips: Tensor, steps: int) -> Tensor:
    """(B, T, P, V, C) → (B, steps, P, V·C): adaptive means along time."""
    rows = clips.flatten(3).permute(0, 2, 3, 1).flatten(1, 2)
    made = functional.adaptive_avg_pool1d(rows, steps)
    return made.view(len(clips), clips.shape[2], -1, steps).permute(0, 3, 1, 2)


class Branch(nn.Module):
    """A student encoder with its heads, and the teacher that follows it.

    Attributes:
        student, teacher: ModuleDicts with the same entries: ``encoder``, ``projection`` where the branch contrasts,
            and ``clusters`` once the target classifier exists.
        bank: (N, F) the teacher's latest feature of every target clip.
        source_classifier, decoder: heads of the domain-shared branch, else None.
    """

    bank: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        clips: int,
        *,
        projection: int = 0,
        source_classes: int = 0,
        decoder: Decoder | None = None,
    ) -> None:
        super().__init__()
        self.features = int(encoder.feature_size)  # type: ignore[arg-type]
        parts: dict[str, nn.Module] = {"encoder": encoder}
        if projection:
            parts["projection"] = linear(self.features, projection)
        self.student = nn.ModuleDict(parts)
        self.teacher = make_twin(self.student)
        self.source_classifier = linear(self.features, source_classes) if source_classes else None
        self.decoder = decoder
        self.register_buffer("bank", torch.zeros(clips, self.features))

    def encode(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """The student's feature (B, F) and what the decoder reads: (B, P, F, T') of an ST-GCN, else the feature."""
        encoder = self.student["encoder"]
        if isinstance(encoder, STGCN):
            found = encoder.forward_map(clips)
            return found.mean(dim=(1, 3)), found
        feature = encoder(clips)
        return feature, feature

    def add_classifier(self, weight: Tensor) -> None:
        """Give student and teacher a target classifier with these (K, F) weights and zero biases."""
        if "clusters" in self.student:
            raise ConfigError("the target classifier exists already")
        # no random numbers are drawn, so that a resumed run draws the same ones after it
        layer: nn.Linear = nn.utils.skip_init(  # type: ignore[no-untyped-call]
            nn.Linear, self.features, len(weight), device=self.bank.device
        )
        with torch.no_grad():
            layer.weight.copy_(weight)
            layer.bias.zero_()
        self.student["clusters"] = layer
        self.teacher["clusters"] = make_twin(layer)

    @property
    def clusters(self) -> int:
        """K, 0 while there is no target classifier."""
        return int(self.student["clusters"].out_features) if "clusters" in self.student else 0  # type: ignore[arg-type]

    def write(self, places: Tensor, features: Tensor) -> None:
        """Put features into the bank.

        Raises:
            ConfigError: a place outside the bank.
        """
        if places.numel() and not bool(((places >= 0) & (places < len(self.bank))).all()):
            raise ConfigError(f"a clip's place is outside 0..{len(self.bank) - 1}, the slots of the bank")
        self.bank[places] = features


def contrast(
    query: Tensor,
    key: Tensor,
    bank: Tensor,
    places: Tensor,
    temperature: float,
    *,
    project: Callable[[Tensor], Tensor] | None = None,
    chunk: int = CHUNK,
) -> Tensor:
    """InfoNCE against the bank, a clip's own stale slot left out (L_cont of B1).

    Args:
        query: (B, D) unit rows, with gradient.
        key: (B, D) unit rows of the teacher.
        bank: (N, D) unit rows of the bank before this batch was written, or what ``project`` makes such rows of.
        places: (B,) slots of the clips.
        temperature: ρ.
        project: bank rows (n, F) → unit rows (n, D); no gradient goes through it.
        chunk: banks of more slots are compared in parts, which are computed again for the gradient, so that memory
            stays that of one part.
    """
    positive = (query * key).sum(dim=1) / temperature
    parts = []
    for first in range(0, len(bank), chunk):
        inputs = query, bank[first : first + chunk], places - first, temperature, project
        if len(bank) <= chunk:
            parts.append(_others(*inputs))
        else:
            parts.append(checkpoint(_others, *inputs, use_reentrant=False))
    together = torch.logsumexp(torch.stack([positive, *parts], dim=1), dim=1)
    return (together - positive).mean()


def _others(
    query: Tensor, rows: Tensor, places: Tensor, temperature: float, project: Callable[[Tensor], Tensor] | None
) -> Tensor:
    """(B,) log Σ_j exp(q·k_j / ρ) over a part of the bank without the clip's own slot, if it is in this part."""
    with torch.no_grad():
        keys = rows if project is None else project(rows)
    own = torch.arange(len(keys), device=keys.device) == places[:, None]
    return torch.logsumexp((query @ keys.T / temperature).masked_fill(own, -1e10), dim=1)
