from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from motet.core.errors import ConfigError
from motet.losses import hallucination_loss, info_nce, rank_filter, rank_limit, slerp

close = pytest.approx


def waves(rows: int, columns: int, frequency: float, phase: float) -> Tensor:
    """Arguments of the golden builders: w (i+1) (j+1) + p."""
    i, j = torch.meshgrid(torch.arange(1.0, rows + 1), torch.arange(1.0, columns + 1), indexing="ij")
    return frequency * i.double() * j.double() + phase


def cos(*options: float) -> Tensor:
    return waves(*options).cos()  # type: ignore[arg-type]


def sin(*options: float) -> Tensor:
    return waves(*options).sin()  # type: ignore[arg-type]


def unit(rows: Tensor) -> Tensor:
    return normalize(rows, dim=-1)


def at(*degrees: float) -> Tensor:
    angle = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angle.cos(), angle.sin()], dim=-1)


def degrees(points: Tensor) -> list[float]:
    return torch.atan2(points[..., 1], points[..., 0]).rad2deg().tolist()


def random_unit(generator: torch.Generator, *shape: int) -> Tensor:
    return unit(torch.randn(*shape, generator=generator, dtype=torch.float64))


def walk(anchor: Tensor, prototypes: Tensor, picks: Tensor, shrink: Tensor) -> tuple[Tensor, Tensor]:
    """Positives (B, G, D) towards the candidates ``picks`` (ascending similarity, without the nearest), and their t."""
    order = (anchor @ prototypes.T).argsort(dim=1)
    selected = prototypes[order[:, :-1].gather(1, picks)]
    nearest = prototypes[order[:, -1]]
    t = (1 - shrink) * rank_limit(anchor[:, None], nearest[:, None], selected)
    return slerp(anchor[:, None], selected, t), t


def bisected_limit(anchor: Tensor, nearest: Tensor, selected: Tensor) -> float:
    """Largest t at which the sine form of slerp is no nearer to ``selected``, by halving."""
    angle = math.acos(max(-1.0, min(1.0, float(anchor @ selected))))

    def gap(t: float) -> float:
        point = (math.sin((1 - t) * angle) * anchor + math.sin(t * angle) * selected) / math.sin(angle)
        return float(point @ nearest - point @ selected)

    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if gap(middle) >= 0 else (low, middle)
    return low


def test_golden_plane() -> None:
    anchor, near, far = at(20)[0], at(0)[0], at(90)[0]
    limit = rank_limit(anchor, near, far)
    assert limit.item() == close(25 / 70, abs=1e-9)
    for shrink, angle in ((0.0, 45.0), (0.2, 40.0), (0.4, 35.0), (0.6, 30.0), (0.8, 25.0)):
        point = slerp(anchor, far, (1 - shrink) * limit)
        assert degrees(point) == close(angle, abs=1e-9)
        if shrink:  # at 0 the point is equally near to both
            assert rank_filter(point[None, None], anchor[None], at(0, 90)).tolist() == [[True]]
    assert degrees(slerp(anchor, far, limit - 0.01)) == close(44.3, abs=1e-9)


def test_golden_filter_sees_a_third_prototype() -> None:
    anchor, prototypes = at(10), at(0, 90, 30)
    shrink = torch.tensor([0.1, 0.4, 0.8], dtype=torch.float64)
    kept = []
    for selected, angles in ((at(90), [41.5, 31.0, 17.0]), (at(30), [14.5, 13.0, 11.0])):
        points = slerp(anchor, selected, (1 - shrink) * rank_limit(anchor, at(0), selected))
        assert degrees(points) == close(angles, abs=1e-9)
        kept.append(rank_filter(points[None], anchor, prototypes).tolist())
    assert kept == [[[False] * 3], [[True] * 3]]


def test_golden_obtuse_limit_takes_the_right_branch() -> None:
    anchor, near, far = at(0), at(84), at(154)
    limit = rank_limit(anchor, near, far)
    assert limit.item() == close(119 / 154, abs=1e-9)
    shrink = torch.tensor([0.0, 0.05, 0.4, 0.8], dtype=torch.float64)
    points = slerp(anchor, far, (1 - shrink) * limit)
    assert degrees(points) == close([119.0, 113.05, 71.4, 23.8], abs=1e-9)
    assert rank_filter(points[None, 1:], anchor, torch.cat([near, far])).all()


