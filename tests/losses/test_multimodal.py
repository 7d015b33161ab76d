from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy, kl_div

from motet.core.errors import ConfigError
from motet.losses import adversarial_critic, adversarial_student, class_contrast, jensen_shannon
from motet.losses._rows import repeated_rows
from motet.losses.multimodal import cross_entropy as masked_cross_entropy
from motet.losses.multimodal import jeffreys, softened_answers

close = pytest.approx
DOUBLE = torch.float64


def grid(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    i, j = torch.meshgrid(torch.arange(rows, dtype=DOUBLE), torch.arange(columns, dtype=DOUBLE), indexing="ij")
    return i, j


def toy() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Teacher, student and auxiliary rows (6, 4), and labels."""
    i, j = grid(6, 4)
    n = 4 * i + j
    labels = torch.tensor([0, 1, 0, 2, 1, 0])
    return torch.sin(0.7 * n + 0.3), torch.cos(0.5 * n + 0.1 * i), torch.sin(0.9 * n - 0.4) + 0.2 * j, labels


def toy_logits() -> tuple[Tensor, Tensor]:
    i, c = grid(6, 3)
    return torch.sin(1.1 * (3 * i + c)), torch.cos(0.6 * (3 * i + c))


def oracle(anchors: Tensor, candidates: Tensor, labels: Tensor, temperature: float, means: bool = False) -> Tensor:
    """Row losses by the letter of Eq. 7 and 8, one pair at a time."""
    rows = []
    for i in range(len(anchors)):
        h = torch.softmax(cosine_similarity(anchors[i : i + 1], candidates, dim=1) / temperature, dim=0)
        mates = [j for j in range(len(labels)) if labels[j] == labels[i]]
        others = [j for j in range(len(labels)) if labels[j] != labels[i]]
        positive = torch.stack([-h[j].log() for j in mates])
        negative = torch.stack([-torch.log1p(-h[j]) for j in others]) if others else h.new_zeros(1)
        rows.append(positive.mean() + negative.mean() if means else positive.sum() + negative.sum())
    return torch.stack(rows)


def test_golden_contrast() -> None:
    m, s, a, y = toy()
    rows = [4.816419, 1.635925, 4.352948, 2.813346, 7.136769, 9.211784]
    assert oracle(m, s, y, 0.5).tolist() == close(rows, abs=1e-6)
    for anchors, candidates, want in ((m, s, 4.994532), (m, a, 5.487471), (s, m, 4.911296), (a, m, 5.578073)):
        assert class_contrast(anchors, candidates, y).item() == close(want, abs=1e-6)
    for anchors, candidates, want in ((m, s, 2.037685), (s, m, 2.030821), (m, a, 2.384914), (a, m, 2.519475)):
        assert class_contrast(anchors, candidates, y, reduction="nce").item() == close(want, abs=1e-6)


@pytest.mark.parametrize(
    ("temperature", "student", "auxiliary"),
    [
        (0.01, 112.201562, 159.644565),
        (0.05, 24.246652, 32.472083),
        (0.1, 13.318809, 16.796589),
        (1.0, 4.490371, 4.828151),
    ],
)
def test_golden_temperatures(temperature: float, student: float, auxiliary: float) -> None:
    m, s, a, y = toy()
    for candidates, want in ((s, student), (a, auxiliary)):
        assert class_contrast(m, candidates, y, temperature=temperature).item() == close(want, abs=1e-6)
        single = class_contrast(m.float(), candidates.float(), y, temperature=temperature)
        assert single.item() == close(want, rel=1e-5)


def test_golden_gradient_reaches_both_sides() -> None:
    m, s, a, y = (t.requires_grad_() if t.is_floating_point() else t for t in toy())
    to_m, to_s = torch.autograd.grad(class_contrast(m, s, y), (m, s))
    assert to_m.norm().item() == close(0.891430, abs=1e-6)
    assert to_s.norm().item() == close(0.829414, abs=1e-6)
    assert to_m[0].tolist() == close([0.2333, 0.1086, -0.0407, -0.1776], abs=5e-5)
    assert to_s[0].tolist() == close([0.1030, -0.0257, -0.1278, -0.1609], abs=5e-5)
    to_m, to_a = torch.autograd.grad(class_contrast(m, a, y), (m, a))
    assert to_m.norm().item() == close(0.599173, abs=1e-6)
    assert to_a.norm().item() == close(0.652890, abs=1e-6)
    for reduction in ("paper", "nce"):
        assert torch.autograd.gradcheck(lambda p, q, r=reduction: class_contrast(p, q, y, reduction=r), (m, s))


def test_golden_missing_row() -> None:
    m, s, a, y = toy()
    left = torch.tensor([0, 1, 2, 4, 5])
    assert class_contrast(m[left], s[left], y[left]).item() == close(4.634144, abs=1e-6)
    assert class_contrast(m[left], a[left], y[left]).item() == close(5.340640, abs=1e-6)


def test_golden_labels_and_bounds() -> None:
    m, s, _, y = toy()
    floor = 2.110017
    counts = y.bincount()[y].double()
    assert (counts * counts.log()).mean().item() == close(floor, abs=1e-6)
    assert class_contrast(m, s, torch.zeros(6)).item() == close(15.372420, abs=1e-6)
    assert class_contrast(m, s, torch.arange(6)).item() == close(2.867446, abs=1e-6)
    same = torch.ones(6, 4, dtype=DOUBLE)
    assert class_contrast(same, same, y).item() == close((14 * math.log(6) + 22 * math.log(1.2)) / 6, abs=1e-9)
    one_hot = torch.eye(3, dtype=DOUBLE)[y]
    for temperature, want in ((0.5, 2.750158), (0.1, 2.110274), (0.01, 2.110017)):
        assert class_contrast(one_hot, one_hot, y, temperature=temperature).item() == close(want, abs=1e-6)


@pytest.mark.parametrize(("temperature", "want"), [(0.05, -38.390562), (0.01, -198.390562)])
def test_saturated_complement_in_single_precision(temperature: float, want: float) -> None:
    # every anchor is at cosines (-1, 1, -1, -1, -1, -1): the near candidate is a negative of all rows but its own,
    # where h is 1 in single precision and the true log(1 - h) is the parameter
    anchors = torch.tensor([[1.0, 0.0]] * 6, requires_grad=True)
    candidates = torch.tensor([[-1.0, 0.0]] * 6)
    candidates[1, 0] = 1
    candidates.requires_grad_()
    loss = class_contrast(anchors, candidates, torch.tensor([0, 1, 0, 0, 0, 0]), temperature=temperature)
    assert loss.item() == close(5 / 6 * (5 * 2 / temperature - want), rel=1e-6)
    loss.backward()
    for rows in (anchors, candidates):
        assert rows.grad is not None
        assert rows.grad.isfinite().all()


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(2, 9), st.integers(1, 4), st.sampled_from([0.1, 0.5, 1.0]))
def test_contrast_oracle_and_invariance(seed: int, count: int, classes: int, temperature: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    m, s = (torch.randn(count, 5, generator=generator, dtype=DOUBLE) for _ in range(2))
    y = torch.randint(0, classes, (count,), generator=generator)
    loss = class_contrast(m, s, y, temperature=temperature)
    torch.testing.assert_close(loss, oracle(m, s, y, temperature).mean(), rtol=1e-8, atol=1e-10)
    means = class_contrast(m, s, y, temperature=temperature, reduction="nce")
    torch.testing.assert_close(means, oracle(m, s, y, temperature, means=True).mean(), rtol=1e-8, atol=1e-10)
    order = torch.randperm(count, generator=generator)
    length = torch.rand(count, 1, generator=generator, dtype=DOUBLE) + 0.1
    torch.testing.assert_close(class_contrast(m[order], s[order], y[order], temperature=temperature), loss)
    torch.testing.assert_close(class_contrast(length * m, s / length, 7 - 2 * y, temperature=temperature), loss)
    turn = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=DOUBLE)).Q
    torch.testing.assert_close(class_contrast(m @ turn, s @ turn, y, temperature=temperature), loss)
    # class-mates among the candidates may change places
    inside = torch.arange(count)
    for label in y.unique():
        rows = (y == label).nonzero().squeeze(1)
        inside[rows] = rows[torch.randperm(len(rows), generator=generator)]
    torch.testing.assert_close(class_contrast(m, s[inside], y, temperature=temperature), loss)
    mates = y.bincount()[y].double()
    assert loss >= (mates * mates.log()).mean() - 1e-9


def test_degenerate_batches() -> None:
    for rows in (0, 1):
        m, s = torch.randn(rows, 4, requires_grad=True), torch.randn(rows, 4, requires_grad=True)
        loss = class_contrast(m, s, torch.zeros(rows))
        loss.backward()
        assert loss.item() == 0
        assert m.grad is not None
        assert not m.grad.any()
    one_class = class_contrast(torch.randn(4, 3), torch.randn(4, 3), torch.zeros(4), reduction="nce")
    assert one_class.isfinite()
    # rows of zeros have no direction: similarity 0 to all, no gradient
    m, s = torch.zeros(4, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    loss = class_contrast(m, s, torch.tensor([0, 0, 1, 1]))
    loss.backward()
    assert loss.item() == close(2 * math.log(4) + 2 * math.log(4 / 3), rel=1e-6)
    assert m.grad is not None
    assert not m.grad.any()


def test_contrast_refusals() -> None:
    m, s, _, y = toy()
    with pytest.raises(ConfigError, match="'sum'"):
        class_contrast(m, s, y, reduction="sum")
    with pytest.raises(ConfigError, match="need"):
        class_contrast(m, s[:5], y)
    with pytest.raises(ConfigError, match="need"):
        class_contrast(m, s, y[:5])


def test_golden_divergence() -> None:
    zs, zm = (t.requires_grad_() for t in toy_logits())
    rows = [0.039984, 0.003984, 0.024129, 0.014588, 0.024724, 0.006424]
    assert [jensen_shannon(zs[i : i + 1], zm[i : i + 1]).item() for i in range(6)] == close(rows, abs=1e-6)
    loss = jensen_shannon(zs, zm)
    assert loss.item() == close(0.018972, abs=1e-6)
    to_s, to_m = torch.autograd.grad(loss, (zs, zm))
    assert to_s.norm().item() == close(0.021151, abs=1e-6)
    assert to_m.norm().item() == close(0.023364, abs=1e-6)
    _, _, _, y = toy()
    assert (cross_entropy(zs, y) + cross_entropy(zm, y)).item() == close(2.462231, abs=1e-6)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 8), st.sampled_from([0.01, 1.0, 30.0, 1e4]))
def test_divergence_oracle_and_bounds(seed: int, rows: int, classes: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    p, q = (scale * torch.randn(rows, classes, generator=generator, dtype=DOUBLE) for _ in range(2))
    loss = jensen_shannon(p, q)
    middle = (p.softmax(1) + q.softmax(1)) / 2
    want = sum(kl_div(middle.log(), x.softmax(1), reduction="batchmean") for x in (p, q)) / 2
    if scale < 1e3:
        torch.testing.assert_close(loss, want, rtol=1e-9, atol=1e-14)
    assert -1e-15 <= loss <= math.log(2) + 1e-15
    torch.testing.assert_close(jensen_shannon(q, p), loss)
    torch.testing.assert_close(jensen_shannon(p + 5, q - 3), loss, rtol=1e-6, atol=1e-9)
    assert jensen_shannon(p, p).item() == close(0.0, abs=1e-15)
    p.requires_grad_()
    jensen_shannon(p, q).backward()
    assert p.grad is not None
    assert p.grad.isfinite().all()


def test_divergence_of_certain_and_half_precision_logits() -> None:
    apart = jensen_shannon(torch.tensor([[1e4, 0.0]]), torch.tensor([[0.0, 1e4]]))
    assert apart.item() == close(math.log(2), rel=1e-6)
    zs, zm = toy_logits()
    half = jensen_shannon(zs.half(), zm.half())
    assert half.dtype == torch.float32
    assert half.item() == close(0.018972, abs=1e-4)
    with pytest.raises(ConfigError, match="one shape"):
        jensen_shannon(zs, zm[:, :2])


def critics() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits of the fundamental and the enhanced critic: teacher, student, teacher, student."""
    i = torch.arange(6, dtype=DOUBLE)
    w = torch.tensor([0, 1, 2, 4, 5])
    return torch.sin(i + 1), torch.cos(i + 1), 0.5 * torch.sin(2 * i[w] + 1), 0.5 * torch.cos(2 * i[w] + 1)


LAMBDA = torch.softmax(torch.tensor([0.0, 1.0], dtype=DOUBLE), dim=0)
UNIFORM = torch.tensor([0.5, 0.5], dtype=DOUBLE)


@pytest.mark.parametrize(
    ("weights", "denominator", "student", "critic"),
    [
        (LAMBDA, None, 0.764068, 1.419121),
        (LAMBDA, 5, 0.764068, 1.419121),
        (LAMBDA, 6.0, 0.671429, 1.249533),
        (LAMBDA, 4.107, 0.884925, 1.640366),
        (UNIFORM, None, 0.767294, 1.442548),
        (torch.tensor([1.0, 0.0], dtype=DOUBLE), None, 0.774274, 1.493241),
        (torch.tensor([0.0, 1.0], dtype=DOUBLE), None, 0.760314, 1.391854),
    ],
)
def test_golden_adversaries(weights: Tensor, denominator: float | None, student: float, critic: float) -> None:
    m1, s1, m2, s2 = critics()
    assert adversarial_student(s1, s2, weights, denominator=denominator).item() == close(student, abs=1e-6)
    assert adversarial_critic(m1, s1, m2, s2, weights, denominator=denominator).item() == close(critic, abs=1e-6)


def test_golden_adversaries_that_see_every_row() -> None:
    i = torch.arange(6, dtype=DOUBLE)
    m1, s1, _, _ = critics()
    m2, s2 = 0.5 * torch.sin(2 * i + 1), 0.5 * torch.cos(2 * i + 1)
    assert adversarial_student(s1, s2, UNIFORM).item() == close(0.747462, abs=1e-6)
    assert adversarial_critic(m1, s1, m2, s2, UNIFORM).item() == close(1.446694, abs=1e-6)


def test_golden_total() -> None:
    m, s, a, y = toy()
    zs, zm = toy_logits()
    _, s1, _, s2 = critics()
    total = cross_entropy(zs, y) + cross_entropy(zm, y) + jensen_shannon(zs, zm)
    total = total + 4 * class_contrast(m, s, y) + 1.6 * class_contrast(m, a, y) + adversarial_student(s1, s2, LAMBDA)
    assert total.item() == close(32.003350, abs=1e-5)


def test_undecided_critics() -> None:
    zero, two = torch.zeros(6), torch.zeros(2)
    assert adversarial_student(zero, two, LAMBDA).item() == close(math.log(2), rel=1e-6)
    assert adversarial_critic(zero, zero, two, two, LAMBDA).item() == close(2 * math.log(2), rel=1e-6)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(0, 8), st.sampled_from([None, 0.5, 4.136]))
