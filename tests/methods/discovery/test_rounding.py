"""Labels of a transport plan with exactly the wanted sizes."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from motet.core.errors import ConfigError
from motet.losses import balanced_assignment
from motet.methods.discovery import balanced_labels

plan_of = partial(balanced_assignment, return_plan=True)


def wave(rows: int, columns: int, scale: float, dtype: torch.dtype = torch.float64) -> Tensor:
    n, k = torch.arange(rows, dtype=dtype)[:, None], torch.arange(columns, dtype=dtype)[None]
    return scale * torch.cos(0.7 * n + 1.3 * k + 0.1 * n * k)


def test_published_balance_and_exact_rounding() -> None:
    logits = wave(60, 6, 3)
    plan = plan_of(logits)
    assert sorted(plan.labels().bincount().tolist()) == [9, 9, 10, 10, 10, 12]
    labels = balanced_labels(plan)
    assert labels.bincount().tolist() == [10] * 6
    exact = [int(c) for c in "043325143052441350225311425031152334011234500124521542000543"]
    assert labels.tolist() == exact
    cost = -torch.log_softmax(logits, 1).gather(1, labels[:, None]).mean().item()
    assert cost == pytest.approx(0.673188, abs=1e-6)


def test_rounding_is_optimal_from_any_scalings() -> None:
    plan = plan_of(wave(60, 6, 3))
    poor = plan._replace(scalings=torch.zeros(6, dtype=torch.float64))
    assert torch.equal(balanced_labels(poor), balanced_labels(plan))


def test_wanted_sizes() -> None:
    plan = plan_of(wave(13, 3, 2))
    assert balanced_labels(plan).bincount().tolist() == [5, 4, 4]
    assert balanced_labels(plan, [0, 13, 0]).tolist() == [1] * 13
    with pytest.raises(ConfigError, match="sum to 13"):
        balanced_labels(plan, [5, 5, 5])


def test_exact_rounding_of_equal_costs_and_of_many() -> None:
    assert balanced_labels(plan_of(torch.zeros(300, 7))).bincount().tolist() == [43] * 6 + [42]
    logits = wave(700, 9, 5)
    labels = balanced_labels(plan_of(logits))
    assert labels.bincount().tolist() == [78] * 7 + [77] * 2
    cost = -torch.log_softmax(logits, dim=1)
    slots = torch.arange(9).repeat_interleave(labels.bincount())
    rows, chosen = linear_sum_assignment(cost[:, slots].numpy())
    best = float(cost[torch.from_numpy(rows), slots[torch.from_numpy(chosen)]].sum())
    assert float(cost.gather(1, labels[:, None]).sum()) == pytest.approx(best, rel=1e-9)
