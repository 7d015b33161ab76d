from __future__ import annotations

import pytest
import torch
from torch import Tensor

from motet import losses
from motet.losses._rows import unit
from motet.methods.distillation.methods.amid import Amid, AmidMethod, expected_repeated
from motet.methods.distillation.networks import Outputs
from tests.methods.distillation.toys import DOUBLE, LABELS, batch, context, features, logits

close = pytest.approx


def critics() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits of both critics on teacher and student, (1, 6)."""
    i = torch.arange(6, dtype=DOUBLE)
    found = torch.sin(i + 1), torch.cos(i + 1), 0.5 * torch.sin(2 * i + 1), 0.5 * torch.cos(2 * i + 1)
    return found[0][None], found[1][None], found[2][None], found[3][None]


@pytest.mark.parametrize(
    ("denominator", "divisor", "wanted"),
    [("count", 4.107, 1.419121), (6.0, 4.107, 1.249533), (4.107, 1.0, 1.640366), ("expected", 4.107, 1.640366)],
)
def test_denominators_of_the_enhanced_critic(denominator: float | str, divisor: float, wanted: float) -> None:
    method = AmidMethod(Amid(denominator=denominator), context())  # type: ignore[arg-type]
    method.divisor = torch.tensor([divisor], dtype=DOUBLE)
    t1, s1, t2, s2 = critics()
    found = losses.adversarial_critic(
        t1,
        s1,
        t2,
        s2,
        method.shares(),
        denominator=method._denominator(),
        repeated=method._repeated(batch()),
    )
    assert found.item() == close(wanted, abs=1e-6)


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
    assert logged["cosine_class"].item() == close(0.389923, abs=1e-6)
    every = unit(m[0]) @ unit(s[0]).T
    apart = LABELS[0][:, None] != LABELS[0]
    assert logged["cosine_others"].item() == close(every[apart].mean().item(), abs=1e-9)
    assert method.raw[0].tolist() == close(list(raw), abs=1e-6)
    assert method.shares()[0].tolist() == close(list(shares), abs=1e-6)


def test_golden_sequence_of_dynamic_weights() -> None:
    method = AmidMethod(Amid(beta=0.9, warm_up=0), context())
    seen = []
    for own, same in ((0.3, 0.1), (0.5, 0.4), (0.8, 0.75)):
        method.sums[0] = torch.tensor([6 * own, 6, 8 * same, 8, 0, 0], dtype=DOUBLE)
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


def test_expected_number_of_rows_of_a_repeated_class() -> None:
    # 200 about equal classes in batches of 16 (ActivityNet): 1.137; 4 classes in batches of 128 (IEMOCAP): all
    assert expected_repeated(torch.arange(10024) % 200, 16) == close(1.137, abs=1e-3)
    assert expected_repeated(torch.arange(4000) % 4, 128) == close(128.0, abs=1e-9)
    assert expected_repeated(torch.tensor([0, 0, 1]), 2) == close(2 * 1 / 3)  # one of three pairs is of one class
    assert expected_repeated(torch.arange(5), 3) == close(0.0)
