"""Spherical k-means: golden values, optimality, edges."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from motet.core.errors import ConfigError
from motet.memory.kmeans import _better, _iterate, _plus_plus, spherical_kmeans
from tests.losses.test_hallucination import cos, unit


def blobs(seed: int, clusters: int = 4, each: int = 12, width: int = 6, noise: float = 0.15) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    centres = normalize(torch.randn(clusters, width, generator=generator, dtype=torch.float64), dim=1)
    owner = torch.arange(clusters).repeat(each)
    noisy = centres[owner] + noise * torch.randn(len(owner), width, generator=generator, dtype=torch.float64)
    return normalize(noisy, dim=1), owner


def naive(x: Tensor, start: Tensor, iterations: int) -> tuple[Tensor, list[int], float]:
    """Lloyd's algorithm row by row."""
    centres = start.clone()
    for _ in range(iterations):
        owner = [max(range(len(centres)), key=lambda j: float(row @ centres[j])) for row in x]
        for j in range(len(centres)):
            members = [x[i] for i, o in enumerate(owner) if o == j]
            centres[j] = torch.stack(members).sum(0) / torch.stack(members).sum(0).norm()
    owner = [max(range(len(centres)), key=lambda j: float(row @ centres[j])) for row in x]
    angles = [float((row @ centres[o]).clamp(-1, 1).acos()) for row, o in zip(x, owner, strict=True)]
    return centres, owner, sum(a * a for a in angles)


def test_golden_clusters() -> None:
    x = unit(cos(12, 8, 0.5, 0))
    found = spherical_kmeans(x, 3, start=x[[0, 4, 8]])
    assert found.assignment.tolist() == [0, 2, 2, 2, 1, 0, 1, 1, 2, 0, 0, 0]
    want = [[0.542678, 0.395655, -0.374563], [-0.653442, 0.249435, 0.186860], [0.001686, -0.811123, 0.086092]]
    torch.testing.assert_close(found.centres[:, :3], torch.tensor(want).double(), rtol=0, atol=2e-5)
    assert found.inertia.item() == pytest.approx(14.139885, abs=2e-5)
    assert found.inertia.item() == pytest.approx(14.095209, rel=0.02)  # Riemannian k-means of geomstats 2.5
    two, many = (spherical_kmeans(x, 3, start=x[[0, 4, 8]], iterations=i) for i in (2, 50))
    assert torch.equal(two.centres, many.centres)  # it stops at the second


@pytest.mark.parametrize("iterations", [0, 1, 3])
def test_it_is_lloyds_algorithm(iterations: int) -> None:
    x, _ = blobs(1)
    start = x[:4]
    centres, owner, inertia = naive(x, start, iterations)
    found = spherical_kmeans(x, 4, start=start, iterations=iterations)
    assert found.assignment.tolist() == owner
    torch.testing.assert_close(found.centres, centres)
    assert found.inertia.item() == pytest.approx(inertia, rel=1e-9)


def test_clear_clusters_are_found_and_restarts_help() -> None:
    x, owner = blobs(3, clusters=6, noise=0.05)
    found = spherical_kmeans(x, 6, restarts=8, seed=1)
    for c in range(6):
        assert len(set(found.assignment[owner == c].tolist())) == 1
    single = [spherical_kmeans(x, 6, seed=s, iterations=1).inertia.item() for s in range(8)]
    several = [spherical_kmeans(x, 6, seed=s, iterations=1, restarts=6).inertia.item() for s in range(8)]
    assert all(b <= a for a, b in zip(single, several, strict=True))
    assert sum(several) < sum(single)


def test_problems_side_by_side_are_those_alone() -> None:
    x = torch.stack([blobs(s)[0] for s in (5, 6)])
    start = x[:, :4]
    both = spherical_kmeans(x, 4, start=start)
    for i in range(2):
        alone = spherical_kmeans(x[i], 4, start=start[i])
        assert torch.equal(both.assignment[i], alone.assignment)
        torch.testing.assert_close(both.centres[i], alone.centres)
        torch.testing.assert_close(both.inertia[i], alone.inertia)
    drawn = spherical_kmeans(x.expand(3, 2, -1, -1), 4, restarts=2)
    assert drawn.centres.shape == (3, 2, 4, 6)
    assert drawn.assignment.shape == (3, 2, 48)
    assert drawn.inertia.shape == (3, 2)


