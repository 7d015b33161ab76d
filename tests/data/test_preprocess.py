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
from motet.data import layouts
from motet.data.preprocess import (
    EGOCENTRIC,
    METHODS,
    WHOLE,
    bridge_holes,
    fill_null_frames,
    landmark,
    oriented,
    preprocess,
    present_readings,
    rotation_between,
)
from motet.data.skeletons import Skeleton
from tests.data import feeder_oracle as oracle

KINECT = layouts.get("kinect-v2")


def _golden_clip() -> Tensor:
    """Eight frames of a closed form; person 0 present in frames 0..4, person 1 in 1..3. (1, T, P, V, C) float64."""
    t, p, v, c = torch.meshgrid(*(torch.arange(n).double() for n in (8, 2, 25, 3)), indexing="ij")
    clip = (1 + 0.05 * v) * torch.cos(0.3 * (v + 1) + 0.2 * t + 1.1 * c + 0.7 * p)
    clip[5:, 0] = 0
    clip[:1, 1] = clip[4:, 1] = 0
    return clip[None]


def _walk(seed: int, time: int = 12, persons: int = 2, joints: int = 25) -> Tensor:
    """Smooth random clip away from the origin, (1, T, P, V, 3) float64."""
    rng = np.random.default_rng(seed)
    clip = rng.normal(size=(1, persons, joints, 3)) + np.cumsum(rng.normal(size=(time, persons, joints, 3)), 0) / 20
    return torch.from_numpy(clip + np.array([0, 0, 6]))[None]


def _seen(clip: Tensor, method: str) -> Tensor:
    """What a camera sees of it, for the method of pictures."""
    return clip[..., :2].clone() if method == EGOCENTRIC else clip


def _lengths(*frames: int) -> Tensor:
    return torch.tensor(frames)


def _rotation(axis: tuple[float, float, float], angle: float) -> Tensor:
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    return torch.eye(3).double() + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def _close(actual: Tensor, expected: object, rtol: float = 1e-6) -> None:
    torch.testing.assert_close(actual.double(), torch.as_tensor(expected).double(), rtol=rtol, atol=1e-6)


def test_cmd_golden_values() -> None:
    out = preprocess(_golden_clip(), _lengths(8), KINECT, "cmd")[0]
    _close(out.sum(), 146.824581)
    _close(out.square().sum(), 1978.665879)
    _close(out[0, 0, 0], [0.0519318, -0.0840995, -0.3559486])
    _close(out[0, 0, 8], [2.447209, 0.237452, 1.005010])
    _close(out[0, 0, 4], [0.585554, 0.237452, 1.005010])
    _close(out[0, 0, 8] - out[0, 0, 4], [1.861656, 0.0, 0.0])
    _close(out[0, 0, 1] - out[0, 0, 0], [-0.0519318, 0.0840995, 0.3559486])
    _close(out[0, 1, 20], [-0.916925, 0.209639, 0.887290])
    _close(out[7, 1, 20], [-0.828887, 0.193973, 0.820986])
    assert out[:, 0, 1].abs().max() == 0
    torch.testing.assert_close(out[5:8, 0], out[0:3, 0], rtol=0, atol=0)


def test_cmd_equals_the_plain_form_on_ragged_batches_with_gaps() -> None:
    rng = np.random.default_rng(0)
    lengths = [12, 7, 1, 9, 12, 5]
    frames = torch.cat([_walk(i) for i in range(len(lengths))])
    for row, length in enumerate(lengths):
        frames[row, length:] = 0
        for person in range(2):
            frames[row, torch.from_numpy(rng.random(12) < 0.3), person] = 0
    frames[4, :, 1] = 0
    frames[5, :, 0] = 0
    frames[1, 2, 0, 7] = 0
    out = preprocess(frames, _lengths(*lengths), KINECT, "cmd")
    for row, length in enumerate(lengths):
        expected = oracle.normalise(frames[row, :length].numpy())
        np.testing.assert_allclose(out[row, :length].numpy(), expected, rtol=1e-9, atol=1e-12)
        assert not out[row, length:].any()


