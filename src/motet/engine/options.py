"""Groups of options that every training has: how it runs, its encoder, its optimiser."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, TypeVar

from motet.core.errors import ConfigError
from motet.core.options import Bounds, Count, Layers, Momentum, Natural, NotNegative, Options, Positive
from motet.core.text import counted
from motet.encoders import EncoderName, encoder_option_names

T = TypeVar("T", bound=Options)


@dataclass(frozen=True)
class Loop(Options):
    """How a training runs; none of it but the precision changes what is learned."""

    device: str = "auto"
    """auto, cpu, cuda or mps."""
    devices: Count = 1
    """processes on each machine; more than one trains data-parallel."""
    nodes: Count = 1
    """machines; torchrun and srun say it themselves."""
    precision: Literal["32", "bf16"] = "32"
    monitor_every: Natural = 0
    """epochs between looks at the features; 0 gives up to twenty over the run."""
    checkpoint_every: Natural = 0
    """epochs between checkpoints; 0 gives about ten over the run; one is written too when ten minutes have passed."""
    checkpoint_steps: Natural = 0
    """steps between further checkpoints inside an epoch; 0 writes none."""
    keep_checkpoints: Count = 2
    """how many of the latest checkpoints stay."""
    tensorboard: bool = False
    """also write TensorBoard event files; the same as --trackers tensorboard."""
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ()
    """where the numbers of every epoch go too."""

    @property
    def all_trackers(self) -> tuple[str, ...]:
        """Trackers by either option."""
        return (*self.trackers, *(("tensorboard",) if self.tensorboard else ()))

    @property
    def processes(self) -> int:
        """Processes that train together."""
        return self.devices * self.nodes


INCIDENTAL = frozenset(f.name for f in fields(Loop)) - {"precision"}
"""options that change neither the weights nor the figures of a training."""


def as_started(options: T, given: Mapping[str, Any]) -> T:
    """Options with the processes that ``torchrun`` or ``srun`` started, if one did.

    Args:
        options: with ``devices`` and ``nodes``.
        given: what was asked for by name.

    Raises:
        ConfigError: another number was asked for.
    """
    from motet.core.distributed import started

    found = started()
    if found is None:
        return options
    for name, count in zip(("devices", "nodes"), found, strict=True):
        if given.get(name, count) != count:
            raise ConfigError(
                f"{name} is {given[name]}, but {counted(found[0], 'process')} were started on each of "
                f"{counted(found[1], 'machine')}; leave --{name} out"
            )
    return options.with_options({"devices": found[0], "nodes": found[1]})


def asked(options: Mapping[str, Any]) -> dict[str, Any]:
    """What options, of which the defaults may be among them, say of processes: more than one."""
    return {name: options[name] for name in ("devices", "nodes") if options.get(name, 1) != 1}


@dataclass(frozen=True)
class Encoder(Options):
    """Which encoder every stream gets."""

    encoder: EncoderName = "gru"
    """gru: the recurrent encoder of CMD and HaLP; stgcn: the graph encoder of CrosSCLR, AimCLR and CoDT; tcn: dilated
    convolutions over time, small and fast; transformer: attention among body parts and moments; rocket: random
    convolutions, which nothing trains."""
    hidden: Count = 1024
    """units per direction of the GRU; its feature has twice as many."""
    layers: Layers = 3
    """layers of the GRU, residual blocks of the TCN, blocks of the transformer."""
    mode: Literal["causal", "bidirectional"] = "causal"
    """of the GRU; causal: both halves run forward in time, as released; bidirectional: as torch's nn.GRU."""
    width: Count | None = None
    """channels: of the first blocks of the ST-GCN (16; later ones have two and four times as many), of the levels of
    the TCN (64), of a token of the transformer (64)."""
    feature_size: Count = 256
    """channels of the last block of the ST-GCN."""
    dropout: Momentum | None = None
    """share of values dropped in the blocks of the ST-GCN (0.5) and the transformer (0)."""
    kernel: Count = 5
    """frames that a convolution of the TCN reads."""
    causal: bool = False
    """let a frame of the TCN see the past only, so that it can run on a live stream."""
    heads: Count = 4
    """attention heads of the transformer."""
    patch: Count = 4
    """frames between tokens of the transformer."""
    kernels: Count = 1000
    """random convolutions of rocket."""

    @property
    def keywords(self) -> dict[str, Any]:
        """Those that the encoder takes, by name (:func:`motet.encoders.build_encoder`)."""
        values = {name: getattr(self, name, None) for name in encoder_option_names(self.encoder)}
        return {name: value for name, value in values.items() if value is not None}

    def __str__(self) -> str:
        return ", ".join([self.encoder, *(f"{name} {value}" for name, value in self.keywords.items())])


@dataclass(frozen=True)
class Optimiser(Options):
    """How the weights move."""

    optimiser: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: Positive = 0.01
    """learning rate at the start."""
    momentum: Momentum = 0.9
    """momentum of SGD."""
    weight_decay: NotNegative = 1e-4
    milestones: Annotated[tuple[int, ...], Bounds(least=0)] = (350,)
    """epochs (counted from 0) from which the rate is multiplied by gamma, once each."""
    gamma: NotNegative = 0.1
    schedule: Literal["milestones", "cosine"] = "milestones"
    """milestones: constant, with drops; cosine: falls with every step along half a cosine, to 0 at the end."""

    def lr_at(self, epoch: float, epochs: int = 1) -> float:
        """Learning rate at a moment of a training of ``epochs`` epochs, counted from 0; steps are parts of an epoch."""
        if self.schedule == "cosine":
            return self.lr * (1 + math.cos(math.pi * min(1.0, epoch / max(1, epochs)))) / 2
        return self.lr * self.gamma ** sum(epoch >= m for m in self.milestones)


def encoder_options(encoder: Encoder) -> dict[str, Any]:
    """Keyword arguments of :func:`motet.encoders.build_encoder` for a configured encoder."""
    return {"name": encoder.encoder, **encoder.keywords}
