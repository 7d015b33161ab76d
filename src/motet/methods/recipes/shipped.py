"""Recipes of the weights that come with the package (`motet weights train`)."""

from __future__ import annotations

from typing import Any

from motet.methods.cmd import CMD
from motet.methods.recipe import Recipe
from motet.methods.recipes.contrastive import small

SKELETONS = ("body", "hand", "picture", "hand-picture")
"""weights that read skeletons"""
BODY: dict[str, Any] = {
    "queue_size": 2048,
    "preprocess": "body",
    "whiten": 0.3,
    "whiten_by": "actor",
    "keep_start": 0.5,
    "class_views": 0.5,
    "neighbour_views": 0.5,
    "steps": 1200,
    "width": 96,
}
HAND: dict[str, Any] = BODY | {"preprocess": "hand", "steps": 460}
PICTURE: dict[str, Any] = BODY | {
    "preprocess": "sized",
    "keep_start": 0.75,
    "neighbour_views": 0.0,
    "steps": 2400,
}
HAND_PICTURE: dict[str, Any] = PICTURE | {"steps": 460}
WRIST: dict[str, Any] = {
    "queue_size": 1024,
    "preprocess": "mirror",
    "whiten": 0.3,
    "statistics": True,
    "steps": 180,
    "batch_size": 96,
    "frames": 64,
    "encode_frames": None,
    "rotate": 30.0,
}


def recipes() -> dict[str, Recipe]:
    """``cmd/body``: any layout of a body, 15 joints; ``cmd/hand``: of a hand, 21; ``cmd/picture``: of a body in
    pictures, 15; ``cmd/hand-picture``: of a hand in pictures, 21; ``cmd/wrist``: worn sensors, in one form."""
    return {
        "cmd/body": small("cmd/body", CMD).with_options(BODY),
        "cmd/hand": small("cmd/hand", CMD).with_options(HAND),
        "cmd/picture": small("cmd/picture", CMD).with_options(PICTURE),
        "cmd/hand-picture": small("cmd/hand-picture", CMD).with_options(HAND_PICTURE),
        "cmd/wrist": small("cmd/wrist", CMD, ("joint", "motion")).with_options(WRIST),
    }
