"""Recordings for animation and biomechanics: BVH, OpenSim's TRC and glTF, one file a clip (and person).

BVH holds rotations of bones of constant length. From positions they follow by the rotation that brings the children of
a joint closest to where they were seen (Kabsch 1976, https://doi.org/10.1107/S0567739476001873); what one child leaves
open, the twist about its bone, stays as it is in the joint above.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError
from motet.core.files import folder_written, refuse_existing
from motet.core.text import counted, file_name
from motet.core.units import METRES
from motet.data.archive import MotionArchive
from motet.data.skeletons import Skeleton
from motet.data.tracks import rate
from motet.use.gltf import held_still, upright, write_glb

Float = npt.NDArray[np.float64]
FORMS = ("bvh", "trc", "glb")
_LEVEL = 1e-6  # weight of "as the joint above" against one child


def export_animation(
    archive: MotionArchive, destination: str | Path, *, form: str = "bvh", overwrite: bool = False
) -> int:
    """Write every clip as a file of its own, y up and right-handed; TRC in the archive's unit, BVH in centimetres,
    glTF in metres.

    Args:
        archive: recordings of bodies or hands in space.
        destination: folder to create, whole or not at all.
        form: ``bvh``, ``trc`` or ``glb``.
        overwrite: replace a folder that is there.

    Returns:
        Files written.

    Raises:
        ConfigError: sensors, flat recordings, an unknown rate, or (BVH) a layout that is no single tree of bones.
        DataError: a clip in which nobody is seen.
    """
    if form not in FORMS:
        raise ConfigError(f"form is {form!r}; it must be {', '.join(FORMS)}")
    out = Path(destination)
    refuse_existing(out, overwrite)
    if archive.skeleton.kind == "sensor" or len(archive.channels) < 3:
        raise ConfigError(f"{archive.path}: {form} holds bodies and hands in space; export csv instead")
    rate(archive)
    if form == "bvh":
        _order(archive.skeleton)
    count, taken = 0, set[str]()
    with folder_written(out) as partial:
        for index, name in enumerate(archive.clips["name"]):
            if form == "glb":
                write_glb(archive, index, partial / f"{file_name(name, taken)}.glb")
                count += 1
                continue
            frames = upright(np.asarray(archive.clip(index)[..., :3], dtype=np.float64), archive.skeleton)
            people = np.flatnonzero(frames.any(axis=(0, 2, 3)))
            if not len(people):
                raise DataError(
                    f"{archive.path}: clip {name} shows nobody; leave it out with `motet data select --drop`"
                )
            for person in people.tolist():
                stem = file_name(name + (f"_person{person + 1}" if len(people) > 1 else ""), taken)
                make = bvh if form == "bvh" else trc
                text = make(frames[:, person], archive.skeleton, rate(archive), archive.units, stem)
                (partial / f"{stem}.{form}").write_text(text, encoding="utf-8")
                count += 1
    return count


# ---------------------------------------------------------------------------------------------------------- trc


def trc(frames: Float, skeleton: Skeleton, fps: float, units: str, name: str) -> str:
    """(T, V, 3) positions as OpenSim's marker file; an absent joint has empty cells."""
    count, joints = frames.shape[:2]
    header = (fps, fps, count, joints, units, fps, 1, count)
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{name}.trc",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        "\t".join(f"{v:g}" if isinstance(v, float) else str(v) for v in header),
        "Frame#\tTime\t" + "\t\t\t".join(skeleton.joints) + "\t\t",
        "\t\t" + "\t".join(f"{axis}{v + 1}" for v in range(joints) for axis in "XYZ"),
        "",
    ]
    seen = np.asarray(np.any(frames, axis=-1))
    for t, frame in enumerate(frames):
        cells = [f"{c:.6f}" if seen[t, v] else "" for v in range(joints) for c in frame[v]]
        lines.append("\t".join([str(t + 1), f"{t / fps:.6f}", *cells]))
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------------------------------------------------- bvh


