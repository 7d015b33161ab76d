"""Second views that are cut from other clips: of the same class (``class_views``), or of other people who seem to do
the same (``neighbour_views``)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from motet.core.errors import ConfigError
from motet.core.rng import CounterRNG
from motet.core.text import counted
from motet.data.archive import MotionArchive
from motet.data.loader import ClipStore
from motet.data.together import Sets
from motet.methods.whitening import Scatter, Whitening

if TYPE_CHECKING:
    from motet.methods.model import Model
    from motet.methods.recipe import Recipe

NEAREST = 3
"""clips of each other person that can be neighbours of a clip"""


def labels_note(labels: npt.NDArray[np.int64]) -> str:
    """What is said where a training uses labels, -1 for unknown."""
    known = int((labels >= 0).sum())
    return f"--class-views uses the labels of {counted(known, 'training clip')}"


class Others:
    """From which clips second views are cut.

    Args:
        store: the training clips.
        group: (n,) group of each clip of the store.
        members: places in the store, group by group.
        size: (groups,) how many members each has, one at least.
        share: of the clips whose second view comes from a member of their group.
        seed: of the draws.
    """

    def __init__(self, store: ClipStore, group: Tensor, members: Tensor, size: Tensor, share: float, seed: int) -> None:
        self.store, self.share, self.seed = store, share, seed
        self.group, self.members, self.size = group, members, size
        self.first = size.cumsum(0) - size

    def of(self, ids: Tensor) -> Tensor:
        """(B,) archive rows → (B,) int64 whose older keys are no negatives: clips of one number."""
        return ids

    def others(self, ids: Tensor, epoch: int) -> Tensor:
        """(B,) archive rows → (B,) rows of the clips that the second views are cut from.

        For ``share`` of the clips any member of their group, each as likely, else the clip itself.
        """
        drawn = CounterRNG(self.seed, epoch, ids.cpu(), -4).uniform("class", 2).double()
        own = self.group[self.store.positions(ids.cpu())]
        place = self.first[own] + (drawn[:, 1] * self.size[own]).long()
        another = self.store.ids[self.members[place]]
        return torch.where(drawn[:, 0] < self.share, another, ids.cpu()).to(ids.device)


class Classes(Others):
    """Groups are the classes; a clip without one is like no other.

    Raises:
        ConfigError: no two clips are of one class.
    """

    def __init__(self, store: ClipStore, share: float, seed: int) -> None:
        labels = store.labels
        alone = labels.max() + 1 + torch.arange(len(labels))
        group = torch.unique(torch.where(labels < 0, alone, labels), return_inverse=True)[1]
        size = torch.bincount(group)
        if int(size.max()) < 2:
            raise ConfigError("no two training clips are of the same class; leave --class-views out")
        super().__init__(store, group, group.argsort(stable=True), size, share, seed)

    def of(self, ids: Tensor) -> Tensor:
        found: Tensor = self.group[self.store.positions(ids)]
        return found.to(ids.device)


class Neighbours(Others):
    """Each clip has its :func:`neighbours`, or itself where it has none.

    Attributes:
        having: how many clips have one.
    """

    def __init__(self, store: ClipStore, pairs: Tensor, share: float, seed: int) -> None:
        alone = torch.arange(len(store))
        alone = alone[~torch.isin(alone, pairs[:, 0])]
        group, members = torch.cat([pairs, torch.stack([alone, alone], dim=1)]).unbind(1)
        self.having = len(store) - len(alone)
        order = group.argsort(stable=True)
        size = torch.bincount(group, minlength=len(store))
        super().__init__(store, torch.arange(len(store)), members[order], size, share, seed)


def people(archive: MotionArchive, rows: Tensor, sets: Sets | None = None) -> Tensor:
    """(n,) archive rows → (n,) int64 who was recorded, -1 where that is unknown; of several archives each has its own
    people."""
    who: Tensor = torch.from_numpy(archive.clips["subject"].fill_null(-1).to_numpy().astype(np.int64, copy=True))[rows]
    if sets is None:
        return who
    member = torch.from_numpy(np.array(sets.member, np.int64))[rows]
    return torch.where(who < 0, who, who + member * (who.max() + 1))


def check_people(who: Tensor) -> None:
    """Refuse neighbours where no two people are known.

    Raises:
        ConfigError: says how many there are.
    """
    if too_few := _too_few(who):
        raise ConfigError(f"{too_few}; leave --neighbour-views out")


def _too_few(who: Tensor) -> str:
    """What is said of fewer than two known people; of more nothing."""
    known = len(torch.unique(who[who >= 0]))
    named = counted(known, "person", "people")
    said = f"neighbours are clips of other people, but the training clips name {named} (column subject)"
    return said if known < 2 else ""


def views_of_neighbours(recipe: Recipe, sensors: Collection[str]) -> bool:
    """Whether second views are cut from neighbours: where a method has two, and no other sensor recorded the clips."""
    return bool(recipe.neighbour_views) and recipe.method.clips > 1 and not sensors


def neighbours_note(who: Tensor, others: Others | None, recipe: Recipe) -> str:
    """What is said where clips of other people are taken for the same movement, or could be by default; else nothing.

    Args:
        who: (n,) people of the training clips.
        others: where second views are cut from.
        recipe: what will train.
    """
    if too_few := _too_few(who):
        return f"{too_few}; there are no views of neighbours"
    near = "clips of other people (column subject) that are near in the features of the start"
    if isinstance(others, Neighbours):
        several = f"{others.having} of {counted(len(who), 'training clip')} have"
        said = f"{several} neighbours: {near} count as the same movement"
    elif recipe.whiten:
        said = f"neighbours, {near}, count as the same movement in the last map of the features"
    else:
        return ""
    return f"{said}; no label is used, --neighbour-views 0 does without"


def neighbours(features: Mapping[str, Tensor], who: Tensor, nearest: int = NEAREST) -> Tensor:
    """Pairs of clips of two people, each among the nearest of its person's clips to the other.

    Such clips mostly show the same movement, whoever moves: the nearest clip alone is often of the same person.
    Mutual neighbours as positives: Nearest-Neighbor Contrastive Learning (Dwibedi et al., ICCV 2021,
    https://arxiv.org/abs/2104.14548), here across people.

    Args:
        features: stream → (n, F); similarity is the mean cosine of the streams.
        who: (n,) people; -1 has no neighbours.
        nearest: clips of each other person that come into question.

    Returns:
        (pairs, 2) int64 places, every pair in both orders.
    """
    x = torch.cat([nn.functional.normalize(f.float().cpu(), dim=1) for f in features.values()], dim=1)
    n, found = len(x), [torch.zeros(0, dtype=torch.int64)]
    for person in torch.unique(who[who >= 0]):
        own, others = (who == person).nonzero()[:, 0], ((who != person) & (who >= 0)).nonzero()[:, 0]
        near = (x[others] @ x[own].T).topk(min(nearest, len(own)), dim=1).indices
        found.append((others[:, None] * n + own[near]).flatten())
    numbers = torch.cat(found)
    both = numbers[torch.isin(numbers, numbers % n * n + numbers // n)]
    return torch.stack([both // n, both % n], dim=1)


def lessen(model: Model, store: ClipStore, who: Tensor) -> None:
    """Let what differs between neighbours count less in the whitened features of a model (λ = 1)."""
    features = {s: f.cpu() for s, f in model.encode(store, store.ids).items()}
    pairs = neighbours(features, who)
    if not len(pairs):
        return
    for stream, values in features.items():
        first = model.whitening[stream]
        second = Whitening.of(Scatter.of_pairs(values, pairs), 1.0)
        first.matrix.copy_(first.matrix @ second.matrix.to(first.matrix))
