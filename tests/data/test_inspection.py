from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from motet import cli
from motet.core.errors import DataError
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.edit import select
from motet.data.inspection import held, inspect, render
from motet.data.skeletons import Skeleton

KINECT = layouts.get("kinect-v2")


def body(skeleton: Skeleton = KINECT) -> np.ndarray:
    """(V, 3) metres: a rough standing person, y up, toes in front, left at up × forward (right-handed)."""
    heights = {
        **{"head": 1.7, "upper_neck": 1.6, "neck": 1.5, "shoulder": 1.45, "elbow": 1.2, "wrist": 1.0, "hand": 0.9},
        **{"hand_tip": 0.85, "thumb": 0.95, "torso": 1.2, "mid_hip": 1.0, "hip": 0.95, "knee": 0.5, "ankle": 0.1},
        **{"foot": 0.05},
    }
    points = np.zeros((len(skeleton), 3))
    for index, name in enumerate(skeleton.canonical):
        side = 0.2 if name.startswith("left_") else -0.2 if name.startswith("right_") else 0.01
        rest = name.removeprefix("left_").removeprefix("right_")
        points[index] = (side, heights[rest], 0.2 if rest == "foot" else 0.0)
    return points


def motion(frames: int = 40, seed: int = 0, skeleton: Skeleton = KINECT) -> np.ndarray:
    walk = np.linspace(0, 1, frames)[:, None, None] + 0.001 * np.random.default_rng(seed).normal(size=(frames, 1, 3))
    return (body(skeleton) + walk).astype(np.float32)


def build(folder: Path, clips: dict[str, Any], **meta: Any) -> MotionArchive:
    columns = meta.pop("columns", lambda i: {"label": i % 2, "subject": i})
    meta = {"skeleton": KINECT, "persons": 2, "fps": 30.0, "licence": "CC0", **meta}
    with ArchiveWriter(folder / "archive", **meta) as writer:
        for index, (name, frames) in enumerate(clips.items()):
            writer.add(frames, name=name, **columns(index))
    return MotionArchive.open(folder / "archive")


def fault(report: dict[str, Any], name: str) -> dict[str, Any]:
    [found] = [f for f in report["faults"] if f["name"] == name]
    return found


def test_a_sound_archive_has_no_faults(tmp_path: Path) -> None:
    archive = build(tmp_path, {f"c{i}": motion(30 + 10 * i, seed=i) for i in range(4)})
    archive.tracks.save("gait", [{"recording": "c1", "start": 0.0, "end": 0.5, "label": "walk", "rater": "kim"}])
    report = inspect(archive)
    assert report["faults"] == []
    assert report["tracks"] == {"gait": {"recordings": 1, "intervals": 1, "labels": ["walk"], "raters": ["kim"]}}
    assert (report["clips"], report["frames"], report["verified"]) == (4, 180, True)
    assert report["duration"]["frames"] == {"min": 30, "p5": 31.5, "median": 45, "mean": 45, "p95": 58.5, "max": 60}
    assert report["duration"]["total_seconds"] == pytest.approx(6)
    assert report["balance"]["label"] == {"0": 2, "1": 2}
    assert report["balance"]["subject"] == {"0": 1, "1": 1, "2": 1, "3": 1}
    assert report["hash"] == archive.hash
    assert report["bytes"] >= 180 * 2 * 25 * 3 * 4
    assert json.loads(json.dumps(report)) == report


def test_every_planted_frame_fault_is_found_where_it_is(tmp_path: Path) -> None:
    clips = {f"good{i}": motion(seed=i) for i in range(3)}
    clips["zero"] = motion(seed=3)
    clips["zero"][10:13] = 0
    clips["frozen"] = motion(seed=4)
    clips["frozen"][20:28] = clips["frozen"][20]
    clips["jump"] = motion(seed=5)
    clips["jump"][7, 6] += 3  # a wrist leaves the body
    clips["gap"] = np.stack([motion(seed=6), motion(seed=7)], axis=1)
    clips["gap"][30:35, 1] = 0
    clips["joint"] = motion(seed=8)
    clips["joint"][5, 3] = 0
    report = inspect(build(tmp_path, clips))
    planted = {
        "all-zero frames": ("zero", 3, 10),
        "frozen frames": ("frozen", 8, 20),
        "bone-length jumps": ("jump", 1, 7),
        "missing bodies": ("gap", 5, 30),
        "missing joints": ("joint", 1, 5),
    }
    assert {f["name"] for f in report["faults"]} == set(planted)
    for name, (clip, frames, first) in planted.items():
        assert fault(report, name)["examples"] == [{"clip": clip, "frames": frames, "first": first}]
        assert (fault(report, name)["clips"], fault(report, name)["frames"]) == (1, frames)


