"""The layout of recordings whose files name their joints: a built-in one where the names fit, else one of their own."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

from motet.core.errors import DataError, MotetNote
from motet.core.text import counted
from motet.data import layouts
from motet.data.skeletons import Skeleton

NEAR = 0.25  # share of the joints that may differ from a layout which a message names as the one that was meant
MOST_JOINTS = 2000


def check_joints(count: int, where: object) -> None:
    """Refuse more joints than any body model has, before anything is made of them.

    Raises:
        DataError: more than :data:`MOST_JOINTS`.
    """
    if count > MOST_JOINTS:
        raise DataError(f"{where}: {counted(count, 'joint')}; up to {MOST_JOINTS} are read")


def of_names(
    joints: Sequence[str],
    where: object,
    *,
    parents: Sequence[int] | None = None,
    skeleton: str | None = None,
    up: str | None = None,
    prefix: str = "points",
    remedy: str = "--skeleton",
) -> Skeleton:
    """The layout of files that name their joints.

    Args:
        joints: their names.
        where: the file, for messages.
        parents: of the joints, where the file has them.
        skeleton: name or TOML file that was asked for.
        up: of a layout that is made here.
        prefix: begins the name of a layout that is made here.
        remedy: option that states a layout.

    Returns:
        the one asked for; else the built-in one with exactly these names in any order; else one of these joints, with
        the parents given or none, which is noted.

    Raises:
        DataError: too many joints, or two of one name.
    """
    if skeleton is not None:
        return layouts.get(skeleton)
    check_joints(len(joints), where)
    if len(set(joints)) < len(joints):
        raise DataError(f"{where}: two joints are called {next(j for j in joints if list(joints).count(j) > 1)!r}")
    for name in layouts.names():
        known = layouts.get(name)
        if set(joints) in (set(known.joints), set(known.canonical)):
            return known
    made = layouts.build(
        f"{prefix}-{len(joints)}", joints, [-1] * len(joints) if parents is None else parents, up=up or "+y"
    )
    if parents is None:
        warnings.warn(
            f"{where}: no built-in layout has exactly its {counted(len(joints), 'joint')}, so they are kept as "
            f"points without bones (no bone stream); {nearest(joints)}state bones with {remedy} layout.toml",
            MotetNote,
            stacklevel=3,
        )
    return made


def nearest(joints: Sequence[str]) -> str:
    """What parts the joints from the layout that is nearest to them; empty where none is near."""
    given, found = set(joints), []
    for name in layouts.names():
        skeleton = layouts.get(name)
        for names in (set(skeleton.joints), set(skeleton.canonical)):
            lacking, more = sorted(names - given), sorted(given - names)
            found.append((len(lacking) + len(more), name, lacking, more))
    differ, name, lacking, more = min(found)
    if differ > NEAR * len(given):
        return ""
    words = [f"lacks only {', '.join(lacking)}"] if lacking else []
    words += [f"has {', '.join(more)} beyond it"] if more else []
    return f"compared with {name} the table {' and '.join(words)}; "


NUMBERED = {33: "mediapipe-33", 21: "hand-21", 17: "coco-17"}


def by_number(found: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Landmarks that are called by their numbers (``x0 … z32``, ``landmark_0_x``) by the names they stand for."""
    numbers = [re.search(r"(\d{1,3})$", joint) for joint in found]
    places = [int(n[1]) for n in numbers if n]
    if len(places) < len(found) or len(found) not in NUMBERED:
        return found
    first = min(places)
    if first > 1 or sorted(places) != list(range(first, first + len(found))):
        return found
    names = layouts.get(NUMBERED[len(found)]).joints
    return {names[place - first]: columns for place, columns in zip(places, found.values(), strict=True)}
