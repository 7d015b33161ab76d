from __future__ import annotations

import contextlib
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from motet.core.errors import ConfigError, DataError, MotetError, MotetNote, MotetWarning
from motet.data.archive import MotionArchive
from motet.data.formats import bvh, import_dataset
from motet.data.formats._names import NamePattern
from motet.data.formats.base import Unit

ARM = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT LeftUpLeg
  {
    OFFSET 10 0 0
    CHANNELS 3 Yrotation Zrotation Xrotation
    End Site
    {
      OFFSET 0 -50 0
    }
  }
  JOINT Head
  {
    OFFSET 0 60 0
    CHANNELS 3 Zrotation Yrotation Xrotation
  }
}
MOTION
Frames: 2
Frame Time: 0.0333333
1 2 3 10 20 30 40 50 60 0 0 0
0 0 0 0 0 0 0 0 90 0 0 0
"""


def write(folder: Path, name: str, text: str = ARM) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def load(source: Path, tmp_path: Path, **options: object) -> MotionArchive:
    return import_dataset("bvh", source, tmp_path / "archive", progress=False, workers=1, overwrite=True, **options)


def test_forward_kinematics_equals_scipy(tmp_path: Path) -> None:
    archive = load(write(tmp_path, "a.bvh"), tmp_path)
    clip = archive.clip(0)[:, 0]
    hips = Rotation.from_euler("ZXY", [10, 20, 30], degrees=True)
    leg = hips * Rotation.from_euler("YZX", [40, 50, 60], degrees=True)
    hip = np.array([1, 2, 3]) + hips.apply([10, 0, 0])
    np.testing.assert_allclose(clip[0, 0], [0.01, 0.02, 0.03], rtol=1e-6)
    np.testing.assert_allclose(clip[0, 1], hip / 100, rtol=1e-5)
    np.testing.assert_allclose(clip[0, 2], (hip + leg.apply([0, -50, 0])) / 100, rtol=1e-5)
    # a quarter turn about x takes the leg from down to back
    np.testing.assert_allclose(clip[1, 2], [0.1, 0, -0.5], atol=1e-6)


def test_the_hierarchy_is_the_layout(tmp_path: Path) -> None:
    archive = load(write(tmp_path, "a.bvh"), tmp_path)
    skeleton = archive.skeleton
    assert skeleton.joints == ("Hips", "LeftUpLeg", "LeftUpLeg_end", "Head")
    assert skeleton.parents == (-1, 0, 1, 0)
    assert skeleton.canonical == ("mid_hip", "left_hip", "LeftUpLeg_end", "head")
    assert (archive.fps, archive.units, skeleton.up) == (30.0, "m", "+y")
    without = load(write(tmp_path, "a.bvh"), tmp_path, end_sites=False)
    assert without.skeleton.joints == ("Hips", "LeftUpLeg", "Head")
    np.testing.assert_array_equal(without.clip(0), archive.clip(0)[:, :, [0, 1, 3]])


def test_unit_scale_and_up(tmp_path: Path) -> None:
    path = write(tmp_path, "a.bvh")
    metres = load(path, tmp_path, unit="m").clip(0).copy()
    np.testing.assert_allclose(load(path, tmp_path, unit="inch", scale=2.0).clip(0), metres * 0.0508, rtol=1e-5)
    sideways = write(tmp_path, "b.bvh", ARM.replace("OFFSET 0 60 0", "OFFSET 0 0 60"))
    assert load(sideways, tmp_path).skeleton.up == "+z"
    assert load(sideways, tmp_path, up="-x").skeleton.up == "-x"


def test_position_channels_stand_for_the_offset(tmp_path: Path) -> None:
    text = ARM.replace("CHANNELS 3 Zrotation Yrotation Xrotation", "CHANNELS 2 Zposition Xposition")
    text = text.replace("60 0 0 0\n", "60 7 8\n").replace("90 0 0 0\n", "90 7 8\n")
    archive = load(write(tmp_path, "a.bvh", text), tmp_path)
    np.testing.assert_allclose(archive.clip(0)[1, 0, 3], [0.08, 0.6, 0.07], rtol=1e-6)


def test_labels_come_from_a_pattern(tmp_path: Path) -> None:
    for name in ("s2/wave_high_1.bvh", "s10/bow_low_2.bvh"):
        write(tmp_path / "in", name)
    pattern = r"s(?P<subject>\d+)/(?P<label>[a-z]+)_(?P<style>[a-z]+)_(?P<repetition>\d)"
    archive = load(tmp_path / "in", tmp_path, pattern=pattern)
    assert archive.class_names == ["bow", "wave"]
    rows = archive.clips.select("name", "label", "subject", "repetition", "style").rows()
    assert rows == [("s2/wave_high_1", 1, 2, 1, "high"), ("s10/bow_low_2", 0, 10, 2, "low")]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [("(", "no regular expression"), ("a", "names no column"), ("(?P<label>z+)", "does not fit the name a.bvh")],
)
def test_patterns_that_cannot_be_used(tmp_path: Path, pattern: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(write(tmp_path, "a.bvh"), tmp_path, pattern=pattern)


def test_people_by_name_are_numbered_and_keep_their_names() -> None:
    names = NamePattern("(?P<subject>[a-z]+)_", ["bob_1", "ann_1", "bob_2"])
    assert [names.columns(n) for n in ("ann_1", "bob_2")] == [
        {"subject": 1, "subject_name": "ann"},
        {"subject": 2, "subject_name": "bob"},
    ]
    assert NamePattern(r"(?P<subject>s\d+)", ["s07"]).columns("s07") == {"subject": 7, "subject_name": "s07"}
    with pytest.raises(ConfigError, match="column length, which is part of every archive"):
        NamePattern("(?P<length>[a-z]+)_", ["a_"])


def test_different_hierarchies_name_both_files(tmp_path: Path) -> None:
    write(tmp_path / "in", "a.bvh")
    write(tmp_path / "in", "b.bvh", ARM.replace("LeftUpLeg", "RightUpLeg"))
    write(tmp_path / "in", "c.bvh")
    with pytest.raises(DataError) as caught:
        load(tmp_path / "in", tmp_path)
    for word in ("a.bvh", "b.bvh", "LeftUpLeg", "--skeleton"):
        assert word in str(caught.value)
    chosen = load(tmp_path / "in", tmp_path, skeleton="a.bvh")
    assert chosen.clips["name"].to_list() == ["a", "c"]
    with pytest.raises(ConfigError, match="no readable BVH file"):
        load(tmp_path / "in", tmp_path, skeleton="d.bvh")
    with pytest.raises(ConfigError, match="left_elbow"):
        load(tmp_path / "in", tmp_path, skeleton="common-15")


def test_rates_must_agree_or_are_resampled(tmp_path: Path) -> None:
    write(tmp_path / "in", "a.bvh")
    write(tmp_path / "in", "b.bvh", ARM.replace("0.0333333", "0.0166667"))
    with pytest.raises(DataError, match="--fps"):
        load(tmp_path / "in", tmp_path)
    archive = load(tmp_path / "in", tmp_path, fps=60.0)
    assert (archive.fps, archive.lengths.tolist()) == (60.0, [3, 2])
    half = archive.clip(0)
    np.testing.assert_allclose(half[1], (half[0] + half[2]) / 2, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("HIERARCHY", "TREE"), "not a BVH file"),
        (("Frames: 2", "Frames: 3"), "declares 3 frames and has 2"),
        (("Frames: 2", "Frames: 99999999999999"), "declares"),
        (("Frames: 2", "Frames: x"), "line 22"),
        (("Frame Time: 0.0333333", "Frame Time: 0"), "frame time"),
        (("60 0 0 0\n", "60 0 0\n"), "line 24: 11 numbers, 12 channels"),
        (("60 0 0 0\n", "60 0 0 nan\n"), "line 24"),
        (("1 2 3 10", "1e300 2 3 10"), "frame 0"),
        (("CHANNELS 3 Yrotation", "CHANNELS 4 Yrotation"), "line 9"),
        (("Yrotation Zrotation Xrotation\n    End", "Yrotation Zrotation Wrotation\n    End"), "'Wrotation'"),
        (("OFFSET 10 0 0", "OFFSET 10 0"), "line 8"),
        (("JOINT Head", "JOINT Hips"), "'Hips'"),
        (("}\nMOTION", "MOTION"), "not closed"),
        (("ROOT Hips", "JOINT Hips"), "line 2"),
    ],
)
def test_broken_files_name_file_and_line(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    assert change[0] in ARM
    path = write(tmp_path, "a.bvh", ARM.replace(*change, 1))
    with pytest.raises(DataError) as caught:
        load(path, tmp_path)
    assert words in str(caught.value)
    assert "a.bvh" in str(caught.value)


def test_a_broken_file_can_be_skipped(tmp_path: Path) -> None:
    write(tmp_path / "in", "a.bvh", "HIERARCHY")
    write(tmp_path / "in", "b.bvh")
    archive = load(tmp_path / "in", tmp_path, on_error="skip")
    assert archive.clips["name"].to_list() == ["b"]
    assert archive.source["skipped"][0]["file"] == "a.bvh"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.data())
def test_only_motet_errors_escape(tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(ARM.encode())
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 12))] = data.draw(st.binary(max_size=8))
    path = tmp_path / "fuzz.bvh"
    path.write_bytes(bytes(raw))
    with contextlib.suppress(MotetError), warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", MotetWarning)
        plan = bvh.discover(path, bvh.Options())
        for unit in plan.units:
            for clip in bvh.read(unit, bvh.Options()):
                assert np.isfinite(clip.frames).all()
                assert clip.frames.shape[1:] == (plan.persons, len(plan.skeleton), 3)


@pytest.mark.real_data
@pytest.mark.filterwarnings("ignore:.*the rest pose stands along:motet.core.errors.MotetNote")
def test_bandai_files_equal_the_compact_set(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "raw" / "bvh_bandai"
    compact = shared_data / "skeleton" / "bandai1.npz"
    if not source.is_dir() or not compact.exists():
        pytest.skip("the Bandai samples are not here")
    with pytest.warns(MotetNote, match="the rest pose stands along"):
        archive = load(source, tmp_path, end_sites=False)
    assert archive.skeleton.name == "bandai-22"
    assert archive.skeleton.up == "+y"
    with np.load(compact, allow_pickle=False) as data:
        want = data["pos"][: data["offset"][1]].astype(np.float32)
    np.testing.assert_allclose(archive.clip(0)[:, 0], want, atol=1e-3)  # stored as float16


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "nodes"), [("05_01_ignoreFirstFrame.bvh", 38), ("006_15.bvh", 141)])
def test_bones_keep_their_lengths(shared_data: Path, name: str, nodes: int) -> None:
    path = shared_data / "raw" / "bvh_cmu" / name
    if not path.exists():
        pytest.skip(f"{name} is not here")
    plan = bvh.discover(path, bvh.Options())
    [clip] = bvh.read(plan.units[0], bvh.Options())
    assert len(plan.skeleton) == nodes
    children, parents = np.array(plan.skeleton.bones).T
    lengths = np.linalg.norm(clip.frames[..., children, :] - clip.frames[..., parents, :], axis=-1)
    assert np.ptp(lengths, axis=0).max() < 1e-5
    assert plan.skeleton.up == "+y"


@pytest.mark.real_data
def test_two_exporters_convert_to_one_layout(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "raw" / "bvh_cmu"
    if not source.is_dir():
        pytest.skip("the CMU samples are not here")
    archive = load(source, tmp_path, skeleton="common-15", fps=30.0)
    assert (len(archive), archive.skeleton.name) == (6, "common-15")
    assert archive.frames.any(axis=-1).all()
    read = bvh.read(Unit("x", source / "06_01.bvh", {"up": "+y", "columns": {}}), bvh.Options(skeleton="common-15"))
    assert read[0].frames.shape == (495, 1, 15, 3)


def test_frames_beyond_the_declared_and_a_byte_order_mark(tmp_path: Path) -> None:
    with pytest.warns(MotetWarning, match="declares 1 frame and has 2; all are read"):
        archive = load(write(tmp_path, "a.BVH", "\ufeff" + ARM.replace("Frames: 2", "Frames: 1")), tmp_path)
    assert archive.hash == load(write(tmp_path, "b.bvh"), tmp_path).hash
    with pytest.raises(DataError, match="declares 3 frames and has 2"):
        load(write(tmp_path, "c.bvh", ARM.replace("Frames: 2", "Frames: 3")), tmp_path)


def test_two_roots_are_two_people(tmp_path: Path) -> None:
    hierarchy, motion = ARM.split("MOTION")
    body = hierarchy.removeprefix("HIERARCHY\n")
    rows = motion.strip().splitlines()
    rows[2:] = [f"{row} {other}" for row, other in zip(rows[2:], reversed(rows[2:]), strict=True)]
    for second in (body, body.replace("Hips", "B_Hips").replace("Head", "B_Head")):
        text = "\n".join([hierarchy + second + "MOTION", *rows]) + "\n"
        alone = np.array(load(write(tmp_path, "a.bvh"), tmp_path).clip(0)[:, 0])
        archive = load(write(tmp_path, "two.bvh", text), tmp_path)
        assert (archive.persons, archive.skeleton.joints[0]) == (2, "Hips")
        np.testing.assert_allclose(archive.clip(0)[:, 0], alone, rtol=1e-6)
        np.testing.assert_allclose(archive.clip(0)[:, 1], alone[::-1], rtol=1e-6)


def test_up_is_not_that_of_the_first_file_that_bows(tmp_path: Path) -> None:
    still = "0 0 0 0 0 0 0 0 0 0 0 0\n"
    lines = ARM.splitlines()
    bowed = "\n".join(lines[:-2]) + "\n" + "0 0 0 0 90 0 0 0 0 0 0 0\n" * 2  # the whole body turned to +z
    for name in "bcdef":
        write(tmp_path / "in", f"{name}.bvh", "\n".join(lines[:-2]) + "\n" + still * 2)
    write(tmp_path / "in", "a.bvh", bowed)
    with pytest.warns(MotetNote, match=r"\+y is taken for up \(as bodies stand in 5 of 6 files\), but a"):
        assert load(tmp_path / "in", tmp_path).skeleton.up == "+y"
    assert load(tmp_path / "in", tmp_path, up="-x").skeleton.up == "-x"
    with pytest.warns(MotetWarning, match="as the skeleton rests"):
        assert load(tmp_path / "in" / "a.bvh", tmp_path).skeleton.up == "+y"
