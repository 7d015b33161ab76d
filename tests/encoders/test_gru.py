from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from motet.core.errors import ConfigError
from motet.encoders import CausalGRU, SkeletonGRU, encode_together, recurrence
from tests.encoders.stepwise import StepwiseGRU, fill, waves

# Golden values: the released code of CMD (Mao et al., ECCV 2022) run on the waves below, in float64.
GOLDEN = [
    [0.988548, 0.523090, -0.572770, -0.357447, 0.079309, -0.229501, -0.180967, -0.154566],
    [0.984830, 0.486624, -0.583376, -0.414399, 0.107624, -0.223172, -0.187519, -0.107562],
]
GOLDEN_NORMED = [0.989247, 0.567647, -0.583618, -0.374132, 0.132863, -0.244289, -0.192010, -0.152458]


def _gradients(encoder: nn.Module, x: Tensor, low: torch.dtype | None = None) -> tuple[Tensor, list[Tensor]]:
    """Feature and all gradients of a fixed weighting of it."""
    x = x.clone().requires_grad_()
    encoder.zero_grad()
    with torch.autocast("cpu", dtype=low or torch.bfloat16, enabled=low is not None):
        feature = encoder(x)
    weight = torch.cos(torch.arange(feature.numel(), dtype=feature.dtype)).view_as(feature)
    (feature * weight).sum().backward()
    assert x.grad is not None
    return feature.detach(), [x.grad, *(p.grad for p in encoder.parameters() if p.grad is not None)]


def _assert_same_gradients(found: list[Tensor], expected: list[Tensor], relative: float) -> None:
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert (mine - theirs).norm() <= relative * theirs.norm()


