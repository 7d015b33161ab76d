from __future__ import annotations

import numpy as np
import pytest

from motet.data.simulate.actions import PAIRS, SOLO
from motet.data.simulate.actors import SIZES, make_actor
from motet.data.simulate.body import (
    CHANNELS,
    INDEX,
    JOINT,
    KNEE_LIMIT,
    LIMITS,
    is_angle,
    mirror_channels,
    pose_body,
    rest_pose,
    turn,
)
from motet.data.simulate.draws import generator
from motet.data.simulate.invented import invented
from motet.data.simulate.performance import Stage, perform, stage
from motet.data.simulate.programme import compile_all, reach

ACTORS = [make_actor(0, i) for i in range(12)]
TABLE = np.stack([a.size for a in ACTORS])
INVENTED = 24  # the last; their feet may slide from one stance to the next
PROGRAMMES = (*SOLO, *(p for pair in PAIRS for p in (pair.first, pair.second)), *invented(0, INVENTED))
COMPILED = compile_all(PROGRAMMES)
BONES = [
    ("left_shoulder", "left_elbow", "upper_arm"),
    ("right_elbow", "right_wrist", "forearm"),
    ("right_hip", "right_knee", "thigh"),
    ("left_knee", "left_ankle", "shank"),
    ("spine_base", "spine_mid", "lower_spine"),
    ("spine_mid", "spine_shoulder", "upper_spine"),
    ("right_wrist", "right_hand", "palm"),
]


def staged(index: int, actors: range = range(len(ACTORS))) -> Stage:
    cast = [perform(generator(1, "test", 50 * index + k), index, PROGRAMMES[index], k, ACTORS[k], 30.0) for k in actors]
    return stage(cast, COMPILED, TABLE)


def size_of(frames: int, actor: int = 0) -> dict[str, np.ndarray]:
    return {name: np.full(frames, TABLE[actor, i]) for i, name in enumerate(SIZES)}


ALL = pytest.mark.parametrize("index", range(len(PROGRAMMES)), ids=lambda i: PROGRAMMES[i].name)
WRITTEN = pytest.mark.parametrize("index", range(len(PROGRAMMES) - INVENTED), ids=lambda i: PROGRAMMES[i].name)


def test_turn_is_a_rotation_in_the_usual_sense() -> None:
    eye = np.eye(3)[:, :, None]
    angle = np.array([np.pi / 2])
    assert np.allclose(turn(eye, "x", angle)[:, 1, 0], [0, 0, 1])
    assert np.allclose(turn(eye, "y", angle)[:, 2, 0], [1, 0, 0])
    assert np.allclose(turn(eye, "z", angle)[:, 0, 0], [0, 1, 0])


@pytest.mark.parametrize("target", [(0.3, 0.4, 0.5), (-0.3, -0.2, 0.6), (0.0, -0.6, 0.5), (0.6, 0.6, -0.1)])
def test_reach_brings_the_wrist_there(target: tuple[float, float, float]) -> None:
    pose = rest_pose()[:, None].repeat(1, axis=1)
    for name, value in reach(*target, swivel=30).items():
        pose[INDEX[f"l_{name}"]] = pose[INDEX[f"r_{name}"]] = np.radians(value)
    nominal = make_actor(0, 0)
    size = size_of(1)
    from motet.data.simulate.body import SEGMENTS

    for name in ("upper_arm", "forearm"):
        size[name] = np.full(1, nominal.stature * SEGMENTS[name], np.float32)
    positions = pose_body(pose, size, np.zeros(1, np.float32)).positions
    arm = size["upper_arm"] + size["forearm"]
    for side, sign in (("left", 1), ("right", -1)):
        found = (positions[JOINT[f"{side}_wrist"]] - positions[JOINT[f"{side}_shoulder"]])[:, 0] / arm
        assert np.allclose(found * [sign, 1, 1], target, atol=1e-4)


@ALL
def test_programmes_stay_within_the_joint_limits_as_written(index: int) -> None:
    programme = PROGRAMMES[index]
    for phase, pose in (*programme.keys, *programme.cycle):
        for name, value in pose.items():
            low, high = np.degrees(LIMITS[INDEX[name]]) if is_angle(name) else LIMITS[INDEX[name]]
            assert low - 1e-3 <= value <= high + 1e-3, (programme.name, phase, name)


@ALL
def test_bones_keep_their_length_and_joints_their_limits(index: int) -> None:
    shown = staged(index)
    positions = shown.posed.positions
    own = np.repeat(np.arange(len(shown.lengths)), shown.lengths)
    for parent, child, name in BONES:
        length = np.linalg.norm(positions[JOINT[parent]] - positions[JOINT[child]], axis=0)
        assert np.allclose(length, TABLE[own, SIZES.index(name)], atol=1e-4), name
    assert (shown.pose >= LIMITS[:, :1] - 1e-6).all()
    assert (shown.pose <= LIMITS[:, 1:] + 1e-6).all()
    assert shown.posed.knees.min() > 0
    assert shown.posed.knees.max() <= KNEE_LIMIT + 1e-3


