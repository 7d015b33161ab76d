"""UI-PRMD, ten rehabilitation movements (Vakanski et al., Data 2018), as measured by Kinect or by Vicon.

``mMM_sSS_eEE_positions[_inc].txt[.gz]`` (movement, subject, repetition; ``_inc`` = performed incorrectly), one line
a frame, comma separated. *Vicon*: 39 markers in millimetres, z up, 100 Hz. *Kinect*: 22 joints in centimetres, each
relative to its parent's frame, 30 Hz; the file of the same name in the folder ``Angles`` holds each joint's rotation
as Euler angles in degrees. Forward kinematics makes positions of them:

    x_j = x_parent + G_parent p_j,      G_j = G_parent R_j,      R = Rz Ry Rx

with one exception that the files do not state: both arms start from the chest's *own* rotation, G = R_chest, not
from the chain of rotations that leads to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from motet.core.errors import DataError
from motet.core.text import counted
from motet.data import layouts
from motet.data.formats._files import bare, find_files, next_to, read_table
from motet.data.formats.base import Column, Format, Plan, RawClip, Unit, units_of
from motet.data.skeletons import Skeleton

CLASS_NAMES = (
    "deep squat",
    "hurdle step",
    "inline lunge",
    "side lunge",
    "sit to stand",
    "standing active straight leg raise",
    "standing shoulder abduction",
    "standing shoulder extension",
    "standing shoulder internal-external rotation",
    "standing shoulder scaption",
)
_NAME = re.compile(r"(?i)(m(\d{2})_s(\d{2})_e(\d{2}))_positions(_inc)?\.txt")
_LAYOUT = {"kinect": "ui-prmd-22", "vicon": "ui-prmd-39"}
_FPS = {"kinect": 30.0, "vicon": 100.0}

Array = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Options:
    """Options of the ``ui-prmd`` format.

    Attributes:
        sensor: ``kinect`` (22 joints, 30 Hz) or ``vicon`` (39 markers, 100 Hz).
    """

    sensor: Literal["kinect", "vicon"] = "kinect"


def discover(source: Path, options: Options) -> Plan:
    files = find_files(source, _NAME.pattern, what="UI-PRMD files (mMM_sSS_eEE_positions.txt)")
    files = [f for f in files if _sensor(f) in (options.sensor, None)]
    if not files:
        raise DataError(f"{source} holds no UI-PRMD files of the sensor {options.sensor}")
    return Plan(
        units=units_of(files, source),
        skeleton=layouts.get(_LAYOUT[options.sensor]),
        fps=_FPS[options.sensor],
        class_names=CLASS_NAMES,
        licence="PDDL 1.0 (public domain)",
        facts={"split": "odd-even"},
    )


def _sensor(path: Path) -> str | None:
    """Which sensor the folders of a file name, the nearest first."""
    return next((p.lower() for p in reversed(path.parts[:-1]) if p.lower() in _LAYOUT), None)


def read(unit: Unit, options: Options) -> list[RawClip]:
    path = unit.path
    found = _NAME.fullmatch(bare(path).name)
    if found is None or not 1 <= int(found[2]) <= len(CLASS_NAMES):
        raise DataError(f"{path}: the name is not mMM_sSS_eEE_positions.txt with a movement of 1..{len(CLASS_NAMES)}")
    name, movement, subject, repetition = found[1], *(int(found[i]) for i in (2, 3, 4))
    skeleton = layouts.get(_LAYOUT[options.sensor])
    positions = _triples(path, len(skeleton))
    frames: Array
    if options.sensor == "vicon":
        frames = positions / 1000
    else:
        angles = _triples(_angles_path(path), len(skeleton))
        if len(angles) != len(positions):
            raise DataError(f"{path}: {counted(len(positions), 'frame')} of positions but {len(angles)} of angles")
        frames = forward_kinematics(positions / 100, np.radians(angles), skeleton)
    quality = "incorrect" if found[5] else "correct"
    columns: dict[str, Column] = {"label": movement - 1, "subject": subject, "repetition": repetition}
    columns["quality"] = quality
    return [RawClip(name + (found[5] or ""), frames, columns=columns)]


def _triples(path: Path, joints: int) -> Array:
    return read_table(path, 3 * joints, separator=",").reshape(-1, joints, 3)


def _angles_path(path: Path) -> Path:
    name = re.sub("(?i)_positions", "_angles", bare(path).name)
    places = (path.parent.parent / "Angles", path.parent)
    found = next((f for p in places if (f := next_to(p, name))), None)
    if found is not None:
        return found
    raise DataError(f"{path}: its joint angles ({places[0] / name}) are missing, so its positions cannot be worked out")


def forward_kinematics(offsets: Array, angles: Array, skeleton: Skeleton) -> Array:
    """(T, V, 3) positions from parent-relative (T, V, 3) offsets and Euler angles in radians; see the module."""
    local = _rotations(angles)
    chest, arms = skeleton.index("Chest"), {skeleton.index("LCollar"), skeleton.index("RCollar")}
    turned = np.empty_like(local)
    out = np.empty_like(offsets)
    for joint, parent in enumerate(skeleton.parents):  # parents come before their children in this layout
        if parent < 0:
            turned[:, joint], out[:, joint] = local[:, joint], offsets[:, joint]
            continue
        above = local[:, chest] if joint in arms else turned[:, parent]
        turned[:, joint] = above @ local[:, joint]
        out[:, joint] = out[:, parent] + np.einsum("tij,tj->ti", above, offsets[:, joint])
    return out


def _rotations(angles: Array) -> Array:
    """(…, 3, 3) matrices Rz Ry Rx of (…, 3) angles about x, y, z in radians."""
    (cx, cy, cz), (sx, sy, sz) = (np.moveaxis(f(angles), -1, 0) for f in (np.cos, np.sin))
    rows = (
        (cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx),
        (sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx),
        (-sy, cy * sx, cy * cx),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


FORMAT = Format(description="UI-PRMD text files (Kinect or Vicon)", options=Options, discover=discover, read=read)
