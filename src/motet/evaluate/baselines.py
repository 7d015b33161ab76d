"""What a user would take instead of a training: random convolutions, the weights of the package, and for sensors
statistics and spectrum."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from motet.core.chance import Chance
from motet.core.errors import ConfigError
from motet.data.archive import MotionArchive
from motet.data.inertial import kind_of
from motet.data.loader import ClipStore
from motet.data.worn import digest_of
from motet.encoders.rocket import FRAMES, fit_thresholds
from motet.encoders.statistics import statistics
from motet.engine.hub import shipped
from motet.engine.model import load
from motet.engine.table import ROCKET, STATISTICS, WEIGHTS
from motet.evaluate.features import Encoded, FeatureSet, Raw
from motet.methods.whitening import WHITEN, whiten

if TYPE_CHECKING:
    from motet.methods.model import Model


def random_convolutions(model: Model, store: ClipStore, train: Tensor, seed: int) -> Model:
    """Random convolutions of the streams of a model, on its clips; thresholds are those of the training clips."""
    encoder = replace(model.recipe.encoder, encoder="rocket")
    recipe = replace(model.recipe, encoder=encoder, frames=max(FRAMES, model.clip_frames), encode_frames=None)
    with Chance(seed):
        layout = model.skeleton, model.persons, model.channels
        convolutions = type(model)(recipe, *layout, device=model.device, units=model.units)
    fit_thresholds(convolutions.encoders, convolutions.views, store, train, recipe.frames)
    return convolutions


def shipped_weights(model: Model, archive: MotionArchive) -> Iterator[tuple[str, Model]]:
    """Name in tables and model of the weights of the package that read an archive, with the streams of a model; none
    where they lack one of these."""
    for name in shipped():
        weights = load(name, str(model.device))
        if not isinstance(weights, type(model)):
            continue
        theirs = {_measured(s): s for s in weights.streams}
        wanted = [theirs[_measured(s)] for s in model.streams if _measured(s) in theirs]
        if len(wanted) < len(model.streams):
            continue
        if weights.recipe == model.recipe:
            continue  # they are what is evaluated
        try:
            weights.check(archive)
        except ConfigError:
            continue
        yield f"{WEIGHTS}{name}", weights.only(wanted, model.streams)


def _measured(stream: str) -> str:
    """A stream by what the nodes of a sensor measure: ``joint[acc]`` whatever the accelerometer is called."""
    kind, bracket, nodes = stream.partition("[")
    return kind + bracket + "+".join(kind_of(n) for n in nodes.rstrip("]").split("+")) if bracket else stream


class Statistics(Raw):
    """Statistics and spectrum of every channel (:func:`motet.encoders.statistics.statistics`)."""

    def described(self, clips: Tensor) -> Tensor:
        return statistics(clips)


def statistics_of(model: Model, store: ClipStore) -> Sequence[FeatureSet]:
    """One set of statistics for sensors, none for bodies."""
    return [Statistics(model, store)] if model.skeleton.kind == "sensor" else []


def untrained(model: Model, store: ClipStore, train: Tensor, seed: int) -> Model:
    """The architecture freshly initialised, with the last map that the trained features have too, of training clips."""
    made = model.untrained(seed)
    if model.whitening:
        strength = model.recipe.whiten or WHITEN
        whiten(made, store, train, seed=seed, shrinkage=strength)
    return made


def others(
    model: Model, store: ClipStore, train: Tensor, archive: MotionArchive, folder: Path | None, count: int
) -> Callable[[], Mapping[str, Sequence[FeatureSet]]]:
    """Features that need no training, made when they are first asked for; none without baselines."""

    @cache
    def made() -> Mapping[str, Sequence[FeatureSet]]:
        convolutions = [random_convolutions(model, store, train, seed) for seed in range(count)]
        found: dict[str, Sequence[FeatureSet]] = {
            ROCKET: [Encoded(m, store, archive_hash=digest_of(archive), folder=folder) for m in convolutions],
            STATISTICS: statistics_of(model, store) if count else [],
        }
        for name, weights in shipped_weights(model, archive) if count else ():
            own = weights.store(archive, store.ids.cpu().numpy())
            found[name] = [Encoded(weights, own, archive_hash=digest_of(archive), folder=folder)]
        return {kind: sets for kind, sets in found.items() if sets}

    return made
