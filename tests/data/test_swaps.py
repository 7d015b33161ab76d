"""Animals whom a tracker mistook for each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.inspection import found
from tests.data.test_sizes import MOUSE


def two_mice(path: Path, swaps: Mapping[int, tuple[int, int]], gap: int = 0, apart: float = 200.0) -> MotionArchive:
    """Two mice ``apart`` from each other on their ways; in clips of ``swaps`` the tracker has them the wrong way round
    from one frame to another, and after the first one of them is not seen for ``gap`` frames."""
    random = np.random.default_rng(0)
    with ArchiveWriter(path, skeleton=MOUSE, persons=2, fps=30.0, units="px", channels=("x", "y")) as writer:
        for number in range(3):
            places = np.array([[[300, 300]], [[300 + apart, 300]]])
            way = places + random.normal(0, 3, (120, 2, 1, 2)).cumsum(axis=0)
            clip = way + np.linspace(1, -1, 3)[:, None] * [50, 0] + random.normal(0, 1, (120, 2, 3, 2))
            if number in swaps:
                first, last = swaps[number]
                clip[first:last] = clip[first:last, ::-1]
                clip[first : first + gap, 1] = 0
            writer.add(clip, name=f"m{number}", subject=number)
    return MotionArchive.open(path)


def swapped(archive: MotionArchive) -> list[tuple[str, int, int]]:
    faults = [fault for fault in found(archive) if fault.name == "swapped bodies"]
    return [(str(e["clip"]), int(e["first"]), int(e["frames"])) for fault in faults for e in fault.examples]


@pytest.mark.parametrize(
    ("swaps", "gap", "seen"),
    [
        ({}, 0, []),
        ({1: (60, 90)}, 0, [("m1", 60, 2)]),
        ({1: (60, 90), 2: (10, 120)}, 0, [("m1", 60, 2), ("m2", 10, 1)]),
        ({1: (60, 90)}, 10, [("m1", 70, 2)]),
        ({1: (60, 90)}, 20, [("m1", 90, 1)]),  # after so long they may have gone there
        ({1: (0, 120)}, 0, []),  # nothing shows it
    ],
)
def test_who_is_all_at_once_where_the_other_was(
    tmp_path: Path, swaps: dict[int, tuple[int, int]], gap: int, seen: list[tuple[str, int, int]]
) -> None:
    assert swapped(two_mice(tmp_path / "a", swaps, gap)) == seen


def test_animals_that_touch_are_left_alone(tmp_path: Path) -> None:
    assert swapped(two_mice(tmp_path / "a", {1: (2, 5)}, apart=15.0)) == []
