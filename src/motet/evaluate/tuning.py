"""Fine-tuning: encoder and a linear layer learn together from labelled clips.

As in the released semi-supervised and transfer scripts of CMD (Mao et al., ECCV 2022): nothing is frozen, train mode,
the layer from N(0, 0.01) with bias 0, SGD with momentum .9, no weight decay, rate .01, batches of 64, 80 epochs, rate
× .1 after 50 and 70; random crops U(.5, 1), test clips are centre crops of 95 %; the joint stream alone.

Units, which are repeats, runs and untrained encoders, learn side by side: one gather of clips, one grouped recurrence
and one batched layer per step however many they are. Their losses add up and share no weight, so each of them does
what it would do alone.

A small recipe leaves the paper's numbers where hundreds of clips need others (:meth:`Tuning.plan`).
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from motet.core.chance import Chance
from motet.core.errors import ConfigError
from motet.core.rng import CounterRNG
from motet.core.text import counted
from motet.data.loader import center_crop, random_crop
from motet.encoders import encode_together
from motet.engine.table import RANDOM, RAW, Row, is_baseline
from motet.evaluate.context import Context
from motet.evaluate.features import Encoded, FeatureSet
from motet.evaluate.flags import flag
from motet.evaluate.heads import Head, train_heads
from motet.evaluate.linear import CROP_VIEW, Bank
from motet.evaluate.probe import ORDER_VIEW, Schedule, fusion_weight, head_names

_TEST_ROWS = 256
_SIDE_BY_SIDE = 100_000_000  # parameters that learn at a time; each has a gradient and a momentum next to it
EPOCHS = 80
HEAD_RATE = 0.1  # on standardised features, as the linear protocol


@dataclass(frozen=True)
class Tuning:
    """How encoder and layer learn; what is left open follows the size of the recipe."""

    tuned: Literal["network", "head"] = "network"
    """network: encoder and layer, as CMD; head: the layer alone, on standardised features encoded once."""
    streams: tuple[str, ...] = ()
    """streams that are tuned, each by itself, and fused; by default the first one alone (joint), as CMD."""
    epochs: int | None = None
    """80 (the paper); so many and no more where they are given."""
    batch_size: int | None = None
    """64 (the paper); 16 for small recipes."""
    lr: float | None = None
    """0.01 (the paper), 0.03 for small recipes of bodies and hands (held-out training subjects of two sets); 0.1 for
    the head."""
    momentum: float = 0.9
    weight_decay: float = 0.0
    minimum_ratio: float = 0.5
    """smallest share of a clip in a training crop."""
    minimum_steps: int | None = None
    """more epochs where they would give fewer steps than this; 0 (the paper): never. By default 500 for small recipes
    whose epochs are not given."""
    check_every: int | None = None
    """epochs between looks at the test clips for the best-epoch column; 5 (the paper), none for small recipes."""

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("minimum_steps", 0), ("check_every", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{flag(self, name)} is {value}; it must be at least {least}")
        if self.lr is not None and not 0 < self.lr < float("inf"):
            raise ConfigError(f"{flag(self, 'lr')} is {self.lr}; it must be a positive number")
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"{flag(self, 'momentum')} is {self.momentum}; it must lie in [0, 1)")
        if not 0 <= self.weight_decay < float("inf"):
            raise ConfigError(f"{flag(self, 'weight_decay')} is {self.weight_decay}; it must be 0 or more")
        if not 0 <= self.minimum_ratio <= 1:
            raise ConfigError(f"{flag(self, 'minimum_ratio')} is {self.minimum_ratio}; it must lie in [0, 1]")

    @property
    def planned(self) -> int:
        """Epochs before :meth:`epochs_for` adds any; the rate falls at 5/8 and 7/8 of them."""
        return EPOCHS if self.epochs is None else self.epochs

    def schedule(self, context: Context) -> Schedule:
        """Everything but the number of epochs, which depends on the number of clips."""
        usual = 16 if context.small else 64
        return Schedule(
            epochs=self.planned,
            batch_size=self.batch_size or usual,
            lr=(self.lr or (HEAD_RATE if self.tuned == "head" else _rate(context)),),
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )

    def epochs_for(self, context: Context, clips: int) -> int:
        """Epochs with so many training clips."""
        usual = 500 if context.small and self.epochs is None else 0
        steps = usual if self.minimum_steps is None else self.minimum_steps
        batches = -(-clips // self.schedule(context).batch_size)
        return max(self.planned, -(-steps // batches))

    def looks(self, context: Context, epochs: int) -> set[int]:
        """Epochs (counted from 0) after which the test clips are looked at; always the last."""
        every = self.check_every or (None if context.small else 5)
        found = {epochs - 1}
        return found if every is None else found | set(range(every - 1, epochs, every))

    def chosen(self, context: Context) -> tuple[str, ...]:
        """Streams that are tuned."""
        for stream in self.streams:
            if stream not in context.streams:
                raise ConfigError(
                    f"{flag(self, 'streams')}: there is no stream {stream!r}; the run has {', '.join(context.streams)}"
                )
        return self.streams or context.streams[:1]


@dataclass(frozen=True)
class Share:
    """Labelled clips that are learned from.

    Attributes:
        draws: positions in the training side, (n,) each, all of equal length; one repeat per draw.
        details: what rows say about it.
    """

    draws: Sequence[Tensor]
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Unit:
    kind: str
    features: FeatureSet
    rows: Tensor
    seed: int
    group: int = 0  # place of its features among those that are evaluated together


@dataclass
class _Scores:
    """(units, heads) results; ``best`` is None where nobody looked before the end."""

    top1: Tensor
    top5: Tensor
    best: Tensor | None = None

    def facts(self) -> dict[str, Any]:
        """As JSON, which keeps float64 as it is."""
        return {k: None if v is None else v.tolist() for k, v in vars(self).items()}

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> _Scores:
        """Inverse of :meth:`facts`."""
        top1, top5 = (torch.tensor(facts[k], dtype=torch.float64) for k in ("top1", "top5"))
        return cls(top1, top5, None if facts["best"] is None else torch.tensor(facts["best"], dtype=torch.float64))


def _part(context: Context, share: Share) -> str:
    """What tells a share apart from others of the same protocol and options."""
    sha = hashlib.sha256(context.hash.encode())
    for ids in (context.train, context.test, *share.draws):
        sha.update(ids.numpy().tobytes())
    return f"{json.dumps(dict(share.details), default=str)} {sha.hexdigest()[:24]}"


def tuned_rows(protocol: str, context: Context, options: Tuning, shares: Sequence[Share], over: str) -> list[Row]:
    """Rows of every share: learned encoders, random ones (trained from scratch), a layer on raw features and baselines.

    Args:
        protocol: name of the rows.
        context: what is evaluated.
        options: how.
        shares: labelled clips.
        over: what repeats of one encoder differ in (``"draws"`` …).
    """
    streams = options.chosen(context)
    rows: list[Row] = []
    by_head: list[list[_Unit]] = []
    for share in shares:
        raw = [
            _Unit(kind, f, draw, seed)
            for kind, sets in ((RAW, context.raw), *context.baselines().items())
            for f in sets[:1]
            for seed, draw in enumerate(share.draws)
        ]
        encoders = list(_encoder_units(context, share))
        if options.tuned == "head":
            by_head.append(encoders + raw)
        else:
            name = _part(context, share)
            kept = context.parts.get(name)
            scores = _Scores.of(kept) if kept else _tune_all(protocol, context, options, encoders, streams)
            if kept is None:  # an interruption loses no share that was done
                context.parts.put(name, scores.facts())
            rows += _rows(protocol, context, options, share, encoders, streams, scores, over)
            by_head.append(raw)
    for share, units, found in zip(shares, by_head, _heads(protocol, context, options, by_head, streams), strict=True):
        rows += _rows(protocol, context, options, share, units, streams, found, over) if units else []
    order = [context.method, RANDOM, *dict.fromkeys(r.features for r in rows if _is_frozen(r.features))]
    return sorted(rows, key=lambda r: (r.details.get("ratio", 1.0), order.index(r.features)))


def _is_frozen(kind: str) -> bool:
    """Whether a layer alone learns on these features: they have no encoder, or that of weights as they come."""
    return is_baseline(kind) and kind != RANDOM


def _encoder_units(context: Context, share: Share) -> Iterator[_Unit]:
    for features in context.learned:
        for seed, draw in enumerate(share.draws):
            yield _Unit(context.method, features, draw, seed)
    for i in range(max(len(share.draws), len(context.random)) if context.random else 0):
        repeat = i % len(share.draws)
        yield _Unit(RANDOM, context.random[i % len(context.random)], share.draws[repeat], repeat)


def _rows(
    protocol: str,
    context: Context,
    options: Tuning,
    share: Share,
    units: Sequence[_Unit],
    streams: Sequence[str],
    scores: _Scores,
    over: str,
) -> Iterator[Row]:
    for kind in dict.fromkeys(unit.kind for unit in units):
        members = [i for i, unit in enumerate(units) if unit.kind == kind]
        several = kind == context.method and len(context.learned) > 1
        size = len(share.draws) if several else 1  # the value of a run is the mean over its repeats

        def values(table: Tensor, head: int, members: list[int] = members, size: int = size) -> tuple[float, ...]:
            found = table[members, head].tolist()
            return tuple(fmean(found[i : i + size]) for i in range(0, len(found), size))

        head_only = _is_frozen(kind) or options.tuned == "head"
        clips = len(share.draws[0])
        details = {
            **share.details,
            "over": "runs" if several else "initialisations" if kind == RANDOM and len(context.random) > 1 else over,
            "clips": clips,
            "epochs": options.epochs_for(context, clips),
            "tuned": "head" if head_only else "network",
        }
        for head, (stream, ensemble) in enumerate(_head_names(streams)):
            yield Row(
                protocol=protocol,
                features=kind,
                stream=stream,
                ensemble=ensemble,
                values=values(scores.top1, head),
                best_values=() if scores.best is None else values(scores.best, head),
                details={**details, "top5": list(values(scores.top5, head))},
            )


def _head_names(streams: Sequence[str]) -> list[tuple[str, str | None]]:
    """Streams alone and, with several, their late fusion."""
    return [head for head in head_names(streams) if head[1] != "mean-logits"]


def _evaluated(logits: Tensor, labels: Tensor, streams: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Right answers (U, H, m) bool, top-1 and top-5, of logits (U, S, m, K)."""
    if len(streams) > 1:
        weights = torch.tensor([fusion_weight(s) for s in streams], device=logits.device, dtype=logits.dtype)
        logits = torch.cat([logits, torch.einsum("us...,s->u...", logits, weights)[:, None]], dim=1)
    best = logits.topk(min(5, logits.shape[-1]), dim=-1).indices == labels[:, None]
    return best[..., 0], best.any(dim=-1)


