"""Archives of different layouts meet on joints of the same name, or say why they cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from motet.core.errors import ConfigError, DataError
from motet.core.rng import CounterRNG
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.convert import recipe
from motet.data.loader import ClipStore
from motet.data.skeletons import Skeleton
from motet.methods.discovery import CommonLayout, Retargeted, common_skeleton
from motet.methods.discovery.views import Strength, changed, whole_clips

# CoDT: the fifteen shared joints on Kinect v2 and on the first fifteen of OpenPose's 25
KINECT = [3, 20, 8, 9, 10, 4, 5, 6, 0, 16, 17, 18, 12, 13, 14]


def write(path: Path, skeleton: Skeleton, channels: str = "xyz", units: str = "m", clips: int = 2) -> MotionArchive:
    random = np.random.default_rng(1)
    with ArchiveWriter(path, skeleton=skeleton, channels=tuple(channels), units=units) as writer:
        for i in range(clips):
            writer.add(random.normal(size=(4, len(skeleton), len(channels))), name=f"clip {i}", label=i)
    return MotionArchive.open(path)


def upright(skeleton: Skeleton) -> np.ndarray:
    """(4, 1, V, 3) of a body that stands, y up, toes to +z, left to +x: right-handed axes."""
    heights = {"head": 1.7, "neck": 1.5, "mid_hip": 1.0, "hip": 0.9, "ankle": 0.1, "foot": 0.1, "shoulder": 1.45}
    frame = np.zeros((len(skeleton), 3))
    for joint, name in enumerate(skeleton.canonical):
        side = 0.2 * (name.startswith("left_") - name.startswith("right_"))
        frame[joint] = (side, heights.get(name.split("_", 1)[-1], 0.5), 0.2 * name.endswith("_foot"))
    frame[skeleton.index("mid_hip"), 1] = 1.0
    return np.repeat(frame[None, None], 4, axis=0)


def test_the_fifteen_shared_joints() -> None:
    kinect, video = layouts.get("kinect-v2"), layouts.get("openpose-25")
    for common in (common_skeleton(kinect, video), common_skeleton(video, kinect)):
        assert len(common) == 15
        assert [recipe(name, kinect) for name in common.canonical] == [(i,) for i in KINECT]
        assert [recipe(name, video) for name in common.canonical] == [(i,) for i in range(15)]


def test_equal_layouts_share_all_joints() -> None:
    kinect = layouts.get("kinect-v2")
    assert common_skeleton(replace(kinect, name="another"), kinect) is kinect


def test_some_joints_only() -> None:
    shared = layouts.get("shared-15")
    keep = [1, 2, 3, 4, 8]
    names = [shared.canonical[i] for i in keep]
    upper = Skeleton("upper", tuple(names), (-1, 0, 1, 2, 0), canonical=tuple(names))
    common = common_skeleton(layouts.get("kinect-v2"), upper)
    assert list(common.canonical) == names
    assert common.parents == (-1, 0, 1, 2, 0)
    assert common.right_handed


def test_no_common_joint_is_refused() -> None:
    odd = Skeleton("odd", ("tail", "fin"), (-1, 0))
    with pytest.raises(ConfigError, match=r"share no joint.*tail, fin"):
        common_skeleton(odd, layouts.get("kinect-v2"))
    with pytest.raises(ConfigError, match=r"is a hand and .* a body"):
        common_skeleton(layouts.get("hand-22"), layouts.get("kinect-v2"))
    worn = Skeleton("worn", ("acc",), (-1,), kind="sensor")
    with pytest.raises(ConfigError, match=r"share no joint.*; accelerometers and gyroscopes .* --start wrist$"):
        common_skeleton(worn, layouts.get("imu-2"))


@pytest.mark.parametrize("side", [0, 1])
def test_mirrored_axes_are_named(tmp_path: Path, side: int) -> None:
    kinect = layouts.get("kinect-v2")
    archives = []
    for number in range(2):
        with ArchiveWriter(tmp_path / f"{number}.motet", skeleton=kinect) as writer:
            frames = upright(kinect)
            frames[..., 0] *= -1 if number == side else 1
            writer.add(frames, name="standing")
        archives.append(MotionArchive.open(tmp_path / f"{number}.motet"))
    with pytest.raises(DataError, match=rf"{side}\.motet: its axes are mirrored.*right_handed = false"):
        CommonLayout.of(*archives)
    assert CommonLayout.of(archives[1 - side], archives[1 - side]).skeleton is not None


def test_units_and_persons_are_brought_together(tmp_path: Path) -> None:
    first = write(tmp_path / "a", layouts.get("nite-15"), units="mm")
    second = write(tmp_path / "b", layouts.get("kinect-v2"))
    layout = CommonLayout.of(first, second)
    assert layout.scale == "metres"
    shown = Retargeted(first, layout)
    left = first.skeleton.index("left_elbow"), layout.skeleton.index("left_elbow")
    expected = first.clip(0)[:, 0, left[0]] / 1000
    expected[:, 0] *= -1  # NITE's x points the other way
    np.testing.assert_allclose(shown.clip(0)[:, 0, left[1]], expected, rtol=1e-5)
    assert shown.clip(0).shape == (4, 1, 15, 3)
    assert len({first.hash, shown.hash, Retargeted(second, layout).hash}) == 3


def test_space_meets_image_without_depth_and_in_body_lengths(tmp_path: Path) -> None:
    space = write(tmp_path / "a", layouts.get("kinect-v2"))
    image = write(tmp_path / "b", layouts.get("coco-17"), channels="xy", units="px")
    layout = CommonLayout.of(space, image)
    assert (layout.channels, layout.scale) == (("x", "y"), "body")
    for archive in (space, image):
        clip = Retargeted(archive, layout).clip(1)
        assert clip.shape == (4, 1, 15, 2)
        torso = clip[:, 0, layout.skeleton.index("neck")] - clip[:, 0, layout.skeleton.index("mid_hip")]
        assert np.median(np.linalg.norm(torso, axis=1)) == pytest.approx(1.0, abs=1e-4)


def test_coordinates_without_anything_in_common_are_refused(tmp_path: Path) -> None:
    sensors = layouts.get("imu-2")
    with pytest.raises(ConfigError, match="only positions"):
        CommonLayout.of(write(tmp_path / "a", sensors, "xyzuvw"), write(tmp_path / "b", sensors))


def image(path: Path, layout: str, units: str) -> MotionArchive:
    """Two clips of positions in an image; joint 3 is absent in frame 1."""
    skeleton, random = layouts.get(layout), np.random.default_rng(2)
    with ArchiveWriter(path, skeleton=skeleton, channels=("x", "y"), units=units, confidence=True) as writer:
        for i in range(2):
            frames, scores = random.normal(size=(6, 1, len(skeleton), 2)), random.uniform(0.1, 1, (6, 1, len(skeleton)))
            frames[1, :, 3], scores[1, :, 3] = 0, 0
            writer.add(frames, confidence=scores, name=f"clip {i}", label=i)
    return MotionArchive.open(path)


def test_the_score_of_a_joint_is_a_third_coordinate_that_nothing_moves(tmp_path: Path) -> None:
    source, target = image(tmp_path / "a", "openpose-18", "picture"), image(tmp_path / "b", "coco-17", "px")
    layout, plain = CommonLayout.of(source, target, score=True), CommonLayout.of(source, target)
    assert (layout.channels, plain.channels) == (("x", "y", "score"), ("x", "y"))
    assert CommonLayout.from_dict(layout.to_dict()) == layout
    for archive in (source, target):
        seen, confidence = Retargeted(archive, layout).clip(0), archive.clip_confidence(0)
        assert confidence is not None
        np.testing.assert_array_equal(seen[..., :2], Retargeted(archive, plain).clip(0))
        for joint, name in enumerate(layout.skeleton.canonical):
            made = list(recipe(name, archive.skeleton) or ())
            there = confidence[:, :, made].all(axis=-1)  # the neck of COCO is the middle of both shoulders
            np.testing.assert_allclose(seen[..., joint, 2], confidence[:, :, made].mean(axis=-1) * there, rtol=1e-6)
    store = ClipStore(Retargeted(target, layout), preprocess="center")
    clips = whole_clips(store, store.ids, 6)
    raw = torch.from_numpy(np.stack([Retargeted(target, layout).clip(i) for i in range(2)]))
    assert torch.equal(clips[..., 2], raw[..., 2])
    assert not torch.equal(clips[..., :2], raw[..., :2])
    keyed = CounterRNG(0, 0, store.ids, 0)
    sheared = changed(clips, keyed, Strength(1.0, 0.0, noise=0.1), store.skeleton, store.coordinates)
    assert torch.equal(sheared[..., 2], clips[..., 2])
    assert torch.equal(
        sheared[..., :2], changed(clips[..., :2].clone(), keyed, Strength(1.0, 0.0, noise=0.1), store.skeleton)
    )
    with pytest.raises(ConfigError, match=r"c has no positions in an image with confidences, which --score adds"):
        CommonLayout.of(source, write(tmp_path / "c", layouts.get("coco-17"), "xy", "px"), score=True)
