"""A recording as binary glTF 2.0: an animated skeleton for Blender, browsers and other viewers.

Every joint is a node that moves; bones are thin prisms, skinned to the joints at their ends.
Specification: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError
from motet.core.files import written
from motet.core.units import METRES
from motet.data.archive import MotionArchive
from motet.data.skeletons import Skeleton

Float = npt.NDArray[np.float64]
_ARRAY, _ELEMENTS = 34962, 34963  # targets of buffer views
_FLOAT, _SHORT, _INT = 5126, 5123, 5125
_COLOURS = ([0.04, 0.37, 0.54, 1.0], [0.79, 0.35, 0.0, 1.0], [0.0, 0.62, 0.45, 1.0])
_THICKNESS = 0.02
"""radius of a bone as a share of the skeleton's height."""


def write_glb(archive: MotionArchive, clip: int, path: str | Path) -> Path:
    """Write one clip as ``.glb``: metres, y up, right-handed, as glTF wants it.

    Joints that are absent for a while stay where they were seen last; joints that are never seen are left out.

    Args:
        archive: recordings of a body or hand with three coordinates and bones.
        clip: row of the archive.
        path: file to write.

    Raises:
        ConfigError: sensors, flat recordings, layouts without bones, or an unknown frame rate.
    """
    skeleton = archive.skeleton
    if skeleton.kind == "sensor" or len(archive.channels) < 3 or not skeleton.bones:
        raise ConfigError(f"{archive.path}: glTF shows bodies and hands in space, with bones; this archive has none")
    if archive.fps is None:
        raise ConfigError(f"{archive.path}: the frame rate is unknown; import with --fps")
    frames = upright(np.asarray(archive.clip(clip)[..., :3], dtype=np.float64), skeleton)
    frames *= METRES.get(archive.units, 1.0)
    present = np.asarray(archive.clip(clip)[..., :3] != 0).any(axis=-1)
    assert isinstance(present, np.ndarray)
    builder = _Builder(skeleton, np.arange(len(frames)) / archive.fps)
    for person in range(frames.shape[1]):
        if present[:, person].any():
            builder.add_person(frames[:, person], present[:, person])
    if not builder.meshes:
        raise ConfigError(f"clip {archive.clips['name'][clip]} shows nobody, so there is nothing to write")
    with written(Path(path)) as partial:
        partial.write_bytes(builder.finish(str(archive.clips["name"][clip])))
    return Path(path)


def upright(frames: Float, skeleton: Skeleton) -> Float:
    """Axes as declared by the layout → right-handed with y up."""
    axis = "xyz".index((skeleton.up or "+y")[1])
    sign = -1.0 if (skeleton.up or "+y")[0] == "-" else 1.0
    # up, then the two axes after it in cyclic order: an even permutation keeps the hand
    order = [(axis + 2) % 3, axis, (axis + 1) % 3]
    turned: Float = frames[..., order] * np.array([sign, sign, 1.0])
    return turned if skeleton.right_handed else turned * np.array([1.0, 1.0, -1.0])


def held_still(track: Float, seen: npt.NDArray[np.bool_]) -> Float:
    """(T, 3) positions where absent frames have that of the last frame seen, or the first one."""
    last = np.maximum.accumulate(np.where(seen, np.arange(len(seen)), -1))
    last[last < 0] = int(np.argmax(seen))
    held: Float = track[last]
    return held


def _prism(start: Float, end: Float, radius: float) -> tuple[Float, npt.NDArray[np.uint16]]:
    """Eight corners, the first four at ``start``, and the twelve triangles of a thin box."""
    along = end - start
    along = along / (np.linalg.norm(along) or 1.0)
    other = np.eye(3)[int(np.argmin(np.abs(along)))]
    side = np.cross(along, other)
    side /= np.linalg.norm(side) or 1.0
    up = np.cross(side, along)
    ring = radius * np.array([side, up, -side, -up])
    walls = [[i, (i + 1) % 4, i + 4, (i + 1) % 4, (i + 1) % 4 + 4, i + 4] for i in range(4)]
    caps = [[0, 2, 1, 0, 3, 2], [4, 5, 6, 4, 6, 7]]
    return np.concatenate([start + ring, end + ring]), np.array(walls + caps, dtype=np.uint16).ravel()


