"""CNN14 of PANNs (Kong et al., TASLP 2020): sound → 2048 or 512 features."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu

from motet.core.distributed import dropout
from motet.core.errors import ConfigError, DataError
from motet.core.text import counted
from motet.methods.distillation.extractors.video import load_strictly

RATE = 32000  # samples per second
_WINDOW, _HOP, _MELS = 1024, 320, 64
_LOWEST, _HIGHEST = 50.0, 14000.0  # Hz
_LEAST = 1e-10  # power
_LINEAR_END, _PER_MEL = 1000.0, 200 / 3  # Slaney's scale: linear to 1 kHz, 200/3 Hz per mel
_LOG_STEP = math.log(6.4) / 27  # above


def _to_mel(hertz: float) -> float:
    if hertz < _LINEAR_END:
        return hertz / _PER_MEL
    return _LINEAR_END / _PER_MEL + math.log(hertz / _LINEAR_END) / _LOG_STEP


def _to_hertz(mel: Tensor) -> Tensor:
    bend = _LINEAR_END / _PER_MEL
    return torch.where(mel < bend, mel * _PER_MEL, _LINEAR_END * torch.exp(_LOG_STEP * (mel - bend)))


def mel_filters() -> Tensor:
    """(513, 64) triangles of equal area on Slaney's mel scale, from power spectrum to mel bands."""
    edges = _to_hertz(torch.linspace(_to_mel(_LOWEST), _to_mel(_HIGHEST), _MELS + 2, dtype=torch.float64))
    bins = torch.linspace(0, RATE / 2, _WINDOW // 2 + 1, dtype=torch.float64)
    rising = (bins[:, None] - edges[None, :-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[None, 2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    return (torch.minimum(rising, falling).clamp_min(0) * 2 / (edges[2:] - edges[:-2])).float()


def log_mel(sound: Tensor) -> Tensor:
    """(B, samples) at 32 kHz → (B, 1, T, 64) decibels, one row per 10 ms.

    Raises:
        DataError: not such a batch, or too short for one window.
    """
    if sound.ndim != 2 or not sound.is_floating_point() or sound.shape[1] <= _WINDOW // 2:
        raise DataError(f"sound is {sound.dtype} {tuple(sound.shape)}; it must be floats (B, more than {_WINDOW // 2})")
    window = torch.hann_window(_WINDOW, dtype=sound.dtype, device=sound.device)
    spectrum = torch.stft(sound, _WINDOW, _HOP, window=window, center=True, pad_mode="reflect", return_complex=True)
    power = spectrum.abs().square().transpose(1, 2) @ mel_filters().to(sound)
    return 10 * torch.log10(power.clamp_min(_LEAST))[:, None]


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor, pool: int) -> Tensor:
        return avg_pool2d(relu(self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))), pool)


class Cnn14(nn.Module):
    """(B, 1, T, 64) log-mel spectrograms → (B, 2048) or (B, 512); names of the weights are those of PANNs.

    Args:
        features: 2048, or 512 for the published variant ``Cnn14_emb512``.
        width: channels of the first block, 64 as published; each block doubles them.
        dropout: in training, after blocks (.2) and around the last layer (.5).
    """

    def __init__(self, features: int = 2048, *, width: int = 64, dropout: bool = True) -> None:
        super().__init__()
        if features < 1 or width < 1:
            raise ConfigError(f"features is {features}, width {width}; both must be 1 or more")
        self.bn0 = nn.BatchNorm2d(_MELS)
        sizes = (1, *(width << n for n in range(6)))
        for number in range(1, 7):
            self.add_module(f"conv_block{number}", _Block(sizes[number - 1], sizes[number]))
        self.fc1 = nn.Linear(sizes[-1], features)
        self.feature_size, self.dropout = features, dropout

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != 1 or x.shape[3] != _MELS or x.shape[2] < 32:
            raise DataError(f"the spectrogram is {tuple(x.shape)}; it must be (B, 1, at least 32 frames, {_MELS})")
        x = self.bn0(x.transpose(1, 3)).transpose(1, 3)
        for number in range(1, 7):
            block = self.get_submodule(f"conv_block{number}")
            x = self._drop(block(x, 2 if number < 6 else 1), 0.2)
        x = x.mean(dim=3)
        x = self._drop(x.amax(dim=2) + x.mean(dim=2), 0.5)
        return relu(self.fc1(x))

    def _drop(self, x: Tensor, rate: float) -> Tensor:
        return dropout(x, rate, self.training and self.dropout)

    def load_panns(self, state: Mapping[str, Tensor]) -> None:
        """Take published weights (the entry ``model`` of a PANNs checkpoint).

        The front end's weights are constants that :func:`log_mel` computes itself; they are compared only. The
        classifier is left out.

        Raises:
            DataError: not the weights of such a network, or of one with another front end (16 kHz, 128 bands …); names
                the first that does not fit.
        """
        filters = state.get("logmel_extractor.melW")
        own = mel_filters()
        if filters is not None and (filters.shape != own.shape or (filters - own).abs().max() > 1e-4):
            raise DataError(
                "these weights are of a Cnn14 with another front end than 32 kHz, 64 mel bands, 50–14000 Hz"
            )
        skipped = ("spectrogram_extractor.", "logmel_extractor.", "fc_audioset.")
        kept = {name: value for name, value in state.items() if not name.startswith(skipped)}
        load_strictly(self, kept, f"a Cnn14 of {counted(self.feature_size, 'feature')} of PANNs")
