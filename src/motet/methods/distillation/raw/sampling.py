"""Which frames of a video make a clip, and which part of the picture (CCL, Chen et al., CVPR 2021; AMID follows it).

Training: a random window and a random crop, perhaps mirrored. Curves: a few evenly spaced windows. In use: windows that
slide over the whole video. A window that runs over the end is filled by repeating its own frames in a loop, as in the
public code of 3D ResNets. Draws are keyed by (seed, epoch, sample, name).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from motet.core.rng import CounterRNG
from motet.methods.distillation.raw.media import Picture
from motet.methods.distillation.raw.options import Video

_TRIES = 10  # crops that are drawn until one lies inside the picture
Index = npt.NDArray[np.int64]


def looped(first: int, frames: int, length: int) -> Index:
    """(length,) frames from ``first`` to the end of a video of ``frames`` frames, then the same ones again."""
    there = min(length, frames - first)
    return first + np.arange(length) % there


def sliding(frames: int, length: int, stride: int) -> Index:
    """(n, length) frames of the windows that begin every ``stride`` frames, up to the first that reaches the end."""
    starts = range(0, frames, stride)
    last = next(n for n, start in enumerate(starts) if start + length >= frames or n + 1 == len(starts))
    return np.stack([looped(start, frames, length) for start in starts[: last + 1]])


def evenly(frames: int, length: int, count: int) -> Index:
    """(n, length) frames of at most ``count`` evenly spaced windows."""
    room = max(0, frames - length)
    starts = np.unique(np.round(np.linspace(0, room, count)).astype(np.int64))
    return np.stack([looped(int(start), frames, length) for start in starts])


@dataclass(frozen=True)
class Draw:
    """What chance decides about one training sample.

    Attributes:
        start: in [0, 1), where the window begins.
        area, shape: (tries,) in [0, 1), size and shape of the crops; left, top: their places.
        mirror: whether to flip.
    """

    start: float
    area: tuple[float, ...]
    shape: tuple[float, ...]
    left: tuple[float, ...]
    top: tuple[float, ...]
    mirror: bool


def draws(seed: int, epoch: int, samples: Tensor, modality: str) -> list[Draw]:
    """Of (B,) samples; each a function of seed, epoch, sample and modality alone."""
    keyed = CounterRNG(seed, epoch, samples, -6)
    numbers = keyed.uniform(f"clip {modality}", 2 + 4 * _TRIES).double().tolist()
    found = []
    for row in numbers:
        parts = [tuple(row[2 + n * _TRIES : 2 + (n + 1) * _TRIES]) for n in range(4)]
        found.append(Draw(row[0], parts[0], parts[1], parts[2], parts[3], row[1] < 0.5))
    return found


def start_of(draw: Draw, whole: int, part: int) -> int:
    """First of ``part`` consecutive places among ``whole``, every one equally likely."""
    return int(draw.start * (max(0, whole - part) + 1))


def crop_box(draw: Draw, height: int, width: int, options: Video) -> tuple[int, int, int, int]:
    """(top, left, height, width) of a random part of the picture: the first draw that fits, else the middle."""
    low, high = math.log(options.ratio[0]), math.log(options.ratio[1])
    for area, shape, left, top in zip(draw.area, draw.shape, draw.left, draw.top, strict=True):
        size = height * width * (options.scale[0] + area * (options.scale[1] - options.scale[0]))
        ratio = math.exp(low + shape * (high - low))
        w, h = round(math.sqrt(size * ratio)), round(math.sqrt(size / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(top * (height - h + 1)), int(left * (width - w + 1)), h, w
    ratio = min(max(width / height, options.ratio[0]), options.ratio[1])
    w, h = min(width, round(height * ratio)), min(height, round(width / ratio))
    return (height - h) // 2, (width - w) // 2, h, w


def random_crop(pictures: list[Picture], draw: Draw, options: Video) -> Tensor:
    """(T, size, size, 3) uint8: one part of all frames, brought to the network's size."""
    height, width = pictures[0].shape[:2]
    top, left, h, w = crop_box(draw, height, width, options)
    part = np.stack([p[top : top + h, left : left + w] for p in pictures])
    if options.flip and draw.mirror:
        part = part[:, :, ::-1]
    return resized(part, options.size, options.size)


def middle_crop(picture: Picture, size: int) -> Tensor:
    """(size, size, 3) uint8: the shorter side brought to ``size``, then the middle square."""
    height, width = picture.shape[:2]
    short = min(height, width)
    h, w = max(size, round(height * size / short)), max(size, round(width * size / short))
    top, left = (h - size) // 2, (w - size) // 2
    return resized(picture[None], h, w)[0, top : top + size, left : left + size]


def resized(pictures: Picture, height: int, width: int) -> Tensor:
    """(T, H, W, 3) uint8 → (T, height, width, 3) uint8, bilinear, averaging where it shrinks."""
    x = torch.from_numpy(np.ascontiguousarray(pictures))
    if x.shape[1:3] == (height, width):
        return x
    x = x.permute(0, 3, 1, 2)
    return interpolate(x, (height, width), mode="bilinear", antialias=True).permute(0, 2, 3, 1)