def test_faults_do_not_depend_on_the_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = {f"c{i}": motion(5 + i, seed=i) for i in range(9)}
    clips["c3"][1:] = clips["c3"][0]
    clips["c8"][6, 6] += 3
    archive = build(tmp_path, clips)
    whole = inspect(archive)
    monkeypatch.setattr("motet.data.inspection.frames.CHUNK_VALUES", 150 * 12)
    assert inspect(archive) == whole
    assert {f["name"] for f in whole["faults"]} == {"frozen frames", "bone-length jumps"}


def test_a_clip_that_repeats_the_last_frame_of_another_is_not_frozen(tmp_path: Path) -> None:
    first = motion(30)
    second = motion(30, seed=1)
    second[:4] = first[-1]
    first[-3:] = first[-1]
    faults = inspect(build(tmp_path, {"a": first, "b": second}))["faults"]
    assert [(f["name"], f["frames"]) for f in faults] == [("stuttering frames", 7)]
    faults = inspect(build(tmp_path / "whole", {"a": first[:-1], "b": second[2:]}))["faults"]
    assert faults == []


def test_clip_faults(tmp_path: Path) -> None:
    clips = {"a": motion(), "b": motion(seed=1), "a again": motion(), "still": motion(1, seed=2)}
    report = inspect(build(tmp_path, clips))
    assert fault(report, "duplicate clips")["examples"] == [{"clip": "a = a again"}]
    assert fault(report, "duplicate clips")["clips"] == 2
    assert fault(report, "single frames")["examples"] == [{"clip": "still"}]
    part = select(report["path"], tmp_path / "part", where="length > 1", drop=("a again",))
    assert not {"duplicate clips", "single frames"} & {f["name"] for f in inspect(part)["faults"]}


def test_label_faults(tmp_path: Path) -> None:
    clips = {f"c{i}": motion(10, seed=i) for i in range(14)}
    names = ["sit", "stand", "fly"]
    labels = [*[0] * 12, 1, None]
    archive = build(tmp_path, clips, class_names=names, columns=lambda i: {"label": labels[i]})
    report = inspect(archive)
    assert fault(report, "unlabelled clips")["examples"] == [{"clip": "c13"}]
    assert "fly" in fault(report, "empty classes")["message"]
    assert "sit has 12 clips, stand 1" in fault(report, "label imbalance")["message"]
    assert report["balance"]["label"] == {"sit": 12, "stand": 1}
    bare = build(tmp_path / "bare", clips, columns=lambda i: {})
    assert [f["name"] for f in inspect(bare)["faults"]] == ["no labels"]


def test_implausible_units_and_axes(tmp_path: Path) -> None:
    clips = {"a": motion() * 1000, "b": motion(seed=1) * 1000}
    report = inspect(build(tmp_path, clips))
    assert fault(report, "units")["level"] == "error"
    assert "mm" in fault(report, "units")["message"]
    assert inspect(build(tmp_path / "mm", clips, units="mm"))["faults"] == []
    clips = {"a": motion(), "b": motion(seed=1)}
    swapped = replace(KINECT, up="-y", right_handed=False)
    report = inspect(build(tmp_path / "swapped", clips, skeleton=swapped))
    assert "+y" in fault(report, "up axis")["message"]
    assert "right-handed" in fault(report, "handedness")["message"]


@pytest.mark.parametrize(
    ("channels", "depth", "units", "warned"),
    [(3, 1e-6, "m", True), (2, 0.0, "m", True), (3, 0.5, "m", False), (3, 0.0, "shares of the picture", False)],
)
def test_shares_of_a_picture_are_no_metres(
    tmp_path: Path, channels: int, depth: float, units: str, warned: bool
) -> None:
    clip = 0.5 + np.random.default_rng(0).uniform(-0.3, 0.3, (30, 21, channels)).astype(np.float32)
    clip[:, 0, 2:] = depth
    hand = layouts.get("hand-21")
    with ArchiveWriter(tmp_path / "a", skeleton=hand, units=units, channels=("x", "y", "z")[:channels]) as writer:
        writer.add(clip, name="c")
    found = [f["message"] for f in inspect(MotionArchive.open(tmp_path / "a"))["faults"] if f["name"] == "units"]
    assert ["more likely shares of the picture than m" in message for message in found if "0 and 1" in message] == (
        [True] * warned
    )