def test_float32_is_close_to_float64() -> None:
    clip = _golden_clip()
    exact = preprocess(clip, _lengths(8), KINECT, "cmd")
    single = preprocess(clip.float(), _lengths(8), KINECT, "cmd")
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=1e-5, atol=1e-5)


def test_a_constant_translation_changes_nothing() -> None:
    clip = _walk(1)
    moved = clip + torch.tensor([3.0, -2.0, 5.0], dtype=torch.float64)
    for method in ("cmd", "crossclr", "yaw", "center", "first-frame"):
        a, b = (preprocess(x, _lengths(12), KINECT, method) for x in (clip, moved))
        torch.testing.assert_close(a, b, rtol=0, atol=1e-13)


def test_a_translation_per_frame_leaves_the_main_person_of_cmd() -> None:
    clip = _walk(2)
    moved = clip + torch.linspace(0, 4, 12).double()[None, :, None, None, None]
    a, b = (preprocess(x, _lengths(12), KINECT, "cmd") for x in (clip, moved))
    torch.testing.assert_close(a[:, :, 0], b[:, :, 0], rtol=0, atol=1e-13)


def test_a_global_rotation_is_not_removed_by_cmd() -> None:
    clip = _golden_clip()
    turned = clip @ _rotation((0.3, 1.0, -0.4), 0.9).T
    a, b = (preprocess(x, _lengths(8), KINECT, "cmd") for x in (clip, turned))
    assert (a - b).abs().max().item() == pytest.approx(0.585, abs=5e-4)


def test_cmd_keeps_distances() -> None:
    clip = _walk(3)
    out = preprocess(clip, _lengths(12), KINECT, "cmd")
    for a, b in ((0, 1), (4, 8), (3, 20)):
        before, after = ((x[..., a, :] - x[..., b, :]).norm(dim=-1) for x in (clip, out))
        torch.testing.assert_close(before, after, rtol=1e-12, atol=0)


@pytest.mark.parametrize("method", METHODS)
def test_input_is_kept_and_absent_stay_absent(method: str) -> None:
    clip = _seen(_walk(4), method)
    clip[:, :, 1] = 0
    clip[:, 9:] = 0
    clip[:, 3, 0, 11] = 0
    before = clip.clone()
    out = preprocess(clip, _lengths(9), KINECT, method)
    assert torch.equal(clip, before)
    assert out.data_ptr() != clip.data_ptr()
    assert not out[:, :, 1].any()
    assert not out[:, 9:].any()
    assert bool(out[:, 3, 0, 11].any()) == (method in WHOLE)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("absent", ["all", "main person"])
def test_clips_without_anybody_do_not_fail(method: str, absent: str) -> None:
    clip = _seen(_walk(5), method)
    clip[:, :, : 2 if absent == "all" else 1] = 0
    out = preprocess(clip, _lengths(12), KINECT, method)
    assert torch.isfinite(out).all()
    assert not out[:, :, 0].any()


