"""Factored positives against the positives themselves, golden values, filters, edges."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from motet.core.errors import ConfigError
from motet.losses import (
    candidates,
    hallucinate,
    hallucination_loss,
    info_nce,
    mutual_distillation,
    rank_filter,
    rank_limit,
    retained,
    slerp,
)
from motet.losses.hallucination import Positives
from tests.losses.test_hallucination import at, close, cos, degrees, golden_step, sin, unit


def random_step(
    seed: int, batch: int = 5, count: int = 6, positives: int = 7, width: int = 9
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Query, anchor, prototypes, chosen and shrink in float64."""
    generator = torch.Generator().manual_seed(seed)
    options: dict[str, Any] = {"generator": generator, "dtype": torch.float64}
    query, anchor = (normalize(torch.randn(batch, width, **options), dim=1) for _ in range(2))
    prototypes = normalize(torch.randn(count, width, **options), dim=1)
    choice = candidates(anchor, prototypes)
    chosen = choice.gather(1, torch.randint(choice.shape[1], (batch, positives), generator=generator))
    return query, anchor, prototypes, chosen, 0.01 + 0.79 * torch.rand(batch, positives, **options)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 7), st.integers(2, 12))
def test_factored_equals_written_out(seed: int, count: int, width: int) -> None:
    query, anchor, prototypes, chosen, shrink = random_step(seed, count=count, width=width)
    positives = hallucinate(anchor, prototypes, chosen, shrink)
    nearest = prototypes[(anchor @ prototypes.T).argmax(1)][:, None]
    t = (1 - shrink) * rank_limit(anchor[:, None], nearest, prototypes[chosen])
    points = slerp(anchor[:, None], prototypes[chosen], t)
    torch.testing.assert_close(positives.points(), points)
    torch.testing.assert_close(positives.points().norm(dim=2), torch.ones_like(shrink))
    torch.testing.assert_close(positives.inner(query), (points * query[:, None]).sum(2))
    torch.testing.assert_close(positives.similarity(prototypes), points @ prototypes.T)
    keep = retained(positives, prototypes, query)
    assert torch.equal(keep, rank_filter(points, anchor, prototypes))
    left, right = query.clone().requires_grad_(), query.clone().requires_grad_()
    ours, theirs = hallucination_loss(left, positives, keep), hallucination_loss(right, points, keep)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(torch.autograd.grad(ours, left)[0], torch.autograd.grad(theirs, right)[0])


def golden(phase: float = 0.0) -> tuple[dict[str, Tensor], Tensor, Positives]:
    step = golden_step(phase)
    query = unit(step["query"])
    chosen = candidates(step["key"], step["prototypes"]).gather(1, step["picks"])
    return step, query, hallucinate(step["key"], step["prototypes"], chosen, step["shrink"])


@pytest.mark.parametrize(
    ("rule", "kept", "value"),
    [
        ("rank", 20, -11.875092),
        ("variant-1", 4, -13.022507),
        ("variant-2", 24, -11.707593),
        ("none", 24, -11.707593),
    ],
)
def test_golden_filters(rule: Any, kept: int, value: float) -> None:
    step, query, positives = golden()
    keep = retained(positives, step["prototypes"], query, rule=rule)
    assert int(keep.sum()) == kept
    assert hallucination_loss(query, positives, keep).item() == close(value, abs=2e-5)


