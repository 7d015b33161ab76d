from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motet.cli import main
from motet.core.errors import ConfigError, MotetNote
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.convert import axes_matrix, convert, estimate_handedness, estimate_up, reflected, shared_joints
from motet.data.edit import convert as convert_archive
from motet.data.formats._axes import decide_handedness
from motet.data.skeletons import AXES, Skeleton
from tests.conftest import stick

CODT_KINECT = [3, 20, 8, 9, 10, 4, 5, 6, 0, 16, 17, 18, 12, 13, 14]
SHARED = layouts.get("shared-15")
COMMON = layouts.get("common-15")


def random_frames(skeleton: Skeleton, persons: int = 1, channels: int = 3) -> np.ndarray:
    shape = (5, persons, len(skeleton), channels)
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_kinect_to_shared_is_the_selector_of_codt() -> None:
    source = layouts.get("kinect-v2")
    frames = random_frames(source, persons=2)
    np.testing.assert_array_equal(convert(frames, source, SHARED), frames[:, :, CODT_KINECT])


@pytest.mark.parametrize("name", ["vibe-25", "vibe-49", "openpose-25"])
def test_video_pose_to_shared_is_the_first_15_turned_upright(name: str) -> None:
    source = layouts.get(name)
    frames = random_frames(source)
    expected = frames[:, :, :15] * np.float32([1, -1, -1])
    np.testing.assert_array_equal(convert(frames, source, SHARED), expected)


def test_absent_persons_and_joints_stay_zero() -> None:
    source = layouts.get("openpose-18")
    target = layouts.get("shared-15")
    frames = random_frames(source, persons=2)
    frames[:, 1] = 0
    frames[2, 0, source.index("left_hip")] = 0
    out = convert(frames, source, target)
    assert not out[:, 1].any()
    assert not np.signbit(out[:, 1]).any()
    assert not out[2, 0, target.index("mid_hip")].any()
    assert out[3, 0, target.index("mid_hip")].any()
    assert out.dtype == np.float32


def test_derived_joints_are_means() -> None:
    source = layouts.get("coco-17")
    target = replace(COMMON, up="-y")
    frames = random_frames(source, channels=2)
    out = convert(frames, source, target)[:, 0]
    point = {n: frames[:, 0, i] for i, n in enumerate(source.canonical)}
    neck = (point["left_shoulder"] + point["right_shoulder"]) / 2
    hips = (point["left_hip"] + point["right_hip"]) / 2
    np.testing.assert_allclose(out[:, target.index("neck")], neck, rtol=1e-6)
    np.testing.assert_allclose(out[:, target.index("torso")], (neck + hips) / 2, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(out[:, target.index("head")], point["nose"])


def test_what_cannot_be_derived_is_listed() -> None:
    with pytest.raises(ConfigError) as caught:
        convert(random_frames(COMMON), COMMON, layouts.get("kinect-v2"))
    for joint in ("left_hand", "right_thumb", "left_foot"):
        assert joint in str(caught.value)
    assert "left_wrist" not in str(caught.value)


def test_frames_of_another_layout_are_refused() -> None:
    with pytest.raises(ConfigError, match="15 joints"):
        convert(np.zeros((4, 1, 14, 3)), COMMON, SHARED)


def test_nite_differs_from_kinect_in_x_only() -> None:
    source = layouts.get("nite-15")
    frames = random_frames(source)
    out = convert(frames, source, COMMON)
    np.testing.assert_array_equal(out, frames * np.float32([-1, 1, 1]))


@pytest.mark.parametrize("source_up", AXES)
@pytest.mark.parametrize("target_up", AXES)
@pytest.mark.parametrize("handed", [True, False])
def test_axes_matrix_moves_up_and_mirrors_only_for_handedness(source_up: str, target_up: str, handed: bool) -> None:
    source, target = replace(COMMON, up=source_up), replace(COMMON, up=target_up, right_handed=handed)
    matrix = axes_matrix(source, target)
    ups = [np.eye(3)["xyz".index(a[1])] * (1 if a[0] == "+" else -1) for a in (source_up, target_up)]
    np.testing.assert_array_equal(matrix @ ups[0], ups[1])
    assert np.linalg.det(matrix) == (1 if handed else -1)
    assert (np.sort(np.abs(matrix), axis=1) == [0, 0, 1]).all()


def test_picture_coordinates_turn_upright_and_keep_left_and_right() -> None:
    source = layouts.get("coco-17")
    target = replace(COMMON, right_handed=False)
    frames = random_frames(source, channels=2)
    out = convert(frames, source, target)
    joint = source.index("left_elbow"), target.index("left_elbow")
    np.testing.assert_array_equal(out[:, :, joint[1]], frames[:, :, joint[0]] * np.float32([1, -1]))
    with pytest.raises(ConfigError, match="2 coordinates"):
        convert(frames, source, replace(COMMON, up="+z"))


def test_shared_joints_keep_the_first_order() -> None:
    assert shared_joints(SHARED, layouts.get("kinect-v2"))[:3] == ["head", "neck", "right_shoulder"]
    assert shared_joints(layouts.get("imu-2"), SHARED) == []
    sensor = layouts.get("imu-2")
    frames = random_frames(sensor)
    np.testing.assert_array_equal(convert(frames, sensor, sensor), frames)


def test_estimates_need_joints_and_agreement() -> None:
    rng = np.random.default_rng(1)
    assert estimate_up(rng.normal(size=(500, 1, 15, 3)), COMMON) is None
    assert estimate_up(np.zeros((5, 1, 15, 3)), COMMON) is None
    assert estimate_up(np.zeros((5, 1, 2, 3)), layouts.get("imu-2")) is None
    assert estimate_handedness(rng.normal(size=(500, 1, 15, 3)), COMMON) is None  # no toes
    kinect = layouts.get("kinect-v2")
    assert estimate_handedness(rng.normal(size=(500, 1, 25, 3)), kinect) is None


def sample(folder: Path, name: str, clips: range) -> tuple[Skeleton, list[np.ndarray]]:
    path = folder / "skeleton" / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"{name} is not here")
    with np.load(path, allow_pickle=False) as data:
        pos = data["pos"] if "pos" in data else data["pos_mm"] / 1000
        offset = data["offset"]
        skeleton = layouts.match(data["joint_names"].tolist())
    assert skeleton is not None
    return skeleton, [pos[offset[i] : offset[i + 1]].astype(np.float32)[:, None] for i in clips]


