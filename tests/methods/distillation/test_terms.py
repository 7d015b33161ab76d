from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from motet import losses
from motet.core.errors import ConfigError
from motet.methods.distillation import terms
from motet.methods.distillation.methods.amid import Amid, AmidMethod, expected_mates
from motet.methods.distillation.methods.gmc import geometric_contrast
from motet.methods.distillation.networks import Outputs
from tests.methods.distillation.toys import DOUBLE, EVERYONE, LABELS, batch, context, features, logits

close = pytest.approx


def contrast(anchors: Tensor, candidates: Tensor, rows: Tensor = EVERYONE, reduction: str = "paper") -> float:
    value = terms.class_contrast(anchors, candidates, LABELS, rows, temperature=0.5, reduction=reduction)
    return value.item()


def test_golden_contrast_and_divergence() -> None:
    m, s, a = features()
    z_s, z_m = logits()
    assert contrast(m, s) == close(4.994532, abs=1e-6)
    assert contrast(m, a) == close(5.487471, abs=1e-6)
    assert contrast(m, s, reduction="nce") == close(2.037685, abs=1e-6)
    assert contrast(m, a, reduction="nce") == close(2.384914, abs=1e-6)
    assert terms.jensen_shannon(z_s, z_m, EVERYONE).item() == close(0.018972, abs=1e-6)
    assert terms.jeffreys(z_s, z_m, EVERYONE).item() == close(0.076968, abs=1e-6)
    assert terms.cross_entropy(z_s, LABELS, EVERYONE).item() == close(1.280229, abs=1e-6)
    assert terms.cross_entropy(z_m, LABELS, EVERYONE).item() == close(1.182002, abs=1e-6)
    assert terms.softened(z_s, z_m, EVERYONE, 4.0).item() == close(0.079525, abs=1e-6)


def test_golden_contrast_of_the_rows_that_are_there() -> None:
    m, s, a = features()
    rows = EVERYONE.clone()
    rows[0, 3] = False
    assert contrast(m, s, rows) == close(4.634144, abs=1e-6)
    assert contrast(m, a, rows) == close(5.340640, abs=1e-6)


def test_a_masked_lane_is_the_loss_of_the_rows_left() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(3, 9, 5, dtype=DOUBLE), torch.randn(3, 9, 5, dtype=DOUBLE)
    labels, rows = torch.randint(0, 3, (3, 9)), torch.rand(3, 9) > 0.3
    p, q = torch.randn(3, 9, 3, dtype=DOUBLE), torch.randn(3, 9, 3, dtype=DOUBLE)
    for reduction in ("paper", "nce"):
        found = terms.class_contrast(x, y, labels, rows, temperature=0.1, reduction=reduction)
        for lane in range(3):
            r = rows[lane]
            wanted = losses.class_contrast(
                x[lane, r], y[lane, r], labels[lane, r], temperature=0.1, reduction=reduction
            )
            assert found[lane].item() == close(wanted.item(), rel=1e-12)
    found = terms.jensen_shannon(p, q, rows)
    assert found.tolist() == close(
        [losses.jensen_shannon(p[g, rows[g]], q[g, rows[g]]).item() for g in range(3)], rel=1e-12
    )


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_few_rows_give_finite_gradients_and_no_row_gives_none(kept: int) -> None:
    m, s, _ = (x.clone().requires_grad_() for x in features())
    rows = torch.arange(6)[None] < kept
    value = terms.class_contrast(m, s, LABELS, rows, temperature=0.01, reduction="paper")
    value.sum().backward()
    assert m.grad is not None
    assert m.grad.isfinite().all()
    if kept < 2:
        assert value.item() == 0
        assert m.grad.abs().max() == 0


@pytest.mark.parametrize("labels", [[0] * 6, list(range(6))])
@pytest.mark.parametrize("reduction", ["paper", "nce"])
def test_one_class_and_all_distinct_classes_are_finite(labels: list[int], reduction: str) -> None:
    m, s, _ = (x.clone().requires_grad_() for x in features())
    y = torch.tensor([labels])
    terms.class_contrast(m, s, y, EVERYONE, temperature=0.5, reduction=reduction).sum().backward()
    wanted = losses.class_contrast(m[0].detach(), s[0].detach(), y[0], reduction=reduction)
    value = terms.class_contrast(m, s, y, EVERYONE, temperature=0.5, reduction=reduction)
    assert value.item() == close(wanted.item(), rel=1e-12)
    assert m.grad is not None
    assert m.grad.isfinite().all()