def test_golden_similarities_and_what_the_loss_is_not() -> None:
    """Logits, z_q·z_k; a mean over anchors of means over their positives is another number, far from the loss."""
    step, query, positives = golden()
    own = (query * step["key"]).sum(1)
    assert own.tolist() == close([0.891426, 0.909659, 0.898168, 0.916052], abs=2e-5)
    logits = torch.cat([own[:, None], query @ step["queue"].T], dim=1) / 0.07
    assert logits[0, :4].tolist() == close([12.734654, 9.566389, 10.328788, 5.225785], abs=3e-4)  # 2e-5 / 0.07
    keep = retained(positives, step["prototypes"], query)
    inner = positives.inner(query).detach()
    assert inner[0].tolist() == close([0.598014, 0.676411, 0.752292, 0.847397, 0.809632, 0.846320], abs=2e-5)
    assert inner[3].tolist() == close([0.918512, 0.858263, 0.898569, 0.702803, 0.920088, 0.713690], abs=2e-5)
    per_anchor = -((inner * keep).sum(1) / keep.sum(1)).mean() / 0.07
    assert per_anchor.item() == close(-12.003986, abs=2e-5)
    contrast, aligned = info_nce(query, step["key"], step["queue"]), hallucination_loss(query, positives, keep)
    assert contrast.item() == close(0.120555, abs=2e-5)
    assert (contrast + aligned).item() == close(-11.754537, abs=2e-5)
    assert (contrast + 2 * aligned).item() == close(-23.629629, abs=4e-5)


def test_golden_eight_dimensions() -> None:
    anchor, prototypes = unit(cos(2, 8, 0.5, 0)), unit(sin(4, 8, 0.3, 0.4))
    want = [[-0.362422, 0.811390, 0.426848, 0.031284], [-0.038704, -0.583862, 0.019707, 0.856614]]
    torch.testing.assert_close(anchor @ prototypes.T, torch.tensor(want).double(), rtol=0, atol=2e-5)
    chosen = candidates(anchor, prototypes).gather(1, torch.tensor([[0, 1, 2], [2, 1, 0]]))
    shrink = torch.tensor([[0, 0.25, 0.5], [0.1, 0.35, 0.8]]).double()
    positives = hallucinate(anchor, prototypes, chosen, shrink)
    whole = (anchor @ prototypes.T).gather(1, chosen).acos()
    angles = [[1.941662, 1.539507, 1.129791], [1.551088, 1.609510, 2.194274]]
    torch.testing.assert_close(whole, torch.tensor(angles).double(), rtol=0, atol=2e-5)
    fraction = torch.atan2(positives.across, positives.along) / whole
    fractions = [[0.618882, 0.288670, 0.147537], [0.477309, 0.319874, 0.120818]]
    torch.testing.assert_close(fraction, torch.tensor(fractions).double(), rtol=0, atol=2e-5)
    to_anchor = [[0.360810, 0.902865, 0.986140], [0.738234, 0.870372, 0.965064]]
    torch.testing.assert_close(positives.inner(anchor), torch.tensor(to_anchor).double(), rtol=0, atol=2e-5)
    to_chosen = [[0.738467, 0.457959, 0.570974], [0.688963, 0.458340, -0.350748]]
    found = positives.similarity(prototypes).gather(2, chosen[..., None])[..., 0]
    torch.testing.assert_close(found, torch.tensor(to_chosen).double(), rtol=0, atol=2e-5)
    points = positives.points()
    first = [0.597345, 0.565459, 0.453281, 0.296715, 0.136581, 0.008405, -0.065956, -0.082808]
    last = [0.457789, -0.111853, -0.495402, -0.356139, 0.138458, 0.484473, 0.322030, -0.219252]
    assert points[0, 0].tolist() == close(first, abs=2e-5)
    assert points[1, 2].tolist() == close(last, abs=2e-5)
    assert retained(positives, prototypes, anchor).flatten()[1:].all()  # the first lies on the boundary


def test_golden_filter_sees_a_third_prototype() -> None:
    shrink = torch.tensor([[0.1, 0.4, 0.8, 0.1, 0.4, 0.8]], dtype=torch.float64)
    prototypes, chosen = at(0, 90, 30), torch.tensor([[1, 1, 1, 2, 2, 2]])
    positives = hallucinate(at(10), prototypes, chosen, shrink)
    assert degrees(positives.points()[0]) == close([41.5, 31.0, 17.0, 14.5, 13.0, 11.0], abs=1e-9)
    assert retained(positives, prototypes, at(10)).tolist() == [[False] * 3 + [True] * 3]


