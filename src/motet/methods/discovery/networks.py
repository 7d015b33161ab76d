"""The two branches of CoDT (Liu et al., ECCV 2022): student, EMA teacher, heads and bank of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from motet.core.distributed import whole
from motet.core.errors import ConfigError
from motet.data.skeletons import Skeleton
from motet.encoders import build_encoder, encoder_option_names
from motet.memory import momentum_encoder
from motet.methods.discovery.settings import Settings
from motet.methods.discovery.streams import StreamEncoder

CHUNK = 1 << 16  # bank rows that are compared at once


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer with weights N(0, 0.02²) and zero bias, as released."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, 0.0, 0.02)
    nn.init.zeros_(layer.bias)
    return layer


def make_encoder(settings: Settings, skeleton: Skeleton, persons: int, channels: int) -> nn.Module:
    """The encoder of a branch.

    CoDT's graphs are centred at the neck in every layout; an encoder that was pretrained elsewhere keeps its centre.
    """
    names = encoder_option_names(settings.encoder)
    options = {name: getattr(settings, name) for name in names if hasattr(settings, name)}
    if "width" in names and "feature_size" not in names:  # one width for all of its layers
        options["width"] = settings.hidden
    if "center" in names and "neck" in skeleton.canonical and not settings.start:
        options["center"] = skeleton.index("neck")

    def make(layout: Skeleton) -> nn.Module:
        return build_encoder(settings.encoder, skeleton=layout, persons=persons, channels=channels, **options)

    if settings.encoder in ("gru", "stgcn") and settings.streams == ("joint",):
        return make(skeleton)
    return StreamEncoder(skeleton, settings.streams, make)


@contextmanager
def kept_statistics(encoder: nn.Module, kept: bool) -> Iterator[None]:
    """Batch norms normalise by the batch as ever, but where ``kept`` is true their running statistics do not move."""
    norms = [m for m in encoder.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)] if kept else []
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
        self.teacher = momentum_encoder(self.student)
        self.source_classifier = linear(self.features, source_classes) if source_classes else None
        self.decoder = decoder
        self.register_buffer("bank", torch.zeros(clips, self.features))

    def encode(self, clips: Tensor, rows: int, *, low: bool = False) -> tuple[Tensor, Tensor]:
        """The student's features (B, F) of all processes' clips, and what the decoder reads of this one's:
        (b, P, F, T') of an ST-GCN, else the feature.

        Args:
            clips: (b, T, P, V, C), this process's part of the batch.
            rows: B.
            low: run the encoder in bfloat16 where that is safe; what comes out is float32.
        """
        encoder = self.student["encoder"]
        has_map = hasattr(encoder, "forward_map")
        with self._precision(low):
            found = encoder.forward_map(clips) if has_map else encoder(clips)  # type: ignore[operator]
        found = found.float() if low else found
        return whole(found.mean(dim=(1, 3)) if has_map else found, rows), found

    @torch.no_grad()
    def teach(self, clips: Tensor, rows: int, *, low: bool = False) -> Tensor:
        """(B, F) features by the teacher; arguments as of :meth:`encode`."""
        with self._precision(low):
            found: Tensor = self.teacher["encoder"](clips)
        return whole(found.float() if low else found, rows)

    def _precision(self, low: bool) -> torch.autocast:
        return torch.autocast(self.bank.device.type, torch.bfloat16, enabled=low)

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
        self.teacher["clusters"] = momentum_encoder(layer)

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
        chunk: banks of more slots are compared in parts, and memory stays that of one part.
    """
    positive = (query * key).sum(dim=1) / temperature
    if len(bank) <= chunk:
        others = torch.logsumexp(_logits(query, bank, places, temperature, project)[0], dim=1)
    else:
        others = _in_parts(query, bank, places, temperature, project, chunk)
    together = torch.logsumexp(torch.stack([positive, others], dim=1), dim=1)
    return (together - positive).mean()


def _logits(
    query: Tensor, rows: Tensor, places: Tensor, temperature: float, project: Callable[[Tensor], Tensor] | None
) -> tuple[Tensor, Tensor]:
    """(B, n) q·k_j / ρ of some rows of the bank, the clip's own slot out of reach, and their (n, D) keys."""
    with torch.no_grad():
        keys = rows if project is None else project(rows)
    own = torch.arange(len(keys), device=keys.device) == places[:, None]
    return (query @ keys.T / temperature).masked_fill(own, -1e10), keys


def _in_parts(
    query: Tensor,
    bank: Tensor,
    places: Tensor,
    temperature: float,
    project: Callable[[Tensor], Tensor] | None,
    chunk: int,
) -> Tensor:
    """(B,) log Σ_j exp(q·k_j / ρ) over the bank part by part, in one pass and with its gradient.

    The gradient for q is the mean of the keys under the softmax, over ρ; it is gathered with the sum, so nothing of a
    part is kept and the bank may be written before the backward pass.
    """
    with torch.no_grad():
        total = query.new_full((len(query),), -torch.inf)
        mean = torch.zeros_like(query)
        for first in range(0, len(bank), chunk):
            logits, keys = _logits(query, bank[first : first + chunk], places - first, temperature, project)
            part = torch.logsumexp(logits, dim=1)
            here = torch.softmax(logits, dim=1) @ keys
            grown = torch.logaddexp(total, part)
            mean = (total - grown).exp()[:, None] * mean + (part - grown).exp()[:, None] * here
            total = grown
    return total + ((query - query.detach()) * mean).sum(dim=1) / temperature