@given(st.integers(0, 2**32 - 1), st.permutations(range(4)))
@settings(max_examples=20)
def test_clips_of_a_batch_do_not_touch_each_other(seed: int, order: list[int]) -> None:
    rng = np.random.default_rng(seed)
    frames = torch.cat([_walk(seed + i, time=6) for i in range(4)])
    frames[torch.from_numpy(rng.random((4, 6, 2)) < 0.3)] = 0
    lengths = torch.from_numpy(rng.integers(1, 7, 4))
    frames[torch.arange(6) >= lengths[:, None]] = 0
    for method in METHODS:
        seen = _seen(frames, method)
        together = preprocess(seen, lengths, KINECT, method)
        shuffled = preprocess(seen[order], lengths[order], KINECT, method)
        torch.testing.assert_close(together[order], shuffled, rtol=0, atol=1e-14)
        one = preprocess(seen[2:3, : lengths[2]], lengths[2:3], KINECT, method)
        torch.testing.assert_close(together[2:3, : lengths[2]], one, rtol=0, atol=1e-14)


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.integers(0, 3))
@settings(max_examples=60)
def test_null_frames_are_filled_as_in_the_plain_form(seen: list[bool], extra: int) -> None:
    frames = torch.arange(1.0, len(seen) + 1)[None, :, None, None, None] * torch.tensor(seen)[None, :, None, None, None]
    padded = torch.nn.functional.pad(frames, (0, 0, 0, 0, 0, 0, 0, extra))
    expected = oracle.fill(frames[0, :, 0].numpy())
    out = fill_null_frames(padded, _lengths(len(seen)))
    np.testing.assert_array_equal(out[0, : len(seen), 0].numpy(), expected)
    assert not out[0, len(seen) :].any()


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.integers(0, 3))
@settings(max_examples=60)
def test_holes_are_bridged_in_a_line(seen: list[bool], extra: int) -> None:
    time, there = np.arange(len(seen)), np.array(seen)
    path = np.random.default_rng(len(seen)).normal(size=(len(seen), 3)) + 9
    frames = torch.from_numpy(np.pad(path * there[:, None], ((0, extra), (0, 0))))[None, :, None, None]
    other = (
        torch.ones_like(frames[..., :1, :]) * (torch.arange(len(seen) + extra) < len(seen))[None, :, None, None, None]
    )
    out = bridge_holes(torch.cat([frames, other], dim=-2), _lengths(len(seen)))
    expected = np.zeros_like(path)
    if there.any():
        expected = np.stack([np.interp(time, time[there], path[there, axis]) for axis in range(3)], axis=1)
    np.testing.assert_allclose(out[0, : len(seen), 0, 0], expected, rtol=1e-12)
    assert torch.equal(out[..., 1, :], other[..., 0, :]), "joints that were seen stay, and so does what is past the end"
    assert not out[0, len(seen) :].any()


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.integers(0, 3))
@settings(max_examples=60)
def test_lost_samples_of_a_sensor_are_bridged(seen: list[bool], extra: int) -> None:
    time, there = np.arange(len(seen)), np.array(seen)
    path = np.random.default_rng(len(seen)).normal(size=(len(seen), 2, 3)) + 9
    path[::2, 1] = 0  # a gyroscope at rest
    frames = torch.from_numpy(np.pad(path * there[:, None, None], ((0, extra), (0, 0), (0, 0))))[None, :, None]
    before = frames.clone()
    out = preprocess(frames, _lengths(len(seen)), layouts.get("imu-2"), "bridge")
    assert torch.equal(frames, before)
    expected = np.zeros((len(seen), 6))
    if there.any():
        flat = path.reshape(len(seen), 6)
        expected = np.stack([np.interp(time, time[there], flat[there, k]) for k in range(6)], axis=1)
    np.testing.assert_allclose(out[0, : len(seen), 0].flatten(1), expected, rtol=1e-12)
    assert not out[0, len(seen) :].any()


def test_which_readings_are_lost() -> None:
    frames = torch.tensor([[[0.0, 1]], [[1, 0]], [[0, 0]]])[..., None].expand(3, 1, 2, 3)  # (T, P, V, C)
    found = present_readings(frames, layouts.get("imu-2"))[:, 0].tolist()
    assert found == [[False, True], [True, True], [False, False]]
    alone = layouts.build("worn", ("gyro", "pulse"), [-1, -1], up=None, kind="sensor")
    assert present_readings(frames, alone).all(), "zeros of a gyroscope at rest are readings"
    frames = torch.stack([frames, frames.clone()])
    frames[1, :, :, 0] = 0
    found = present_readings(frames, layouts.get("imu-2"))
    assert found[1].all(), "also where the accelerometer of the layout recorded nothing in the clip"
    assert not found[0].all()


