"""Fine-tuning on all labelled training clips: :mod:`motet.evaluate.semi` with the whole training side."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from motet.engine.table import Row
from motet.evaluate.context import Context
from motet.evaluate.tuning import Share, Tuning, tuned_rows


@dataclass(frozen=True)
class Options(Tuning):
    """Options of the protocol."""


def evaluate(context: Context, options: Options) -> list[Row]:
    """Rows of the learned encoders, of random ones (trained from scratch) and of raw features; a repeat per seed."""
    whole = torch.arange(len(context.train))
    return tuned_rows("finetune", context, options, [Share([whole] * context.seeds)], "seeds")
