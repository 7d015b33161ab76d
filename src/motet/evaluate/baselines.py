"""What a user would take instead of a training: random convolutions, the weights of the package, and for sensors
statistics and spectrum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from motet.core.errors import ConfigError
from motet.data.archive import MotionArchive
from motet.data.loader import ClipStore
from motet.encoders.rocket import FRAMES, fit_thresholds
from motet.engine.hub import shipped
from motet.engine.model import load
from motet.engine.table import WEIGHTS
from motet.evaluate.features import FeatureSet, Raw

if TYPE_CHECKING:
    from motet.methods.model import Model

_BATCH = 256
_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_BANDS = 8


def random_convolutions(model: Model, store: ClipStore, train: Tensor, seed: int) -> Model:
    """Random convolutions of the streams of a model, on its clips; thresholds are those of the training clips."""
    encoder = replace(model.recipe.encoder, encoder="rocket")
    recipe = replace(model.recipe, encoder=encoder, frames=max(FRAMES, model.clip_frames), encode_frames=None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layout = model.skeleton, model.persons, model.channels
        convolutions = type(model)(recipe, *layout, device=model.device, units=model.units)
    fit_thresholds(convolutions.encoders, convolutions.views, store, train, recipe.frames)
    return convolutions


def shipped_weights(model: Model, archive: MotionArchive) -> Iterator[tuple[str, Model]]:
    """Name in tables and model of the weights of the package that read an archive, where a model has their streams."""
    for name in shipped():
        weights = load(name, str(model.device))
        if not isinstance(weights, type(model)) or model.streams != weights.streams:
            continue
        if weights.recipe == model.recipe:
            continue  # they are what is evaluated
        try:
            weights.check(archive)
        except ConfigError:
            continue
        yield f"{WEIGHTS}{name}", weights


class Statistics(Raw):
    """Statistics and spectrum of every channel: the hand-made features of activity recognition.

    Of each node's channels and of their magnitude: mean, standard deviation, quantiles, root mean square of the
    differences, share of crossings of the mean, and the share of the power in each of eight bands, wider upwards.
    """

    def crops(self, ids: Tensor, start: Tensor, length: Tensor) -> dict[str, Tensor]:
        found: list[dict[str, Tensor]] = []
        for at in range(0, len(ids), _BATCH):
            rows = slice(at, at + _BATCH)
            clips = self.store.windows(ids[rows], start[rows], length[rows], self.model.clip_frames)
            views = zip(self.model.streams, self.model.views, strict=True)
            found.append({s: statistics(view(clips)) for s, view in views})
        return {s: torch.cat([f[s] for f in found]) for s in self.model.streams}


def statistics(x: Tensor) -> Tensor:
    """(B, T, P, V, C) → (B, F): see :class:`Statistics`."""
    magnitude = torch.linalg.vector_norm(x, dim=4, keepdim=True)
    series = torch.cat([x, magnitude], dim=4).flatten(2).transpose(1, 2)  # (B, channels, T)
    mean = series.mean(dim=2)
    centred = series - mean[:, :, None]
    levels = torch.quantile(series, torch.tensor(_QUANTILES, dtype=series.dtype, device=series.device), dim=2)
    change = torch.diff(series, dim=2)
    crossings = (torch.diff(centred.sign(), dim=2) != 0).to(series.dtype).mean(dim=2)
    power = torch.fft.rfft(centred, dim=2).abs().square()[:, :, 1:]
    edges = torch.logspace(0, 1, _BANDS + 1, base=power.shape[2] + 1.0).sub(1).round().long().tolist()
    bands = [power[:, :, a : max(b, a + 1)].sum(dim=2) for a, b in pairwise(edges)]
    total = power.sum(dim=2).clamp_min(torch.finfo(power.dtype).tiny)
    parts = [mean, centred.std(dim=2), change.square().mean(dim=2).sqrt(), crossings, *levels.unbind(0)]
    return torch.stack([*parts, *(b / total for b in bands), total.log()], dim=2).flatten(1)


def statistics_of(model: Model, store: ClipStore) -> Sequence[FeatureSet]:
    """One set of statistics for sensors, none for bodies."""
    return [Statistics(model, store)] if model.skeleton.kind == "sensor" else []
