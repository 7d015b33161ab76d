"""KARD, the Kinect Activity Recognition Dataset (Gaglio et al., IEEE THMS 2015): 15 NITE joints.

A file ``aAA_sSS_eEE_realworld.txt`` (activity, subject, repetition) holds 15 lines a frame, ``x y z`` in millimetres.
NITE's x axis points to the sensor's right, so the frame is left-handed; the layout ``nite-15`` says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from motet.core.errors import DataError
from motet.core.text import counted
from motet.data import layouts
from motet.data.formats._files import find_files, read_table
from motet.data.formats.base import Format, Plan, RawClip, Unit, units_of

LAYOUT = "nite-15"
CLASS_NAMES = (
    "horizontal arm wave",
    "high arm wave",
    "two hand wave",
    "catch cap",
    "high throw",
    "draw x",
    "draw tick",
    "toss paper",
    "forward kick",
    "side kick",
    "take umbrella",
    "bend",
    "hand clap",
    "walk",
    "phone call",
    "drink",
    "sit down",
    "stand up",
)
_NAME = re.compile(r"(?i)a(\d{2})_s(\d{2})_e(\d{2})")


@dataclass(frozen=True)
class Options:
    """The ``kard`` format has no options."""


def discover(source: Path, options: Options) -> Plan:
    files = find_files(source, r"a\d+_s\d+_e\d+_realworld\.txt", what="KARD files (aAA_sSS_eEE_realworld.txt)")
    return Plan(
        units=units_of(files, source),
        skeleton=layouts.get(LAYOUT),
        fps=30.0,
        class_names=CLASS_NAMES,
        licence="CC BY 4.0, to be confirmed with the authors",
        facts={"split": "odd-even"},
    )


def read(unit: Unit, options: Options) -> list[RawClip]:
    path = unit.path
    found = _NAME.match(path.name)
    if found is None or not 1 <= int(found[1]) <= len(CLASS_NAMES):
        raise DataError(f"{path}: the name is not aAA_sSS_eEE_realworld.txt with an activity of 1..{len(CLASS_NAMES)}")
    activity, subject, repetition = (int(g) for g in found.groups())
    joints = len(layouts.get(LAYOUT))
    lines = read_table(path, 3)
    if len(lines) % joints:
        raise DataError(
            f"{path}: {counted(len(lines), 'line')} are no whole number of frames of {counted(joints, 'joint')}; it "
            f"is cut off"
        )
    columns = {"label": activity - 1, "subject": subject, "repetition": repetition}
    return [RawClip(found.group(), lines.reshape(-1, joints, 3) / 1000, columns=columns)]


FORMAT = Format(description="KARD text files (15 NITE joints)", options=Options, discover=discover, read=read)
