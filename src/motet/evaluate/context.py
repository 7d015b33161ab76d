"""What every protocol is given: the clips, their labels and the feature sets to judge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from motet.evaluate.features import FeatureSet
from motet.evaluate.probe import fusion_weight
from motet.evaluate.results import RANDOM, RAW
from motet.loader import ClipStore

T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    """One evaluation.

    Attributes:
        method: name of what was learned, the ``features`` of its rows.
        streams: stream names.
        store: all clips of both sides.
        train, test: archive rows, int64 on the CPU.
        train_labels, test_labels: class indices into ``class_names``.
        class_names: the K classes that occur.
        learned: one feature set per run.
        random: untrained encoders, one per initialisation; empty without baselines.
        raw: one raw feature set, or none.
        seeds: number of probe seeds.
        frames: frames that an encoder sees.
        device: where features live.
        show: whether to show progress.
    """

    method: str
    streams: tuple[str, ...]
    store: ClipStore
    train: Tensor
    test: Tensor
    train_labels: npt.NDArray[np.int64]
    test_labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    learned: Sequence[FeatureSet]
    random: Sequence[FeatureSet] = ()
    raw: Sequence[FeatureSet] = ()
    seeds: int = 1
    frames: int = 64
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    show: bool = False

    @property
    def fusion_weights(self) -> dict[str, float]:
        """Weight of each stream in late fusion."""
        return {s: fusion_weight(s) for s in self.streams}

    def groups(self) -> Iterator[tuple[str, Sequence[FeatureSet]]]:
        """(features, sets) of each block of rows, the learned ones first."""
        for kind, sets in ((self.method, self.learned), (RANDOM, self.random), (RAW, self.raw)):
            if sets:
                yield kind, sets

    def over(self, kind: str, *, probe_seeds: bool) -> str:
        """What the values of a row differ in."""
        if kind == RANDOM:
            return "initialisations"
        if kind != RAW and len(self.learned) > 1:
            return "runs"
        return "probe seeds" if probe_seeds else "run" if kind != RAW else ""

    def track(self, items: Sequence[T], what: str) -> Iterable[T]:
        """Iterate with a progress bar on stderr."""
        console = Console(stderr=True)
        shown = self.show and console.is_terminal
        return track(items, description=what, console=console, transient=True, disable=not shown)
