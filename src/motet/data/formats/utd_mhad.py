"""UTD-MHAD (Chen, Jafari and Kehtarnavaz, ICIP 2015): Kinect v1 skeletons and one inertial sensor, MATLAB files.

``aA_sS_tT_skeleton.mat`` (action, subject, trial) holds ``d_skel`` (20, 3, T) in metres at 30 Hz,
``aA_sS_tT_inertial.mat`` next to it or anywhere below the source ``d_iner`` (T', 6) at 50 Hz: acceleration in g and
angular rate in degrees per second. The sensor sat on the right wrist for actions 1 to 21 and on the right thigh for
the others (column ``place``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from motet.core.errors import DataError
from motet.data import layouts
from motet.data.formats._files import bare, find_files, next_to, walk
from motet.data.formats._mat import read_mat
from motet.data.formats.base import Format, Plan, RawClip, SensorPlan, Unit, units_of

# in the order of the action numbers, from 1
CLASS_NAMES = (
    "swipe left",
    "swipe right",
    "wave",
    "clap",
    "throw",
    "arm cross",
    "basketball shoot",
    "draw x",
    "draw circle clockwise",
    "draw circle counter clockwise",
    "draw triangle",
    "bowling",
    "boxing",
    "baseball swing",
    "tennis swing",
    "arm curl",
    "tennis serve",
    "push",
    "knock",
    "catch",
    "pickup and throw",
    "jog",
    "walk",
    "sit to stand",
    "stand to sit",
    "lunge",
    "squat",
)
LAST_WRIST_ACTION = 21
JOINTS = 20
_NAME = re.compile(r"(?i)a(\d{1,2})_s(\d)_t(\d)_skeleton\.mat")


@dataclass(frozen=True)
class Options:
    """The ``utd-mhad`` format has no options."""


def discover(source: Path, options: Options) -> Plan:
    files = find_files(source, _NAME.pattern, what="UTD-MHAD skeletons (aA_sS_tT_skeleton.mat)")
    folder = source if source.is_dir() else source.parent
    inertial = {bare(p).name.lower(): p for p in walk(folder)}
    units = []
    for unit in units_of(files, source):
        name = bare(unit.path).name.lower().replace("_skeleton.mat", "_inertial.mat")
        units.append(Unit(unit.name, unit.path, next_to(unit.path.parent, name) or inertial.get(name)))
    return Plan(
        units=units,
        skeleton=layouts.get("utd-mhad-20"),
        fps=30.0,
        class_names=CLASS_NAMES,
        licence="public domain according to its paper",
        facts={"split": "odd-even", "without_inertial": sum(u.detail is None for u in units)},
        sensors={"inertial": SensorPlan(layouts.get("imu-2"), 50.0, "g, deg/s")},
    )


def read(unit: Unit, options: Options) -> list[RawClip]:
    path = unit.path
    found = _NAME.fullmatch(bare(path).name)
    if found is None or not 1 <= int(found[1]) <= len(CLASS_NAMES):
        raise DataError(f"{path}: the name is not aA_sS_tT_skeleton.mat with an action of 1..{len(CLASS_NAMES)}")
    action, subject, trial = (int(g) for g in found.groups())
    skeleton = read_mat(path, "d_skel")
    if skeleton.ndim == 2:  # MATLAB drops the last axis of a single frame
        skeleton = skeleton[:, :, None]
    if skeleton.ndim != 3 or skeleton.shape[:2] != (JOINTS, 3) or not skeleton.shape[2]:
        raise DataError(f"{path}: d_skel of shape {skeleton.shape} instead of ({JOINTS}, 3, frames)")
    sensors = {}
    if unit.detail is not None:
        inertial = read_mat(unit.detail, "d_iner")
        if inertial.ndim != 2 or inertial.shape[1] != 6:
            raise DataError(f"{unit.detail}: d_iner of shape {inertial.shape} instead of (samples, 6)")
        sensors["inertial"] = inertial.reshape(-1, 2, 3)
    columns = {
        "label": action - 1,
        "subject": subject,
        "repetition": trial,
        "place": "right wrist" if action <= LAST_WRIST_ACTION else "right thigh",
    }
    frames = skeleton.transpose(2, 0, 1)
    return [RawClip(bare(path).stem[: -len("_skeleton")], frames, columns=columns, sensors=sensors)]


FORMAT = Format(
    description="UTD-MHAD: skeletons and inertial sensor (.mat)", options=Options, discover=discover, read=read
)
