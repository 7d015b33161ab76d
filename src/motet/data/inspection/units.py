"""Units of length and the size of bodies."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from motet.core.units import METRES
from motet.data.archive import MotionArchive
from motet.data.convert import recipe
from motet.data.skeletons import Skeleton

# largest extent of a skeleton in metres that is believed (lying bodies and half bodies included)
SIZES = {"body": (0.4, 3.5), "hand": (0.04, 0.5)}
LARGEST = 30.0  # of animals, marker sets and parts of bodies
TYPICAL = {"body": 1.6, "hand": 0.17}
IMPORTED = ("m", "cm", "mm", "inch")  # units that every format with an option for it takes


def import_unit(archive: MotionArchive) -> str:
    """The unit that the recordings were taken to be in: as given to the import, else that of the archive."""
    options = archive.source.get("options")
    unit = options.get("unit") if isinstance(options, Mapping) else None
    return unit if unit in IMPORTED and archive.units in METRES else archive.units


def fitting_unit(archive: MotionArchive, size: float) -> str | None:
    """The unit of length under which a body of ``size`` (in the archive's unit) has a usual size; None if none does.

    Usual is within a factor of two of an adult's or a hand's: what is proposed must be right, not only possible.
    """
    typical = TYPICAL[archive.skeleton.kind]
    if not size > 0:
        return None
    recorded = size * METRES[archive.units] / METRES[import_unit(archive)]

    def off(unit: str) -> float:
        return abs(float(np.log2(recorded * METRES[unit] / typical)))

    best = min(IMPORTED, key=off)
    return best if off(best) <= 1 else None


def is_human(skeleton: Skeleton) -> bool:
    """Whether the size of a person can be asked of a layout: animals and marker sets have any."""
    needed = ("mid_hip", "head", "left_shoulder", "left_knee")
    return skeleton.kind == "hand" or all(recipe(name, skeleton) is not None for name in needed)
