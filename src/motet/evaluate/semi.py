"""Semi-supervised: fine-tuning on a share of the labels, several times with other clips.

The clips are drawn uniformly from the whole training side, ⌊share · n⌋ of them (CMD, Mao et al., ECCV 2022), or from
each class, round(share · n_c) (AimCLR, Guo et al., AAAI 2022). Which clips were drawn is in the evaluation's
``protocols[…]["record"]``. How the network learns: :mod:`motet.evaluate.tuning`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from motet.core.errors import ConfigError
from motet.core.text import counted
from motet.engine.table import Row
from motet.evaluate.context import Context
from motet.evaluate.flags import flag
from motet.evaluate.tuning import Share, Tuning, tuned_rows

PUBLISHED = (0.01, 0.05, 0.1, 0.2)


@dataclass(frozen=True)
class Options(Tuning):
    """Options of the protocol."""

    ratios: tuple[float, ...] = ()
    """shares of the labels; by default .01 .05 .1 .2, but for those that give fewer clips than there are classes."""
    sampling: Literal["uniform", "balanced"] = "uniform"
    """uniform: from all training clips, as CMD; balanced: from each class, as AimCLR."""
    repeats: int = 5
    """draws of each share; the table says mean and deviation over them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(not 0 < r <= 1 for r in self.ratios):
            raise ConfigError(f"{flag(self, 'ratios')} are {self.ratios}; each must lie above 0 and at most at 1")
        if self.repeats < 1:
            raise ConfigError(f"{flag(self, 'repeats')} is {self.repeats}; it must be at least 1")


def draw(context: Context, ratio: float, repeat: int, sampling: str) -> Tensor:
    """Positions in the training side, ascending.

    Raises:
        ConfigError: the share is no clip at all, or (balanced) leaves a class without one.
    """
    labels = context.train_labels
    random = np.random.default_rng([repeat, round(1e6 * ratio)])
    if sampling == "uniform":
        count = int(np.floor(ratio * len(labels) + 1e-9))
        if count == 0:
            raise ConfigError(
                f"{100 * ratio:g} % of {counted(len(labels), 'training clip')} is none; raise --semi.ratios"
            )
        return torch.from_numpy(np.sort(random.choice(len(labels), count, replace=False)))
    chosen = []
    for c in np.unique(labels):
        members = np.flatnonzero(labels == c)
        count = int(np.floor(ratio * len(members) + 0.5))
        if count == 0:
            raise ConfigError(
                f"{100 * ratio:g} % of the {counted(len(members), 'training clip')} of {context.class_names[c]} is "
                f"none; raise --semi.ratios or choose --semi.sampling uniform"
            )
        chosen.append(random.choice(members, count, replace=False))
    return torch.from_numpy(np.sort(np.concatenate(chosen)))


def check(context: Context, options: Options) -> None:
    """Raise ConfigError for shares that hold no clip, before anything is computed."""
    options.chosen(context)
    for ratio in options.ratios or _usual(context):
        draw(context, ratio, 0, options.sampling)


def evaluate(context: Context, options: Options) -> list[Row]:
    """For each share a row of the learned encoders, of random ones (trained from scratch) and of raw features."""
    ratios = options.ratios or _usual(context)
    shares, record = [], []
    for ratio in ratios:
        draws = [draw(context, ratio, repeat, options.sampling) for repeat in range(options.repeats)]
        record += [
            {"ratio": ratio, "repeat": i, "clips": " ".join(map(str, context.train[d].tolist()))}
            for i, d in enumerate(draws)
        ]
        present = [len(np.unique(context.train_labels[d.numpy()])) for d in draws]
        details = {"ratio": ratio, "sampling": options.sampling, "classes": present}
        if min(present) < len(np.unique(context.train_labels)):
            few = " to ".join(map(str, sorted({min(present), max(present)})))
            context.notes.append(
                f"{100 * ratio:g} % ({counted(len(draws[0]), 'clip')}) holds clips of {few} of "
                f"{counted(len(np.unique(context.train_labels)), 'class')}"
            )
        shares.append(Share(draws, details))
    context.records["clips"] = record
    return tuned_rows("semi", context, options, shares, "draws")


def _usual(context: Context) -> tuple[float, ...]:
    """The published shares that give at least as many clips as there are classes."""
    classes, clips = len(np.unique(context.train_labels)), len(context.train)
    usual = tuple(r for r in PUBLISHED if r * clips >= classes)
    if not usual:
        raise ConfigError(
            f"too few clips for shares of them: {counted(clips, 'training clip')} of {counted(classes, 'class')}; "
            f"set --semi.ratios"
        )
    if len(usual) < len(PUBLISHED):
        left = ", ".join(f"{100 * r:g} %" for r in PUBLISHED if r not in usual)
        context.notes.append(
            f"left out {left}: fewer clips than the {counted(classes, 'class')} (--semi.ratios forces them)"
        )
    return usual
