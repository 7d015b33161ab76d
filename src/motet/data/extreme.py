"""Extreme augmentations of whole batches on their device, each by its name (AimCLR, Guo et al., AAAI 2022).

They are drawn on top of the usual ones (:mod:`motet.data.augment`) for a view of its own, and change a motion further
than
its class may bear. Every draw is keyed (:mod:`motet.core.rng`). An absent person or joint is zero and stays so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from motet.core.errors import ConfigError
from motet.core.options import Bounds, Count, Fraction, NotNegative, Options
from motet.core.rng import CounterRNG
from motet.data.augment import apply_maps
from motet.data.skeletons import Skeleton

Name = Literal["flip", "rotate", "noise", "blur", "axis-mask", "time-flip"]
PUBLISHED: tuple[Name, ...] = ("flip", "rotate", "noise", "blur", "axis-mask")
_LEAST_SIGMA = 0.1  # below it the filter leaves a clip as it is


@dataclass(frozen=True)
class Extreme(Options):
    """Which extreme augmentations are drawn, in which order, and how strong; the defaults are the published ones."""

    extreme: tuple[Name, ...] = PUBLISHED
    """in this order: flip (left and right joints swap), rotate, noise, blur, axis-mask (one coordinate becomes zero),
    time-flip."""
    extreme_chance: Fraction = 0.5
    """probability of each of them but rotate, which is always drawn."""
    extreme_degrees: NotNegative = 30.0
    """largest angle about the main axis, itself drawn."""
    extreme_tilt: NotNegative = 1.0
    """largest angle in degrees about the two other axes."""
    extreme_noise: NotNegative = 0.01
    """standard deviation of the noise, in the unit of the clips (metres on NTU RGB+D)."""
    blur_taps: Count = 15
    """taps of the temporal Gaussian filter."""
    blur_sigma: Annotated[float, Bounds(least=_LEAST_SIGMA)] = 2.0
    """largest standard deviation of the filter in frames."""
    blur_normalised: bool = True
    """weights add up to one; the released code's do not, and amplify a clip up to five times."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.extreme)) != len(self.extreme):
            # the second would be drawn as the first, since draws are keyed by name: a flip would undo itself
            raise ConfigError(f"extreme names an augmentation more than once: {' '.join(self.extreme)}")
        if self.blur_taps % 2 == 0:
            raise ConfigError(f"blur_taps is {self.blur_taps}; it must be odd")


def check_extreme(options: Extreme, skeleton: Skeleton, channels: int) -> None:
    """Raise ConfigError where a chosen augmentation makes no sense for a layout with C = ``channels`` coordinates."""
    unfit = {
        "flip": "" if skeleton.mirror else f"flip needs mirror pairs, but {skeleton.name!r} declares none",
        "rotate": "" if channels == 3 else f"rotate needs coordinates x, y, z, but the clips have {channels}",
    }
    reasons = [unfit[name] for name in options.extreme if unfit.get(name)]
    if reasons:
        rest = " ".join(name for name in options.extreme if not unfit.get(name))
        raise ConfigError(f"the extreme augmentation {' and '.join(reasons)}; leave it out: --extreme {rest}")


def augment_extremely(x: Tensor, keyed: CounterRNG, options: Extreme, skeleton: Skeleton) -> Tensor:
    """The chosen augmentations one after the other.

    Args:
        x: (B, T, P, V, C) float, not changed.
        keyed: draws for the B clips and this view, on the device of ``x``.
        options: what to draw.
        skeleton: layout of ``x``.

    Returns:
        (B, T, P, V, C) of the same dtype.

    Raises:
        ConfigError: an augmentation that does not fit the layout.
    """
    check_extreme(options, skeleton, x.shape[-1])
    actions: dict[str, Callable[[Tensor], Tensor]] = {
        "flip": lambda y: swap_sides(y, skeleton),
        "rotate": lambda y: rotate(y, keyed, options.extreme_degrees, options.extreme_tilt),
        "noise": lambda y: add_noise(y, keyed, options.extreme_noise),
        "blur": lambda y: blur(y, keyed, options.blur_taps, options.blur_sigma, normalised=options.blur_normalised),
        "axis-mask": lambda y: mask_axis(y, keyed),
        "time-flip": lambda y: y.flip(1),
    }
    for name in options.extreme:
        changed = actions[name](x)
        if name == "rotate":
            x = changed
        else:
            hit = keyed.uniform(f"extreme {name}") < options.extreme_chance
            x = torch.where(hit[:, None, None, None, None], changed, x)
    return x


