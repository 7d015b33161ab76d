"""Masked latent prediction: hide body parts for a while and predict what a momentum encoder makes of them.

The line of I-JEPA (Assran et al., CVPR 2023, arXiv:2301.08243) on skeletons: targets are tokens of a momentum encoder
that sees the whole clip, not coordinates (S-JEPA, Abdelfattah and Alahi, ECCV 2024); what is hidden is a tube, a body
part over a span of moments; and there is no decoder, the encoder itself reads tokens that stand for what is hidden, and
a small perceptron reads the prediction off them. Terms of CMD and HaLP can be added (:class:`LatentCMD`,
:class:`LatentHaLP`), as masked and contrastive training share an encoder in decoder-free methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, smooth_l1_loss

from motet.core.errors import ConfigError
from motet.core.options import Bounds, Count, Momentum, NotNegative, Options
from motet.encoders.clips import PartTokens
from motet.losses._precision import at_least_float32
from motet.memory import ema_update, momentum_encoder
from motet.methods.base import Clips, Layouts, Method, Present, Streams, Terms, hidden_spans
from motet.methods.cmd import CMD
from motet.methods.contrastive import ContrastiveStreams
from motet.methods.halp import HaLPCMD


@dataclass(frozen=True)
class Masks(Options):
    """What is hidden, and how it is predicted."""

    hidden_share: Annotated[float, Bounds(above=0, below=1)] = 0.6
    """share of the tubes (body parts × spans of moments) that are hidden."""
    tube: Count = 2
    """moments for which a body part is hidden together; a moment is as long as a patch of the transformer."""
    predictor_width: Count = 128
    """hidden units of the perceptron that predicts a token."""
    latent_weight: NotNegative = 1.0
    """weight of the prediction."""


@dataclass(frozen=True)
class LatentPrediction(Masks, Method):
    """Options of masked latent prediction alone."""

    title: ClassVar[str] = "masked latent prediction"
    meaning: ClassVar[str] = "Learns to predict what body parts do while they are hidden, as features, not coordinates."
    clips: ClassVar[int] = 1
    released_extra_epochs: ClassVar[int] = 0

    target_momentum: Momentum = 0.99
    """momentum of the encoder that gives the targets."""

    def build(self, streams: Sequence[str], layouts: Layouts, *, epochs: int, gaps: bool = False) -> LatentStreams:
        return LatentStreams(self, streams, layouts)


@dataclass(frozen=True)
class LatentCMD(Masks, CMD):
    """Options of masked latent prediction with CMD's terms on the same encoders."""

    title: ClassVar[str] = "masked latent prediction + CMD"
    meaning: ClassVar[str] = "As CMD, and what hidden body parts do is predicted."
    allows_gaps: ClassVar[bool] = False

    def network(self, streams: Sequence[str], **layout: Any) -> ContrastiveStreams:
        return LatentContrastiveStreams(self, self, streams, **layout)


@dataclass(frozen=True)
class LatentHaLP(Masks, HaLPCMD):
    """Options of masked latent prediction with HaLP's and CMD's terms on the same encoders."""

    title: ClassVar[str] = "masked latent prediction + HaLP+CMD"
    meaning: ClassVar[str] = "As HaLP+CMD, and what hidden body parts do is predicted."

    def network(self, streams: Sequence[str], **layout: Any) -> ContrastiveStreams:
        return LatentContrastiveStreams(self, self, streams, **layout)


