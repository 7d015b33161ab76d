from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from motet.data.skeletons import AXES
from motet.report import Motion, motion
from tests.report.made_up import BODY, POSE, SENSOR, walks

XYZ = ("x", "y", "z")


def _values(clip: dict[str, Any], joints: int, dims: int) -> np.ndarray:
    raw = np.frombuffer(base64.b64decode(clip["m"]), dtype="<i2")
    return raw.reshape(clip["t"], clip["p"], joints, dims)


@pytest.mark.parametrize("up", AXES)
@pytest.mark.parametrize("right_handed", [True, False])
def test_up_is_up_on_screen_and_handedness_is_kept(up: str, right_handed: bool) -> None:
    skeleton = replace(BODY, up=up, right_handed=right_handed)
    axes = motion.to_screen(np.eye(3)[None, None], skeleton, 3)[0, 0]
    sign = 1 if up[0] == "+" else -1
    assert (sign * axes["xyz".index(up[1])]).tolist() == [0, 1, 0]
    assert np.linalg.det(axes) == pytest.approx(1 if right_handed else -1)


def test_picture_coordinates_with_y_down_are_turned_over() -> None:
    clip = np.array([3.0, 4.0, 0.9]).reshape(1, 1, 1, 3)
    skeleton = replace(BODY, up="-y")
    assert motion.dimensions(skeleton, ("x", "y", "score")) == 2
    assert motion.to_screen(clip, skeleton, 2).ravel().tolist() == [3, -4]


@pytest.mark.parametrize("turn", [0.0, 1.0, 2.5, -2.0])
def test_the_figure_first_faces_the_viewer(turn: float) -> None:
    # +z is where the made-up person looks: its left hand is at +x
    about_y = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    clip = np.tile(POSE @ about_y.T, (5, 1, 1, 1))
    yaw = motion.facing(clip, np.ones(clip.shape[:3], bool), BODY)
    ahead = about_y @ [0, 0, 1]
    shown = ahead[0] * np.cos(yaw) + ahead[2] * np.sin(yaw), -ahead[0] * np.sin(yaw) + ahead[2] * np.cos(yaw)
    assert shown == pytest.approx((0, 1), abs=1e-9)


def test_quantised_joints_are_within_a_step_of_the_recording() -> None:
    clip = walks(1, frames=20)[0]
    packed = motion.pack(Motion(BODY, XYZ, [clip], 25.0))["clips"][0]
    assert (packed["t"], packed["p"], packed["d"]) == (20, 1, 0.8)
    back = _values(packed, 7, 3) * packed["s"]
    shift = (back - clip).reshape(-1, 3)
    assert np.ptp(shift, axis=0).max() < 1.01 * packed["s"]
    assert packed["s"] < 1e-4


def test_absent_joints_and_persons_are_marked() -> None:
    clip = np.concatenate([walks(1)[0], np.zeros((30, 1, 7, 3), np.float32)], axis=1)
    clip[4, 0, 2] = 0
    packed = motion.pack(Motion(BODY, XYZ, [clip]))["clips"][0]
    assert packed["p"] == 1
    values = _values(packed, 7, 3)
    gone = (values == motion.MISSING).all(-1)
    assert np.argwhere(gone).tolist() == [[4, 0, 2]]
    empty = motion.pack(Motion(BODY, XYZ, [np.zeros((3, 2, 7, 3), np.float32)]))["clips"][0]
    assert (_values(empty, 7, 3) == motion.MISSING).all()


def test_resampling_keeps_the_ends_and_does_not_mix_with_absent_joints() -> None:
    clip = np.linspace(1, 2, 101).reshape(101, 1, 1, 1) * np.ones((101, 1, 2, 3))
    clip[50, 0, 1] = 0
    present = clip.any(-1)
    frames, seen = motion.resample(clip, present, 11)
    assert frames[:, 0, 0, 0] == pytest.approx(np.linspace(1, 2, 11))
    assert not seen[5, 0, 1]
    assert frames[seen].min() >= 1


def test_a_joint_that_jumps_away_does_not_shrink_the_figure() -> None:
    calm = walks(1, frames=40)[0]
    wild = calm.copy()
    wild[7, 0, 3] = 50
    first, second = (motion.pack(Motion(BODY, XYZ, [clip]))["clips"][0] for clip in (calm, wild))
    assert second["h"] == pytest.approx(first["h"], rel=0.15)


def test_frames_are_thinned_to_keep_many_clips_within_the_budget() -> None:
    clips = [np.ones((90, 2, 25, 3), np.float32)] * 1000
    skeleton = replace(BODY, joints=tuple(map(str, range(25))), parents=(-1, *range(24)), mirror=(), canonical=())
    many, few = Motion(skeleton, XYZ, clips), Motion(skeleton, XYZ, clips[:20])
    assert motion.MIN_FRAMES < motion.frames_per_clip(many) < motion.frames_per_clip(few) == motion.MAX_FRAMES
    size = sum(len(clip["m"]) for clip in motion.pack(many)["clips"])
    assert 0.8 * motion.BYTE_BUDGET < size <= motion.BYTE_BUDGET


def test_sensors_keep_their_values_and_share_one_range_per_node() -> None:
    clips = walks(3, frames=40, skeleton=SENSOR)
    packed = motion.pack(Motion(SENSOR, XYZ, clips, 50.0))
    back = _values(packed["clips"][1], 2, 3) * packed["clips"][1]["s"]
    assert back == pytest.approx(clips[1], abs=1e-3)
    assert len(packed["ranges"]) == 2
    assert all(low < high for low, high in packed["ranges"])
    assert packed["bones"] == []