@pytest.mark.parametrize(("size", "said"), [(20.0, False), (400.0, True)])
def test_pixels_of_the_upper_body_are_no_metres(tmp_path: Path, size: float, said: bool) -> None:
    """Of parts of bodies and of animals no size is known, but none reaches over tens of metres."""
    skeleton = layouts.build("upper", ["head", "left_shoulder", "right_shoulder"], [-1, 0, 0], up="-y")
    clip = np.random.default_rng(0).uniform(0, 1, (40, 1, 3, 2)) * 0.01 + np.array([[0, 0], [0.4, 1], [-0.4, 1]])
    with ArchiveWriter(tmp_path / "a", skeleton=skeleton, fps=30.0, units="m", channels=("x", "y")) as writer:
        writer.add((clip * size + 600).astype(np.float32), name="one", label=0)
    found = [f for f in inspect(MotionArchive.open(tmp_path / "a"))["faults"] if f["name"] == "units"]
    assert bool(found) is said
    assert all("those of an image" in f["message"] for f in found)


def test_the_unit_that_was_assumed_is_named(tmp_path: Path) -> None:
    clips = {"a": motion() * 0.14, "b": motion(seed=1) * 0.14}
    source = {"format": "bvh", "options": {"unit": "cm"}}
    said = fault(inspect(build(tmp_path, clips, source=source)), "units")["message"]
    assert "no usual unit fits" in said
    assert "now the recordings are taken for cm" in said


def test_a_root_at_the_origin_is_not_missing(tmp_path: Path) -> None:
    root = next(j for j, p in enumerate(KINECT.parents) if p in (-1, j))

    def centred(seed: int) -> np.ndarray:
        clip = motion(seed=seed)
        return clip - clip[..., root : root + 1, :]

    assert inspect(build(tmp_path / "a", {f"c{i}": centred(i) for i in range(2)}))["faults"] == []
    clips = {f"c{i}": centred(i) for i in range(2)}
    clips["c1"][7, ..., (root + 5) % len(KINECT), :] = 0
    found = fault(inspect(build(tmp_path / "b", clips)), "missing joints")
    assert (found["clips"], found["frames"]) == (1, 1)
    lost = {f"c{i}": motion(seed=i) for i in range(2)}
    lost["c0"][7:9, ..., root, :] = 0  # here and there: it was lost
    assert fault(inspect(build(tmp_path / "c", lost)), "missing joints")["frames"] == 2


def test_a_point_without_bones_is_missing_where_a_clip_lacks_it(tmp_path: Path) -> None:
    clips = np.random.default_rng(0).normal(size=(3, 9, 4, 3))
    clips[1, :, 2] = 0
    points = layouts.build("points", ["a", "b", "c", "d"], [-1] * 4)
    with ArchiveWriter(tmp_path / "a", skeleton=points) as writer:
        for index, clip in enumerate(clips):
            writer.add(clip, name=f"c{index}")
    found = fault(inspect(MotionArchive.open(tmp_path / "a")), "missing joints")
    assert (found["clips"], found["frames"]) == (1, 9)


def test_notes_on_what_is_unknown(tmp_path: Path) -> None:
    skipped = [{"file": "x.bvh", "reason": "empty"}]
    meta: dict[str, Any] = {"fps": None, "licence": "unknown", "source": {"skipped": skipped}}
    report = inspect(build(tmp_path, {"a": motion(), "b": motion(seed=1)}, **meta))
    assert [f["name"] for f in report["faults"]] == ["frame rate", "licence", "skipped files"]
    assert report["duration"]["seconds"] is None
    assert fault(report, "skipped files")["examples"] == [{"clip": "x.bvh"}]


