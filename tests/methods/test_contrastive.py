"""Step order, gradient flow and schedules of the contrastive host."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize

from motet.core.errors import ConfigError
from motet.losses import info_nce, mutual_distillation
from motet.memory import ema_update
from motet.methods.cmd import CMD
from motet.methods.contrastive import Contrastive, ContrastiveStreams, Term
from motet.methods.crossclr import CrosSCLR
from motet.methods.mcl import MCL
from motet.methods.moco import MoCo
from tests.conftest import stick
from tests.losses.golden import STREAMS, raw, toy, unit

Any3 = ("joint", "motion", "bone")


def host(options: Contrastive, streams: tuple[str, ...] = Any3, epochs: int = 4) -> ContrastiveStreams:
    torch.manual_seed(0)
    encoder = {"name": "gru", "hidden": 6, "layers": 1, "mode": "causal"}
    return ContrastiveStreams(
        options, streams, skeleton=stick(), persons=1, channels=3, encoder=encoder, epochs=epochs
    ).double()


def clips(seed: int = 0) -> torch.Tensor:
    return torch.randn(4, 6, 1, 8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


SMALL: dict[str, Any] = {"dim": 5, "queue_size": 10, "key_momentum": 0.9}


def test_one_step_equals_the_algorithm_written_out() -> None:
    model = host(CMD(**SMALL, neighbours=4))
    twin = copy.deepcopy(model)
    first, second = clips(1), clips(2)
    losses = model(first, second, 0)

    z = {
        s: normalize(h(e(v(first))), dim=1)
        for s, h, e, v in zip(Any3, twin.heads, twin.encoders, twin.views, strict=True)
    }
    for key, query in ((twin.key_encoders, twin.encoders), (twin.key_heads, twin.heads)):
        for a, b in zip(key.parameters(), query.parameters(), strict=True):
            a.data = 0.9 * a.data + 0.1 * b.data
    with torch.no_grad():
        k = {
            s: normalize(h(e(v(second))), dim=1)
            for s, h, e, v in zip(Any3, twin.key_heads, twin.key_encoders, twin.views, strict=True)
        }
    old = twin.queue.snapshot()
    for s in Any3:
        torch.testing.assert_close(losses[f"contrast/{s}"], info_nce(z[s], k[s], old[s]), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(losses["distillation"], mutual_distillation(z, k, old, top_k=4), rtol=1e-10, atol=1e-10)
    assert int(model.queue.pointer) == 4
    for s in Any3:
        torch.testing.assert_close(model.queue.ring(s)[:4], k[s], rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(model.queue.ring(s)[4:], old[s][4:], rtol=0, atol=0)


def test_gradient_reaches_every_query_parameter_and_no_key() -> None:
    model = host(CMD(**SMALL))
    torch.stack(list(model(clips(1), clips(2), 0).values())).sum().backward()
    for name, parameter in model.named_parameters():
        if name.startswith("key_"):
            assert parameter.grad is None
            assert not parameter.requires_grad
        else:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all()


def test_momentum_moves_parameters_never_buffers_and_keys_keep_their_own_statistics() -> None:
    model = host(MoCo(**SMALL))
    with torch.no_grad():
        for parameter in model.encoders.parameters():
            parameter.add_(1.0)
    before = {k: v.clone() for k, v in model.key_encoders.named_parameters()}
    model(clips(1), clips(2), 0)
    queries = dict(model.encoders.named_parameters())
    for name, parameter in model.key_encoders.named_parameters():
        torch.testing.assert_close(parameter, 0.9 * before[name] + 0.1 * queries[name])
    running = {n: b for n, b in model.encoders.named_buffers() if "running_mean" in n}
    for name, buffer in model.key_encoders.named_buffers():
        if name in running:
            assert not torch.equal(buffer, running[name])


def test_golden_losses_after_a_momentum_update() -> None:
    """The toy key embeddings as parameters of a twin with m = 0.9."""
    online = nn.ParameterDict({s: nn.Parameter(t) for s, t in raw(0.0).items()})
    twin = nn.ParameterDict({s: nn.Parameter(t, requires_grad=False) for s, t in raw(0.4).items()})
    ema_update(twin, online, 0.9)
    z, _, q = toy()
    k = unit({s: twin[s].detach() for s in STREAMS})
    assert mutual_distillation(z, k, q, top_k=4).item() == pytest.approx(22.862579, rel=1e-6)
    want = {"joint": 0.149823, "motion": 0.048319, "bone": 0.223733}
    for s in STREAMS:
        assert info_nce(z[s], k[s], q[s]).item() == pytest.approx(want[s], abs=1e-6)


def test_schedules() -> None:
    term = Term("t", lambda out: out.queries["x"], weight=2.0, start=3, stop=7, ramp=2)
    assert [term.weight_at(e) for e in range(8)] == [0, 0, 0, 1.0, 2.0, 2.0, 2.0, 0]
    assert Term("t", lambda out: out.queries["x"]).weight_at(0) == 1.0


def test_two_stage_forms() -> None:
    model = host(CMD(**SMALL, distill_start=2))
    assert set(model(clips(1), clips(2), 1)) == {f"contrast/{s}" for s in Any3}
    assert "distillation" in model(clips(1), clips(2), 2)
    cross = host(CrosSCLR(**SMALL), epochs=4)
    assert set(cross(clips(1), clips(2), 1)) == {f"contrast/{s}" for s in Any3}
    assert set(cross(clips(1), clips(2), 2)) == {"cross-mining"}
    assert set(host(CrosSCLR(**SMALL, cross_start=0))(clips(1), clips(2), 0)) == {"cross-mining"}
    assert set(host(MCL(**SMALL))(clips(1), clips(2), 0)) == {*(f"contrast/{s}" for s in Any3), "mutual-contrast"}


def test_waiting_for_the_queue() -> None:
    model = host(CMD(**SMALL, wait_for_queue=True))
    silent = [model(clips(i), clips(i + 9), 0)["distillation"].item() for i in range(3)]
    assert silent == [0.0, 0.0, 0.0]  # 12 keys have come in for 10 slots only after the third step
    assert model(clips(1), clips(2), 0)["distillation"].item() > 0


def test_the_released_slip_of_crossclr_is_an_option() -> None:
    model = host(CrosSCLR(**SMALL, cross_start=0, frozen_twins=True))
    with torch.no_grad():
        for parameter in model.encoders.parameters():
            parameter.add_(1.0)
    before = [[p.clone() for p in e.parameters()] for e in model.key_encoders]
    model(clips(1), clips(2), 0)
    moved = [
        any(not torch.equal(a, b) for a, b in zip(old, e.parameters(), strict=True))
        for old, e in zip(before, model.key_encoders, strict=True)
    ]
    assert moved == [False, True, False]


@pytest.mark.parametrize(
    ("method", "options", "streams", "message"),
    [
        (CMD, {"queue_size": 8, "neighbours": 9}, Any3, "neighbours is 9"),
        (CMD, {}, ("joint",), "two or more"),
        (MCL, {}, ("joint",), "two or more"),
        (CrosSCLR, {"queue_size": 4, "mined": 5}, Any3, "mined is 5"),
        (MoCo, {"temperature": 0.0}, Any3, "temperature"),
        (MoCo, {"key_momentum": 1.0}, Any3, "key_momentum"),
        (MoCo, {"queue_size": 0}, Any3, "queue_size"),
        (CMD, {"teacher_temperature": 0.0}, Any3, "teacher_temperature"),
    ],
)
def test_options_that_cannot_work_are_refused(
    method: type[Contrastive], options: dict[str, Any], streams: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        host(method(**options), streams)


def test_single_stream_moco() -> None:
    assert set(host(MoCo(**SMALL), ("motion",))(clips(1), clips(2), 0)) == {"contrast/motion"}


def test_head_as_released() -> None:
    model = host(MoCo(**SMALL))
    assert [type(m).__name__ for m in model.heads[0]] == ["Linear", "ReLU", "Linear"]  # type: ignore[union-attr, arg-type]
    plain = host(MoCo(**SMALL, mlp_head=False))
    assert [type(m).__name__ for m in plain.heads[0]] == ["Linear"]  # type: ignore[union-attr, arg-type]


def test_a_head_with_norm_takes_a_single_clip_by_the_statistics_so_far() -> None:
    model = host(MoCo(**SMALL, head_norm=True))
    head, x = model.heads[0], torch.randn(6, 12, dtype=torch.float64)
    norm = head[1]  # type: ignore[index]
    assert (model.training, norm.momentum) == (True, 0.1)
    before = head[0](x)  # type: ignore[index]
    torch.testing.assert_close(norm(before), (before - before.mean(0)) / (before.var(0, correction=0) + 1e-5).sqrt())
    so_far = 0.1 * before.mean(0), 0.9 + 0.1 * before.var(0)
    torch.testing.assert_close(norm(before[:1]), (before[:1] - so_far[0]) / (so_far[1] + 1e-5).sqrt())
    one = model(clips(1)[:1], clips(2)[:1], 0)
    assert all(bool(torch.isfinite(loss)) for loss in one.values())
