"""Clips of another unit or scale than the others, in one archive."""

from __future__ import annotations

import warnings

from motet.core.errors import MotetWarning
from motet.core.text import counted
from motet.data.archive import MotionArchive
from motet.data.inspection.faults import Fault
from motet.data.inspection.gravity import gravity_faults
from motet.data.inspection.sizes import size_faults
from motet.data.inspection.turns import turn_faults


def mixed_faults(archive: MotionArchive, *, sized: bool = False) -> list[Fault]:
    """Clips whose accelerations, turns or animals are of another unit or scale than those of most; animals not if they
    are brought to one size."""
    return gravity_faults(archive) + turn_faults(archive) + ([] if sized else size_faults(archive))


def warn_mixed(archive: MotionArchive, *, sized: bool = False) -> None:
    """Warn of clips in another unit or of another scale than the others, before something is learnt from them."""
    for found in mixed_faults(archive, sized=sized):
        warnings.warn(
            f"{archive.path}: {found.message} ({counted(found.clips, 'clip')}, {found.examples[0]['clip']} first; "
            "`motet data inspect` names them and what to do)",
            MotetWarning,
            stacklevel=4,
        )
