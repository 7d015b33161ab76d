"""Transport from a bank to clusters: the published iterates, and what they are extended by."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from motet.core.errors import ConfigError
from motet.losses import balanced_assignment
from motet.methods.discovery import balanced_labels, transport


def wave(rows: int, columns: int, scale: float, dtype: torch.dtype = torch.float64) -> Tensor:
    n, k = torch.arange(rows, dtype=dtype)[:, None], torch.arange(columns, dtype=dtype)[None]
    return scale * torch.cos(0.7 * n + 1.3 * k + 0.1 * n * k)


@pytest.mark.parametrize(
    ("rows", "columns", "scale", "iterations"), [(6, 3, 1, 61), (10, 4, 1, 51), (12, 4, 2, 100), (60, 6, 3, 100)]
)
def test_published_iterates(rows: int, columns: int, scale: float, iterations: int) -> None:
    logits = wave(rows, columns, scale)
    plan = transport(logits)
    assert plan.iterations == iterations
    torch.testing.assert_close(plan.rows(), balanced_assignment(logits), rtol=0, atol=1e-12)


def test_published_values() -> None:
    plan = transport(wave(6, 3, 1), power=1.0)
    assert plan.iterations == 11
    expected = torch.tensor([0.524519, 0.398467, 0.077014], dtype=torch.float64)
    torch.testing.assert_close(plan.rows()[0], expected, rtol=0, atol=1e-6)
    assert plan.labels().tolist() == [0, 0, 0, 2, 2, 1]
    converged = transport(wave(6, 3, 1), max_iterations=5000, tolerance=1e-13).rows()
    expected = torch.tensor([0.887628, 0.091732, 0.020640], dtype=torch.float64)
    torch.testing.assert_close(converged[2], expected, rtol=0, atol=1e-6)


def test_published_balance_and_exact_rounding() -> None:
    logits = wave(60, 6, 3)
    plan = transport(logits)
    assert sorted(plan.labels().bincount().tolist()) == [9, 9, 10, 10, 10, 12]
    labels = balanced_labels(plan)
    assert labels.bincount().tolist() == [10] * 6
    exact = [int(c) for c in "043325143052441350225311425031152334011234500124521542000543"]
    assert labels.tolist() == exact
    cost = -torch.log_softmax(logits, 1).gather(1, labels[:, None]).mean().item()
    assert cost == pytest.approx(0.673188, abs=1e-6)


def test_rounding_is_optimal_from_any_prices() -> None:
    plan = transport(wave(60, 6, 3))
    poor = plan._replace(prices=torch.zeros(6, dtype=torch.float64))
    assert torch.equal(balanced_labels(poor), balanced_labels(plan))


def test_wanted_sizes() -> None:
    plan = transport(wave(13, 3, 2))
    assert balanced_labels(plan).bincount().tolist() == [5, 4, 4]
    assert balanced_labels(plan, [0, 13, 0]).tolist() == [1] * 13
    with pytest.raises(ConfigError, match="sum to 13"):
        balanced_labels(plan, [5, 5, 5])


def test_never_nan() -> None:
    logits = wave(64, 8, 10, torch.float32)
    logits[:, 0] -= 10
    assert transport(logits).labels().bincount().tolist() == [8, 8, 8, 8, 8, 7, 9, 8]
    for power in (500.0, 5000.0):
        assert transport(wave(60, 6, 3), power=power).rows().isfinite().all()
    sure = torch.full((4, 3), -math.inf)
    sure[torch.arange(4), torch.tensor([0, 1, 2, 0])] = 0
    assert transport(sure).rows().isfinite().all()


def test_constant_logits_say_nothing() -> None:
    torch.testing.assert_close(transport(torch.zeros(9, 4)).rows(), torch.full((9, 4), 0.25))


def test_a_warm_start_goes_on() -> None:
    logits = wave(60, 6, 3)
    first = transport(logits)
    again = transport(logits, prices=first.prices)
    assert again.iterations < 10
    converged = transport(logits, max_iterations=10000, tolerance=1e-13).rows()
    assert (again.rows() - converged).abs().max() <= (first.rows() - converged).abs().max()


def test_unequal_sizes() -> None:
    shares = torch.tensor([0.4, 0.2, 0.1, 0.1, 0.1, 0.1])
    sizes = transport(wave(60, 6, 3), shares=shares, max_iterations=1000, tolerance=1e-9).rows().sum(0)
    torch.testing.assert_close(sizes, 60 * shares.double(), rtol=1e-5, atol=0)


def test_less_balance_departs_from_equal_sizes() -> None:
    logits = wave(200, 4, 1)
    logits[:, 0] += 1
    spread = [float(transport(logits, balance=b).rows().sum(0).std()) for b in (1.0, 0.5, 0.05)]
    assert spread[0] < 0.1 < spread[1] < spread[2]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"balance": 0.0}, "balance"),
        ({"power": -1.0}, "power"),
        ({"shares": torch.ones(2)}, "shares"),
        ({"max_iterations": 0}, "max_iterations"),
    ],
)
def test_refused_options(options: dict[str, object], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        transport(torch.zeros(4, 3), **options)  # type: ignore[arg-type]


def test_refused_logits() -> None:
    with pytest.raises(ConfigError, match="NaN"):
        transport(torch.full((4, 3), math.nan))


def test_a_warm_start_bears_what_a_cold_one_bears() -> None:
    logits = wave(60, 6, 3)
    prices = transport(logits).prices
    expected = transport(logits, prices=prices, max_iterations=5).rows()
    shifted = transport(logits + 7 * torch.arange(60.0)[:, None], prices=prices, max_iterations=5).rows()
    torch.testing.assert_close(shifted, expected)
    logits[:, 0] = -math.inf
    assert transport(logits, prices=prices).rows().isfinite().all()
    for bad in (math.nan, math.inf):
        logits[3, 2] = bad
        with pytest.raises(ConfigError, match="NaN or infinity"):
            transport(logits, prices=prices)


def test_a_few_warm_iterations_balance_better_than_many_from_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    classes = torch.multinomial(1 / torch.arange(1.0, 13), 1500, replacement=True, generator=generator)
    centres = torch.nn.functional.normalize(torch.randn(12, 32, generator=generator), dim=1)
    bank = 6 * centres[classes] + 0.6 * torch.randn(1500, 32, generator=generator)
    prices = transport(bank @ centres.T).prices
    for _ in range(30):
        # the share of a bank of 18,841 that a batch of 128 renews
        rows = torch.randperm(1500, generator=generator)[:10]
        bank[rows] += 0.2 * torch.randn(10, 32, generator=generator)
        logits = bank @ centres.T
        plan = transport(logits, prices=prices, max_iterations=5)
        prices = plan.prices
    off = [float((p.rows().sum(0) - 125).abs().sum()) for p in (transport(logits), plan)]
    assert off[1] < 0.7 * off[0]
    exact = transport(logits, prices=prices, max_iterations=20_000, tolerance=1e-6).labels()
    agreement = [float((p.labels() == exact).double().mean()) for p in (transport(logits), plan)]
    assert agreement[1] > agreement[0]


def test_exact_rounding_of_equal_costs_and_of_many() -> None:
    assert balanced_labels(transport(torch.zeros(300, 7))).bincount().tolist() == [43] * 6 + [42]
    logits = wave(700, 9, 5)
    labels = balanced_labels(transport(logits))
    assert labels.bincount().tolist() == [78] * 7 + [77] * 2
    cost = -torch.log_softmax(logits, dim=1)
    slots = torch.arange(9).repeat_interleave(labels.bincount())
    rows, chosen = linear_sum_assignment(cost[:, slots].numpy())
    best = float(cost[torch.from_numpy(rows), slots[torch.from_numpy(chosen)]].sum())
    assert float(cost.gather(1, labels[:, None]).sum()) == pytest.approx(best, rel=1e-9)