def test_adversary_oracle(seed: int, rows: int, mates: int, denominator: float | None) -> None:
    generator = torch.Generator().manual_seed(seed)
    m1, s1 = (3 * torch.randn(rows, generator=generator, dtype=DOUBLE) for _ in range(2))
    m2, s2 = (3 * torch.randn(mates, generator=generator, dtype=DOUBLE) for _ in range(2))
    weights = torch.softmax(torch.randn(2, generator=generator, dtype=DOUBLE), dim=0)
    divisor = denominator or max(mates, 1)

    def yes(logits: Tensor) -> Tensor:
        return -torch.log(torch.sigmoid(logits))

    want = weights[0] * yes(s1).mean() + weights[1] * yes(s2).sum() / divisor
    torch.testing.assert_close(adversarial_student(s1, s2, weights, denominator=denominator), want)
    want = weights[0] * (yes(m1) + yes(-s1)).mean() + weights[1] * (yes(m2) + yes(-s2)).sum() / divisor
    torch.testing.assert_close(adversarial_critic(m1, s1, m2, s2, weights, denominator=denominator), want)
    # only the set of class-mates counts
    order = torch.randperm(mates, generator=generator)
    torch.testing.assert_close(
        adversarial_critic(m1, s1, m2, s2[order], weights), adversarial_critic(m1, s1, m2, s2, weights)
    )


