"""The face of everything that is trained: what the loop of :mod:`motet.engine.trainer` asks of it.

A learner is a module whose parameters move. It says which stages there are, makes the batch of a step (a pure function
of stage, epoch and step, so that no sampler has a state), the terms of the loss, and what follows a step, an epoch and
a stage. The loop does the rest: signals, checkpoints, finite losses, gradients, metrics, precision, devices, processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from motet.core.options import convert
from motet.engine.options import Optimiser

if TYPE_CHECKING:
    from motet.engine.run import Run


class Moves(Protocol):
    """What the loop asks of an optimiser; a torch optimiser has it all."""

    def step(self) -> Any:
        """Move the weights by their gradients."""

    def zero_grad(self) -> Any:
        """Forget the gradients."""

    def state_dict(self) -> dict[str, Any]:
        """State of a checkpoint."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Continue from a state."""


@dataclass(frozen=True)
class Stage:
    """A part of a training with an optimiser, epochs and a length of its own.

    Attributes:
        name: for metrics and progress.
        epochs: how many.
        steps: of an epoch.
        rows: clips or rows of a step, over all processes and replicas.
        first: number of the first epoch; where stages count on, the epochs before it.
    """

    name: str
    epochs: int
    steps: int
    rows: int = 1
    first: int = 0

    @property
    def end(self) -> int:
        """Number of the epoch after the last one."""
        return self.first + self.epochs


@dataclass(frozen=True)
class Position:
    """Where a training is: a stage, an epoch (counted from the stage's first) and a step of it, counted from 0."""

    stage: Stage
    epoch: int
    step: int = 0

    @property
    def last(self) -> bool:
        """Whether this is the last epoch of its stage."""
        return self.epoch + 1 == self.stage.end

    def every(self, interval: int, *, times: int) -> bool:
        """Whether something done every ``interval`` epochs is due after this one; 0 does it at most ``times`` times.

        It is always due after the last epoch of a stage.
        """
        interval = interval or -(-self.stage.epochs // times)
        return (self.epoch + 1) % interval == 0 or self.last


class Held:
    """A batch on its way through the wrappers of devices and precision, which must not look inside."""

    def __init__(self, batch: Any) -> None:
        self.batch = batch


class Learner(nn.Module):
    """What is trained.

    Attributes:
        stages: one after the other.
        replicas: names of the trainings that run side by side in one tensor; empty for one training.
        observed: what a step saw, name → scalar or (replicas,): logged as ``diagnostics``, left out where not finite.
        small: whether one thread is as fast as several.
        advice: what to do about a loss that is not finite.
        optimiser: moves the weights of the present stage.
        say: shows a line next to the progress.
    """

    stages: Sequence[Stage]
    replicas: Sequence[str] = ()
    small: bool = True
    advice: str = "lower --lr"
    optimiser: Moves
    observed: dict[str, Tensor]
    say: Callable[[str], None]

    def __init__(self) -> None:
        super().__init__()
        self.observed = {}
        self.say = lambda text: None

    def forward(self, held: Held) -> dict[str, Tensor]:
        """The terms of a step; called through the wrappers of precision and processes."""
        return self.terms(held.batch)

    def begin_stage(self, stage: Stage) -> None:
        """Make what the stage needs: its optimiser, labels, networks from those of the stage before."""

    def begin_epoch(self, at: Position) -> None:
        """Set rates, make what lasts for an epoch; not called again where an epoch continues after an interruption."""

    def enter_epoch(self, at: Position) -> None:
        """Set what a checkpoint does not hold; called where an epoch begins and where it continues."""

    def batch(self, at: Position) -> Any:
        """What a step sees: a pure function of its position."""
        raise NotImplementedError

    def terms(self, batch: Any) -> dict[str, Tensor]:
        """Terms of the loss, scalar or (replicas,), differentiable."""
        raise NotImplementedError

    def weights(self, at: Position) -> Mapping[str, float] | None:
        """Factor of each term; 0 leaves it out of the loss. None where the terms are weighted already."""
        return None

    def active(self, batch: Any) -> Sequence[bool] | None:
        """Which replicas take this step; None for all."""
        return None

    def move(self, batch: Any) -> None:
        """Move the weights by their gradients."""
        self.optimiser.step()

    def after_step(self, batch: Any) -> Mapping[str, Tensor]:
        """What follows the step: memories, further optimisers. What it returns is logged with the terms."""
        return {}

    def end_epoch(self, at: Position) -> dict[str, Any]:
        """What follows an epoch; entries of its line in metrics.jsonl."""
        return {}

    def end_stage(self, stage: Stage, run: Run | None) -> None:
        """What follows a stage. It may be called again after an interruption, so it must not depend on that."""

    def finish(self, run: Run) -> None:
        """Write the model and the results; the last thing that happens."""

    def lr(self, at: Position) -> float | None:
        """Learning rate of an epoch, for the metrics."""
        groups = getattr(self.optimiser, "param_groups", None)
        return float(groups[0]["lr"]) if groups else None

    def fill(self) -> None:
        """Put memories in the state of a long training, for a measurement of a step's time."""

    def rows(self, batch: Any) -> str:
        """Names of a batch's clips or rows, for an error about them."""
        return ""

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds; :meth:`restore` is its inverse."""
        return {"module": self.state_dict(), "optimiser": self.optimiser.state_dict()}

    def restore(self, state: Mapping[str, Any], stage: Stage) -> None:
        """Continue inside a stage from :meth:`state`."""
        self.begin_stage(stage)
        self.load_state_dict(state["module"])
        load_optimiser(self.optimiser, state["optimiser"])


def load_optimiser(optimiser: Moves, state: dict[str, Any]) -> None:
    """Restore an optimiser; torch takes any value of its options and fails in the next step.

    Raises:
        ConfigError: an option is of another type than it has now.
        LookupError, ValueError, TypeError: the state is not one of this optimiser.
    """
    groups = optimiser.param_groups if isinstance(optimiser, torch.optim.Optimizer) else []
    for group, held in zip(groups, state["param_groups"] if groups else [], strict=True):
        for name, value in group.items():
            if isinstance(value, int | float) and name != "params":
                convert(bool if isinstance(value, bool) else float, held[name], name)
    optimiser.load_state_dict(state)


def make_optimiser(options: Optimiser, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """SGD with momentum, Adam or AdamW; one fused pass over all parameters."""
    if options.optimiser == "sgd":
        return torch.optim.SGD(parameters, options.lr, options.momentum, weight_decay=options.weight_decay, fused=True)
    kind = torch.optim.AdamW if options.optimiser == "adamw" else torch.optim.Adam
    return kind(parameters, options.lr, weight_decay=options.weight_decay, fused=True)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Learning rate of all parameters from now on."""
    for group in optimiser.param_groups:
        group["lr"] = rate