@pytest.mark.parametrize("method", ["sized", "animal"])
@pytest.mark.parametrize("bones", [True, False])
@pytest.mark.parametrize("channels", [2, 3])
def test_one_size(method: str, bones: bool, channels: int) -> None:
    rng = np.random.default_rng(1)
    mouse = replace(MOUSE, up="+z", parents=(3, 3, 3, -1, 3) if bones else (-1,) * 5)
    clip = torch.from_numpy(rng.normal(300, 40, (2, 6, 1, 5, channels)))
    clip[1] *= 0.3
    clip[0, 2, 0, 1] = clip[0, 4, 0, 3] = 0
    found = preprocess(clip, _lengths(6, 6), mouse, method)
    torch.testing.assert_close(preprocess(clip * 7, _lengths(6, 6), mouse, method), found)
    for made, raw in zip(found[:, :, 0], clip[:, :, 0], strict=True):
        seen = (raw != 0).any(-1)
        lengths = []
        for points, there in zip(made, seen, strict=True):
            if bones:
                lengths += [float((points[j] - points[3]).norm()) for j in (0, 1, 2, 4) if there[j] and there[3]]
            else:
                middle = points[there].mean(0)
                lengths += [float((points[j] - middle).norm()) for j in range(5) if there[j]]
        assert np.mean(lengths) == pytest.approx(0.25 if bones else 0.5)
    turned = {"sized": "first-frame", "animal": "egocentric"}[method]
    plain = preprocess(clip[1:], _lengths(6), mouse, turned)
    torch.testing.assert_close(found[1:] / found[1:].abs().max(), plain / plain.abs().max())


@pytest.mark.parametrize("method", WHOLE)
def test_what_was_not_seen_for_a_moment_hardly_matters(method: str) -> None:
    skeleton = layouts.get("hand-21") if method == "hand" else KINECT
    path = torch.linspace(0, 1, 40, dtype=torch.float64)[None, :, None, None, None] * torch.tensor([1.0, -0.5, 2.0])
    clip = path + _walk(3, time=1, persons=1, joints=len(skeleton))
    whole = preprocess(clip, _lengths(40), skeleton, method)
    lost = clip.clone()
    lost[:, 12:20] = 0  # everything
    lost[:, 30:36, :, skeleton.center] = 0
    # the mean bone is that of what was seen
    torch.testing.assert_close(preprocess(lost, _lengths(40), skeleton, method), whole, rtol=0, atol=0.02)


@pytest.mark.parametrize("method", ["body", "hand", "sized"])
def test_a_centre_that_is_never_seen_is_the_middle_of_what_is(method: str) -> None:
    """So where a film that shows no hips was taken says nothing; what lies around the origin is relative to it."""
    clip = _walk(1)[:, :, :1]
    clip[:, :, :, [KINECT.center, KINECT.index("left_hip")]] = 0
    there = clip.any(dim=-1, keepdim=True)
    far, farther = (clip + there * torch.tensor([shift, 0.7 * shift, 40.0]) for shift in (30.0, 90.0))
    made, moved = (preprocess(x, _lengths(12), KINECT, method) for x in (far, farther))
    torch.testing.assert_close(made, moved, rtol=0, atol=1e-9)
    assert made[:, 0].sum(dim=-2).norm() < 1e-9  # the middle of the first posture
    assert not made[~there.expand_as(made)].any()
    near = clip - there * clip[:, :1].sum(dim=-2, keepdim=True) / there[:, :1].sum(dim=-2, keepdim=True)
    beside = near + there * torch.tensor([0.1, 0.0, 0.0])
    apart = preprocess(beside, _lengths(12), KINECT, "sized") - preprocess(near, _lengths(12), KINECT, "sized")
    assert apart.abs().amax() > 1e-3


def test_rotation_between() -> None:
    z = torch.tensor([0.0, 0.0, 1.0])
    quarter = rotation_between(torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0]))
    torch.testing.assert_close(quarter, torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]).double(), rtol=0, atol=1e-15)
    for vector in ([0.0, 0.0, -2.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]):
        assert torch.equal(rotation_between(torch.tensor(vector), z), torch.eye(3).double())


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=3))
@settings(max_examples=60)
def test_rotation_between_is_the_rotation_wanted(vector: list[float]) -> None:
    source = torch.tensor(vector).double()
    turn = rotation_between(source, torch.tensor([0.0, 0.0, 1.0]))
    torch.testing.assert_close(turn @ turn.T, torch.eye(3).double(), rtol=0, atol=1e-12)
    assert torch.linalg.det(turn).item() == pytest.approx(1)
    np.testing.assert_allclose(turn.numpy(), oracle.rodrigues(source.numpy(), np.array([0, 0, 1.0])), atol=1e-7)


