"""The last map of features: what differs between views of one clip, or between clips of one action, counts less."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from motet.core.errors import ConfigError
from motet.core.text import counted
from motet.data import layouts
from motet.data.convert import recipe
from motet.data.loader import ClipStore, augmented_views
from motet.data.skeletons import Skeleton

if TYPE_CHECKING:
    from motet.methods.model import Model

WHITEN = 1.0
"""λ of weights whose recipe names none: those of earlier versions"""
CLIPS, VIEWS, _BATCH = 1500, 4, 250
_ACTED: dict[str, Any] = {"clips": 960, "actions": 32, "actors": 30, "seed": 1, "dtype": "float16"}
# half precision is half a millimetre, too much for fingers, and half a pixel
_GESTURED: dict[str, Any] = {"hands": True, "clips": 1500, "actions": 50, "invented": 100, "dtype": "float32"}
ACTORS: dict[tuple[str, int], tuple[str, dict[str, Any]]] = {
    ("body", 3): ("body", _ACTED),
    ("body", 2): ("sized", _ACTED | {"sensor": "picture", "dtype": "float32"}),
    ("hand", 3): ("hand", _ACTED | _GESTURED),
    ("hand", 2): ("sized", _ACTED | _GESTURED | {"sensor": "picture"}),
}
"""kind and coordinates of clips -> the preprocessing that they need, and the actors of a whitening; the shipped weights
were trained on other clips (seed 0)"""


class Whitening(nn.Module):
    """(B, F) → (B, F): less the mean, times the inverse root of the scatter within groups.

    Distances become Mahalanobis distances of the scatter S of features within groups, W = (S + λ tr(S)/F · 1)^(−1/2)
    (within-class whitening, as of linear discriminant analysis). Where a group holds the augmented views of a
    clip, directions in which crop, build, heading, tempo and noise move a feature count less; where it holds clips of
    one action, also those in which people, styles and cameras differ. Columns of several units are standardised first.

    Attributes:
        mean: (F,).
        matrix: (F, F).
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
    def of(cls, scatter: Scatter, shrinkage: float, *, standardise: bool = False) -> Whitening:
        """From a scatter and λ."""
        gain = torch.ones_like(scatter.mean)
        if standardise:  # what never moved says nothing
            gain = torch.where(scatter.deviation > 1e-6, scatter.deviation.reciprocal(), 0.0)
        matrix = gain[:, None] * scatter.matrix * gain
        values, vectors = torch.linalg.eigh(matrix)
        floor = shrinkage * float(matrix.diagonal().mean().clamp_min(1e-12))
        made = cls(len(scatter.mean))
        made.mean.copy_(scatter.mean)
        made.matrix.copy_(gain[:, None] * (vectors * (values.clamp_min(0) + floor).rsqrt()) @ vectors.T)
        return made


@dataclass(frozen=True)
class Scatter:
    """How much features differ within groups.

    Attributes:
        mean: (F,) of all features, float64.
        deviation: (F,) standard deviation of all features.
        matrix: (F, F) sum of squared differences from the means of groups, over n less the number of groups.
    """

    mean: Tensor
    deviation: Tensor
    matrix: Tensor

    @classmethod
    def of_views(cls, views: Tensor) -> Scatter:
        """From (views, n, F) features of n clips; every clip is a group."""
        x = views.double()
        within = (x - x.mean(dim=0)).flatten(0, 1)
        return cls(x.mean(dim=(0, 1)), x.std(dim=(0, 1)), within.T @ within / (x.shape[1] * (x.shape[0] - 1)))

    @classmethod
    def of_labels(cls, features: Tensor, labels: Tensor) -> Scatter:
        """From (n, F) features and (n,) labels; the clips of one label are a group."""
        x = features.double()
        classes, index = torch.unique(labels, return_inverse=True)
        means = x.new_zeros(len(classes), x.shape[1]).index_add_(0, index, x) / torch.bincount(index)[:, None]
        within = x - means[index]
        return cls(x.mean(dim=0), x.std(dim=0), within.T @ within / (len(x) - len(classes)))

    @classmethod
    def of_pairs(cls, features: Tensor, pairs: Tensor) -> Scatter:
        """From (n, F) features and (m, 2) pairs of rows: half the mean square of what differs in a pair."""
        x = features.double()
        apart = x[pairs[:, 0]] - x[pairs[:, 1]]
        return cls(x.mean(dim=0), x.std(dim=0), apart.T @ apart / (2 * len(pairs)))

    def for_clips(self, features: Tensor) -> Scatter:
        """The same within groups, with the mean of (n, F) features of clips as they are, and their deviation where it
        is larger: noise in views can hide how much a quiet column differs from clip to clip."""
        x = features.double()
        return replace(self, mean=x.mean(dim=0), deviation=torch.maximum(self.deviation, x.std(dim=0)))

    def averaged(self, other: Scatter) -> Scatter:
        """The mean of two, each made so large that its mean variance is one; the mean of features stays its own."""
        parts = [s.matrix / s.matrix.diagonal().mean().clamp_min(1e-12) for s in (self, other)]
        return Scatter(self.mean, self.deviation, (parts[0] + parts[1]) / 2)