# ------------------------------------------------------------------------------------------ the layer alone


def _heads(
    protocol: str, context: Context, options: Tuning, groups: Sequence[Sequence[_Unit]], streams: Sequence[str]
) -> list[_Scores]:
    """Scores of the units of each group: all shares, units and streams of one width are trained in one pass."""
    scores = [_Scores(torch.zeros(0), torch.zeros(0)) for _ in groups]
    schedule = options.schedule(context)
    if options.tuned == "network":  # raw features next to tuned networks
        schedule = Schedule(epochs=options.planned, batch_size=schedule.batch_size, lr=(HEAD_RATE,))
    names = list(context.streams)
    found: dict[int, list[tuple[int, Tensor, Tensor]]] = {}
    families = dict.fromkeys(u.kind if _is_frozen(u.kind) else "" for group in groups for u in group)
    for family in families:  # features of one width are trained together
        units = [
            (g, i, u)
            for g, group in enumerate(groups)
            for i, u in enumerate(group)
            if (u.kind if _is_frozen(u.kind) else "") == family
        ]
        sets = list(dict.fromkeys(u.features for _, _, u in units))
        bank = Bank(context, sets, standardise=True)
        sides = [bank.centre(ids)[:, [names.index(s) for s in streams]] for ids in (context.train, context.test)]
        train, test = (side.flatten(0, 1) for side in sides)
        heads, epochs = [], []
        for _, _, unit in units:
            for s in range(len(streams)):
                heads.append(Head(sets.index(unit.features) * len(streams) + s, unit.rows, unit.seed))
                epochs.append(options.epochs_for(context, len(unit.rows)))
        weight, bias = train_heads(
            train,
            bank.labels,
            heads,
            classes=len(context.class_names),
            schedule=schedule,
            epochs=epochs,
            progress=context.track(range(max(epochs)), f"{protocol}: layers"),
        )
        labels = torch.from_numpy(context.test_labels).to(context.device)
        for at, (g, i, _) in enumerate(units):
            own = range(at * len(streams), (at + 1) * len(streams))
            logits = torch.stack([test[heads[j].group] @ weight[j] + bias[j] for j in own])
            right, right5 = _evaluated(logits[None], labels, streams)
            found.setdefault(g, []).append((i, right.double().mean(-1)[0].cpu(), right5.double().mean(-1)[0].cpu()))
    for g, results in found.items():
        results.sort(key=lambda item: item[0])
        scores[g] = _Scores(torch.stack([r[1] for r in results]), torch.stack([r[2] for r in results]))
    return scores


