from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from motet.core.errors import ConfigError
from motet.core.rng import CounterRNG
from motet.data import layouts
from motet.data.augment import Augment, apply_maps, augment, joint_maps, per_joint, shear_matrix
from motet.data.skeletons import Skeleton
from tests.data import feeder_oracle as oracle

KINECT = layouts.get("kinect-v2")
STILL = Augment.none()
EVERYTHING = Augment(0.3, 20, 0.5, 0.6, 0.5, 1.0, 0.2, 30.0, 0.1, 0.5, 0.05, 0.1)


def _golden_clip() -> Tensor:
    t, p, v, c = torch.meshgrid(*(torch.arange(n).double() for n in (4, 2, 25, 3)), indexing="ij")
    return torch.cos(0.3 * v + 0.2 * t + 1.1 * c + 0.7 * p)[None]


def _keyed(batch: int, view: int = 0) -> CounterRNG:
    return CounterRNG(3, 4, torch.arange(batch), view)


def _maps(options: Augment, batch: int = 4000, skeleton: Skeleton = KINECT) -> Tensor:
    return joint_maps(_keyed(batch), options, skeleton, 3)


def _close(actual: Tensor, expected: object) -> None:
    torch.testing.assert_close(actual, torch.as_tensor(expected).to(actual), rtol=1e-6, atol=1e-6)


def test_golden_shear() -> None:
    entries = torch.tensor([[0.1, -0.2, 0.3, -0.4, 0.5, -0.6]]).double()
    matrix = shear_matrix(entries)
    _close(matrix[0], [[1, 0.1, -0.2], [0.3, 1, -0.4], [0.5, -0.6, 1]])
    out = apply_maps(_golden_clip(), matrix[:, None].expand(1, 25, 3, 3))
    _close(out[0, 1, 0, 2], [0.862376, 0.281719, -0.447665])


