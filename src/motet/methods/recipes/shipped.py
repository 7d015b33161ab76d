"""Recipe of the weights that come with the package (`motet weights train`)."""

from __future__ import annotations

from motet.methods.cmd import CMD
from motet.methods.recipe import Recipe
from motet.methods.recipes.contrastive import small


def recipes() -> dict[str, Recipe]:
    """``cmd/body``: any layout of a body, 15 joints."""
    body = small("cmd/body", CMD)
    return {"cmd/body": body.with_options({"queue_size": 2048, "preprocess": "body", "steps": 450, "width": 96})}