def padded_crop(x: Tensor, keyed: CounterRNG, ratio: float) -> Tensor:
    """Shift each clip in time: mirrored padding of ⌊T·ratio⌋ frames at both ends, then a random window of T frames.

    The padding repeats the edge frame (…, 1, 0 | 0, 1, …), as in CrosSCLR's and AimCLR's released code with 1/6.

    Args:
        x: (B, T, P, V, C).
        keyed: draws for the B clips and this view.
        ratio: share of the clip that is padded at each end, 0 … 1.
    """
    frames = x.shape[1]
    padding = int(frames * ratio)
    if padding == 0:
        return x
    first = keyed.integers("padded crop", torch.full((len(x),), 2 * padding + 1, device=x.device)) - padding
    place = first[:, None] + torch.arange(frames, device=x.device)
    place = torch.where(place < 0, -1 - place, place)
    place = torch.where(place >= frames, 2 * frames - 1 - place, place)
    rows = (place + frames * torch.arange(len(x), device=x.device)[:, None]).view(-1)
    return x.flatten(0, 1).index_select(0, rows).view(x.shape)


def swap_sides(x: Tensor, skeleton: Skeleton) -> Tensor:
    """Left and right joints change places; coordinates stay."""
    order = list(range(len(skeleton)))
    for left, right in skeleton.mirror:
        order[left], order[right] = right, left
    return x.index_select(3, torch.tensor(order, device=x.device))


def rotate(x: Tensor, keyed: CounterRNG, degrees: float, tilt: float) -> Tensor:
    """Turn by U(0, degrees) about a drawn axis and by U(0, tilt) about the two others: x, then y, then z."""
    axis = keyed.integers("extreme axis", torch.full((len(x),), 3, device=x.device))
    main = torch.arange(3, device=x.device) == axis[:, None]
    largest = torch.where(main, math.radians(degrees), math.radians(tilt))
    angle = keyed.uniform("extreme angle", 3) * largest
    sine, cosine = angle.sin(), angle.cos()
    turn = torch.eye(3, device=x.device).expand(len(x), 3, 3)
    for number in range(3):
        a, b = (number + 1) % 3, (number + 2) % 3
        step = torch.eye(3, device=x.device).repeat(len(x), 1, 1)
        step[:, a, a] = step[:, b, b] = cosine[:, number]
        step[:, b, a], step[:, a, b] = sine[:, number], -sine[:, number]
        turn = step @ turn
    return apply_maps(x, turn[:, None].expand(-1, x.shape[3], -1, -1).to(x.dtype))


def add_noise(x: Tensor, keyed: CounterRNG, deviation: float) -> Tensor:
    """Gaussian noise on every recorded coordinate."""
    noise = keyed.normal("extreme noise", *x.shape[1:]).mul_(deviation).masked_fill_(x == 0, 0.0)
    return x + noise.to(x.dtype)


def blur(x: Tensor, keyed: CounterRNG, taps: int, sigma: float, *, normalised: bool = True) -> Tensor:
    """Smooth over time by a Gaussian of drawn width U(0.1, sigma).

    Args:
        x: (B, T, P, V, C).
        keyed: draws for the B clips and this view.
        taps: length of the filter in frames, odd.
        sigma: largest standard deviation.
        normalised: each frame becomes a weighted mean of the frames there are, so a clip at rest stays as it is; else a
            plain sum with weights exp(−d²/2σ²) and zeros beyond the ends, as released.
    """
    width = (
        keyed.uniform("blur", low=_LEAST_SIGMA, high=sigma) if sigma > _LEAST_SIGMA else x.new_full((len(x),), sigma)
    )
    frame = torch.arange(x.shape[1], device=x.device)
    distance = (frame[:, None] - frame).abs()
    weight = torch.exp(-distance.square() / (2 * width.square().view(-1, 1, 1)))
    weight = weight.masked_fill(distance > taps // 2, 0.0)
    if normalised:
        weight = weight / weight.sum(dim=2, keepdim=True)
    return torch.bmm(weight.to(x.dtype), x.flatten(2)).view(x.shape)


def mask_axis(x: Tensor, keyed: CounterRNG) -> Tensor:
    """One drawn coordinate of every joint becomes zero."""
    axis = keyed.integers("masked axis", torch.full((len(x),), x.shape[-1], device=x.device))
    hit = torch.arange(x.shape[-1], device=x.device) == axis[:, None]
    return x.masked_fill(hit[:, None, None, None], 0.0)
