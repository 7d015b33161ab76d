"""Second views that are cut from other clips of the same class (``class_views``)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from motet.core.errors import ConfigError
from motet.core.rng import CounterRNG
from motet.core.text import counted
from motet.data.loader import ClipStore


def labels_note(labels: npt.NDArray[np.int64]) -> str:
    """What is said where a training uses labels, -1 for unknown."""
    known = int((labels >= 0).sum())
    return f"--class-views uses the labels of {counted(known, 'training clip')}"


class Classes:
    """Which clips of a store are of the same class.

    Args:
        store: the training clips; one without a class is like no other.
        share: of the clips whose second view comes from another clip.
        seed: of the draws.

    Raises:
        ConfigError: no two clips are of one class.
    """

    def __init__(self, store: ClipStore, share: float, seed: int) -> None:
        self.store, self.share, self.seed = store, share, seed
        labels = store.labels
        alone = labels.max() + 1 + torch.arange(len(labels))
        self.of_place = torch.unique(torch.where(labels < 0, alone, labels), return_inverse=True)[1]
        self.size = torch.bincount(self.of_place)
        if int(self.size.max()) < 2:
            raise ConfigError("no two training clips are of the same class; leave --class-views out")
        self.members = self.of_place.argsort(stable=True)  # class by class
        self.first = self.size.cumsum(0) - self.size

    def of(self, ids: Tensor) -> Tensor:
        """(B,) archive rows → (B,) int64 numbers of their classes."""
        found: Tensor = self.of_place[self.store.positions(ids)]
        return found.to(ids.device)

    def others(self, ids: Tensor, epoch: int) -> Tensor:
        """(B,) archive rows → (B,) rows of the clips that the second views are cut from.

        For ``share`` of the clips any clip of their class, each as likely, else the clip itself.
        """
        drawn = CounterRNG(self.seed, epoch, ids.cpu(), -4).uniform("class", 2).double()
        own = self.of(ids.cpu())
        place = self.first[own] + (drawn[:, 1] * self.size[own]).long()
        another = self.store.ids[self.members[place]]
        return torch.where(drawn[:, 0] < self.share, another, ids.cpu()).to(ids.device)