@at_least_float32
def latent_loss(predicted: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Smooth L1 distance of predicted tokens from standardised targets, where something is hidden and was there.

    Args:
        predicted: (B, N, S, W).
        target: (B, N, S, W) tokens of the momentum encoder; each is brought to mean 0 and variance 1, a constant.
        counted: (B, N, S) bool.

    Returns:
        Scalar: the mean over clips of the mean over a clip's tokens; a clip without one adds 0.
    """
    aim = layer_norm(target.detach(), target.shape[-1:])
    error = smooth_l1_loss(predicted, aim, reduction="none").mean(dim=-1)
    weight = counted.to(error.dtype)
    return ((weight * error).sum(dim=(1, 2)) / weight.sum(dim=(1, 2)).clamp_min(1)).mean()


class Prediction(nn.Module):
    """What stands for a hidden token, and the perceptron that reads the prediction; not kept after training."""

    def __init__(self, encoder: nn.Module, options: Masks) -> None:
        super().__init__()
        if not isinstance(encoder, PartTokens):
            raise ConfigError("masked latent prediction hides tokens of body parts; choose --encoder transformer")
        self.options, self.width = options, encoder.width
        self.hidden = nn.Parameter(torch.randn(encoder.width) * 0.02)
        layers = nn.Linear(encoder.width, options.predictor_width), nn.GELU()
        self.perceptron = nn.Sequential(*layers, nn.Linear(options.predictor_width, encoder.width))

    def draw(self, clips: int, moments: int, parts: int, device: torch.device) -> Tensor:
        """(B, N, S) bool: tubes to hide, drawn for every clip."""
        span, share = self.options.tube, self.options.hidden_share
        return hidden_spans(clips, moments, parts, span=span, share=share, device=device)

    def forward(self, encoder: PartTokens, teacher: PartTokens, x: Tensor) -> Tensor:
        """The loss of (B, T, P, V, C) clips."""
        tokens = encoder.embed(x)
        mask = self.draw(len(tokens), tokens.shape[1], tokens.shape[2], x.device)
        left = torch.where(mask[..., None], (self.hidden + encoder.places(tokens)).to(tokens.dtype), tokens)
        predicted = self.perceptron(encoder.attend(left))
        with torch.no_grad():
            target = teacher.grid(x)
        return latent_loss(predicted, target, mask & recorded(encoder, x))


def recorded(encoder: PartTokens, x: Tensor) -> Tensor:
    """(B, N, S) bool: tokens in whose frames any joint of the part was recorded."""
    there = (x != 0).any(dim=4).any(dim=2)  # (B, T, V)
    by_part = torch.stack([there[:, :, list(nodes)].any(dim=2) for nodes in encoder.parts], dim=2)
    frames = torch.nn.functional.pad(by_part, (0, 0, 0, -x.shape[1] % encoder.patch))
    return frames.view(len(x), -1, encoder.patch, len(encoder.parts)).any(dim=2)


def _terms(
    network: Streams, predictions: nn.ModuleList, teachers: nn.ModuleList, clips: Clips, weight: float
) -> dict[str, Tensor]:
    found = {}
    rows = zip(network.streams, predictions, network.encoders, teachers, network.inputs(clips), strict=True)
    for stream, prediction, encoder, teacher, x in rows:
        found[f"prediction/{stream}"] = weight * prediction(encoder, teacher, x)
    return found


class LatentStreams(Streams):
    """Encoders, their momentum encoders and what predicts."""

    def __init__(self, options: LatentPrediction, streams: Sequence[str], layouts: Layouts) -> None:
        super().__init__(streams, layouts)
        self.options = options
        self.predictions = nn.ModuleList(Prediction(encoder, options) for encoder in self.encoders)
        self.twins = momentum_encoder(self.encoders)

    def restarted(self) -> None:
        self.twins.load_state_dict(self.encoders.state_dict())

    def losses(self, clips: Sequence[Clips], epoch: int, present: Present = None, ids: Tensor | None = None) -> Terms:
        """``prediction/STREAM`` of one augmentation of the clips; the momentum encoders move first."""
        ema_update(self.twins, self.encoders, self.options.target_momentum)
        return _terms(self, self.predictions, self.twins, clips[0], self.options.latent_weight)


class LatentContrastiveStreams(ContrastiveStreams):
    """Contrastive streams whose key encoders also give targets for what is hidden of the query's clip."""

    def __init__(self, options: CMD, masks: Masks, streams: Sequence[str], **layout: Any) -> None:
        super().__init__(options, streams, **layout)
        self.masks = masks
        self.predictions = nn.ModuleList(Prediction(encoder, masks) for encoder in self.encoders)

    def losses(self, clips: Sequence[Clips], epoch: int, present: Present = None, ids: Tensor | None = None) -> Terms:
        found = super().losses(clips, epoch, present, ids)
        return found | _terms(self, self.predictions, self.key_encoders, clips[0], self.masks.latent_weight)
