"""The linear protocol on features that are encoded once.

NOT the official protocol, hence its own name: a training clip shows its centre crop in every epoch or, with a bank,
one of ``crops`` random crops that were encoded beforehand and are drawn again each epoch. Optimiser, schedule, streams
and baselines are those of :mod:`motet.evaluate.linear`. With 80 epochs the official protocol encodes every training
clip 80 times, this one once. Features are standardised by default, as a small set needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from motet.core.errors import ConfigError
from motet.core.rng import CounterRNG
from motet.engine.table import Row
from motet.evaluate import linear
from motet.evaluate.context import Context
from motet.evaluate.flags import flag
from motet.evaluate.linear import Bank, probe_rows
from motet.evaluate.probe import Chunk

_PICK_VIEW = -4


FEATURES_ALONE = True
"""it asks for features of whole clips or rows and for nothing else, so it takes every kind of run"""


@dataclass(frozen=True)
class Options(linear.Options):
    """Options of the protocol."""

    standardise: bool = True
    """standardise the features of encoders too."""
    crops: int = 0
    """random crops encoded per training clip; 0 is the one centre crop."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.crops < 0:
            raise ConfigError(f"{flag(self, 'crops')} is {self.crops}; it must be 0 (the centre crop) or more")


def evaluate(context: Context, options: Options) -> list[Row]:
    """Rows as those of the official protocol, under the name ``linear-cached``."""
    return probe_rows("linear-cached", context, options, epochs(options))


def epochs(options: Options) -> Callable[[Bank], Callable[[int], Iterable[Chunk]]]:
    """Bank → epoch → the training clips: centre crops, or one of the crops of the bank each."""
    return lambda bank: _cached(bank, options)


def _cached(bank: Bank, options: Options) -> Callable[[int], Iterable[Chunk]]:
    if options.crops == 0:
        whole = [Chunk(bank.train, bank.centre(bank.context.train), bank.labels)]
        return lambda epoch: whole
    keys = range(options.crops)
    crops = [bank.crops(bank.train, key, options.minimum_ratio, bank.context.frames) for key in keys]
    features = torch.cat(crops, dim=2)  # (Q, S, crops · n, F)
    count = torch.full_like(bank.train, options.crops)
    place = torch.arange(len(bank.train), device=bank.train.device)

    def epoch_chunks(epoch: int) -> Iterable[Chunk]:
        crop = CounterRNG(0, epoch, bank.train, _PICK_VIEW).integers("crop of the bank", count)
        yield Chunk(bank.train, features.index_select(2, crop * len(place) + place), bank.labels)

    return epoch_chunks