def test_sensors_have_no_bones_and_no_bodies(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clips = {f"c{i}": rng.normal(size=(50, 2, 3)).astype(np.float32) * 100 for i in range(2)}
    clips["c1"][:, 1] = 0
    meta: dict[str, Any] = {"skeleton": layouts.get("imu-2"), "persons": 1, "units": "g"}
    report = inspect(build(tmp_path, clips, **meta))
    assert [f["name"] for f in report["faults"]] == ["silent sensor"]
    assert fault(report, "silent sensor")["examples"] == [{"clip": "c1", "frames": 50, "first": 0}]


def test_pictures_have_no_bone_lengths(tmp_path: Path) -> None:
    clips = {f"c{i}": np.random.default_rng(i).normal(size=(50, 25, 2)).astype(np.float32) for i in range(2)}
    assert inspect(build(tmp_path, clips, channels=("x", "y"), units="px"))["faults"] == []


def test_a_flipped_byte_names_the_clip(tmp_path: Path) -> None:
    archive = build(tmp_path, {"a": motion(), "b": motion(seed=1)})
    path = archive.path / "frames.npy"
    raw = bytearray(path.read_bytes())
    raw[-1000] ^= 1
    path.write_bytes(bytes(raw))
    with pytest.raises(DataError, match="clip b"):
        inspect(MotionArchive.open(archive.path))
    inspect(MotionArchive.open(archive.path), verify=False)


def test_a_broken_frame_is_reported_when_digests_are_not_compared(tmp_path: Path) -> None:
    archive = build(tmp_path, {"a": motion(), "b": motion(seed=1)})
    path = archive.path / "frames.npy"
    raw = bytearray(path.read_bytes())
    raw[128:132] = np.float32(np.nan).tobytes()
    path.write_bytes(bytes(raw))
    report = inspect(MotionArchive.open(archive.path), verify=False)
    assert report["faults"][0]["level"] == "error"
    assert fault(report, "not finite")["examples"] == [{"clip": "a", "frames": 1, "first": 0}]


def test_the_report_can_be_read(tmp_path: Path) -> None:
    clips = {f"[red]c{i}": motion(10, seed=i) for i in range(30)}
    clips["[red]c4"][3:] = 0
    archive = build(tmp_path, clips, simulated=True)
    console = Console(width=160, record=True, quiet=False, file=(tmp_path / "out").open("w"))
    console.print(render(inspect(archive)))
    text = console.export_text()
    for word in (
        "simulated",
        "kinect-v2",
        "clips by label",
        "… and 10 more",
        "all-zero frames",
        "[red]c4",
        "from frame 3",
    ):
        assert word in text
    console.file.close()
    console = Console(width=100, record=True, file=(tmp_path / "out").open("w"))
    console.print(render(inspect(build(tmp_path / "b", {"a": motion(), "b": motion(seed=1)}))))
    assert "no faults found" in console.export_text()
    console.file.close()


def test_a_pipe_gets_no_padding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")  # of the terminal that the pipe is started from
    clips = {f"c{i}": motion(10, seed=i) for i in range(3)}
    clips["c1"][3:] = 0
    archive = build(tmp_path, clips)
    assert cli.main(["data", "inspect", str(archive.path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("all-zero frames" in line for line in lines)
    assert all(line == line.rstrip() for line in lines)
    assert sum(line.split("remedy: ")[-1].startswith("motet data select") for line in lines) == 2


def test_joints_that_are_never_seen_are_named(tmp_path: Path) -> None:
    names = ["a", "b", "c"]
    points = layouts.build("points", names, [-1] * 3, up="+z")
    clip = np.random.default_rng(0).normal(size=(8, 3, 3))
    clip[:, 1] = 0
    with ArchiveWriter(tmp_path / "points", skeleton=points, units="mm") as writer:
        writer.add(clip, name="x")
    faults = {f["name"]: f for f in inspect(MotionArchive.open(tmp_path / "points"))["faults"]}
    assert "b (0.0%)" in faults["never seen"]["message"]
    assert "a (" not in faults["never seen"]["message"]
    assert "units" not in faults  # points of no body have any size


def test_empty_ends_are_told(tmp_path: Path) -> None:
    clip = np.random.default_rng(0).normal(size=(9, 17, 3))
    clip[[0, 1, 4, 8]] = 0
    with ArchiveWriter(tmp_path / "a", skeleton=layouts.get("coco-17")) as writer:
        writer.add(clip, name="x")
    faults = {f["name"]: f for f in inspect(MotionArchive.open(tmp_path / "a"))["faults"]}
    assert (faults["empty ends"]["frames"], faults["all-zero frames"]["frames"]) == (3, 4)
    cut = inspect(select(tmp_path / "a", tmp_path / "cut", trim=True))["faults"]
    assert {f["name"]: f["frames"] for f in cut if "frames" in f}[
        "all-zero frames"
    ] == 1  # inside, where cutting helps not
    assert "empty ends" not in {f["name"] for f in cut}


def test_a_set_that_is_noisy_as_a_whole_is_said_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with ArchiveWriter(tmp_path / "noisy", skeleton=layouts.get("coco-17")) as writer:
        for i in range(36):
            clip = rng.normal(size=(6, 17, 3))
            clip[2:5, 3] = i >= 20
            writer.add(clip, name=f"c{i}")
    found = {f["name"]: f for f in inspect(MotionArchive.open(tmp_path / "noisy"))["faults"]}
    fault = found["missing joints"]
    assert "in 56% of the clips: the set is noisy as a whole" in fault["message"]
    assert (fault["level"], fault["clips"], fault["frames"], len(fault["examples"])) == ("note", 20, 60, 1)


def test_a_silent_node_of_a_sensor_is_a_warning(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "imu", skeleton=layouts.get("imu-2"), units="g, deg/s") as writer:
        for name, silent in (("whole", False), ("dead", True)):
            clip = np.random.default_rng(1).normal(size=(8, 2, 3))
            if silent:
                clip[:, 1] = 0
            writer.add(clip, name=name)
    (fault,) = [f for f in inspect(MotionArchive.open(tmp_path / "imu"))["faults"] if f["name"] == "silent sensor"]
    assert (fault["level"], fault["clips"], fault["examples"][0]["clip"]) == ("warning", 1, "dead")


@pytest.mark.parametrize(("factor", "still", "said"), [(9.80665, True, 3), (1.9, True, 0), (9.80665, False, 0)])
def test_clips_of_another_unit_are_named(tmp_path: Path, factor: float, still: bool, said: int) -> None:
    random = np.random.default_rng(0)
    clips = {f"c{i}": random.normal(0, 0.1 if still else 0.6, (90, 1, 2, 3)).astype(np.float32) for i in range(8)}
    for name, clip in clips.items():
        clip[:, :, 0] += (0, 0.6, 0.8) if still else (0, 0, 0)  # an acceleration without gravity points nowhere
        clip[:, :, 0] *= factor if name in ("c1", "c4", "c6") else 1.0
    archive = build(tmp_path, clips, skeleton=layouts.get("imu-2"), persons=1, units="g, deg/s")
    found = [f for f in inspect(archive)["faults"] if f["name"] == "mixed units"]
    assert [f["clips"] for f in found] == [said] * (said > 0)
    if said:
        assert [e["clip"] for e in found[0]["examples"]] == ["c1", "c4", "c6"]
        assert found[0]["message"].startswith("gravity measures 9.88 in these clips (as in m/s^2) and 1.03 in the")
        sound = select(archive, tmp_path / "sound", drop_finding=["mixed units"])
        assert not [f for f in inspect(sound)["faults"] if f["name"] == "mixed units"]


@pytest.mark.parametrize(("unit", "off"), [("g", "c2"), ("m/s^2", "c0")])
def test_of_two_halves_that_in_the_stated_unit_is_right(tmp_path: Path, unit: str, off: str) -> None:
    still = np.tile(np.float32([[0, 0, 1], [0.1, 0, 0]]), (90, 1, 1, 1))
    clips = {f"c{i}": still * (1 if i < 2 else 9.8) for i in range(4)}
    archive = build(tmp_path, clips, skeleton=layouts.get("imu-2"), persons=1, units=f"{unit}, rad/s")
    (found,) = [f for f in inspect(archive)["faults"] if f["name"] == "mixed units"]
    assert found["examples"][0]["clip"] == off


def test_animals_have_any_size(tmp_path: Path) -> None:
    mouse = layouts.build("mouse", ["nose", "neck", "tail"], [-1, 0, 1], up="+z")
    with ArchiveWriter(tmp_path / "mouse", skeleton=mouse, units="mm") as writer:
        writer.add(70 * np.random.default_rng(2).normal(size=(8, 3, 3)), name="m")
    assert "units" not in {f["name"] for f in inspect(MotionArchive.open(tmp_path / "mouse"))["faults"]}


def frozen(frames: np.ndarray, fps: float = 30.0) -> list[int]:
    """Frames of one clip of points in which one is frozen."""
    skeleton = layouts.build("points", ["a", "b", "c"], [-1] * 3)
    joints = (frames != 0).any(axis=-1)
    bad = held.lost_joints(frames[:, None], joints[:, None], np.array([0]), skeleton, 6, fps)
    return np.flatnonzero(bad).tolist()


def test_a_joint_that_is_frozen_jumps_after_it_and_one_at_rest_does_not() -> None:
    moving = 1 + np.arange(100)[:, None, None] * np.ones((100, 3, 3)) / 30
    assert frozen(moving) == []
    lost = moving.copy()
    lost[20:27, 1] = lost[20, 1]
    assert frozen(lost) == list(range(20, 27))
    assert frozen(lost[:27]) == [], "nobody knows how it went on"
    gone = lost.copy()
    gone[27:, 1] = 0
    assert frozen(gone) == []
    short = moving.copy()
    short[20:26, 1] = short[20, 1]
    assert frozen(short) == []
    rest = moving.copy()
    rest[30:, 1] -= rest[30, 1] - rest[20, 1]
    rest[20:30, 1] = rest[20, 1]
    assert frozen(rest) == [], "it goes on as slowly as before"
    rest[20:80, 1] = rest[20, 1]
    rest[80:, 1] = rest[20, 1] + moving[1:21, 1] - 1
    assert frozen(rest) == []
    assert frozen(rest, fps=29.0) == list(range(20, 80)), "two seconds are too long for a body that moves"
    whole = lost.copy()
    whole[20:30] = whole[20]
    assert frozen(whole) == [], "where nothing moves all frames are frozen, not one joint"
    absent = lost.copy()
    absent[20:27, 1] = 0
    assert frozen(absent) == []
    centred = moving.copy()
    centred[:, 1] = 1
    assert frozen(centred) == [], "recordings are relative to it"


def readings_with(where: Any, value: Any, fps: float = 50.0) -> list[int]:
    frames = np.random.default_rng(0).normal(size=(100, 1, 2, 3)).astype(np.float32)
    frames[where] = value
    return np.flatnonzero(held.stuck_readings(frames, (frames != 0).any(axis=-1), np.array([0]), fps)).tolist()


def test_a_reading_is_stuck_while_others_of_its_node_change() -> None:
    assert readings_with(np.s_[10:36, 0, 1, 2], 0.5) == list(range(10, 36))
    assert readings_with(np.s_[10:36, 0, 1, 2], 0.0) == list(range(10, 36))
    assert readings_with(np.s_[10:35, 0, 1, 2], 0.5) == []
    assert readings_with(np.s_[10:36, 0, 1], 0.5) == [], "a node at rest"
    assert readings_with(np.s_[:, 0, 1], 0.0) == [], "a silent one"
    one = np.random.default_rng(0).normal(size=(100, 1, 2, 1)).astype(np.float32)
    one[10:50, 0, 1] = 3
    bad = held.stuck_readings(one, one[..., 0] != 0, np.array([0]), 50.0)
    assert np.flatnonzero(bad).tolist() == list(range(10, 50))
    one[:, 0, 1] = 0
    assert not held.stuck_readings(one, one[..., 0] != 0, np.array([0]), 50.0).any()


def clipped(signal: np.ndarray, largest: float | None = None, held_too: slice = slice(0)) -> list[int]:
    """Frames in which the first reading of a node is cut off; the second is noise but where it is held too."""
    noise = np.random.default_rng(0).normal(0, 0.01, len(signal))
    noise[held_too] = 0.005
    frames = np.stack([signal, noise], axis=1)[:, None, None].astype(np.float32)
    greatest = np.array([np.abs(signal).max() if largest is None else largest])
    return np.flatnonzero(held.clipped_readings(frames, np.array([0]), greatest)).tolist()


def test_readings_are_cut_off_at_the_end_of_a_range() -> None:
    time = np.arange(200) / 50
    swing = 3 * np.sin(2 * np.pi * 1.3 * time + 0.2)
    assert clipped(swing) == []
    flat = np.flatnonzero(swing <= -2).tolist()
    assert clipped(np.maximum(swing, -2.0), 3.0) == flat, "several flat tops of one recording"
    once = np.where(time < 0.8, np.maximum(swing, -2.0), np.maximum(swing, -1.9))
    assert clipped(once, 2.0) == [i for i in flat if i < 40]
    assert clipped(once, 3.0) == [], "a flat top once, and other recordings have more"
    hit = swing.copy()
    hit[50:52] = 8.0
    assert clipped(hit) == [50, 51]
    hit[51] = 7.9
    assert clipped(hit) == []
    even = np.sin(2 * np.pi * (np.arange(200) + 0.5) / 24)  # two equal frames at the top of each cycle
    assert clipped(np.round(even, 6)) == []
    hill = np.concatenate([np.arange(50), [50, 50, 50], np.arange(50)[::-1]]) / 10
    assert clipped(hill) == [50, 51, 52]
    assert clipped(np.delete(hill, 51)) == []
    assert clipped(hill, held_too=slice(50, 53)) == [], "a frame that is repeated"
    assert clipped(np.round(swing * 2) / 200) == [], "a sensor that tells few values apart"
