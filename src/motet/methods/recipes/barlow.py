"""Recipes of Barlow Twins (Zbontar et al., ICML 2021), in the sizes of MoCo: the paper is of pictures."""

from __future__ import annotations

from dataclasses import replace

from motet.methods.barlow import BarlowTwins
from motet.methods.recipe import Recipe
from motet.methods.recipes import contrastive


def recipes() -> dict[str, Recipe]:
    """``barlow/paper`` and ``barlow/small``."""
    sizes = {name: contrastive.recipes()[f"moco/{name}"] for name in ("paper", "small")}
    return {f"barlow/{n}": replace(r, recipe=f"barlow/{n}", method=BarlowTwins()) for n, r in sizes.items()}
