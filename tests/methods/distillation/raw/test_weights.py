"""Public checkpoints by their names and shapes, written down here from the published layouts, not from our networks."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from motet.core.errors import ConfigError, DataError
from motet.methods.distillation.extractors import Cnn14, DenseNet, R2Plus1D, log_mel, normalise_pictures
from motet.methods.distillation.raw.checkpoints import digest, read_weights
from motet.methods.distillation.raw.networks import build
from motet.methods.distillation.raw.options import Audio, Face, RawOptions, Video

Shapes = dict[str, tuple[int, ...]]
COUNTED = ("weight", "bias")


def norm(name: str, size: int) -> Shapes:
    found: Shapes = {f"{name}.{part}": (size,) for part in ("weight", "bias", "running_mean", "running_var")}
    return found | {f"{name}.num_batches_tracked": ()}


def r2plus1d_18(classes: int = 400) -> Shapes:
    """Of torchvision: names and shapes of every entry of the state dict."""

    def factorised(name: str, inputs: int, outputs: int, middle: int) -> Shapes:
        first = {f"{name}.0.weight": (middle, inputs, 1, 3, 3), f"{name}.3.weight": (outputs, middle, 3, 1, 1)}
        return first | norm(f"{name}.1", middle)

    found: Shapes = {"stem.0.weight": (45, 3, 1, 7, 7), "stem.3.weight": (64, 45, 3, 1, 1)}
    found |= norm("stem.1", 45) | norm("stem.4", 64)
    inputs = 64
    for layer, outputs in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            name = f"layer{layer}.{block}"
            middle = (inputs * outputs * 27) // (inputs * 9 + 3 * outputs)
            found |= factorised(f"{name}.conv1.0", inputs, outputs, middle) | norm(f"{name}.conv1.1", outputs)
            found |= factorised(f"{name}.conv2.0", outputs, outputs, middle) | norm(f"{name}.conv2.1", outputs)
            if inputs != outputs:
                found[f"{name}.downsample.0.weight"] = (outputs, inputs, 1, 1, 1)
                found |= norm(f"{name}.downsample.1", outputs)
            inputs = outputs
    return found | {"fc.weight": (classes, 512), "fc.bias": (classes,)}


def densenet121(classes: int = 1000) -> Shapes:
    """Of torchvision."""
    found: Shapes = {"features.conv0.weight": (64, 3, 7, 7)} | norm("features.norm0", 64)
    width = 64
    for block, count in enumerate((6, 12, 24, 16), start=1):
        for layer in range(1, count + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            found |= norm(f"{name}.norm1", width) | {f"{name}.conv1.weight": (128, width, 1, 1)}
            found |= norm(f"{name}.norm2", 128) | {f"{name}.conv2.weight": (32, 128, 3, 3)}
            width += 32
        if block < 4:
            name = f"features.transition{block}"
            found |= norm(f"{name}.norm", width) | {f"{name}.conv.weight": (width // 2, width, 1, 1)}
            width //= 2
    found |= norm("features.norm5", width)
    return found | {"classifier.weight": (classes, width), "classifier.bias": (classes,)}


def cnn14(features: int = 2048) -> Shapes:
    """Of PANNs."""
    found: Shapes = {
        "spectrogram_extractor.stft.conv_real.weight": (513, 1, 1024),
        "spectrogram_extractor.stft.conv_imag.weight": (513, 1, 1024),
        "logmel_extractor.melW": (513, 64),
    }
    found |= norm("bn0", 64)
    sizes = (1, 64, 128, 256, 512, 1024, 2048)
    for number in range(1, 7):
        name, inputs, outputs = f"conv_block{number}", sizes[number - 1], sizes[number]
        found |= {f"{name}.conv1.weight": (outputs, inputs, 3, 3), f"{name}.conv2.weight": (outputs, outputs, 3, 3)}
        found |= norm(f"{name}.bn1", outputs) | norm(f"{name}.bn2", outputs)
    found |= {"fc1.weight": (features, 2048), "fc1.bias": (features,)}
    return found | {"fc_audioset.weight": (527, features), "fc_audioset.bias": (527,)}


def learned(shapes: Shapes) -> int:
    """Numbers that training moves: no statistics, no front end."""
    front = ("spectrogram_extractor", "logmel_extractor")
    kept = (s for n, s in shapes.items() if n.endswith(COUNTED) and not n.startswith(front))
    return sum(math.prod(shape) for shape in kept)


def test_published_numbers_of_weights() -> None:
    assert learned(r2plus1d_18()) == 31_505_325
    assert learned(cnn14()) == 80_753_615  # with 527 classes, without the front end …
    front = 2 * 513 * 1024 + 513 * 64  # … whose constants torch counts too: two bases of the transform, one filter bank
    assert learned(cnn14()) + front == 81_837_071


def test_our_networks_have_the_public_names_and_shapes() -> None:
    with torch.device("meta"):
        video = {n: tuple(v.shape) for n, v in R2Plus1D(style="torchvision").state_dict().items()}
        sound = {n: tuple(v.shape) for n, v in Cnn14().state_dict().items()}
    assert video == {n: s for n, s in r2plus1d_18().items() if not n.startswith("fc.")}
    left_out = ("spectrogram_extractor.", "logmel_extractor.", "fc_audioset.")
    assert sound == {n: s for n, s in cnn14().items() if not n.startswith(left_out)}


def values(shapes: Shapes, seed: int = 0) -> dict[str, Tensor]:
    """Weights that could be real: variances above 0."""
    random = torch.Generator().manual_seed(seed)
    return {
        name: torch.tensor(7) if not shape else 0.02 * torch.rand(shape, generator=random) + name.endswith("var")
        for name, shape in shapes.items()
    }


def test_a_network_of_faces_has_the_public_names_and_sizes() -> None:
    with torch.device("meta"):
        shapes = {n: tuple(v.shape) for n, v in DenseNet().state_dict().items()}
    assert shapes == {n: s for n, s in densenet121().items() if not n.startswith("classifier.")}
    assert learned(densenet121()) == 7_978_856  # as published, with 1,000 classes


def test_a_network_of_faces_takes_a_file_of_old_and_new_names(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = DenseNet((1, 2, 1, 1), growth=4, stem=8).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.bias, -0.1, 0.1)
    new = {n: v.clone() for n, v in net.state_dict().items()} | {"classifier.weight": torch.zeros(3, 5)}
    old = {re.sub(r"(denselayer\d\.(?:norm|conv))([12])", r"\1.\2", n): v for n, v in new.items() if "num_b" not in n}
    pictures = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
    for state in (new, old):
        torch.save(state, tmp_path / "face.pth")
        face = Face(str(tmp_path / "face.pth"), (1, 2, 1, 1), growth=4, size=32, output="sequence", batch=2)
        network = build("face", RawOptions(face=face), frozen=True).eval()
        with torch.no_grad():
            expected = net(normalise_pictures(pictures))
            torch.testing.assert_close(network(pictures), expected)
            torch.testing.assert_close(network.features(list(pictures)), expected)
    with pytest.raises(DataError, match=r"face\.pth: these are not the weights of densenet121"):
        build("face", RawOptions(face=Face(weights=str(tmp_path / "face.pth"))))
    with pytest.raises(ConfigError, match="region is"):
        Face(region=(0.5, 0.0, 0.5, 1.0))


def test_a_dense_layer_by_hand() -> None:
    """norm, rectify, 1x1, norm, rectify, 3x3; what is new stands after what was."""
    torch.manual_seed(0)
    net = DenseNet((1, 1, 1, 1), growth=2, stem=4).double().eval()
    state = net.state_dict()
    first, second = (state[f"features.denseblock1.denselayer1.conv{n}.weight"] for n in (1, 2))
    x = torch.randn(2, 4, 5, 5, dtype=torch.double)
    scale = (1 + 1e-5) ** -0.5
    inner = torch.einsum("oi,bihw->bohw", first[:, :, 0, 0], (x * scale).clamp_min(0))
    new = torch.nn.functional.conv2d((inner * scale).clamp_min(0), second, padding=1)
    found = net.get_submodule("features.denseblock1")(x)
    torch.testing.assert_close(found, torch.cat((x, new), dim=1))


def small_video(path: Path) -> tuple[Path, R2Plus1D]:
    """A checkpoint of a narrow network under torchvision's names."""
    net = R2Plus1D((2, 2, 2, 2), style="torchvision", width=4)
    state = {n: v.clone() for n, v in net.state_dict().items()}
    torch.save(state | {"fc.weight": torch.zeros(5, 32), "fc.bias": torch.zeros(5)}, path)
    return path, net