@pytest.mark.parametrize("up", ["+x", "+y", "+z", "-y"])
def test_yaw_removes_where_the_camera_stands(up: str) -> None:
    skeleton = replace(KINECT, up=up)
    clip = _walk(6)
    axis = [0.0, 0.0, 0.0]
    axis["xyz".index(up[1])] = 1.0
    turned = clip @ _rotation((axis[0], axis[1], axis[2]), 2.1).T + torch.tensor([1.0, 2.0, 3.0]).double()
    a, b = (preprocess(x, _lengths(12), skeleton, "yaw") for x in (clip, turned))
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    # the vertical coordinate is only shifted, and the path of the body is kept
    vertical = "xyz".index(up[1])
    torch.testing.assert_close(a[..., vertical], (clip - clip[:, :1, :1, 1:2])[..., vertical])
    path = clip[0, -1, 0, 1] - clip[0, 0, 0, 1]
    assert a[0, -1, 0, 1].norm().item() == pytest.approx(path.norm().item())
    line = a[0, 0, 0, 8] - a[0, 0, 0, 4] + a[0, 0, 0, 16] - a[0, 0, 0, 12]
    lateral, other = (1, 2) if up[1] == "x" else (0, 3 - vertical)
    assert line[lateral] > 0
    assert line[other].item() == pytest.approx(0, abs=1e-12)


def test_crossclr_levels_every_frame_of_every_person() -> None:
    out = preprocess(_walk(7), _lengths(12), KINECT, "crossclr")
    assert out[..., 20, :].abs().max() == 0
    line = out[..., 8, :] - out[..., 4, :]
    assert line[..., 2].abs().max() < 1e-13
    assert (line[..., 0] > 0).all()


def test_center_holds_the_last_place_while_nobody_is_seen() -> None:
    clip = _walk(8)
    clip[:, 5, 0] = 0
    out = preprocess(clip, _lengths(12), KINECT, "center")
    torch.testing.assert_close(out[:, 5, 1], clip[:, 5, 1] - clip[:, 4, 0, 1:2])
    clip[:, 0, 0] = 0
    out = preprocess(clip, _lengths(12), KINECT, "first-frame")
    torch.testing.assert_close(out, (clip - clip[:, 1:2, :1, 1:2]) * (clip != 0))


def test_two_dimensional_layouts() -> None:
    coco = layouts.get("coco-17")
    clip = torch.randn(1, 5, 1, 17, 2)
    assert preprocess(clip, _lengths(5), coco, "first-frame")[0, 0, 0, coco.center].abs().max() == 0
    assert preprocess(clip, _lengths(5), coco, "center")[0, :, 0, coco.center].abs().max() == 0
    for method in ("cmd", "crossclr", "yaw"):
        with pytest.raises(ConfigError, match="2 coordinates"):
            preprocess(clip, _lengths(5), coco, method)


def test_layouts_that_a_method_cannot_take_are_refused() -> None:
    clip = torch.randn(1, 5, 1, 22, 3)
    with pytest.raises(ConfigError, match="no left shoulder"):
        preprocess(clip, _lengths(5), layouts.get("hand-22"), "cmd")
    for method in ("cmd", "center"):
        with pytest.raises(ConfigError, match="is a sensor"):
            preprocess(clip[:, :, :, :2], _lengths(5), layouts.get("imu-2"), method)
    with pytest.raises(ConfigError, match="'centre' is none of cmd"):
        preprocess(clip, _lengths(5), KINECT, "centre")
    with pytest.raises(ConfigError, match="no up axis"):
        preprocess(clip[:, :, :, :15], _lengths(5), replace(layouts.get("nite-15"), up=None), "yaw")


