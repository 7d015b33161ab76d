"""The temporal convolution, the transformer and the random convolutions."""

from __future__ import annotations

import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from motet.core.errors import ConfigError
from motet.data import layouts
from motet.data.skeletons import Skeleton
from motet.encoders import KINDS, TCN, Rocket, Transformer, build_encoder
from motet.encoders.transformer import body_parts

CHAIN = Skeleton("chain", ("a", "b", "c"), (-1, 0, 1), parts={"low": (0, 1), "all": (0, 1, 2)})
SMALL = {
    "gru": {"hidden": 4, "layers": 1},
    "stgcn": {"width": 2, "feature_size": 6, "dropout": 0.0},
    "tcn": {"width": 4},
    "transformer": {"width": 8, "layers": 2, "heads": 2},
    "rocket": {"kernels": 20},
}


def built(name: str, persons: int = 2) -> nn.Module:
    torch.manual_seed(0)
    encoder = build_encoder(name, skeleton=CHAIN, persons=persons, channels=2, **SMALL[name])
    if isinstance(encoder, Rocket):
        encoder.fit(torch.randn(5, 12, persons, 3, 2))
    return encoder


def settled(encoder: nn.Module) -> nn.Module:
    """In float64 and evaluation mode, with statistics that are not the initial ones."""
    encoder = encoder.double()
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return encoder.eval()


@pytest.mark.parametrize("name", list(KINDS))
@pytest.mark.parametrize("frames", [1, 2, 7, 32])
def test_features_of_clips_and_of_frames(name: str, frames: int) -> None:
    encoder, x = built(name).eval(), torch.randn(3, frames, 2, 3, 2)
    assert encoder(x).shape == (3, encoder.feature_size)
    tokens = encoder.tokens(x)  # type: ignore[operator]
    assert tokens.shape == (3, frames, encoder.token_size)
    assert tokens.isfinite().all()
    assert encoder(x).isfinite().all()


@pytest.mark.parametrize("name", ["tcn", "transformer", "rocket"])
def test_other_shapes_are_refused(name: str) -> None:
    encoder = built(name)
    with pytest.raises(ConfigError, match=r"the last three \(2, 3, 2\), not \(1, 4, 1, 3, 2\)"):
        encoder(torch.zeros(1, 4, 1, 3, 2))
    with pytest.raises(ConfigError, match="at least one frame"):
        encoder(torch.zeros(1, 0, 2, 3, 2))


@pytest.mark.parametrize("name", ["gru", "stgcn", "tcn", "transformer"])
def test_every_parameter_learns(name: str) -> None:
    encoder, x = built(name).train(), torch.randn(6, 9, 2, 3, 2)
    features = encoder(x)
    (features * torch.randn_like(features)).sum().backward()
    silent = [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.any()]
    # a bias before a batch norm moves nothing
    assert all(n.endswith("bias") for n in silent)


