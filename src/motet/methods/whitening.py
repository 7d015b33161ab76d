"""The last map of features: what differs between augmented views of one clip counts less."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from motet.data.loader import ClipStore, augmented_views

if TYPE_CHECKING:
    from motet.methods.model import Model

WHITEN = 1.0
"""λ of the weights that come with the package"""
CLIPS, VIEWS, _BATCH = 1500, 4, 250


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
    def of(cls, views: Tensor, shrinkage: float) -> Whitening:
        """From (views, n, F) features of n clips; λ is ``shrinkage``."""
        x = views.double()
        within = (x - x.mean(dim=0)).flatten(0, 1)
        scatter = within.T @ within / (x.shape[1] * (x.shape[0] - 1))
        values, vectors = torch.linalg.eigh(scatter)
        floor = shrinkage * float(scatter.diagonal().mean().clamp_min(1e-12))
        made = cls(x.shape[2])
        made.mean.copy_(x.mean(dim=(0, 1)))
        made.matrix.copy_((vectors * (values.clamp_min(0) + floor).rsqrt()) @ vectors.T)
        return made


def whiten(model: Model, store: ClipStore, ids: Tensor, *, seed: int, shrinkage: float) -> None:
    """Give a model the whitening of its features on some clips, drawn with the augmentation of its training.

    Args:
        model: gets :attr:`Model.whitening`.
        store: preprocessed clips.
        ids: (n,) rows to take; :data:`CLIPS` of them are drawn where there are more.
        seed: of the draws.
        shrinkage: λ.
    """
    model.whitening = {}
    generator = torch.Generator().manual_seed(seed)
    ids = ids.cpu()[torch.randperm(len(ids), generator=generator)[:CLIPS]]
    parts: list[list[Tensor]] = []
    for rows in torch.split(ids, _BATCH):
        drawn = augmented_views(
            store, rows, model.recipe.augment, seed=seed, epoch=0, frames=model.clip_frames, views=VIEWS
        )
        of_views = [model.features(view) for view in drawn]
        parts.append([torch.stack([f[i] for f in of_views]) for i in range(len(model.streams))])
    made = [Whitening.of(torch.cat([p[i] for p in parts], dim=1), shrinkage) for i in range(len(model.streams))]
    model.whitening = {s: w.to(model.device) for s, w in zip(model.streams, made, strict=True)}
