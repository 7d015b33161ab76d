"""Recordings for other programs, read back: BVH by its rotations, TRC by its cells, axes by what is up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from motet.cli import main
from motet.core.errors import ConfigError, DataError
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.edit import convert
from motet.data.formats import import_dataset
from motet.use.animation import _turn, export_animation
from tests.conftest import stick
from tests.use.made import recordings


def rigid(frames: int, layout: str = "kinect-v2") -> np.ndarray:
    """(T, V, 3) of a body whose bones keep their lengths and turn by up to a radian."""
    random, skeleton = np.random.default_rng(0), layouts.get(layout)
    rest = random.normal(0, 0.3, (len(skeleton), 3))
    at, turned = np.zeros((frames, len(skeleton), 3)), {}

    def place(joint: int) -> None:
        parent = skeleton.parents[joint]
        turn = Rotation.from_rotvec(np.cumsum(random.normal(0, 0.05, (frames, 3)), axis=0) + random.normal(0, 0.1, 3))
        if parent in (-1, joint):
            at[:, joint] = np.cumsum(random.normal(0, 0.02, (frames, 3)), axis=0) + np.array([0, 1, 3])
            turned[joint] = turn
        else:
            at[:, joint] = at[:, parent] + turned[parent].apply(rest[joint])
            turned[joint] = turned[parent] * turn
        for child, own in skeleton.bones:
            if own == joint:
                place(child)

    place(next(v for v, p in enumerate(skeleton.parents) if p in (-1, v)))
    return at


@pytest.fixture
def archive(tmp_path: Path) -> MotionArchive:
    with ArchiveWriter(tmp_path / "a.motet", skeleton=layouts.get("kinect-v2"), fps=30.0) as writer:
        writer.add(rigid(20), name="walk/1")
    return MotionArchive.open(writer.destination)


@pytest.mark.filterwarnings("ignore::motet.core.errors.MotetWarning")
def test_rotations_give_back_the_positions(archive: MotionArchive, tmp_path: Path) -> None:
    assert main(["data", "export", str(archive.path), str(tmp_path / "out"), "--form", "bvh"]) == 0
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["walk_1.bvh"]
    again = import_dataset("bvh", tmp_path / "out", tmp_path / "b.motet", progress=False)
    assert again.fps == pytest.approx(30.0)
    found = {name: i for i, name in enumerate(again.skeleton.joints)}
    places = [found[name] for name in archive.skeleton.joints]
    expected = archive.clip(0)[:, 0]
    assert np.abs(again.clip(0)[:, 0, places] - expected).max() < 1e-3 * np.abs(expected).max()


def test_a_turn_is_the_nearest_and_leaves_the_twist_alone() -> None:
    true = Rotation.random(6, random_state=0)
    rest = np.random.default_rng(0).normal(size=(3, 3))
    bones = np.stack([true.apply(r) for r in rest], axis=1)
    above = np.broadcast_to(np.eye(3), (6, 3, 3))
    assert np.allclose(_turn(above, rest, bones), true.as_matrix(), atol=1e-4)
    one = _turn(above, np.array([[0, 1.0, 0]]), np.array([[[1.0, 0, 0]]] * 6))
    assert np.allclose(one @ [0, 1, 0], [1, 0, 0], atol=1e-4)
    assert np.allclose(one @ [0, 0, 1], [0, 0, 1], atol=1e-4)  # the axis of the smallest turn stays
    assert np.array_equal(_turn(above, np.zeros((0, 3)), np.zeros((6, 0, 3))), above)


@pytest.mark.filterwarnings("ignore::motet.core.errors.MotetWarning")
def test_markers_come_back_and_absent_ones_are_empty(tmp_path: Path) -> None:
    frames = rigid(12)
    frames[3:6, 7] = 0
    with ArchiveWriter(tmp_path / "a.motet", skeleton=layouts.get("kinect-v2"), fps=50.0, units="mm") as writer:
        writer.add(frames, name="one")
    source = MotionArchive.open(tmp_path / "a.motet")
    assert export_animation(source, tmp_path / "out", form="trc") == 1
    text = (tmp_path / "out" / "one.trc").read_text().splitlines()
    assert text[2].split("\t") == ["50", "50", "12", "25", "mm", "50", "1", "12"]
    again = import_dataset("trc", tmp_path / "out", tmp_path / "b.motet", progress=False)
    places = [again.skeleton.joints.index(name) for name in source.skeleton.joints]
    found = again.clip(0)[:, 0, places] * {"m": 1000, "mm": 1}[again.units]
    assert np.allclose(found, source.clip(0)[:, 0], atol=1e-4)


def test_two_people_are_two_files_and_a_viewer_s_file_one(tmp_path: Path) -> None:
    pair = np.stack([rigid(4), rigid(4) + 1], axis=1)
    with ArchiveWriter(tmp_path / "a.motet", skeleton=layouts.get("kinect-v2"), persons=2, fps=30.0) as writer:
        writer.add(pair, name="pair")
    archive = MotionArchive.open(tmp_path / "a.motet")
    assert export_animation(archive, tmp_path / "b", form="bvh") == 2
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == ["pair_person1.bvh", "pair_person2.bvh"]
    assert export_animation(archive, tmp_path / "g", form="glb") == 1
    with pytest.raises(ConfigError, match="exists already"):
        export_animation(archive, tmp_path / "g", form="glb")


def test_what_cannot_be_exported_is_said(tmp_path: Path) -> None:
    sensors = recordings(tmp_path / "s.motet", people=1, each=1)
    with pytest.raises(ConfigError, match="bvh holds bodies and hands in space; export csv"):
        export_animation(sensors, tmp_path / "x")
    loose = replace(stick(), parents=tuple(-1 for _ in stick().parents))
    with ArchiveWriter(tmp_path / "p.motet", skeleton=loose, fps=10.0) as writer:
        writer.add(np.ones((3, len(loose), 3)), name="points")
    with pytest.raises(ConfigError, match="roots, BVH needs one tree"):
        export_animation(MotionArchive.open(tmp_path / "p.motet"), tmp_path / "x")
    with ArchiveWriter(tmp_path / "e.motet", skeleton=stick(), fps=10.0) as writer:
        writer.add(np.zeros((3, len(stick()), 3)), name="empty")
    with pytest.raises(DataError, match="clip empty shows nobody"):
        export_animation(MotionArchive.open(tmp_path / "e.motet"), tmp_path / "x", form="trc")
    assert not (tmp_path / "x").exists()


def test_axes_are_turned_and_turned_back(archive: MotionArchive, tmp_path: Path) -> None:
    words = ["data", "convert", str(archive.path), str(tmp_path / "z.motet"), "--up", "+z", "--hand", "left"]
    assert main(words) == 0
    turned = MotionArchive.open(tmp_path / "z.motet")
    assert (turned.skeleton.up, turned.skeleton.right_handed) == ("+z", False)
    before, after = archive.clip(0)[:, 0], turned.clip(0)[:, 0]
    assert np.allclose(after[..., 2], before[..., 1], atol=1e-6)
    assert np.allclose(np.linalg.norm(after, axis=-1), np.linalg.norm(before, axis=-1), atol=1e-5)
    back = convert(turned, tmp_path / "y.motet", up="+y", hand="right")
    assert np.allclose(back.clip(0), archive.clip(0), atol=1e-6)
    with pytest.raises(ConfigError, match="has no up axis"):
        convert(recordings(tmp_path / "s.motet", people=1, each=1), tmp_path / "x.motet", up="+z")
