from __future__ import annotations

import math

import pytest
import torch

from motet.core.errors import ConfigError
from motet.losses import cross_positive_mining, info_nce, mutual_contrast
from tests.losses.golden import raw, toy, unit

close = pytest.approx


def test_golden_toy_tensors() -> None:
    z, k, q = toy()
    torch.testing.assert_close(
        z["joint"][0], torch.tensor([0.654730, 0.175139, -0.561030, -0.475289]).double(), rtol=0, atol=1e-6
    )
    torch.testing.assert_close(
        k["joint"][0], torch.tensor([0.650366, -0.090978, -0.699039, -0.283006]).double(), rtol=0, atol=1e-6
    )
    torch.testing.assert_close(
        q["joint"][0], torch.tensor([0.074789, 0.359157, 0.586822, 0.721840]).double(), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(("stream", "want"), [("joint", 0.176077), ("motion", 0.062298), ("bone", 0.247616)])
def test_golden_info_nce(stream: str, want: float) -> None:
    z, k, q = toy()
    assert info_nce(z[stream], k[stream], q[stream]).item() == close(want, abs=1e-6)


def test_info_nce_of_equal_similarities() -> None:
    zero, queue = torch.zeros(5, 4), torch.zeros(8, 4)
    assert info_nce(zero, zero, queue).item() == close(math.log(9), rel=1e-6)


def test_info_nce_gradient_reaches_the_query_only() -> None:
    tensors = [group["joint"].requires_grad_() for group in toy()]
    info_nce(*tensors).backward()
    assert tensors[0].grad is not None
    assert tensors[0].grad.abs().sum() > 0
    assert tensors[1].grad is None
    assert tensors[2].grad is None


def test_golden_mutual_contrast() -> None:
    z, k, q = toy()
    assert mutual_contrast(z, k, q).item() == close(15.319061, rel=1e-6)
    pairs = {("joint", "motion"): 2.914396, ("joint", "bone"): 9.789676, ("motion", "joint"): 0.007608}
    for (a, b), want in pairs.items():
        assert info_nce(z[a], k[b], q[b]).item() == close(want, abs=1e-6)


@pytest.mark.parametrize(
    ("context", "top_k", "want"),
    [(False, 1, 10.654754), (False, 2, 17.165972), (True, 1, 16.119403), (True, 2, 22.644922)],
)
def test_golden_cross_positive_mining(context: bool, top_k: int, want: float) -> None:
    assert cross_positive_mining(*toy(), top_k=top_k, context=context).item() == close(want, rel=1e-6)


def test_context_carries_gradient_to_both_queries() -> None:
    queries = raw(0.0)
    _, k, q = toy()
    for tensor in queries.values():
        tensor.requires_grad_()
    z = unit(queries)
    # the joint stream alone, mined by motion: any gradient at motion came through the context block
    two = [{s: group[s] for s in ("joint", "motion")} for group in (z, k, q)]
    with_context = torch.autograd.grad(cross_positive_mining(*two), queries["motion"], retain_graph=True)[0]
    without = torch.autograd.grad(cross_positive_mining(*two, context=False), queries["motion"])[0]
    assert not torch.allclose(with_context, without)


def test_refuses_more_positives_than_slots() -> None:
    with pytest.raises(ConfigError, match=r"1\.\.8"):
        cross_positive_mining(*toy(), top_k=9)


def test_info_nce_refuses_what_would_be_stretched_to_fit() -> None:
    z, k, q = (group["joint"] for group in toy())
    with pytest.raises(ConfigError, match="every query has its own key"):
        info_nce(z, k[:1], q)
    for temperature in (0.0, -0.1, math.nan):
        with pytest.raises(ConfigError, match="it must be above 0"):
            info_nce(z, k, q, temperature=temperature)


def test_half_precision_is_promoted() -> None:
    tensors = [group["joint"].bfloat16() for group in toy()]
    assert info_nce(*tensors).dtype == torch.float32


def test_slots_that_are_left_out() -> None:
    """As a queue without them, row by row."""
    torch.manual_seed(0)
    query, key, queue = (torch.nn.functional.normalize(torch.randn(n, 4, dtype=torch.float64)) for n in (3, 3, 5))
    left_out = torch.tensor([[True, False, False, True, False], [False] * 5, [True] * 5])
    found = info_nce(query, key, queue, temperature=0.2, left_out=left_out)
    rows = [info_nce(query[i : i + 1], key[i : i + 1], queue[~left_out[i]], temperature=0.2) for i in range(3)]
    torch.testing.assert_close(found, torch.stack(rows).mean())
    present, held = torch.tensor([True, False, True]), torch.tensor([True, True, False, True, True])
    some = info_nce(query, key, queue, temperature=0.2, present=present, held=held, left_out=left_out)
    parts = [info_nce(query[i : i + 1], key[i : i + 1], queue[held & ~left_out[i]], temperature=0.2) for i in (0, 2)]
    torch.testing.assert_close(some, torch.stack(parts).mean())
