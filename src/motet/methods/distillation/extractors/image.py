"""DenseNet-121 (Huang et al., CVPR 2017): pictures → 1024 features."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from motet.core.errors import ConfigError, DataError
from motet.methods.distillation.extractors.video import load_strictly

MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, red green blue
_OLD_NAME = re.compile(r"^(.*denselayer\d+\.(?:norm|conv))\.((?:[12])\.(?:weight|bias|running_mean|running_var))$")


class _Layer(nn.Module):
    """Norm, 1x1 convolution, norm, 3x3 convolution: ``growth`` new channels from all before."""

    def __init__(self, inputs: int, growth: int, bottleneck: int = 4) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, bottleneck * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(bottleneck * growth)
        self.conv2 = nn.Conv2d(bottleneck * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        new = self.conv2(functional.relu(self.norm2(self.conv1(functional.relu(self.norm1(x))))))
        return torch.cat((x, new), dim=1)


class DenseNet(nn.Module):
    """(B, 3, H, W) pictures, normalised → (B, F): 1024 for DenseNet-121, the rectified mean over places.

    Modules are named as torchvision's ``densenet121``, so that its weights fit. Parameters without a classifier:
    6,953,856.

    Args:
        blocks: layers of the four dense blocks.
        growth: channels that each layer adds.
        stem: channels of the first convolution.
    """

    def __init__(
        self, blocks: tuple[int, int, int, int] = (6, 12, 24, 16), *, growth: int = 32, stem: int = 64
    ) -> None:
        super().__init__()
        if len(blocks) != 4 or min(blocks) < 1 or growth < 1 or stem < 1:
            raise ConfigError(f"blocks are {blocks}, growth {growth}, stem {stem}; all must be positive, four blocks")
        parts: dict[str, nn.Module] = {
            "conv0": nn.Conv2d(3, stem, 7, 2, 3, bias=False),
            "norm0": nn.BatchNorm2d(stem),
            "relu0": nn.ReLU(inplace=True),
            "pool0": nn.MaxPool2d(3, 2, 1),
        }
        width = stem
        for number, count in enumerate(blocks, 1):
            layers = {f"denselayer{n + 1}": _Layer(width + n * growth, growth) for n in range(count)}
            parts[f"denseblock{number}"] = _named(layers)
            width += count * growth
            if number < len(blocks):
                parts[f"transition{number}"] = _named(
                    {
                        "norm": nn.BatchNorm2d(width),
                        "relu": nn.ReLU(inplace=True),
                        "conv": nn.Conv2d(width, width // 2, 1, bias=False),
                        "pool": nn.AvgPool2d(2, 2),
                    }
                )
                width //= 2
        parts["norm5"] = nn.BatchNorm2d(width)
        self.features, self.feature_size = _named(parts), width

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.features(x)).mean(dim=(2, 3))

    def load_torchvision(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of torchvision's ``densenet121``, without its classifier.

        Its older files call layers ``norm.1``, ``conv.2`` and so on; those names are taken too.

        Raises:
            DataError: not the weights of such a network; names the first that does not fit.
        """
        kept = {n: v for n, v in state.items() if not n.startswith("classifier.")}
        kept = {_OLD_NAME.sub(r"\1\2", n): v for n, v in kept.items()}
        for name, value in self.state_dict().items():  # older files do not count batches
            if name.endswith("num_batches_tracked"):
                kept.setdefault(name, value)
        load_strictly(self, kept, "densenet121 of torchvision")


def _named(modules: Mapping[str, nn.Module]) -> nn.Sequential:
    found = nn.Sequential()
    for name, module in modules.items():
        found.add_module(name, module)
    return found


def normalise_pictures(pictures: Tensor) -> Tensor:
    """(…, H, W, 3) uint8 pictures → (…, 3, H, W) float32, by mean and deviation of ImageNet.

    Raises:
        DataError: not bytes, or not three channels last.
    """
    if pictures.dtype != torch.uint8 or pictures.shape[-1] != 3 or pictures.ndim < 3:
        raise DataError(f"pictures are {pictures.dtype} {tuple(pictures.shape)}; they must be uint8 (…, H, W, 3)")
    mean, spread = pictures.new_tensor(MEAN, dtype=torch.float32), pictures.new_tensor(SPREAD, dtype=torch.float32)
    return ((pictures.float() / 255 - mean) / spread).movedim(-1, -3)
