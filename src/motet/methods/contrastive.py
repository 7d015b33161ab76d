"""Contrastive streams: encoders with momentum encoders, slot-aligned queues, and the terms of a loss.

MoCo, MCL, CrosSCLR, CMD, HaLP and AimCLR differ in the terms. One step follows CMD's order (Mao et al.,
ECCV 2022, and its released training script):

1. inputs of every stream from the augmented clips;
2. queries (with gradient) from the first clip, and whatever a method makes of further clips;
3. momentum update of every key encoder with the weights the queries were made with, parameters only;
4. keys from the second clip, without gradient, in train mode (their BatchNorm uses batch statistics);
5. the terms, against the queues as they were before this step;
6. enqueue the keys of all streams at the same slots;
7. refresh prototypes, if the method has any.

The loop then takes the gradient and moves the query encoders.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from motet.core.distributed import gather_rows
from motet.core.errors import ConfigError, MotetWarning
from motet.core.options import Count, Fraction, Momentum, Positive
from motet.core.rng import CounterRNG
from motet.core.text import counted
from motet.data.extreme import padded_crop
from motet.data.skeletons import Skeleton
from motet.encoders import encode_together
from motet.losses import info_nce
from motet.memory import Prototypes, Queue, ema_update, momentum_encoder
from motet.methods.base import Clips, Layout, Layouts, Method, Present, Streams, Terms, unit_rows

FEW = 32
"""negatives below which a warning is due."""


@dataclass(frozen=True)
class StepOutput:
    """What the streams produced in one step. All embeddings are unit rows.

    Attributes:
        queries: stream → (B, D), with gradient.
        keys: stream → (B, D), constants (with gradient where a method trains one shared encoder).
        queues: stream → (K, D), before this step's keys.
        epoch: epoch, counted from 0.
        filled: how many slots of the queues hold real keys.
        prototypes: stream → (N, D); empty where a method has none, or none yet.
        further: name → stream → (B, D), queries from clips beyond the first two, with gradient.
        observed: name → scalar; what terms put here is logged next to the losses, not finite where there is nothing.
        present: stream → (B,) bool, clips that have the stream; streams that no clip lacks are left out. The rows of a
            clip that lacks a stream are zero there.
        held: stream → (K,) bool, slots of the queues likewise.
        left_out: (B, K) bool, slots that hold an older key of the clip itself, or a key of another person, where the
            method leaves those out.
    """

    queries: Mapping[str, Tensor]
    keys: Mapping[str, Tensor]
    queues: Mapping[str, Tensor]
    epoch: int
    filled: int
    prototypes: Mapping[str, Tensor] = field(default_factory=dict)
    further: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    observed: dict[str, Tensor] = field(default_factory=dict)
    present: Mapping[str, Tensor] = field(default_factory=dict)
    held: Mapping[str, Tensor] = field(default_factory=dict)
    left_out: Tensor | None = None

    def nothing(self) -> Tensor:
        """The loss of a term that no clip of the step has anything for."""
        return next(iter(self.queries.values())).new_zeros(())


@dataclass(frozen=True)
class Term:
    """One addend of the loss, with a weight and the epochs in which it counts.

    Attributes:
        name: how the term appears in logs, e.g. ``"contrast/joint"``.
        loss: the equation, from what the streams produced to a scalar.
        weight: factor once the term counts in full.
        start, stop: first epoch in which it counts, and the first in which it does not any more.
        ramp: epochs over which the weight rises linearly from ``start``.
    """

    name: str
    loss: Callable[[StepOutput], Tensor]
    weight: float = 1.0
    start: int = 0
    stop: int | None = None
    ramp: int = 0

    def weight_at(self, epoch: int) -> float:
        """Factor of the term in an epoch; 0 means that it is not computed."""
        if epoch < self.start or (self.stop is not None and epoch >= self.stop):
            return 0.0
        return self.weight * (min(1.0, (epoch - self.start + 1) / self.ramp) if self.ramp else 1.0)


@dataclass(frozen=True)
class Contrastive(Method):
    """Options that every contrastive method has (MoCo-v2 as in CMD)."""

    allows_gaps: ClassVar[bool] = True

    dim: Count = 128
    """embedding size D."""
    queue_size: Count = 16384
    """slots K of each stream's queue."""
    key_momentum: Momentum = 0.999
    """momentum m of the key encoders."""
    temperature: Positive = 0.07
    """temperature of the contrastive terms."""
    mlp_head: bool = True
    """two-layer projection head; false gives one linear layer."""
    padding: Fraction = 0.0
    """share of a clip by which both ends are padded, mirrored, before a random window is cut; 0 leaves it whole."""
    head_width: Count | None = None
    """hidden units of that head; as many as the encoder's feature has by default."""
    head_norm: bool = False
    """batch norm of the head's hidden units."""
    mask_own: bool = False
    """older keys of a clip are no negatives of it: for queues that hold a large part of a small set."""
    negatives: Literal["all", "person"] = "all"
    """keys that a clip is held against: all, or those of the same person (column subject) less its own older ones
    (subject-specific contrastive loss, Cheng et al. 2020, https://arxiv.org/abs/2007.04871), so that nothing is
    gained by recognising who moves."""

    def terms(self, streams: Sequence[str], epochs: int) -> list[Term]:
        """Terms of the loss for the given streams in a run of ``epochs`` epochs."""
        return self.contrast_terms(streams)

    def contrast_terms(self, streams: Sequence[str], stop: int | None = None) -> list[Term]:
        """InfoNCE within each stream (MoCo, Eq. 1)."""

        def within(stream: str) -> Callable[[StepOutput], Tensor]:
            def loss(out: StepOutput) -> Tensor:
                rows = out.queries[stream], out.keys[stream], out.queues[stream]
                present, held = out.present.get(stream), out.held.get(stream)
                return info_nce(*rows, temperature=self.temperature, present=present, held=held, left_out=out.left_out)

            return loss

        return [Term(f"contrast/{s}", within(s), stop=stop) for s in streams]

    def prototypes_of(self, streams: Sequence[str], epochs: int) -> Prototypes | None:
        """The prototypes that are kept for the terms, if there are any."""
        return None

    def build(self, streams: Sequence[str], layouts: Layouts, *, epochs: int, gaps: bool = False) -> ContrastiveStreams:
        main = layouts[""]
        return self.network(
            streams,
            skeleton=main.skeleton,
            persons=main.persons,
            channels=main.channels,
            encoder=main.encoder,
            epochs=epochs,
            sensors={name: layout for name, layout in layouts.items() if name},
            gaps=gaps,
        )

    def network(self, streams: Sequence[str], **layout: Any) -> ContrastiveStreams:
        """The module that trains; ``layout`` is what :class:`ContrastiveStreams` takes by name."""
        return ContrastiveStreams(self, streams, **layout)

    def transform(self, clips: Sequence[Tensor], keyed: Sequence[CounterRNG], skeleton: Skeleton) -> tuple[Tensor, ...]:
        """What a method does to the :attr:`clips` augmented (B, T, P, V, C) clips of a step: shift them in time."""
        return tuple(padded_crop(x, k, self.padding) for x, k in zip(clips, keyed, strict=True))

    def check_sizes(self, clips: int, batch_size: int) -> None:
        queue = self.queue_size
        if queue > clips and not self._leaves_own():
            warnings.warn(
                f"the queue ({queue}) is larger than the training set ({counted(clips, 'clip')}): it will hold "
                f"several copies of every clip, which then count as its own negatives; try --queue-size "
                f"{max(batch_size, clips // 2)}",
                MotetWarning,
                stacklevel=4,
            )
        if batch_size > queue:
            warnings.warn(
                f"a batch ({batch_size}) is larger than the queue ({queue}): part of every batch is dropped; raise "
                "--queue-size",
                MotetWarning,
                stacklevel=4,
            )

    def fitted(self, clips: int, batch_size: int) -> dict[str, Any]:
        return {"queue_size": min(self.queue_size, max(batch_size, clips if self._leaves_own() else clips // 2))}

    def within_person(self) -> bool:
        return self.negatives == "person"

    def check_people(self, who: Tensor) -> None:
        known = torch.unique(who[who >= 0], return_counts=True)[1].double()
        keys = round(float(self.queue_size * known.square().sum() / known.sum() ** 2)) if len(known) else 0
        if len(known) < 2:
            named = counted(len(known), "person", "people")
            said = f"the training clips name {named} (column subject), so --negatives person is the same as --mask-own"
        elif keys < FEW:
            said = (
                f"a clip has about {counted(keys, 'negative')} of its person in a queue of {self.queue_size}, which "
                "is few; --negatives all takes those of everybody"
            )
        else:
            return
        warnings.warn(said, MotetWarning, stacklevel=4)

    def _leaves_own(self) -> bool:
        return self.mask_own or self.within_person()

    def shares_encoder(self) -> bool:
        """Whether keys come from the query encoder, with gradient, instead of a momentum encoder."""
        return False

    def with_queue(self, size: int) -> Self:
        """The options with a queue of another size, and what the released code derives from that size."""
        return replace(self, queue_size=size)

    def moving_key_encoders(self, streams: Sequence[str], epoch: int, epochs: int) -> list[str]:
        """Streams whose key encoder follows its query encoder in an epoch: all of them."""
        return list(streams)


def need_two(streams: Sequence[str], method: str) -> None:
    """Refuse a cross-stream method with a single stream."""
    if len(streams) < 2:
        raise ConfigError(f"{method} lets streams teach each other and needs two or more; for one stream use moco")


class HeadNorm(nn.BatchNorm1d):
    """Batch norm; one row alone, such as the only clip of a step that has a sensor, by the statistics so far."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, F) → the same shape."""
        if len(input) > 1:
            return super().forward(input)
        return nn.functional.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


class Head(nn.Sequential):
    """Projection to the embedding: Linear, ReLU, Linear (MoCo-v2) or one Linear; the last is Xavier-initialised.

    As in CMD's released code only the output layer is re-initialised, the hidden one keeps torch's default.

    Args:
        features: size of the encoder's feature.
        options: of the method.
    """

    def __init__(self, features: int, options: Contrastive) -> None:
        width = (options.head_width or features) if options.mlp_head else features
        last = nn.Linear(width, options.dim)
        nn.init.xavier_uniform_(last.weight)
        hidden: list[nn.Module] = [nn.Linear(features, width)] if options.mlp_head else []
        if hidden and options.head_norm:
            hidden.append(HeadNorm(width))
        super().__init__(*hidden, *([nn.ReLU()] if hidden else []), last)


class ContrastiveStreams(Streams):
    """Streams, their momentum encoders and queues; ``forward`` is one step up to the loss.

    Args:
        options: the method's options.
        streams: views of the clip, see :class:`motet.data.views.View`.
        skeleton, persons, channels: what the clips look like.
        encoder: name of the encoder and its options, for :func:`motet.encoders.build_encoder`.
        epochs: length of the run, for terms that start part-way.
        sensors: layouts of further sensors, by name; their streams are called ``sensor:view``.
        gaps: whether clips may lack a sensor.
    """

    def __init__(
        self,
        options: Contrastive,
        streams: Sequence[str],
        *,
        skeleton: Skeleton,
        persons: int,
        channels: int,
        encoder: Mapping[str, object],
        epochs: int,
        sensors: Layouts | None = None,
        gaps: bool = False,
    ) -> None:
        options.validate(streams)
        super().__init__(streams, {"": Layout(skeleton, persons, channels, encoder), **(sensors or {})})
        self.options, self.epochs = options, epochs
        if not all(any(True for _ in e.parameters()) for e in self.encoders):
            raise ConfigError(
                "nothing trains random convolutions; `motet embed rocket ARCHIVE` gives their features, "
                "--encoder tcn trains convolutions"
            )
        self.heads = nn.ModuleList([Head(e.feature_size, options) for e in self.encoders])  # type: ignore[arg-type]
        self.key_encoders, self.key_heads = momentum_encoder(self.encoders), momentum_encoder(self.heads)
        self.queue = Queue(
            streams,
            options.queue_size,
            options.dim,
            gaps=gaps,
            owners=2 if options.within_person() else int(options.mask_own),
        )
        self.prototypes = options.prototypes_of(streams, epochs)
        self.terms = options.terms(streams, epochs)

    def losses(self, clips: Sequence[Clips], epoch: int, present: Present = None, ids: Tensor | None = None) -> Terms:
        first, second, *further = clips
        found: dict[str, Tensor] = self(first, second, epoch, *further, present=present, ids=ids)
        return found

    def restarted(self) -> None:
        self.key_encoders.load_state_dict(self.encoders.state_dict())

    def fill(self) -> None:
        self.queue.filled.fill_(self.queue.size)  # terms that wait for keys do not wait

    def _embed(
        self, encoders: nn.ModuleList, heads: nn.ModuleList, clips: Clips, present: Present = None
    ) -> dict[str, Tensor]:
        if not present:
            return self.project(heads, encode_together(list(encoders), self.inputs(clips)))
        return self._embed_present(encoders, heads, self.inputs(clips), present)

    def _embed_present(
        self, encoders: nn.ModuleList, heads: nn.ModuleList, inputs: Sequence[Tensor], present: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Rows of the clips that have a stream, zeros for the others; what is absent reaches no encoder."""
        some = [number for number, x in enumerate(inputs) if len(x)]
        features = encode_together([encoders[n] for n in some], [inputs[n] for n in some])
        count = len(next(iter(present.values())))
        found: dict[str, Tensor] = {}
        for number, feature in zip(some, features, strict=True):
            stream = self.streams[number]
            rows = unit_rows(heads[number](feature))
            there = present.get(self.sensor_of[number])
            if there is not None:
                rows = rows.new_zeros(count, rows.shape[1]).index_copy(0, there.nonzero()[:, 0], rows)
            found[stream] = rows
        like = next(iter(found.values()))
        return {s: found[s] if s in found else like.new_zeros(like.shape) for s in self.streams}

    def project(self, heads: nn.ModuleList, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Each stream's (B, F) features through its head: stream → (B, D) unit rows."""
        return {s: unit_rows(head(f)) for s, head, f in zip(self.streams, heads, features, strict=True)}

    @torch.no_grad()
    def update_key_encoders(self, epoch: int) -> None:
        """Momentum update of the key encoders and heads; parameters only, never buffers."""
        moving = [self.streams.index(s) for s in self.options.moving_key_encoders(self.streams, epoch, self.epochs)]
        for following, online in ((self.key_encoders, self.encoders), (self.key_heads, self.heads)):
            pick = nn.ModuleList([following[i] for i in moving]), nn.ModuleList([online[i] for i in moving])
            ema_update(*pick, self.options.key_momentum)

    def embed_further(self, clips: Sequence[Tensor]) -> Mapping[str, Mapping[str, Tensor]]:
        """Further queries, by name and stream, from the clips beyond the first two; none here."""
        return {}

    def _keys(self, clips: Clips, epoch: int, present: Present) -> dict[str, Tensor]:
        if self.options.shares_encoder():
            return self._embed(self.encoders, self.heads, clips, present)
        self.update_key_encoders(epoch)
        with torch.no_grad():
            return self._embed(self.key_encoders, self.key_heads, clips, present)

    def forward(
        self,
        first: Clips,
        second: Clips,
        epoch: int,
        *further: Tensor,
        present: Present = None,
        ids: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """One step on augmentations of the same clips, each (B, T, P, V, C): the query's, the key's, any others.

        Args:
            first, second, further: the clips; of a sensor that some clips lack, those that have it alone, in order.
            epoch: counted from 0.
            present: sensor → (B,) bool, which clips have it, for the sensors that some clip of the set lacks.
            ids: (B,) the clips, for methods that leave out a clip's own older keys, or (B, 2) clips and people.

        Returns:
            Term name → weighted scalar loss; their sum is the loss. Keys are enqueued when this returns, and what the
            terms observed is in :attr:`observed`, by name.
        """
        queries = self._embed(self.encoders, self.heads, first, present)
        more = self.embed_further(further)
        keys = self._keys(second, epoch, present)
        there = {
            s: (present or {})[n] for s, n in zip(self.streams, self.sensor_of, strict=True) if n in (present or {})
        }
        filled = int(self.queue.filled)
        if self.prototypes is not None:
            self.prototypes.prepare(self.queue, epoch=epoch, filled=filled)
        prototypes = self.prototypes.current() if self.prototypes is not None else {}
        held = {s: slots for s, slots in self.queue.held().items() if s in there}
        left_out = self.queue.left_out(ids) if self.queue.owners and ids is not None else None
        output = StepOutput(
            queries, keys, self.queue.snapshot(), epoch, filled, prototypes, more, {}, there, held, left_out
        )
        losses = {}
        for term in self.terms:
            weight = term.weight_at(epoch)
            if weight:
                losses[term.name] = weight * term.loss(output)
        self.observed = {name: value.detach() for name, value in output.observed.items()}
        rows = {s: gather_rows(k) for s, k in keys.items()}
        clips = None if left_out is None or ids is None else gather_rows(ids.to(left_out.device))
        self.queue.enqueue(rows, {s: gather_rows(flags) for s, flags in there.items()}, clips)
        if self.prototypes is not None:
            self.prototypes.advance(self.queue, epoch=epoch, rows=len(rows[self.streams[0]]))
        return losses


ContrastiveHost = ContrastiveStreams
"""its earlier name"""
