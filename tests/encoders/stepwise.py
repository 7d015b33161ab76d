"""The plain form of the causal GRU: the oracle of the tests and the benchmarks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from motet.encoders import CausalGRU


class StepwiseGRU(nn.Module):
    """``nn.GRU`` called once per frame with the state carried over, as the released code of CMD does."""

    def __init__(self, in_features: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.gru = nn.GRU(in_features, hidden, layers, batch_first=True, bidirectional=True)

    @classmethod
    def like(cls, encoder: CausalGRU) -> StepwiseGRU:
        """With a copy of another encoder's parameters."""
        plain = cls(encoder.in_features, encoder.hidden, encoder.layers).to(next(encoder.parameters()))
        with torch.no_grad():
            for mine, theirs in zip(plain.parameters(), encoder.parameters(), strict=True):
                mine.copy_(theirs)
        return plain

    def forward(self, x: Tensor) -> Tensor:
        return self.sequence(x)[:, -1]

    def sequence(self, x: Tensor) -> Tensor:
        state, outputs = None, []
        for frame in x.split(1, dim=1):
            output, state = self.gru(frame, state)
            outputs.append(output)
        return torch.cat(outputs, dim=1)


def fill(module: nn.Module) -> None:
    """The p-th parameter becomes 0.5 · sin(0.1 i + 0.3 p), i its flat index."""
    with torch.no_grad():
        for place, parameter in enumerate(module.parameters()):
            index = torch.arange(parameter.numel(), dtype=parameter.dtype)
            parameter.copy_((0.5 * torch.sin(0.1 * index + 0.3 * place)).view_as(parameter))


def waves(batch: int, time: int, features: int) -> Tensor:
    """x[n, t, d] = sin(0.2 t + 0.5 d + n) in float64."""
    n = torch.arange(batch, dtype=torch.float64)[:, None, None]
    t = torch.arange(time, dtype=torch.float64)[:, None]
    return torch.sin(0.2 * t + 0.5 * torch.arange(features, dtype=torch.float64) + n)
