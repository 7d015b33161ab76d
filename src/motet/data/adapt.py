"""Recordings in the layout that a model reads: joints by their canonical names, unit, number of persons."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, MotetNote
from motet.core.text import counted, first_of, pasted
from motet.core.units import METRES
from motet.data import inertial, layouts
from motet.data.archive import MotionArchive
from motet.data.convert import axes_matrix, convert
from motet.data.inertial import Inertial
from motet.data.skeletons import SCORE, Skeleton, coordinates

Float = npt.NDArray[np.floating[Any]]
ANYTHING = "; rocket in its place reads recordings of any kind"
"""how the refusal of recordings by weights ends"""
READERS = {
    ("body", 3): "body reads bodies in 3D",
    ("hand", 3): "hand reads hands in 3D",
    ("body", 2): "picture reads bodies in pictures",
    ("hand", 2): "hand-picture reads hands in pictures",
    ("sensor", 3): "wrist reads sensors",
}
"""which weights of the package read recordings of a kind and so many coordinates"""


class Layout(Protocol):
    """What clips have to look like."""

    @property
    def skeleton(self) -> Skeleton: ...

    @property
    def persons(self) -> int: ...

    @property
    def channels(self) -> int: ...


def check_adaptable(archive: MotionArchive, layout: Layout) -> None:
    """Refuse recordings whose joints do not give those of a layout.

    Raises:
        ConfigError: says what is lacking.
    """
    theirs, ours = archive.skeleton, layout.skeleton
    if len(archive.channels) != layout.channels or (theirs.kind == "sensor") != (ours.kind == "sensor"):
        raise _refused(archive, layout)
    if same_layout(theirs, ours):
        return
    if _scored(archive) and (axes_matrix(theirs, ours) != np.eye(3)).any():  # a score is no axis that could be turned
        raise _refused(archive, layout)
    zeros = np.zeros((1, 1, len(theirs), layout.channels), np.float32)
    try:
        into(ours, theirs, readings(archive, ours), archive.fps)(zeros)
    except ConfigError as error:
        if theirs.kind == ours.kind:
            raise
        raise _refused(archive, layout) from error


def left_out(archive: MotionArchive, layout: Layout) -> str:
    """What is said where clips hold more people, hands or sensors than a layout; empty where they do not."""
    if layout.skeleton.name == inertial.LAYOUT and inertial.is_read(archive.skeleton):
        return sensors_left_out(archive)
    most = int(archive.clips["persons"].max() or 0)  # type: ignore[arg-type]
    if most <= layout.persons:
        return ""
    hands = archive.skeleton.kind == "hand"
    read = "first is" if layout.persons == 1 else f"first {layout.persons} are"
    other = pasted(archive.path, "PART", "--persons", str(layout.persons + 1))
    return (
        f"{archive.path} holds clips of {most} {'hands' if hands else 'people'}, of which the {read} read; "
        f"`motet data select {other}` takes another{', `--side` of an import the left or the right one' * hands}"
    )


def sensors_left_out(archive: MotionArchive) -> str:
    """What is said where clips hold readings of several places, and the layout ``inertial`` those of one."""
    read = [archive.skeleton.joints[i] for i in inertial.nodes_of(archive.skeleton) if i is not None]
    other = [name for name in archive.skeleton.joints if inertial.kind_of(name) in ("acc", "gyr") and name not in read]
    if not other:
        return ""
    without = pasted(archive.path, "PART", "--without", *read)
    return (
        f"{archive.path} holds several sensors, of which {' and '.join(read)} {'are' if len(read) > 1 else 'is'} read; "
        f"statistics, rocket and new encoders (--start none) read all, `motet data select {without}` takes another"
    )


def note_left_out(archive: MotionArchive, layout: Layout) -> None:
    """Say it (:func:`left_out`) where recordings are brought to a layout."""
    said = left_out(archive, layout)
    if said:
        warnings.warn(said, MotetNote, stacklevel=3)


def sensors_of(archive: MotionArchive) -> str:
    """How the sensors next to an archive's skeletons are named, for the end of a message."""
    return "".join(f"; for its sensor name {pasted(s.path)}" for s in archive.sensors.values())


def _scored(archive: MotionArchive) -> bool:
    """Whether the last channel is no coordinate."""
    return coordinates(archive.channels) != len(archive.channels)


def _refused(archive: MotionArchive, layout: Layout) -> ConfigError:
    """What is said of recordings of another kind than a layout, with the weights that read them."""
    theirs, ours = archive.skeleton, layout.skeleton
    reader = READERS.get((theirs.kind, coordinates(archive.channels)), "")
    other = f"; {reader}" if reader and reader != READERS.get((ours.kind, layout.channels)) else ""
    if theirs.kind == ours.kind and (coordinates(archive.channels), layout.channels) == (3, 2):
        flat = pasted(archive.path, "PART", "--without", archive.channels[2])
        other += f"; `motet data select {flat}` leaves the depth out"
    if _scored(archive):
        other += f"; `motet data select {pasted(archive.path, 'PART', '--without', SCORE)}` leaves the score out"
    if ours.kind == "sensor":
        other = sensors_of(archive) + other
    return ConfigError(
        f"{archive.path} holds {theirs.name} with {counted(len(archive.channels), 'coordinate')} "
        f"({', '.join(archive.channels)}), the model reads {ours.name} with {layout.channels}{other}{ANYTHING}"
    )