def test_no_class_mates_contribute_nothing() -> None:
    critic = nn.Linear(3, 1)
    _, s1, _, _ = critics()
    empty = critic(torch.empty(0, 3)).squeeze(1)
    for denominator in (None, 4.0):
        loss = adversarial_student(s1.float(), empty, LAMBDA, denominator=denominator)
        assert loss.item() == close(LAMBDA[0].item() * 0.774274, abs=1e-6)
        both = adversarial_critic(s1.float(), s1.float(), empty, empty, LAMBDA, denominator=denominator)
        assert both.isfinite()
    loss.backward()
    assert critic.weight.grad is None or not critic.weight.grad.any()


def test_adversaries_pull_in_the_right_direction() -> None:
    logits = [t.requires_grad_() for t in critics()]
    to_s1, to_s2 = torch.autograd.grad(adversarial_student(logits[1], logits[3], LAMBDA), (logits[1], logits[3]))
    assert (to_s1 < 0).all()
    assert (to_s2 < 0).all()
    m1, s1, m2, s2 = torch.autograd.grad(adversarial_critic(*logits, LAMBDA), logits)
    for teacher, student in ((m1, s1), (m2, s2)):
        assert (teacher < 0).all()
        assert (student > 0).all()


def test_saturated_critics_and_precision() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        far = torch.tensor([-6e4, 6e4], dtype=dtype, requires_grad=True)
        loss = adversarial_student(far, far, UNIFORM)
        loss.backward()
        assert loss.dtype == torch.float32
        assert loss.item() == close(float(-far.detach()[0]) / 2, rel=1e-6)
        assert far.grad is not None
        assert far.grad.isfinite().all()
    m, s, _, y = toy()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert class_contrast(m.float(), s.float(), y).item() == close(4.994532, abs=1e-5)