def test_a_video_network_takes_a_file(tmp_path: Path) -> None:
    path, net = small_video(tmp_path / "r2plus1d.pth")
    options = Video(style="torchvision", width=4, slope=0.0, weights=str(path))
    network = build("video", RawOptions(video=options), frozen=True).eval()
    clip = torch.randint(0, 256, (1, 4, 16, 16, 3), dtype=torch.uint8)
    from motet.methods.distillation.extractors import normalise

    assert torch.equal(network(clip), net.eval()(normalise(clip)))
    with pytest.raises(DataError, match=r"r2plus1d\.pth: these are not the weights of"):
        build("video", RawOptions(video=Video(weights=str(path))))


def test_a_sound_network_takes_a_file_with_more_than_weights(tmp_path: Path) -> None:
    net = Cnn14(8, width=2)
    state = {n: v.clone() for n, v in net.state_dict().items()}
    state |= {"fc_audioset.weight": torch.zeros(527, 8), "spectrogram_extractor.stft.conv_real.weight": torch.zeros(3)}
    sampler = {"indexes": np.arange(5), "scores": np.ones(2, dtype=np.float32), "queue": [1, 2]}
    path = tmp_path / "Cnn14.pth"
    torch.save({"iteration": 3, "model": {f"module.{k}": v for k, v in state.items()}, "sampler": sampler}, path)
    options = Audio(features=8, width=2, weights=str(path))
    network = build("audio", RawOptions(audio=options), frozen=True).eval()
    wave = torch.randn(2, 16000)
    assert torch.equal(network(wave), net.eval()(log_mel(wave)))
    torch.save({"model": state | {"logmel_extractor.melW": torch.zeros(257, 64)}}, path)
    with pytest.raises(DataError, match="another front end"):
        build("audio", RawOptions(audio=options))


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("executed",)

    torch.save({"model": Evil()}, tmp_path / "evil.pth")
    (tmp_path / "noise.pth").write_bytes(b"noise" * 99)
    (tmp_path / "noise.safetensors").write_bytes(b"noise" * 99)
    torch.save({"epoch": 3}, tmp_path / "none.pth")
    for name, said in {
        "evil.pth": "cannot be read as a checkpoint of tensors",
        "noise.pth": "cannot be read as a checkpoint of tensors",
        "noise.safetensors": "not a safetensors file",
        "none.pth": "holds no weights",
        "absent.pth": "there is no checkpoint",
    }.items():
        with pytest.raises(DataError, match=rf"{name}.*{said}|{said}.*{name}"):
            read_weights(tmp_path / name)
    save_file({"a": torch.ones(2)}, tmp_path / "good.safetensors")
    assert list(read_weights(tmp_path / "good.safetensors")) == ["a"]