def whiten(model: Model, store: ClipStore, ids: Tensor, *, seed: int, shrinkage: float, by: str = "view") -> None:
    """Give a model the whitening of its features.

    Args:
        model: gets :attr:`Model.whitening`.
        store: preprocessed clips.
        ids: (n,) rows to take; :data:`CLIPS` of them are drawn where there are more.
        seed: of the draws.
        shrinkage: λ.
        by: groups: ``"view"``, views of one clip, drawn with the augmentation of the training; ``"actor"``, simulated
            clips of one action; or ``"both"``.
    """
    model.whitening = {stream: Whitening(size).to(model.device) for stream, size in model.sizes_whitened().items()}
    found = _of_actors(model) if by == "actor" else _of_views(model, store, ids, seed)
    if by == "both":
        found = {s: found[s].averaged(acted) for s, acted in _of_actors(model).items()}
    standardise = model.recipe.statistics
    made = {s: Whitening.of(scatter, shrinkage, standardise=standardise) for s, scatter in found.items()}
    model.whitening = {stream: part.to(model.device) for stream, part in made.items()}


def _of_views(model: Model, store: ClipStore, ids: Tensor, seed: int) -> dict[str, Scatter]:
    generator = torch.Generator().manual_seed(seed)
    ids = ids.cpu()[torch.randperm(len(ids), generator=generator)[:CLIPS]]
    parts: list[list[Tensor]] = []
    for rows in torch.split(ids, _BATCH):
        drawn = augmented_views(
            store, rows, model.recipe.augment, seed=seed, epoch=0, frames=model.clip_frames, views=VIEWS
        )
        of_views = [model.features(view) for view in drawn]
        parts.append([torch.stack([f[i] for f in of_views]) for i in range(len(model.streams))])
    found = {s: Scatter.of_views(torch.cat([p[i] for p in parts], dim=1).cpu()) for i, s in enumerate(model.streams)}
    if model.recipe.statistics:  # columns of several units
        found = {s: found[s].for_clips(x.cpu()) for s, x in model.encode(store, ids).items()}
    return found


def _of_actors(model: Model) -> dict[str, Scatter]:
    """The labels of simulated clips cost nothing; those of recordings take no part."""
    from motet.data.simulate import simulate  # the command line's help needs the rest of this module

    with TemporaryDirectory() as folder:
        acted = ACTORS[model.skeleton.kind, model.channels][1]
        store = model.store(simulate(Path(folder) / "clips", progress=False, **acted))
        features = model.encode(store, store.ids)
    labels = store.labels_of(store.ids).cpu()
    return {s: Scatter.of_labels(f.cpu(), labels) for s, f in features.items()}


def check_actors(by: str, preprocess: str, skeleton: Skeleton, channels: int) -> None:
    """Refuse a whitening by actors of encoders that cannot read simulated clips.

    Raises:
        ConfigError: clips that are not made bodies of one size and heading, hands or pictures of one size, or joints
            that no actor has.
    """
    from motet.data.simulate.generate import LAYOUTS

    if by == "view":
        return
    acting = layouts.get(LAYOUTS["hand" if skeleton.kind == "hand" else "body"])
    lacking = [j for j in skeleton.canonical if recipe(j, acting) is None]
    wanted = ACTORS.get((acting.kind, channels), ("", {}))[0]
    if lacking:
        why = f"the actors have no {lacking[0]}"
    elif not wanted:
        why = f"the clips have {counted(channels, 'coordinate')}"
    elif preprocess != wanted:
        why = f"preprocess is {preprocess!r}, not {wanted!r}"
    else:
        return
    raise ConfigError(f"whiten_by {by!r} needs encoders that read simulated actors, but {why}; choose 'view'")
