"""One optimiser for many replicas, some of which may sit out a step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from motet.engine.learner import set_rate

Maker = Callable[[list[Tensor]], torch.optim.Optimizer]


class ReplicaOptimiser:
    """A torch optimiser over parameters with a leading axis of replicas.

    A replica that sits out a step has no gradient there, so neither its weights nor its moments nor its count of steps
    move: exactly as if it were trained alone. Replicas that have always moved together are one tensor for the
    optimiser; a run is split when its replicas first part ways.

    Args:
        parameters: each (G, …).
        make: tensors → optimiser, of moments with the shape of the tensor and a count ``step``.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], make: Maker) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]
        self.make = make
        self.runs = [(0, len(self.parameters[0]))]
        self._rebuild({})

    def _rebuild(self, states: dict[tuple[int, int], list[dict[str, Any]]]) -> None:
        """A new optimiser for the present runs of replicas, with their states where there are any."""
        self.pieces = [[p.detach()[a:b] for p in self.parameters] for a, b in self.runs]
        self.optimiser = self.make([piece for run in self.pieces for piece in run])
        for run, pieces in zip(self.runs, self.pieces, strict=True):
            for piece, state in zip(pieces, states.get(run, []), strict=False):
                if state:
                    self.optimiser.state[piece] = state

    def _split(self, active: Sequence[bool]) -> None:
        """Part runs whose replicas do not all do the same now."""
        found: list[tuple[int, int]] = []
        states: dict[tuple[int, int], list[dict[str, Any]]] = {}
        for (first, last), pieces in zip(self.runs, self.pieces, strict=True):
            start = first
            for _, members in groupby(active[first:last]):
                end = start + len(list(members))
                part = slice(start - first, end - first)
                states[start, end] = [_part(self.optimiser.state.get(piece, {}), part) for piece in pieces]
                found.append((start, end))
                start = end
        self.runs = found
        self._rebuild(states)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self, active: Sequence[bool] | None = None) -> None:
        """Move the replicas that are active (by default all) by the gradients of the parameters, and forget these."""
        active = [True] * len(self.parameters[0]) if active is None else active
        if any(len(set(active[a:b])) > 1 for a, b in self.runs):
            rate = self.optimiser.param_groups[0]["lr"]
            self._split(active)
            self.set_rate(rate)
        for (first, last), pieces in zip(self.runs, self.pieces, strict=True):
            for parameter, piece in zip(self.parameters, pieces, strict=True):
                moves = active[first] and parameter.grad is not None
                piece.grad = parameter.grad[first:last] if moves and parameter.grad is not None else None
        self.optimiser.step()
        self.zero_grad()

    def set_rate(self, rate: float) -> None:
        """Learning rate from now on."""
        set_rate(self.optimiser, rate)

    def state_dict(self) -> dict[str, Any]:
        return {"runs": [list(run) for run in self.runs], "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.runs = [(first, last) for first, last in state["runs"]]
        self._rebuild({})
        self.optimiser.load_state_dict(state["optimiser"])


def _part(state: dict[str, Any], part: slice) -> dict[str, Any]:
    """State of some replicas: their slices of the moments, a copy of the count of steps."""
    return {
        name: value[part].clone() if isinstance(value, Tensor) and value.ndim else _copy(value)
        for name, value in state.items()
    }


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value
