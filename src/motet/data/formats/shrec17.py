"""SHREC'17 hand gestures (De Smedt et al., 3DOR 2017): 22 joints of one hand, RealSense, 30 frames/s.

``gesture_G/finger_F/subject_S/essai_E/skeletons_world.txt`` holds 66 numbers a line: 22 × ``x y z`` in metres;
``skeletons_image.txt`` next to it 44: the same joints in pixels of the depth picture. ``train_gestures.txt`` and
``test_gestures.txt`` at the top list gesture, finger, subject and trial of each side of the challenge's split.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from motet.core.errors import DataError
from motet.data import layouts
from motet.data.formats._files import find_files, next_to, read_table
from motet.data.formats.base import Format, Plan, RawClip, Unit, units_of

# in the order of the gesture numbers, from 1
GESTURES = (
    "Grab",
    "Tap",
    "Expand",
    "Pinch",
    "Rotation CW",
    "Rotation CCW",
    "Swipe Right",
    "Swipe Left",
    "Swipe Up",
    "Swipe Down",
    "Swipe X",
    "Swipe +",
    "Swipe V",
    "Shake",
)
JOINTS = 22
_PLACE = re.compile(r"gesture_(\d+)[/\\]finger_(\d+)[/\\]subject_(\d+)[/\\]essai_(\d+)$")
_LISTS = {"train": "train_gestures.txt", "test": "test_gestures.txt"}
Place = tuple[int, int, int, int]


@dataclass(frozen=True)
class Options:
    """Options of the ``shrec17`` format.

    Attributes:
        space: ``world`` (metres) or ``image`` (pixels, two coordinates).
        classes: 14 gestures, or 28: each with one finger and with the whole hand.
    """

    space: Literal["world", "image"] = "world"
    classes: Literal[14, 28] = 14


def _place(path: Path) -> Place:
    """Gesture, finger, subject and trial, from the folders."""
    found = _PLACE.search(str(path.parent.absolute()))
    if found is None or not 1 <= int(found[1]) <= len(GESTURES) or int(found[2]) not in (1, 2):
        raise DataError(
            f"{path}: it does not lie in gesture_1..{len(GESTURES)}/finger_1..2/subject_…/essai_…, which name the clip"
        )
    gesture, finger, subject, trial = (int(g) for g in found.groups())
    return gesture, finger, subject, trial


def _sides(source: Path) -> dict[Place, str]:
    """Side of the challenge's split of each clip, if the lists are there."""
    folder = source if source.is_dir() else source.parent
    sides: dict[Place, str] = {}
    for side, name in _LISTS.items():
        path = next((found for f in (folder, folder.parent) if (found := next_to(f, name))), None)
        if path is None:
            continue
        for row in read_table(path, 7).astype(int).tolist():
            place = (row[0], row[1], row[2], row[3])
            if sides.setdefault(place, side) != side:
                raise DataError(f"{path} lists gesture {place}, which {_LISTS['train']} lists too")
    return sides


def discover(source: Path, options: Options) -> Plan:
    other = "world" if options.space == "image" else "image"
    what = f"SHREC'17 files (skeletons_{options.space}.txt; --space {other} reads skeletons_{other}.txt)"
    files = find_files(source, rf"skeletons_{options.space}\.txt", what=what)
    sides = _sides(source)
    names: tuple[str, ...] = GESTURES
    if options.classes == 28:
        names = tuple(f"{gesture}, {how}" for gesture in GESTURES for how in ("one finger", "whole hand"))
    units = []
    for unit in units_of(files, source):
        try:
            side = sides.get(_place(unit.path))
        except DataError:
            side = None  # *read* will say so, and can be asked to continue
        units.append(Unit(unit.name, unit.path, side))
    complete = {"train", "test"} == {u.detail for u in units}
    hand = layouts.get("hand-22")
    picture = options.space == "image"
    return Plan(
        units=units,
        skeleton=replace(hand, up="-y", right_handed=True) if picture else hand,
        fps=30.0,
        measure="px" if picture else "m",
        channels=("x", "y") if picture else ("x", "y", "z"),
        class_names=names,
        licence="none stated by the authors",
        facts={"split": "column:split=train,test" if complete else "odd-even"},
    )


def read(unit: Unit, options: Options) -> list[RawClip]:
    gesture, finger, subject, trial = _place(unit.path)
    channels = 2 if options.space == "image" else 3
    frames = read_table(unit.path, channels * JOINTS).reshape(-1, JOINTS, channels)
    label = gesture - 1 if options.classes == 14 else 2 * (gesture - 1) + finger - 1
    columns = {"label": label, "subject": subject, "repetition": trial, "fingers": finger, "split": unit.detail}
    return [RawClip(f"g{gesture:02d}_f{finger}_s{subject:02d}_e{trial:02d}", frames, columns=columns)]


FORMAT = Format(description="SHREC'17 hand gestures", options=Options, discover=discover, read=read)
