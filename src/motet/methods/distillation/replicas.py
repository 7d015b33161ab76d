"""The replicas of an experiment (every fold with every seed) and the rows and batches that each sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from motet.core.rng import CounterRNG
from motet.methods.distillation.folds import Fold
from motet.methods.distillation.networks import Inputs, Shape
from motet.methods.distillation.table import FeatureTable

_FAR = 10.0  # standard deviations beyond which a feature says no more
_VARIES = 1e-5  # share of a modality's typical spread below which a feature counts as constant


@dataclass(frozen=True, eq=False)
class Replicas:
    """Every fold with every seed, fold by fold.

    Attributes:
        folds, seeds: of the experiment.
    """

    folds: tuple[Fold, ...]
    seeds: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.folds) * len(self.seeds)

    @cached_property
    def replica_folds(self) -> tuple[Fold, ...]:
        """Fold of each replica."""
        return tuple(fold for fold in self.folds for _ in self.seeds)

    @cached_property
    def replica_seeds(self) -> tuple[int, ...]:
        """Seed of each replica."""
        return tuple(seed for _ in self.folds for seed in self.seeds)

    @cached_property
    def train(self) -> Tensor:
        """(G, n) rows, padded by 0."""
        return _padded([fold.train for fold in self.replica_folds])

    @cached_property
    def test(self) -> Tensor:
        """(G, m) rows, padded by 0."""
        return _padded([fold.test for fold in self.replica_folds])

    @cached_property
    def train_counts(self) -> Tensor:
        """(G,) training rows of each replica."""
        return torch.tensor([len(fold.train) for fold in self.replica_folds])

    @cached_property
    def test_counts(self) -> Tensor:
        """(G,) test rows of each replica."""
        return torch.tensor([len(fold.test) for fold in self.replica_folds])

    def orders(self, epoch: int, labels: Tensor, per_class: int) -> Tensor:
        """(G, n) places of the training rows in the order of an epoch, by the replica's seed and fold alone."""
        orders = torch.zeros_like(self.train)
        for replica, seed in enumerate(self.replica_seeds):
            count = int(self.train_counts[replica])
            rows = self.train[replica, :count]
            order = CounterRNG(seed, epoch, rows, -4).order("distill")
            if per_class:
                order = _together(order, labels[rows], per_class, CounterRNG(seed, epoch, rows, -5))
            orders[replica, :count] = order
        return orders


def _padded(rows: Sequence[np.ndarray]) -> Tensor:
    wide = max(len(r) for r in rows)
    return torch.tensor(np.stack([np.pad(r, (0, wide - len(r))) for r in rows]), dtype=torch.int64)


def _together(order: Tensor, labels: Tensor, size: int, keyed: CounterRNG) -> Tensor:
    """An order in which rows of a class come in runs of ``size``, the runs in random order."""
    by_class = order[labels[order].argsort(stable=True)]
    classes = labels[by_class]
    first = torch.searchsorted(classes, classes)  # place where the row's class begins
    run = classes * len(order) + (torch.arange(len(order)) - first) // size
    _, number = torch.unique(run, return_inverse=True)
    key = keyed.uniform("runs")
    return by_class[key[number].argsort(stable=True)]


def standardised(x: Tensor, statistics: tuple[Tensor, Tensor] | None, lengths: Tensor | None) -> Tensor:
    """(G, B, D) or (G, B, T, D) by centre and scale, (G, D) each, within ±10; without them as it is.

    Frames behind (G, B) ``lengths`` are zero.
    """
    if statistics is not None:
        lead = (len(x), *(1,) * (x.ndim - 2), x.shape[-1])
        center, scale = (s.view(lead) for s in statistics)
        x = ((x - center) * scale).clamp_(-_FAR, _FAR)
    if lengths is not None:
        valid = torch.arange(x.shape[2], device=x.device) < lengths[..., None]
        x = x.masked_fill(~valid[..., None], 0)
    return x


