from __future__ import annotations

import pytest
import torch
from torch import nn

from motet.core.errors import ConfigError
from motet.memory.momentum import ema_update, momentum_encoder


def _network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def test_twin_is_a_copy_without_gradients_in_train_mode() -> None:
    online = _network().eval()
    online(torch.randn(5, 3)).sum().backward()
    twin = momentum_encoder(online)
    assert twin.training
    assert not online.training
    for mine, theirs in zip(twin.parameters(), online.parameters(), strict=True):
        assert torch.equal(mine, theirs)
        assert mine.data_ptr() != theirs.data_ptr()
        assert not mine.requires_grad
        assert mine.grad is None
        assert theirs.requires_grad


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.999, 1.0])
def test_update_follows_the_formula(momentum: float) -> None:
    torch.manual_seed(0)
    online = _network().double()
    twin = momentum_encoder(online)
    with torch.no_grad():
        for parameter in online.parameters():
            parameter.add_(torch.randn_like(parameter))
    expected = [
        momentum * mine + (1 - momentum) * theirs
        for mine, theirs in zip(twin.parameters(), online.parameters(), strict=True)
    ]
    before = [p.clone() for p in online.parameters()]
    ema_update(twin, online, momentum)
    for found, wanted in zip(twin.parameters(), expected, strict=True):
        torch.testing.assert_close(found.data, wanted.detach())
    assert all(torch.equal(a, b) for a, b in zip(before, online.parameters(), strict=True))


def test_update_leaves_buffers_alone() -> None:
    online = _network()
    twin = momentum_encoder(online)
    online(torch.randn(8, 3) + 5)
    before = [b.clone() for b in twin.buffers()]
    ema_update(twin, online, 0.5)
    assert all(torch.equal(a, b) for a, b in zip(before, twin.buffers(), strict=True))
    assert not torch.equal(next(twin.buffers()), next(online.buffers()))


def test_update_refuses_what_does_not_fit() -> None:
    online = _network()
    with pytest.raises(ConfigError, match=r"momentum must lie in \[0, 1\], not 1.5"):
        ema_update(momentum_encoder(online), online, 1.5)
    with pytest.raises(ConfigError, match="momentum_encoder"):
        ema_update(nn.Linear(3, 3), online, 0.9)
