"""A hand of 21 joints: channels of its pose, their limits, and where the joints then are.

The hand's own axes are right-handed, in hand lengths (wrist to middle fingertip, about 0.19 m): y along the
fingers, x towards the thumb of a right hand, z out of the palm. Flexion turns y towards z.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

LAYOUT = "hand-21"
FINGERS = ("index", "middle", "ring", "pinky")
THUMB = ("thumb_out", "thumb_palm", "thumb_mcp", "thumb_ip")
"""how far the thumb points aside and out of the palm, and the flexion of its joints, in degrees"""
POSE = (*THUMB, *(f"{f}_{joint}" for f in FINGERS for joint in ("mcp", "spread", "pip")))
"""channels of the fingers, degrees; the last joint of a finger bends two thirds as far as the one before"""
PLACE, TURN = ("x", "y", "z"), ("rx", "ry", "rz")
"""of the wrist: hand lengths (x right, y up, z towards the viewer), and a rotation vector in degrees"""
CHANNELS = (*POSE, *PLACE, *TURN)
INDEX = {name: i for i, name in enumerate(CHANNELS)}
FINGER_CHANNELS, PLACE_CHANNELS = slice(0, len(POSE)), slice(len(POSE), len(POSE) + 3)
TURN_CHANNELS = slice(len(POSE) + 3, len(CHANNELS))
_THUMB_LIMITS = (-40, 85), (-5, 65), (-10, 60), (-20, 85)
_FINGER_LIMITS = (-20, 92), (-22, 22), (0, 110)
LIMITS = np.array([*_THUMB_LIMITS, *_FINGER_LIMITS * 4, *[(-9, 9)] * 3, *[(-200, 200)] * 3], np.float64)
"""(channels, 2) least and most"""
_LAST_JOINT = 0.67
_KNUCKLES = np.array([(0.135, 0.500, 0.0), (0.020, 0.490, 0.0), (-0.090, 0.455, 0.0), (-0.185, 0.405, 0.01)])
_THUMB_ROOT = np.array([0.12, 0.13, 0.04])
_THUMB_AXIS = np.array([0.25, -0.10, 1.0]) / np.linalg.norm([0.25, -0.10, 1.0])  # about which the thumb bends
BONES = {
    "thumb": (0.242, 0.179, 0.147), "index": (0.237, 0.137, 0.116), "middle": (0.263, 0.158, 0.126),
    "ring": (0.242, 0.147, 0.126), "pinky": (0.190, 0.105, 0.105),
}  # fmt: skip
"""lengths of the three bones of each finger"""


@dataclass(frozen=True)
class Size:
    """A person's hand.

    Attributes:
        length: wrist to middle fingertip, metres.
        palm: (3,) width, length and thickness of the palm relative to :data:`_KNUCKLES`.
        bones: the lengths of :data:`BONES` in hand lengths.
    """

    length: float
    palm: Array
    bones: dict[str, Array]


def rotation(vectors: Array) -> Array:
    """(F, 3) rotation vectors in degrees → (F, 3, 3) rotations of column vectors (Rodrigues)."""
    angle = np.radians(np.linalg.norm(vectors, axis=-1))[:, None, None]
    x, y, z = (np.radians(vectors) / np.maximum(angle[:, :, 0], 1e-9)).T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(-1, 3, 3)
    out: Array = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
    return out


def about(axis: Array, degrees: Array) -> Array:
    """(F, 3, 3) rotations about one axis by (F,) degrees."""
    return rotation(degrees[:, None] * axis)


def _towards(aside: Array, flexion: Array) -> Array:
    """(F, 3) direction of a bone, from its angles (F,) in radians."""
    return np.stack([np.sin(aside) * np.cos(flexion), np.cos(aside) * np.cos(flexion), np.sin(flexion)], axis=-1)


def _finger(pose: Array, finger: int, size: Size) -> list[Array]:
    mcp, spread, pip = pose[:, 4 + 3 * finger : 7 + 3 * finger].T
    # a finger that is bent at its root can hardly be spread
    aside = np.radians(spread * np.cos(np.radians(np.clip(mcp, 0, 90))))
    points = [np.broadcast_to(_KNUCKLES[finger] * size.palm, (len(pose), 3))]
    flexion = mcp
    for length, more in zip(size.bones[FINGERS[finger]], (0.0, pip, _LAST_JOINT * pip), strict=True):
        flexion = flexion + more
        points.append(points[-1] + _towards(aside, np.radians(flexion)) * length)
    return points


def _thumb(pose: Array, size: Size) -> list[Array]:
    out, palm, mcp, ip = pose[:, : len(THUMB)].T
    points = [np.broadcast_to(_THUMB_ROOT * size.palm, (len(pose), 3))]
    direction = _towards(np.radians(out), np.radians(palm))
    for length, bent in zip(size.bones["thumb"], (np.zeros_like(mcp), mcp, ip), strict=True):
        direction = np.einsum("fij,fj->fi", about(_THUMB_AXIS, bent), direction)
        points.append(points[-1] + direction * length)
    return points


def joints(pose: Array, size: Size) -> Array:
    """Where the joints of a right hand are in its own axes.

    Args:
        pose: (F, channels) of which the fingers' channels count, degrees.
        size: whose hand.

    Returns:
        (F, 21, 3) metres, wrist at the origin, in the order of the layout ``hand-21``.
    """
    points = [np.zeros((len(pose), 3)), *_thumb(pose, size)]
    for finger in range(len(FINGERS)):
        points += _finger(pose, finger, size)
    return np.stack(points, axis=1) * size.length
