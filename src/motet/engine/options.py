"""Groups of options that every training has: how it runs, its encoder, its optimiser."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from motet.core.options import Bounds, Count, Momentum, Natural, NotNegative, Options, Positive


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
    """epochs between looks at the features; 0 gives about twenty over the run."""
    checkpoint_every: Natural = 0
    """epochs between checkpoints; 0 gives about ten over the run; one is written too when ten minutes have passed."""
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


@dataclass(frozen=True)
class Encoder(Options):
    """Which encoder every stream gets."""

    encoder: Literal["gru", "stgcn"] = "gru"
    """gru: the recurrent encoder of CMD and HaLP; stgcn: the graph encoder of CrosSCLR, AimCLR and CoDT."""
    hidden: Count = 1024
    """units per direction of the GRU; its feature has twice as many."""
    layers: Count = 3
    """layers of the GRU."""
    mode: Literal["causal", "bidirectional"] = "causal"
    """causal: both halves run forward in time, as released; bidirectional: as torch's nn.GRU."""
    width: Count = 16
    """channels of the first blocks of the ST-GCN; later ones have two and four times as many."""
    feature_size: Count = 256
    """channels of the last block of the ST-GCN."""
    dropout: Momentum = 0.5
    """share of values dropped in the blocks of the ST-GCN."""


@dataclass(frozen=True)
class Optimiser(Options):
    """How the weights move."""

    optimiser: Literal["sgd", "adam"] = "sgd"
    lr: Positive = 0.01
    """learning rate at the start."""
    momentum: Momentum = 0.9
    """momentum of SGD."""
    weight_decay: NotNegative = 1e-4
    milestones: Annotated[tuple[int, ...], Bounds(least=0)] = (350,)
    """epochs (counted from 0) from which the rate is multiplied by gamma, once each."""
    gamma: NotNegative = 0.1

    def lr_at(self, epoch: int) -> float:
        """Learning rate in an epoch, counted from 0."""
        return self.lr * self.gamma ** sum(epoch >= m for m in self.milestones)


def encoder_options(encoder: Encoder) -> dict[str, Any]:
    """Keyword arguments of :func:`motet.encoders.build_encoder` for a configured encoder."""
    if encoder.encoder == "gru":
        return {"name": "gru", "hidden": encoder.hidden, "layers": encoder.layers, "mode": encoder.mode}
    return {
        "name": "stgcn",
        "width": encoder.width,
        "feature_size": encoder.feature_size,
        "dropout": encoder.dropout,
    }
