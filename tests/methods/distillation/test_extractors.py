from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from motet.core.errors import ConfigError, DataError
from motet.methods.distillation.extractors import Cnn14, R2Plus1D, log_mel, normalise
from motet.methods.distillation.extractors.audio import _to_hertz, _to_mel, mel_filters


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("layers", "style", "classes", "wanted"),
    [
        ((1, 1, 1, 1), "compact", 51, 14_391_466),
        ((2, 2, 2, 2), "compact", 51, 33_204_586),
        ((2, 2, 2, 2), "torchvision", 400, 31_505_325),
    ],
)
def test_published_numbers_of_weights_of_video(layers: tuple[int, ...], style: str, classes: int, wanted: int) -> None:
    with torch.device("meta"):
        model = R2Plus1D(layers, style=style)  # type: ignore[arg-type]
        assert count(model) + count(nn.Linear(512, classes)) == wanted


def test_published_number_of_weights_of_sound() -> None:
    with torch.device("meta"):
        assert count(Cnn14()) + count(nn.Linear(2048, 527)) == 80_753_615
        assert count(Cnn14(512)) == count(Cnn14()) - 1536 * 2049


def test_names_and_shapes_are_torchvisions() -> None:
    with torch.device("meta"):
        shapes = {name: tuple(v.shape) for name, v in R2Plus1D(style="torchvision").state_dict().items()}
    for name, shape in {
        "stem.0.weight": (45, 3, 1, 7, 7),
        "stem.3.weight": (64, 45, 3, 1, 1),
        "stem.4.running_mean": (64,),
        "layer1.0.conv1.0.0.weight": (144, 64, 1, 3, 3),
        "layer1.0.conv1.0.3.weight": (64, 144, 3, 1, 1),
        "layer1.1.conv2.1.bias": (64,),
        "layer2.0.conv2.0.0.weight": (230, 128, 1, 3, 3),
        "layer2.0.downsample.0.weight": (128, 64, 1, 1, 1),
        "layer4.1.conv2.0.3.weight": (512, 1152, 3, 1, 1),
    }.items():
        assert shapes[name] == shape


def test_names_and_shapes_are_those_of_panns() -> None:
    with torch.device("meta"):
        shapes = {name: tuple(v.shape) for name, v in Cnn14().state_dict().items()}
    for name, shape in {
        "bn0.weight": (64,),
        "conv_block1.conv1.weight": (64, 1, 3, 3),
        "conv_block6.conv2.weight": (2048, 2048, 3, 3),
        "conv_block3.bn2.running_var": (256,),
        "fc1.weight": (2048, 2048),
    }.items():
        assert shapes[name] == shape


def test_weights_are_taken_over_and_others_refused() -> None:
    torch.manual_seed(0)
    first, second = R2Plus1D((1, 1, 1, 1), style="torchvision"), R2Plus1D((1, 1, 1, 1), style="torchvision")
    state = {**first.state_dict(), "fc.weight": torch.zeros(4, 512), "fc.bias": torch.zeros(4)}
    second.load_torchvision(state)
    clip = torch.randn(1, 3, 4, 32, 32)
    assert torch.equal(first.eval()(clip), second.eval()(clip))
    del state["stem.0.weight"]
    with pytest.raises(DataError, match=r"stem\.0\.weight is missing"):
        second.load_torchvision(state)
    with pytest.raises(DataError, match=r"is (unknown|missing)"):
        R2Plus1D((1, 1, 1, 1)).load_torchvision(first.state_dict())
    with torch.device("meta"):
        sound, other = Cnn14(512), Cnn14()
        extra = {"fc_audioset.weight": torch.zeros(2), "spectrogram_extractor.x": torch.zeros(2)}
        sound.load_panns({**Cnn14(512).state_dict(), **extra})
        with pytest.raises(DataError, match=r"fc1\.\w+ is \(2048"):
            sound.load_panns(other.state_dict())


def test_a_clip_and_a_sound_become_features() -> None:
    torch.manual_seed(0)
    frames = torch.randint(0, 256, (2, 8, 32, 32, 3), dtype=torch.uint8)
    clip = normalise(frames)
    assert clip.shape == (2, 3, 8, 32, 32)
    assert clip[1, 2, 3, 4, 5].item() == pytest.approx((frames[1, 3, 4, 5, 2].item() / 255 - 0.3775) / 0.2737, abs=1e-5)
    video = R2Plus1D((1, 1, 1, 1), slope=0.01)
    assert video(clip).shape == (2, 512)
    assert not any(isinstance(m, nn.ReLU) for m in video.modules())
    with pytest.raises(DataError, match="must be uint8"):
        normalise(frames.float())
    with pytest.raises(ConfigError, match="four stages"):
        R2Plus1D((1, 0, 1, 1))


def test_sound_front_end() -> None:
    time = torch.arange(32000) / 32000
    tones = torch.stack([torch.sin(2 * math.pi * f * time) for f in (440.0, 3000.0)])
    spectrum = log_mel(tones)
    assert spectrum.shape == (2, 1, 101, 64)
    filters = mel_filters()
    for row, frequency in enumerate((440.0, 3000.0)):
        band = int(spectrum[row, 0, 50].argmax())
        assert abs(int(filters[:, band].argmax()) * 31.25 - frequency) < 80
    # one line of the power spectrum by hand
    windowed = tones[0, 16000 - 512 : 16000 + 512] * torch.hann_window(1024)
    power = torch.fft.rfft(windowed).abs().square() @ filters
    assert torch.allclose(spectrum[0, 0, 50], 10 * power.clamp_min(1e-10).log10(), atol=1e-2)
    assert torch.allclose(log_mel(torch.zeros(1, 2000)), torch.tensor(-100.0))
    with pytest.raises(DataError, match="must be floats"):
        log_mel(torch.zeros(1, 100))


def test_mel_scale() -> None:
    assert [_to_mel(f) for f in (60.0, 110.0, 220.0, 440.0)] == pytest.approx([0.9, 1.65, 3.3, 6.6])
    assert _to_hertz(torch.tensor([3.0])).item() == pytest.approx(200)
    for hertz in (80.0, 999.0, 4000.0, 14000.0):
        assert _to_hertz(torch.tensor([_to_mel(hertz)], dtype=torch.float64)).item() == pytest.approx(hertz)
    # triangles of equal area: the integral over frequency is 1, up to the width of a bin
    area = mel_filters().double().sum(dim=0) * 31.25
    assert area[20:].tolist() == pytest.approx([1.0] * 44, abs=0.05)
