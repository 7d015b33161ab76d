"""Why an archive would train badly (``motet data inspect ARCHIVE --doctor``): findings with evidence and remedy.

:mod:`motet.data.inspection` says what is in an archive and which frames are broken; this module assesses it as a whole:
size, axes, mirroring, speed, joints that say nothing, clips that leak from training into test, classes that cannot be
learnt. Every check speaks only where the recordings are clear; what cannot be known is not guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from motet.core.units import METRES
from motet.data.archive import MotionArchive
from motet.data.doctor import axes, labels, leaks, motion
from motet.data.doctor.view import SAMPLED_CLIPS, Finding, View
from motet.data.inspection import TYPICAL

FAR = 6.0  # factor from the usual size that no half body, crouch or child explains


def diagnose(archive: MotionArchive, *, rule: str | None = None, whole: bool = False) -> list[Finding]:
    """Findings on an archive, the worst first; an empty list if there is nothing to say.

    Args:
        rule: split that training and evaluation will use; the archive's default rule if none is given.
        whole: look at every clip; by default axes, speed and joints are evaluated by 500.

    Raises:
        ConfigError: there is no such split, or it does not fit the archive.
    """
    view = View(archive, rule, len(archive) if whole else SAMPLED_CLIPS)
    found = [finding for check in _CHECKS for finding in check(view)]
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted(found, key=lambda f: order[f.severity])


def declarations(archive: MotionArchive) -> list[Finding]:
    """What matters wherever archives are brought together: a unit that is off by a factor of six or more from a usual
    size, and another axis that points up than is declared. Quick, and without a split."""
    view = View(archive, "all")
    found = list(axes.up(view))
    if archive.units in METRES and archive.skeleton.kind in TYPICAL and np.isfinite(view.size):
        off = abs(float(np.log(view.size * METRES[archive.units] / TYPICAL[archive.skeleton.kind])))
        found += axes.scale(view) if off > np.log(FAR) else ()
    return found


def report(archive: MotionArchive, *, rule: str | None = None) -> list[dict[str, Any]]:
    """:func:`diagnose` as plain data for JSON."""
    hidden = ("rows", "extra")
    found = [asdict(finding) for finding in diagnose(archive, rule=rule)]
    return [{k: list(v) if k == "clips" else v for k, v in f.items() if k not in hidden} for f in found]


OF_CLIPS = (
    "mixed scale",
    "repeated frames",
    "missing share",
    "leaking clips",
    "duplicate clips",
    "classes without train",
    "classes without test",
    "short clips",
)
"""findings that single clips have"""
OF_ARCHIVE = (
    "scale",
    "unit",
    "gravity",
    "no gravity",
    "flat axis",
    "up direction",
    "handedness",
    "frame rate",
    "missing joints",
    "static joints",
    "shared people",
    "unknown people",
    "class imbalance",
)
"""findings on the archive as a whole"""

_CHECKS: tuple[Callable[[View], Iterator[Finding]], ...] = (
    axes.scale,
    axes.unknown,
    axes.gravity,
    axes.no_gravity,
    axes.mixed_scale,
    axes.flat,
    axes.up,
    axes.handedness,
    motion.rate,
    motion.repeated,
    motion.joints,
    leaks.copies,
    leaks.people,
    labels.classes,
    labels.short,
)

__all__ = ["Finding", "declarations", "diagnose", "report"]