class Feeder:
    """The table on a device, as the networks see it.

    Args:
        table: rows that all have the targets.
        shape: the modalities in use.
        replicas: see :class:`Replicas`.
        standardise: bring features to mean 0 and deviation 1 by each fold's training rows, and clip them.
    """

    def __init__(
        self,
        table: FeatureTable,
        shape: Shape,
        replicas: Replicas,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        *,
        standardise: bool = True,
    ) -> None:
        self.shape, self.device, self.name, self.ids = shape, device, table.name, table.ids
        names = (*shape.targets, *shape.auxiliaries)
        self.values = {m: torch.tensor(table.modalities[m].values, dtype=dtype, device=device) for m in names}
        self.lengths = {
            m: torch.tensor(table.modalities[m].lengths, dtype=torch.int64, device=device)
            for m in names
            if table.modalities[m].lengths is not None
        }
        self.labels = torch.tensor(table.labels, dtype=torch.int64, device=device)
        present = [table.modalities[m].available for m in shape.auxiliaries]
        whole = np.logical_and.reduce(present) if present else np.ones(len(table), dtype=np.bool_)
        self.whole = torch.tensor(whole, device=device)
        self.available = {m: torch.tensor(table.modalities[m].available, device=device) for m in names}
        self.fold_of = torch.arange(len(replicas.folds), device=device).repeat_interleave(len(replicas.seeds))
        self.statistics = {m: self._statistics(m, replicas.folds) for m in names} if standardise else {}

    def _statistics(self, name: str, folds: Sequence[Fold]) -> tuple[Tensor, Tensor]:
        """(F, D) mean and inverse standard deviation over the training rows and valid frames of each fold."""
        means, inverses = [], []
        for fold in folds:
            rows = torch.tensor(fold.train, device=self.device)
            rows = rows[self.available[name][rows]]
            x = self.values[name][rows].double()
            if name in self.lengths:
                x = x[torch.arange(x.shape[1], device=self.device) < self.lengths[name][rows][:, None]]
            if not len(x):  # absent in this fold's training rows: its rows are never used
                x = x.new_zeros(1, x.shape[-1])
            spread = x.std(dim=0, correction=0)
            varies = spread > _VARIES * spread.median().clamp_min(1e-30)
            means.append(x.mean(dim=0))
            inverses.append(torch.where(varies, 1 / spread.clamp_min(1e-30), 0.0))
        dtype = self.values[name].dtype
        return torch.stack(means).to(dtype), torch.stack(inverses).to(dtype)

    def of_replicas(self, name: str) -> tuple[Tensor, Tensor] | None:
        """Centre and scale of a modality, (G, D) each; None where nothing is standardised."""
        if name not in self.statistics:
            return None
        center, scale = self.statistics[name]
        return center.index_select(0, self.fold_of), scale.index_select(0, self.fold_of)

    def inputs(self, rows: Tensor, names: Sequence[str] | None = None) -> Inputs:
        """Modalities of (G, B) rows."""
        values, lengths = {}, {}
        for name in self.values if names is None else names:
            length = None
            if name in self.lengths:
                length = lengths[name] = self.lengths[name][rows]
            x = standardised(self.values[name][rows], self.of_replicas(name), length)
            if not bool(self.available[name].all()):
                x = x * self.available[name][rows].view(*rows.shape, *(1,) * (x.ndim - 2))
            values[name] = x
        return Inputs(values, lengths)


def steps(counts: Tensor, batch_size: int) -> Tensor:
    """(G,) steps of an epoch: what does not fill a batch is left out."""
    return counts // batch_size


def batches(orders: Tensor, counts: Tensor, batch_size: int) -> Iterator[tuple[Tensor, list[bool]]]:
    """Places (G, B) of every step of an epoch, and which replicas take it.

    A replica that has had its epoch repeats its first batch and sits the step out.
    """
    own = steps(counts, batch_size)
    for step in range(int(own.max())):
        active = step < own
        start = torch.where(active, step * batch_size, 0)
        place = start[:, None] + torch.arange(batch_size)
        yield orders.gather(1, place), active.tolist()