def test_starts_are_keyed_by_the_seed() -> None:
    x = normalize(torch.randn(64, 5, generator=torch.Generator().manual_seed(0)), dim=1)
    one, same, other = (spherical_kmeans(x, 8, seed=s, iterations=0).centres for s in (4, 4, 5))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    before = torch.get_rng_state()
    spherical_kmeans(x, 8, seed=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_start_spreads_its_centres() -> None:
    """Of two tight bunches of very different size both get a centre, which a uniform draw would often miss."""
    few, many = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])
    x = torch.stack([many] * 63 + [few])
    hits = [len(set(spherical_kmeans(x, 2, seed=s, iterations=0).assignment.tolist())) for s in range(20)]
    assert hits == [2] * 20


def test_first_centres_are_drawn_evenly() -> None:
    x = normalize(torch.eye(4), dim=1)
    drawn = torch.stack([spherical_kmeans(x, 1, seed=s, iterations=0).centres[0] for s in range(400)]).sum(0)
    assert drawn.min() > 70
    assert drawn.max() < 130


def test_an_empty_cluster_takes_the_worst_represented_vectors() -> None:
    angles = torch.tensor([0.0, 2.0, 4.0, 50.0, 90.0]).deg2rad().double()
    x = torch.stack([angles.cos(), angles.sin()], dim=1)
    start = torch.stack([x[0], -x[1], -x[2]])  # the last two win nobody
    one = spherical_kmeans(x, 3, start=start, iterations=1)
    torch.testing.assert_close(one.centres[1:], x[[4, 3]])
    assert one.assignment.tolist() == [0, 0, 0, 2, 1]
    assert len(set(spherical_kmeans(x, 3, start=start).assignment.tolist())) == 3


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 8), st.integers(1, 3))
def test_any_small_problem(seed: int, distinct: int, k: int, width: int) -> None:
    """Duplicates, opposites, fewer distinct vectors than centres, lines: finite unit centres, nearest ones."""
    generator = torch.Generator().manual_seed(seed)
    pool = normalize(torch.randint(-1, 2, (distinct, width), generator=generator).double() + 0.01, dim=1)
    x = pool[torch.randint(distinct, (max(k, 6),), generator=generator)]
    found = spherical_kmeans(x, k, seed=seed)
    assert torch.allclose(found.centres.norm(dim=1), torch.ones(k, dtype=torch.float64))
    assert found.assignment.min() >= 0
    assert found.assignment.max() < k
    nearest = (x @ found.centres.T).amax(dim=1)
    torch.testing.assert_close((x * found.centres[found.assignment]).sum(1), nearest)
    assert found.inertia.item() == pytest.approx(float(nearest.clamp(-1, 1).acos().square().sum()), abs=1e-6)
    if k >= distinct:
        assert found.inertia.item() < 1e-5


def test_opposites_leave_their_centre_where_it_was() -> None:
    x = torch.tensor([[0.0, 1.0], [0.0, -1.0]])
    found = spherical_kmeans(x, 1, start=torch.tensor([[1.0, 0.0]]))
    assert found.centres.tolist() == [[1.0, 0.0]]


def test_zero_and_long_vectors_and_half_precision() -> None:
    x, _ = blobs(2)
    scaled = torch.cat([5 * x, torch.zeros(1, 6).double()])
    assert torch.isfinite(spherical_kmeans(scaled, 4).centres).all()
    half = spherical_kmeans(x.half(), 4, start=x[:4].half())
    assert half.centres.dtype == torch.float32
    assert torch.equal(half.assignment, spherical_kmeans(x, 4, start=x[:4]).assignment)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(spherical_kmeans(x.float(), 4).centres, spherical_kmeans(x.float(), 4).centres)
        assert spherical_kmeans(x.float(), 4).centres.dtype == torch.float32


def test_no_gradient() -> None:
    x = blobs(0)[0].requires_grad_()
    assert not spherical_kmeans(x, 3).centres.requires_grad


@pytest.mark.parametrize(
    ("k", "options", "message"),
    [
        (0, {}, "0 clusters"),
        (7, {}, "7 clusters"),
        (2, {"restarts": 0}, "restarts is 0"),
        (2, {"iterations": -1}, "iterations is -1"),
        (2, {"start": torch.zeros(3, 4)}, "a start of shape"),
    ],
)
def test_refusals(k: int, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        spherical_kmeans(torch.randn(6, 4), k, **options)  # type: ignore[arg-type]


def test_no_number_comes_back_to_the_host() -> None:
    """Tensors without content cannot be asked for a value, so whatever waits for a device fails on them."""
    rows = torch.empty(3, 32, 8, device="meta")
    found = _iterate(rows, _plus_plus(rows, 5, seed=0, number=0), iterations=4)
    assert found.centres.shape == (3, 5, 8)
    assert _better(found, found).inertia.shape == (3,)
    with pytest.raises(RuntimeError, match="meta"):
        bool(found.inertia.any())