@pytest.fixture(params=["grouped", "one by one"])
def grouping(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of walking through the groups of a layer."""
    if request.param == "one by one":
        monkeypatch.setattr(recurrence, "_CPU_GROUP_BYTES", 1)


def test_golden_causal(grouping: None) -> None:
    encoder = CausalGRU(3, 4, 3).double()
    fill(encoder)
    torch.testing.assert_close(encoder(waves(2, 5, 3)), torch.tensor(GOLDEN, dtype=torch.float64), rtol=1e-6, atol=6e-7)


def test_golden_bidirectional() -> None:
    encoder = CausalGRU(3, 4, 3, mode="bidirectional").double()
    fill(encoder)
    found = encoder(waves(2, 5, 3))[0, :3]
    expected = torch.tensor([0.952432, 0.509289, -0.539829], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=6e-7)


def test_bidirectional_is_the_library_s() -> None:
    torch.manual_seed(0)
    encoder = CausalGRU(5, 6, 2, mode="bidirectional")
    plain = StepwiseGRU.like(encoder).gru
    x = torch.randn(3, 7, 5)
    torch.testing.assert_close(encoder.sequence(x), plain(x)[0])
    torch.testing.assert_close(encoder(x), plain(x)[0][:, -1])


def test_golden_with_norm() -> None:
    encoder = SkeletonGRU(nodes=6, persons=1, channels=1, hidden=4, layers=3).double()
    fill(encoder.gru)
    feature = encoder(waves(2, 5, 6).view(2, 5, 1, 6, 1))
    torch.testing.assert_close(feature[0], torch.tensor(GOLDEN_NORMED, dtype=torch.float64), rtol=1e-6, atol=6e-7)
    mean = encoder.norm.running_mean
    assert mean is not None
    torch.testing.assert_close(
        mean[:3], torch.tensor([0.066025, 0.083061, 0.079761], dtype=torch.float64), rtol=1e-6, atol=6e-7
    )


@pytest.mark.parametrize("layers", [1, 3])
def test_parameters_are_those_of_the_library(layers: int) -> None:
    ours = [(name, p.shape) for name, p in CausalGRU(7, 5, layers).named_parameters()]
    theirs = [(name, p.shape) for name, p in nn.GRU(7, 5, layers, bidirectional=True).named_parameters()]
    assert ours == theirs


def test_published_size() -> None:
    with torch.device("meta"):
        encoder = SkeletonGRU(nodes=25, persons=2, channels=3)
    assert sum(p.numel() for p in encoder.gru.parameters()) == 44_998_656
    assert sum(p.numel() for p in encoder.norm.parameters()) == 300
    assert encoder.feature_size == 2048


def test_features_lie_joint_major() -> None:
    encoder = SkeletonGRU(nodes=4, persons=2, channels=3, hidden=2, layers=1).double()
    seen: list[Tensor] = []
    encoder.norm.register_forward_hook(lambda _module, given, _result: seen.append(given[0]))
    encoder(torch.arange(24.0, dtype=torch.float64).view(1, 1, 2, 4, 3).repeat(2, 3, 1, 1, 1))
    for v in range(4):
        for c in range(3):
            for p in range(2):
                assert seen[0][0, v * 6 + c * 2 + p] == p * 12 + v * 3 + c


def test_gradcheck(grouping: None) -> None:
    torch.manual_seed(1)
    encoder = CausalGRU(3, 2, 2).double()
    x = torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True)
    tensors = (x, *encoder.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: encoder(x), tensors)
    assert torch.autograd.gradcheck(lambda x, *_: encoder.sequence(x), tensors)


@pytest.mark.parametrize(("hidden", "layers", "batch", "time"), [(1, 1, 1, 1), (33, 3, 5, 9), (64, 2, 16, 32)])
def test_equal_to_stepwise(hidden: int, layers: int, batch: int, time: int, grouping: None) -> None:
    torch.manual_seed(2)
    encoder = CausalGRU(11, hidden, layers)
    plain = StepwiseGRU.like(encoder)
    x = torch.randn(batch, time, 11)
    torch.testing.assert_close(encoder.sequence(x), plain.sequence(x), rtol=1e-5, atol=1e-6)
    feature, found = _gradients(encoder, x)
    expected_feature, expected = _gradients(plain, x)
    torch.testing.assert_close(feature, expected_feature, rtol=1e-5, atol=1e-6)
    _assert_same_gradients(found, expected, 1e-5)


@pytest.mark.parametrize("hidden", [64, 256])
def test_bfloat16_gradients_point_the_same_way(hidden: int, grouping: None) -> None:
    torch.manual_seed(3)
    encoder = SkeletonGRU(5, 1, 3, hidden, layers=3)
    x = torch.randn(16, 16, 1, 5, 3)
    feature, expected = _gradients(encoder, x)
    low_feature, found = _gradients(encoder, x, low=torch.bfloat16)
    assert low_feature.dtype == torch.float32
    torch.testing.assert_close(low_feature, feature, rtol=0, atol=0.02)
    flat, flat_expected = (torch.cat([g.flatten() for g in gs[1:]]) for gs in (found, expected))
    assert flat.dtype == torch.float32
    assert torch.cosine_similarity(flat, flat_expected, dim=0) >= 0.9999


def test_double_ignores_autocast() -> None:
    encoder = CausalGRU(3, 4, 2).double()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = encoder(waves(2, 5, 3))
    assert torch.equal(low, encoder(waves(2, 5, 3)))


@pytest.mark.parametrize("low", [None, torch.bfloat16])
@pytest.mark.parametrize("spread", [30.0, 1e4])
def test_wild_inputs_stay_finite(spread: float, low: torch.dtype | None) -> None:
    torch.manual_seed(4)
    encoder = CausalGRU(6, 16, 3)
    feature, gradients = _gradients(encoder, spread * torch.randn(4, 12, 6), low=low)
    assert feature.isfinite().all()
    assert feature.abs().max() <= 1
    assert all(g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("mode", ["causal", "bidirectional"])
def test_causality(mode: str) -> None:
    torch.manual_seed(5)
    encoder = CausalGRU(3, 4, 3, mode)
    x = torch.randn(2, 8, 3)
    changed = x.clone()
    changed[:, 5] += 1
    same = (encoder.sequence(x) == encoder.sequence(changed)).all(dim=2).all(dim=0)
    # the bidirectional mode is the counter-example: its reverse half hears of the change at once
    assert same.tolist() == ([True] * 5 + [False] * 3 if mode == "causal" else [False] * 8)


def test_step_by_step_equals_the_sequence() -> None:
    torch.manual_seed(6)
    encoder = CausalGRU(3, 4, 3)
    x = torch.randn(2, 7, 3)
    state, outputs = encoder.initial_state(2), []
    for frame in x.unbind(1):
        output, state = encoder.step(frame, state)
        outputs.append(output)
    torch.testing.assert_close(torch.stack(outputs, 1), encoder.sequence(x), rtol=1e-5, atol=1e-6)
    with pytest.raises(ConfigError, match="frame by frame"):
        CausalGRU(3, 4, 3, "bidirectional").step(x[:, 0], state)


def test_last_frame_of_the_sequence_is_the_feature() -> None:
    encoder = CausalGRU(3, 4, 2)
    x = torch.randn(5, 6, 3)
    assert torch.equal(encoder.sequence(x)[:, -1], encoder(x))
    torch.testing.assert_close(encoder.sequence_by_library(x), encoder.sequence(x), rtol=1e-5, atol=1e-6)


def test_exporters_see_library_operators_only() -> None:
    encoder = SkeletonGRU(3, 1, 2, hidden=4, layers=2).eval()
    x = torch.randn(2, 5, 1, 3, 2)
    program = torch.export.export(encoder, (x,))
    torch.testing.assert_close(program.module()(x), encoder(x), rtol=1e-5, atol=1e-6)


def test_backward_twice_with_retained_graph() -> None:
    encoder = CausalGRU(3, 4, 2)
    loss = encoder(torch.randn(2, 5, 3)).sum()
    first = torch.autograd.grad(loss, list(encoder.parameters()), retain_graph=True)
    second = torch.autograd.grad(loss, list(encoder.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_frozen_parameters_get_no_gradient() -> None:
    encoder = CausalGRU(3, 4, 2)
    encoder.weight_ih_l0.requires_grad_(False)
    encoder(torch.randn(2, 5, 3)).sum().backward()
    assert encoder.weight_ih_l0.grad is None
    assert all(p.grad is not None for n, p in encoder.named_parameters() if n != "weight_ih_l0")


def test_without_gradients_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    buffers: list[weakref.ref[Tensor]] = []
    scan = recurrence._scan

    def watched(gates: Tensor, *rest: Tensor) -> Tensor:
        # earlier layers' gates must be gone by the time a later layer runs
        buffers.append(weakref.ref(gates))
        return scan(gates, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(recurrence, "_scan", watched)
    encoder = CausalGRU(3, 4, 3)
    with torch.no_grad():
        feature = encoder(torch.randn(2, 5, 3))
    assert len(buffers) == 3
    assert all(buffer() is None for buffer in buffers)
    assert feature.untyped_storage().nbytes() == 2 * 2 * 4 * 4


@pytest.mark.parametrize("low", [None, torch.bfloat16])
def test_together_equals_apart(low: torch.dtype | None, grouping: None) -> None:
    torch.manual_seed(7)
    encoders = nn.ModuleList([SkeletonGRU(5, 1, 3, 8, 2), SkeletonGRU(5, 1, 3, 8, 2), SkeletonGRU(2, 1, 3, 8, 2)])
    inputs = [torch.randn(4, 6, 1, n, 3) for n in (5, 5, 2)]
    weights = [torch.randn(4, 16) for _ in encoders]

    def gradients(features: list[Tensor]) -> list[Tensor]:
        encoders.zero_grad()
        torch.stack([(f * w).sum() for f, w in zip(features, weights, strict=True)]).sum().backward()
        return [p.grad.clone() for p in encoders.parameters() if p.grad is not None]

    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low is not None):
        together = encode_together(list(encoders), inputs)
        found = gradients(together)
        apart = [encoder(x) for encoder, x in zip(encoders, inputs, strict=True)]
        expected = gradients(apart)
    for mine, theirs in zip(together, apart, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)
    assert len(found) == len(list(encoders.parameters()))
    _assert_same_gradients(found, expected, 1e-5)


def test_together_mixes_what_cannot_be_grouped() -> None:
    torch.manual_seed(8)
    encoders = [CausalGRU(3, 4, 2), CausalGRU(3, 5, 2), CausalGRU(3, 4, 2, "bidirectional"), CausalGRU(3, 4, 2)]
    inputs = [torch.randn(2, t, 3) for t in (6, 6, 6, 7)]
    for feature, encoder, x in zip(encode_together(encoders, inputs), encoders, inputs, strict=True):
        torch.testing.assert_close(feature, encoder(x))
    with pytest.raises(ConfigError, match="4 encoders were given 3 inputs"):
        encode_together(encoders, inputs[:3])


def test_absent_person_and_any_batch() -> None:
    encoder = SkeletonGRU(nodes=3, persons=2, channels=2, hidden=4, layers=2)
    x = torch.randn(3, 5, 2, 3, 2)
    x[:, :, 1] = 0
    assert encoder(x).isfinite().all()
    encoder.eval()
    torch.testing.assert_close(encoder(x)[:1], encoder(x[:1]))


def test_errors_name_the_option() -> None:
    with pytest.raises(ConfigError, match=r"'both'.*causal"):
        CausalGRU(3, 4, 2, mode="both")
    with pytest.raises(ConfigError, match="hidden must be at least 1, not 0"):
        CausalGRU(3, 0)
    with pytest.raises(ConfigError, match="persons"):
        SkeletonGRU(3, 0, 3)
    with pytest.raises(ConfigError, match=r"\(batch, frames, 3\)"):
        CausalGRU(3, 4, 2)(torch.zeros(2, 5, 4))
    with pytest.raises(ConfigError, match="at least one frame"):
        CausalGRU(3, 4, 2)(torch.zeros(2, 0, 3))
    with pytest.raises(ConfigError, match=r"last three \(1, 5, 3\), not"):
        SkeletonGRU(5, 1, 3, 4, 2)(torch.zeros(2, 6, 1, 4, 3))


@pytest.mark.parametrize("mode", ["causal", "bidirectional"])
def test_the_library_keeps_what_a_backward_pass_needs(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """cuDNN refuses the backward pass of a call that was not told to train, in evaluation mode too."""
    told: list[bool] = []
    own = torch._VF.gru

    def gru(*args: Any) -> Any:
        told.append(args[6])
        return own(*args)

    monkeypatch.setattr(torch._VF, "gru", gru)
    model = CausalGRU(3, 4, 2, mode).eval()
    x = torch.randn(2, 5, 3)
    run = model.sequence if mode == "bidirectional" else model.sequence_by_library
    run(x).sum().backward()
    assert told
    assert all(told)
    told.clear()
    with torch.no_grad():
        run(x)
    assert told
    assert not any(told)