# ------------------------------------------------------------------------------------------ the whole network


def _tune_all(
    protocol: str, context: Context, options: Tuning, units: Sequence[_Unit], streams: Sequence[str]
) -> _Scores:
    """Tune all units, as many at a time as memory allows."""
    size = sum(p.numel() for encoder in _copies(units[0], streams) for p in encoder.parameters())
    step = max(1, _SIDE_BY_SIDE // size)
    parts = []
    for at in range(0, len(units), step):
        with Chance(at):  # dropout must not depend on what was tuned before
            parts.append(_tune(protocol, context, options, units[at : at + step], streams))
    best = [p.best for p in parts if p.best is not None]
    return _Scores(
        torch.cat([p.top1 for p in parts]), torch.cat([p.top5 for p in parts]), torch.cat(best) if best else None
    )


def _copies(unit: _Unit, streams: Sequence[str]) -> list[nn.Module]:
    assert isinstance(unit.features, Encoded)
    model = unit.features.model
    return [copy.deepcopy(model.encoders[model.streams.index(s)]) for s in streams]


class _Networks(nn.Module):
    """Encoders of U units × S streams and their layers."""

    def __init__(self, context: Context, units: Sequence[_Unit], streams: Sequence[str]) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(e for unit in units for e in _copies(unit, streams))
        self.encoders.requires_grad_(True)
        model = context.learned[0].model
        self.views = [model.views[model.streams.index(s)] for s in streams]
        width = int(self.encoders[0].feature_size)  # type: ignore[arg-type]
        start = []
        for unit in units:
            generator = torch.Generator().manual_seed(unit.seed)
            start.append(torch.randn(len(streams), width, len(context.class_names), generator=generator) * 0.01)
        self.weight = nn.Parameter(torch.cat(start).to(context.device))
        self.bias = nn.Parameter(torch.zeros(len(self.encoders), 1, len(context.class_names), device=context.device))

    def forward(self, clips: Sequence[Tensor]) -> Tensor:
        """One batch of clips per unit → (U·S, B, K) logits."""
        inputs = [view(x) for x in clips for view in self.views]
        features = torch.stack(encode_together(list(self.encoders), inputs)).float()
        return torch.baddbmm(self.bias, features, self.weight)

    def evaluate(self, context: Context, streams: Sequence[str]) -> tuple[Tensor, Tensor]:
        """(U, H) shares of right test clips, top-1 and top-5."""
        units = len(self.encoders) // len(streams)
        labels = torch.from_numpy(context.test_labels).to(context.device)
        counts = torch.zeros(2, units, len(_head_names(streams)), dtype=torch.float64)
        self.eval()
        with torch.inference_mode():
            for at in range(0, len(context.test), _TEST_ROWS):
                ids = context.test[at : at + _TEST_ROWS].to(context.device)
                clips = context.store.windows(ids, *center_crop(context.store.lengths_of(ids)), context.frames)
                logits = self([clips] * units).unflatten(0, (units, len(streams)))
                _check_finite(logits)
                right = _evaluated(logits, labels[at : at + _TEST_ROWS], streams)
                counts += torch.stack([r.double().sum(dim=-1).cpu() for r in right])
        self.train()
        counts /= len(context.test)
        return counts[0], counts[1]


def _tune(protocol: str, context: Context, options: Tuning, units: Sequence[_Unit], streams: Sequence[str]) -> _Scores:
    schedule = options.schedule(context)
    networks = _Networks(context, units, streams).train()
    sgd = torch.optim.SGD(
        networks.parameters(), lr=schedule.lr[0], momentum=schedule.momentum, weight_decay=schedule.weight_decay
    )
    labels = torch.from_numpy(context.train_labels).to(context.device)
    epochs = options.epochs_for(context, len(units[0].rows))
    looks, best = options.looks(context, epochs), None
    top1 = top5 = torch.zeros(0)
    for epoch in context.track(range(epochs), f"{protocol}: {len(units)} × {counted(len(units[0].rows), 'clip')}"):
        for group in sgd.param_groups:
            group["lr"] = schedule.lr[0] * schedule.factor(epoch * schedule.epochs // epochs)
        batches = [_epoch_batches(context, options, schedule, unit, epoch) for unit in units]
        for batch in zip(*batches, strict=True):
            logits = networks([clips for clips, _ in batch])
            wanted = torch.stack([labels[rows] for _, rows in batch]).repeat_interleave(len(streams), dim=0)
            # a mean per unit and stream, added up: the gradients are those of each by itself
            loss = cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="sum") / wanted.shape[1]
            sgd.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            sgd.step()
        _check_finite(loss)
        if epoch in looks:
            top1, top5 = networks.evaluate(context, streams)
            best = top1 if best is None else torch.maximum(best, top1)
    return _Scores(top1, top5, best if len(looks) > 1 else None)


def _rate(context: Context) -> float:
    """The usual learning rate of a whole network. With readings of sensors, which nothing brings to one size, a larger
    one than the paper's diverges."""
    return 0.03 if context.small and context.store.skeleton.kind != "sensor" else 0.01


def _check_finite(values: Tensor) -> None:
    if not bool(values.isfinite().all()):
        raise ConfigError("fine-tuning diverged; lower its learning rate (--finetune.lr, --semi.lr …)")


def _epoch_batches(
    context: Context, options: Tuning, schedule: Schedule, unit: _Unit, epoch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """(clips, positions in the training side) of a unit's batches: a fresh order and fresh crops every epoch."""
    ids = context.train[unit.rows]
    order = CounterRNG(unit.seed, epoch, ids, ORDER_VIEW).order("tuning")
    for chosen in torch.split(order, schedule.batch_size):
        rows = unit.rows[chosen].to(context.device)
        batch = ids[chosen].to(context.device)
        start, length = random_crop(
            CounterRNG(unit.seed, epoch, batch, CROP_VIEW),
            context.store.lengths_of(batch),
            minimum_ratio=options.minimum_ratio,
            frames=context.frames,
        )
        yield context.store.windows(batch, start, length, context.frames), rows
