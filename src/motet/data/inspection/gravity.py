"""Gravity in accelerations of worn sensors: what is steady over seconds is mostly that, and its size shows the unit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from motet.data.archive import MotionArchive
from motet.data.inertial import FORCE, kind_of
from motet.data.inspection.faults import Fault, fault, without
from motet.data.skeletons import Skeleton

SECONDS, STEADY = 2.0, 0.7  # mean acceleration against its mean size, from which gravity is in it
NEAR = 1.5  # factor from gravity within which it is measured in a unit
_SPANS, _CLIPS = 20, 100  # of a recording that are looked at, and recordings whose unit is
_MIXED = "mixed units"


def accelerometers(skeleton: Skeleton) -> list[int]:
    """Nodes that are called so."""
    return [i for i, name in enumerate(skeleton.joints) if kind_of(name) == "acc"]


def spans(readings: npt.NDArray[np.floating], fps: float | None) -> npt.NDArray[np.float64]:
    """(T, A, 3) accelerations → (n, 2) of every span of two seconds and node in which something was recorded: mean
    size, and the share of it that does not turn.
    """
    long = min(max(1, round(SECONDS * (fps or 30))), max(1, len(readings)))
    parts = readings[: len(readings) // long * long].reshape(-1, long, *readings.shape[1:]).astype(np.float64)
    sizes, means = np.linalg.norm(parts, axis=3).mean(axis=1), np.linalg.norm(parts.mean(axis=1), axis=2)
    return np.asarray(np.stack([sizes, means / np.maximum(sizes, 1e-12)], axis=-1)[sizes > 0])


def gravity_faults(archive: MotionArchive) -> list[Fault]:
    """Clips whose gravity is as much larger or smaller than that of the others as one unit than another."""
    nodes = accelerometers(archive.skeleton)
    if archive.skeleton.kind != "sensor" or len(archive.channels) != 3 or not nodes:
        return []
    sizes = np.array([_size(archive, row, nodes) for row in range(len(archive))])
    known = np.sort(sizes[np.isfinite(sizes)])
    if not len(known):
        return []
    middle = known[[(len(known) - 1) // 2, len(known) // 2]]  # of two halves that in the unit that is stated
    due = next((FORCE["g"] / FORCE[unit] for unit in archive.units.split(", ") if unit in FORCE), middle[0])
    usual = float(min(middle, key=lambda size: abs(np.log(size / due))))
    factors = {a / b for a in FORCE.values() for b in FORCE.values() if a != b}
    off = [row for row, s in enumerate(sizes) if any(1 / NEAR < s / usual / f < NEAR for f in factors)]
    if not off:
        return []
    there = float(np.median(sizes[off]))
    message = (
        f"gravity measures {there:.3g} in these clips{_in(there)} and {usual:.3g} in the others{_in(usual)}: they are "
        "of another unit, which models take for another movement"
    )
    remedy = (
        "import the files of each unit apart (--unit), bring them to one (convert --units) and join them (merge); or "
        f"leave these out: {without(archive, _MIXED)}"
    )
    names = archive.clips["name"][off].to_list()
    return [fault(_MIXED, "error", message, remedy, names, rows=tuple(off), extra=tuple(off))]


def unit_by_gravity(archive: MotionArchive) -> str | None:
    """The unit of accelerations of sensors in which gravity has its size; None where it is not there, or fits none."""
    nodes = accelerometers(archive.skeleton)
    if archive.skeleton.kind != "sensor" or len(archive.channels) != 3 or not nodes:
        return None
    rows = np.unique(np.linspace(0, len(archive) - 1, _CLIPS).astype(np.int64)).tolist()
    known = [size for size in (_size(archive, row, nodes) for row in rows) if np.isfinite(size)]
    return _unit(float(np.median(known))) if known else None


def _size(archive: MotionArchive, row: int, nodes: list[int]) -> float:
    """Of gravity in a clip; NaN where its accelerations are not steady."""
    start, length = int(archive.clips["offset"][row]), int(archive.lengths[row])
    long = min(length, round(SECONDS * (archive.fps or 30)))
    at = np.unique(np.linspace(0, length - long, min(_SPANS, max(1, length // max(1, long)))).astype(np.int64))
    read = [spans(archive.frames[start + a : start + a + long, 0, nodes], archive.fps) for a in at.tolist()]
    found = np.concatenate(read)
    steady = len(found) > 0 and np.median(found[:, 1]) >= STEADY
    return float(np.median(found[:, 0])) if steady else np.nan


def _in(size: float) -> str:
    unit = _unit(size)
    return f" (as in {unit})" if unit else ""


def _unit(size: float) -> str | None:
    units = (unit for unit, factor in FORCE.items() if 1 / NEAR < size * factor / FORCE["g"] < NEAR)
    return next(units, None)
