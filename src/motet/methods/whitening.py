"""A fixed linear map that comes with weights: what differs between views of one clip counts less."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from motet.data.loader import ClipStore, augmented_views

if TYPE_CHECKING:
    from motet.methods.model import Model

CLIPS, VIEWS = 1500, 4
SHRINKAGE = 1.0
"""what is added to the diagonal of the scatter, as a multiple of its mean"""


class Whitening(nn.Module):
    """(B, F) → (B, F): less the mean, times the inverse root of the scatter between views.

    Distances become Mahalanobis distances of the scatter S of features within views of one clip,
    W = (S + λ tr(S)/F · 1)^(−1/2), so directions in which crop, build, heading, tempo and noise move a feature count
    less than those in which clips differ (within-class whitening, as of linear discriminant analysis, with every clip
    a class of its own).

    Attributes:
        mean: (F,).
        matrix: (F, F), symmetric.
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("matrix", torch.eye(size))

    def forward(self, features: Tensor) -> Tensor:
        return (features - self.mean) @ self.matrix

    @classmethod
    def of(cls, views: Tensor, shrinkage: float = SHRINKAGE) -> Whitening:
        """From (views, n, F) features of n clips."""
        x = views.double()
        within = (x - x.mean(dim=0)).flatten(0, 1)
        scatter = within.T @ within / (x.shape[1] * (x.shape[0] - 1))
        values, vectors = torch.linalg.eigh(scatter)
        floor = shrinkage * float(scatter.diagonal().mean().clamp_min(1e-12))
        made = cls(x.shape[2])
        made.mean.copy_(x.mean(dim=(0, 1)))
        made.matrix.copy_((vectors * (values.clamp_min(0) + floor).rsqrt()) @ vectors.T)
        return made


def whiten(model: Model, store: ClipStore, *, seed: int) -> None:
    """Give a model the whitening of its features on some clips, drawn with the augmentation of its training."""
    model.whitening = {}
    generator = torch.Generator().manual_seed(seed)
    ids = store.ids[torch.randperm(len(store.ids), generator=generator)[:CLIPS]]
    drawn = augmented_views(store, ids, model.recipe.augment, seed=seed, epoch=0, frames=model.clip_frames, views=VIEWS)
    features = [model.features(view) for view in drawn]
    made = {s: Whitening.of(torch.stack([f[i] for f in features])) for i, s in enumerate(model.streams)}
    model.whitening = {s: w.to(model.device) for s, w in made.items()}
