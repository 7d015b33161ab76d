"""One optimiser for many lanes, some of which may sit out a step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

Maker = Callable[[list[Tensor]], torch.optim.Optimizer]


class LaneOptimiser:
    """A torch optimiser over the slices (one per lane) of parameters with a leading axis of lanes.

    A lane that sits out a step has no gradient there, so neither its weights nor its moments nor its count of steps
    move: exactly as if it were trained alone.

    Args:
        parameters: each (G, …).
        make: slices → optimiser.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], make: Maker) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]
        self.slices = [list(p.detach().unbind(0)) for p in self.parameters]
        self.optimiser = make([piece for pieces in self.slices for piece in pieces])

    def clear(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self, active: Sequence[bool]) -> None:
        """Move the lanes that are active by the gradients of the parameters, and forget these."""
        for parameter, pieces in zip(self.parameters, self.slices, strict=True):
            gradients = [None] * len(pieces) if parameter.grad is None else parameter.grad.unbind(0)
            for piece, gradient, moves in zip(pieces, gradients, active, strict=True):
                piece.grad = gradient if moves else None
        self.optimiser.step()
        self.clear()

    def set_rate(self, rate: float) -> None:
        """Learning rate from now on."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        return self.optimiser.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimiser.load_state_dict(state)