def test_digest_follows_the_content(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(b"one")
    before = digest(str(path))
    path.write_bytes(b"two")
    assert digest(str(path)) != before
    assert digest("") == ""
    folder = digest(str(tmp_path))
    path.write_bytes(b"longer")
    assert digest(str(tmp_path)) != folder


def test_a_frozen_network_needs_weights() -> None:
    with pytest.raises(ConfigError, match=r"--audio\.weights"):
        build("audio", RawOptions(), frozen=True)
    with pytest.raises(ConfigError, match=r"--text\.weights FOLDER"):
        build("text", RawOptions())
    with pytest.raises(ConfigError, match="must begin with video"):
        build("smell", RawOptions())


def oracle(wave: np.ndarray) -> np.ndarray:
    """Log-mel spectrogram in double precision, frame by frame, by the formulas of Slaney's scale."""
    padded = np.pad(wave.astype(np.float64), 512, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    frames = [padded[start : start + 1024] * window for start in range(0, len(padded) - 1023, 320)]
    power = np.abs(np.fft.rfft(np.stack(frames), axis=1)) ** 2

    def mel(hertz: float) -> float:
        return 3 * hertz / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)

    def hertz(mels: float) -> float:
        return 200 * mels / 3 if mels < 15 else 1000 * 6.4 ** ((mels - 15) / 27)

    edges = [hertz(m) for m in np.linspace(mel(50), mel(14000), 66)]
    bank = np.zeros((513, 64))
    for band in range(64):
        low, middle, high = edges[band : band + 3]
        for line in range(513):
            f = line * 32000 / 1024
            if low < f <= middle:
                bank[line, band] = (f - low) / (middle - low)
            elif middle < f < high:
                bank[line, band] = (high - f) / (high - middle)
        bank[:, band] *= 2 / (high - low)
    return 10 * np.log10(np.maximum(power @ bank, 1e-10))


def test_front_end_against_double_precision() -> None:
    random = np.random.default_rng(0)
    time = np.arange(12000) / 32000
    chirp = 0.4 * np.sin(2 * np.pi * (200 + 9000 * time) * time)
    for wave in (random.normal(0, 0.1, 12000), chirp, 1e-3 * chirp):
        wanted = oracle(wave)
        double = log_mel(torch.from_numpy(wave)[None])[0, 0].numpy()
        single = log_mel(torch.from_numpy(wave.astype(np.float32))[None])[0, 0].numpy()
        assert wanted.shape == (38, 64)
        assert np.abs(double - wanted).max() < 1e-5
        loud = wanted > wanted.max() - 60
        assert np.abs(single - wanted)[loud].max() < 0.01
