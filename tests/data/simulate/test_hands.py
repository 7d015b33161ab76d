"""Simulated hands: anatomy, what gestures do, and the archive."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motet import MotionArchive
from motet.core.errors import ConfigError
from motet.data import layouts
from motet.data.simulate import simulate
from motet.data.simulate.cameras import hand_view
from motet.data.simulate.draws import generator
from motet.data.simulate.hands.anatomy import BONES, CHANNELS, FINGERS, INDEX, LIMITS, Array, Size, joints, rotation
from motet.data.simulate.hands.generate import _seen
from motet.data.simulate.hands.gestures import FIST, FLAT, FREE, OPEN, PINCHED, SHAPES, WRITTEN, Gesture, Pose
from motet.data.simulate.hands.invented import invented
from motet.data.simulate.hands.performance import Performer, make_performer, perform, track

LAYOUT = layouts.get("hand-21")
SIZE = Size(0.19, np.ones(3), {finger: np.array(own) for finger, own in BONES.items()})
TIPS = [4 + 4 * finger for finger in range(5)]


def shaped(shape: Pose) -> Array:
    """(21, 3) of an ordinary right hand."""
    pose = np.zeros((1, len(CHANNELS)))
    for name, value in shape.items():
        pose[0, INDEX[name]] = value
    return joints(pose, SIZE)[0]


def steady(left: bool = False) -> Performer:
    """Somebody without habits."""
    return replace(
        make_performer(0, 0),
        **{"size": SIZE, "left": left, "tempo": 1.0, "amplitude": 1.0, "twist": 0.0, "tilt": 0.0, "yaw": 0.0},
        **{"roll": 0.0, "swing": 0.0, "posture": np.zeros(16), "habit": np.full(len(FREE), 1 / len(FREE))},
    )


def named(name: str) -> Gesture:
    return next(g for g in WRITTEN if g.name == name)


def performed(name: str, left: bool = False, clips: int = 5) -> list[Array]:
    return [perform(generator(0, "test", i), named(name), steady(left), 30) for i in range(clips)]


def test_bones_keep_their_lengths_whatever_the_pose() -> None:
    pose = np.random.default_rng(0).uniform(LIMITS[:, 0], LIMITS[:, 1], (50, len(CHANNELS)))
    hand = joints(pose, SIZE)
    for child, parent in LAYOUT.bones:
        length = np.linalg.norm(hand[:, child] - hand[:, parent], axis=1)
        assert np.ptp(length) < 1e-12
    # wrist to the tip of the straight middle finger is the hand's length
    assert np.linalg.norm(shaped(FLAT | {"middle_mcp": 0, "middle_pip": 0, "middle_spread": 0})[12]) == pytest.approx(
        0.19 * (0.49 + sum(BONES["middle"])), rel=1e-3
    )


def test_rotations_turn_by_the_right_hand() -> None:
    turned = rotation(np.array([[90.0, 0, 0], [0, 90, 0], [0, 0, 90], [0, 0, 0]]))
    x, y, z = np.eye(3)
    np.testing.assert_allclose(turned[0] @ y, z, atol=1e-12)
    np.testing.assert_allclose(turned[1] @ z, x, atol=1e-12)
    np.testing.assert_allclose(turned[2] @ x, y, atol=1e-12)
    np.testing.assert_array_equal(turned[3], np.eye(3))


def test_shapes_are_what_they_are_called() -> None:
    wide, fist, pinched = shaped(OPEN), shaped(FIST), shaped(PINCHED)
    # the thumb of a right hand is to the right of the fingers, and fingers bend towards the palm
    assert wide[4, 0] > wide[8, 0] > wide[12, 0] > wide[16, 0] > wide[20, 0]
    assert (fist[TIPS[1:], 2] > 0.01).all()
    assert np.linalg.norm(fist[TIPS[1:]], axis=1).max() < 0.6 * np.linalg.norm(wide[TIPS[1:]], axis=1).min()
    touching = np.linalg.norm(pinched[4] - pinched[8])
    assert touching < 0.01 < 0.08 < np.linalg.norm(wide[4] - wide[8])


def test_poses_name_channels_within_their_limits() -> None:
    for gesture in (*WRITTEN, *invented(0, 60)):
        for pose in (*(p for _, p in (*gesture.keys, *gesture.cycle)), *gesture.free, *SHAPES):
            for name, value in pose.items():
                low, high = LIMITS[INDEX[name]]
                assert low <= value <= high, (gesture.name, name)
        phases = [phase for phase, _ in gesture.keys]
        assert phases == sorted(phases)
        assert gesture.seconds[0] <= gesture.seconds[1]
        assert bool(gesture.cycle) == (gesture.rate[1] > 0)
    assert len({g.name for g in WRITTEN}) == len(WRITTEN)


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [("swipe right", 0, 1), ("swipe left", 0, -1), ("swipe up", 1, 1), ("swipe down", 1, -1), ("push", 2, 1)],
)
def test_paths_go_where_they_say(name: str, axis: int, sign: int, left: bool) -> None:
    for hand in performed(name, left):
        moved = sign * (hand[-1, 0] - hand[0, 0])
        assert moved[axis] > 0.08
        assert np.abs(np.delete(moved, axis)).max() < moved[axis] / 2


@pytest.mark.parametrize("left", [False, True])
def test_a_hand_is_left_or_right_and_turns_as_the_viewer_sees_it(left: bool) -> None:
    for hand in performed("stop", left):
        across, along = hand[-1, 5] - hand[-1, 17], hand[-1, 9] - hand[-1, 0]
        assert (np.cross(across, along)[2] > 0) != left  # the palm faces the viewer
    for hand in performed("rotate clockwise", left):
        first, last = (hand[i, 9, :2] - hand[i, 0, :2] for i in (0, -1))
        assert first[0] * last[1] - first[1] * last[0] < 0


@pytest.mark.parametrize("left", [False, True])
def test_a_sign_is_the_same_sign_of_either_hand(left: bool) -> None:
    for name, up in (("thumb up", True), ("thumb down", False)):
        for hand in performed(name, left):
            thumb = hand[-1, 4] - hand[-1, 1]
            assert (thumb[1] > 0) == up, name
            assert abs(thumb[1]) > 0.6 * np.linalg.norm(thumb), name
    for right, hand in zip(performed("turn palm up"), performed("turn palm up", left), strict=True):
        ours, theirs = (h[len(h) // 2, 5] - h[len(h) // 2, 17] for h in (hand, right))  # half-way, thumb side outwards
        cosine = ours @ (theirs * [-1 if left else 1, 1, 1]) / np.linalg.norm(ours) / np.linalg.norm(theirs)
        assert cosine > 0.3


def test_fingers_close_and_open() -> None:
    for name, closes in (("grab", True), ("release", False), ("gather", True), ("expand", False)):
        for hand in performed(name):
            span = np.linalg.norm(hand[:, TIPS] - hand[:, TIPS].mean(axis=1, keepdims=True), axis=2).mean(axis=1)
            assert (span[-1] < span[0]) == closes, name


def test_a_cycle_repeats_at_its_rate() -> None:
    for hand in performed("shake"):
        turns = np.count_nonzero(np.diff(np.sign(np.diff(hand[:, 0, 0]))))
        rate = turns / 2 / (len(hand) / 30)
        assert 0.7 * 1.8 < rate < 1.3 * 4.0


def test_people_differ_and_repetitions_too() -> None:
    people = [make_performer(0, i) for i in range(40)]
    assert 5 < sum(p.left for p in people) < 35
    assert np.std([p.size.length for p in people]) > 0.005
    one, other = performed("draw a V", clips=2)
    assert len(one) != len(other) or not np.allclose(one, other)


def test_a_tracker_trembles_most_at_the_tips() -> None:
    true = np.zeros((3000, 21, 3))
    error = track(generator(0, "test", 0), true).std(axis=0).mean(axis=1)
    assert error[TIPS].min() > 1.2 * error[[5, 9, 13, 17]].max()
    assert 0.001 < error.mean() < 0.02
    moved = track(generator(0, "test", 0), true + 1.0) - 1.0  # errors do not depend on where the hand is
    np.testing.assert_allclose(moved, track(generator(0, "test", 0), true), atol=1e-9)


def test_a_tracker_takes_a_finger_for_any_other() -> None:
    fingers = np.zeros((30_000, 21, 3))
    fingers[:, 1:, 0] = np.repeat(np.arange(5.0), 4)  # a metre apart
    moved = (track(generator(0, "test", 1), fingers) - fingers)[:, 4::4, 0] / 0.6
    for finger in range(5):
        met = {int(step) for step in np.round(moved[:, finger]) if abs(step) > 0.5}
        assert met == {other - finger for other in range(5)} - {0}


def make(path: Path, **options: Any) -> MotionArchive:
    return simulate(
        path, hands=True, progress=False, **{"clips": 24, "actions": 5, "invented": 3, "actors": 4, **options}
    )


def test_an_archive_of_hands(tmp_path: Path) -> None:
    archive = make(tmp_path / "a")
    assert archive.simulated
    assert archive.source["hands"] is True
    assert archive.skeleton == LAYOUT
    assert archive.units == "m"
    assert list(archive.class_names) == [g.name for g in (*WRITTEN[:5], *invented(0, 3))]
    assert archive.labels.tolist() == [i % 8 for i in range(24)]
    assert archive.clips["subject"].to_list() == [(i // 8 + i % 8) % 4 + 1 for i in range(24)]
    archive.verify()


def test_a_clip_depends_on_the_seed_and_its_number_alone(tmp_path: Path) -> None:
    few, more = make(tmp_path / "a", clips=8), make(tmp_path / "b", clips=16)
    other = make(tmp_path / "c", clips=8, seed=1)
    for i in range(8):
        np.testing.assert_array_equal(few.clip(i), more.clip(i))
        assert few.clip(i).shape != other.clip(i).shape or not np.allclose(few.clip(i), other.clip(i))
    assert invented(3, 5)[2] == invented(3, 9)[2]


def test_another_layout_is_derived(tmp_path: Path) -> None:
    one, other = make(tmp_path / "a", sensor="optical"), make(tmp_path / "b", sensor="optical", layout="hand-22")
    assert other.skeleton == layouts.get("hand-22")
    a, b = one.clip(0)[:, 0].astype(float), other.clip(0)[:, 0].astype(float)
    for name in ("wrist", *(f"{f}_4" for f in FINGERS)):
        ours, theirs = a[:, LAYOUT.index(name)], b[:, other.skeleton.index(name)]
        np.testing.assert_allclose(
            np.linalg.norm(ours - a[:, 0], axis=1), np.linalg.norm(theirs - b[:, 0], axis=1), atol=1e-6
        )


def test_pictures_of_hands(tmp_path: Path) -> None:
    one, other = (make(tmp_path / n, sensor="picture", layout=n) for n in ("hand-21", "hand-22"))
    for archive in (one, other):
        assert (archive.units, archive.channels, archive.skeleton.up) == ("px", ("x", "y"), "-y")
    tip, theirs = LAYOUT.index("index_4"), other.skeleton.index("index_4")
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a[:, 0, tip], b[:, 0, theirs], rtol=1e-6)


def test_a_camera_sees_a_hand_in_perspective() -> None:
    """Right stays right and up is less y; nearer or farther it is larger or smaller, and turned by up to 25 degrees."""
    hand = np.repeat(shaped(FLAT)[None], 20, axis=0)
    true, sizes = hand[0, :, :2] - hand[0, :1, :2], []
    for i in range(200):
        seen = np.median(_seen(generator(0, "test", i), hand, "picture"), axis=0)
        assert seen.shape == (21, 2)
        own = (seen - seen[0]) * [1, -1]
        assert np.corrcoef(own.ravel(), true.ravel())[0, 1] > 0.93
        sizes.append(np.linalg.norm(own[12]))
    nearest, farthest = (0.19 * 1280 * lens / away for lens, away in ((1.3, 0.35), (0.7, 0.8)))
    assert 0.75 * farthest < min(sizes) < 1.4 * farthest
    assert 0.7 * nearest < max(sizes) < 1.3 * nearest
    views = [hand_view(generator(0, "test", i)) for i in range(200)]
    for angles, most in (([v.yaw - np.pi for v in views], 25), ([v.pitch for v in views], 17)):
        assert 0.9 * most < -np.degrees(min(angles)) < most
        assert 0.9 * most < np.degrees(max(angles)) < most


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"persons": 2}, "one at a time and by one camera; leave persons out"),
        ({"imu": True}, "leave imu out"),
        ({"second_layout": "hand-22"}, "leave second_layout out"),
        ({"actions": len(WRITTEN) + 1}, f"actions must be between 1 and {len(WRITTEN)} for hands"),
        ({"actions": 0, "invented": 0}, "actions must be between 1"),
        ({"layout": "kinect-v2"}, "kinect-v2"),
    ],
)
def test_what_hands_have_not_is_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make(tmp_path / "a", **options)
    assert not list(tmp_path.iterdir())


def test_an_archive_keeps_what_was_asked_for(tmp_path: Path) -> None:
    """Bodies and hands, each the options that they have."""
    asked: dict[str, Any] = {"clips": 2, "actions": 1, "invented": 1, "actors": 2, "sensor": "optical", "seed": 3}
    asked |= {"fps": 20, "dtype": "float16"}
    hands = simulate(tmp_path / "hands", hands=True, progress=False, **asked)
    bodies = simulate(tmp_path / "bodies", progress=False, **asked)
    said = {"format": "simulated", "simulated": True, **asked}
    assert hands.source == said | {"hands": True, "layout": "hand-21"}
    assert bodies.source == said | {"layout": "kinect-v2", "persons": 1, "imu": False, "second_layout": None}
    for archive in (hands, bodies):
        assert (archive.fps, archive.persons, archive.simulated) == (20.0, 1, True)
        assert archive.licence == "generated by motet, no restrictions"