def test_golden_gradient() -> None:
    step, query, positives = golden()
    keep = retained(positives, step["prototypes"], query)
    assert keep.int().tolist() == [[1] * 6, [1, 1, 1, 0, 0, 1], [1, 1, 0, 0, 1, 1], [1] * 6]
    (info_nce(query, step["key"], step["queue"]) + hallucination_loss(query, positives, keep)).backward()
    gradient = step["query"].grad
    assert gradient is not None
    assert gradient[0, :4].tolist() == close([-0.064389, -0.053138, -0.040864, -0.029330], abs=2e-5)
    assert gradient.norm().item() == close(0.447554, abs=2e-5)


def test_golden_halp_with_cmd() -> None:
    queries, keys, queues, aligned, contrast = {}, {}, {}, 0.0, []
    for stream, phase in (("joint", 0.0), ("motion", 0.5), ("bone", 1.0)):
        step, query, positives = golden(phase)
        queries[stream], keys[stream], queues[stream] = query, step["key"], step["queue"]
        contrast.append(info_nce(query, step["key"], step["queue"]).item())
        keep = retained(positives, step["prototypes"], query)
        aligned += hallucination_loss(query, positives, keep).item()
    distilled = mutual_distillation(queries, keys, queues, top_k=16).item()
    assert contrast == close([0.120555, 0.344126, 0.101696], abs=2e-5)
    assert distilled == close(1.536196, abs=2e-5)
    assert aligned == close(-35.061195, abs=5e-5)
    assert sum(contrast) + distilled + aligned == close(-32.958623, abs=1e-4)


def test_golden_plane_and_its_margin() -> None:
    anchor, prototypes = at(20), at(0, 90)
    shrink = torch.tensor([[0.0, 0.2, 0.4, 0.6, 0.8]], dtype=torch.float64)
    chosen = torch.ones(1, 5, dtype=torch.long)
    assert degrees(hallucinate(anchor, prototypes, chosen, shrink).points()[0]) == close([45, 40, 35, 30, 25], abs=1e-9)
    short = hallucinate(anchor, prototypes, chosen[:, :1], 0.0, margin=0.01)
    assert degrees(short.points()[0, 0]) == close(44.3, abs=1e-9)
    still = hallucinate(anchor, prototypes, chosen[:, :1], 0.0, margin=0.9)
    assert degrees(still.points()[0, 0]) == close(20.0, abs=1e-9)


def test_golden_obtuse_limit() -> None:
    shrink = torch.tensor([[0.05, 0.4, 0.8]], dtype=torch.float64)
    positives = hallucinate(at(0), at(84, 154), torch.ones(1, 3, dtype=torch.long), shrink)
    assert degrees(positives.points()[0]) == close([113.05, 71.4, 23.8], abs=1e-9)
    assert retained(positives, at(84, 154), at(0)).all()


def test_golden_candidates() -> None:
    anchor, prototypes = unit(cos(2, 8, 0.5, 0)), unit(sin(4, 8, 0.3, 0.4))
    assert candidates(anchor, prototypes).tolist() == [[0, 3, 2], [1, 0, 2]]


@pytest.mark.parametrize(("count", "kept"), [(5, 4), (20, 19), (21, 20), (40, 20)])
def test_released_number_of_candidates(count: int, kept: int) -> None:
    _, anchor, prototypes, _, _ = random_step(0, count=count)
    order = (anchor @ prototypes.T).argsort(dim=1, descending=True)
    found = candidates(anchor, prototypes, most=20)
    assert found.shape[1] == kept
    assert torch.equal(found.flip(1), order[:, 1 : 1 + kept])
    assert torch.equal(candidates(anchor, prototypes, skip=2).flip(1), order[:, 2:])
    assert candidates(anchor, prototypes[:1]).shape[1] == 0


