"""Prototypes: where the recent keys of each stream cluster (HaLP, Shah et al., CVPR 2023, Sec. 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from motet.core.errors import ConfigError
from motet.core.text import counted
from motet.memory.kmeans import spherical_kmeans
from motet.memory.queue import Queue


class Prototypes(nn.Module):
    """N centres per stream, fitted to the most recent keys of a queue and refreshed every few steps.

    A step calls :meth:`prepare` before the terms of a step and :meth:`advance` after its keys were enqueued.
    All that changes is in a buffer, or in counters that travel with it, so that training resumes bit for bit.

    Args:
        streams: names of the streams; all are fitted together.
        count: N, prototypes per stream.
        dim: D.
        recent: newest keys that are clustered, at least N.
        refresh: steps between fits.
        start: first epoch, counted from 0, in which prototypes are wanted; before it nothing is computed.
        wait: keys that must have come in since that epoch before the first fit.
        iterations: of the k-means.
        warm: refreshes continue from the centres they replace instead of drawing a new start.
        seed: of the starts.
    """

    centres: Tensor

    def __init__(
        self,
        streams: Sequence[str],
        count: int,
        dim: int,
        *,
        recent: int = 256,
        refresh: int = 5,
        start: int = 0,
        wait: int = 0,
        iterations: int = 20,
        warm: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 1 <= count <= recent:
            raise ConfigError(f"{counted(count, 'prototype')} of {recent} recent keys; there must be 1 … {recent}")
        if refresh < 1:
            raise ConfigError(f"prototypes are refreshed every {refresh} steps; it must be 1 or more")
        self.streams, self.recent, self.refresh = tuple(streams), recent, refresh
        self.start, self.wait, self.iterations, self.warm, self.seed = start, wait, iterations, warm, seed
        self.register_buffer("centres", torch.zeros(len(self.streams), count, dim))
        self.seen = self.steps = self.fits = 0

    def get_extra_state(self) -> Tensor:
        """The counters: keys seen, steps, fits; on the CPU, where decisions are made."""
        return torch.tensor([self.seen, self.steps, self.fits])

    def set_extra_state(self, state: Tensor) -> None:
        """Inverse of :meth:`get_extra_state`."""
        self.seen, self.steps, self.fits = state.tolist()

    def current(self) -> dict[str, Tensor]:
        """stream → (N, D) unit rows; empty before the first fit."""
        return dict(zip(self.streams, self.centres.unbind(0), strict=True)) if self.fits else {}

    def prepare(self, queue: Queue, *, epoch: int, filled: int) -> None:
        """Fit for the first time once it is due and ``filled`` real keys of the queue are enough."""
        if epoch >= self.start and not self.fits and filled >= self.recent and self.seen >= self.wait:
            self._fit(queue)

    def advance(self, queue: Queue, *, epoch: int, rows: int) -> None:
        """Count a step that enqueued ``rows`` keys, and refresh if it is due; the next step sees the result."""
        if epoch < self.start:
            return
        self.seen += rows
        self.steps += 1
        if self.fits and self.steps % self.refresh == 0:
            self._fit(queue)

    def _fit(self, queue: Queue) -> None:
        recent = queue.recent(self.recent)
        keys = torch.stack([recent[s] for s in self.streams])
        start = self.centres if self.warm and self.fits else None
        # one key per (seed of the run, number of the fit)
        seed = (self.seed << 32) + self.fits
        found = spherical_kmeans(keys, self.centres.shape[1], iterations=self.iterations, seed=seed, start=start)
        self.centres.copy_(found.centres)
        self.fits += 1
