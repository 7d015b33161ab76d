"""Binary glTF, read back by its specification: what a viewer shows is what was recorded."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from motet.core.errors import ConfigError
from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.use.gltf import write_glb

KINDS = {5126: "<f4", 5123: "<u2", 5125: "<u4"}
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


def read(path: Path) -> tuple[dict[str, Any], bytes]:
    content = path.read_bytes()
    magic, version, size = struct.unpack("<4sII", content[:12])
    assert (magic, version, size) == (b"glTF", 2, len(content))
    length, kind = struct.unpack("<I4s", content[12:20])
    assert kind == b"JSON"
    assert length % 4 == 0
    rest = content[20 + length :]
    count, kind = struct.unpack("<I4s", rest[:8])
    assert kind == b"BIN\0"
    assert count == len(rest) - 8
    return json.loads(content[20 : 20 + length]), rest[8:]


def values(document: dict[str, Any], binary: bytes, number: int) -> npt.NDArray[Any]:
    accessor = document["accessors"][number]
    view = document["bufferViews"][accessor["bufferView"]]
    assert view["byteOffset"] % 4 == 0
    kind, width = np.dtype(KINDS[accessor["componentType"]]), WIDTHS[accessor["type"]]
    assert view["byteLength"] == accessor["count"] * width * kind.itemsize
    part = binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
    return np.frombuffer(part, kind).reshape(accessor["count"], width)


def skinned(document: dict[str, Any], binary: bytes, person: int, frame: int) -> npt.NDArray[Any]:
    """Positions of a mesh's corners as a viewer computes them: Σ w · (global joint · inverse bind) · p."""
    skin, mesh = document["skins"][person], document["meshes"][person]["primitives"][0]["attributes"]
    inverse = values(document, binary, skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
    moved = {}
    for channel in document["animations"][0]["channels"]:
        sampler = document["animations"][0]["samplers"][channel["sampler"]]
        matrix = np.eye(4)
        matrix[:3, 3] = values(document, binary, sampler["output"])[frame]
        moved[channel["target"]["node"]] = matrix
    joint = [moved[node] @ i for node, i in zip(skin["joints"], inverse, strict=True)]
    points = np.c_[
        values(document, binary, mesh["POSITION"]), np.ones(document["accessors"][mesh["POSITION"]]["count"])
    ]
    owners, weights = values(document, binary, mesh["JOINTS_0"]), values(document, binary, mesh["WEIGHTS_0"])
    return np.array(
        [
            sum(w * joint[j] @ p for j, w in zip(own, share, strict=True))
            for own, share, p in zip(owners, weights, points, strict=True)
        ]
    )[:, :3]


def archive_of(path: Path, frames: npt.NDArray[Any], layout: str = "kinect-v2", **options: Any) -> MotionArchive:
    options = {"fps": 30.0, "units": "mm"} | options
    with ArchiveWriter(path, skeleton=layouts.get(layout), persons=frames.shape[1], **options) as writer:
        writer.add(frames, name="clip <1>")
    return MotionArchive.open(path)


def test_a_viewer_shows_what_was_recorded(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).normal(size=(5, 2, 25, 3)) * 500
    frames[2, 0, 7] = 0  # absent: stays where it was
    frames[:, 1, 3] = 0  # never seen: left out
    archive = archive_of(tmp_path / "a.motet", frames)
    document, binary = read(write_glb(archive, 0, tmp_path / "a.glb"))
    assert document["asset"]["version"] == "2.0"
    assert document["scenes"][0]["name"] == "clip <1>"
    assert values(document, binary, 0)[:, 0] == pytest.approx(np.arange(5) / 30)
    assert [len(skin["joints"]) for skin in document["skins"]] == [25, 24]
    metres = frames / 1000
    metres[2, 0, 7] = metres[1, 0, 7]
    bones = archive.skeleton.bones
    for frame in (0, 2, 4):
        corners = skinned(document, binary, 0, frame).reshape(len(bones), 2, 4, 3)
        ends = np.array([[metres[frame, 0, a], metres[frame, 0, b]] for a, b in bones])
        assert corners.mean(axis=2) == pytest.approx(ends, abs=1e-5)
    assert len(skinned(document, binary, 1, 0)) == 8 * sum(3 not in bone for bone in bones)


@pytest.mark.parametrize("layout", ["ui-prmd-39", "smpl-24", "azure-kinect-32", "kinect-v2", "nite-15"])
def test_up_is_y_and_the_hand_is_right(tmp_path: Path, layout: str) -> None:
    """A left arm that points left of where the person looks still does so, whatever axes were stored."""
    skeleton = layouts.get(layout)
    up, axis = (skeleton.up or "+y"), "xyz".index((skeleton.up or "+y")[1])
    frames = np.full((2, 1, len(skeleton), 3), 0.001)
    high, low = 0, 1
    frames[:, :, high, axis] = 1.0 if up[0] == "+" else -1.0
    frames[:, :, low, axis] = 0.001 if up[0] == "+" else -0.001
    frames[:, :, 2] = np.random.default_rng(1).normal(size=3)
    frames[:, :, 3] = np.random.default_rng(2).normal(size=3)
    archive = archive_of(tmp_path / "a.motet", frames, layout, units="m")
    document, _ = read(write_glb(archive, 0, tmp_path / "a.glb"))
    points = np.array([node["translation"] for node in document["nodes"][:4]])
    assert points[high, 1] - points[low, 1] == pytest.approx(0.999)
    stored = frames[0, 0, :4]
    volume = np.linalg.det(stored[[0, 2, 3]] - stored[1])
    assert np.linalg.det(points[[0, 2, 3]] - points[1]) == pytest.approx(
        volume if skeleton.right_handed else -volume, abs=1e-5
    )


def test_what_cannot_be_shown_is_said(tmp_path: Path) -> None:
    sensor = np.ones((5, 1, 2, 3))
    with pytest.raises(ConfigError, match="bodies and hands in space"):
        write_glb(archive_of(tmp_path / "s.motet", sensor, "imu-2"), 0, tmp_path / "s.glb")
    body = np.ones((5, 1, 25, 3))
    with pytest.raises(ConfigError, match="frame rate is unknown"):
        write_glb(archive_of(tmp_path / "b.motet", body, fps=None), 0, tmp_path / "b.glb")
    with pytest.raises(ConfigError, match="shows nobody"):
        write_glb(archive_of(tmp_path / "n.motet", body * 0), 0, tmp_path / "n.glb")
    assert not list(tmp_path.glob("*.glb"))