def test_both_ends_of_a_walk() -> None:
    """u = 1 stays at the anchor; u = 0 ends where nearest and chosen are equally near, and never beyond."""
    _, anchor, prototypes, chosen, shrink = random_step(6, batch=20, positives=30)
    nearest = (anchor @ prototypes.T).argmax(1)[:, None, None].expand(-1, 30, 1)
    assert (chosen != nearest[..., 0]).all()
    still = hallucinate(anchor, prototypes, chosen, torch.ones_like(shrink)).points()
    torch.testing.assert_close(still, anchor[:, None].expand_as(still), rtol=0, atol=1e-12)
    for u in (shrink, torch.zeros_like(shrink)):
        similarity = hallucinate(anchor, prototypes, chosen, u).similarity(prototypes)
        gap = (similarity.gather(2, nearest) - similarity.gather(2, chosen[..., None]))[..., 0]
        assert gap.min() >= -1e-12
        assert (gap.max() < 1e-12) == bool((u == 0).all())


def test_prototypes_that_are_not_chosen_change_the_mask_only() -> None:
    """A third prototype, far away or between the two, leaves the positives where they are."""
    chosen, shrink = torch.ones(1, 3, dtype=torch.long), torch.tensor([[0.1, 0.4, 0.8]]).double()
    away, between = (hallucinate(at(10), at(0, 90, third), chosen, shrink) for third in (200, 30))
    assert torch.equal(away.points(), between.points())
    assert retained(away, at(0, 90, 200), at(10)).all()
    assert not retained(between, at(0, 90, 30), at(10)).any()


def test_of_equally_near_prototypes_the_first_is_the_nearest() -> None:
    """Two prototypes mirrored about the anchor, and duplicates: no positive walks to its own prototype."""
    anchor = torch.tensor([[1.0, 0.0]])
    mirrored = torch.tensor([[0.6, 0.8], [0.6, -0.8], [-1.0, 0.0], [0.6, -0.8]])
    assert candidates(anchor, mirrored).tolist() == [[2, 3, 1]]
    assert candidates(anchor, mirrored[[2, 1, 0]]).tolist() == [[0, 2]]
    many = torch.ones(40, 2) / 2**0.5
    for row in candidates(anchor, many).tolist():
        assert sorted(row) == list(range(1, 40))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_variant_two_keeps_walks_between_duplicates(dtype: torch.dtype) -> None:
    """Where a walk may cover its whole arc, rounding does not decide."""
    generator = torch.Generator().manual_seed(0)
    anchor = normalize(torch.randn(40, 6, generator=generator, dtype=dtype), dim=1)
    prototypes = anchor[:4].repeat(3, 1)
    choice = candidates(anchor, prototypes)
    chosen = choice.gather(1, torch.randint(choice.shape[1], (40, 30), generator=generator))
    positives = hallucinate(anchor, prototypes, chosen, 1e-3)
    assert retained(positives, prototypes, anchor, rule="variant-2").all()
    assert retained(positives, prototypes, anchor).float().mean() > 0.5


def test_no_number_comes_back_to_the_host() -> None:
    """Tensors without content cannot be asked for a value, so whatever waits for a device fails on them."""
    query, key = torch.empty(4, 6, device="meta", requires_grad=True), torch.empty(4, 6, device="meta")
    prototypes = torch.empty(5, 6, device="meta")
    chosen = candidates(key, prototypes, most=3)
    positives = hallucinate(key, prototypes, chosen, 0.5)
    for rule in ("rank", "variant-1", "variant-2", "none"):
        keep = retained(positives, prototypes, query, rule=rule)
        hallucination_loss(query, positives, keep).backward()
    with pytest.raises(RuntimeError, match="meta"):
        float(query.sum())


