"""R(2+1)D-18 (Tran et al., CVPR 2018): video clips → 512 features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from motet.core.errors import ConfigError, DataError

MEAN, SPREAD = (0.4345, 0.4051, 0.3775), (0.2768, 0.2713, 0.2737)  # of Kinetics, red green blue
Style = Literal["compact", "torchvision"]


def _middle(inputs: int, outputs: int, time: int, space: int) -> int:
    """Channels between the two convolutions, so that both have as many weights as one in three dimensions."""
    return (time * space**2 * inputs * outputs) // (space**2 * inputs + time * outputs)


def _factorised(
    inputs: int, outputs: int, size: tuple[int, int], stride: tuple[int, int], slope: float, middle: int | None = None
) -> nn.Sequential:
    """A convolution over space, then one over time; size and stride are (time, space)."""
    (time, space), (time_stride, space_stride) = size, stride
    middle = middle or _middle(inputs, outputs, time, space)
    pad, step = (0, space // 2, space // 2), (1, space_stride, space_stride)
    return nn.Sequential(
        nn.Conv3d(inputs, middle, (1, space, space), step, pad, bias=False),
        nn.BatchNorm3d(middle),
        _activation(slope),
        nn.Conv3d(middle, outputs, (time, 1, 1), (time_stride, 1, 1), (time // 2, 0, 0), bias=False),
    )


def _activation(slope: float) -> nn.Module:
    return nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True)


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, slope: float, style: Style) -> None:
        super().__init__()
        # torchvision computes the middle once per block, from the block's inputs
        middle = _middle(inputs, outputs, 3, 3) if style == "torchvision" else None
        first = _factorised(inputs, outputs, (3, 3), (stride, stride), slope, middle)
        self.conv1 = nn.Sequential(first, nn.BatchNorm3d(outputs), _activation(slope))
        second = _factorised(outputs, outputs, (3, 3), (1, 1), slope, middle)
        self.conv2 = nn.Sequential(second, nn.BatchNorm3d(outputs))
        self.act = _activation(slope)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or inputs != outputs:
            if style == "torchvision":
                shortcut: nn.Module = nn.Conv3d(inputs, outputs, 1, stride, bias=False)
            else:
                shortcut = _factorised(inputs, outputs, (1, 1), (stride, stride), slope)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm3d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        found: Tensor = self.act(self.conv2(self.conv1(x)) + shortcut)
        return found


class R2Plus1D(nn.Module):
    """(B, 3, T, H, W) clips, normalised → (B, 8 width), 512 as published.

    Args:
        layers: blocks of the four stages: (2, 2, 2, 2), or (1, 1, 1, 1) as in the code of CCL.
        slope: of LeakyReLU; 0 is ReLU. AMID's students use LeakyReLU throughout.
        style: ``compact`` has factorised shortcuts, as the code of CCL; ``torchvision`` is laid out and named as
            torchvision's ``r2plus1d_18``, so that its weights fit.
        width: channels of the first stage; each stage doubles them.
    """

    def __init__(
        self,
        layers: tuple[int, int, int, int] = (2, 2, 2, 2),
        *,
        slope: float = 0.0,
        style: Style = "compact",
        width: int = 64,
    ) -> None:
        super().__init__()
        if len(layers) != 4 or min(layers) < 1 or width < 1:
            raise ConfigError(f"layers are {layers}, width {width}; there must be four stages of one block or more")
        middle = 45 if style == "torchvision" else None
        stem = _factorised(3, width, (3, 7), (1, 2), slope, middle)
        self.stem = nn.Sequential(*stem, nn.BatchNorm3d(width), _activation(slope))
        inputs, self.feature_size = width, 8 * width
        for number, blocks in enumerate(layers, start=1):
            outputs = width << (number - 1)
            stride = 1 if number == 1 else 2
            stage = [_Block(inputs, outputs, stride, slope, style)]
            stage += [_Block(outputs, outputs, 1, slope, style) for _ in range(blocks - 1)]
            self.add_module(f"layer{number}", nn.Sequential(*stage))
            inputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        for module in self.children():
            x = module(x)
        return x.mean(dim=(2, 3, 4))

    def load_torchvision(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of torchvision's ``r2plus1d_18``, without its classifier.

        Raises:
            DataError: not the weights of such a network; names the first that does not fit.
        """
        kept = {name: value for name, value in state.items() if not name.startswith("fc.")}
        load_strictly(self, kept, "r2plus1d_18 of torchvision (style 'torchvision', layers 2 2 2 2)")


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Strict loading with one readable error."""
    own = module.state_dict()
    for name in sorted(set(own) ^ set(state)):
        raise DataError(f"these are not the weights of {what}: {name} is {'missing' if name in own else 'unknown'}")
    for name, value in own.items():
        if state[name].shape != value.shape:
            raise DataError(f"these are not the weights of {what}: {name} is {tuple(state[name].shape)}")
    module.load_state_dict(dict(state))


def normalise(frames: Tensor) -> Tensor:
    """(…, T, H, W, 3) uint8 frames → (…, 3, T, H, W) float32, by mean and deviation of Kinetics.

    Raises:
        DataError: not bytes, or not three channels last.
    """
    if frames.dtype != torch.uint8 or frames.shape[-1] != 3 or frames.ndim < 4:
        raise DataError(f"frames are {frames.dtype} {tuple(frames.shape)}; they must be uint8 (…, T, H, W, 3)")
    mean, spread = frames.new_tensor(MEAN, dtype=torch.float32), frames.new_tensor(SPREAD, dtype=torch.float32)
    return ((frames.float() / 255 - mean) / spread).movedim(-1, -4)
