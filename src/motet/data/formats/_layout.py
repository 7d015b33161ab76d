"""The layout of recordings whose files name their joints: a built-in one where the names fit, else one of their own."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from functools import cache

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
        f"{prefix}-{len(joints)}",
        joints,
        [-1] * len(joints) if parents is None else parents,
        up=up or "+y",
        kind="hand" if layouts.is_hand(joints) else "body",
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
    if _two_hands(joints):
        return "they are two hands, which --joints '{person}_{joint}_{axis}' reads as two people; "
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


def _two_hands(joints: Sequence[str]) -> bool:
    """Whether joints are those of a left and of a right hand, by their names."""
    sides: dict[str, list[str]] = {}
    for side, rest in map(layouts.split_side, joints):
        sides.setdefault(side, []).append(rest)
    return len(sides) == 2 and all(side and hand_names(names) for side, names in sides.items())


NUMBERED = {33: "mediapipe-33", 21: "hand-21", 17: "coco-17"}


def known_names(joints: Sequence[str]) -> dict[str, str]:
    """What the joints of a table are called in a built-in layout, where it has exactly these.

    Landmarks may be called by their numbers (``x0 … z32``, ``landmark_0_x``), those of a hand as in
    :func:`hand_names`, and those of a body in any case, all of them after the name of one person (``Ann:LASI``).
    """
    numbers = [re.search(r"(\d{1,3})$", joint) for joint in joints]
    places = [int(n[1]) for n in numbers if n]
    first = min(places, default=0)
    if len(joints) not in NUMBERED or first > 1 or sorted(places) != list(range(first, first + len(joints))):
        return hand_names(joints) or _in_any_case(joints)
    names = layouts.get(NUMBERED[len(joints)]).joints
    return {joint: names[place - first] for joint, place in zip(joints, places, strict=True)}


def _in_any_case(joints: Sequence[str]) -> dict[str, str]:
    """Names without that of the one person before a colon, as a built-in layout of a body has them if it does."""
    parts = [joint.rpartition(":") for joint in joints]
    if len({part[0] for part in parts}) > 1:
        return {}
    for skeleton in map(layouts.get, layouts.names()):
        for own in (skeleton.joints, skeleton.canonical):
            same = {name.casefold(): name for name in own}
            if skeleton.kind != "sensor" and same.keys() == {name.casefold() for *_, name in parts}:
                return {joint: same[name.casefold()] for joint, (*_, name) in zip(joints, parts, strict=True)}
    return {joint: name for joint, (who, _, name) in zip(joints, parts, strict=True) if who}


def hand_names(joints: Sequence[str]) -> dict[str, str]:
    """Canonical names of joints that are those of a built-in hand in any usual spelling.

    >>> hand_names(["Wrist", "thumb_cmc"])  # not all of them
    {}
    """
    canonical = layouts.canonical_names(joints)
    return dict(zip(joints, canonical, strict=True)) if frozenset(canonical) in _hands() else {}


@cache
def _hands() -> frozenset[frozenset[str]]:
    """Canonical names of each built-in layout of a hand."""
    known = map(layouts.get, layouts.names())
    return frozenset(frozenset(skeleton.canonical) for skeleton in known if skeleton.kind == "hand")
