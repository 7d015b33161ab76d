"""Faults of clips, labels and layouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from motet.core.text import counted
from motet.core.units import METRES
from motet.data.archive import MotionArchive
from motet.data.convert import estimate_handedness, estimate_up
from motet.data.inspection.units import SIZES, fitting_unit, import_unit, is_human

LISTED = 20  # clips listed by name for each fault
PROBED_FRAMES = 2000  # frames from which size and axes are evaluated
IMBALANCE = 10.0  # most frequent class against the rarest


def fault(name: str, level: str, message: str, clips: list[str] | None = None) -> dict[str, Any]:
    listed = [{"clip": clip} for clip in (clips or [])[:LISTED]]
    return {"name": name, "level": level, "message": message, "clips": len(clips or []), "examples": listed}


def clip_faults(archive: MotionArchive) -> list[dict[str, Any]]:
    faults = []
    table = archive.clips
    single = table.filter(pl.col("length") == 1)["name"].to_list()
    if single:
        message = "clips of one frame have no motion; `motet data select --where 'length > 1'` leaves them out"
        faults.append(fault("single frames", "warning", message, single))
    copies = table.filter(pl.col("sha256").is_duplicated())
    if len(copies):
        groups = copies.group_by("sha256", maintain_order=True).agg(pl.col("name"))["name"].to_list()
        message = (
            "clips hold the same data as another; if one trains and one tests, results are too good: leave them out by "
            "`motet data select --drop`"
        )
        faults.append(fault("duplicate clips", "warning", message, [" = ".join(g) for g in groups]))
        faults[-1]["clips"] = len(copies)
    return faults


def label_faults(archive: MotionArchive) -> list[dict[str, Any]]:
    unlabelled = archive.clips.filter(pl.col("label").is_null())["name"].to_list()
    if len(unlabelled) == len(archive) and len(archive.tracks):
        return []
    if len(unlabelled) == len(archive):
        return [
            fault("no labels", "note", "no clip has a label: pretraining and clustering need none, evaluation does")
        ]
    faults = []
    if unlabelled:
        faults.append(fault("unlabelled clips", "warning", "clips without a label are not evaluated", unlabelled))
    counts = np.bincount(archive.labels[archive.labels >= 0], minlength=len(archive.class_names))
    absent = [n for n, c in zip(archive.class_names, counts, strict=False) if c == 0]
    if absent:
        faults.append(fault("empty classes", "note", f"classes without a clip: {', '.join(absent[:LISTED])}"))
    present = counts[counts > 0]
    if present.max() > IMBALANCE * present.min():
        most, least = (archive.class_names[int(np.flatnonzero(counts == c)[0])] for c in (present.max(), present.min()))
        faults.append(
            fault(
                "label imbalance",
                "warning",
                f"{most} has {counted(present.max(), 'clip')}, {least} {present.min()}: read accuracy per class",
            )
        )
    return faults


def layout_faults(archive: MotionArchive) -> list[dict[str, Any]]:
    """Units and axes that the recordings contradict."""
    skeleton = archive.skeleton
    if skeleton.kind == "sensor":
        return []
    sample = archive.frames[:: max(1, len(archive.frames) // PROBED_FRAMES)].astype(np.float64)
    bodies = sample.reshape(-1, *sample.shape[2:])
    bodies = bodies[np.isfinite(bodies).all(axis=(1, 2)) & bodies.any(axis=(1, 2))]
    if not len(bodies):
        return []
    faults = _size_faults(archive, bodies)
    up = estimate_up(bodies, skeleton)
    lying = len(archive.channels) == 2 and up is not None and skeleton.up is not None and up[1] != skeleton.up[1]
    if up is not None and skeleton.up is not None and up != skeleton.up and not lying:  # a picture is never turned
        message = f"bodies stand along {up}, the archive declares {skeleton.up}: import again with the right axis"
        faults.append(fault("up axis", "warning", message))
    handed = estimate_handedness(bodies, skeleton)
    if handed is not None and handed != skeleton.right_handed:
        words = ("left", "right")
        message = (
            f"feet point backwards in the {words[skeleton.right_handed]}-handed frame that the archive declares; it "
            f"seems {words[handed]}-handed, or left and right joints are swapped: mixing it with other sets would fail"
        )
        faults.append(fault("handedness", "warning", message))
    return faults


def _size_faults(archive: MotionArchive, bodies: npt.NDArray[np.float64]) -> list[dict[str, Any]]:
    if archive.units not in METRES or not is_human(archive.skeleton):
        return []
    there = (bodies != 0).any(axis=2, keepdims=True)
    high = np.where(there, bodies, -np.inf).max(axis=1)
    low = np.where(there, bodies, np.inf).min(axis=1)
    size = float(np.median((high - low).max(axis=1)))
    least, most = SIZES[archive.skeleton.kind]
    if not size > 0 or least <= size * METRES[archive.units] <= most:
        return []
    fitting = fitting_unit(archive, size)
    guess = f"it is more likely {fitting}" if fitting else "no usual unit fits"
    remedy = "import with that unit"
    if len(archive.channels) < 3:  # metres are rare in two dimensions
        guess, remedy = "two coordinates are more likely those of an image", "import with --unit px"
    elif not fitting:
        remedy = f"import with the factor that gives metres (now the recordings are taken for {import_unit(archive)})"
    message = f"a {archive.skeleton.kind} of {size:.4g} {archive.units} is not plausible; {guess}: {remedy}"
    return [fault("units", "error", message)]


def notes(archive: MotionArchive) -> list[dict[str, Any]]:
    found = []
    if archive.fps is None:
        found.append(fault("frame rate", "note", "unknown: durations in seconds cannot be known"))
    if archive.licence == "unknown":
        found.append(fault("licence", "note", "unknown: ask before you share anything made of it"))
    skipped = archive.source.get("skipped")
    if isinstance(skipped, list) and skipped:
        files = [str(s.get("file", s)) if isinstance(s, Mapping) else str(s) for s in skipped]
        found.append(fault("skipped files", "note", "files that the import left out as unusable", files))
    return found
