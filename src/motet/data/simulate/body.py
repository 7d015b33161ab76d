"""The simulated body: its joints, its channels with their limits, and forward kinematics over many frames at once.

Body frame: x to the actor's left, y up, z forward (right-handed). Angles are radians, lengths metres. A pose is a
row of :data:`CHANNELS`; ``l_`` and ``r_`` channels mean the same anatomical motion on both sides, so a left-handed
performance is the right-handed one with the two groups exchanged and :data:`LATERAL` channels negated.

Trunk, head and arms are posed by their joint angles. Legs follow from the feet: a programme says where each foot
stands or moves, hip and knee angles are solved, so that a planted foot does not slide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]

JOINTS = (
    "spine_base", "spine_mid", "neck", "head",
    "left_shoulder", "left_elbow", "left_wrist", "left_hand",
    "right_shoulder", "right_elbow", "right_wrist", "right_hand",
    "left_hip", "left_knee", "left_ankle", "left_foot",
    "right_hip", "right_knee", "right_ankle", "right_foot",
    "spine_shoulder", "left_hand_tip", "left_thumb", "right_hand_tip", "right_thumb",
)  # fmt: skip
JOINT = {name: index for index, name in enumerate(JOINTS)}

_TRUNK = {
    # pelvis, in leg lengths relative to standing over the middle of the feet; `fly` lifts pelvis and feet together
    "pelvis_x": (-3, 3), "pelvis_y": (-0.95, 0.2), "pelvis_z": (-3, 3), "fly": (0, 0.6),
    # degrees: turn to the left, bend forward, lean to the left
    "pelvis_yaw": (-400, 400), "pelvis_pitch": (-95, 100), "pelvis_roll": (-40, 40),
    "spine_flex": (-30, 75), "spine_side": (-35, 35), "spine_twist": (-45, 45),
    "head_nod": (-50, 55), "head_tilt": (-35, 35), "head_turn": (-75, 75),
}  # fmt: skip
_ARM = {
    # plane of elevation (0 to the side, 90 forward, more across the body), elevation from hanging (negative: behind),
    # external rotation of the upper arm, elbow flexion, forearm pronation from thumb-up, wrist flexion
    "plane": (-70, 160), "elevation": (-50, 178), "twist": (-95, 100), "elbow": (0, 150), "pron": (-85, 90),
    "wrist": (-65, 70),
}  # fmt: skip
_FOOT = {
    # toe position in leg lengths relative to its stance, outward / up / forward; degrees: the foot carried around
    # the body's origin (to the left), toes outward, heel raised
    "out": (-1.5, 1.5), "up": (0, 1.9), "fwd": (-2, 2), "carry": (-400, 400), "toe_out": (-30, 60), "heel": (-40, 95),
}  # fmt: skip
_LENGTHS = {"pelvis_x", "pelvis_y", "pelvis_z", "fly", "out", "up", "fwd"}

CHANNELS: tuple[str, ...] = (
    *_TRUNK,
    *(f"{side}_{name}" for side in "lr" for name in (*_ARM, *_FOOT)),
)
INDEX = {name: index for index, name in enumerate(CHANNELS)}
LATERAL = frozenset(
    {"pelvis_x", "pelvis_yaw", "pelvis_roll", "spine_side", "spine_twist", "head_tilt", "head_turn"}
    | {"l_carry", "r_carry"}
)
"""Channels whose sign names a side."""

REST: Mapping[str, float] = {
    f"{side}_{name}": value
    for side in "lr"
    for name, value in {"plane": 25.0, "elevation": 8.0, "elbow": 14.0, "pron": 20.0, "wrist": 5.0}.items()
}
"""Quiet standing, degrees; channels that are not named rest at zero."""


def is_angle(channel: str) -> bool:
    """Whether a channel is an angle (degrees in programmes, radians in poses) rather than a length."""
    return channel.removeprefix("l_").removeprefix("r_") not in _LENGTHS


def _limits() -> Array:
    table = {**_TRUNK, **{f"{s}_{n}": v for s in "lr" for n, v in (*_ARM.items(), *_FOOT.items())}}
    rows = [np.radians(table[name]) if is_angle(name) else np.array(table[name]) for name in CHANNELS]
    return np.stack(rows).astype(np.float32)


LIMITS = _limits()
"""(channels, 2) lowest and highest value; radians for angles."""

KNEE_LIMIT = float(np.radians(152))


def rest_pose() -> Array:
    """(channels,) quiet standing; radians for angles."""
    return np.array([np.radians(REST.get(n, 0.0)) if is_angle(n) else REST.get(n, 0.0) for n in CHANNELS], np.float32)


def mirror_channels() -> tuple[npt.NDArray[np.int64], Array]:
    """(channels,) source index and sign that turn a right-handed pose into the left-handed one."""
    swap = {"l_": "r_", "r_": "l_"}
    source = [INDEX[swap[n[:2]] + n[2:]] if n[:2] in swap else INDEX[n] for n in CHANNELS]
    sign = [-1.0 if n in LATERAL else 1.0 for n in CHANNELS]
    return np.array(source), np.array(sign, np.float32)


# Segment lengths as fractions of the stature: anthropometric averages (Winter, Biomechanics and Motor Control of
# Human Movement), with the trunk split where a depth camera's skeleton puts its spine joints.
SEGMENTS: Mapping[str, float] = {
    "hip_width": 0.046, "hip_drop": 0.018, "thigh": 0.243, "shank": 0.236, "ankle_height": 0.044, "foot": 0.072,
    "lower_spine": 0.168, "upper_spine": 0.130, "neck": 0.042, "head": 0.078,
    "shoulder_width": 0.102, "shoulder_drop": 0.032, "upper_arm": 0.160, "forearm": 0.143, "palm": 0.044,
    "fingers": 0.048, "thumb": 0.040,
}  # fmt: skip
SOLE = 0.011
"""Height of the foot joint above the floor when the foot stands flat, as a fraction of the stature."""

# The longest reach of a leg, as a fraction of thigh + shank: a knee is never quite straight.
REACH = 0.9985
_AXES = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}


def turn(frame: Array, axis: str, angle: Array) -> Array:
    """``frame @ R(axis, angle)`` for (3, 3, F) frames (columns are axes) and (F,) angles in radians."""
    a, b = _AXES[axis]
    c, s = np.cos(angle), np.sin(angle)
    out = frame.copy()
    out[:, a] = c * frame[:, a] + s * frame[:, b]
    out[:, b] = c * frame[:, b] - s * frame[:, a]
    return out


def identity(frames: int) -> Array:
    """(3, 3, F) frames at rest."""
    return np.repeat(np.eye(3, dtype=np.float32)[:, :, None], frames, axis=2)


def _along(frame: Array, x: Array | float, y: Array | float, z: Array | float) -> Array:
    out: Array = frame[:, 0] * x + frame[:, 1] * y + frame[:, 2] * z
    return out


def _dot(a: Array, b: Array) -> Array:
    out: Array = a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
    return out


def _unit(v: Array) -> Array:
    return v / np.sqrt(np.maximum(_dot(v, v), np.float32(1e-12)))


def swing(frame: Array, side: float, plane: Array, elevation: Array, twist: Array) -> Array:
    """Upper-arm frame: elevated in its plane by the shortest rotation, then rotated about itself (ISB Y-X-Y)."""
    frame = turn(frame, "y", -side * plane)
    frame = turn(frame, "z", side * elevation)
    return turn(frame, "y", side * (plane + twist))


class Posed:
    """World positions and the frames that inertial sensors need.

    Attributes:
        positions: (25, 3, F) joints in metres, body frame of the performance (floor at y = 0).
        pelvis, left_hand, right_hand: (3, 3, F) orientations, columns are the segment's x, y, z axes.
        knees: (2, F) flexion of the left and right knee, radians.
    """

    def __init__(self, frames: int) -> None:
        self.positions: Array = np.zeros((len(JOINTS), 3, frames), np.float32)
        self.knees: Array = np.zeros((2, frames), np.float32)
        self.pelvis = self.left_hand = self.right_hand = identity(0)


def leg_length(size: Mapping[str, Any]) -> Any:
    """Length of a straight leg, hip to ankle, metres."""
    return size["thigh"] + size["shank"]


def _feet(pose: Array, size: Mapping[str, Array], side: str) -> tuple[Array, Array]:
    """Foot frame (3, 3, F) and foot joint (3, F) of one side, from the foot channels."""
    get = {name: pose[INDEX[f"{side}_{name}"]] for name in _FOOT}
    sign = 1.0 if side == "l" else -1.0
    leg = leg_length(size)
    x = sign * (size["stance"] + get["out"] * leg)
    # the ankles stand a little behind the hips, so that the weight rests on the foot
    z = get["fwd"] * leg + 0.75 * size["foot"]
    c, s = np.cos(get["carry"]), np.sin(get["carry"])
    toe = np.stack([c * x + s * z, size["sole"] + (get["up"] + pose[INDEX["fly"]]) * leg, c * z - s * x])
    frame = turn(identity(pose.shape[1]), "y", get["carry"] + sign * (get["toe_out"] + size["toe_out"]))
    frame = turn(frame, "x", get["heel"])
    return frame, toe


def pose_body(pose: Array, size: Mapping[str, Array], travel: Array) -> Posed:
    """Forward kinematics of F frames at once.

    Args:
        pose: (channels, F), within :data:`LIMITS`.
        size: (F,) segment lengths in metres of each frame's actor, keys of :data:`SEGMENTS` and ``stance``, ``sole``
            (metres), ``toe_out`` (radians).
        travel: (F,) metres that the whole body has moved forward.
    """
    frames = pose.shape[1]
    out = Posed(frames)
    put = out.positions
    get = {name: pose[i] for name, i in INDEX.items()}
    leg = leg_length(size)

    pelvis = turn(identity(frames), "y", get["pelvis_yaw"])
    pelvis = turn(turn(pelvis, "x", get["pelvis_pitch"]), "z", -get["pelvis_roll"])
    sides = {"l": 1.0, "r": -1.0}
    feet = {side: _feet(pose, size, side) for side in sides}
    ankles = {
        side: toe + _along(frame, 0.0, size["ankle_height"] - size["sole"], -size["foot"])
        for side, (frame, toe) in feet.items()
    }
    hips = {side: _along(pelvis, sign * size["hip_width"], -size["hip_drop"], 0.0) for side, sign in sides.items()}
    root = np.stack([get["pelvis_x"] * leg, np.zeros_like(leg), get["pelvis_z"] * leg])
    standing = size["ankle_height"] + (0.996 + get["pelvis_y"] + get["fly"]) * leg + size["hip_drop"]
    root[1] = _within_reach(standing, root, hips, ankles, pose, leg)
    root[2] += travel
    for side in sides:
        feet[side][1][2] += travel
        ankles[side][2] += travel

    put[JOINT["spine_base"]] = root
    lower = _spine(pelvis, get)
    put[JOINT["spine_mid"]] = root + _along(lower, 0.0, size["lower_spine"], 0.0)
    chest = _spine(lower, get)
    top = put[JOINT["spine_shoulder"]] = put[JOINT["spine_mid"]] + _along(chest, 0.0, size["upper_spine"], 0.0)
    put[JOINT["neck"]] = top + _along(chest, 0.0, size["neck"], 0.0)
    head = turn(turn(turn(chest, "y", get["head_turn"]), "x", get["head_nod"]), "z", -get["head_tilt"])
    put[JOINT["head"]] = put[JOINT["neck"]] + _along(head, 0.0, size["head"], 0.18 * size["head"])

    hands: dict[str, Array] = {}
    for side, sign in sides.items():
        hands[side] = _arm(put, get, size, chest, top, side, sign)
        frame, toe = feet[side]
        _leg(put, out.knees, size, root + hips[side], ankles[side], toe, frame, pelvis, side)
    out.pelvis, out.left_hand, out.right_hand = pelvis, hands["l"], hands["r"]
    return out


def _spine(frame: Array, get: Mapping[str, Array]) -> Array:
    """One of the two halves of the spine, each with half of the bending."""
    half = np.float32(0.5)
    frame = turn(frame, "y", half * get["spine_twist"])
    return turn(turn(frame, "x", half * get["spine_flex"]), "z", -half * get["spine_side"])


def _within_reach(
    height: Array, root: Array, hips: Mapping[str, Array], ankles: Mapping[str, Array], pose: Array, leg: Array
) -> Array:
    """Lower the pelvis to where both standing legs reach the floor; a raised foot does not pull it down."""
    soft = np.float32(0.006)  # metres over which the limit rounds off
    for side in "lr":
        dx = root[0] + hips[side][0] - ankles[side][0]
        dz = root[2] + hips[side][2] - ankles[side][2]
        up = np.sqrt(np.maximum((REACH * leg) ** 2 - dx**2 - dz**2, 0))
        raised = np.float32(4.0) * leg * pose[INDEX[f"{side}_up"]]
        limit = ankles[side][1] - hips[side][1] + up + raised
        gap = (limit - height) / soft
        height = np.minimum(height, limit) - soft * np.log1p(np.exp(-np.abs(gap)))
    return height


def _arm(
    put: Array, get: Mapping[str, Array], size: Mapping[str, Array], chest: Array, top: Array, side: str, sign: float
) -> Array:
    name = {"l": "left", "r": "right"}[side]
    channel = {key: get[f"{side}_{key}"] for key in _ARM}
    shoulder = put[JOINT[f"{name}_shoulder"]] = top + _along(
        chest, sign * size["shoulder_width"], -size["shoulder_drop"], 0.0
    )
    upper = swing(chest, sign, channel["plane"], channel["elevation"], channel["twist"])
    elbow = put[JOINT[f"{name}_elbow"]] = shoulder + _along(upper, 0.0, -size["upper_arm"], 0.0)
    fore = turn(upper, "x", -channel["elbow"])
    wrist = put[JOINT[f"{name}_wrist"]] = elbow + _along(fore, 0.0, -size["forearm"], 0.0)
    # flexion bends the palm side; the palm faces the body when the thumb is forward
    hand = turn(turn(fore, "y", -sign * channel["pron"]), "z", -sign * channel["wrist"])
    put[JOINT[f"{name}_hand"]] = wrist + _along(hand, 0.0, -size["palm"], 0.0)
    put[JOINT[f"{name}_hand_tip"]] = wrist + _along(hand, 0.0, -size["palm"] - size["fingers"], 0.0)
    put[JOINT[f"{name}_thumb"]] = wrist + _along(hand, 0.0, -0.7 * size["thumb"], 0.7 * size["thumb"])
    return hand


def _leg(
    put: Array,
    knees: Array,
    size: Mapping[str, Array],
    hip: Array,
    ankle: Array,
    toe: Array,
    foot: Array,
    pelvis: Array,
    side: str,
) -> None:
    """Two-bone inverse kinematics; the knee points between where the pelvis and the foot point."""
    name = {"l": "left", "r": "right"}[side]
    thigh, shank = size["thigh"], size["shank"]
    span = ankle - hip
    distance = np.sqrt(_dot(span, span))
    shortest = np.sqrt(thigh**2 + shank**2 + 2 * thigh * shank * np.cos(np.float32(KNEE_LIMIT)))
    reach = np.clip(distance, shortest, REACH * (thigh + shank))
    axis = span / np.maximum(distance, np.float32(1e-6))
    # the foot's own heading without its pitch: the horizontal part of its x axis turned by 90 degrees
    across = foot[:, 0]
    heading = np.stack([-across[2], np.zeros_like(across[0]), across[0]])
    # a leg raised in front points its knee up
    raised = np.maximum(_dot(axis, pelvis[:, 1]) + np.float32(0.4), 0)
    pole = pelvis[:, 2] + pelvis[:, 1] * raised + heading * np.float32(0.6)
    pole = _unit(pole - axis * _dot(pole, axis))
    along = (thigh**2 - shank**2 + reach**2) / (2 * reach)
    knee = hip + axis * along + pole * np.sqrt(np.maximum(thigh**2 - along**2, 0))
    end = hip + axis * reach
    put[JOINT[f"{name}_hip"]] = hip
    put[JOINT[f"{name}_knee"]] = knee
    put[JOINT[f"{name}_ankle"]] = end
    put[JOINT[f"{name}_foot"]] = end + (toe - ankle)
    cosine = (thigh**2 + shank**2 - reach**2) / (2 * thigh * shank)
    knees["lr".index(side)] = np.pi - np.arccos(np.clip(cosine, -1, 1))
