"""AimCLR's losses against loops, their gradients and limits."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from motet.core.errors import ConfigError
from motet.losses import distributional_divergence, info_nce, neighbour_mining


def rows(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(count, 5, generator=generator, dtype=torch.float64), dim=1)


QUERY, KEY, QUEUE, EXTREME, DROPPED = rows(4, 0), rows(4, 1), rows(9, 2), rows(4, 3), rows(4, 4)


def softmax_of(query: Tensor, key: Tensor, temperature: float) -> list[float]:
    values = [math.exp(float(query @ c) / temperature) for c in [key, *QUEUE]]
    return [v / sum(values) for v in values]


def test_divergence_written_out() -> None:
    total = 0.0
    for b in range(4):
        target, student = (softmax_of(x[b], KEY[b], 0.3) for x in (QUERY, EXTREME))
        total -= sum(p * math.log(s) for p, s in zip(target, student, strict=True)) / 4
    assert distributional_divergence(EXTREME, QUERY, KEY, QUEUE, temperature=0.3).item() == pytest.approx(total)


def test_divergence_is_least_at_the_target_and_moves_the_extreme_query_only() -> None:
    extreme, query, key, queue = (t.clone().requires_grad_() for t in (EXTREME, QUERY, KEY, QUEUE))
    loss = distributional_divergence(extreme, query, key, queue)
    grads = torch.autograd.grad(loss, (extreme, query, key, queue), allow_unused=True)
    assert grads[0].abs().max() > 0
    assert grads[1:] == (None, None, None)
    at_target = QUERY.clone().requires_grad_()
    least = distributional_divergence(at_target, QUERY, KEY, QUEUE)
    assert least < loss
    assert torch.autograd.grad(least, at_target)[0].abs().max() < 1e-12


def test_mining_written_out() -> None:
    total = 0.0
    for b in range(4):
        p = softmax_of(QUERY[b], KEY[b], 0.3)
        miners = (QUERY[b], EXTREME[b], DROPPED[b])
        found = {0} | {1 + max(range(9), key=lambda j: float(m @ QUEUE[j])) for m in miners}
        total -= sum(math.log(p[j]) for j in found) / len(found) / 4
    value = neighbour_mining(QUERY, (EXTREME, DROPPED), KEY, QUEUE, temperature=0.3)
    assert value.item() == pytest.approx(total)


def test_mining_limits() -> None:
    """All of the queue mined: the mean over everything. Gradient reaches the normal query only."""
    logits = torch.cat([(QUERY * KEY).sum(1, keepdim=True), QUERY @ QUEUE.T], 1) / 0.07
    everything = -logits.log_softmax(1).mean()
    torch.testing.assert_close(neighbour_mining(QUERY, (), KEY, QUEUE, top_k=9), everything)
    # a slot that is the key's twin and that everybody mines: the key alone, among one more candidate
    twins = [neighbour_mining(KEY[:1], miners, KEY[:1], torch.cat([QUEUE, KEY[:1]])) for miners in ((), (KEY[:1],))]
    torch.testing.assert_close(twins[0], info_nce(KEY[:1], KEY[:1], torch.cat([QUEUE, KEY[:1]])))
    torch.testing.assert_close(twins[1], twins[0])
    query, extreme = QUERY.clone().requires_grad_(), EXTREME.clone().requires_grad_()
    loss = neighbour_mining(query, (extreme,), KEY, QUEUE)
    grads = torch.autograd.grad(loss, (query, extreme), allow_unused=True)
    assert grads[0].abs().max() > 0
    assert grads[1] is None
    for k in (0, 10):
        with pytest.raises(ConfigError, match="top_k"):
            neighbour_mining(QUERY, (), KEY, QUEUE, top_k=k)


def test_half_precision_is_promoted() -> None:
    halves = [t.bfloat16() for t in (EXTREME, QUERY, KEY, QUEUE)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert distributional_divergence(*halves).dtype == torch.float32
        assert neighbour_mining(halves[1], halves[:1], *halves[2:]).dtype == torch.float32
