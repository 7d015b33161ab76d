"""Sizes of animals in pictures, which differ where cameras hang at another height or have other pixels, and of bodies
in space, which differ where recordings are in another unit."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from motet.core.errors import MotetWarning
from motet.core.text import first_of, pasted
from motet.data.archive import MotionArchive
from motet.data.inspection.faults import Fault, fault, without
from motet.data.inspection.remedies import next_to
from motet.data.inspection.units import is_human
from motet.data.pieces import Piece

FACTOR = 1.5  # from the usual size: adults of one kind differ by less
IN_SPACE = 3.0  # the same of bodies in space, who bend, sit and lie
MIXED = "mixed sizes"
_LOOKED_AT, _FEWEST = 60, 300  # frames of a recording that are looked at, and that it has at least: who rears is short


def size_faults(archive: MotionArchive) -> list[Fault]:
    """Recordings whose animals are much smaller or larger in the picture than those of most, or bodies in space.

    People in a picture stand near and far, so they are left alone; so are pictures too short to tell a size from a
    posture.
    """
    long = _recordings(archive)
    sizes = {name: _size(archive, own) for name, own in long.items()}
    usual = _usual(sizes)
    off = _off(archive, sizes, usual)
    if not usual or not off:
        return []
    there, clips = float(np.median([sizes[name] for name in off])), sorted(row for name in off for row in long[name])
    who, why = _words(archive)
    message = (
        f"{who} measure {there:.3g} {archive.units} in these recordings and {usual:.3g} in the others, {why}: models "
        "take that for another movement"
    )
    remedy = (
        f"unless these are other {who}, take them apart (select --finding), bring them to the scale of the others "
        f"(convert --scale: about {usual / there:.2g}, better by a length that both show) and join both "
        f"(merge); or leave them out: {without(archive, MIXED)}"
    )
    names = archive.clips["name"][clips].to_list()
    return [fault(MIXED, "warning", message, remedy, names, rows=tuple(clips), extra=tuple(clips))]


def usual_size(archive: MotionArchive) -> float | None:
    """Of animals in a picture and bodies in space, in the archive's unit; None of people in a picture, of hands and
    sensors, or where pictures are short."""
    return _usual({name: _size(archive, rows) for name, rows in _recordings(archive).items()})


def warn_other_size(archive: MotionArchive, usual: float) -> None:
    """Warn of recordings whose bodies are much smaller or larger than ``usual``, that of those a model learnt from."""
    sizes = {name: _size(archive, rows) for name, rows in _recordings(archive).items()}
    off = _off(archive, sizes, usual)
    if off:
        there = float(np.median([sizes[name] for name in off]))
        paths, (who, why) = pasted(archive.path, next_to(archive.path)), _words(archive)
        warnings.warn(
            f"{who} in {archive.path} measure {there:.3g} {archive.units} ({first_of(off, 'recording')}), those that "
            f"the model learnt from {usual:.3g}, {why}, so answers are likely wrong: bring them to one scale with "
            f"`motet data convert {paths} --scale {usual / there:.2g}` (better by a length that both show)",
            MotetWarning,
            stacklevel=4,
        )


def _words(archive: MotionArchive) -> tuple[str, str]:
    """Who is measured, and why sizes may differ."""
    if _in_space(archive):
        return "bodies", "as in another unit"
    return "animals", "as below a camera of another height or resolution"


def _in_space(archive: MotionArchive) -> bool:
    return "z" in archive.channels


def _off(archive: MotionArchive, sizes: Mapping[str, float], usual: float | None) -> list[str]:
    """Recordings of another size than the usual one."""
    factor = IN_SPACE if _in_space(archive) else FACTOR
    return [n for n, size in sizes.items() if usual and size > 0 and not 1 / factor <= size / usual <= factor]


def _recordings(archive: MotionArchive) -> dict[str, list[int]]:
    """Rows of each recording of animals in a picture that is long enough, or of bodies in space."""
    space = _in_space(archive)
    if archive.skeleton.kind != "body" or (is_human(archive.skeleton) and not space):
        return {}
    rows: dict[str, list[int]] = {}
    for row in range(len(archive)):
        rows.setdefault(Piece(archive, row).recording, []).append(row)
    return {name: own for name, own in rows.items() if space or archive.lengths[own].sum() >= _FEWEST}


def _usual(sizes: Mapping[str, float]) -> float | None:
    known = [size for size in sizes.values() if size > 0]
    return float(np.quantile(known, 0.5, method="higher")) if known else None  # of two halves one


def _size(archive: MotionArchive, rows: list[int]) -> float:
    """Median of the largest extent of person 0 in some frames of a recording; 0 where nobody is seen."""
    starts, lengths = archive.offsets[rows], archive.lengths[rows]
    frames = np.concatenate([np.arange(a, a + n) for a, n in zip(starts, lengths, strict=True)])
    picked = frames[np.linspace(0, len(frames) - 1, _LOOKED_AT).round().astype(np.int64)]
    joints: npt.NDArray[np.float64] = archive.frames[picked, 0, :, : 2 + _in_space(archive)].astype(np.float64)
    there = (joints != 0).any(axis=2, keepdims=True)
    most, least = (np.where(there, joints, -np.inf).max(1), np.where(there, joints, np.inf).min(1))
    extent = (most - least).max(axis=1)[there.any(axis=(1, 2))]
    return float(np.median(extent)) if len(extent) else 0.0