def test_golden_eight_dimensions() -> None:
    anchor, prototypes = unit(cos(2, 8, 0.5, 0)), unit(sin(4, 8, 0.3, 0.4))
    picks = torch.tensor([[0, 1, 2], [2, 1, 0]])
    shrink = torch.tensor([[0, 0.25, 0.5], [0.1, 0.35, 0.8]], dtype=torch.float64)
    points, t = walk(anchor, prototypes, picks, shrink)
    want = {
        "t": [[0.618882, 0.288670, 0.147537], [0.477309, 0.319874, 0.120818]],
        "anchor": [[0.360810, 0.902865, 0.986140], [0.738234, 0.870372, 0.965064]],
        "selected": [[0.738467, 0.457959, 0.570974], [0.688963, 0.458340, -0.350748]],
    }
    selected = prototypes[torch.tensor([[0, 3, 2], [2, 0, 1]])]
    got = {"t": t, "anchor": (points * anchor[:, None]).sum(-1), "selected": (points * selected).sum(-1)}
    for name, value in got.items():
        torch.testing.assert_close(value, torch.tensor(want[name]).double(), rtol=0, atol=2e-5)
    first = [0.597345, 0.565459, 0.453281, 0.296715, 0.136581, 0.008405, -0.065956, -0.082808]
    last = [0.457789, -0.111853, -0.495402, -0.356139, 0.138458, 0.484473, 0.322030, -0.219252]
    assert points[0, 0].tolist() == close(first, abs=2e-5)
    assert points[1, 2].tolist() == close(last, abs=2e-5)
    kept = rank_filter(points, anchor, prototypes)
    kept[0, 0] = True  # a tie: the point lies on the boundary
    assert kept.all()


def golden_step(phase: float = 0.0) -> dict[str, Tensor]:
    b, g = torch.meshgrid(torch.arange(4), torch.arange(6), indexing="ij")
    query = cos(4, 128, 0.013, 0.1 + phase) + 0.3 * sin(4, 128, 0.37, phase)
    return {
        "query": query.requires_grad_(),
        "key": unit(cos(4, 128, 0.013, 0.1 + phase) + 0.3 * cos(4, 128, 0.41, phase)),
        "queue": unit(sin(256, 128, 0.017, 0.2 + phase)),
        "prototypes": unit(cos(5, 128, 0.011, 0.35 + phase)),
        "picks": (b + g) % 4,
        "shrink": 0.8 * ((6 * b + g) % 7 + 0.5).double() / 7,
    }


def test_golden_step() -> None:
    step = golden_step()
    query, key = unit(step["query"]), step["key"]
    order = (key @ step["prototypes"].T).argsort(dim=1).tolist()
    assert order == [[3, 4, 2, 1, 0], [4, 3, 0, 2, 1], [0, 4, 1, 3, 2], [1, 0, 2, 4, 3]]
    positives, _ = walk(key, step["prototypes"], step["picks"], step["shrink"])
    keep = rank_filter(positives, key, step["prototypes"])
    assert keep.int().tolist() == [[1] * 6, [1, 1, 1, 0, 0, 1], [1, 1, 0, 0, 1, 1], [1] * 6]
    similarity = (positives * query[:, None]).sum(-1)
    row0 = [0.598014, 0.676411, 0.752292, 0.847397, 0.809632, 0.846320]
    row3 = [0.918512, 0.858263, 0.898569, 0.702803, 0.920088, 0.713690]
    assert similarity[0].tolist() == close(row0, abs=2e-5)
    assert similarity[3].tolist() == close(row3, abs=2e-5)
    contrast = info_nce(query, key, step["queue"])
    loss = hallucination_loss(query, positives, keep)
    assert contrast.item() == close(0.120555, abs=2e-5)
    assert loss.item() == close(-11.875092, abs=2e-5)
    assert (contrast + 2 * loss).item() == close(-23.629629, abs=4e-5)
    assert hallucination_loss(query, positives, torch.ones_like(keep)).item() == close(-11.707593, abs=2e-5)
    strict = similarity >= (query * key).sum(1, keepdim=True)
    assert int(strict.sum()) == 4
    assert hallucination_loss(query, positives, strict).item() == close(-13.022507, abs=2e-5)
    (contrast + loss).backward()
    gradient = step["query"].grad
    assert gradient is not None
    assert gradient[0, :4].tolist() == close([-0.064389, -0.053138, -0.040864, -0.029330], abs=2e-5)
    assert gradient.norm().item() == close(0.447554, abs=2e-5)


def test_golden_three_streams() -> None:
    total = 0.0
    for phase in (0.0, 0.5, 1.0):
        step = golden_step(phase)
        positives, _ = walk(step["key"], step["prototypes"], step["picks"], step["shrink"])
        keep = rank_filter(positives, step["key"], step["prototypes"])
        total += hallucination_loss(unit(step["query"]), positives, keep).item()
    assert total == close(-35.061195, abs=5e-5)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(2, 6))
