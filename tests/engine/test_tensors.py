"""Limits of what is built in memory."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from motet.core.errors import ConfigError
from motet.engine import tensors
from motet.engine.tensors import room


def test_a_bank_counts_once_and_a_weight_with_its_gradient_and_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensors, "_memory", lambda: 4000)  # 1,000 numbers of four bytes
    with room():
        nn.Module().register_buffer("bank", torch.zeros(1).expand(1000))
    with pytest.raises(ConfigError, match="too many for the memory"), room():
        nn.Module().register_buffer("bank", torch.zeros(1).expand(1001))
    with room():
        nn.Linear(249, 1)
    with pytest.raises(ConfigError, match="at least 251 numbers"), room():
        nn.Linear(250, 1)
    with room(10):  # of a checkpoint, which holds each number once
        nn.Linear(9, 1)
    with pytest.raises(ConfigError, match="checkpoint holds far fewer"), room(10):
        nn.Linear(10, 1)
    nn.Linear(2000, 1)  # nothing is counted outside
