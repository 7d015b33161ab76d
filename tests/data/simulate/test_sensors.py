from __future__ import annotations

import numpy as np
import pytest

from motet.data import layouts
from motet.data.simulate.cameras import ASIDE, View, depth_view, film_view, project, see
from motet.data.simulate.draws import generator
from motet.data.simulate.imu import GRAVITY, measure, sense
from motet.data.simulate.sensors import PLACED, depth, optical, picture, roles

KINECT = layouts.get("kinect-v2")


def still(frames: int, away: float = 3.0) -> np.ndarray:
    body = np.random.default_rng(0).uniform(-0.5, 0.5, (25, 3)).astype(np.float32)
    body[:, 2] = away
    return np.repeat(body[None, None], frames, axis=0)


def test_optical_error_is_below_two_millimetres() -> None:
    clip = still(500)
    error = np.linalg.norm(optical(clip, generator(0, "test", 0)) - clip, axis=-1)
    assert error.max() < 0.002
    assert error.mean() > 0.0002


def test_depth_noise_grows_with_distance_and_towards_the_hands() -> None:
    def tremble(away: float) -> np.ndarray:
        clips = [depth(still(100, away), generator(0, "test", i), roles(KINECT)) for i in range(20)]
        return np.median([np.abs(np.diff(c[:, 0], axis=0)).mean(axis=(0, 2)) for c in clips], axis=0)

    near, far = tremble(1.5), tremble(4.5)
    assert (far > 2 * near).all()
    assert near[KINECT.joints.index("HandLeft")] > 1.4 * near[KINECT.joints.index("SpineMid")]


def test_depth_cameras_lose_bodies_swap_limbs_and_freeze_joints() -> None:
    clip = still(90)
    lost = frozen = jumped = 0
    for i in range(200):
        seen = depth(clip, generator(0, "test", i), roles(KINECT))[:, 0]
        gone = ~seen.any(axis=(1, 2))
        lost += gone.any()
        assert not gone[0]
        kept = seen[~gone]
        frozen += (np.diff(kept, axis=0) == 0).all(axis=2).any()
        jumped += np.linalg.norm(np.diff(kept, axis=0), axis=2).max() > 0.15
    assert 2 <= lost <= 20
    assert 50 <= frozen <= 150
    assert jumped >= 50


def test_a_hidden_arm_is_seen_worse() -> None:
    clip = still(90)
    clip[..., :2] = 0
    clip[:, 0, :, 1] = np.linspace(-0.5, 0.5, 25)
    hand, head = KINECT.joints.index("HandLeft"), KINECT.joints.index("Head")
    clip[:, 0, head, 1] = 0.7
    errors = []
    for behind in (-0.3, 0.3):
        clip[:, 0, hand] = [0, 0.1, 3 + behind]
        seen = [depth(clip, generator(0, "test", i), roles(KINECT))[:, 0, hand] for i in range(20)]
        errors.append(np.median([np.linalg.norm(s - clip[:, 0, hand], axis=1).mean() for s in seen]))
    assert errors[1] > 2 * errors[0]


@pytest.mark.parametrize("name", ["kinect-v2", "nite-15", "ui-prmd-22", "shared-15", "smpl-24"])
def test_every_layout_has_limbs_that_can_be_swapped(name: str) -> None:
    skeleton = layouts.get(name)
    limbs = roles(skeleton).limbs
    for one, other in (limbs[:2], limbs[2:]):
        assert len(one) == len(other) >= 2
        for a, b in zip(one, other, strict=True):
            assert skeleton.canonical[a].removeprefix("left_") == skeleton.canonical[b].removeprefix("right_")


def test_an_actor_before_the_camera_faces_it() -> None:
    points = np.zeros((3, 3, 1), np.float32)  # nose forward of the body, left hand, middle
    points[0, 2] = points[1, 0] = 1
    view = View(yaw=np.pi, pitch=0.0, height=0.0, distance=3.0, aside=0.0)
    nose, left, middle = see(points, [view], np.zeros(1, np.int64))[:, :, 0]
    assert np.allclose(middle, [0, 0, 3], atol=1e-6)
    assert np.allclose(nose, [0, 0, 2], atol=1e-6)
    # the camera's x points to its left, where the actor's right is
    assert np.allclose(left, [-1, 0, 3], atol=1e-6)


def test_a_pinhole_camera() -> None:
    """x / z and y / z, times the focal length, from the middle of the picture; right and down are positive."""
    points = np.array([[0, 0, 2], [-0.5, 0, 2], [0, 1, 2], [0, 1, 4], [0, 0, 0]], np.float32)
    middle, right, up, farther, lost = project(points, generator(0, "test", 0))
    focal = (right - middle)[0] / 0.25
    assert 0.7 * 1280 <= focal <= 1.3 * 1280
    np.testing.assert_allclose(middle, [640, 360])
    np.testing.assert_allclose(right, [640 + focal / 4, 360], rtol=1e-6)
    np.testing.assert_allclose(up, [640, 360 - focal / 2], rtol=1e-6)
    np.testing.assert_allclose(farther, [640, 360 - focal / 4], rtol=1e-6)
    assert not lost.any()


def test_the_right_of_an_actor_who_faces_the_camera_is_on_the_left_of_the_picture() -> None:
    points = np.zeros((2, 3, 1), np.float32)  # left hand, right hand
    points[:, 0, 0] = 1, -1
    view = View(yaw=np.pi, pitch=0.0, height=0.0, distance=3.0, aside=0.0)
    left, right = project(see(points, [view], np.zeros(1, np.int64))[:, :, 0], generator(0, "test", 0))
    assert right[0] < 640 < left[0]