def test_adversary_refusals() -> None:
    m1, s1, m2, s2 = critics()
    with pytest.raises(ConfigError, match="3 weights"):
        adversarial_student(s1, s2, torch.ones(3))
    for denominator in (0, -1.0):
        with pytest.raises(ConfigError, match="denominator"):
            adversarial_student(s1, s2, UNIFORM, denominator=denominator)
    with pytest.raises(ConfigError, match="one shape"):
        adversarial_critic(m1, s1, m2[:3], s2, UNIFORM)


# ---------------------------------------------------------------------------- leading axes and masks


def test_golden_divergences_of_answers() -> None:
    zs, zm = toy_logits()
    assert jeffreys(zs, zm).item() == close(0.076968, abs=1e-6)
    assert softened_answers(zs, zm, 4.0).item() == close(0.079525, abs=1e-6)
    _, _, _, y = toy()
    assert masked_cross_entropy(zs, y).item() == close(1.280229, abs=1e-6)
    assert masked_cross_entropy(zm, y).item() == close(1.182002, abs=1e-6)


def test_golden_masked_row() -> None:
    m, s, a, y = toy()
    rows = torch.arange(6) != 3
    assert class_contrast(m, s, y, rows=rows).item() == close(4.634144, abs=1e-6)
    assert class_contrast(m, a, y, rows=rows).item() == close(5.340640, abs=1e-6)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([(), (3,), (2, 2)]), st.sampled_from(["paper", "nce"]))
