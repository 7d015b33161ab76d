"""What the algorithms share: checkpoints by name, the encoder, SGD; all in float64."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

State = dict[str, Tensor]


def checkpoints(run: Path) -> list[State]:
    """Tensors of every checkpoint of a run, the oldest first, by the path of their names."""
    paths = sorted((run / "checkpoints").glob("*.pt"))
    return [flat(torch.load(path, weights_only=True)) for path in paths]


def flat(node: Any, place: str = "") -> State:
    """Tensors of nested mappings and lists, by path; floating ones in float64."""
    if isinstance(node, Tensor):
        return {place: node.double() if node.is_floating_point() else node}
    pairs: Sequence[tuple[Any, Any]] = ()
    if isinstance(node, Mapping):
        pairs = list(node.items())
    elif isinstance(node, list | tuple):
        pairs = list(enumerate(node))
    return {k: v for key, value in pairs for k, v in flat(value, f"{place}/{key}").items()}


def part(state: State, prefix: str) -> State:
    """Entries whose name, after the last slash, begins with a prefix, without the prefix; copies."""
    found = {}
    for place, value in state.items():
        name = place.rsplit("/", 1)[-1]
        if name.startswith(prefix) and "/optimiser" not in place:
            found[name.removeprefix(prefix)] = value.clone()
    assert found, f"no tensor is called {prefix}…"
    return found


def momentum_buffers(state: State) -> list[Tensor]:
    """Of SGD, in the order of its parameters."""
    found = {}
    for place, value in state.items():
        match = re.search(r"/state/(\d+)/momentum_buffer$", place)
        if match:
            found[int(match[1])] = value.clone()
    assert found, "no momentum"
    return [found[number] for number in sorted(found)]


class SGD:
    """v ← μ v + (g + λ w); w ← w − η v (PyTorch's form, no dampening, no Nesterov)."""

    def __init__(self, weights: Sequence[Tensor], velocities: Sequence[Tensor], momentum: float, decay: float) -> None:
        assert [w.shape for w in weights] == [v.shape for v in velocities]
        self.weights, self.velocities, self.momentum, self.decay = list(weights), list(velocities), momentum, decay
        for weight in self.weights:
            weight.requires_grad_(True)

    def step(self, loss: Tensor, rate: float) -> None:
        gradients = torch.autograd.grad(loss, self.weights)
        with torch.no_grad():
            for weight, velocity, gradient in zip(self.weights, self.velocities, gradients, strict=True):
                velocity.mul_(self.momentum).add_(gradient + self.decay * weight)
                weight.sub_(rate * velocity)


def causal_gru(x: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    """(B, T, F) → (B, 2H): one layer of two GRUs that both run forward in time; the last states side by side."""
    last = []
    for suffix in ("_l0", "_l0_reverse"):
        own = [weights[f"gru.{name}{suffix}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        state = x.new_zeros(len(x), own[1].shape[1])
        for frame in x.unbind(1):
            inner, recurrent = frame @ own[0].T + own[2], state @ own[1].T + own[3]
            (r1, z1, n1), (r2, z2, n2) = inner.chunk(3, 1), recurrent.chunk(3, 1)
            reset, update = torch.sigmoid(r1 + r2), torch.sigmoid(z1 + z2)
            state = (1 - update) * torch.tanh(n1 + reset * n2) + update * state
        last.append(state)
    return torch.cat(last, 1)


def skeleton_gru(clips: Tensor, weights: Mapping[str, Tensor], *, running: bool = False) -> Tensor:
    """(B, T, P, V, C) → (B, 2H); a frame's features lie joint first, then channel, then person.

    They are normalised over batch and frames by statistics of their own, or by those that ran along.
    """
    x = clips.permute(0, 1, 3, 4, 2).flatten(2)
    mean, variance = x.mean((0, 1)), x.var((0, 1), unbiased=False)
    if running:
        mean, variance = weights["norm.running_mean"], weights["norm.running_var"]
    return causal_gru((x - mean) / (variance + 1e-5).sqrt() * weights["norm.weight"] + weights["norm.bias"], weights)


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=1, keepdim=True)


def close(found: Tensor, wanted: Tensor, moved: Tensor, what: str) -> None:
    """``found`` is ``wanted`` to a thousandth of the way that it ``moved``."""
    way = float((wanted - moved).detach().abs().max())
    assert way > 0, f"{what} did not move"
    difference = float((found - wanted).detach().abs().max())
    assert difference < 1e-3 * way + 1e-6, f"{what}: off by {difference:.2e} where it moved by {way:.2e}"
