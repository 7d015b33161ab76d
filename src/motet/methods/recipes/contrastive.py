"""Recipes of the contrastive methods: MoCo, MCL, CrosSCLR and CMD, as in CMD's tables, and a small size.

Sources: CMD (Mao et al., ECCV 2022), its supplement and released scripts, and the schedules restated by HaLP
(Shah et al., CVPR 2023): 450 epochs with one drop at 350 on NTU RGB+D, 1000 and 800 on PKU-MMD II.
"""

from __future__ import annotations

from dataclasses import replace

from motet.data.augment import Augment
from motet.engine.options import Encoder, Optimiser
from motet.methods.cmd import CMD
from motet.methods.contrastive import Contrastive
from motet.methods.crossclr import CrosSCLR
from motet.methods.mcl import MCL
from motet.methods.moco import MoCo
from motet.methods.recipe import Recipe

METHODS: dict[str, type[Contrastive]] = {"moco": MoCo, "mcl": MCL, "crossclr": CrosSCLR, "cmd": CMD}
STREAMS = ("joint", "motion", "bone")
SPLITS = ("ntu60-xsub", "ntu60-xview", "ntu120-xsub", "ntu120-xset")


def _paper(name: str, method: type[Contrastive]) -> Recipe:
    return Recipe(recipe=name, method=method())


def small(name: str, method: type[Contrastive], streams: tuple[str, ...] = STREAMS) -> Recipe:
    """For hundreds or thousands of clips on a CPU: a small convolution, trained to its plateau in about a minute.

    What fits is decided by the data (:func:`motet.methods.pretrain.resolve`): batch and queue shrink with the set,
    clips of bodies are turned to one heading.
    """
    return Recipe(
        recipe=name,
        method=method(
            queue_size=512, key_momentum=0.99, temperature=0.1, head_width=256, head_norm=True, mask_own=True
        ),
        streams=streams,
        frames=32,
        encode_frames=48,
        preprocess="yaw",
        whiten=0.3,
        epochs=100,
        steps=300,
        batch_size=128,
        encoder=Encoder(encoder="tcn"),
        optimiser=Optimiser(optimiser="adamw", lr=2e-3, schedule="cosine", milestones=()),
        augment=Augment.varied(),
    )


def small_gru(name: str, method: type[Contrastive], streams: tuple[str, ...] = STREAMS) -> Recipe:
    """The papers' recurrent encoder at a size for small sets; chosen on held-out training subjects (docs/results)."""
    return Recipe(
        recipe=name,
        method=method(queue_size=512, key_momentum=0.99),
        streams=streams,
        frames=32,
        preprocess="first-frame",
        epochs=100,
        encoder=Encoder(hidden=64, layers=2),
        optimiser=Optimiser(optimiser="adam", lr=3e-3, milestones=(75,)),
        augment=Augment.mild(),
    )


def _pku(recipe: Recipe, name: str) -> Recipe:
    later = replace(recipe.optimiser, milestones=(800,))
    return replace(recipe, recipe=name, split="pku-xsub", epochs=1000, optimiser=later)


def recipes() -> dict[str, Recipe]:
    """``{method}/paper``, ``{method}/small``, ``{method}/small-gru``, ``{method}/ntu60-xsub`` … of every method."""
    found = {}
    for name, method in METHODS.items():
        paper = _paper(f"{name}/paper", method)
        found[paper.recipe] = paper
        found[f"{name}/small"] = small(f"{name}/small", method)
        found[f"{name}/small-gru"] = small_gru(f"{name}/small-gru", method)
        for split in SPLITS:
            found[f"{name}/{split}"] = replace(paper, recipe=f"{name}/{split}", split=split)
        found[f"{name}/pku2-xsub"] = _pku(paper, f"{name}/pku2-xsub")
    return found