def test_a_zero_vector_has_no_direction_and_no_gradient() -> None:
    m, s, _ = (x.clone() for x in features())
    s[0, 2] = 0
    s.requires_grad_()
    terms.class_contrast(m, s, LABELS, EVERYONE, temperature=0.5, reduction="paper").sum().backward()
    assert s.grad is not None
    assert s.grad.isfinite().all()
    assert s.grad[0, 2].abs().max() == 0


def critics() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits of both critics on teacher and student, (1, 6)."""
    i = torch.arange(6, dtype=DOUBLE)
    found = torch.sin(i + 1), torch.cos(i + 1), 0.5 * torch.sin(2 * i + 1), 0.5 * torch.cos(2 * i + 1)
    return found[0][None], found[1][None], found[2][None], found[3][None]


@pytest.mark.parametrize(
    ("shares", "d", "student", "critic"),
    [
        ((0.268941421, 0.731058579), None, 0.764068, 1.419121),
        ((0.268941421, 0.731058579), 6.0, 0.671429, 1.249533),
        ((0.268941421, 0.731058579), 4.107, 0.884925, 1.640366),
        ((0.5, 0.5), None, 0.767294, 1.442548),
        ((1.0, 0.0), None, 0.774274, 1.493241),
    ],
)
def test_golden_adversarial_terms(shares: tuple[float, float], d: float | None, student: float, critic: float) -> None:
    t1, s1, t2, s2 = critics()
    weights, mates = torch.tensor([shares], dtype=DOUBLE), terms.repeated(LABELS, EVERYONE)
    assert mates.tolist() == [[True, True, True, False, True, True]]
    soft = torch.nn.functional.softplus
    assert terms.adversarial(soft(-s1), soft(-s2), weights, EVERYONE, mates, d).item() == close(student, abs=1e-6)
    both = soft(-t1) + soft(s1), soft(-t2) + soft(s2)
    assert terms.adversarial(*both, weights, EVERYONE, mates, d).item() == close(critic, abs=1e-6)


@pytest.mark.parametrize(
    ("denominator", "divisor", "wanted"),
    [("count", 4.107, 1.419121), (6.0, 4.107, 1.249533), (4.107, 1.0, 1.640366), ("expected", 4.107, 1.640366)],
)
def test_denominators_of_the_enhanced_critic(denominator: float | str, divisor: float, wanted: float) -> None:
    method = AmidMethod(Amid(denominator=denominator), context())  # type: ignore[arg-type]
    method.divisor = torch.tensor([divisor], dtype=DOUBLE)
    t1, s1, t2, s2 = critics()
    soft = torch.nn.functional.softplus
    both = soft(-t1) + soft(s1), soft(-t2) + soft(s2)
    found = method._weighted(*both, batch(), terms.repeated(LABELS, EVERYONE))
    assert found.item() == close(wanted, abs=1e-6)


def test_golden_identical_critics() -> None:
    t1, s1, t2, s2 = critics()
    half, soft = torch.full((1, 2), 0.5, dtype=DOUBLE), torch.nn.functional.softplus
    assert terms.adversarial(soft(-s1), soft(-s2), half, EVERYONE, EVERYONE, None).item() == close(0.747462, abs=1e-6)
    both = soft(-t1) + soft(s1), soft(-t2) + soft(s2)
    assert terms.adversarial(*both, half, EVERYONE, EVERYONE, None).item() == close(1.446694, abs=1e-6)


def test_a_denominator_of_nothing_is_refused() -> None:
    zero = torch.zeros(1, 6)
    with pytest.raises(ConfigError, match="denominator"):
        terms.adversarial(zero, zero, torch.ones(1, 2), EVERYONE, EVERYONE, 0.0)


# ---------------------------------------------------------------------------- dynamic weights


@pytest.mark.parametrize(
    ("beta", "raw", "shares"),
    [
        (0.0, (0.675371, 0.610077), (0.516318, 0.483682)),
        (0.5, (0.337686, 0.805038), (0.385243, 0.614757)),
        (0.9, (0.067537, 0.961008), (0.290394, 0.709606)),
        (0.99, (0.006754, 0.996101), (0.271041, 0.728959)),
        (0.999, (0.000675, 0.999610), (0.269151, 0.730849)),
    ],
)
def test_golden_dynamic_weights(beta: float, raw: tuple[float, float], shares: tuple[float, float]) -> None:
    method = AmidMethod(Amid(beta=beta, warm_up=0, adversarial=0.0), context())
    assert method.shares()[0].tolist() == close([0.268941, 0.731059], abs=1e-6)
    m, s, a = features()
    method.after_step(Outputs(s, m, (a,), *logits()), batch())
    logged = method.end_of_epoch(0)
    assert logged["cosine_own"].item() == close(0.324629, abs=1e-6)
    assert logged["cosine_mates"].item() == close(0.389923, abs=1e-6)
    every = terms.unit(m[0]) @ terms.unit(s[0]).T
    apart = LABELS[0][:, None] != LABELS[0]
    assert logged["cosine_others"].item() == close(every[apart].mean().item(), abs=1e-9)
    assert method.raw[0].tolist() == close(list(raw), abs=1e-6)
    assert method.shares()[0].tolist() == close(list(shares), abs=1e-6)


def test_golden_sequence_of_dynamic_weights() -> None:
    method = AmidMethod(Amid(beta=0.9, warm_up=0), context())
    seen = []
    for own, mates in ((0.3, 0.1), (0.5, 0.4), (0.8, 0.75)):
        method.sums[0] = torch.tensor([6 * own, 6, 8 * mates, 8, 0, 0], dtype=DOUBLE)
        method.end_of_epoch(0)
        seen += method.shares()[0].tolist()
    assert method.raw[0].tolist() == close([0.1217, 0.8809], abs=1e-6)
    assert seen == close([0.284958, 0.715042, 0.301956, 0.698044, 0.318820, 0.681180], abs=1e-6)


def test_without_a_pair_the_second_weight_stays() -> None:
    method = AmidMethod(Amid(warm_up=0, adversarial=0.0), context())
    m, s, _ = features()
    method.after_step(Outputs(s, m, (), *logits()), batch(labels=torch.arange(6)[None]))
    method.end_of_epoch(0)
    assert method.raw[0, 1] == 1
    assert method.raw[0, 0] != 0


@pytest.mark.parametrize(
    ("change", "wanted"),
    [({"weighting": "uniform"}, (0.5, 0.5)), ({"enhanced": "all"}, (0.5, 0.5)), ({"enhanced": "none"}, (1.0, 0.0))],
)
def test_ablations_of_the_weights(change: dict[str, str], wanted: tuple[float, float]) -> None:
    assert AmidMethod(Amid(**change), context()).shares()[0].tolist() == list(wanted)  # type: ignore[arg-type]


def test_expected_number_of_rows_with_a_mate() -> None:
    # 200 about equal classes in batches of 16 (ActivityNet): 1.137; 4 classes in batches of 128 (IEMOCAP): all
    assert expected_mates(torch.arange(10024) % 200, 16) == close(1.137, abs=1e-3)
    assert expected_mates(torch.arange(4000) % 4, 128) == close(128.0, abs=1e-9)
    assert expected_mates(torch.tensor([0, 0, 1]), 2) == close(2 * 1 / 3)  # one of three pairs is of one class
    assert expected_mates(torch.arange(5), 3) == close(0.0)


# ---------------------------------------------------------------------------- rivals


@pytest.mark.parametrize(
    ("temperature", "form", "student", "auxiliary"),
    [
        (0.1, "code", 6.653558, 9.529148),
        (0.3, "code", 2.998493, 3.995718),
        (0.1, "paper", 7.138962, 9.839763),
        (0.3, "paper", 3.206337, 4.274660),
        (0.1, "joints", None, 12.497766),
        (0.3, "joints", None, 4.749787),
    ],
)
def test_golden_geometric_contrast(temperature: float, form: str, student: float | None, auxiliary: float) -> None:
    """Of student and auxiliary; where only their sum is known, ``auxiliary`` is it."""
    joint, s, a = (terms.unit(x) for x in features())
    known = [((s, a), auxiliary)]
    if student is not None:
        known = [((s,), student), ((a,), auxiliary), ((s, a), student + auxiliary)]
    for others, wanted in known:
        found = geometric_contrast(joint, others, EVERYONE, temperature=temperature, form=form)
        assert found.item() == close(wanted, abs=2e-6)


@pytest.mark.parametrize("form", ["code", "paper", "joints"])
def test_geometric_contrast_of_the_rows_that_are_there(form: str) -> None:
    joint, s, a = (terms.unit(x) for x in features())
    rows = EVERYONE.clone()
    rows[0, 1] = False
    left = [0, 2, 3, 4, 5]
    found = geometric_contrast(joint, (s, a), rows, temperature=0.3, form=form)
    wanted = geometric_contrast(joint[:, left], (s[:, left], a[:, left]), EVERYONE[:, :5], temperature=0.3, form=form)
    assert found.item() == close(wanted.item(), rel=1e-12)
    assert math.isfinite(geometric_contrast(joint, (s,), torch.arange(6)[None] < 1, temperature=0.1, form=form).item())
