"""Recipes of masked latent prediction and of contrastive tuning, on the transformer.

Nobody has published these equations in this form, so sizes on NTU RGB+D are starting points for a GPU: tokens of 128,
eight blocks, 400 epochs of AdamW with a cosine, as masked methods on skeletons use.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from motet.data.augment import Augment
from motet.engine.options import Encoder, Optimiser
from motet.methods.base import Method
from motet.methods.latent import LatentCMD, LatentHaLP, LatentPrediction
from motet.methods.recipe import Recipe
from motet.methods.recipes.contrastive import SPLITS, STREAMS, small
from motet.methods.stars import STARS

QUEUE: dict[str, Any] = {"queue_size": 512, "key_momentum": 0.99, "temperature": 0.1, "head_width": 256}
METHODS: dict[str, tuple[type[Method], dict[str, Any]]] = {
    "latent": (LatentPrediction, {}),
    "latent-cmd": (LatentCMD, QUEUE | {"head_norm": True, "mask_own": True}),
    "latent-halp": (LatentHaLP, QUEUE | {"head_norm": True, "mask_own": True}),
    "stars": (STARS, {"queue_size": 512, "temperature": 0.1}),
}


def _small(name: str) -> Recipe:
    kind, options = METHODS[name]
    base = small(f"{name}/small", LatentCMD, STREAMS)
    tuned = name == "stars"
    return replace(
        base,
        method=kind(**options),
        frames=32,
        encode_frames=None,
        encoder=Encoder(encoder="transformer"),
        optimiser=replace(base.optimiser, lr=2e-4 if tuned else 1e-3),
    )


def _large(name: str, split: str | None) -> Recipe:
    kind, _ = METHODS[name]
    return Recipe(
        recipe=f"{name}/{split or 'paper'}",
        method=kind(),
        split=split,
        streams=STREAMS,
        frames=120,
        epochs=60 if name == "stars" else 400,
        batch_size=128,
        encoder=Encoder(encoder="transformer", width=128, layers=8, heads=8),
        optimiser=Optimiser(
            optimiser="adamw", lr=1e-4 if name == "stars" else 1e-3, weight_decay=0.05, schedule="cosine", milestones=()
        ),
        augment=Augment.mild(),
    )


def recipes() -> dict[str, Recipe]:
    """``latent/small``, ``latent-cmd/small``, ``stars/ntu60-xsub`` …"""
    made = [_small(name) for name in METHODS]
    made += [_large(name, split) for name in METHODS for split in (None, *SPLITS)]
    return {recipe.recipe: recipe for recipe in made}