def test_golden_corruption() -> None:
    matrix = torch.tensor([[[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]]]).double()
    hit = torch.zeros(1, 25, dtype=torch.bool)
    hit[0, 2:17] = True
    clip = _golden_clip()
    identity = torch.eye(3).double()[None]
    out = apply_maps(clip, per_joint(hit.long(), identity, matrix.transpose(1, 2)))
    _close(out[0, 1, 0, 2], [-0.752640, -0.814297, -0.875955])
    assert torch.equal(out[:, :, :, ~hit[0]], clip[:, :, :, ~hit[0]])


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_apply_maps_is_a_matrix_product_per_joint(
    channels: int, persons: int, time: int, joints: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(3, time, persons, joints, channels, generator=generator, dtype=torch.float64)
    maps = torch.randn(3, joints, channels, channels, generator=generator, dtype=torch.float64)
    before = x.clone()
    expected = torch.einsum("bvck,btpvk->btpvc", maps, x)
    torch.testing.assert_close(apply_maps(x, maps), expected, rtol=1e-12, atol=1e-12)
    strided = x.permute(4, 3, 2, 1, 0).contiguous().permute(4, 3, 2, 1, 0)
    torch.testing.assert_close(apply_maps(strided, maps), expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(x, before)


def test_published_distributions() -> None:
    """A half sheared, a quarter with 15 joints zeroed, a quarter with 15 joints mapped by one matrix."""
    maps = _maps(Augment.published())
    identity = torch.eye(3)
    untouched = (maps == identity).flatten(2).all(2)
    zeroed = (maps == 0).flatten(2).all(2)
    corrupt = untouched.any(1)
    zero_clips, linear_clips = corrupt & zeroed.any(1), corrupt & ~zeroed.any(1)
    for clips, share in ((~corrupt, 0.5), (zero_clips, 0.25), (linear_clips, 0.25)):
        assert abs(clips.double().mean().item() - share) < 4.5 * math.sqrt(share * (1 - share) / len(maps))
    assert (zeroed[zero_clips].sum(1) == 15).all()
    assert (untouched[corrupt].sum(1) == 10).all()
    sheared = maps[~corrupt]
    assert (sheared == sheared[:, :1]).all()
    shear = sheared[:, 0]
    assert (shear.diagonal(dim1=1, dim2=2) == 1).all()
    off_diagonal = shear[:, ~torch.eye(3, dtype=torch.bool)]
    assert off_diagonal.abs().max() < 1
    assert off_diagonal.mean(0).abs().max() < 4.5 / math.sqrt(3 * len(shear))
    assert (off_diagonal.var(0) - 1 / 3).abs().max() < 0.03
    linear = maps[linear_clips][~untouched[linear_clips]].view(-1, 15, 9)
    assert (linear == linear[:, :1]).all()
    assert (linear[:, 0].var(0) - 1 / 3).abs().max() < 0.05
    assert linear.abs().max() <= 1
    # every joint is equally likely to be hit
    hits = (~untouched[corrupt]).double().mean(0)
    assert (hits - 0.6).abs().max() < 4.5 * math.sqrt(0.24 / int(corrupt.sum()))


def test_share_of_joints_follows_the_layout() -> None:
    fifteen = layouts.get("nite-15")
    maps = joint_maps(_keyed(50), Augment(corruption=1, linear=0), fifteen, 3)
    assert ((maps == 0).flatten(2).all(2).sum(1) == 9).all()


def test_mask_always_hits_its_share() -> None:
    maps = _maps(Augment(corruption=0, shear=0, mask=0.3), 200)
    zeroed = (maps == 0).flatten(2).all(2)
    assert (zeroed.sum(1) == round(0.3 * 25)).all()
    assert (maps[~zeroed] == torch.eye(3)).all()


@pytest.mark.parametrize("up", ["+y", "-y", "+z", "+x"])
def test_rotation_is_about_the_vertical(up: str) -> None:
    maps = _maps(Augment(corruption=0, shear=0, rotate=30), 500, replace(KINECT, up=up))[:, 0]
    axis = torch.eye(3)["xyz".index(up[1])]
    torch.testing.assert_close(maps @ axis, axis.expand(500, 3))
    torch.testing.assert_close(maps @ maps.transpose(1, 2), torch.eye(3).expand(500, 3, 3), rtol=0, atol=1e-6)
    angle = torch.rad2deg(torch.acos(((maps.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1)))
    assert 28 < angle.max() <= 30.01
    assert angle.mean().item() == pytest.approx(15, abs=2)


def test_sensors_are_turned_as_one_device() -> None:
    imu = layouts.get("imu-2")
    x = torch.randn(50, 6, 1, 2, 3)
    out = augment(x, _keyed(50), Augment(corruption=0, shear=0, rotate=180), imu)
    torch.testing.assert_close(out.norm(dim=-1), x.norm(dim=-1))
    inner = (x[..., 0, :] * x[..., 1, :]).sum(-1)
    torch.testing.assert_close((out[..., 0, :] * out[..., 1, :]).sum(-1), inner, rtol=1e-4, atol=1e-5)
    axes = joint_maps(_keyed(500), Augment(corruption=0, shear=0, rotate=180), imu, 3)[:, 0]
    vertical = (axes - torch.eye(3)) @ torch.eye(3)[1]
    assert (vertical.norm(dim=1) > 0.01).double().mean() > 0.9


def test_mirror_swaps_sides_and_is_its_own_inverse() -> None:
    x = torch.randn(400, 5, 2, 25, 3)
    always = Augment(corruption=0, shear=0, mirror=1)
    out = augment(x, _keyed(400), always, KINECT)
    left, right = KINECT.mirror[0]
    torch.testing.assert_close(out[:, :, :, left], x[:, :, :, right] * torch.tensor([-1.0, 1, 1]))
    torch.testing.assert_close(augment(out, _keyed(400), always, KINECT), x)
    half = augment(x, _keyed(400), Augment(corruption=0, shear=0, mirror=0.5), KINECT)
    mirrored = (half == out).flatten(1).all(1)
    assert ((half == x).flatten(1).all(1) ^ mirrored).all()
    assert 150 < mirrored.sum() < 250


def test_scale() -> None:
    maps = _maps(Augment(corruption=0, shear=0, scale=0.2), 500)
    factor = maps[:, 0, 0, 0]
    assert torch.equal(maps, factor[:, None, None, None] * torch.eye(3).expand_as(maps))
    assert 0.8 <= factor.min() < 0.81
    assert 1.19 < factor.max() < 1.2


@pytest.mark.parametrize("unit", [1.0, 1000.0])
def test_noise_is_relative_and_leaves_the_absent_alone(unit: float) -> None:
    x = torch.randn(8, 64, 2, 25, 3) * unit
    x[:, :, 1] = 0
    x[0, :32] = 0
    out = augment(x, _keyed(8), Augment(corruption=0, shear=0, noise=0.05), KINECT)
    assert not out[:, :, 1].any()
    assert not out[0, :32].any()
    noise = (out - x)[:, :, 0]
    assert noise[1:].std().item() == pytest.approx(0.05 * unit, rel=0.02)
    # an absent half does not dilute the scale of the clip
    assert noise[0, 32:].std().item() == pytest.approx(0.05 * unit, rel=0.05)


def test_speed_keeps_the_ends_and_the_order_of_time() -> None:
    ramp = torch.arange(64.0)[None, :, None, None, None].expand(200, 64, 1, 25, 3)
    out = augment(ramp, _keyed(200), Augment(corruption=0, shear=0, speed=0.3), KINECT)[..., 0, 0, 0]
    assert (out[:, 0] == 0).all()
    assert (out[:, -1] == 63).all()
    assert (out.diff(dim=1) >= 0).all()
    shift = (out - torch.arange(64.0)).abs().amax(1) / 63
    assert 0.28 < shift.max() <= 0.3
    assert shift.min() < 0.02
    one = torch.randn(3, 1, 1, 25, 3)
    torch.testing.assert_close(augment(one, _keyed(3), Augment(corruption=0, shear=0, speed=0.3), KINECT), one)


def test_nothing_is_nothing() -> None:
    x = torch.randn(5, 6, 2, 25, 3)
    assert torch.equal(augment(x, _keyed(5), STILL, KINECT), x)


@given(st.permutations(range(6)), st.sampled_from([Augment.published(), Augment.mild(), EVERYTHING]))
@settings(max_examples=20)
def test_a_clip_is_augmented_the_same_in_any_batch(order: list[int], options: Augment) -> None:
    x = torch.randn(6, 8, 2, 25, 3, generator=torch.Generator().manual_seed(0))
    x[:, :, 1] = 0
    before = x.clone()
    out = augment(x, _keyed(6), options, KINECT)
    assert torch.equal(x, before)
    assert out.shape == x.shape
    assert torch.isfinite(out).all()
    assert not out[:, :, 1].any()
    shuffled = augment(x[order], CounterRNG(3, 4, torch.tensor(order), 0), options, KINECT)
    torch.testing.assert_close(shuffled, out[order], rtol=1e-6, atol=1e-6)
    other_view = augment(x, _keyed(6, view=1), options, KINECT)
    assert not torch.equal(out, other_view)


@pytest.mark.parametrize("options", [Augment.published(), EVERYTHING])
def test_one_transform_for_all_frames_and_persons(options: Augment) -> None:
    """A posture held still stays still, and two people in the same place stay together (noise and tempo aside)."""
    posture = torch.randn(20, 1, 1, 25, 3)
    out = augment(posture.expand(20, 5, 2, 25, 3), _keyed(20), replace(options, noise=0.0), KINECT)
    torch.testing.assert_close(out, out[:, :1, :1].expand_as(out))


def test_double_precision_and_two_dimensions() -> None:
    assert augment(torch.randn(2, 4, 1, 25, 3).double(), _keyed(2), EVERYTHING, KINECT).dtype == torch.float64
    coco = layouts.get("coco-17")
    flat = torch.randn(50, 4, 1, 17, 2)
    out = augment(flat, _keyed(50), Augment(mask=0.2, scale=0.1, noise=0.1, mirror=0.5), coco)
    assert out.shape == flat.shape
    assert torch.isfinite(out).all()
    with pytest.raises(ConfigError, match=r"augment\.rotate"):
        augment(flat, _keyed(50), Augment(rotate=10), coco)


def test_options_that_make_no_sense_are_refused() -> None:
    for option, value in (("mask", 1.2), ("shear", -1), ("rotate", 200), ("speed", 0.4), ("crop_minimum", math.nan)):
        with pytest.raises(ConfigError, match=f"{option} is"):
            Augment(**{option: value})
    with pytest.raises(ConfigError, match=r"crop_frames"):
        Augment(crop_frames=0)
    with pytest.raises(ConfigError, match="declares none"):
        augment(torch.randn(1, 2, 1, 2, 3), _keyed(1), Augment(mirror=0.5), layouts.get("imu-2"))


def test_equal_in_distribution_to_the_plain_form() -> None:
    """First two moments of every coordinate over many draws, against the per-clip numpy form."""
    clip = np.random.default_rng(0).normal(size=(1, 1, 25, 3)).astype(np.float64)
    rng = np.random.default_rng(1)
    n = 3000
    plain = np.stack([oracle.corrupt(clip, rng) if rng.uniform() < 0.5 else oracle.shear(clip, rng) for _ in range(n)])
    batched = augment(torch.from_numpy(clip).expand(n, 1, 1, 25, 3), _keyed(n), Augment.published(), KINECT).numpy()
    spread = plain.std(0).clip(1e-6)
    assert (np.abs(plain.mean(0) - batched.mean(0)) < 5 * spread * math.sqrt(2 / n)).all()
    np.testing.assert_allclose(batched.std(0), plain.std(0), rtol=0.12)


def test_bones_grow_along_the_tree() -> None:
    """Each bone keeps its direction, both sides grow alike, and what is absent stays so."""
    skeleton = layouts.get("shared-15")
    torch.manual_seed(0)
    x = torch.randn(3, 4, 2, 15, 3)
    x[1, 2, 0, 9] = 0.0
    keyed = CounterRNG(0, 0, torch.arange(3), 0)
    found = augment(x, keyed, replace(Augment.none(), bones=0.2), skeleton)
    root = next(j for j in range(15) if skeleton.parents[j] == -1)
    torch.testing.assert_close(found[:, :, :, root], x[:, :, :, root])
    assert not found[1, 2, 0, 9].any()
    factors = {}
    for child, parent in skeleton.bones:
        before, after = (c[..., child, :] - c[..., parent, :] for c in (x, found))
        ratio = (after * before).sum(-1) / before.square().sum(-1)
        torch.testing.assert_close(after[0], ratio[0][..., None] * before[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(ratio[0], ratio[0, :1, :1].expand_as(ratio[0]), atol=1e-4, rtol=1e-4)
        factors[child] = float(ratio[0, 0, 0])
    assert 0.8 <= min(factors.values()) < 0.95
    assert 1.05 < max(factors.values()) <= 1.2
    assert all(factors[a] == pytest.approx(factors[b], abs=1e-4) for a, b in skeleton.mirror)
