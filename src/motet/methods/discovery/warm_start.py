"""Start from an encoder that was pretrained on the target, such as CMD's, or where another discovery had pretrained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from motet.core.errors import ConfigError, RunError
from motet.data.archive import MotionArchive
from motet.engine.checkpoint import load_checkpoint, upgraded
from motet.engine.hub import is_hub_id
from motet.engine.learner import Stage
from motet.engine.model import load
from motet.memory import make_twin
from motet.methods.discovery.settings import AFTER_PRETRAINING, Settings, settings_from_dict
from motet.methods.discovery.step import Discovery
from motet.methods.discovery.stored import read_config
from motet.methods.discovery.train import PRETRAINED
from motet.methods.model import Model

STREAM = "joint"


def _model(settings: Settings) -> Model:
    folder = Path(settings.start)
    # "runs/name" may be an id on the hub, but not where there is a folder "runs"
    if not folder.exists() and (not is_hub_id(settings.start) or folder.parent.is_dir()):
        raise RunError(f"there is no run {settings.start}; --start takes a run of `motet pretrain` or an id owner/name")
    model: Model = load(settings.start, kinds=("pretrain",))
    if STREAM not in model.streams:
        raise ConfigError(f"{settings.start} has no stream {STREAM!r}, only {', '.join(model.streams)}; pretrain one")
    return model


def adopt(settings: Settings, target: MotionArchive) -> Settings:
    """The settings with the encoder, the frames and the preprocessing that ``settings.start`` was trained with.

    Raises:
        ConfigError: the run has no joint stream, or was trained on another layout than the target's.
    """
    model = _model(settings)
    if model.skeleton.canonical != target.skeleton.canonical or model.channels != len(target.channels):
        raise ConfigError(
            f"{settings.start} was trained on {model.skeleton.name!r} with {model.channels} coordinates, the target is "
            f"{target.skeleton.name!r} with {len(target.channels)}; start from a run on the target's own layout"
        )
    encoder = model.recipe.encoder
    if encoder.encoder == "gru" and encoder.mode != "causal":
        raise ConfigError(f"{settings.start} has a {encoder.mode} GRU; discover runs the causal one")
    changed = replace(settings, preprocess=model.recipe.preprocess, frames=model.recipe.frames)
    if encoder.encoder == "gru":
        return replace(changed, encoder="gru", hidden=encoder.hidden, layers=encoder.layers)
    return replace(changed, encoder="stgcn", width=16, feature_size=256)


def start(discovery: Discovery, settings: Settings) -> None:
    """Give the pretrained weights to the target's own branch, and to the shared one if it has the same inputs."""
    model = _model(settings)
    weights = model.encoders[model.streams.index(STREAM)].state_dict()
    for branch in discovery.pair:
        encoder: nn.Module = branch.student["encoder"]
        shapes = {k: v.shape for k, v in encoder.state_dict().items()}
        if shapes == {k: v.shape for k, v in weights.items()}:
            encoder.load_state_dict(weights)
            branch.teacher["encoder"] = make_twin(encoder)
        elif branch is discovery.pair[1]:
            raise ConfigError(
                f"the weights of {settings.start} do not fit the encoder of the target; its persons or options differ"
            )


def pretraining_of(settings: Settings, choice: Mapping[str, Any], hashes: Sequence[str]) -> dict[str, Any]:
    """The state at the end of the pretraining of the run ``settings.pretrained``.

    Args:
        settings: of this run.
        choice: what this run's config.json would hold of its choice of clips.
        hashes: digests of source and target.

    Raises:
        ConfigError: that run pretrained otherwise; names the option.
        RunError: it has not finished its pretraining.
    """
    folder = Path(settings.pretrained)
    other = read_config(folder)
    here, there = settings.to_dict(), settings_from_dict(other["settings"]).to_dict()
    changed = [name for name in here if name not in AFTER_PRETRAINING and here[name] != there[name]]
    if changed:
        name = changed[0]
        raise ConfigError(
            f"{folder} pretrained with {name} = {there[name]!r}, this run would with {here[name]!r}; pretrain again "
            "(without --pretrained) or take its value"
        )
    clips = [other["source"]["hash"], other["target"]["hash"]]
    same = all(list(other[k]) == list(v) if isinstance(v, list | tuple) else other[k] == v for k, v in choice.items())
    if clips != list(hashes) or not same:
        raise ConfigError(f"{folder} pretrained on other clips; pretrain again (without --pretrained)")
    if not (folder / PRETRAINED).exists():
        raise RunError(f"{folder} has not finished its pretraining; continue it with `motet resume {folder}`")
    state = load_checkpoint([folder / PRETRAINED])
    # of an earlier version: the stage is the first one, at its end
    return upgraded({"stage": 0, **state}, (Stage("pretrain", settings.epochs, 1),))