@pytest.mark.parametrize("name", layouts.names())
def test_every_body_layout_can_be_normalised(name: str) -> None:
    skeleton = layouts.get(name)
    clip = _walk(9, persons=1, joints=len(skeleton))
    if skeleton.kind == "body":
        for method in ("cmd", "crossclr", "yaw"):
            assert torch.isfinite(preprocess(clip, _lengths(12), skeleton, method)).all()
        assert len(landmark(skeleton, "base of the spine")) in (1, 2)
    else:
        with pytest.raises(ConfigError):
            preprocess(clip, _lengths(12), skeleton, "cmd")


def test_cmd_changes_which_way_is_up() -> None:
    assert oriented(KINECT, "cmd").up == "+z"
    assert oriented(KINECT, "yaw") is KINECT


def test_body_removes_place_heading_size_and_unit() -> None:
    skeleton = layouts.get("shared-15")
    torch.manual_seed(0)
    clip = torch.randn(1, 6, 1, 15, 3, dtype=torch.float64)
    clip[0, 2, 0, 4] = 0.0  # a joint that was lost for a frame stays zero and measures no bone
    turn = torch.tensor([[0.6, 0.0, 0.8], [0.0, 1.0, 0.0], [-0.8, 0.0, 0.6]], dtype=torch.float64)
    there = (clip != 0).any(-1, keepdim=True)
    moved = (1000 * clip @ turn.T + torch.tensor([5.0, 2.0, -3.0], dtype=torch.float64)) * there
    found, again = (preprocess(x, torch.tensor([6]), skeleton, "body") for x in (clip, moved))
    torch.testing.assert_close(found, again)
    lengths = [
        (found[0, t, 0, a] - found[0, t, 0, b]).norm()
        for t in range(6)
        for a, b in skeleton.bones
        if not (t == 2 and 4 in (a, b))
    ]
    assert float(torch.stack(lengths).mean()) == pytest.approx(0.25)
    between = (found[0, 1, 0, 4] + found[0, 3, 0, 4]) / 2
    torch.testing.assert_close(found[0, 2, 0, 4], between)


def test_hand_removes_place_size_and_unit_and_keeps_the_direction() -> None:
    skeleton = layouts.get("hand-21")
    torch.manual_seed(0)
    clip = torch.randn(1, 6, 1, 21, 3, dtype=torch.float64)
    moved = 1000 * clip + torch.tensor([5.0, 2.0, -3.0], dtype=torch.float64)
    found, again = (preprocess(x, torch.tensor([6]), skeleton, "hand") for x in (clip, moved))
    torch.testing.assert_close(found, again)
    lengths = [(found[0, :, 0, a] - found[0, :, 0, b]).norm(dim=-1) for a, b in skeleton.bones]
    assert float(torch.stack(lengths).mean()) == pytest.approx(0.25)
    assert not found[0, 0, 0, skeleton.center].any()
    ratio = found[0, 3, 0] / (clip[0, 3, 0] - clip[0, 0, 0, skeleton.center])
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio))
    with pytest.raises(ConfigError, match="is a sensor"):
        preprocess(clip[:, :, :, :2], torch.tensor([6]), layouts.get("imu-2"), "hand")
    with pytest.raises(ConfigError, match=r"has no left shoulder .*; choose preprocess 'hand', 'first-frame'"):
        preprocess(clip, torch.tensor([6]), skeleton, "body")


MOUSE = Skeleton("mouse", ("Snout", "LeftEar", "RightEar", "Spine", "tail_base"), (-1,) * 5, center=3)