def differ(archive: MotionArchive, layout: Layout) -> str:
    """What is said of clips of another layout than those of a training, with the remedy where there is one."""
    ours, theirs = layout.skeleton, archive.skeleton
    own = _held(ours, layout.persons, layout.channels)
    other = _held(theirs, archive.persons, len(archive.channels))
    said = f"{archive.path} has clips of {other}, the model was trained on {own}{joints_apart(theirs, ours)}"
    if inertial.is_read(ours) and inertial.is_read(theirs):
        form = f"`motet data convert ARCHIVE DESTINATION --layout {inertial.LAYOUT}`"
        return f"{said}; train on recordings brought to one form ({form}) and bring these to it, or start from wrist"
    return said + sensors_of(archive) * (ours.kind == "sensor")


def _held(skeleton: Skeleton, persons: int, channels: int) -> str:
    nodes = ", ".join(skeleton.joints) if skeleton.kind == "sensor" else counted(len(skeleton), "joint")
    return f"{skeleton.name} ({nodes}; {counted(persons, 'person')}, {counted(channels, 'channel')})"


def into(
    target: Skeleton, source: Skeleton, units: str, fps: float | None, longest: float = math.inf
) -> Callable[[Float], Float]:
    """What brings (T, P, V, C) clips of one layout to another: joints by their names, readings of sensors by their
    kind, unit and rate (:mod:`motet.data.inertial`).

    Args:
        target: layout wanted.
        source: layout of the clips.
        units: of the clips, as :func:`readings` gives them.
        fps: of the clips.
        longest: seconds without a sample of a sensor that are bridged.
    """
    if same_layout(source, target):
        return np.asarray
    if target.name == inertial.LAYOUT:
        return Inertial.of(source, units, fps, longest)
    return lambda frames: convert(frames, source, target)


def readings(archive: MotionArchive, target: Skeleton) -> str:
    """The unit of an archive, of readings that are to be brought to the layout ``inertial`` each of the two."""
    return inertial.units_of(archive) if target.name == inertial.LAYOUT else archive.units


def written_as(archive: MotionArchive, target: Skeleton) -> dict[str, Any]:
    """Layout, rate and unit of clips that :func:`into` made, as an archive says them."""
    if target.name == inertial.LAYOUT:
        return {"skeleton": target, "fps": inertial.RATE, "units": inertial.UNITS}
    return {"skeleton": target, "fps": archive.fps, "units": archive.units}


def joints_apart(ours: Skeleton, theirs: Skeleton) -> str:
    """What tells the joints of two layouts of one name apart, to be put in brackets; empty of other names."""
    if ours.name != theirs.name or ours.joints == theirs.joints:
        return ""
    lacks, more = ([j for j in a.joints if j not in b.joints] for a, b in ((ours, theirs), (theirs, ours)))
    words = [f"{verb} {first_of(names, 'joint')}" for verb, names in (("lacks", lacks), ("has", more)) if names]
    if not words:
        return " (the joints are in another order: import both at once, or with one --skeleton)"
    return f" (the second {' and '.join(words)}: import both with a --skeleton of joints that both have)"


def same_layout(a: Skeleton, b: Skeleton) -> bool:
    """Whether two layouts have the same joints and axes."""
    return (a.joints, a.up, a.right_handed) == (b.joints, b.up, b.right_handed)


def factor(theirs: str, ours: str | None) -> float:
    """Factor from one unit of length to another; 1 where one is no unit of length."""
    if ours not in METRES or theirs not in METRES:
        return 1.0
    return METRES[theirs] / METRES[ours]


def unit_factors(skeleton: Skeleton, units: str, wanted: str) -> npt.NDArray[np.float64] | None:
    """(V,) factors from one unit to another, lengths or those of sensors; None where there are none."""
    if skeleton.kind == "sensor":
        return inertial.factors(skeleton, units, wanted)
    both = units in METRES and wanted in METRES
    return np.full(len(skeleton), factor(units, wanted)) if both else None


def unit_remedy(skeleton: Skeleton, units: str, wanted: str, *paths: Path) -> str:
    """What to do about recordings that are in another unit than is wanted; ``paths`` are those of the command."""
    if unit_factors(skeleton, units, wanted) is None:
        if skeleton.kind != "sensor" and (units in METRES) != (wanted in METRES):
            return "a picture has no metres, so use recordings in one of these units"
        return f"import them again in {wanted}"
    return f"convert them with `motet data convert {pasted(*paths, '--units', wanted)}`"


def difference(what: str, ours: Any, theirs: Any, skeleton: Skeleton) -> str:
    """What keeps two archives from being merged, and the remedy."""
    if what == "units":
        return f"{what} ({ours} and {theirs}); {unit_remedy(skeleton, theirs, ours)}"
    remedy, apart = {"fps": f"--fps {ours}"}.get(what), ""
    if what == "skeleton":
        if ours.kind != theirs.kind:
            return f"kind ({ours.name} is a {ours.kind}, {theirs.name} a {theirs.kind}); keep them apart"
        if (ours.joints, ours.parents) == (theirs.joints, theirs.parents) and ours.up and theirs.up:
            said, turned = (
                f"axes ({ours.up} up, {ours.handedness} and {theirs.up} up, {theirs.handedness})",
                ours.handedness,
            )
            return f"{said}; `motet data convert` with --up {ours.up} --hand {turned.partition('-')[0]}"
        apart = joints_apart(ours, theirs)
        least = min(ours, theirs, key=len)
        target = least.name if least.name in layouts.names() else "shared-15 (or another layout) for both"
        what, remedy = "layout", f"--layout {target}"
        ours, theirs = (f"{s.name} with {counted(len(s), 'joint')}" for s in (ours, theirs))
    if apart:
        return f"{what} ({ours} and {theirs}){apart}"
    again = f"`motet data convert` with {remedy}" if remedy else "import one again with the options of the other"
    return f"{what} ({ours} and {theirs}); {again}"