def by_hand(model: TCN, x: Tensor) -> Tensor:
    """The TCN frame by frame, with sums over taps written out."""

    def norm(layer: nn.Module, rows: Tensor) -> Tensor:
        scaled = (rows - layer.running_mean) / (layer.running_var + layer.eps).sqrt()  # type: ignore[operator]
        return scaled * layer.weight + layer.bias  # type: ignore[operator]

    def convolve(layer: nn.Module, rows: Tensor, dilation: int, causal: bool) -> Tensor:
        weight, bias = layer.weight[:, :, 0], layer.bias  # type: ignore[index]
        taps = weight.shape[2]
        out = bias.expand(len(rows), -1).clone()  # type: ignore[operator]
        for frame in range(len(rows)):
            for tap in range(taps):
                source = frame + (tap - (taps - 1 if causal else taps // 2)) * dilation
                if 0 <= source < len(rows):
                    out[frame] += weight[:, :, tap] @ rows[source]
        return out

    found = []
    for clip in x:
        rows = clip.permute(0, 2, 3, 1).reshape(len(clip), -1)  # joint, channel, person
        level = functional.relu(convolve(model.stem, norm(model.norm, rows).clamp(-8, 8), 1, model.causal))
        levels = [level]
        for number, block in enumerate(model.blocks):
            inner = functional.relu(norm(block.wide_norm, convolve(block.wide, level, 2**number, model.causal)))
            level = functional.relu(level + norm(block.narrow_norm, convolve(block.narrow, inner, 1, False)))
            levels.append(level)
        second, last, half = levels[1], levels[-1], max(1, len(clip) // 2)
        turn = last[len(clip) // 2 :].mean(0) - last[:half].mean(0)
        found.append(torch.cat([last.mean(0), last.amax(0), second.mean(0), second.amax(0), turn]))
    return torch.stack(found)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("frames", [1, 6, 7])
def test_tcn_is_what_its_text_says(causal: bool, frames: int) -> None:
    torch.manual_seed(1)
    model = settled(TCN(CHAIN, 2, 2, width=4, causal=causal))
    x = 4 * torch.randn(2, frames, 2, 3, 2, dtype=torch.float64)
    torch.testing.assert_close(model(x), by_hand(model, x))  # type: ignore[arg-type]


def test_tcn_cuts_tracking_jumps() -> None:
    model = settled(TCN(CHAIN, 2, 2, width=4))
    x = torch.randn(1, 8, 2, 3, 2, dtype=torch.float64)
    jump = x.clone()
    jump[0, 3, 0, 1, 0], x[0, 3, 0, 1, 0] = 1e9, 1e3
    torch.testing.assert_close(model(jump), model(x))


@pytest.mark.parametrize(("every", "shift", "frames"), [(1, 5, 21), (3, 7, 30), (2, 21, 21)])
def test_overlapping_windows_are_those_of_their_own(every: int, shift: int, frames: int) -> None:
    """The first frame of each window and the last two are its own."""
    torch.manual_seed(2)
    model = settled(TCN(CHAIN, 2, 2, width=4, kernel=3))
    assert isinstance(model, TCN)
    lines = torch.randn(every, frames + 5 * shift, 2, 3, 2, dtype=torch.float64)
    windows = torch.stack([lines[k % every, k // every * shift :][:frames] for k in range(6 * every)])
    windows[:, [0, -2, -1]] = torch.randn(6 * every, 3, 2, 3, 2, dtype=torch.float64)
    with torch.no_grad():
        assert model.shares(frames, shift)
        torch.testing.assert_close(model.overlapping(windows, every, shift), model(windows))
    assert not model.shares(20, shift)
    assert not model.shares(frames, frames + 1)
    assert not TCN(CHAIN, kernel=3, causal=True).shares(frames, shift)


def test_folded_norms_change_nothing() -> None:
    torch.manual_seed(3)
    model = settled(TCN(CHAIN, 2, 2, width=4))
    assert isinstance(model, TCN)
    x = torch.randn(2, 20, 2, 3, 2, dtype=torch.float64)
    before, folded = model(x), model.folded()
    torch.testing.assert_close(folded(x), before)
    assert torch.equal(model(x), before)
    assert len(list(folded.parameters())) < len(list(model.parameters()))


def test_causal_tcn_streams() -> None:
    model = settled(TCN(CHAIN, 2, 2, width=4, kernel=3, causal=True))
    assert isinstance(model, TCN)
    x = torch.randn(2, 20, 2, 3, 2, dtype=torch.float64)
    with torch.no_grad():
        state = model.start(2)
        for frame in range(20):
            feature, state = model.step(x[:, frame], state)
            torch.testing.assert_close(feature, model(x[:, : frame + 1]))
        # what comes later changes no earlier frame
        torch.testing.assert_close(model.tokens(x)[:, :9], model.tokens(x[:, :9]))
    with pytest.raises(ConfigError, match="--causal"):
        TCN(CHAIN).step(x[:, 0], state)


def test_tokens_pool_to_the_feature() -> None:
    x = torch.randn(2, 13, 2, 3, 2, dtype=torch.float64)
    tcn = settled(built("tcn"))
    tokens = tcn.tokens(x)  # type: ignore[operator]
    means = torch.cat([tcn(x)[:, :4], tcn(x)[:, 8:12]], dim=1)
    torch.testing.assert_close(tokens.mean(1), means)
    torch.testing.assert_close(tokens[..., :4].amax(1), tcn(x)[:, 4:8])
    former = settled(built("transformer"))
    grid = former.grid(x)  # type: ignore[operator]
    assert grid.shape == (2, 4, 2, 8)
    torch.testing.assert_close(former(x)[:, :8], grid.mean((1, 2)))


def test_transformer_attends_as_the_textbook_says() -> None:
    model = settled(built("transformer"))
    tokens = torch.randn(2, 3, 2, 8, dtype=torch.float64)
    flat = tokens.flatten(1, 2)
    for block in model.blocks:  # type: ignore[union-attr]
        query, key, value = block.qkv(block.attention_norm(flat)).split(8, dim=2)  # type: ignore[union-attr]
        heads = []
        for head in (slice(0, 4), slice(4, 8)):
            weights = torch.softmax(query[..., head] @ key[..., head].transpose(1, 2) / 4**0.5, dim=2)
            heads.append(weights @ value[..., head])
        flat = flat + block.out(torch.cat(heads, dim=2))  # type: ignore[union-attr]
        flat = flat + block.perceptron(flat)  # type: ignore[union-attr]
    expected = model.out_norm(flat).unflatten(1, (3, 2))  # type: ignore[operator]
    torch.testing.assert_close(model.attend(tokens), expected)  # type: ignore[operator]


def test_a_part_hides_behind_its_own_token() -> None:
    model = settled(built("transformer"))
    x = torch.randn(1, 8, 2, 3, 2, dtype=torch.float64)
    moved = x.clone()
    moved[:, :, :, 2] += 1.0
    before, after = model.embed(x), model.embed(moved)  # type: ignore[operator]
    torch.testing.assert_close(before[:, :, 0], after[:, :, 0])
    assert not torch.allclose(before[:, :, 1], after[:, :, 1])


@pytest.mark.parametrize("layout", ["kinect-v2", "shared-15", "hand-22", "imu-2", "utd-mhad-20"])
def test_each_node_is_in_one_part(layout: str) -> None:
    skeleton = layouts.get(layout)
    assert sorted(n for part in body_parts(skeleton) for n in part) == list(range(len(skeleton)))


def test_options_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match="kernel must be odd"):
        TCN(CHAIN, kernel=4)
    with pytest.raises(ConfigError, match="multiple of heads"):
        Transformer(CHAIN, width=10)
    with pytest.raises(ConfigError, match="rocket option kernels must be at least 1"):
        Rocket(CHAIN, kernels=0)


def test_random_convolutions_by_hand() -> None:
    rocket = Rocket(CHAIN, 2, 1, kernels=40, seed=3)
    x = torch.randn(4, 30, 1, 3, 2, dtype=torch.float64)
    with pytest.raises(ConfigError, match="no thresholds yet"):
        rocket(x)
    rocket.double().fit(x)
    rows = x.permute(0, 1, 3, 4, 2).flatten(2)
    kernel = 0
    for dilation, count in rocket.dilations:
        for _ in range(count):
            weight = rocket.weight[kernel]
            taps = weight[weight.any(1)][0]
            assert sorted(taps.tolist()) == [-1.0] * 6 + [2.0] * 3
            outputs = torch.zeros(4, 30, dtype=torch.float64)
            for frame in range(30):
                for tap in range(9):
                    source = frame + (tap - 4) * dilation
                    if 0 <= source < 30:
                        outputs[:, frame] += rows[:, source] @ weight[:, tap].double()
            share = (outputs > rocket.threshold[kernel]).double().mean(1)
            torch.testing.assert_close(rocket(x)[:, kernel], share)
            kernel += 1
    assert kernel == 40
    # thresholds are spread over the quantiles of the outputs
    mean = rocket(x).mean(0)
    assert mean.min() < 0.1
    assert mean.max() > 0.9


def test_random_convolutions_follow_the_seed() -> None:
    one, same, other = (Rocket(CHAIN, kernels=30, seed=s) for s in (1, 1, 2))
    assert torch.equal(one.weight, same.weight)
    assert not torch.equal(one.weight, other.weight)
    assert {d for d, _ in Rocket(CHAIN, kernels=500).dilations} == {1, 2, 3}


def test_random_convolutions_keep_nothing_of_a_batch_but_its_place_in_the_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the outputs of each batch, of many times the size, lie beside those of the one before it."""
    shares, kept = Rocket._shares, list[weakref.ref[Tensor]]()

    def watched(self: Rocket, x: Tensor) -> Tensor:
        assert not any(one() is not None for one in kept)
        made = shares(self, x)
        kept.append(weakref.ref(made))
        return made

    rocket, clips = Rocket(CHAIN, kernels=30, seed=0), torch.randn(150, 20, 1, 3, 3)
    rocket.fit(clips)
    alone = torch.cat([rocket(clip[None]) for clip in clips])
    monkeypatch.setattr(Rocket, "_shares", watched)
    torch.testing.assert_close(rocket(clips), alone)
    assert len(kept) == 3


@pytest.mark.parametrize("name", ["transformer", "rocket"])  # a "tcn": tests/use/test_export.py
def test_onnx(name: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from motet.engine.model import Network
    from motet.use.export import _trace

    encoder = built(name).eval()
    network = Network(
        module=_Single(encoder),
        inputs=["clips"],
        outputs=["features"],
        free={"clips": {0: "clips", 1: "frames"}},
        example=lambda rows, steps, generator: (torch.randn(rows, steps, 2, 3, 2, generator=generator),),
        facts={},
    )
    _trace(network, (torch.randn(2, 16, 2, 3, 2),), tmp_path / "m.onnx")
    session = runtime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    for clips, frames in ((1, 4), (3, 7), (2, 33)):
        x = torch.randn(clips, frames, 2, 3, 2)
        (found,) = session.run(None, {"clips": x.numpy()})
        with torch.inference_mode():
            expected = encoder(x).numpy()
        np.testing.assert_allclose(found, expected, atol=2e-5)


class _Single(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, clips: Tensor) -> tuple[Tensor, ...]:
        return (self.encoder(clips),)