class _Builder:
    """Collects nodes, meshes and channels, and the binary that they point into."""

    def __init__(self, skeleton: Skeleton, times: Float) -> None:
        self.skeleton = skeleton
        self.binary = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []
        self.nodes: list[dict[str, Any]] = []
        self.meshes: list[dict[str, Any]] = []
        self.skins: list[dict[str, Any]] = []
        self.roots: list[int] = []
        self.channels: list[dict[str, Any]] = []
        self.samplers: list[dict[str, Any]] = []
        self.times = self._accessor(times.astype("<f4")[:, None], "SCALAR", bounds=True)

    def add_person(self, frames: Float, present: npt.NDArray[np.bool_]) -> None:
        """(T, V, 3) positions of one person."""
        joints = [v for v in range(frames.shape[1]) if present[:, v].any()]
        tracks = {v: held_still(frames[:, v], present[:, v]) for v in joints}
        rest = {v: tracks[v][0] for v in joints}
        first = len(self.nodes)
        number = {v: i for i, v in enumerate(joints)}
        for v in joints:
            self.samplers.append(
                {
                    "input": self.times,
                    "output": self._accessor(tracks[v].astype("<f4"), "VEC3"),
                    "interpolation": "LINEAR",
                }
            )
            target = {"node": len(self.nodes), "path": "translation"}
            self.channels.append({"sampler": len(self.samplers) - 1, "target": target})
            self.nodes.append({"name": self.skeleton.joints[v], "translation": rest[v].round(6).tolist()})
        person = len(self.meshes)
        self._mesh([b for b in self.skeleton.bones if b[0] in number and b[1] in number], rest, number)
        inverse = np.tile(np.eye(4), (len(joints), 1, 1))
        inverse[:, 3, :3] = [-rest[v] for v in joints]  # column-major, so the translation is the last row here
        matrices = self._accessor(inverse.reshape(-1, 16).astype("<f4"), "MAT4")
        nodes = list(range(first, first + len(joints)))
        self.skins.append({"joints": nodes, "inverseBindMatrices": matrices})
        self.nodes.append({"name": f"person {person + 1}", "mesh": person, "skin": person})
        self.roots += [*nodes, len(self.nodes) - 1]

    def _mesh(self, bones: list[tuple[int, int]], rest: dict[int, Float], number: dict[int, int]) -> None:
        tall = float(np.ptp([p[1] for p in rest.values()])) or 1.0
        corners, faces, owners = [], [], []
        for count, (a, b) in enumerate(bones):
            points, triangles = _prism(rest[a], rest[b], _THICKNESS * tall)
            corners.append(points)
            faces.append(triangles.astype(np.uint32) + 8 * count)
            owners += [number[a]] * 4 + [number[b]] * 4
        joints = np.zeros((len(owners), 4), dtype="<u2")
        joints[:, 0] = owners
        weights = np.zeros((len(owners), 4), dtype="<f4")
        weights[:, 0] = 1.0
        attributes = {
            "POSITION": self._accessor(np.concatenate(corners).astype("<f4"), "VEC3", _ARRAY, bounds=True),
            "JOINTS_0": self._accessor(joints, "VEC4", _ARRAY),
            "WEIGHTS_0": self._accessor(weights, "VEC4", _ARRAY),
        }
        indices = self._accessor(np.concatenate(faces).astype("<u4")[:, None], "SCALAR", _ELEMENTS)
        material = len(self.meshes) % len(_COLOURS)
        self.meshes.append({"primitives": [{"attributes": attributes, "indices": indices, "material": material}]})

    def _accessor(self, values: npt.NDArray[Any], kind: str, target: int | None = None, *, bounds: bool = False) -> int:
        """Append rows to the binary; the number of the accessor that reads them."""
        self.binary += b"\0" * (-len(self.binary) % 4)
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": values.nbytes}
        self.views.append(view if target is None else {**view, "target": target})
        self.binary += values.tobytes()
        component = {"f": _FLOAT, "u": _INT if values.itemsize == 4 else _SHORT}[values.dtype.kind]
        accessor: dict[str, Any] = {"bufferView": len(self.views) - 1, "componentType": component, "count": len(values)}
        if bounds:
            accessor |= {"min": values.min(axis=0).tolist(), "max": values.max(axis=0).tolist()}
        self.accessors.append({**accessor, "type": kind})
        return len(self.accessors) - 1

    def finish(self, name: str) -> bytes:
        """The file: header, JSON chunk, binary chunk."""
        self.binary += b"\0" * (-len(self.binary) % 4)
        document = {
            "asset": {"version": "2.0", "generator": "motet"},
            "scene": 0,
            "scenes": [{"name": name, "nodes": self.roots}],
            "nodes": self.nodes,
            "meshes": self.meshes,
            "skins": self.skins,
            "materials": [
                {"doubleSided": True, "pbrMetallicRoughness": {"baseColorFactor": c, "metallicFactor": 0.0}}
                for c in _COLOURS
            ],
            "animations": [{"name": name, "channels": self.channels, "samplers": self.samplers}],
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": [{"byteLength": len(self.binary)}],
        }
        text = json.dumps(document, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        size = 12 + 8 + len(text) + 8 + len(self.binary)
        header = struct.pack("<4sII", b"glTF", 2, size) + struct.pack("<I4s", len(text), b"JSON")
        return header + text + struct.pack("<I4s", len(self.binary), b"BIN\0") + bytes(self.binary)