def test_variant_two_never_rejects_and_gradient_stays_with_the_query() -> None:
    query, anchor, prototypes, chosen, shrink = random_step(4, batch=20, positives=30)
    inputs = [t.requires_grad_() for t in (query, anchor, prototypes)]
    positives = hallucinate(anchor, prototypes, chosen, shrink)
    keep = retained(positives, prototypes, query, rule="variant-2")
    assert keep.all()
    loss = hallucination_loss(query, positives, keep, temperature=0.5)
    grads = torch.autograd.grad(loss, inputs, allow_unused=True)
    want = -(keep[..., None] * positives.points()).sum(1) / (0.5 * keep.sum())
    torch.testing.assert_close(grads[0], want.detach())
    assert grads[1] is None
    assert grads[2] is None
    assert -2 <= loss.item() <= 2
    torch.testing.assert_close(hallucination_loss(query, positives, keep, temperature=0.25), 2 * loss)


def test_nothing_retained() -> None:
    query, anchor, prototypes, chosen, shrink = random_step(1)
    positives = hallucinate(anchor, prototypes, chosen, shrink)
    query.requires_grad_()
    loss = hallucination_loss(query, positives, torch.zeros_like(chosen, dtype=torch.bool))
    assert loss.item() == 0
    assert torch.autograd.grad(loss, query)[0].abs().max() == 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("case", ["duplicates", "anchor is a prototype", "opposite", "two", "keys as centres"])
def test_edges_are_finite(case: str, dtype: torch.dtype) -> None:
    query, anchor, prototypes, _, shrink = (t.to(dtype) for t in random_step(2, count=5))
    if case == "duplicates":
        prototypes = torch.cat([anchor[:1], anchor[:1], prototypes[:2], prototypes[:2]])
    elif case == "anchor is a prototype":
        anchor = prototypes[: len(anchor)].clone()
    elif case == "opposite":
        prototypes = torch.cat([anchor[:2], -anchor[:2]])
    elif case == "two":
        prototypes = prototypes[:2]
    else:
        prototypes = anchor.clone()
    choice = candidates(anchor, prototypes)
    chosen = choice.gather(1, torch.arange(7).expand(len(anchor), 7) % choice.shape[1])
    query.requires_grad_()
    positives = hallucinate(anchor, prototypes, chosen, shrink)
    assert torch.isfinite(positives.points()).all()
    for rule in ("rank", "variant-1", "variant-2", "none"):
        loss = hallucination_loss(query, positives, retained(positives, prototypes, query, rule=rule))
        assert torch.isfinite(loss)
        assert torch.isfinite(torch.autograd.grad(loss, query)[0]).all()
    if case == "keys as centres" and dtype == torch.float64:  # the limit is half-way
        angle = torch.atan2(positives.across, positives.along)
        whole = (anchor @ prototypes.T).gather(1, chosen).acos()
        torch.testing.assert_close(angle, whole * 0.5 * (1 - shrink))
    if case == "two" and dtype == torch.float64:
        assert retained(positives, prototypes, query).all()


@pytest.mark.parametrize("noise", [None, 0.5, 1.0, 2.0])
def test_most_positives_are_retained(noise: float | None) -> None:
    """Uniform anchors, and anchors scattered about the prototypes."""
    query, anchor, prototypes, _, shrink = random_step(0, batch=64, count=20, positives=100, width=128)
    if noise is not None:
        anchor = normalize(prototypes[torch.arange(64) % 20] + noise * anchor, dim=1)
    choice = candidates(anchor, prototypes)
    chosen = choice[:, torch.arange(100) % choice.shape[1]]
    positives = hallucinate(anchor, prototypes, chosen, shrink)
    assert retained(positives, prototypes, query).double().mean() > 0.85


def test_no_such_filter() -> None:
    query, anchor, prototypes, chosen, shrink = random_step(0)
    with pytest.raises(ConfigError, match="variant-3"):
        retained(hallucinate(anchor, prototypes, chosen, shrink), prototypes, query, rule="variant-3")  # type: ignore[arg-type]