@pytest.mark.real_data
@pytest.mark.parametrize(("raw", "fifteen", "first"), [("kard", "kard15", 0), ("ui_prmd_kinect", "ui_prmd_pair15", 0)])
def test_conversion_equals_the_published_15_joints(shared_data: Path, raw: str, fifteen: str, first: int) -> None:
    skeleton, clips = sample(shared_data, raw, range(5))
    _, wanted = sample(shared_data, fifteen, range(first, first + 5))
    for clip, want in zip(clips, wanted, strict=True):
        got = convert(clip, skeleton, COMMON)
        hips = [COMMON.index("left_hip"), COMMON.index("right_hip")]
        # the published form has its origin at the hips of the first frame, in whole millimetres
        np.testing.assert_allclose(got - got[0, 0, hips].mean(0), want - want[0, 0, hips].mean(0), atol=4e-3)


@pytest.mark.real_data
def test_optical_markers_convert_to_the_published_15_joints(shared_data: Path) -> None:
    skeleton, [clip] = sample(shared_data, "ui_prmd_vicon", range(3, 4))
    _, [want] = sample(shared_data, "ui_prmd_pair15", range(2003, 2004))
    got = convert(clip, skeleton, COMMON)
    head = COMMON.index("head")
    np.testing.assert_allclose(got - got[:, :, [head]], want - want[:, :, [head]], atol=4e-3)


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name", ["kard", "utd_mhad", "ui_prmd_vicon", "ui_prmd_kinect", "smartfallmm_young", "bandai1", "utkinect"]
)
def test_declared_axes_are_those_of_the_recordings(shared_data: Path, name: str) -> None:
    skeleton, clips = sample(shared_data, name, range(0, 150, 15))
    frames = np.concatenate(clips)
    assert estimate_up(frames, skeleton) == skeleton.up
    assert estimate_handedness(frames, skeleton) in (skeleton.right_handed, None)
    mirrored = frames * np.float32([-1, 1, 1])
    if skeleton.name not in ("nite-15",):
        assert estimate_handedness(mirrored, skeleton) is not skeleton.right_handed


