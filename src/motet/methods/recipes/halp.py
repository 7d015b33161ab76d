"""Recipes of HaLP and HaLP+CMD (Shah et al., CVPR 2023, implementation details in its supplement, F).

μ is 1 on NTU RGB+D 60 and PKU-MMD II and 2 on NTU RGB+D 120, N is 20, 20 and 40; the positives start in epoch 200
everywhere.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from motet.methods.halp import HaLP, HaLPCMD
from motet.methods.recipe import Recipe
from motet.methods.recipes.contrastive import small, small_gru

SPLITS: dict[str, dict[str, Any]] = {
    "ntu60-xsub": {},
    "ntu60-xview": {},
    "ntu120-xsub": {"halp_weight": 2.0, "prototypes": 40},
    "ntu120-xset": {"halp_weight": 2.0, "prototypes": 40},
}
METHODS: dict[str, tuple[type[HaLP], tuple[str, ...]]] = {
    "halp": (HaLP, ("joint",)),
    "halp-cmd": (HaLPCMD, ("joint", "motion", "bone")),
}


def recipes() -> dict[str, Recipe]:
    """``halp/paper``, ``halp-cmd/small``, ``halp/ntu120-xsub`` …"""
    found = {}
    for name, (method, streams) in METHODS.items():
        paper = Recipe(recipe=f"{name}/paper", method=method(), streams=streams)
        found[paper.recipe] = paper
        found[f"{name}/small"] = small(f"{name}/small", method, streams)
        found[f"{name}/small-gru"] = small_gru(f"{name}/small-gru", method, streams)
        for split, options in SPLITS.items():
            found[f"{name}/{split}"] = replace(paper, recipe=f"{name}/{split}", split=split, method=method(**options))
        found[f"{name}/pku2-xsub"] = replace(
            paper,
            recipe=f"{name}/pku2-xsub",
            split="pku-xsub",
            epochs=1000,
            optimiser=replace(paper.optimiser, milestones=(800,)),
            method=method(halp_start=200),
        )
    return found
