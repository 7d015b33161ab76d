"""Sensors worn on the left and on the right: the readings of one side as the other would have made them.

A person is about symmetric, so a movement of the left arm is the mirror image of one of the right arm. Two devices
worn the same way round differ by one of their axes then: along it accelerations change sign, and so do turns about
the two others (an angular rate is an axial vector). Which axis it is depends on the device; it is the one by which the
readings of both sides become most similar.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError
from motet.core.units import PICTURE
from motet.data.archive import MotionArchive
from motet.data.convert import reflected, sideways
from motet.data.inertial import kind_of, nodes_of
from motet.data.skeletons import Skeleton

Float = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]
MIRRORS = ("mirror", "mirror-x", "mirror-y", "mirror-z")
"""preprocessing that reads sensors of the left as if worn on the right, along an axis that is found or the named one"""
BRIDGE = "bridge"
"""preprocessing that puts lost samples of sensors where they lie between those around; so do :data:`MIRRORS`"""
SIDE = "side"
"""column of the clips that says where a sensor was worn: ``left`` or ``right``"""
AXIS = "side_axis"
"""column of joined archives with the axis (x, y or z) of each clip's device"""
AXES = "xyz"
Axes = str | Sequence[str | None] | None
"""an axis for all clips, or one of each; None mirrors nothing"""
SIMILAR = 1 / 3
"""share of their difference as recorded below which both sides are similar once one is mirrored. Of five sets,
people called left at random (200 draws each), none came below a half."""
_OTHERWISE = re.compile(r"(?i)(body[ _]?|worn[ _]?)?side|wrist|hand|worn([ _]?(on|at))?|laterality")
"""how the column is called otherwise"""
_SAID = {"l": 1, "left": 1, "r": 0, "right": 0}
_EACH = 250  # clips of each side that are compared
_FOUND: dict[str, str | None] = {}
"""axes of whole archives, by :func:`digest_of`: some are asked for recording by recording"""


def worn_left(archive: MotionArchive) -> npt.NDArray[np.int8]:
    """(N,) 1 where a clip's column ``side`` says left (``L``, ``left wrist``), 0 where right, -1 where neither."""
    if SIDE not in archive.clips.columns:
        return np.full(len(archive), -1, dtype=np.int8)
    return _sides(archive.clips[SIDE].to_list())


def _sides(values: Sequence[Any]) -> npt.NDArray[np.int8]:
    return np.array([_side(str(value).strip().lower()) for value in values], dtype=np.int8)


def _side(said: str) -> int:
    """1 where the first word says left and none says right, 0 the other way round, else -1."""
    words = re.split(r"[\W_]+", said)
    named = {_SAID[word] for word in words if word in _SAID}
    return named.pop() if len(named) == 1 and words[0] in _SAID else -1


def digest_of(archive: MotionArchive) -> str:
    """Of the frames, and of sensors their unit, rate and side: together they decide how clips are read."""
    if archive.skeleton.kind != "sensor":
        return archive.hash
    facts = repr((archive.hash, archive.units, archive.fps)).encode()
    return hashlib.sha256(facts + worn_left(archive).tobytes()).hexdigest()


def axis_of(archive: MotionArchive, rows: Integers | None = None) -> str | None:
    """The axis (x, y or z) along which left-worn sensors mirror right-worn ones.

    Compared are means and second moments of accelerations and turns, clip by clip: of their differences between the
    two sides the mean square, each in units of its variance within a side.

    Args:
        archive: recordings of sensors.
        rows: clips that are compared, all by default.

    Returns:
        None where the clips are not of both sides, or no axis makes these a third as different (:data:`SIMILAR`).
    """
    if rows is not None or archive.skeleton.kind != "sensor":
        return _axis(archive, rows)
    known = digest_of(archive)
    if known not in _FOUND:
        _FOUND[known] = _axis(archive, None)
    return _FOUND[known]


