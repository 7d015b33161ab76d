"""Recipes on the ST-GCN: AimCLR (Guo et al., AAAI 2022, as released), HaLP on it, CrosSCLR, MoCo.

300 epochs of SGD at 0.1 with one drop at 250, batches of 128, a queue of 32768, 50 frames, positives from neighbours
from epoch 150 on; one stream at a time. HaLP's supplement reports one number on it and no settings; those are HaLP's.
"""

from __future__ import annotations

from dataclasses import replace

from motet.data.augment import Augment
from motet.engine.options import Encoder, Optimiser
from motet.methods.aimclr import AimCLR, HaLPAimCLR
from motet.methods.contrastive import Contrastive
from motet.methods.crossclr import CrosSCLR
from motet.methods.moco import MoCo
from motet.methods.recipe import Recipe

METHODS: dict[str, tuple[type[Contrastive], tuple[str, ...]]] = {
    "aimclr": (AimCLR, ("joint",)),
    "halp-aimclr": (HaLPAimCLR, ("joint",)),
    "crossclr-stgcn": (CrosSCLR, ("joint", "motion", "bone")),  # as first published, before CMD's encoder
    "moco-stgcn": (MoCo, ("joint",)),  # SkeletonCLR
}
SPLITS = {
    "ntu60-xsub": "ntu60-xsub",
    "ntu60-xview": "ntu60-xview",
    "ntu120-xsub": "ntu120-xsub",
    "ntu120-xset": "ntu120-xset",
    "pku2-xsub": "pku-xsub",
}


def _paper(name: str, method: type[Contrastive], streams: tuple[str, ...]) -> Recipe:
    return Recipe(
        recipe=name,
        method=method(queue_size=32768, padding=1 / 6),
        streams=streams,
        frames=50,
        preprocess="crossclr",
        epochs=300,
        batch_size=128,
        encoder=Encoder(encoder="stgcn"),
        optimiser=Optimiser(lr=0.1, milestones=(250,)),
        # the clip is resized whole; what it is cropped by is the method's padding
        augment=Augment(crop_minimum=1.0, corruption=0.0, shear=0.5),
    )


def _small(name: str, method: type[Contrastive], streams: tuple[str, ...]) -> Recipe:
    """The small size of :mod:`motet.methods.recipes.contrastive` with the graph encoder."""
    return replace(
        _paper(name, method, streams),
        method=method(queue_size=512, key_momentum=0.99, padding=1 / 6),
        frames=32,
        preprocess="first-frame",
        epochs=100,
        batch_size=64,
        # features as wide as those of the small GRU, which --encoder gru gives; the last block at 256 channels
        # would cost as much as all others together
        encoder=Encoder(encoder="stgcn", feature_size=128, hidden=64, layers=2),
        optimiser=Optimiser(optimiser="adam", lr=3e-3, milestones=(75,)),
    )


def recipes() -> dict[str, Recipe]:
    """``aimclr/paper``, ``aimclr/small``, ``halp-aimclr/ntu60-xsub`` …"""
    found = {}
    for name, kind in METHODS.items():
        paper = _paper(f"{name}/paper", *kind)
        found[paper.recipe] = paper
        found[f"{name}/small"] = _small(f"{name}/small", *kind)
        for variant, split in SPLITS.items():
            found[f"{name}/{variant}"] = replace(paper, recipe=f"{name}/{variant}", split=split)
    return found
