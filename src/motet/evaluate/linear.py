"""The official linear protocol of CMD (Mao et al., ECCV 2022): one linear layer on the frozen encoder.

The layer starts from N(0, 0.01) with bias 0 and learns by SGD with momentum .9, no weight decay, rate .1, batches of
64, 80 epochs, rate × .1 after 50 and 70. The encoder stays in eval mode; every epoch encodes a fresh random crop
U(.5, 1) of every training clip; test clips are centre crops .95. The headline is the last epoch; the released code
reports the best of the checks every 5 epochs, which is chosen on the test clips and stands next to it.

Several streams: ``mean-logits`` trains the streams' layers jointly on the mean of their logits (CrosSCLR's and CMD's
three-stream rows); ``late-fusion`` adds the scores of separately trained layers, .6 joint, .6 bone, .4 motion (AimCLR).

Seeds differ in initial weights and batch order and share the crops of an epoch, so any number of them costs one
encoding. Each of them alone is exactly the protocol.

Raw coordinates are standardised: each column to zero mean and equal variance over the training clips, rows to a length
of :data:`LENGTH`. The protocol leaves an encoder's features as they are, which suits the paper's size. In the few
hundred steps that a small set gives, the rate .1 does not get out of features of little variance what they hold,
least of all out of an untrained encoder's, and learning seems to gain more than it does. ``standardise`` treats all
features like the raw ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from motet.core.rng import CounterRNG
from motet.data.loader import random_crop
from motet.engine.table import RANDOM, RAW, Row
from motet.evaluate.context import Context
from motet.evaluate.features import FeatureSet
from motet.evaluate.probe import Chunk, Probes, Result, Schedule, head_names, train

CROP_VIEW = -3  # key of the probe's crops; the views of pretraining are 0, 1 …
_CROP_SEED = 0
_CHUNK_BYTES = 512 << 20
_STATISTICS_ROWS = 4096
_CONSTANT = 1e-6  # a column that varies less than this share of the widest, or of its own mean, carries rounding only
LENGTH = 8.0  # suits the rate .1 from a few hundred steps on


@dataclass(frozen=True)
class Options(Schedule):
    """Options of the protocol; the defaults are the official ones."""

    minimum_ratio: float = 0.5
    """smallest share of a clip in a training crop."""
    standardise: bool = False
    """also standardise the features of encoders (not the official protocol)."""


def evaluate(context: Context, options: Options) -> list[Row]:
    """Rows of the learned, random-encoder and raw features: each stream, and with several streams both ensembles."""
    return probe_rows("linear", context, options, epochs(options))


def epochs(options: Options) -> Callable[[Bank], Callable[[int], Iterable[Chunk]]]:
    """Bank → epoch → the training clips of the official protocol: fresh random crops."""
    return lambda bank: lambda epoch: _fresh_crops(bank, options, epoch)


@dataclass(frozen=True)
class Scaling:
    """x → (x − shift) · gain, per stream."""

    shift: Mapping[str, Tensor]
    gain: Mapping[str, Tensor]

    @classmethod
    def fit(cls, context: Context, features: FeatureSet) -> Scaling:
        """Standardise every column over the centre crops of the training clips; root mean square of a row: LENGTH."""
        total: dict[str, Tensor] = {}
        squares: dict[str, Tensor] = {}
        for at in range(0, len(context.train), _STATISTICS_ROWS):
            for s, f in features.centre(context.train[at : at + _STATISTICS_ROWS].to(context.device)).items():
                total[s] = total.get(s, 0) + f.double().sum(dim=0)
                squares[s] = squares.get(s, 0) + f.double().square().sum(dim=0)
        shift, gain = {}, {}
        for s in context.streams:
            mean = total[s] / len(context.train)
            sd = (squares[s] / len(context.train) - mean.square()).clamp_min(0).sqrt()
            active = sd > _CONSTANT * torch.maximum(sd.max(), mean.abs())
            inverse = torch.where(active, 1 / sd.where(active, 1), 0)
            shift[s], gain[s] = mean.float(), (inverse * LENGTH / active.sum().clamp_min(1).sqrt()).float()
        return cls(shift, gain)

    def __call__(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {s: (f - self.shift[s]) * self.gain[s] for s, f in features.items()}


class Bank:
    """Feature sets of one width side by side, as (Q, S, n, F) tensors.

    Args:
        context: the clips.
        sets: Q feature sets.
        standardise: see :class:`Scaling`; each set by its own statistics.
    """

    def __init__(self, context: Context, sets: Sequence[FeatureSet], *, standardise: bool) -> None:
        self.context, self.sets = context, sets
        self.scalings = [Scaling.fit(context, s) if standardise else None for s in sets]
        self.train = context.train.to(context.device)
        self.labels = torch.from_numpy(context.train_labels).to(context.device)
        self.width = 0

    def _stack(self, found: Iterable[dict[str, Tensor]]) -> Tensor:
        stacked = []
        for features, scaling in zip(found, self.scalings, strict=True):
            if scaling is not None:
                features = scaling(features)
            self.width = max(f.shape[1] for f in features.values())
            streams = [pad(features[s].float(), (0, self.width - features[s].shape[1])) for s in self.context.streams]
            stacked.append(torch.stack(streams))
        return torch.stack(stacked)

    def centre(self, ids: Tensor) -> Tensor:
        """Features of centre crops."""
        return self._stack(s.centre(ids) for s in self.sets)

    def crops(self, ids: Tensor, key: int, minimum_ratio: float, frames: int) -> Tensor:
        """Features of the random crops number ``key``; the same crops for all sets."""
        keyed = CounterRNG(_CROP_SEED, key, ids, CROP_VIEW)
        lengths = self.context.store.lengths_of(ids)
        start, length = random_crop(keyed, lengths, minimum_ratio=minimum_ratio, frames=frames)
        return self._stack(s.crops(ids, start, length) for s in self.sets)

    def chunk_rows(self, batch_size: int, budget: int = _CHUNK_BYTES) -> int:
        """Clips whose features fit the budget, a multiple of the batch size; known once a feature was seen."""
        clip_bytes = 4 * len(self.sets) * len(self.context.streams) * max(1, self.width)
        return max(1, budget // (clip_bytes * batch_size)) * batch_size


def _fresh_crops(bank: Bank, options: Options, epoch: int) -> Iterator[Chunk]:
    """An epoch of the official protocol, as many clips at a time as memory allows, whole batches each time.

    Which clips share a chunk is random and so is, per unit, the order within: each unit sees a uniformly random order.
    """
    order = CounterRNG(_CROP_SEED, epoch, bank.train, CROP_VIEW).order("chunks")
    rows = bank.chunk_rows(options.batch_size)
    for start in range(0, len(order), rows):
        chosen = order[start : start + rows]
        ids = bank.train[chosen]
        features = bank.crops(ids, epoch, options.minimum_ratio, bank.context.frames)
        yield Chunk(ids, features, bank.labels[chosen])


def probe_rows(
    protocol: str,
    context: Context,
    options: Options,
    epochs_of: Callable[[Bank], Callable[[int], Iterable[Chunk]]],
    *,
    fusions: Mapping[str, Sequence[float]] | None = None,
) -> list[Row]:
    """Train and evaluate linear layers on all feature sets; ``fusions`` as for :class:`motet.evaluate.probe.Probes`.

    Encoders, trained and not, have features of one width and go side by side; raw coordinates follow by themselves.
    """
    random_seeds = [i % context.seeds for i in range(len(context.random))]
    encoders: list[tuple[str, FeatureSet, int]] = [
        (context.method, s, seed) for s in context.learned for seed in range(context.seeds)
    ]
    encoders += [(RANDOM, s, seed) for s, seed in zip(context.random, random_seeds, strict=True)]
    raw: list[tuple[str, FeatureSet, int]] = [(RAW, s, seed) for s in context.raw for seed in range(context.seeds)]
    rows: list[Row] = []
    for units in filter(None, (encoders, raw)):
        sets = list(dict.fromkeys(s for _, s, _ in units))
        bank = Bank(context, sets, standardise=options.standardise or units is raw)
        test = bank.centre(context.test)
        test_labels = torch.from_numpy(context.test_labels).to(context.device)
        probes = Probes(
            sets=[sets.index(s) for _, s, _ in units],
            seeds=[seed for _, _, seed in units],
            streams=context.streams,
            width=test.shape[-1],
            classes=len(context.class_names),
            schedule=options,
            device=context.device,
            fusions=fusions,
        )
        shown = " and ".join(dict.fromkeys(kind for kind, _, _ in units))
        progress = context.track(range(options.epochs), f"{protocol}: {shown}")
        result = train(probes, epochs_of(bank), test, test_labels, progress)
        for kind in dict.fromkeys(kind for kind, _, _ in units):
            members = [i for i, unit in enumerate(units) if unit[0] == kind]
            rows += _rows(protocol, context, options, kind, members, result, fusions)
    return rows


def _rows(
    protocol: str,
    context: Context,
    options: Options,
    kind: str,
    members: list[int],
    result: Result,
    fusions: Mapping[str, Sequence[float]] | None,
) -> Iterator[Row]:
    """A row for each head and learning rate of the units ``members``."""
    over = context.over(kind, probe_seeds=True)
    size = context.seeds if over == "runs" else 1  # a run's value is the mean over its probe seeds
    shown = _shown_head(context.streams)

    def values(table: Tensor, head: int, rate: int) -> tuple[float, ...]:
        units = table[members, head, rate].double().tolist()
        return tuple(fmean(units[i : i + size]) for i in range(0, len(units), size))

    for head, (stream, ensemble) in enumerate(result.heads):
        for rate, lr in enumerate(options.lr):
            details: dict[str, Any] = {
                "over": over,
                "lr": lr,
                "epochs": options.epochs,
                "standardised": options.standardise or kind == RAW,
                "top5": list(values(result.last.top5, head, rate)),
                "best_epochs": result.best_epoch[members, head, rate].tolist(),
            }
            if ensemble not in (None, "mean-logits"):
                weights = None if fusions is None else dict(zip(context.streams, fusions[ensemble], strict=True))
                details["weights"] = weights or context.fusion_weights
            confusion = None
            if kind == context.method and head == shown and rate == 0:
                confusion = result.confusion[members, head, rate].sum(dim=0).tolist()
            yield Row(
                protocol=protocol,
                features=kind,
                stream=stream,
                ensemble=ensemble,
                values=values(result.last.top1, head, rate),
                best_values=values(result.best, head, rate),
                details=details,
                confusion=confusion,
            )


def _shown_head(streams: Sequence[str]) -> int:
    """The head whose confusion matrix is kept: all streams trained jointly, or the only stream."""
    names = [ensemble for _, ensemble in head_names(streams)]
    return names.index("mean-logits") if "mean-logits" in names else 0