def _axis(archive: MotionArchive, rows: Integers | None) -> str | None:
    left = worn_left(archive)
    chosen = np.arange(len(archive)) if rows is None else np.sort(np.asarray(rows, dtype=np.int64))
    groups = [chosen[left[chosen] == side] for side in (1, 0)]
    if archive.skeleton.kind != "sensor" or len(archive.channels) != 3 or min(map(len, groups)) < 2:
        return None
    try:
        nodes = nodes_of(archive.skeleton)
    except ConfigError:
        return None
    some = [own[np.unique(np.linspace(0, len(own) - 1, _EACH).astype(np.int64))] for own in groups]
    made = [[_moments(_readings(archive.clip(int(i))[:, 0], nodes)) for i in own] for own in some]
    power = np.mean(np.concatenate(made), axis=0)[6:][np.equal(*np.triu_indices(6))]
    size = np.sqrt(power).reshape(2, 3).max(axis=1)
    ours, theirs = (np.array(own) / _moments(np.maximum(size, 1e-12).repeat(3)[None]) for own in made)
    signs = [np.ones(6), *(np.concatenate([_signs(k, "acc"), _signs(k, "gyr")]) for k in range(3))]
    apart = [_apart(ours * _moments(sign[None]), theirs) for sign in signs]
    best = 1 + int(np.argmin(apart[1:]))
    return AXES[best - 1] if apart[best] < SIMILAR * apart[0] else None


def method_for(archive: MotionArchive, rows: Integers | None = None) -> str:
    """The preprocessing of recordings of sensors: ``mirror-x`` and the like where they mirror along one axis,
    ``mirror`` where joined archives do along several, ``bridge`` where nothing is to be mirrored.

    Args:
        archive: recordings of sensors.
        rows: clips by which the axis is found, all by default.
    """
    stated = AXIS in archive.clips.columns
    axes = set(archive.clips[AXIS].drop_nulls()) if stated else {axis_of(archive, rows)} - {None}
    return BRIDGE if not axes else f"{MIRRORS[0]}-{axes.pop()}" if len(axes) == 1 else MIRRORS[0]


def axis_in(method: str, archive: MotionArchive) -> Axes:
    """The axis along which a preprocessing mirrors left-worn sensors: the one in its name, of ``mirror`` that of
    :func:`axis_of`, or of each clip where archives were joined; None where it mirrors nothing."""
    if method != MIRRORS[0]:
        return method[-1] if method in MIRRORS else None
    return archive.clips[AXIS].to_list() if AXIS in archive.clips.columns else axis_of(archive)


def note_of(method: str, archive: MotionArchive) -> str:
    """What a reader must know of what a preprocessing does about sides; empty where it does nothing.

    Of a mirror with its axis also where an archive does not say where its sensors were worn.
    """
    return "" if method not in MIRRORS else note_on(axis_in(method, archive), archive, found=method == MIRRORS[0])


def note_on(axes: Axes, archive: MotionArchive, *, found: bool = False) -> str:
    """The same of axes; ``found``: by the readings of this archive."""
    left = worn_left(archive)
    used = sorted({a for a in ([axes] if axes is None or isinstance(axes, str) else axes) if a})
    if archive.skeleton.kind != "sensor":
        return ""
    if called := _called_otherwise(archive):
        return f"column {called} seems to say on which side sensors were worn; it is read where it is called {SIDE}"
    column = archive.clips[SIDE].to_list() if SIDE in archive.clips.columns else []
    other = sorted({str(said) for said, side in zip(column, left, strict=False) if side < 0 and said not in (None, "")})
    if used and (left < 0).all() and not other:
        return (
            f"{archive.path.name} does not say on which side its sensors were worn (column {SIDE}), so all are read as "
            "worn on the right; `motet data label` adds the column"
        )
    unclear = f"column {SIDE} says neither left nor right of some sensors ({', '.join(other[:3])}): taken as right"
    own = axis_of(archive) if (axes is None or isinstance(axes, str)) and not found else None
    why = "as if of another device" if axes else "and `motet data convert` with --mirror left mirrors them before"
    apart = "" if own in (None, axes) else f"by their readings it would be along {own}, {why}"
    return "; ".join(filter(None, [_on_left(used, left, found), apart, unclear if other else ""]))


def _called_otherwise(archive: MotionArchive) -> str | None:
    """The column that says left and right where none is called ``side``."""
    if SIDE in archive.clips.columns:
        return None
    for name in filter(_OTHERWISE.fullmatch, archive.clips.columns):
        sides = _sides(archive.clips[name].drop_nulls().to_list())
        if len(sides) and (sides >= 0).all():
            return name
    return None


def _on_left(used: Sequence[str], left: npt.NDArray[np.int8], found: bool) -> str:
    if not (left == 1).any():
        return ""
    worn = f"sensors worn on the left (column {SIDE})"
    if not used:
        return f"{worn} are read as recorded: no axis is known along which they mirror those of the right"
    by = ", by which their readings are most similar to those of the right" if found else ""
    return f"{worn} are mirrored along {' or '.join(used)}{by}"