def bvh(frames: Float, skeleton: Skeleton, fps: float, units: str, name: str) -> str:
    """(T, V, 3) positions as BVH, in centimetres: bones of their median length, rotations in order z, x, y.

    Joints that are absent for a while stay where they were seen last; joints that are never seen lie at their parents.
    """
    del name
    frames = frames * 100 * METRES.get(units, 0.01)
    order, children = _order(skeleton), _children(skeleton)
    root, seen = order[0], np.asarray(np.any(frames, axis=-1))
    if not seen[:, root].any():
        raise DataError(f"the root {skeleton.joints[root]} is never seen, which BVH needs; export trc or csv instead")
    parents = skeleton.parent_index
    never = np.full((len(frames), 3), np.nan)
    places = [held_still(frames[:, v], seen[:, v]) if seen[:, v].any() else never for v in range(len(skeleton))]
    at = np.stack(places, axis=1)
    for v in order:
        at[:, v] = np.where(np.isnan(at[:, v]), at[:, parents[v]], at[:, v])
    bone = at - at[:, parents]
    length = np.median(np.linalg.norm(bone, axis=-1), axis=0)
    first = bone[0] / np.maximum(np.linalg.norm(bone[0], axis=-1, keepdims=True), 1e-12)
    rest = first * length[:, None]
    turned: dict[int, Float] = {}
    local = np.zeros((len(frames), len(skeleton), 3))
    for v in order:
        above = np.broadcast_to(np.eye(3), (len(frames), 3, 3)) if v == root else turned[int(parents[v])]
        turned[v] = _turn(above, rest[children[v]], bone[:, children[v]])
        local[:, v] = _angles(np.swapaxes(above, 1, 2) @ turned[v])
    lines = ["HIERARCHY", *_hierarchy(skeleton, children, rest, root, 0), "MOTION", f"Frames: {len(frames)}"]
    lines.append(f"Frame Time: {1 / fps:.8f}")
    walked = _walked(children, root)
    values = np.concatenate([at[:, root], local[:, walked].reshape(len(frames), -1)], axis=1)
    lines += [" ".join(f"{x:.6f}" for x in row) for row in values]
    return "\n".join(lines) + "\n"


def _children(skeleton: Skeleton) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in skeleton.joints]
    for child, parent in skeleton.bones:
        found[parent].append(child)
    return found


def _walked(children: Sequence[Sequence[int]], joint: int) -> list[int]:
    """Joints in the order in which a hierarchy is written."""
    return [joint, *(v for child in children[joint] for v in _walked(children, child))]


def _order(skeleton: Skeleton) -> list[int]:
    """Joints from the root on.

    Raises:
        ConfigError: the layout is no single tree.
    """
    roots = [v for v, p in enumerate(skeleton.parents) if p in (-1, v)]
    if len(roots) != 1 or len(skeleton) < 2:
        raise ConfigError(
            f"layout {skeleton.name} has {counted(len(roots), 'root')}, BVH needs one tree of bones; convert it with "
            f"`motet data convert --layout`, or export trc or csv"
        )
    return _walked(_children(skeleton), roots[0])


def _turn(above: Float, rest: Float, bones: Float) -> Float:
    """(T, 3, 3) rotation that brings (n, 3) bones at rest closest to (T, n, 3) ones; else as (T, 3, 3) ``above``."""
    if not len(rest):
        return above
    size = max(float((rest**2).sum()), 1e-12)
    turned = np.einsum("tij,nj->tni", above, rest)
    spread = np.einsum("tni,tnj->tij", bones, turned) / size + _LEVEL * np.eye(3)
    u, _, v = np.linalg.svd(spread)
    mirror = np.ones((len(bones), 3))
    mirror[:, 2] = np.linalg.det(u @ v)
    found: Float = (u * mirror[:, None]) @ v @ above
    return found


def _angles(turns: Float) -> Float:
    from scipy.spatial.transform import Rotation

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # gimbal lock: any of the equal solutions will do
        made: Float = Rotation.from_matrix(turns).as_euler("ZXY", degrees=True)
    return made


def _hierarchy(skeleton: Skeleton, children: Sequence[Sequence[int]], rest: Float, joint: int, depth: int) -> list[str]:
    pad, root = "  " * depth, depth == 0
    offset = np.zeros(3) if root else rest[joint]
    turns = "Zrotation Xrotation Yrotation"
    moves = f"6 Xposition Yposition Zposition {turns}" if root else f"3 {turns}"
    name = "".join(c if c.isalnum() or c in "_-." else "_" for c in skeleton.joints[joint])
    lines = [f"{pad}{'ROOT' if root else 'JOINT'} {name}", f"{pad}{{", f"{pad}  OFFSET {_numbers(offset)}"]
    lines.append(f"{pad}  CHANNELS {moves}")
    for child in children[joint]:
        lines += _hierarchy(skeleton, children, rest, child, depth + 1)
    if not children[joint]:
        lines += [f"{pad}  End Site", f"{pad}  {{", f"{pad}    OFFSET {_numbers(np.zeros(3))}", f"{pad}  }}"]
    return [*lines, f"{pad}}}"]


def _numbers(values: npt.NDArray[Any]) -> str:
    return " ".join(f"{x:.6f}" for x in values)
