"""What every method of `motet pretrain` is: options, and a module that turns augmented clips into terms of a loss.

A method is one file: a frozen dataclass of options derived from :class:`Method`, whose :meth:`Method.build` returns a
:class:`Streams` module. Nothing here knows of queues, momentum encoders or negatives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from motet.core.distributed import own_rows
from motet.core.options import Options
from motet.core.rng import CounterRNG
from motet.data.skeletons import Skeleton
from motet.data.views import View, split_stream
from motet.encoders import build_encoder, encode_together

Clips = Tensor | Mapping[str, Tensor]
"""(B, T, P, V, C); of several sensors each one's, by its name, the main archive's under the empty one."""
Present = Mapping[str, Tensor] | None
"""sensor → (B,) bool, which clips have it, for the sensors that some clip of a set lacks."""
Terms = dict[str, Tensor]
"""name → term of the loss, a scalar."""


def unit_rows(x: Tensor) -> Tensor:
    """Rows of length one, in float32 whatever autocast does: what the equations assume."""
    return normalize(x if x.dtype == torch.float64 else x.float(), dim=1)


def hidden_spans(clips: int, moments: int, parts: int, *, span: int, share: float, device: torch.device) -> Tensor:
    """(B, N, S) bool: what to hide, each of S parts for whole spans of the N moments, drawn for every clip."""
    drawn = own_rows(lambda n: torch.rand(n, -(-moments // span), parts, device=device), clips)
    return (drawn < share).repeat_interleave(span, dim=1)[:, :moments]


@dataclass(frozen=True)
class Layout:
    """What the clips of one sensor look like, and which encoder reads them.

    Attributes:
        skeleton: nodes.
        persons, channels: P and C.
        encoder: name of the encoder and its options, for :func:`motet.encoders.build_encoder`.
    """

    skeleton: Skeleton
    persons: int
    channels: int
    encoder: Mapping[str, object]


Layouts = Mapping[str, Layout]
"""by the name of the sensor"""


@dataclass(frozen=True)
class Method(Options):
    """Options of a way to pretrain.

    Attributes:
        title: what tables and reports call the method; the name of the class, where it has none of its own.
        meaning: one sentence on it, for a reader who never trained a model.
        clips: augmentations of a clip that one step sees.
        released_extra_epochs: epochs by which the released script trains longer than the paper says.
        allows_gaps: whether the terms know of clips that lack a stream.
    """

    title: ClassVar[str]
    meaning: ClassVar[str] = ""
    clips: ClassVar[int] = 2
    released_extra_epochs: ClassVar[int] = 1
    allows_gaps: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "title" not in vars(cls):
            cls.title = cls.__name__

    def called(self) -> str:
        return f"the method {self.title}"

    def build(self, streams: Sequence[str], layouts: Layouts, *, epochs: int, gaps: bool = False) -> Streams:
        """The module that trains.

        Args:
            streams: views of the clip, ``view`` or ``sensor:view``.
            layouts: of every sensor by its name, the main archive's under the empty one.
            epochs: length of the run, for terms that start part-way.
            gaps: whether clips may lack a sensor.
        """
        raise NotImplementedError

    def transform(self, clips: Sequence[Tensor], keyed: Sequence[CounterRNG], skeleton: Skeleton) -> tuple[Tensor, ...]:
        """What a method does to the :attr:`clips` augmented (B, T, P, V, C) clips of a step; nothing here."""
        return tuple(clips)

    def check_layout(self, skeleton: Skeleton, channels: int) -> None:
        """Raise ConfigError where :meth:`transform` makes no sense for a layout."""

    def check_schedule(self, steps: int, epochs: int, batch_size: int) -> None:
        """Warn of a term that a run of ``epochs`` epochs of ``steps`` steps is too short for."""

    def check_sizes(self, clips: int, batch_size: int) -> None:
        """Warn of sizes that do not fit ``clips`` training clips."""

    def fitted(self, clips: int, batch_size: int) -> dict[str, Any]:
        """Options that shrink to fit a small set."""
        return {}

    def within_person(self) -> bool:
        """Whether :meth:`Streams.losses` wants to know who was recorded."""
        return False

    def check_people(self, who: Tensor) -> None:
        """Warn of the (n,) people of the training clips, where too few are known or have too few clips."""

    def with_queue(self, size: int) -> Self:
        """The options with a memory of another size, and what the released code derives from that size."""
        return self

    def released(self, split: str | None) -> Self:
        """The options with the released code's values where these depart from the paper's, for a split."""
        return self

    def validate(self, streams: Sequence[str]) -> None:
        """Refuse options that cannot work together.

        Raises:
            ConfigError: names the option and the remedy.
        """


class Streams(nn.Module):
    """An encoder for every stream, and what a method trains them by.

    Args:
        streams, layouts: as of :meth:`Method.build`.

    Attributes:
        streams: names.
        sensor_of: the sensor of each stream, empty for the main archive.
        views: of each stream.
        encoders: what is kept after training, in the order of the streams.
        observed: name → scalar that a step saw; logged, left out where it is not finite.
    """

    def __init__(self, streams: Sequence[str], layouts: Layouts) -> None:
        super().__init__()
        self.streams = tuple(streams)
        named = [split_stream(s) for s in streams]
        self.sensor_of = [sensor for sensor, _ in named]
        self.views = [View.parse(view, layouts[sensor].skeleton) for sensor, view in named]
        encoders = [
            build_encoder(skeleton=v.skeleton, persons=of.persons, channels=of.channels, **of.encoder)  # type: ignore[arg-type]
            for v, of in zip(self.views, (layouts[sensor] for sensor in self.sensor_of), strict=True)
        ]
        self.encoders = nn.ModuleList(encoders)
        self.observed: dict[str, Tensor] = {}

    @property
    def sizes(self) -> list[int]:
        """Width F of every stream's features."""
        return [int(encoder.feature_size) for encoder in self.encoders]  # type: ignore[arg-type]

    def inputs(self, clips: Clips) -> list[Tensor]:
        """Each stream's view of its sensor's clips."""
        by_sensor = {"": clips} if isinstance(clips, Tensor) else clips
        return [view(by_sensor[sensor]) for view, sensor in zip(self.views, self.sensor_of, strict=True)]

    def features(self, clips: Clips) -> list[Tensor]:
        """(B, F) features of every stream."""
        return encode_together(list(self.encoders), self.inputs(clips))

    def losses(self, clips: Sequence[Clips], epoch: int, present: Present = None, ids: Tensor | None = None) -> Terms:
        """One step up to the loss; runs once in every step, in training mode.

        Args:
            clips: the :attr:`Method.clips` augmentations of the same clips.
            epoch: counted from 0.
            present: sensor → (B,) bool, which clips have it, for the sensors that some clip of the set lacks.
            ids: (B,) the clips, for methods that remember whose keys they hold; (B, 2) clips and people for those
                that ask for people, too, -1 where nobody is known.

        Returns:
            Term name → weighted scalar loss; their sum is the loss.
        """
        raise NotImplementedError

    def restarted(self) -> None:
        """The encoders have been given other weights before the first step: let copies of them follow."""

    def fill(self) -> None:
        """Put every memory in the state of a long training, for a measurement of a step's time."""