@pytest.mark.parametrize("files", [1, 5])
def test_mirrored_files_are_said(files: int) -> None:
    coco = layouts.get("coco-17")
    place = {"left": (0.2, 0, 0), "right": (-0.2, 0, 0), "nose": (0, 0, 0.1), "shoulder": (0, 1.4, 0), "hip": (0, 1, 0)}
    place |= {"ear": (0, 1.7, 0), "eye": (0, 1.7, 0.1)}
    rest = np.array([np.sum([p for word, p in place.items() if word in j], axis=0) for j in coco.joints])
    rest[0, 1] = 1.7
    clips = {f"{i}.csv": np.tile(rest, (5, 1, 1)) for i in range(files)}
    assert decide_handedness(clips, coco, None)
    mirrored = {"m.csv": clips["0.csv"] * [-1, 1, 1]}
    assert not decide_handedness(mirrored, coco, None)
    if files > 1:
        with pytest.warns(MotetNote, match=r"right-handed, .* but m\.csv is mirrored: .* --right-handed false"):
            assert decide_handedness(clips | mirrored, coco, None)


def test_a_body_is_no_hand() -> None:
    with pytest.raises(ConfigError, match=r"'coco-17' is a body and 'hand-21' a hand: they share no joints$"):
        convert(np.ones((2, 1, 17, 3)), layouts.get("coco-17"), layouts.get("hand-21"))


@pytest.mark.parametrize(
    ("units", "width", "about"), [("px", None, 250.0), ("px", 640, 640.0), ("shares of the picture", None, 1.0)]
)
def test_pictures_are_mirrored_in_the_picture(tmp_path: Path, units: str, width: int | None, about: float) -> None:
    """About the middle of its width where that is known, else of the clip; joints keep their confidences."""
    rng, size = np.random.default_rng(0), 1 if units.startswith("shares") else 200
    frames = rng.uniform(0, size, (6, 1, 8, 2)).astype(np.float32)
    frames[0, 0, 0], frames[0, 0, 1] = 0, (0.25 * size, size)
    frames[1:, :, 0, 0] = size  # from a quarter of the size on, a joint that is absent once
    frames[..., 0] = np.where(frames.any(axis=-1), np.maximum(frames[..., 0], 0.25 * size), 0)
    sure = rng.uniform(0.1, 1, (6, 1, 8)).astype(np.float32)
    form: dict[str, Any] = {"channels": ("x", "y"), "units": units, "source": {"options": {"width": width}}}
    with ArchiveWriter(tmp_path / "a", skeleton=stick(), fps=30.0, confidence=True, **form) as to:
        for side in ("left", "right"):
            to.add(frames, name=side, side=side, confidence=sure)
    made = convert_archive(tmp_path / "a", tmp_path / "b", mirror="left")
    image, order = made.clip(0), [0, 1, 2, 3, 5, 4, 7, 6]
    own = frames[:, :, order]
    np.testing.assert_array_equal(image.any(axis=-1), own.any(axis=-1))
    there = own.any(axis=-1)
    np.testing.assert_allclose(image[there], np.stack([about - own[there, 0], own[there, 1]], axis=-1), rtol=1e-5)
    np.testing.assert_array_equal(made.clip_confidence(0), sure[:, :, order])
    np.testing.assert_array_equal(made.clip(1), frames)
    np.testing.assert_array_equal(made.clip_confidence(1), sure)
    assert made.source["options"] == {"width": width}
    assert convert_archive(made, tmp_path / "c", fps=15.0).confidence is None


def test_bodies_of_one_side(tmp_path: Path) -> None:
    skeleton, rng = layouts.get("kinect-v1"), np.random.default_rng(0)
    with ArchiveWriter(tmp_path / "a", skeleton=skeleton, fps=50.0, class_names=["a"]) as to:
        for side in ("left", "right", None):
            to.add(rng.normal(size=(5, 1, 20, 3)).astype(np.float32), name=str(side), label=0, side=side)
    before = MotionArchive.open(tmp_path / "a")
    assert main(["data", "convert", str(before.path), str(tmp_path / "b"), "--mirror", "left"]) == 0
    after = MotionArchive.open(tmp_path / "b")
    assert after.clips["side"].to_list() == ["right", "right", None]
    own, image = before.clip(0), after.clip(0)
    hands = skeleton.index("left_wrist"), skeleton.index("right_wrist")
    np.testing.assert_array_equal(image[:, 0, hands[1]], own[:, 0, hands[0]] * np.array([-1, 1, 1], np.float32))
    np.testing.assert_array_equal(image[:, 0, hands[0]], own[:, 0, hands[1]] * np.array([-1, 1, 1], np.float32))
    np.testing.assert_array_equal(after.clip(1), before.clip(1))
    np.testing.assert_array_equal(after.clip(2), before.clip(2))
    np.testing.assert_array_equal(reflected(reflected(own, skeleton), skeleton), own)
