"""Recipes of the masked autoencoder, in the sizes of MoCo: MAE (He et al., CVPR 2022) is of pictures."""

from __future__ import annotations

from dataclasses import replace

from motet.methods.mae import MaskedAutoencoder
from motet.methods.recipe import Recipe
from motet.methods.recipes import contrastive


def recipes() -> dict[str, Recipe]:
    """``mae/paper`` and ``mae/small``."""
    sizes = {name: contrastive.recipes()[f"moco/{name}"] for name in ("paper", "small")}
    return {f"mae/{n}": replace(r, recipe=f"mae/{n}", method=MaskedAutoencoder()) for n, r in sizes.items()}
