"""The last map of features: what differs between views of one clip, or between clips of one action, counts less."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from motet.core.errors import ConfigError
from motet.data import layouts
from motet.data.convert import recipe
from motet.data.loader import ClipStore, augmented_views
from motet.data.skeletons import Skeleton

if TYPE_CHECKING:
    from motet.methods.model import Model

WHITEN = 1.0
"""λ of the weights that come with the package"""
CLIPS, VIEWS, _BATCH = 1500, 4, 250
ACTED: dict[str, Any] = {"clips": 960, "actions": 32, "actors": 30, "seed": 1, "dtype": "float16"}
"""what simulated actors do for :func:`whiten_by_actors`; the shipped weights were trained on others (seed 0)"""


class Whitening(nn.Module):
    """(B, F) → (B, F): less the mean, times the inverse root of the scatter within groups.

    Distances become Mahalanobis distances of the scatter S of features within groups, W = (S + λ tr(S)/F · 1)^(−1/2)
    (within-class whitening, as of linear discriminant analysis). Where a group holds the augmented views of a
    clip, directions in which crop, build, heading, tempo and noise move a feature count less; where it holds clips of
    one action, also those in which people, styles and cameras differ.

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
    def of(cls, mean: Tensor, within: Tensor, freedom: int, shrinkage: float) -> Whitening:
        """From the mean (F,), the differences (n, F) of features from the means of their groups, and λ.

        Args:
            mean: what is subtracted.
            within: differences.
            freedom: of how many of them the rest follows: n less the number of groups.
            shrinkage: λ.
        """
        scatter = within.T @ within / freedom
        values, vectors = torch.linalg.eigh(scatter)
        floor = shrinkage * float(scatter.diagonal().mean().clamp_min(1e-12))
        made = cls(len(mean))
        made.mean.copy_(mean)
        made.matrix.copy_((vectors * (values.clamp_min(0) + floor).rsqrt()) @ vectors.T)
        return made

    @classmethod
    def of_views(cls, views: Tensor, shrinkage: float) -> Whitening:
        """From (views, n, F) features of n clips; every clip is a group."""
        x = views.double()
        within = (x - x.mean(dim=0)).flatten(0, 1)
        return cls.of(x.mean(dim=(0, 1)), within, x.shape[1] * (x.shape[0] - 1), shrinkage)

    @classmethod
    def of_labels(cls, features: Tensor, labels: Tensor, shrinkage: float) -> Whitening:
        """From (n, F) features and (n,) labels; the clips of one label are a group."""
        x = features.double()
        classes, index = torch.unique(labels, return_inverse=True)
        means = x.new_zeros(len(classes), x.shape[1]).index_add_(0, index, x) / torch.bincount(index)[:, None]
        return cls.of(x.mean(dim=0), x - means[index], len(x) - len(classes), shrinkage)


def whiten(model: Model, store: ClipStore, ids: Tensor, *, seed: int, shrinkage: float) -> None:
    """Give a model the whitening of its features by views of clips, drawn with the augmentation of its training.

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
    made = [Whitening.of_views(torch.cat([p[i] for p in parts], dim=1), shrinkage) for i in range(len(model.streams))]
    model.whitening = {s: w.to(model.device) for s, w in zip(model.streams, made, strict=True)}


def whiten_by_actors(model: Model, shrinkage: float) -> None:
    """Give a model the whitening of its features by simulated clips, of which those of one action are a group.

    Their labels cost nothing and say how people, styles and cameras move a feature; those of recordings take no part.

    Args:
        model: of bodies; gets :attr:`Model.whitening`.
        shrinkage: λ.
    """
    from motet.data.simulate import simulate  # the command line's help needs the rest of this module

    model.whitening = {}
    with TemporaryDirectory() as folder:
        store = model.store(simulate(Path(folder) / "clips", progress=False, **ACTED))
        features = model.encode(store, store.ids)
    labels = store.labels_of(store.ids).cpu()
    made = {s: Whitening.of_labels(f.cpu(), labels, shrinkage) for s, f in features.items()}
    model.whitening = {s: w.to(model.device) for s, w in made.items()}


def check_actors(preprocess: str, skeleton: Skeleton) -> None:
    """Refuse encoders that cannot read the simulated clips of :func:`whiten_by_actors`.

    Raises:
        ConfigError: clips that are not made bodies of one size and heading, or joints that no actor has.
    """
    from motet.data.simulate.generate import LAYOUT

    lacking = [j for j in skeleton.canonical if recipe(j, layouts.get(LAYOUT)) is None]
    if preprocess != "body" or lacking:
        why = f"the actors have no {lacking[0]}" if lacking else f"preprocess is {preprocess!r}, not 'body'"
        raise ConfigError(f"whiten_by 'simulated' needs encoders that read simulated actors, but {why}; choose 'view'")
