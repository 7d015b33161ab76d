"""Clips by what `motet data inspect` and its doctor find in them, and the parts of clips without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from motet.core.errors import ConfigError
from motet.core.options import near_names
from motet.core.text import pasted
from motet.data import doctor, inspection, layouts
from motet.data.archive import MotionArchive
from motet.data.doctor import Finding
from motet.data.inspection.faults import Fault
from motet.data.inspection.frames import CUT_OUT, masks
from motet.data.skeletons import Skeleton

OF_CLIPS = tuple(dict.fromkeys((*inspection.OF_CLIPS, *doctor.OF_CLIPS)))
"""names of the findings by which clips are selected"""
SHORTEST_SECONDS, SHORTEST_FRAMES = 1.0, 30  # of a part that is kept; frames where the rate is unknown


def clips_with(archive: MotionArchive, names: Sequence[str], rule: str | None = None) -> tuple[set[int], set[int]]:
    """Rows of the clips that have any of these findings, and of those without which the others are sound.

    The two differ for copies, of which one stays. ``rule``: the split by which leaks and lacking classes are evaluated.

    Raises:
        ConfigError: no such finding, one that no single clip has, or no such split.
    """
    names = [_named(archive, name, OF_CLIPS) for name in names]
    found: list[Fault | Finding] = []
    found += inspection.found(archive) if set(names) & set(inspection.OF_CLIPS) else []
    found += doctor.diagnose(archive, rule=rule, whole=True) if set(names) & set(doctor.OF_CLIPS) else []
    wanted = [finding for finding in found if finding.name in names]
    return {i for f in wanted for i in f.rows}, {i for f in wanted for i in f.extra}


def sound_parts(archive: MotionArchive, names: Sequence[str]) -> dict[int, list[tuple[int, int]]]:
    """First and last + 1 frame of each part of a second or more that has none of these findings, by clip; clips without
    a bad frame are no key.

    Raises:
        ConfigError: no such finding, or one that cannot be cut out.
    """
    names = [_named(archive, name, CUT_OUT) for name in names]
    shortest = SHORTEST_FRAMES if archive.fps is None else max(2, round(SHORTEST_SECONDS * archive.fps))
    parts: dict[int, list[tuple[int, int]]] = {}
    for clips, starts, found in masks(archive) if names else ():
        bad = np.any([found[name] for name in names if name in found], axis=0)
        for row, start in zip(clips, starts.tolist(), strict=True):
            own = bad[start : start + int(archive.lengths[row])]
            if own.any():
                edges = np.flatnonzero(np.diff(own.astype(np.int8), prepend=1, append=1))
                pairs = zip(edges[0::2].tolist(), edges[1::2].tolist(), strict=True)
                parts[row] = [(a, b) for a, b in pairs if b - a >= shortest]
    return parts


def _named(archive: MotionArchive, name: str, known: Sequence[str]) -> str:
    """A finding by its name, or by a beginning that no other has: ``frozen``, ``duplicates``."""
    bare = name.lower().replace("-", " ")
    begin = [k for k in known if k.replace("-", " ").startswith(bare.removesuffix("s"))]
    meant = [k for k in begin if k.replace("-", " ") == bare] or begin
    if len(meant) == 1:
        return meant[0]
    raise ConfigError(_unknown(archive, name, known))


def _unknown(archive: MotionArchive, name: str, known: Sequence[str]) -> str:
    look = f"`motet data inspect {pasted(archive.path)} --doctor` says what helps"
    if name in (*inspection.OF_ARCHIVE, *doctor.OF_ARCHIVE):
        return f"{name!r} is found of the archive as a whole, not of clips; {look}"
    if name in OF_CLIPS:
        return f"{name!r} is nothing that is cut out, {', '.join(known)} are; --drop-finding leaves out the clips"
    near = near_names(name, known)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known are {', '.join(known)}"
    return f"there is no finding {name!r} of clips; {hint}"


def reduced(archive: MotionArchive, names: Sequence[str]) -> tuple[Skeleton, tuple[str, ...], list[int], list[int]]:
    """Layout, coordinates, and which joints and coordinates stay, without the joints, nodes or coordinates named.

    Bones lead to the nearest joint above that stays. Of three coordinates two become x and y of a picture.

    Raises:
        ConfigError: an unknown name, or nothing that would be left.
    """
    skeleton, channels = archive.skeleton, archive.channels
    known = (*skeleton.joints, *skeleton.canonical, *channels)
    for name in names:
        if name not in known:
            near = near_names(name, known)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(skeleton.joints)}"
            raise ConfigError(f"{archive.path} has no joint or coordinate {name!r}; {hint}")
    dropped = {skeleton.index(n) for n in names if n in skeleton.joints or n in skeleton.canonical}
    joints = [j for j in range(len(skeleton)) if j not in dropped]
    axes = [c for c, name in enumerate(channels) if name not in names or name in skeleton.joints]
    if not joints or not axes:
        raise ConfigError(f"{archive.path}: --without {pasted(*names)} leaves nothing")
    if len(axes) < len(channels) == 3 and skeleton.kind != "sensor":
        now = dict(zip((channels[c] for c in axes), "xy", strict=False))
        up = None if skeleton.up is None else skeleton.up[0] + now.get(skeleton.up[1], "y")
        return replace(layouts.kept(skeleton, joints), up=up), tuple(now.values()), joints, axes
    return layouts.kept(skeleton, joints), tuple(channels[c] for c in axes), joints, axes
