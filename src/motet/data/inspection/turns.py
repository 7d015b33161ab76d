"""Units of gyroscopes: how fast gravity turns in the accelerometer next to one shows what its readings are in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from motet.data.archive import MotionArchive
from motet.data.inertial import TURN, is_read, nodes_of
from motet.data.inspection.faults import Fault, fault, without
from motet.data.inspection.gravity import STEADY, spans

MIXED = "mixed gyroscopes"
# Readings against the turns of gravity: 0.6 to 4.4 in 96 of 100 clips of a set in rad/s (watch), 26 to 118 of one in
# deg/s (UTD-MHAD); between these nothing is said.
RADIANS, DEGREES = 5.0, 15.0
_SECONDS, _LONGEST = 0.2, 60.0  # over which readings are smoothed, and that are looked at of a clip
_LEAST = 0.3  # rad/s that gravity turns in a quarter of the time: at rest there is only noise


def turn_faults(archive: MotionArchive) -> list[Fault]:
    """Clips whose gyroscope is in degrees where that of the others is in radians, or the other way round."""
    inertial = archive.skeleton.kind == "sensor" and is_read(archive.skeleton)
    force, turn = nodes_of(archive.skeleton) if inertial else (None, None)
    if force is None or turn is None or len(archive.channels) != 3:
        return []
    seen = [_unit(archive, row, force, turn) for row in range(len(archive))]
    kinds = {unit: [row for row, other in enumerate(seen) if other == unit] for unit in TURN}
    if not all(kinds.values()):
        return []
    stated = next((unit for unit in archive.units.split(", ") if unit in TURN), None)
    usual = stated or max(kinds, key=lambda unit: len(kinds[unit]))
    other = next(unit for unit in TURN if unit != usual)
    message = (
        f"by how fast gravity turns, the gyroscope is in {other} in these clips and in {usual} in others: models take "
        "another unit for another movement"
    )
    remedy = (
        "import the files of each unit apart (--unit), bring them to one (convert --units) and join them (merge); or "
        f"leave these out: {without(archive, MIXED)}"
    )
    off = kinds[other]
    names = archive.clips["name"][off].to_list()
    return [fault(MIXED, "error", message, remedy, names, rows=tuple(off), extra=tuple(off))]


def _unit(archive: MotionArchive, row: int, force: int, turn: int) -> str | None:
    """What a clip's gyroscope is in; None where gravity does not show, or hardly turns."""
    fps = archive.fps or 30.0
    clip = archive.clip(row)[: round(_LONGEST * fps), 0].astype(np.float64)
    steady = spans(clip[:, [force]], fps)
    width = max(1, round(_SECONDS * fps))
    if not len(steady) or np.median(steady[:, 1]) < STEADY or len(clip) < 4 * width:
        return None
    gravity = _smooth(clip[:, force], width)
    gravity /= np.maximum(np.linalg.norm(gravity, axis=1, keepdims=True), 1e-12)
    angles = np.arccos(np.clip((gravity[width:] * gravity[:-width]).sum(axis=1), -1, 1))
    turned = float(np.percentile(angles, 75)) * fps / width
    read = float(np.percentile(np.linalg.norm(_smooth(clip[:, turn], width), axis=1), 75))
    if turned < _LEAST or not read:
        return None
    return "rad/s" if read < RADIANS * turned else "deg/s" if read > DEGREES * turned else None


def _smooth(readings: npt.NDArray[np.float64], width: int) -> npt.NDArray[np.float64]:
    """(T, 3) → (T - width + 1, 3) means of so many samples."""
    sums = np.cumsum(np.concatenate([np.zeros((1, 3)), readings]), axis=0)
    return np.asarray((sums[width:] - sums[:-width]) / width)
