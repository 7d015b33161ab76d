from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from motet.core.errors import ConfigError
from motet.losses import balanced_assignment, pair_consistency, pair_likelihood, rank_statistics_pairs

close = pytest.approx


def grid(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    n, k = torch.meshgrid(
        torch.arange(rows, dtype=torch.float64), torch.arange(columns, dtype=torch.float64), indexing="ij"
    )
    return n, k


def waves(rows: int, columns: int, scale: float) -> Tensor:
    n, k = grid(rows, columns)
    return scale * torch.cos(0.7 * n + 1.3 * k + 0.1 * n * k)


def power_form(logits: Tensor, power: float, most: int = 100, tolerance: float = 1e-2) -> tuple[Tensor, int]:
    """The released loop on softmax(logits) ** power, and its number of iterations."""
    kernel = torch.softmax(logits, dim=1) ** power
    rows, columns = kernel.shape
    u, v, change, count = None, torch.full((rows,), 1 / rows, dtype=kernel.dtype), 1e3, 0
    while change > tolerance and count < most:
        u = (1 / columns) / (kernel.T @ v)
        new = (1 / rows) / (kernel @ u)
        if count % 10 == 0:
            change = float(torch.nansum((v / new - 1).abs()))
        v, count = new, count + 1
    assert u is not None
    return rows * v[:, None] * kernel * u, count


def log_form(logits: Tensor, power: float, iterations: int) -> Tensor:
    """The same loop in logarithms, a fixed number of times."""
    kernel = power * torch.log_softmax(logits, dim=1)
    rows, columns = kernel.shape
    f = torch.full((rows, 1), -math.log(rows), dtype=kernel.dtype)
    g = torch.zeros(columns, dtype=kernel.dtype)
    for _ in range(iterations):
        g = -math.log(columns) - torch.logsumexp(kernel + f, dim=0)
        f = -math.log(rows) - torch.logsumexp(kernel + g, dim=1, keepdim=True)
    return rows * torch.exp(kernel + f + g)


def table(*rows: str) -> Tensor:
    return torch.tensor([[float(x) for x in row.split()] for row in rows], dtype=torch.float64)


GOLDEN = {
    "power 1": (
        {"power": 1.0},
        table(
            ".524519 .398467 .077014", ".619005 .274807 .106188", ".478849 .241798 .279353",
            ".206911 .231986 .561102", ".092431 .303544 .604025", ".078285 .549398 .372317",
        ),
        [0, 0, 0, 2, 2, 1],
        11,
    ),
    "power 10": (
        {"power": 10.0},
        table(
            ".139984 .860016 .000000", ".972252 .027748 .000000", ".885937 .091637 .022426",
            ".000008 .002520 .997471", ".000000 .017472 .982528", ".000000 .998821 .001179",
        ),
        [1, 0, 0, 2, 2, 1],
        61,
    ),
    "converged": (
        {"power": 10.0, "max_iterations": 2000, "tolerance": 1e-13},
        table(
            ".140088 .859912 0", ".972275 .027725 0", ".887628 .091732 .020640",
            ".000009 .002740 .997250", "0 .018975 .981025", "0 .998916 .001084",
        ),
        [1, 0, 0, 2, 2, 1],
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_small_plan(name: str) -> None:
    options, want, labels, iterations = GOLDEN[name]
    logits = waves(6, 3, 1)
    got = balanced_assignment(logits, **options)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-6)
    torch.testing.assert_close(balanced_assignment(logits.float(), **options), want.float(), rtol=0, atol=1e-5)
    assert got.argmax(dim=1).tolist() == labels
    if iterations is None:
        torch.testing.assert_close(got.sum(dim=0), torch.full((3,), 2.0, dtype=torch.float64), rtol=0, atol=1e-12)
    else:  # it stopped where the released loop stops: neither earlier nor later iterates are these
        assert power_form(logits, options["power"])[1] == iterations
        torch.testing.assert_close(got, log_form(logits, options["power"], iterations), rtol=1e-10, atol=1e-14)


def test_golden_column_sums() -> None:
    assert balanced_assignment(waves(6, 3, 1)).sum(0).tolist() == close([1.998181, 1.998214, 2.003604], abs=1e-6)
    got = balanced_assignment(waves(12, 4, 2))
    assert got.sum(0).tolist() == close([3.003927, 2.989214, 3.002920, 3.003938], abs=1e-6)
    assert got.argmax(1).tolist() == [0, 0, 3, 3, 2, 1, 1, 1, 3, 0, 2, 2]
    assert got[8].tolist() == close([0.230846, 0.027720, 0.0, 0.741434], abs=1e-6)
    torch.testing.assert_close(got, log_form(waves(12, 4, 2), 10, 100), rtol=0, atol=1e-12)


def test_golden_ten_by_four() -> None:
    got = balanced_assignment(waves(10, 4, 1))
    assert got[0].tolist() == close([0.883289, 0.116710, 0.000001, 0.0], abs=1e-6)
    assert got[2].tolist() == close([0.000194, 0.0, 0.000220, 0.999586], abs=1e-6)
    assert got[8].tolist() == close([0.230755, 0.091881, 0.000001, 0.677363], abs=1e-6)
    assert got.argmax(1).bincount().tolist() == [2, 2, 3, 3]


def test_golden_balance_against_the_exact_assignment() -> None:
    logits = waves(60, 6, 3)
    cost = -torch.log_softmax(logits, dim=1)
    assert logits.argmax(1).bincount().tolist() == [13, 7, 7, 10, 9, 14]
    rows, slots = linear_sum_assignment(cost.repeat_interleave(10, dim=1).numpy())
    exact = torch.from_numpy(slots // 10)
    assert float(cost[torch.from_numpy(rows), exact].mean()) == close(0.673188, abs=1e-6)
    agreement = {1.0: 0.9167, 10.0: 0.9667, 50.0: 1.0}
    for power, value in ((1.0, 1.079570), (10.0, 0.682749), (50.0, 0.673959)):
        plan = balanced_assignment(logits, power=power, max_iterations=20_000, tolerance=1e-9)
        assert float((plan * cost).sum() / 60) == close(value, abs=1e-5)
        assert float((plan.argmax(1) == exact).double().mean()) == close(agreement[power], abs=1e-4)
    paper = balanced_assignment(logits)
    assert paper.argmax(1).bincount().tolist() == [10, 9, 12, 9, 10, 10]
    differ = (paper.argmax(1) != exact).nonzero().squeeze(1)
    assert differ.tolist() == [33, 50]
    assert paper.argmax(1)[differ].tolist() == [2, 2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_where_the_power_form_is_nan(dtype: torch.dtype) -> None:
    sharp = waves(60, 6, 3).to(dtype)
    assert power_form(sharp, 500)[0].isnan().all()
    got = balanced_assignment(sharp, power=500)
    assert got.isfinite().all()
    torch.testing.assert_close(got.double(), log_form(sharp.double(), 500, 100), rtol=0, atol=2e-2)
    starved = waves(64, 8, 10).to(dtype)
    starved[:, 0] -= 10
    if dtype == torch.float32:
        assert power_form(starved, 10)[0].isnan().all()
    assert balanced_assignment(starved).argmax(1).bincount().tolist() == [8, 8, 8, 8, 8, 7, 9, 8]


@settings(max_examples=60)
@given(
    st.integers(0, 10**6),
    st.integers(1, 40),
    st.integers(1, 8),
    st.sampled_from([0.01, 1.0, 5.0, 50.0, 1000.0]),
    st.sampled_from([1.0, 10.0, 100.0]),
    st.sampled_from([1, 2, 11, 12, 40]),
)
def test_equal_to_the_logarithmic_loop(
    seed: int, rows: int, columns: int, scale: float, power: float, iterations: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    # a tolerance that is never met: the number of iterations is given
    got = balanced_assignment(logits, power=power, max_iterations=iterations, tolerance=-1)
    want = log_form(logits, power, iterations)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-13 * max(1e3, scale * power * iterations))
    torch.testing.assert_close(got.sum(dim=1), torch.ones(rows, dtype=torch.float64), rtol=0, atol=1e-12)
    single = balanced_assignment(logits.float(), power=power, max_iterations=iterations, tolerance=-1)
    assert single.isfinite().all()
    torch.testing.assert_close(single.sum(dim=1), torch.ones(rows), rtol=0, atol=1e-6)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(2, 30), st.integers(2, 6), st.sampled_from([1.0, 5.0, 30.0]))
def test_symmetries(seed: int, rows: int, columns: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    want = balanced_assignment(logits, max_iterations=31)
    shift = 100 * torch.randn(rows, 1, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(balanced_assignment(logits + shift, max_iterations=31), want, rtol=0, atol=1e-9)
    p, q = torch.randperm(rows, generator=generator), torch.randperm(columns, generator=generator)
    torch.testing.assert_close(
        balanced_assignment(logits[p][:, q], max_iterations=31), want[p][:, q], rtol=0, atol=1e-9
    )


def test_equal_to_the_power_form_where_that_works() -> None:
    generator = torch.Generator().manual_seed(0)
    for scale, rows in ((0.1, 200), (1.0, 500), (3.0, 301)):
        logits = scale * torch.randn(rows, 11, generator=generator, dtype=torch.float64)
        want, _ = power_form(logits, 10)
        torch.testing.assert_close(balanced_assignment(logits), want, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(balanced_assignment(logits.float()).double(), want, rtol=0, atol=1e-5)


def test_a_bias_of_the_clusters_does_not_matter_at_convergence() -> None:
    logits = waves(12, 4, 1)
    biased = logits + torch.tensor([3.0, -1.0, 0.5, 2.0], dtype=torch.float64)
    options = {"power": 4.0, "max_iterations": 5000, "tolerance": 1e-13}
    want = balanced_assignment(logits, **options)  # type: ignore[arg-type]
    torch.testing.assert_close(balanced_assignment(biased, **options), want, rtol=0, atol=1e-11)  # type: ignore[arg-type]
    early = [balanced_assignment(x, power=4.0, max_iterations=1) for x in (logits, biased)]
    assert not torch.allclose(*early, atol=1e-3)


def test_degenerate_logits() -> None:
    for rows, columns in ((1, 1), (1, 5), (3, 7), (8, 4), (5, 1)):
        got = balanced_assignment(torch.full((rows, columns), 3.0))
        torch.testing.assert_close(got, torch.full((rows, columns), 1 / columns))
    certain = torch.full((6, 3), -math.inf)
    certain[torch.arange(6), torch.arange(6) % 3] = 0.0
    want = torch.nn.functional.one_hot(torch.arange(6) % 3).float()
    torch.testing.assert_close(balanced_assignment(certain), want)
    torch.testing.assert_close(balanced_assignment(1e4 * want), want)
    # a cluster that nobody wants still gets its share, and every sample of one mind is split
    for hopeless in (torch.tensor([[0.0, -math.inf]]).expand(8, 2), torch.tensor([[5e5, 0.0]]).expand(8, 2)):
        got = balanced_assignment(hopeless)
        torch.testing.assert_close(got, torch.full((8, 2), 0.5), rtol=0, atol=1e-3)
    for peak in (30.0, 1e3, 1e6):
        logits = peak * torch.randn(300, 10, generator=torch.Generator().manual_seed(0))
        got = balanced_assignment(logits)
        assert got.isfinite().all()
        assert len(got.argmax(1).unique()) == 10


def test_assignment_is_a_constant_and_leaves_the_logits() -> None:
    logits = waves(6, 3, 1).requires_grad_()
    before = logits.detach().clone()
    assert not balanced_assignment(logits).requires_grad
    assert torch.equal(logits.detach(), before)
    assert balanced_assignment(logits.half()).dtype == torch.float32
    # rows read in another order of memory
    torch.testing.assert_close(balanced_assignment(before.T.contiguous().T), balanced_assignment(before))


def test_assignment_refusals() -> None:
    for bad in (torch.empty(0, 3), torch.empty(3, 0), torch.zeros(3)):
        with pytest.raises(ConfigError, match="at least one row"):
            balanced_assignment(bad)
    with pytest.raises(ConfigError, match="NaN"):
        balanced_assignment(torch.tensor([[0.0, math.nan]]))
    with pytest.raises(ConfigError, match="NaN"):
        balanced_assignment(torch.tensor([[0.0, math.inf], [0.0, 1.0]]))
    for options in ({"max_iterations": 0}, {"power": 0.0}):
        with pytest.raises(ConfigError, match="max_iterations"):
            balanced_assignment(torch.zeros(2, 2), **options)  # type: ignore[arg-type]


def branches() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    n, k = grid(6, 3)
    second = torch.sin(0.5 * n + 0.9 * k + 0.2 * n * k)
    labels = torch.tensor([[0, 0, 1, 2, 2, 1], [0, 1, 1, 2, 2, 2]])
    return waves(6, 3, 1).requires_grad_(), second.requires_grad_(), labels[0], labels[1]


def naive_consistency(logits: Tensor, labels: Tensor) -> Tensor:
    p = torch.softmax(logits, dim=1)
    rows = []
    for i in range(len(p)):
        similarity = torch.stack([(p[i] * p[j]).sum().clamp(1e-8, 1 - 1e-8) for j in range(len(p))])
        mates = [j for j in range(len(p)) if labels[j] == labels[i]]
        rows.append(-torch.log(similarity[mates] / similarity.sum()).mean())
    return torch.stack(rows).mean()


def test_golden_consistency() -> None:
    z0, z1, y0, y1 = branches()
    first, second = pair_consistency(z0, y1), pair_consistency(z1, y0)
    assert first.item() == close(1.537172, abs=1e-6)
    assert second.item() == close(1.667088, abs=1e-6)
    assert (first + second).item() == close(3.204261, abs=1e-6)
    assert cross_entropy(z0, y0).item() == close(0.728274, abs=1e-6)
    assert cross_entropy(z1, y1).item() == close(1.503587, abs=1e-6)
    (first + second).backward()
    assert z0.grad is not None
    assert z1.grad is not None
    assert z0.grad[0].tolist() == close([-0.040108, 0.009685, 0.030423], abs=1e-6)
    assert z0.grad[3].tolist() == close([0.052158, 0.002273, -0.054431], abs=1e-6)
    assert z1.grad[1].tolist() == close([0.067785, -0.041063, -0.026722], abs=1e-6)


def test_golden_shares_and_rows() -> None:
    z0, z1, y0, _ = branches()
    p = torch.softmax(z0.detach(), dim=1)
    shares = normalize(p @ p.T, p=1, dim=1)
    assert shares[0].tolist() == close([0.233980, 0.242556, 0.196638, 0.118969, 0.093824, 0.114034], abs=1e-6)
    # rows of the second term: the loss of a batch in which all other rows are removed from the mean
    q = torch.softmax(z1.detach(), dim=1)
    logs = normalize(q @ q.T, p=1, dim=1).log()
    same = y0[:, None] == y0[None]
    rows = -(logs * same).sum(1) / same.sum(1)
    assert rows.tolist() == close([1.609368, 1.732502, 1.782746, 1.576842, 1.548716, 1.752356], abs=1e-6)
    assert pair_likelihood(q @ q.T, same).item() == close(rows.mean().item(), rel=1e-12)


def test_closed_forms_of_consistency() -> None:
    pairs = torch.arange(8) // 2
    certain = 100.0 * torch.nn.functional.one_hot(pairs).double()
    assert pair_consistency(certain, pairs).item() == close(math.log(2), abs=1e-6)
    assert pair_consistency(torch.zeros(8, 4, dtype=torch.float64), pairs).item() == close(math.log(8), abs=1e-12)
    distinct = 100.0 * torch.eye(8, dtype=torch.float64)
    assert pair_consistency(distinct, torch.arange(8)).item() == close(0.0, abs=1e-6)
    contrary = 100.0 * torch.nn.functional.one_hot(torch.arange(8) % 4).double()
    assert pair_consistency(contrary, pairs).item() == close((math.log(2) + math.log(2e8)) / 2, abs=1e-6)
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    best = 100.0 * torch.nn.functional.one_hot(labels).double()
    assert pair_consistency(best, labels).item() == close(0.780355, abs=1e-5)
    assert pair_consistency(torch.tensor([[0.3, 0.7]]), torch.tensor([4])).item() == 0


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 6), st.sampled_from([0.1, 1.0, 10.0]))
def test_consistency_oracle_and_invariance(seed: int, count: int, clusters: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(count, clusters, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, clusters, (count,), generator=generator)
    logits.requires_grad_()
    loss = pair_consistency(logits, labels)
    want = naive_consistency(logits, labels)
    torch.testing.assert_close(loss, want, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(
        torch.autograd.grad(loss, logits)[0], torch.autograd.grad(want, logits)[0], rtol=1e-7, atol=1e-10
    )
    names = torch.randperm(clusters, generator=generator)
    torch.testing.assert_close(pair_consistency(logits[:, names], names[labels]), loss)
    order = torch.randperm(count, generator=generator)
    torch.testing.assert_close(pair_consistency(logits[order], labels[order]), loss)
    mates = labels.bincount()[labels].double()
    assert loss >= mates.log().mean() - 1e-6


def test_consistency_of_saturated_logits_is_finite() -> None:
    labels = torch.arange(8) // 2
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        logits = (6e4 * torch.nn.functional.one_hot(torch.arange(8) % 4)).to(dtype).requires_grad_()
        loss = pair_consistency(logits, labels)
        loss.backward()
        assert loss.dtype == torch.float32
        assert loss.item() == close(9.903488, abs=1e-4)
        assert logits.grad is not None
        assert logits.grad.isfinite().all()


def features() -> Tensor:
    i, j = grid(6, 12)
    return torch.relu(torch.cos(0.9 * i + 0.8 * j + 0.05 * i * j))


def sets(pairs_of: Tensor, k: int) -> list[set[int]]:
    return [set(sorted(range(len(row)), key=lambda j: (-abs(float(row[j])), j))[:k]) for row in pairs_of]


def test_golden_rank_statistics() -> None:
    f = features()
    three = [{0, 7, 8}, {0, 6, 7}, {4, 5, 11}, {4, 10, 11}, {2, 3, 9}, {2, 7, 8}]
    assert sets(f, 3) == three
    assert torch.equal(rank_statistics_pairs(f, k=3), torch.eye(6, dtype=torch.bool))
    five = [{0, 1, 7, 8, 9}, {0, 5, 6, 7, 8}, {3, 4, 5, 10, 11}, {2, 3, 8, 9, 10}, {1, 2, 3, 7, 8}]
    assert [s for i, s in enumerate(sets(f, 5)) if i != 2] == five
    # row 2 has four non-zero features: the fifth is a tie among zeros, and the lowest index takes it
    mark = torch.zeros(1, 12, dtype=torch.float64)
    mark[0, [0, *f[2].nonzero().squeeze(1).tolist()]] = 1.0
    assert len(mark.nonzero()) == 5
    assert rank_statistics_pairs(torch.cat([f[2:3], mark]), k=5).all()
    z0 = branches()[0]
    assert pair_consistency(z0, rank_statistics_pairs(f, k=3)).item() == close(1.499186, abs=1e-6)
    unit = normalize(f, dim=1)
    y0 = branches()[2]
    assert pair_likelihood(unit @ unit.T, y0[:, None] == y0[None]).item() == close(4.159234, abs=1e-6)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 6), st.booleans())
def test_rank_statistics_are_equal_sets(seed: int, count: int, width: int, ties: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    f = torch.randn(count, width, generator=generator)
    f = f.round() if ties else f
    for k in range(1, width + 1):
        top = sets(f, k)
        want = torch.tensor([[a == b for a in top] for b in top])
        got = rank_statistics_pairs(f, k=k)
        assert got.dtype == torch.bool
        assert torch.equal(got, want)
    assert torch.equal(rank_statistics_pairs(-f, k=1), rank_statistics_pairs(f.bfloat16().float() * 0 + f, k=1))


def test_pair_refusals() -> None:
    for k in (0, 13):
        with pytest.raises(ConfigError, match=r"1\.\.12"):
            rank_statistics_pairs(features(), k=k)
    with pytest.raises(ConfigError, match=r"\(n, n\)"):
        pair_consistency(torch.zeros(4, 3), torch.zeros(5, dtype=torch.long))
    with pytest.raises(ConfigError, match=r"\(n, n\)"):
        pair_likelihood(torch.ones(2, 3), torch.ones(2, 3, dtype=torch.bool))
