"""Start from an encoder that was pretrained on the target, such as CMD's, or where another discovery had pretrained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from motet.core.errors import ConfigError, RunError
from motet.core.text import counted, pasted
from motet.data.adapt import check_adaptable, note_left_out
from motet.data.archive import MotionArchive
from motet.data.skeletons import coordinates
from motet.engine.checkpoint import load_checkpoint, upgraded
from motet.engine.hub import is_hub_id, is_shipped, shipped
from motet.engine.learner import Stage
from motet.engine.model import load
from motet.memory import momentum_encoder
from motet.methods.discovery.data import Clips
from motet.methods.discovery.joints import CommonLayout, check_axes
from motet.methods.discovery.settings import AFTER_PRETRAINING, Settings, settings_from_dict
from motet.methods.discovery.step import Discovery
from motet.methods.discovery.stored import read_config
from motet.methods.discovery.streams import StreamEncoder
from motet.methods.discovery.train import PRETRAINED
from motet.methods.discovery.views import whole_clips
from motet.methods.model import Model

STREAM = "joint"
WIDTH = 64  # channels of a TCN or transformer whose recipe names none
ROWS = 256  # clips that are encoded together


def _model(name: str) -> Model:
    folder, known = Path(name), is_shipped(name)
    # "runs/name" may be an id on the hub, but not where there is a folder "runs"
    if not folder.exists() and not known and (not is_hub_id(name) or folder.parent.is_dir()):
        raise RunError(
            f"there is no run {name}; --start takes {', '.join(shipped())}, a run of `motet pretrain` or an "
            "id owner/name"
        )
    model: Model = load(name, kinds=("pretrain",))
    if STREAM not in model.streams:
        raise ConfigError(f"{name} has no stream {STREAM!r}, only {', '.join(model.streams)}; pretrain one")
    return model


def reads(model: Model, *archives: MotionArchive) -> bool:
    """Whether weights see bodies or sensors in a form of their own, and these archives can be brought to it."""
    if not model.of_one_form or any(coordinates(a.channels) != len(a.channels) for a in archives):
        return False
    try:
        for archive in archives:
            check_adaptable(archive, model)
    except ConfigError:
        return False
    return True


def fits(name: str, *archives: MotionArchive) -> bool:
    """Whether the package has weights of this name that read these archives."""
    return is_shipped(name) and reads(load(name, kinds=("pretrain",)), *archives)


def refining(name: str) -> str:
    """The recipe that refines in a few steps a start whose features of several streams stand side by side; "" for
    others."""
    model = _model(name)
    if model.recipe.encoder.encoder in ("gru", "stgcn"):
        return ""
    flat = "picture" if model.recipe.preprocess == "sized" and model.channels == 2 else ""
    if model.skeleton.kind == "hand":
        return f"hand-{flat}" if flat else "hand"
    return flat or "body"


def adopt(settings: Settings, source: MotionArchive, target: MotionArchive) -> tuple[Settings, CommonLayout | None]:
    """The settings with the encoder, the frames and the preprocessing that ``settings.start`` was trained with.

    Returns:
        The settings, and the form of the weights' clips where both branches are to read that.

    Raises:
        ConfigError: the run has no joint stream, or was trained on another layout than the target's.
        DataError: an archive whose axes are mirrored against its declaration.
    """
    model = _model(settings.start)
    encoder = model.recipe.encoder
    one = reads(model, source, target)
    if not one and (model.skeleton.canonical != target.skeleton.canonical or model.channels != len(target.channels)):
        raise ConfigError(
            f"{settings.start} was trained on {model.skeleton.name!r} with {counted(model.channels, 'coordinate')}, "
            f"the target is {target.skeleton.name!r} with {len(target.channels)}; start from a run on the target's "
            f"own layout"
        )
    for option in ("mode", "causal"):  # which discover leaves as they are by default
        value, usual = encoder.keywords.get(option), getattr(type(encoder)(), option)
        if value not in (None, usual):
            raise ConfigError(
                f"{settings.start} has encoders with --{option} {value}; discover runs those with --{option} {usual}"
            )
    form = None
    if one:
        for archive in (source, target):
            check_axes(archive)
            note_left_out(archive, model)
        scale = "metres" if model.skeleton.kind == "sensor" else "body"
        form = CommonLayout(model.skeleton, ("x", "y", "z")[: model.channels], model.persons, scale)
    changed = replace(settings, preprocess=model.recipe.preprocess, frames=model.recipe.frames, streams=(STREAM,))
    if encoder.encoder == "gru":
        return replace(changed, encoder="gru", hidden=encoder.hidden, layers=encoder.layers), form
    if encoder.encoder == "stgcn":
        width = encoder.width or Settings.width
        return replace(changed, encoder="stgcn", width=width, feature_size=encoder.feature_size), form
    options: dict[str, Any] = {n: getattr(encoder, n) for n in ("encoder", "layers", "kernel", "heads", "patch")}
    size: dict[str, Any] = {
        "hidden": encoder.hidden if "hidden" in encoder.keywords else encoder.width or WIDTH,
        "streams": tuple(model.streams),
    }
    size["frames"] = model.clip_frames
    return replace(changed, **options, **size), form


def start(discovery: Discovery, settings: Settings, clips: Clips) -> None:
    """Give the pretrained weights to the target's own branch, and to the shared one if it has the same inputs.

    Features of several streams are standardised over the training clips of the target.
    """
    model = _model(settings.start)
    for number, (branch, store) in enumerate(zip(discovery.pair, clips.target, strict=True)):
        encoder: nn.Module = branch.student["encoder"]
        several = encoder if isinstance(encoder, StreamEncoder) else None
        found = several.weights_of(model) if several else model.encoders[model.streams.index(STREAM)].state_dict()
        if {k: v.shape for k, v in encoder.state_dict().items()} == {k: v.shape for k, v in found.items()}:
            encoder.load_state_dict(found)
            if several:
                several.standardise(
                    [whole_clips(store, ids, settings.frames) for ids in torch.split(clips.train, ROWS)]
                )
            branch.teacher["encoder"] = momentum_encoder(encoder)
        elif number == 1:
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
        raise RunError(f"{folder} has not finished its pretraining; continue it with `motet resume {pasted(folder)}`")
    state = load_checkpoint([folder / PRETRAINED])
    # of an earlier version: the stage is the first one, at its end
    return upgraded({"stage": 0, **state}, (Stage("pretrain", settings.epochs, 1),))
