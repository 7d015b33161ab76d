"""Conversion between joint layouts by canonical joint name, axes and handedness included.

>>> import numpy as np
>>> from motet import layouts
>>> kinect = np.ones((10, 2, 25, 3), dtype=np.float32)
>>> convert(kinect, layouts.get("kinect-v2"), layouts.get("shared-15")).shape
(10, 2, 15, 3)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError
from motet.core.text import counted
from motet.data.skeletons import Skeleton

Float = npt.NDArray[np.floating[Any]]

# What a joint is made of where a layout lacks it: the first of these whose joints it has (or can make), averaged.
# A hand stands in for a wrist and a foot for an ankle, because some trackers see no difference; never the reverse.
DERIVED: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "mid_hip": (("left_hip", "right_hip"),),
    "neck": (("clavicle", "back"), ("left_shoulder", "right_shoulder")),
    "torso": (("sternum", "spine_t10"), ("neck", "mid_hip")),
    "chest": (("neck", "torso"),),
    "lower_spine": (("torso", "mid_hip"),),
    "head": (
        ("nose",),
        ("left_ear", "right_ear"),
        ("left_head_front", "right_head_front", "left_head_back", "right_head_back"),
    ),
    "upper_neck": (("neck", "head"),),
    "left_collar": (("neck", "left_shoulder"),),
    "right_collar": (("neck", "right_shoulder"),),
    "left_wrist": (("left_wrist_radial", "left_wrist_ulnar"), ("left_hand",)),
    "right_wrist": (("right_wrist_radial", "right_wrist_ulnar"), ("right_hand",)),
    "left_hip": (("left_pelvis_front", "left_pelvis_back"),),
    "right_hip": (("right_pelvis_front", "right_pelvis_back"),),
    "left_ankle": (("left_foot",),),
    "right_ankle": (("right_foot",),),
    "left_foot": (("left_big_toe", "left_small_toe"), ("left_foot_tip",)),
    "right_foot": (("right_big_toe", "right_small_toe"), ("right_foot_tip",)),
    "left_hand": (("left_index", "left_pinky"),),
    "right_hand": (("right_index", "right_pinky"),),
    "palm": (("wrist", "middle_1"),),
}


UPRIGHT = 0.7  # of a unit vector: the share along one axis from which a body stands along it
_FEET = ("ankle", "heel", "foot", "foot_tip", "big_toe", "small_toe")


def shared_joints(a: Skeleton, b: Skeleton) -> list[str]:
    """Canonical names of the joints that both layouts have themselves, in the order of ``a``."""
    return [name for name in a.canonical if name in b.canonical]


def recipe(joint: str, source: Skeleton) -> tuple[int, ...] | None:
    """Indices of the joints of ``source`` whose mean is the canonical ``joint``; None if it cannot be derived.

    A joint that is itself derived enters with the joints it is made of, so that a mean of means keeps its weights
    by listing an index more than once.
    """
    return _recipe(joint, source, frozenset())


def _recipe(joint: str, source: Skeleton, above: frozenset[str]) -> tuple[int, ...] | None:
    if joint in source.canonical:
        return (source.canonical.index(joint),)
    if joint in above:
        return None
    for members in DERIVED.get(joint, ()):
        found = [_recipe(m, source, above | {joint}) for m in members]
        made = [f for f in found if f is not None]
        if len(made) == len(members):
            # equal weights for the members, however many joints each is made of
            longest = int(np.lcm.reduce([len(f) for f in made]))
            return tuple(i for f in made for i in f * (longest // len(f)))
    return None


def axes_matrix(source: Skeleton, target: Skeleton) -> npt.NDArray[np.float64]:
    """(3, 3) signed permutation R, ``x_target = R x_source``, that brings up axis and handedness to the target's.

    The up axis is turned by the smallest rotation (half a turn: about the x axis, or y where x is up); a change of
    handedness negates x (y where x is up), the axis by which NITE differs from the Kinect SDK.
    """
    if source.up is None or target.up is None:
        return np.eye(3)
    start, end = _axis(source.up), _axis(target.up)
    turn = np.eye(3)
    if start @ end == 0:
        cross = np.cross(start, end)
        turn = np.outer(end, start) - np.outer(start, end) + np.outer(cross, cross)
    elif start @ end < 0:
        keep = np.eye(3)[_sideways(source.up)]
        turn = 2 * np.outer(keep, keep) - np.eye(3)
    if source.right_handed != target.right_handed:
        flip = np.eye(3)
        flip[_sideways(target.up), _sideways(target.up)] = -1
        turn = flip @ turn
    return turn


def _axis(name: str) -> npt.NDArray[np.float64]:
    axis = np.zeros(3)
    axis["xyz".index(name[1])] = 1.0 if name[0] == "+" else -1.0
    return axis


def _sideways(up: str) -> int:
    return 1 if up[1] == "x" else 0


def reflected(frames: Float, skeleton: Skeleton) -> Float:
    """(…, V, C) the mirror image of a body or a hand: joints of its sides swap, the sideways axis is negated."""
    signs = np.ones(frames.shape[-1], dtype=frames.dtype)
    signs[sideways(skeleton)] = -1
    return np.asarray(frames[..., swapped(skeleton), :] * signs)


def swapped(skeleton: Skeleton) -> npt.NDArray[np.int64]:
    """(V,) the joint of the other side of each joint."""
    order = np.arange(len(skeleton))
    for left, right in skeleton.mirror:
        order[left], order[right] = right, left
    return order


def sideways(skeleton: Skeleton) -> int:
    """The axis along which a body or a hand is mirrored."""
    return _sideways(skeleton.up or "+y")


def convert(frames: Float, source: Skeleton, target: Skeleton) -> Float:
    """The same motion on the joints and axes of another layout.

    Args:
        frames: (T, P, V, C), or any leading dimensions (…, V, C); absent persons and joints are zero.
        source: layout of ``frames``.
        target: layout wanted.

    Returns:
        (T, P, V', C) of the same dtype. A joint that the source lacks is the mean given by :data:`DERIVED`, and zero
        wherever one of the joints it is made of is zero. Image coordinates (C = 2) keep their handedness.

    Raises:
        ConfigError: a body and a hand, or a sensor; joints of the target that cannot be derived (lists all of them);
            or axes differ in a way that C coordinates cannot express.
    """
    frames = np.asarray(frames)
    if frames.ndim < 2 or frames.shape[-2] != len(source):
        raise ConfigError(
            f"frames of shape {frames.shape} do not fit the {counted(len(source), 'joint')} of {source.name!r}"
        )
    recipes = {name: recipe(name, source) for name in target.canonical}
    missing = [name for name, made in recipes.items() if made is None]
    if len(missing) == len(target) and source.kind != target.kind:
        raise ConfigError(
            f"{source.name!r} is a {source.kind} and {target.name!r} a {target.kind}: they share no joints"
        )
    if missing:
        raise ConfigError(
            f"{source.name!r} cannot be converted to {target.name!r}: {', '.join(missing)} cannot be derived from "
            f"its joints; those that are there by other names, give canonical names in a layout of your own"
        )
    out = np.empty((*frames.shape[:-2], len(target), frames.shape[-1]), dtype=frames.dtype)
    for index, name in enumerate(target.canonical):
        made = recipes[name] or ()
        if len(made) == 1:
            out[..., index, :] = frames[..., made[0], :]
        else:
            parts = frames[..., list(made), :]
            present = (parts != 0).any(axis=-1).all(axis=-1, keepdims=True)
            out[..., index, :] = parts.mean(axis=-2) * present
    return _turn(out, axes_matrix(source, target), source, target)


def _turn(frames: Float, matrix: npt.NDArray[np.float64], source: Skeleton, target: Skeleton) -> Float:
    channels = frames.shape[-1]
    if channels == 2 and source.right_handed != target.right_handed:
        # the picture is not mirrored: the axis that a change of handedness negates is depth, which is not there
        matrix = axes_matrix(source, target) * np.where(np.arange(3) == _sideways(target.up or "+y"), -1, 1)[:, None]
    if (matrix == np.eye(3)).all():
        return frames
    if channels not in (2, 3) or (channels == 2 and matrix[:2, 2].any()):
        raise ConfigError(
            f"{source.name!r} (up {source.up}) cannot be turned to {target.name!r} (up {target.up}) with "
            f"{counted(channels, 'coordinate')}"
        )
    turned: Float = frames @ matrix[:channels, :channels].T.astype(frames.dtype)
    return turned + 0.0  # no negative zeros: an absent joint is plain zero


def estimate_up(frames: Float, skeleton: Skeleton) -> str | None:
    """The axis along which bodies stand, as the recordings show it: from the ankles to the hips and on to the head.

    Where a body bows or sits its parts disagree, and where no axis stands out the floor decides: the axis along which
    the feet, and nothing else, are lowest.

    Args:
        frames: (…, V, C), C = 2 or 3; a few hundred frames are enough.
        skeleton: its joints; its declared axes are not used.

    Returns:
        one of ``+x -x +y -y +z -z``; None where head or hips are unknown or no axis stands out (lying bodies).
    """
    if frames.shape[-1] > 3:
        return None
    flat = frames.reshape(-1, *frames.shape[-2:]).astype(np.float64)
    steps = [_direction(flat, skeleton, start, end) for start, end in (("mid_hip", "head"), ("ankles", "mid_hip"))]
    known = [median for median in steps if median is not None]
    if steps[0] is None:
        return None
    typical = np.mean(known, axis=0)
    strongest = int(np.abs(typical).argmax())
    if abs(typical[strongest]) >= UPRIGHT:
        return ("+" if typical[strongest] > 0 else "-") + "xyz"[strongest]
    return _off_the_floor(flat, skeleton)


def _joints_of(name: str, skeleton: Skeleton) -> tuple[int, ...] | None:
    if name != "ankles":
        return recipe(name, skeleton)
    sides = [recipe(f"{side}_ankle", skeleton) for side in ("left", "right")]
    return None if None in sides else tuple(i for side in sides for i in side or ())


def _direction(flat: npt.NDArray[np.float64], skeleton: Skeleton, start: str, end: str) -> Any:
    """(C,) median of the unit vectors from one place of the body to another; None if one is never there."""
    first, last = _joints_of(start, skeleton), _joints_of(end, skeleton)
    if first is None or last is None:
        return None
    seen = np.asarray(flat[:, [*first, *last]].any(axis=2))
    there = flat[(seen | ~seen.any(axis=0)).all(axis=1)]  # a joint that is always zero is the origin
    step = there[:, list(last)].mean(axis=1) - there[:, list(first)].mean(axis=1)
    size = np.linalg.norm(step, axis=1, keepdims=True)
    step = step[size[:, 0] > 0] / size[size[:, 0] > 0]
    return np.median(step, axis=0) if len(step) else None


def _off_the_floor(flat: npt.NDArray[np.float64], skeleton: Skeleton) -> str | None:
    """The one axis along which a foot is lowest in nearly every frame; None if there is none or several."""
    feet = [i for i, n in enumerate(skeleton.canonical) if n.partition("_")[2] in _FEET]
    whole = flat[np.asarray(flat.any(axis=2)).all(axis=1)]
    if not feet or not len(whole) or flat.shape[2] != 3:
        return None
    found = []
    for axis in range(3):
        for sign in (1, -1):
            lowest = (sign * whole[..., axis]).argmin(axis=1)
            if np.isin(lowest, feet).mean() >= 0.95:
                found.append(("+" if sign > 0 else "-") + "xyz"[axis])
    return found[0] if len(found) == 1 else None


def estimate_handedness(frames: Float, skeleton: Skeleton) -> bool | None:
    """Whether the axes are right-handed, as the recordings show it: left is up × forward, where feet or the nose point.

    Args:
        frames: (…, V, 3).
        skeleton: needs hips or shoulders, head, and ankles (or heels) with toes, or else nose and ears.

    Returns:
        None where the joints are missing or the frames do not agree (fewer than 80 %).
    """
    if frames.shape[-1] != 3 or skeleton.kind != "body":
        return None
    names = ("mid_hip", "head", "left_shoulder", "right_shoulder")
    body = {name: recipe(name, skeleton) for name in names}
    if any(made is None for made in body.values()):
        return None
    backs = [n for n in ("heel", "ankle") if f"left_{n}" in skeleton.canonical and f"right_{n}" in skeleton.canonical]
    fronts = [recipe(f"{side}_foot", skeleton) for side in ("left", "right")]
    feet = bool(backs) and all(made is not None for made in fronts)
    if not feet and not {"nose", "left_ear", "right_ear"} <= set(skeleton.canonical):
        return None
    flat = frames.reshape(-1, *frames.shape[-2:]).astype(np.float64)
    flat = flat[flat.any(axis=(1, 2))]

    def at(made: tuple[int, ...] | None) -> npt.NDArray[np.float64]:
        return np.asarray(flat[:, list(made or ())].mean(axis=1))

    if feet:
        forward = sum(at(f) for f in fronts) - sum(at(recipe(f"{s}_{backs[0]}", skeleton)) for s in ("left", "right"))
    else:
        forward = (
            2 * at(recipe("nose", skeleton)) - at(recipe("left_ear", skeleton)) - at(recipe("right_ear", skeleton))
        )
    up = at(body["head"]) - at(body["mid_hip"])
    left = at(body["left_shoulder"]) - at(body["right_shoulder"])
    volume = (np.cross(up, forward) * left).sum(axis=1)
    votes = volume[volume != 0]
    if not len(votes):
        return None
    share = float((votes > 0).mean())
    return True if share >= 0.8 else False if share <= 0.2 else None
