"""What is in an archive, and what is wrong with it (``motet data inspect``).

:func:`inspect` reads every frame once, in chunks, and returns plain data that goes into JSON as it is;
:func:`render` shows the same on a terminal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from motet.data.archive import MotionArchive
from motet.data.inspection.faults import (
    IMBALANCE,
    LISTED,
    Fault,
    clip_faults,
    guess_faults,
    label_faults,
    layout_faults,
    notes,
)
from motet.data.inspection.frames import BONE_CHANGE, CUT_OUT, FRAME_FAULTS, frame_fault, never_seen, scan
from motet.data.inspection.mixed import mixed_faults
from motet.data.inspection.render import Report, render
from motet.data.inspection.sizes import MIXED
from motet.data.inspection.turns import MIXED as MIXED_TURNS
from motet.data.inspection.units import SIZES, TYPICAL, fitting_unit, import_unit, is_human
from motet.data.skeletons import Skeleton
from motet.data.worn import SIDE

__all__ = [
    "CUT_OUT",
    "IMBALANCE",
    "LISTED",
    "OF_ARCHIVE",
    "OF_CLIPS",
    "SIZES",
    "TYPICAL",
    "fitting_unit",
    "found",
    "import_unit",
    "inspect",
    "is_human",
    "layout_faults",
    "render",
]

OF_CLIPS = (*FRAME_FAULTS, "single frames", "duplicate clips", "unlabelled clips", "mixed units", MIXED, MIXED_TURNS)
"""faults that single clips have"""
OF_ARCHIVE = (
    *("never seen", "no labels", "empty classes", "label imbalance", "units", "up axis", "handedness"),
    *("frame rate", "licence", "skipped files", "sides", "guessed joints"),
)
"""faults of the archive as a whole"""


def inspect(archive: MotionArchive, *, verify: bool = True, bone_change: float = BONE_CHANGE) -> Report:
    """Contents, balance, durations and faults of an archive.

    Args:
        archive: what to look at.
        verify: compare every clip with its digest first.
        bone_change: a bone whose length departs from its median in the clip by more than this share has jumped.

    Returns:
        JSON-able data: ``path, hash, bytes, clips, frames, persons, skeleton, channels, units, fps, licence,
        simulated, source, confidence, sensors, tracks, verified, duration, balance, faults``. A fault has a name, a
        level (``error``, ``warning`` or ``note``), a message, a remedy, the number of clips and frames
        concerned, and the worst clips by name with their first frame.

    Raises:
        DataError: a clip's data are not what was written; names the clip.
    """
    if verify:
        archive.verify()
    faults = found(archive, bone_change)
    order = {"error": 0, "warning": 1, "note": 2}
    return {
        "path": str(archive.path),
        "hash": archive.hash,
        "bytes": sum(f.stat().st_size for f in archive.path.rglob("*") if f.is_file()),
        "clips": len(archive),
        "frames": len(archive.frames),
        "persons": archive.persons,
        "skeleton": _skeleton(archive.skeleton),
        "channels": list(archive.channels),
        "units": archive.units,
        "fps": archive.fps,
        "licence": archive.licence,
        "simulated": archive.simulated,
        "source": archive.source,
        "confidence": archive.confidence is not None,
        "sensors": {name: {"clips": len(s), "fps": s.fps} for name, s in archive.sensors.items()},
        "tracks": {name: _track(table) for name, table in archive.tracks.items()},
        "verified": verify,
        "duration": _durations(archive),
        "balance": _balance(archive),
        "faults": [fault.report() for fault in sorted(faults, key=lambda f: order[f.level])],
    }


def found(archive: MotionArchive, bone_change: float = BONE_CHANGE) -> list[Fault]:
    """Faults with the clips that have them."""
    tallies = scan(archive, bone_change)
    faults = [frame_fault(archive, name, tally) for name, tally in tallies.items() if tally.rows]
    faults += never_seen(archive)
    faults += clip_faults(archive) + label_faults(archive) + layout_faults(archive) + guess_faults(archive)
    return faults + mixed_faults(archive) + notes(archive)


def _skeleton(skeleton: Skeleton) -> dict[str, Any]:
    return {
        "name": skeleton.name,
        "kind": skeleton.kind,
        "joints": len(skeleton),
        "up": skeleton.up,
        "right_handed": skeleton.right_handed,
    }


def _track(table: pl.DataFrame) -> dict[str, Any]:
    labels = table["label"].unique(maintain_order=True).to_list()
    raters = table["rater"].drop_nulls().unique(maintain_order=True).to_list()
    return {"recordings": table["recording"].n_unique(), "intervals": len(table), "labels": labels, "raters": raters}


def _durations(archive: MotionArchive) -> dict[str, Any]:
    lengths = archive.lengths

    def spread(values: npt.NDArray[Any]) -> dict[str, float]:
        low, median, high = np.percentile(values, [5, 50, 95]).tolist()
        extremes = {"min": float(values.min()), "p5": low, "median": median, "mean": float(values.mean())}
        return {**extremes, "p95": high, "max": float(values.max())}

    seconds = None if not archive.fps else spread(lengths / archive.fps)
    total = None if not archive.fps else float(lengths.sum() / archive.fps)
    return {"frames": spread(lengths), "seconds": seconds, "total_seconds": total}


def _balance(archive: MotionArchive) -> dict[str, dict[str, int]]:
    """Clips per class, person, camera, setup, number of bodies and side, where they are known."""
    balance: dict[str, dict[str, int]] = {}
    named: dict[str, Callable[[int], str]] = {"label": lambda i: archive.class_names[i]}
    for column in ("label", "subject", "camera", "setup", "persons", *{SIDE} & {*archive.clips.columns}):
        values = archive.clips[column].drop_nulls()
        if len(values):
            keys, counts = np.unique(values.to_numpy(), return_counts=True)
            name = named.get(column, str)
            balance[column] = {name(k): int(c) for k, c in zip(keys.tolist(), counts.tolist(), strict=True)}
    return balance