def note_apart(archives: Sequence[MotionArchive]) -> str:
    """What a reader must know of archives that become one, where their devices mirror along several axes."""
    axes = {a.path.name: axis for a in archives if (axis := axis_of(a))}
    if len(set(axes.values())) < 2:
        return ""
    listed = ", ".join(f"{axis} in {name}" for name, axis in axes.items())
    return (
        f"sensors worn on the left (column {SIDE}) mirror those on the right along different axes ({listed}), and one "
        "archive has one: `motet data convert` each with --mirror left before"
    )


def mirrored(frames: Float, skeleton: Skeleton, axis: str) -> Float:
    """(T, P, V, 3) readings as the same sensor would have made them on the other side of the body.

    Nodes that measure neither acceleration nor turns nor a magnetic field stay as they are.
    """
    signs = np.array([_signs(AXES.index(axis), kind_of(name)) for name in skeleton.joints], dtype=frames.dtype)
    return np.asarray(frames * signs)


def to_one_side(archive: MotionArchive, axes: Axes) -> Callable[[int, Float], Float]:
    """What takes row and frames of a clip to frames that are :func:`mirrored` where it was worn on the left; without
    an axis they stay as they are.

    Args:
        archive: the recordings.
        axes: one for all clips, or of each.
    """
    left = worn_left(archive) == 1
    each = [axes] * len(archive) if axes is None or isinstance(axes, str) else axes

    def turned(row: int, frames: Float) -> Float:
        axis = each[row] if left[row] else None
        return frames if axis is None else mirrored(frames, archive.skeleton, axis)

    return turned


def other_side(archive: MotionArchive) -> Callable[[Float], Float]:
    """What takes (T, P, V, C) frames of a clip to its mirror image: of a body or a hand, or of a sensor's readings.

    A picture is mirrored about the middle of its width where that is known, else about that of the clip.

    Raises:
        ConfigError: sensors of which no axis makes the two sides similar.
    """
    skeleton = archive.skeleton
    if skeleton.kind != "sensor":
        flat, width = "z" not in archive.channels, _width(archive)
        return lambda frames: _in_picture(frames, skeleton, width) if flat else reflected(frames, skeleton)
    axis = axis_of(archive)
    if axis is None:
        raise ConfigError(
            f"{archive.path}: along no axis do readings of the left (column {SIDE}) become similar to those of the "
            "right, so there is nothing to mirror them by; it takes clips of both sides"
        )
    return lambda frames: mirrored(frames, skeleton, axis)


def _width(archive: MotionArchive) -> float | None:
    """Of the picture that two coordinates are of, where the import knew it."""
    options = archive.source.get("options")
    return 1.0 if archive.units == PICTURE[1] else options.get("width") if isinstance(options, dict) else None


def _in_picture(frames: Float, skeleton: Skeleton, width: float | None) -> Float:
    """(T, P, V, C) mirrored within the picture, or where its width is unknown within what a clip takes up of it."""
    made, axis = reflected(frames, skeleton), sideways(skeleton)
    there = made[..., :2].any(axis=-1)
    if there.any():
        places = made[there, axis]
        made[there, axis] += -(places.min() + places.max()) if width is None else width
    return made


def _signs(axis: int, kind: str) -> npt.NDArray[np.float64]:
    """(3,) what mirroring along an axis multiplies readings by."""
    signs = np.ones(3)
    if kind == "acc":
        signs[axis] = -1
    elif kind in ("gyr", "mag"):
        signs[:] = -1
        signs[axis] = 1
    return signs


def _readings(frames: Float, nodes: Sequence[int | None]) -> Float:
    """(T, 6) accelerations and turns of a clip (T, V, 3), without lost samples; absent nodes are zero."""
    empty = np.zeros((len(frames), 3))
    made = np.concatenate([empty if node is None else frames[:, node] for node in nodes], axis=1, dtype=np.float64)
    there = made.any(axis=1)
    return made[there] if there.any() else made


def _moments(readings: Float) -> npt.NDArray[np.float64]:
    """(27,) means and second moments of (T, 6) readings."""
    second = readings.T @ readings / len(readings)
    return np.concatenate([readings.mean(axis=0), second[np.triu_indices(readings.shape[1])]])


def _apart(ours: Float, theirs: Float) -> float:
    variance = (ours.var(axis=0) + theirs.var(axis=0)) / 2
    return float(np.mean((ours.mean(axis=0) - theirs.mean(axis=0)) ** 2 / (variance + 1e-6)))