@given(st.floats(-math.pi, math.pi), st.floats(-900, 900), st.floats(-900, 900), st.integers(0, 99))
@settings(max_examples=40)
def test_animals_seen_from_above_keep_all_but_place_and_heading(angle: float, x: float, y: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    clip = torch.from_numpy(rng.normal(0, 20, (1, 7, 1, 5, 2)) + np.cumsum(rng.normal(0, 5, (1, 7, 1, 1, 2)), axis=1))
    cosine, sine = math.cos(angle), math.sin(angle)
    turned = clip @ torch.tensor([[cosine, sine], [-sine, cosine]], dtype=torch.float64) + torch.tensor([x, y])
    found = preprocess(turned, _lengths(7), MOUSE, EGOCENTRIC)
    torch.testing.assert_close(found, preprocess(clip, _lengths(7), MOUSE, EGOCENTRIC), rtol=0, atol=1e-9)
    first = found[0, 0, 0]
    assert not first[3].any()
    line = first[0] - first[4]
    assert float(line[0]) == pytest.approx(math.dist(clip[0, 0, 0, 0], clip[0, 0, 0, 4]))
    assert float(line[1]) == pytest.approx(0, abs=1e-9)
    sides = [(c[..., 1, :] - c[..., 4, :]) for c in (clip[0, 0, 0] - 0, first)]  # not mirrored
    lines = [clip[0, 0, 0, 0] - clip[0, 0, 0, 4], line]
    cross = [float(a[0] * b[1] - a[1] * b[0]) for a, b in zip(lines, sides, strict=True)]
    assert cross[0] == pytest.approx(cross[1], abs=1e-6)


def test_an_animal_whose_head_is_seen_later() -> None:
    clip = torch.zeros(1, 3, 1, 5, 2, dtype=torch.float64)
    clip[0, :, 0, 3] = torch.tensor([5.0, 5.0])
    clip[0, :, 0, 4] = torch.tensor([5.0, 2.0])
    clip[0, 2, 0, 0] = torch.tensor([5.0, 9.0])  # up in the last frame
    found = preprocess(clip, _lengths(3), MOUSE, EGOCENTRIC)
    torch.testing.assert_close(found[0, 2, 0, 0], torch.tensor([4.0, 0.0], dtype=torch.float64))
    assert not found[0, :2, 0, 0].any()


@pytest.mark.parametrize("up", ["+x", "-x", "+y", "-y", "+z", "-z"])
def test_an_animal_in_space_is_turned_about_the_vertical(up: str) -> None:
    rng, height = np.random.default_rng(3), "xyz".index(up[1])
    level = [axis for axis in range(3) if axis != height]
    clip = torch.from_numpy(rng.normal(0, 20, (1, 7, 1, 5, 3)))
    turn = torch.eye(3, dtype=torch.float64)
    turn[level[0], level[0]] = turn[level[1], level[1]] = math.cos(2.0)
    turn[level[0], level[1]], turn[level[1], level[0]] = math.sin(2.0), -math.sin(2.0)
    layout = replace(MOUSE, up=up)
    found = preprocess(clip, _lengths(7), layout, EGOCENTRIC)
    torch.testing.assert_close(preprocess(clip @ turn + 50, _lengths(7), layout, EGOCENTRIC), found, rtol=0, atol=1e-9)
    heights = (clip - clip[:, :1, :, 3:4])[..., height]
    torch.testing.assert_close(found[..., height], heights, rtol=0, atol=1e-9)
    line = found[0, 0, 0, 0] - found[0, 0, 0, 4]
    assert float(line[level[0]]) > 0
    assert float(line[level[1]]) == pytest.approx(0, abs=1e-9)
    both = [torch.linalg.det(c[0, 0, 0, :3] - c[0, 0, 0, 3]) for c in (clip, found)]  # not mirrored
    assert float(both[0]) == pytest.approx(float(both[1]))


def test_what_has_no_head_or_no_vertical_is_not_egocentric() -> None:
    with pytest.raises(ConfigError, match="has no tail"):
        preprocess(torch.zeros(1, 3, 1, 2, 2), _lengths(3), Skeleton("fly", ("head", "wing"), (-1, -1)), EGOCENTRIC)
    with pytest.raises(ConfigError, match="declares no up axis"):
        preprocess(torch.zeros(1, 3, 1, 5, 3), _lengths(3), replace(MOUSE, up=None), EGOCENTRIC)
    with pytest.raises(ConfigError, match="of 1 coordinate there is no heading"):
        preprocess(torch.zeros(1, 3, 1, 5, 1), _lengths(3), MOUSE, EGOCENTRIC)
