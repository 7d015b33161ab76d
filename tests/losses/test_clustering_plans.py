"""Transport plans in factored form: warm starts, unequal and relaxed sizes."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from motet.core.errors import ConfigError
from motet.losses import balanced_assignment
from tests.losses.test_clustering import waves

plan_of = partial(balanced_assignment, return_plan=True)


@pytest.mark.parametrize(
    ("rows", "columns", "scale", "iterations"), [(6, 3, 1, 61), (10, 4, 1, 51), (12, 4, 2, 100), (60, 6, 3, 100)]
)
def test_plans_hold_the_published_iterates(rows: int, columns: int, scale: float, iterations: int) -> None:
    logits = waves(rows, columns, scale)
    plan = plan_of(logits)
    assert plan.iterations == iterations
    torch.testing.assert_close(plan.rows(), balanced_assignment(logits), rtol=0, atol=1e-12)


def test_published_values_of_plans() -> None:
    plan = plan_of(waves(6, 3, 1), power=1.0)
    assert plan.iterations == 11
    expected = torch.tensor([0.524519, 0.398467, 0.077014], dtype=torch.float64)
    torch.testing.assert_close(plan.rows()[0], expected, rtol=0, atol=1e-6)
    assert plan.labels().tolist() == [0, 0, 0, 2, 2, 1]
    converged = plan_of(waves(6, 3, 1), max_iterations=5000, tolerance=1e-13).rows()
    expected = torch.tensor([0.887628, 0.091732, 0.020640], dtype=torch.float64)
    torch.testing.assert_close(converged[2], expected, rtol=0, atol=1e-6)


def test_plans_are_never_nan() -> None:
    logits = waves(64, 8, 10).float()
    logits[:, 0] -= 10
    assert plan_of(logits).labels().bincount().tolist() == [8, 8, 8, 8, 8, 7, 9, 8]
    for power in (500.0, 5000.0):
        assert plan_of(waves(60, 6, 3), power=power).rows().isfinite().all()
    sure = torch.full((4, 3), -math.inf)
    sure[torch.arange(4), torch.tensor([0, 1, 2, 0])] = 0
    assert plan_of(sure).rows().isfinite().all()


def test_constant_logits_say_nothing() -> None:
    torch.testing.assert_close(plan_of(torch.zeros(9, 4)).rows(), torch.full((9, 4), 0.25))


def test_a_warm_start_goes_on() -> None:
    logits = waves(60, 6, 3)
    first = plan_of(logits)
    again = plan_of(logits, warm_start=first.scalings)
    assert again.iterations < 10
    converged = plan_of(logits, max_iterations=10000, tolerance=1e-13).rows()
    assert (again.rows() - converged).abs().max() <= (first.rows() - converged).abs().max()


def test_unequal_sizes() -> None:
    marginals = torch.tensor([0.4, 0.2, 0.1, 0.1, 0.1, 0.1])
    sizes = plan_of(waves(60, 6, 3), marginals=marginals, max_iterations=1000, tolerance=1e-9).rows().sum(0)
    torch.testing.assert_close(sizes, 60 * marginals.double(), rtol=1e-5, atol=0)


def test_less_balance_departs_from_equal_sizes() -> None:
    logits = waves(200, 4, 1)
    logits[:, 0] += 1
    spread = [float(plan_of(logits, relaxation=b).rows().sum(0).std()) for b in (1.0, 0.5, 0.05)]
    assert spread[0] < 0.1 < spread[1] < spread[2]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"relaxation": 0.0}, "relaxation"),
        ({"power": -1.0}, "power"),
        ({"marginals": torch.ones(2)}, "marginals"),
        ({"max_iterations": 0}, "max_iterations"),
    ],
)
def test_refused_options(options: dict[str, object], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        plan_of(torch.zeros(4, 3), **options)  # type: ignore[arg-type]


def test_refused_logits() -> None:
    with pytest.raises(ConfigError, match="NaN"):
        plan_of(torch.full((4, 3), math.nan))


def test_a_warm_start_bears_what_a_cold_one_bears() -> None:
    logits = waves(60, 6, 3)
    scalings = plan_of(logits).scalings
    expected = plan_of(logits, warm_start=scalings, max_iterations=5).rows()
    shifted = plan_of(logits + 7 * torch.arange(60.0)[:, None], warm_start=scalings, max_iterations=5).rows()
    torch.testing.assert_close(shifted, expected)
    logits[:, 0] = -math.inf
    assert plan_of(logits, warm_start=scalings).rows().isfinite().all()
    for bad in (math.nan, math.inf):
        logits[3, 2] = bad
        with pytest.raises(ConfigError, match="NaN or infinity"):
            plan_of(logits, warm_start=scalings)


def test_a_few_warm_iterations_balance_better_than_many_from_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    classes = torch.multinomial(1 / torch.arange(1.0, 13), 1500, replacement=True, generator=generator)
    centres = torch.nn.functional.normalize(torch.randn(12, 32, generator=generator), dim=1)
    bank = 6 * centres[classes] + 0.6 * torch.randn(1500, 32, generator=generator)
    scalings = plan_of(bank @ centres.T).scalings
    for _ in range(30):
        # the share of a bank of 18,841 that a batch of 128 renews
        rows = torch.randperm(1500, generator=generator)[:10]
        bank[rows] += 0.2 * torch.randn(10, 32, generator=generator)
        logits = bank @ centres.T
        plan = plan_of(logits, warm_start=scalings, max_iterations=5)
        scalings = plan.scalings
    off = [float((p.rows().sum(0) - 125).abs().sum()) for p in (plan_of(logits), plan)]
    assert off[1] < 0.7 * off[0]
    exact = plan_of(logits, warm_start=scalings, max_iterations=20_000, tolerance=1e-6).labels()
    agreement = [float((p.labels() == exact).double().mean()) for p in (plan_of(logits), plan)]
    assert agreement[1] > agreement[0]
