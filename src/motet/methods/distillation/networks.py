"""Student, fusion teacher, auxiliary model and critics (AMID, Chen et al., CVPR 2023, §3 and §4.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import torch
from torch import Tensor, nn

from motet.core.errors import ConfigError
from motet.core.options import Bounds, Count, Layers, Momentum, Options
from motet.core.text import pasted
from motet.methods.distillation.layers import (
    Convolutions,
    Dense,
    Perceptron,
    Recurrence,
    SequenceExtractor,
    module_name,
)
from motet.methods.distillation.replicated import KINDS, Layout, ReplicatedEncoder

SEQUENCES = ("conv", "gru", *KINDS)
if TYPE_CHECKING:
    Sequencer: TypeAlias = str
else:
    Sequencer = Literal[SEQUENCES]


@dataclass(frozen=True)
class Shape:
    """What a table brings to a network.

    Attributes:
        sizes: D of every modality in use.
        sequences: the modalities that are sequences.
        targets, auxiliaries: their names.
        classes: C.
        layouts: of the modalities that come from motion archives.
    """

    sizes: Mapping[str, int]
    sequences: frozenset[str]
    targets: tuple[str, ...]
    auxiliaries: tuple[str, ...]
    classes: int
    layouts: Mapping[str, Layout] = field(default_factory=dict)


@dataclass(frozen=True)
class Networks(Options):
    """Options of the networks; the published sizes are those of the recipes."""

    features: Count = 64
    """D, the representation that student, teacher and auxiliary share."""
    hidden: Annotated[tuple[int, ...], Bounds(least=1, most=10_000_000)] = (64,)
    """hidden widths of an extractor of vectors; none makes it linear."""
    fuse_hidden: Count = 64
    """hidden width of the fusion, an MLP of two layers."""
    straight: bool = True
    """a linear path parallel to extractors and fusion; the paper has none."""
    sequence: Sequencer = "conv"
    """extractor of sequences; all but conv and gru are the encoders of the library."""
    encoder: tuple[str, ...] = ()
    """other extractors for some sequences, each MODALITY=EXTRACTOR."""
    sequence_hidden: Count = 64
    """channels or units of it; an ST-GCN begins with a quarter and ends with four times as many channels."""
    sequence_layers: Layers = 1
    """of an encoder of the library that has layers."""
    sequence_frames: Annotated[int, Bounds(least=0, most=20_000)] = 16
    """frames that the linear path of a sequence sees; 0 for no such path."""
    auxiliary_extractor: Literal["trained", "frozen", "table"] = "trained"
    """auxiliary extractors: learned with everything else; learned first, alone, then frozen; or none: the table holds
    the output of a frozen extractor (the paper's case) and only a projection is learned."""
    several: Literal["joint", "averaged"] = "joint"
    """several auxiliaries: one representation of all, or one each, whose contrasts are averaged."""
    project: bool = False
    """a learned projection of the auxiliary before the contrast even where its size is already D. Features that are
    never negative, such as those behind a ReLU, span half of the cosines only."""
    standardise: bool = True
    """bring every feature to mean 0 and deviation 1 by the training rows of the fold, and clip it at ±10; the paper
    takes the features of frozen networks as they are."""
    dropout: Momentum = 0.3
    """share of the input features that is dropped in training."""
    slope: Momentum = 0.01
    """LeakyReLU slope outside the critics."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for given in self.encoder:
            if given.partition("=")[2] not in SEQUENCES:
                raise ConfigError(f"encoder {given!r} is not MODALITY=EXTRACTOR, with one of {', '.join(SEQUENCES)}")

    def extractor_of(self, modality: str) -> str:
        """Extractor of a modality of sequences."""
        return dict(given.split("=", 1) for given in self.encoder).get(modality, self.sequence)


@dataclass
class Inputs:
    """A batch: (G, B, D) or (G, B, T, D) of every modality, and (G, B) valid frames of the sequences."""

    values: dict[str, Tensor]
    lengths: dict[str, Tensor]


@dataclass
class Outputs:
    """Representations (G, B, D) and logits (G, B, C) of a batch; what a method does not use may be absent."""

    student: Tensor | None = None
    teacher: Tensor | None = None
    auxiliary: tuple[Tensor, ...] = ()
    student_logits: Tensor | None = None
    teacher_logits: Tensor | None = None
    student_slope: Tensor | None = None
    """weights (G, D, C) of the linear classifier behind the student's logits"""
    teacher_slope: Tensor | None = None


WEIGHTS = ("student_slope", "teacher_slope")
"""outputs that have no axis of rows"""


class Student(nn.Module):
    """Extractors of some modalities and, where there are several, a linear map of all of them to one representation."""

    def __init__(
        self, seeds: Sequence[int], name: str, shape: Shape, modalities: Sequence[str], options: Networks
    ) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.extractors = nn.ModuleDict(
            {module_name(m): _extractor(seeds, f"{name}.{m}", shape, m, options) for m in modalities}
        )
        several = len(modalities) > 1
        width = len(modalities) * options.features
        self.head = Dense(seeds, f"{name}.head", width, options.features) if several else None

    def parts(self, inputs: Inputs) -> dict[str, Tensor]:
        """What each extractor gives."""
        found = {}
        for name in self.modalities:
            extractor = self.extractors[module_name(name)]
            x = inputs.values[name]
            found[name] = extractor(x, inputs.lengths[name]) if name in inputs.lengths else extractor(x)
        return found

    def joined(self, parts: Mapping[str, Tensor]) -> Tensor:
        """One representation of what the extractors gave."""
        if self.head is None:
            return parts[self.modalities[0]]
        joined: Tensor = self.head(torch.cat([parts[m] for m in self.modalities], dim=-1))
        return joined

    def forward(self, inputs: Inputs) -> Tensor:
        return self.joined(self.parts(inputs))


def _extractor(seeds: Sequence[int], name: str, shape: Shape, modality: str, options: Networks) -> nn.Module:
    size = shape.sizes[modality]
    if modality in shape.sequences:
        frames = options.sequence_frames if options.straight else 0
        encoder = _encoder(seeds, name, shape, modality, options)
        return SequenceExtractor(seeds, name, encoder, size, options.features, frames=frames)
    sizes = [size, *options.hidden, options.features]
    return Perceptron(seeds, name, sizes, options.slope, straight=options.straight)


def _encoder(seeds: Sequence[int], name: str, shape: Shape, modality: str, options: Networks) -> nn.Module:
    kind, size, hidden = options.extractor_of(modality), shape.sizes[modality], options.sequence_hidden
    if kind in KINDS:
        layout = shape.layouts.get(modality)
        if layout is None and not kind.endswith("-gru"):
            raise ConfigError(
                f"modality {modality} is of numbers without joints, so {kind} cannot see it; give it another "
                f"extractor, e.g. --encoder {pasted(modality)}=causal-gru"
            )
        return ReplicatedEncoder(seeds, f"{name}.{kind}", kind, size, layout, hidden, options.sequence_layers)
    own = Convolutions if kind == "conv" else Recurrence
    return own(seeds, f"{name}.{kind}", size, hidden, options.slope)


class Auxiliary(nn.Module):
    """Auxiliary extractors, and what they are compared as: one joint representation, or one per modality.

    An extractor of its own gives D features. Features of the table go through a learned projection where their number
    is not D.
    """

    def __init__(self, seeds: Sequence[int], name: str, shape: Shape, options: Networks) -> None:
        super().__init__()
        self.modalities, self.averaged = shape.auxiliaries, options.several == "averaged"
        own = options.auxiliary_extractor != "table"
        if not own and set(shape.auxiliaries) & shape.sequences:
            raise ConfigError(
                "auxiliary_extractor 'table' takes vectors; sequences need an extractor (trained or frozen)"
            )
        self.extractors = nn.ModuleDict(
            {module_name(m): _extractor(seeds, f"{name}.{m}", shape, m, options) for m in shape.auxiliaries if own}
        )
        self.sizes = [options.features if own else shape.sizes[m] for m in shape.auxiliaries]
        compared = self.sizes if self.averaged else [sum(self.sizes)]
        self.heads = nn.ModuleList(
            Dense(seeds, f"{name}.head.{n}", size, options.features)
            if options.project or size != options.features
            else nn.Identity()
            for n, size in enumerate(compared)
        )

    def parts(self, inputs: Inputs) -> list[Tensor]:
        """Features of each auxiliary modality, as the fusion takes them."""
        found = []
        for name in self.modalities:
            x = inputs.values[name]
            if module_name(name) in self.extractors:
                extractor = self.extractors[module_name(name)]
                x = extractor(x, inputs.lengths[name]) if name in inputs.lengths else extractor(x)
            found.append(x)
        return found

    def compared(self, parts: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Representations (G, B, D) that the contrast sees."""
        sources = parts if self.averaged else [torch.cat(list(parts), dim=-1)]
        return tuple(head(source) for head, source in zip(self.heads, sources, strict=True))


class Ensemble(nn.Module):
    """Student, auxiliary and teacher around shared extractors, with one classifier for student and teacher.

    The teacher owns the fusion alone: it sees what the extractors of the student and of the auxiliary give, so any loss
    on the teacher also trains them.
    """

    def __init__(
        self, seeds: Sequence[int], shape: Shape, options: Networks, *, name: str = "", teacher: bool = True
    ) -> None:
        super().__init__()
        self.student = Student(seeds, f"{name}student", shape, shape.targets, options)
        self.auxiliary = Auxiliary(seeds, f"{name}auxiliary", shape, options) if teacher else None
        self.fuse: Perceptron | None = None
        if self.auxiliary is not None:
            inputs = len(shape.targets) * options.features + sum(self.auxiliary.sizes)
            widths = [inputs, options.fuse_hidden, options.features]
            self.fuse = Perceptron(seeds, f"{name}fuse", widths, options.slope, straight=options.straight)
        self.classifier = Dense(seeds, f"{name}classifier", options.features, shape.classes)

    def forward(self, inputs: Inputs) -> Outputs:
        parts = self.student.parts(inputs)
        student = self.student.joined(parts)
        found = Outputs(student=student, student_logits=self.classifier(student), student_slope=self.classifier.weight)
        if self.auxiliary is not None and self.fuse is not None:
            others = self.auxiliary.parts(inputs)
            found.auxiliary = self.auxiliary.compared(others)
            found.teacher = self.fuse(torch.cat([*parts.values(), *others], dim=-1))
            found.teacher_logits, found.teacher_slope = self.classifier(found.teacher), self.classifier.weight
        return found


class Critic(nn.Module):
    """A discriminator: representation (G, B, D) → raw logit (G, B). No normalisation, no dropout."""

    def __init__(self, seeds: Sequence[int], name: str, features: int, widths: Sequence[int], slope: float) -> None:
        super().__init__()
        self.net = Perceptron(seeds, name, [features, *widths, 1], slope)

    def forward(self, x: Tensor, *, frozen: bool = False) -> Tensor:
        """``frozen`` keeps the gradient out of the critic's own weights."""
        logit: Tensor = self.net(x, frozen=frozen)
        return logit.squeeze(-1)
