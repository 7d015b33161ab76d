"""Extreme augmentations, each by itself: what it changes, what it leaves, how often."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from motet.core.errors import ConfigError
from motet.core.rng import CounterRNG
from motet.data import layouts
from motet.data.extreme import (
    PUBLISHED,
    Extreme,
    augment_extremely,
    blur,
    check_extreme,
    padded_crop,
    rotate,
    swap_sides,
)
from tests.conftest import stick

COUNT = 400


def clips(count: int = COUNT, persons: int = 2) -> Tensor:
    """(count, 12, persons, 8, 3); the last person of every second clip is absent."""
    x = torch.randn(count, 12, persons, 8, 3, generator=torch.Generator().manual_seed(0))
    x[::2, :, -1] = 0
    return x


def keyed(count: int = COUNT, view: int = 2) -> CounterRNG:
    return CounterRNG(3, 1, torch.arange(count), view)


def apply(x: Tensor, *names: Any, **options: Any) -> Tensor:
    return augment_extremely(x, keyed(len(x)), Extreme(extreme=names, **options), stick())


@pytest.mark.parametrize("name", [*PUBLISHED, "time-flip"])
def test_each_alone_is_keyed_and_leaves_the_absent_absent(name: str) -> None:
    x = clips()
    before = x.clone()
    y = apply(x, name)
    assert torch.equal(x, before)
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    assert (y[::2, :, -1] == 0).all()
    shuffled = torch.randperm(COUNT, generator=torch.Generator().manual_seed(1))
    options = Extreme(extreme=(name,))  # type: ignore[arg-type]
    again = augment_extremely(x[shuffled], CounterRNG(3, 1, shuffled, 2), options, stick())
    torch.testing.assert_close(again, y[shuffled], rtol=0, atol=0)
    changed = (y != x).flatten(1).any(1).double().mean()
    assert changed == 1 if name == "rotate" else 0.4 < changed < 0.6


def test_chances() -> None:
    x = clips()
    for name in ("flip", "noise", "blur", "axis-mask", "time-flip"):
        assert torch.equal(apply(x, name, extreme_chance=0.0), x)
        changed = (apply(x, name, extreme_chance=1.0) != x).flatten(1).any(1).double().mean()
        assert changed == 1 if name != "blur" else changed > 0.9  # the narrowest filters change nothing
    assert torch.equal(apply(x), x)


def test_order_is_as_given() -> None:
    x = clips()
    one = apply(x, "axis-mask", "rotate", extreme_chance=1.0, extreme_degrees=90.0)
    two = apply(x, "rotate", "axis-mask", extreme_chance=1.0, extreme_degrees=90.0)
    assert (two == 0).all((1, 2, 3)).any(1).all()  # a coordinate is zero at the end
    assert not (one == 0).all((1, 2, 3)).any(1).all()


def test_flip_swaps_sides_and_keeps_coordinates() -> None:
    x = clips(4)
    y = swap_sides(x, stick())
    assert torch.equal(y[:, :, :, [4, 5, 6, 7]], x[:, :, :, [5, 4, 7, 6]])
    assert torch.equal(y[:, :, :, :4], x[:, :, :, :4])
    kinect = layouts.get("kinect-v2")
    published = [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 16, 17, 18, 19, 12, 13, 14, 15, 20, 23, 24, 21, 22]
    z = torch.randn(1, 2, 1, 25, 3)
    assert torch.equal(swap_sides(z, kinect), z[:, :, :, published])


def test_rotation_is_one_turn_about_a_drawn_axis() -> None:
    x = clips()
    y = rotate(x, keyed(), 30.0, 1.0)
    torch.testing.assert_close(y.norm(dim=-1), x.norm(dim=-1))
    basis = torch.eye(3).expand(COUNT, 1, 1, 3, 3).contiguous()  # three joints at the unit vectors
    maps = rotate(basis, keyed(), 30.0, 1.0)[:, 0, 0]
    torch.testing.assert_close(torch.linalg.det(maps), torch.ones(COUNT))
    angle = ((maps.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1).acos().rad2deg()
    assert angle.max() < 31
    assert 13 < angle.mean() < 17
    main = maps.diagonal(dim1=1, dim2=2).argmax(1)  # the axis that stays
    assert torch.bincount(main[angle > 5], minlength=3).min() > 80
    still = rotate(basis, keyed(), 0.0, 0.0)
    torch.testing.assert_close(still, basis)


def test_noise_has_the_given_deviation() -> None:
    x = clips()
    difference = (apply(x, "noise", extreme_chance=1.0, extreme_noise=0.5) - x)[x != 0]
    assert difference.std().item() == pytest.approx(0.5, rel=0.02)
    assert difference.mean().abs() < 0.01


def test_blur_against_the_filter_written_out() -> None:
    x = clips(6)
    width = keyed(6).uniform("blur", low=0.1, high=2.0)
    taps = torch.arange(-7, 8)
    for normalised in (True, False):
        y = blur(x, keyed(6), 15, 2.0, normalised=normalised)
        for b in range(6):
            kernel = torch.exp(-taps.square() / (2 * width[b] ** 2))
            for t in range(12):
                inside = [(t + int(d), k) for d, k in zip(taps, kernel, strict=True) if 0 <= t + int(d) < 12]
                want = sum(k * x[b, s] for s, k in inside)
                if normalised:
                    want = want / sum(k for _, k in inside)
                torch.testing.assert_close(y[b, t], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("sigma", "total"), [(0.1, 1.0), (1.0, 2.507), (2.0, 5.012)])
def test_released_filter_amplifies(sigma: float, total: float) -> None:
    """A constant clip, in its middle, times the sum of the released weights."""
    x = torch.ones(1, 31, 1, 1, 1)
    drawn = blur(x, _Fixed(sigma), 15, 2.0, normalised=False)  # type: ignore[arg-type]
    assert drawn[0, 15].item() == pytest.approx(total, abs=2e-3)
    assert blur(x, _Fixed(sigma), 15, 2.0).sub(1).abs().max() < 1e-6  # type: ignore[arg-type]


class _Fixed:
    def __init__(self, value: float) -> None:
        self.value = value

    def uniform(self, *_: Any, **__: Any) -> Tensor:
        return torch.tensor([self.value])


def test_axis_mask_takes_each_coordinate() -> None:
    y = apply(clips(), "axis-mask", extreme_chance=1.0)
    gone = (y == 0).all((1, 2, 3))
    assert gone.sum(1).tolist() == [1] * COUNT
    assert gone.sum(0).min() > 100


def test_padded_crop_is_a_window_of_the_mirrored_clip() -> None:
    x = torch.arange(12.0).view(1, 12, 1, 1, 1).repeat(300, 1, 1, 1, 1)
    y = padded_crop(x, keyed(300), 1 / 6)[:, :, 0, 0, 0]
    padded = torch.tensor([1.0, 0, *range(12), 11, 10])
    windows = padded.unfold(0, 12, 1)
    place = (y[:, None] == windows).all(2)
    assert place.any(1).all()
    assert torch.bincount(place.int().argmax(1), minlength=5).min() > 30
    assert torch.equal(padded_crop(x, keyed(300), 0.0), x)
    assert padded_crop(x[:, :1], keyed(300), 1.0).shape == (300, 1, 1, 1, 1)


def test_layouts_that_it_does_not_fit() -> None:
    sensor = layouts.get("smartwatch") if "smartwatch" in layouts.names() else None
    plain = stick()
    no_sides = type(plain)(**{**vars(plain), "mirror": ()})
    with pytest.raises(ConfigError, match=r"flip needs mirror pairs.*--extreme rotate noise blur axis-mask"):
        check_extreme(Extreme(), no_sides, 3)
    with pytest.raises(ConfigError, match=r"rotate needs coordinates.*--extreme flip noise blur axis-mask"):
        check_extreme(Extreme(), plain, 2)
    check_extreme(Extreme(extreme=("noise", "blur")), sensor or no_sides, 6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"extreme": ("flip", "noise", "flip")}, "more than once: flip noise flip"),
        ({"extreme_chance": 1.5}, "extreme_chance"),
        ({"extreme_noise": -1.0}, "extreme_noise"),
        ({"extreme_degrees": math.inf}, "extreme_degrees is inf"),
        ({"blur_sigma": math.nan}, "blur_sigma is nan"),
        ({"blur_taps": 4}, "odd"),
        ({"blur_sigma": 0.0}, "blur_sigma"),
    ],
)
def test_refusals(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Extreme(**options)


def test_thirty_degrees_is_an_angle() -> None:
    x = torch.tensor([0.0, 1.0, 0.0]).view(1, 1, 1, 1, 3).repeat(COUNT, 1, 1, 1, 1)
    y = rotate(x, keyed(), 30.0, 0.0)[:, 0, 0, 0]
    assert (y @ torch.tensor([0.0, 1.0, 0.0])).min() > math.cos(math.radians(30)) - 1e-6
