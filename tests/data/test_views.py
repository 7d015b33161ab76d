from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from motet.core.errors import ConfigError
from motet.data import layouts
from motet.data.views import KINDS, View, difference, sub_skeleton

KINECT = layouts.get("kinect-v2")


def golden_clip() -> Tensor:
    """(1, 4, 2, 25, 3) float64 of a closed form."""
    t, p, v, c = torch.meshgrid(*(torch.arange(n).double() for n in (4, 2, 25, 3)), indexing="ij")
    return torch.cos(0.3 * v + 0.2 * t + 1.1 * c + 0.7 * p)[None]


def _close(actual: Tensor, expected: object) -> None:
    torch.testing.assert_close(actual, torch.as_tensor(expected).double(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "total", "squares"),
    [
        ("joint", -31.821729, 300.451954),
        ("motion", -6.508453, 8.955858),
        ("bone", -8.879689, 238.227541),
    ],
)
def test_golden_sums(kind: str, total: float, squares: float) -> None:
    out = View.parse(kind, KINECT)(golden_clip())
    _close(out.sum(), total)
    _close(out.square().sum(), squares)


def test_golden_values() -> None:
    x = golden_clip()
    _close(View.parse("motion", KINECT)(x)[0, 1, 0, 2], [-0.156404, -0.181557, -0.008302])
    _close(View.parse("bone", KINECT)(x)[0, 1, 1, 7], [-0.085920, 0.216144, 0.282004])
    flat = View.parse("joint", KINECT)(x).permute(0, 1, 3, 4, 2).flatten(2)  # joint, coordinate, person
    _close(flat[0, 1, :8], [0.980067, 0.621610, 0.267499, -0.416147, -0.737394, -0.999135, 0.877583, 0.362358])


def test_the_views_are_what_their_names_say() -> None:
    x = golden_clip()
    bone, motion = View.parse("bone", KINECT), View.parse("motion", KINECT)
    torch.testing.assert_close(View.parse("bone_motion", KINECT)(x), motion(bone(x)))
    torch.testing.assert_close(View.parse("bone_motion", KINECT)(x), bone(motion(x)))
    acceleration = View.parse("acceleration", KINECT)(x)
    torch.testing.assert_close(acceleration[:, 1], x[:, 3] - 2 * x[:, 2] + x[:, 1])
    assert not acceleration[:, 2:].any()
    assert not bone(x)[:, :, :, 20].any()
    ramp = torch.arange(5.0)[None, :, None, None, None].expand(1, 5, 1, 25, 3)
    assert not View.parse("acceleration", KINECT)(ramp).any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("frames", [1, 2, 3])
def test_absent_people_and_short_clips(kind: str, frames: int) -> None:
    x = golden_clip()[:, :frames].clone()
    x[:, :, 1] = 0
    before = x.clone()
    out = View.parse(kind, KINECT)(x)
    assert out.shape == x.shape
    assert not out[:, :, 1].any()
    assert torch.equal(x, before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_a_view_is_the_view_of_the_whole_at_its_nodes(kind: str) -> None:
    view = View.parse(f"{kind}[left_arm + Head]", KINECT)
    assert view.name == f"{kind}[left_arm+Head]"
    assert View.parse(view.name, KINECT) == view
    assert 3 in view.nodes
    assert list(view.nodes) == sorted(set(KINECT.parts["left_arm"]) | {3})
    whole = View.parse(kind, KINECT)(golden_clip())
    torch.testing.assert_close(view(golden_clip()), whole[:, :, :, list(view.nodes)], rtol=0, atol=0)


def test_canonical_names_select_too() -> None:
    assert View.parse("joint[left_elbow]", KINECT).nodes == (KINECT.index("ElbowLeft"),)


def test_sub_skeleton_links_joints_to_their_nearest_kept_ancestor() -> None:
    kept = [KINECT.index(j) for j in ("SpineMid", "HandLeft", "ShoulderLeft", "SpineShoulder", "ShoulderRight")]
    part = sub_skeleton(KINECT, sorted(kept))
    parent = {part.joints[j]: part.joints[p] if p != -1 else None for j, p in enumerate(part.parents)}
    assert parent == {
        "SpineMid": "SpineShoulder",
        "ShoulderLeft": "SpineShoulder",
        "ShoulderRight": "SpineShoulder",
        "HandLeft": "ShoulderLeft",
        "SpineShoulder": None,
    }
    assert part.joints[part.center] == "SpineMid"
    assert [tuple(part.joints[j] for j in pair) for pair in part.mirror] == [("ShoulderLeft", "ShoulderRight")]
    assert sub_skeleton(KINECT, range(25)) is KINECT
    assert View.parse("joint", KINECT).skeleton is KINECT


@given(st.sets(st.integers(0, 24), min_size=1))
def test_any_sub_skeleton_is_a_skeleton(nodes: set[int]) -> None:
    part = sub_skeleton(KINECT, sorted(nodes))
    assert part.joints == tuple(KINECT.joints[j] for j in sorted(nodes))
    for child, parent in part.bones:
        above = KINECT.index(part.joints[child])
        while above != KINECT.index(part.joints[parent]):
            assert above == KINECT.index(part.joints[child]) or above not in nodes
            above = KINECT.parents[above]


def test_sensors() -> None:
    imu = layouts.get("imu-2")
    x = torch.randn(2, 6, 1, 2, 3)
    torch.testing.assert_close(View.parse("joint[gyroscope]", imu)(x), x[:, :, :, 1:])
    torch.testing.assert_close(View.parse("motion", imu)(x), difference(x))
    with pytest.raises(ConfigError, match="is a sensor"):
        View.parse("bone", imu)


@pytest.mark.parametrize("text", ["joints", "", "bone[", "joint[]", "joint[left_arm+]", "joint[tail]", "joint head"])
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="view "):
        View.parse(text, KINECT)


def test_the_order_of_a_flat_joint_is_independent_of_memory_layout() -> None:
    x = golden_clip()
    strided = x.permute(4, 3, 2, 1, 0).contiguous().permute(4, 3, 2, 1, 0)
    for kind in KINDS:
        view = View.parse(kind, KINECT)
        np.testing.assert_array_equal(view(strided).numpy(), view(x).numpy())