def test_limit_is_where_a_search_finds_it(seed: int, width: int, count: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    anchor, prototypes = random_unit(generator, width), random_unit(generator, count, width)
    order = (prototypes @ anchor).argsort(descending=True)
    nearest, selected = prototypes[order[0]], prototypes[order[-1]]
    want = bisected_limit(anchor, nearest, selected)
    assert rank_limit(anchor, nearest, selected).item() == close(want, abs=1e-6)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(2, 16), st.booleans())
def test_walk_stays_on_the_arc_and_on_its_side(seed: int, width: int, single: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    anchor, prototypes = random_unit(generator, 5, width), random_unit(generator, 6, width)
    if single:
        anchor, prototypes = anchor.float(), prototypes.float()
    tolerance = 2e-6 if single else 1e-12
    picks = torch.randint(0, 5, (5, 7), generator=generator)
    shrink = torch.rand(5, 7, generator=generator, dtype=torch.float64).to(anchor.dtype)
    points, t = walk(anchor, prototypes, picks, shrink)
    order = (anchor @ prototypes.T).argsort(dim=1)
    nearest, selected = prototypes[order[:, -1]][:, None], prototypes[order[:, :-1].gather(1, picks)]
    assert ((t >= 0) & (t <= 1)).all()
    torch.testing.assert_close(points.norm(dim=-1), torch.ones_like(t), rtol=0, atol=tolerance)
    # in the plane of the two ends: what is left after projection on an orthonormal basis of it
    basis = torch.linalg.qr(torch.stack([anchor[:, None].expand_as(selected), selected], dim=-1).double()).Q
    inside = basis @ (basis.mT @ points.double()[..., None])
    torch.testing.assert_close(inside[..., 0].to(points.dtype), points, rtol=0, atol=10 * tolerance)
    assert ((points * nearest).sum(-1) >= (points * selected).sum(-1) - 10 * tolerance).all()
    assert ((points * anchor[:, None]).sum(-1) >= (selected * anchor[:, None]).sum(-1) - tolerance).all()
    # turning the whole picture turns the points
    turn = torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64)).Q.to(points.dtype)
    turned, _ = walk(anchor @ turn, prototypes @ turn, picks, shrink)
    torch.testing.assert_close(turned, points @ turn, rtol=0, atol=100 * tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("separation", [0.0, 1e-12, 1e-8, 1e-4, 1e-2, 1.0, math.pi - 1e-2, math.pi - 1e-6, math.pi])
def test_slerp_of_any_two_points(separation: float, dtype: torch.dtype) -> None:
    start = torch.tensor([0.6, 0.8, 0.0], dtype=torch.float64)
    end = math.cos(separation) * start + math.sin(separation) * torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    start, end = start.to(dtype), end.to(dtype)
    tolerance = 4 * torch.finfo(dtype).eps
    t = torch.linspace(0, 1, 9, dtype=dtype)
    points = slerp(start, end, t)
    torch.testing.assert_close(points[0], start, rtol=0, atol=tolerance)
    torch.testing.assert_close(points[-1], end, rtol=0, atol=tolerance)
    torch.testing.assert_close(points.norm(dim=-1), torch.ones_like(t), rtol=0, atol=tolerance)
    steps = (points[1:] - points[:-1]).norm(dim=-1)
    torch.testing.assert_close(steps, steps.mean().expand(8), rtol=1e-3, atol=tolerance)
    assert steps.sum().item() == close(separation, rel=1e-2, abs=1e-6)


def test_slerp_is_the_sine_form_and_its_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    start, end = (random_unit(generator, 4, 5).requires_grad_() for _ in range(2))
    t = torch.rand(4, generator=generator, dtype=torch.float64)
    angle = torch.acos((start * end).sum(-1))
    want = (((1 - t) * angle).sin()[:, None] * start + (t * angle).sin()[:, None] * end) / angle.sin()[:, None]
    torch.testing.assert_close(slerp(start, end, t), want, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(slerp(start, end, t[:, None]), slerp(start, end, t), rtol=0, atol=0)
    assert torch.autograd.gradcheck(lambda a, b: slerp(unit(a), unit(b), t), (start, end))
    for other in (start.detach().clone(), -start.detach()):
        start.grad = None
        slerp(start, other, 0.3).sum().backward()
        assert start.grad is not None
        assert start.grad.isfinite().all()


def test_limit_of_an_anchor_that_is_a_prototype_is_half_way() -> None:
    generator = torch.Generator().manual_seed(1)
    prototypes = random_unit(generator, 8, 4)
    off = ~torch.eye(8, dtype=torch.bool)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        p = prototypes.to(dtype)
        limits = rank_limit(p[:, None], p[:, None], p[None])
        torch.testing.assert_close(limits[off], torch.full((56,), 0.5, dtype=dtype), rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_duplicate_and_opposite_prototypes(dtype: torch.dtype) -> None:
    anchor = torch.tensor([[1.0, 0.0, 0.0]], dtype=dtype)
    twin = unit(torch.tensor([[1.0, 0.5, 0.0]], dtype=torch.float64)).to(dtype)
    # identical prototypes: all of the way is allowed, and the points stay
    assert rank_limit(anchor, twin, twin).item() == 1
    points = slerp(anchor, twin, torch.tensor([0.0, 0.5, 1.0]))[None]
    assert rank_filter(points.to(dtype), anchor, torch.cat([twin, twin, -anchor])).all()
    # an anchor on two prototypes at once
    assert rank_limit(anchor, anchor, anchor).item() == 1
    assert slerp(anchor, anchor, 0.7).tolist() == anchor.tolist()
    # a prototype opposite to the anchor, which is the nearest itself
    assert rank_limit(anchor, anchor, -anchor).item() == close(0.5, abs=1e-6)
    # a selected prototype that is nearer from the start leaves no way at all
    assert rank_limit(anchor, -anchor, twin).item() == 0
    assert rank_limit(anchor, -anchor, anchor).item() == 0


def test_two_prototypes_keep_everything_short_of_the_boundary() -> None:
    generator = torch.Generator().manual_seed(2)
    anchor, prototypes = random_unit(generator, 64, 3), random_unit(generator, 2, 3)
    shrink = 0.01 + 0.99 * torch.rand(64, 10, generator=generator, dtype=torch.float64)
    points, _ = walk(anchor, prototypes, torch.zeros(64, 10, dtype=torch.long), shrink)
    assert rank_filter(points, anchor, prototypes).all()


def test_most_positives_of_random_points_are_retained() -> None:
    generator = torch.Generator().manual_seed(0)
    anchor, prototypes = random_unit(generator, 16, 128), random_unit(generator, 20, 128)
    picks = torch.randint(0, 19, (16, 50), generator=generator)
    shrink = 0.8 * torch.rand(16, 50, generator=generator, dtype=torch.float64)
    points, _ = walk(anchor, prototypes, picks, shrink)
    keep = rank_filter(points, anchor, prototypes)
    assert keep.double().mean() > 0.85
    same = (points @ prototypes.T).argmax(2) == (anchor @ prototypes.T).argmax(1, keepdim=True)
    assert torch.equal(keep, same)
    order = torch.randperm(50, generator=generator)
    query = random_unit(generator, 16, 128)
    loss = hallucination_loss(query, points, keep)
    torch.testing.assert_close(hallucination_loss(query, points[:, order], keep[:, order]), loss)
    assert abs(loss.item()) <= 1 / 0.07
    torch.testing.assert_close(hallucination_loss(query, points, keep, temperature=0.14), loss / 2)
    # one positive, one weight: the mean is over the batch and not over anchors first
    logits = (query[:, None] * points).sum(-1) / 0.07
    assert loss.item() == close(-logits[keep].mean().item(), rel=1e-12)


def test_gradient_reaches_the_query_only() -> None:
    generator = torch.Generator().manual_seed(3)
    query = random_unit(generator, 4, 6).requires_grad_()
    positives = random_unit(generator, 4, 5, 6).requires_grad_()
    keep = torch.rand(4, 5, generator=generator) > 0.4
    hallucination_loss(query, positives, keep).backward()
    want = -(keep[..., None] * positives.detach()).sum(1) / (0.07 * keep.sum())
    assert query.grad is not None
    torch.testing.assert_close(query.grad, want)
    assert positives.grad is None
    assert not rank_filter(positives, query, query).requires_grad


def test_nothing_retained_is_zero_with_zero_gradient() -> None:
    generator = torch.Generator().manual_seed(4)
    query = random_unit(generator, 3, 6).requires_grad_()
    loss = hallucination_loss(query, random_unit(generator, 3, 5, 6), torch.zeros(3, 5, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert query.grad is not None
    assert query.grad.abs().max() == 0


def test_half_precision_is_promoted() -> None:
    step = golden_step()
    positives, _ = walk(step["key"], step["prototypes"], step["picks"], step["shrink"])
    keep = rank_filter(positives, step["key"], step["prototypes"])
    loss = hallucination_loss(unit(step["query"]).half(), positives.half(), keep)
    assert loss.dtype == torch.float32
    assert loss.item() == close(-11.875092, abs=2e-2)
    assert slerp(at(0).bfloat16(), at(90).bfloat16(), 0.5).dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        alone = hallucination_loss(unit(step["query"]).float(), positives.float(), keep)
    assert alone.item() == close(-11.875092, abs=2e-5)


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="no prototypes"):
        rank_filter(at(0)[None], at(0), torch.empty(0, 2))
    with pytest.raises(ConfigError, match="keep is"):
        hallucination_loss(at(0), at(0, 1)[None], torch.ones(1, 3, dtype=torch.bool))
