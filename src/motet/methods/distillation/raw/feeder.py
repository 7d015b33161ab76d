"""Rows of a training that reads recordings: clips are drawn and decoded while the step before is computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from motet.core.errors import DataError
from motet.methods.distillation.networks import Inputs, Shape
from motet.methods.distillation.raw.manifest import Item
from motet.methods.distillation.raw.networks import RawNetwork
from motet.methods.distillation.raw.sampling import draws
from motet.methods.distillation.raw.threads import decoders
from motet.methods.distillation.replicas import Feeder, Replicas
from motet.methods.distillation.table import FeatureTable, Modality

_AHEAD = 2  # batches that are decoded before they are needed
CURVE_WINDOWS = 3  # clips per video that the curves look at

Loaded = dict[str, list[Tensor]]


class Rows(Inputs):
    """Rows by number; evaluation reads their recordings one after the other."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__({}, {})
        self.rows = rows


class Source:
    """Items of the modalities that are trained, and how they are read.

    Args:
        items: of every sample of the manifest, by modality.
        workers: threads that decode.

    Attributes:
        readers: networks that know what they read, filled in by the trainer that makes them.
    """

    def __init__(self, items: Mapping[str, Sequence[Item | None]], workers: int) -> None:
        self.items, self.workers = dict(items), workers
        self.readers: dict[str, RawNetwork] = {}
        self.pool = decoders(workers)

    def item(self, modality: str, sample: int) -> Item:
        found = self.items[modality][sample]
        assert found is not None, "rows without the modality are masked"
        return found

    def close(self) -> None:
        """Let the threads go."""
        self.pool.shutdown(wait=True, cancel_futures=True)


def stand_in(items: Sequence[Item | None]) -> Modality:
    """A column for a modality whose rows are read from recordings: the number of the sample."""
    number = np.arange(len(items), dtype=np.float32)[:, None]
    return Modality(number, None, np.array([item is not None for item in items]))


class RawFeeder(Feeder):
    """Features of frozen networks from a table, and recordings.

    In training it gives the planned batches; for anything else it gives :class:`Rows`.

    Args:
        table: features, and :func:`stand_in` columns of the modalities in ``source``.
        shape, replicas, device: as of :class:`motet.methods.distillation.replicas.Feeder`; there is one replica.
        source: recordings.
    """

    def __init__(
        self,
        table: FeatureTable,
        shape: Shape,
        replicas: Replicas,
        device: torch.device,
        source: Source,
        *,
        standardise: bool = True,
    ) -> None:
        super().__init__(table, shape, replicas, device, standardise=standardise)
        self.source, self.seed = source, replicas.seeds[0]
        self.samples = {
            name: torch.from_numpy(table.modalities[name].values[:, 0].astype(np.int64)) for name in source.items
        }
        self.windows: int | None = CURVE_WINDOWS
        self.waiting: deque[tuple[Tensor, dict[str, list[Future[Tensor] | None]]]] = deque()
        self.coming: Iterator[Tensor] = iter(())
        self.epoch = 0
        self.reading: tuple[str, ...] = ()

    # ------------------------------------------------------------------ training

    def plan(self, epoch: int, rows: Iterable[Tensor], names: Sequence[str]) -> None:
        """The (1, B) rows of the steps of an epoch, in order, and the modalities that they need."""
        self.drop()
        self.epoch, self.coming = epoch, iter(rows)
        self.reading = tuple(name for name in names if name in self.source.items)
        for _ in range(_AHEAD):
            self._start()

    def drop(self) -> None:
        """Forget what was planned."""
        for _, futures in self.waiting:
            for future in (f for own in futures.values() for f in own if f is not None):
                future.cancel()
        self.waiting.clear()
        self.coming = iter(())

    def _start(self) -> None:
        for rows in islice(self.coming, 1):
            self.waiting.append((rows, {name: self._draw(name, rows[0].cpu()) for name in self.reading}))

    def _draw(self, name: str, rows: Tensor) -> list[Future[Tensor] | None]:
        samples, there = self.samples[name][rows], self.available[name].cpu()[rows].tolist()
        chances = draws(self.seed, self.epoch, samples, name)
        reader = self.source.readers[name]
        return [
            self.source.pool.submit(reader.drawn, self.source.item(name, sample), chance) if seen else None
            for sample, chance, seen in zip(samples.tolist(), chances, there, strict=True)
        ]

    def inputs(self, rows: Tensor, names: Sequence[str] | None = None) -> Inputs:
        """The planned batch, if these are its rows; else the rows as numbers."""
        if not self.waiting or not torch.equal(self.waiting[0][0], rows.cpu()):
            return Rows(rows)
        futures = self.waiting.popleft()[1]
        self._start()
        found = self.features(rows, tuple(self.values) if names is None else names)
        for name, own in futures.items():
            self._put(found, name, [None if f is None else f.result() for f in own])
        return found

    def features(self, rows: Tensor, names: Sequence[str]) -> Inputs:
        """Standardised features of (1, B) rows; recordings are left out."""
        return super().inputs(rows, [n for n in names if n not in self.source.items])

    def _put(self, inputs: Inputs, name: str, parts: Sequence[Tensor | None]) -> None:
        """A batch of what was read; where there is nothing stands the first that is there, and no term looks at it."""
        known = next((p for p in parts if p is not None), None)
        if known is None:
            known = self._any(name)
        x, lengths = self.source.readers[name].together([known if p is None else p for p in parts])
        inputs.values[name] = x[None].to(self.device)
        if lengths is not None:
            inputs.lengths[name] = lengths[None].to(self.device)

    def _any(self, name: str) -> Tensor:
        """Something of the modality, for a batch in which no row has it."""
        sample = int(self.samples[name][self.available[name].cpu().nonzero()[0, 0]])
        return self.source.readers[name].load(self.source.item(name, sample), 1)[0]

    # ------------------------------------------------------------------ evaluating

    def clips(self, rows: Tensor, names: Sequence[str]) -> Iterator[tuple[int, Inputs]]:
        """For each of (m,) rows in turn the number of its clips and inputs (1, clips, …), read ahead."""
        names = tuple(names)
        wanted, waiting = iter(rows.tolist()), deque[tuple[int, Future[Loaded]]]()

        def start(count: int) -> None:
            for row in islice(wanted, count):
                waiting.append((row, self.source.pool.submit(self._load, row, names)))

        start(self.source.workers + 1)
        while waiting:
            row, future = waiting.popleft()
            loaded = future.result()
            start(1)
            count = max(len(parts) for parts in loaded.values())
            found = self.features(torch.full((1, count), row, device=self.device), names)
            for name, parts in loaded.items():
                self._put(found, name, [parts[n * len(parts) // count] for n in range(count)])
            yield count, found

    def _load(self, row: int, names: Sequence[str]) -> Loaded:
        found: Loaded = {}
        for name in (n for n in names if n in self.source.items):
            if not bool(self.available[name][row]):
                found[name] = [self._any(name)]
                continue
            item = self.source.item(name, int(self.samples[name][row]))
            try:
                found[name] = self.source.readers[name].load(item, self.windows)
            except DataError as error:
                raise DataError(f"sample {self.ids[row]}: {error}") from error
        return found