def test_masked_stacks_are_the_batches_of_the_rows_that_count(seed: int, lead: tuple[int, ...], reduction: str) -> None:
    """Every equation on a stack with a mask against itself on the rows that count, one batch at a time."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*lead, *shape, generator=generator, dtype=DOUBLE)

    x, y, p, q, logits = draw(9, 5), draw(9, 5), draw(9, 3), draw(9, 3), draw(4, 9)
    labels, rows = (draw(9) * 1.5).round().long().clamp(-1, 1) + 1, draw(9) > -0.6
    weights, repeated = torch.softmax(draw(2), dim=-1), repeated_rows(labels, rows)
    t1, s1, t2, s2 = logits.unbind(-2)
    both = {"rows": rows, "repeated": repeated}
    found = [
        class_contrast(x, y, labels, temperature=0.1, reduction=reduction, rows=rows),
        jensen_shannon(p, q, rows=rows),
        jeffreys(p, q, rows=rows),
        softened_answers(p, q, 4.0, rows=rows),
        masked_cross_entropy(p, labels, rows=rows),
        adversarial_student(s1, s2, weights, **both),
        adversarial_critic(t1, s1, t2, s2, weights, **both),
        adversarial_critic(t1, s1, t2, s2, weights, denominator=torch.full(lead, 4.136), **both),
    ]
    assert all(value.shape == lead for value in found)
    for place in torch.cartesian_prod(*(torch.arange(n) for n in lead)).view(-1, len(lead)).tolist() if lead else [[]]:
        at = tuple(place)
        r, v, w = rows[at], repeated[at], weights[at]
        wanted = [
            class_contrast(x[at][r], y[at][r], labels[at][r], temperature=0.1, reduction=reduction),
            jensen_shannon(p[at][r], q[at][r]),
            jeffreys(p[at][r], q[at][r]),
            softened_answers(p[at][r], q[at][r], 4.0),
            masked_cross_entropy(p[at][r], labels[at][r]),
            adversarial_student(s1[at][r], s2[at][v], w),
            adversarial_critic(t1[at][r], s1[at][r], t2[at][v], s2[at][v], w),
            adversarial_critic(t1[at][r], s1[at][r], t2[at][v], s2[at][v], w, denominator=4.136),
        ]
        for value, want in zip(found, wanted, strict=True):
            torch.testing.assert_close(value[at], want, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_few_rows_give_finite_gradients_and_none_gives_zero(kept: int) -> None:
    m, s, _, y = (x.clone().requires_grad_(x.is_floating_point()) for x in toy())
    value = class_contrast(m, s, y, temperature=0.01, rows=torch.arange(6) < kept)
    value.backward()
    assert m.grad is not None
    assert m.grad.isfinite().all()
    if kept < 2:
        assert value.item() == 0
        assert m.grad.abs().max() == 0
