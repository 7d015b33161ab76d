"""Attention-guided dropping: golden values and its two rules."""

from __future__ import annotations

import pytest
import torch

from motet.encoders import STGCN
from motet.encoders.attention import LEAST_ATTENTION, energy_attention, energy_drop
from tests.conftest import stick


def wave() -> torch.Tensor:
    i = torch.arange(1200.0, dtype=torch.float64)
    return (torch.cos(0.37 * i) + 0.5 * torch.cos(0.011 * i)).float().view(2, 4, 6, 25)


def test_golden_drop() -> None:
    left = energy_drop(wave().permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    assert int((left != 0).sum()) == 820
    assert left.double().sum().item() == pytest.approx(26.716499, abs=2e-5)
    assert left.flatten()[:5].tolist() == pytest.approx([0, 0, 0, 1.3820, 0.8637], abs=1e-4)


def test_the_two_rules_written_out() -> None:
    x = wave().permute(0, 2, 3, 1)
    # joints of which more than the threshold stands out: one far from all others in every channel
    x = x.clone()
    x[0, :, 7] += 20
    attention = energy_attention(x)
    joints, entries = attention.mean((1, 3)) < 0.7, attention < 0.7
    assert not joints[0, 7]
    assert joints.sum() == joints.numel() - 1
    scale = joints.numel() / joints.sum() * entries.numel() / entries.sum()
    want = x * joints[:, None, :, None] * entries * scale
    torch.testing.assert_close(energy_drop(x), want)
    assert (energy_drop(x)[0, :, 7] == 0).all()


def test_thresholds_and_gradient() -> None:
    x = wave().permute(0, 2, 3, 1).requires_grad_()
    assert torch.equal(energy_drop(x, 1.0), x)
    nothing = energy_drop(x, 0.1)
    assert (nothing == 0).all()
    left = energy_drop(x)
    left.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad * x.detach(), left.detach())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype: torch.dtype) -> None:
    """Attention is computed in float32: the mask is that of the same numbers in float32."""
    for x in (wave().to(dtype), 300 * wave().to(dtype)):  # squares beyond float16
        left = energy_drop(x.permute(0, 2, 3, 1))
        assert left.dtype == dtype
        assert left.isfinite().all()
        assert torch.equal(left != 0, energy_drop(x.permute(0, 2, 3, 1).float()) != 0)


def test_no_attention_is_below_the_least() -> None:
    assert energy_attention(wave()).min() >= LEAST_ATTENTION
    assert energy_attention(torch.zeros(1, 2, 3, 4)).max().item() == pytest.approx(LEAST_ATTENTION)
    assert not energy_drop(wave(), LEAST_ATTENTION).any()


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_flat_maps_and_single_entries_are_finite(value: float) -> None:
    for shape in ((2, 3, 4, 5), (1, 1, 1, 1)):
        assert torch.isfinite(energy_drop(torch.full(shape, value))).all()


def test_the_node_map_is_what_the_feature_is_the_mean_of() -> None:
    torch.manual_seed(0)
    encoder = STGCN(stick(), width=4, feature_size=6).eval()
    x = torch.randn(3, 9, 2, 8, 3)
    nodes = encoder.forward_nodes(x)
    assert nodes.shape == (6, 3, 8, 6)
    torch.testing.assert_close(nodes.view(3, 2, 3, 8, 6).mean((1, 2, 3)), encoder(x))
