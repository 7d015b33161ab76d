"""Which way an animal points: the line from its tail to its head, by the names of joints."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, MotetNote
from motet.core.text import counted
from motet.data.archive import MotionArchive
from motet.data.skeletons import Skeleton, coordinates

if TYPE_CHECKING:  # archives are opened without torch
    from torch import Tensor

    Points = TypeVar("Points", npt.NDArray[np.floating[Any]], Tensor)

# The ends of an animal's axis, by names without capitals and signs: trackers' users call joints as they like.
ENDS: Final = {
    "head": ("nose", "snout", "nosetip", "snouttip", "head", "leftear rightear", "neck"),
    "tail": (
        "tailbase",
        "basetail",
        "baseoftail",
        "tailroot",
        "tailstart",
        "tail1",
        "abdomen",
        "midhip",
        "lefthip righthip",
        "rump",
        "tail",
    ),
}
CALLED: Final = {"head": "nose", "tail": "tail_base"}
"""canonical names by which a layout says which joints these are"""
TRACKERS = ("deeplabcut", "sleap", "anipose")
"""formats whose recordings are of animals"""
_PEOPLE = {"left_shoulder", "left_knee"}
"""joints of people, of whom a picture from above is rare and one of somebody who lies is not"""
_LOOKED_AT, _FEWEST, _SPREAD = 200, 20, 0.5
"""of headings: clips or moments, the fewest of them that say something, and the largest mean of those on all sides"""


def end_of_body(skeleton: Skeleton, name: str) -> tuple[int, ...]:
    """Joints whose mean is the ``"head"`` or the ``"tail"`` end of an animal's axis, the first that a layout can give.

    Raises:
        ConfigError: the layout has no such joints.
    """
    every = zip((*skeleton.canonical, *skeleton.joints), 2 * [*range(len(skeleton.joints))], strict=True)
    plain = {re.sub(r"[^a-z0-9]", "", joint.lower()): number for joint, number in every}
    for joints in ENDS[name]:
        if plain.keys() >= set(joints.split()):
            return tuple(plain[joint] for joint in joints.split())
    raise ConfigError(
        f"skeleton {skeleton.name!r} has no {name} (a joint called {', '.join(ENDS[name])}); say which one it is in a "
        f"layout (canonical = \"{CALLED[name]}\", --skeleton), or choose preprocess 'first-frame', 'center' or 'none'"
    )


def check_heading(skeleton: Skeleton, channels: int) -> None:
    """Raise ConfigError unless bodies of C = ``channels`` coordinates have an axis from tail to head to turn by."""
    if channels not in (2, 3):
        raise ConfigError(f"of {counted(channels, 'coordinate')} there is no heading; it needs two or three")
    if channels == 3 and skeleton.up is None:
        raise ConfigError(f"skeleton {skeleton.name!r} declares no up axis to be turned about")
    for name in ENDS:
        end_of_body(skeleton, name)


def ground(skeleton: Skeleton, channels: int) -> tuple[int, int]:
    """The two axes in which bodies are turned: of a picture both, in space those that are not up, the one first to
    which :func:`motet.data.preprocess.lateral_axis` turns."""
    if channels == 2 or skeleton.up is None:
        return 0, 1
    first, second = (axis for axis in range(3) if axis != "xyz".index(skeleton.up[1]))
    return first, second


def lines(frames: Points, skeleton: Skeleton) -> Points:
    """(…, V, C) points of a picture or in space, an array or a tensor → (…, 2) lines from tail to head on the
    :func:`ground`, zero where either was not seen."""
    sides: list[tuple[int, ...]] = [end_of_body(skeleton, name) for name in ENDS]
    there = (frames != 0).any(-1)[..., [*sides[0], *sides[1]]].all(-1)[..., None]
    level = frames[..., list(ground(skeleton, frames.shape[-1]))]
    head, tail = (level[..., list(side), :].mean(-2) for side in sides)
    line: Points = (head - tail) * there
    return line


def all_ways(archive: MotionArchive, rows: npt.NDArray[np.int64] | None = None) -> bool:
    """Whether bodies point in all directions, as animals do below a camera; of all clips, or those of ``rows``.

    Who stands points up and who is seen from the side to the left and to the right, so neither the mean of the headings
    nor that of their double angles is large where they are seen from above. People who stand and lie would look so,
    too, and are never turned by this. No label has a part in it.

    Warns:
        MotetNote: a tracker of animals calls no joint after a head or a tail.
    """
    skeleton, places = archive.skeleton, coordinates(archive.channels)
    try:
        check_heading(skeleton, places)
    except ConfigError:
        if archive.source.get("format") in TRACKERS and not {"left_shoulder", "left_hip"} <= {*skeleton.canonical}:
            warnings.warn(
                f"{archive.path}: the names of joints ({', '.join(skeleton.joints[:6])} …) do not say where head and "
                "tail are, so animals that point in all directions are not turned to one: say it in a layout (import "
                'with --skeleton layout.toml, canonical = "nose" and "tail_base")',
                MotetNote,
                stacklevel=2,
            )
        return False
    if skeleton.kind != "body" or {*skeleton.canonical} >= _PEOPLE:
        return False
    rows = np.arange(len(archive.clips)) if rows is None else rows
    some = rows[np.linspace(0, len(rows) - 1, min(len(rows), _LOOKED_AT)).round().astype(np.int64)]
    each = max(2, _LOOKED_AT // max(1, len(some)))
    seen = []
    for row in some.tolist():
        clip = archive.clip(row)
        at = np.linspace(0, len(clip) - 1, min(len(clip), each)).round().astype(np.int64)
        seen.append(lines(clip[at, 0, :, :places].astype(np.float64), skeleton))
    x, y = np.concatenate(seen).T
    turn = np.exp(1j * np.arctan2(y, x))[np.hypot(x, y) > 0]
    means = [abs(complex(np.mean(turn**power))) for power in (1, 2)] if len(turn) else []
    return len(turn) >= _FEWEST and max(means) < _SPREAD


def turned_animals(method: str, *, chosen: bool = True) -> str:
    """What is said where a default turns them by this method, which can be ``chosen`` or not."""
    size = " and brought to one size" if method == "animal" else ""
    kept = "headings and sizes" if size else "headings"
    said = f"animals point in all directions: every clip is turned to the heading of its first frame{size}"
    return f"{said} (--preprocess {method}; first-frame leaves {kept} as they are)" if chosen else said