def test_a_pose_estimator_is_some_centimetres_wrong_and_may_lose_a_body() -> None:
    clip = still(90)
    truth, lost, errors = project(clip, generator(0, "lens", 0)), 0, []
    focal = np.abs((truth - [640, 360]) / (clip[..., :2] / 3)).mean()
    for i in range(100):
        seen = picture(clip, generator(0, "test", i), roles(KINECT))
        gone = ~seen.any(axis=(1, 2, 3))
        lost += int(gone.any())
        # whatever the lens, which only scales the picture, and joints under its border left out
        shown = np.median(seen[~gone, 0], axis=0).any(axis=-1)
        middles = np.median(seen[~gone, 0], axis=0)[shown] - [640, 360]
        wanted = truth[0, 0][shown] - [640, 360]
        scale = (middles * wanted).sum() / (wanted * wanted).sum()
        errors.append(np.abs(middles / scale - wanted).mean() * 3 / focal)
    assert 1 <= lost <= 12
    assert 0.5 * PLACED < np.mean(errors) < 2 * PLACED


def test_a_pose_estimator_trembles_by_pixels_and_most_at_the_hands() -> None:
    """Of a body that stands, next to which depth cameras tremble by a tenth of that."""
    clip, moved = still(200), []
    for i in range(10):
        seen = picture(clip, generator(0, "test", i), roles(KINECT))[:, 0]
        moved.append(np.median(np.abs(np.diff(seen, axis=0)).max(axis=-1), axis=0))
    spine, hand = (np.median(moved, axis=0)[KINECT.joints.index(name)] for name in ("SpineMid", "HandLeft"))
    assert 1 < spine < 4
    assert hand > 1.4 * spine


def test_some_films_show_the_upper_body_alone() -> None:
    """What lies under a border of the picture is lost, in every frame; what lies over it is where it would be."""
    clip, lost, kept = still(40), np.zeros(len(KINECT.joints)), 0
    height = clip[0, 0, :, 1]
    for i in range(200):
        seen = picture(clip, generator(0, "test", i), roles(KINECT))[:, 0]
        there = seen[seen.any(axis=(1, 2))].any(axis=-1)
        share = there.mean(axis=0)
        kept += bool(share.all() and there.all())
        lost += share < 0.5
        if not there.all():
            shown, hidden = height[share > 0.9], height[share < 0.1]
            assert shown.max() == height.max()  # the head
            assert not len(hidden) or hidden.max() < shown.min() + 0.2
    assert 0.5 * 200 < kept < 0.7 * 200
    low, high = height.argmin(), height.argmax()
    assert lost[low] > 0.3 * 200 > 0.1 * 200 > lost[high] == 0
    middle = np.abs(height - height.mean()).argmin()
    assert lost[low] > 1.3 * lost[middle] > 10


def test_films_are_also_taken_from_the_side() -> None:
    apart = []
    for i in range(200):
        view, film = (f(generator(0, "test", i), 2, 1, sideways=False) for f in (depth_view, film_view))
        apart.append(np.degrees(film.yaw - view.yaw))
        assert (film.height, film.distance) == (view.height, view.distance)
    assert -ASIDE < min(apart) < -0.9 * ASIDE
    assert 0.9 * ASIDE < max(apart) < ASIDE


def test_cameras_stand_to_both_sides() -> None:
    yaw = [np.degrees(depth_view(generator(0, "test", i), c, 1, sideways=False).yaw) for c in (1, 2, 3) for i in (0, 1)]
    assert max(yaw[:2]) < min(yaw[2:4]) <= max(yaw[2:4]) < min(yaw[4:])


def test_a_resting_sensor_measures_gravity_and_no_turning() -> None:
    lengths, starts = np.array([40, 20]), np.array([0, 40])
    frame = np.repeat(np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0][:, :, None], 60, axis=2)
    position = np.repeat(np.array([[0.3], [1.0], [0.1]]), 60, axis=1)
    force, rate = measure(position, frame, starts, lengths, 30.0)
    assert np.allclose(np.linalg.norm(force, axis=0), GRAVITY, atol=1e-4)
    assert np.allclose(force[:, 5], GRAVITY * frame[1, :, 5], atol=1e-4)
    assert np.allclose(rate, 0, atol=1e-6)


def test_a_turning_and_falling_sensor_measures_its_rate_and_weightlessness() -> None:
    fps, omega = 100.0, 2.5
    t = np.arange(100) / fps
    c, s, zero, one = np.cos(omega * t), np.sin(omega * t), np.zeros(100), np.ones(100)
    frame = np.array([[c, zero, s], [zero, one, zero], [-s, zero, c]])
    position = np.stack([zero, 5 - 0.5 * GRAVITY * t**2, zero])
    force, rate = measure(position, frame, np.array([0]), np.array([100]), fps)
    assert np.allclose(force, 0, atol=1e-3)
    assert np.allclose(rate, np.array([[0], [omega], [0]]), atol=1e-4)


def test_inertial_noise_is_small() -> None:
    clean = np.zeros((300, 4, 3), np.float32)
    noisy = sense(clean, generator(0, "test", 0))
    assert 0.05 < noisy[:, [0, 2]].std() < 0.2
    assert noisy[:, [1, 3]].std() < 0.05