@WRITTEN
def test_the_lowest_foot_is_on_the_floor_and_does_not_slide(index: int) -> None:
    shown = staged(index)
    positions = shown.posed.positions
    own = np.repeat(np.arange(len(shown.lengths)), shown.lengths)
    sole = TABLE[own, SIZES.index("sole")]
    height = positions[[JOINT["left_foot"], JOINT["right_foot"]], 1] - sole
    fly = shown.pose[INDEX["fly"]]
    assert height.min() > -1e-3
    assert height.min(axis=0)[fly < 1e-3].max() < 0.006
    assert positions[:, 1].min() > -0.06
    same = own[1:] == own[:-1]
    for foot, above in zip(("left_foot", "right_foot"), height, strict=True):
        step = np.linalg.norm(np.diff(positions[JOINT[foot]][[0, 2]], axis=1), axis=0)
        planted = same & (above[1:] < 0.003) & (above[:-1] < 0.003)
        assert not planted.any() or np.percentile(step[planted], 95) < 0.012


@pytest.mark.parametrize("name", ["walk", "wave", "fall", "turn around", "side step"])
def test_knees_bend_forward_and_elbows_do_not_overstretch(name: str) -> None:
    index = [p.name for p in PROGRAMMES].index(name)
    shown = staged(index)
    positions, pelvis = shown.posed.positions, shown.posed.pelvis
    for side in ("left", "right"):
        hip, knee, ankle = (positions[JOINT[f"{side}_{j}"]] for j in ("hip", "knee", "ankle"))
        bend = knee - (hip + ankle) / 2
        assert (np.sum(bend * pelvis[:, 2], axis=0) > -0.06).all()
    assert shown.pose[INDEX["l_elbow"]].min() >= 0


def test_walking_gets_somewhere_and_waving_does_not() -> None:
    names = [p.name for p in PROGRAMMES]
    moved = {}
    for name in ("walk", "wave"):
        shown = staged(names.index(name))
        root = shown.posed.positions[JOINT["spine_base"], 2]
        ends = [root[s + n - 1] - root[s] for s, n in zip(shown.starts, shown.lengths, strict=True)]
        moved[name] = (min(ends), max(ends))
    assert moved["walk"][0] > 0.8
    assert max(np.abs(moved["wave"])) < 0.1


@ALL
def test_a_left_handed_performance_is_the_mirror_image(index: int) -> None:
    actor = ACTORS[0]
    cast = perform(generator(1, "mirror", index), index, PROGRAMMES[index], 0, actor, 30.0)
    plain, other = (
        stage([type(cast)(**{**vars(cast), "mirrored": flag})], COMPILED, TABLE).posed.positions
        for flag in (False, True)
    )
    swap = [JOINT[n.replace("left_", "?").replace("right_", "left_").replace("?", "right_")] for n in JOINT]
    assert np.allclose(other, plain[swap] * np.array([-1, 1, 1])[None, :, None], atol=1e-4)


def test_mirroring_twice_changes_nothing() -> None:
    source, sign = mirror_channels()
    pose = np.random.default_rng(0).normal(size=len(CHANNELS))
    once = pose[source] * sign
    assert np.array_equal(once[source] * sign, pose)
    assert not np.array_equal(once, pose)


def test_right_handers_wave_with_the_right_hand() -> None:
    index = [p.name for p in PROGRAMMES].index("wave")
    for k, actor in enumerate(ACTORS):
        heights = staged(index, range(k, k + 1)).posed.positions[:, 1].max(axis=1)
        lead, rest = ("left", "right") if actor.left_handed else ("right", "left")
        assert heights[JOINT[f"{lead}_hand"]] > heights[JOINT[f"{rest}_hand"]] + 0.2
    assert {a.left_handed for a in ACTORS} == {True, False}


def test_hands_meet_in_a_clap() -> None:
    shown = staged([p.name for p in PROGRAMMES].index("clap"))
    gap = shown.posed.positions[JOINT["left_hand"]] - shown.posed.positions[JOINT["right_hand"]]
    distance = np.linalg.norm(gap, axis=0)
    for start, length in zip(shown.starts, shown.lengths, strict=True):
        assert distance[start : start + length].min() < 0.16


def test_actors_differ_and_are_people() -> None:
    company = [make_actor(3, i) for i in range(200)]
    statures = np.array([a.stature for a in company])
    assert 1.62 < statures.mean() < 1.78
    assert 0.06 < statures.std() < 0.13
    assert 0.08 < np.mean([a.left_handed for a in company]) < 0.25
    assert make_actor(3, 7).size.tolist() == company[7].size.tolist()
    assert make_actor(4, 7).size.tolist() != company[7].size.tolist()


def test_invented_actions_are_all_different_and_depend_on_seed_and_number_alone() -> None:
    few, many = invented(3, 4), invented(3, 150)
    assert many[:4] == few
    assert len({repr(p.keys + p.cycle) for p in many}) == 150
    assert invented(4, 1)[0].keys != few[0].keys
    assert {bool(p.cycle) for p in many} == {p.gait is None for p in many} == {True, False}
