"""Recordings → the small animations inside the page: a common frame, few frames, 16-bit integers."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from motet.data.skeletons import Skeleton
from motet.report.data import Bool, Float, Motion

# Sizes: 1,000 Kinect clips with two persons at the budget make a page of about 12 MB.
BYTE_BUDGET = 10_000_000  # of base64 text for all clips together
MAX_FRAMES, MIN_FRAMES = 40, 6
MAX_SENSOR_FRAMES = 96
LONG_FPS = (12.0, 25.0)  # frames a second of long recordings of bodies, and of sensors
MISSING = -32768  # an absent joint; present ones lie within ±FULL_SCALE
FULL_SCALE = 32000
ASSUMED_FPS = 30.0  # playback speed where the frame rate is unknown; the page says so

# Stored axes → (right, up, towards the viewer), all rotations (determinant +1).
_TO_SCREEN: dict[str, tuple[tuple[int, int, int], ...]] = {
    "+y": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "-y": ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
    "+z": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "-z": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "+x": ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
    "-x": ((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
}


def dimensions(skeleton: Skeleton, channels: Sequence[str]) -> int:
    """3 for a body or hand in space, 2 for one in the picture plane (a third channel that is no z included)."""
    return 3 if len(channels) >= 3 and channels[2].lower() == "z" and skeleton.kind != "sensor" else 2


def to_screen(clip: Float, skeleton: Skeleton, dims: int) -> Float:
    """(T, P, V, C) in stored axes → (T, P, V, dims) with x right, y up, z towards the viewer (right-handed)."""
    up = skeleton.up or "+y"
    if dims == 2:
        flat: Float = clip[..., :2] * np.array([1.0, -1.0 if up == "-y" else 1.0])
        return flat
    turned: Float = clip[..., :3] @ np.array(_TO_SCREEN[up], dtype=np.float64).T
    return turned if skeleton.right_handed else turned * np.array([1.0, 1.0, -1.0])


def resample(clip: Float, present: Bool, frames: int) -> tuple[Float, Bool]:
    """Evenly spaced frames, first and last kept; linear where a joint is present on both sides, nearest elsewhere.

    Args:
        clip: (T, P, V, C).
        present: (T, P, V) bool.
        frames: at most so many come back; a shorter clip stays as it is.
    """
    length = len(clip)
    if length <= frames:
        return clip, present
    at = np.linspace(0, length - 1, frames)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, length - 1)
    part = (at - low)[:, None, None, None]
    nearest = np.round(at).astype(int)
    both = (present[low] & present[high])[..., None]
    mixed = np.where(both, clip[low] * (1 - part) + clip[high] * part, clip[nearest])
    return mixed, present[nearest]


def facing(clip: Float, present: Bool, skeleton: Skeleton) -> float:
    """Yaw in radians that turns the first person's chest to the viewer; 0 where left and right are not declared.

    Left − right, averaged over mirror pairs and time, points to the person's left; left × up is the way they face.
    """
    if not skeleton.mirror or clip.shape[-1] < 3:
        return 0.0
    left, right = (list(side) for side in zip(*skeleton.mirror, strict=True))
    seen = present[:, 0, left] & present[:, 0, right]
    if not seen.any():
        return 0.0
    across = (clip[:, 0, left] - clip[:, 0, right])[seen].mean(0)
    ahead_x, ahead_z = -across[2], across[0]  # across × (0, 1, 0)
    return float(np.arctan2(-ahead_x, ahead_z))


def _encode(values: Float, present: Bool) -> str:
    whole = np.clip(np.round(values), -FULL_SCALE, FULL_SCALE)
    whole[~present] = MISSING
    return base64.b64encode(np.ascontiguousarray(whole, dtype="<i2").tobytes()).decode("ascii")


def frames_per_clip(motion: Motion) -> int:
    """How many frames every clip may keep so that all of them stay within the budget."""
    sensor = motion.skeleton.kind == "sensor"
    channels = len(motion.channels) if sensor else dimensions(motion.skeleton, motion.channels)
    row = len(motion.skeleton) * channels * 2 * 4 / 3
    persons = sum(clip.shape[1] if sensor else _persons(clip) for clip in motion.clips)
    return int(np.clip(BYTE_BUDGET / (row * max(persons, 1)), MIN_FRAMES, MAX_SENSOR_FRAMES if sensor else MAX_FRAMES))


def _persons(clip: Float) -> int:
    """Person slots up to the last one that holds anybody."""
    filled = np.flatnonzero(clip.any(axis=(0, 2, 3)))
    return int(filled[-1]) + 1 if len(filled) else 1


def _seconds(clip: Float, motion: Motion) -> float:
    return round(max(len(clip) / (motion.fps or ASSUMED_FPS), 0.2), 3)


def _body(clip: Float, motion: Motion, frames: int) -> dict[str, Any]:
    dims = dimensions(motion.skeleton, motion.channels)
    clip = np.asarray(clip[:, : _persons(clip)], dtype=np.float64)
    present: Bool = np.any(clip, axis=-1)
    turned, present = resample(to_screen(clip, motion.skeleton, dims), present, frames)
    seen = turned[present]
    if not len(seen):
        seen = np.zeros((1, dims))
    # a joint that jumps away for a frame must not shrink the figure: the picture is fitted to 98 % of the joints
    low, high = np.percentile(seen, 1, axis=0), np.percentile(seen, 99, axis=0)
    middle = (low + high) / 2
    scale = float(np.abs(seen - middle).max()) / FULL_SCALE or 1.0
    radius = float(np.hypot(*(seen - middle)[:, [0, -1 if dims == 3 else 0]].T).max()) if dims == 3 else 0.0
    half = (high - low) / 2
    wide = float(np.hypot(half[0], half[2])) if dims == 3 else float(half[0])
    return {
        "t": len(turned),
        "p": turned.shape[1],
        "d": _seconds(clip, motion),
        "s": float(f"{scale:.6g}"),
        "w": round(min(wide, radius) if dims == 3 else wide, 4),
        "h": round(float(half[1]), 4),
        "y": round(facing(turned, present, motion.skeleton), 3) if dims == 3 else 0,
        "m": _encode((turned - middle) / scale, present),
    }


def _sensor(clip: Float, motion: Motion, frames: int) -> dict[str, Any]:
    clip = np.asarray(clip, dtype=np.float64)
    values, present = resample(clip, np.ones(clip.shape[:3], dtype=bool), frames)
    scale = float(np.abs(values).max()) / FULL_SCALE or 1.0
    return {
        "t": len(values),
        "p": values.shape[1],
        "d": _seconds(clip, motion),
        "s": float(f"{scale:.6g}"),
        "m": _encode(values / scale, present),
    }


def _units(motion: Motion) -> list[str]:
    """Unit of each joint; ``g, deg/s`` are those of a sensor's nodes, one after the other."""
    each = [unit.strip() for unit in motion.units.split(",")]
    return each if len(each) == len(motion.skeleton) else [motion.units] * len(motion.skeleton)


def _ranges(motion: Motion) -> list[list[float]]:
    """(low, high) of each sensor node over all clips, the outermost half percent left out."""
    nodes = [np.concatenate([clip[:, :, v].ravel() for clip in motion.clips]) for v in range(len(motion.skeleton))]
    ranges = []
    for values in nodes:
        low, high = (float(x) for x in np.percentile(values, (0.5, 99.5)))
        margin = 0.08 * (high - low) or 1.0
        ranges.append([float(f"{low - margin:.4g}"), float(f"{high + margin:.4g}")])
    return ranges


def _head(skeleton: Skeleton) -> int:
    names = [name.lower() for name in skeleton.canonical]
    return names.index("head") if "head" in names and skeleton.kind == "body" else -1


def pack_long(motion: Motion) -> dict[str, Any]:
    """:func:`pack` for recordings that are looked at moment by moment: as many frames as the budget allows, at most
    :data:`LONG_FPS` a second, and bodies kept in the middle of the picture."""
    sensor = motion.skeleton.kind == "sensor"
    clips = motion.clips if sensor else [_in_the_middle(np.asarray(c), motion.skeleton) for c in motion.clips]
    whole = Motion(motion.skeleton, motion.channels, clips, motion.fps, motion.units)
    seconds = [len(c) / (motion.fps or ASSUMED_FPS) for c in clips]
    channels = len(motion.channels) if sensor else dimensions(motion.skeleton, motion.channels)
    persons = max((_persons(c) for c in clips), default=1)
    most = BYTE_BUDGET / (len(motion.skeleton) * channels * persons * 2 * 4 / 3)
    fps = min(LONG_FPS[1 if sensor else 0], most / max(sum(seconds), 1e-9))
    made = [
        (_sensor if sensor else _body)(c, whole, max(2, round(s * fps))) for c, s in zip(clips, seconds, strict=True)
    ]
    return {**pack(Motion(motion.skeleton, motion.channels, [], motion.fps, motion.units)), "clips": made} | (
        {"ranges": _ranges(whole)} if sensor and clips else {}
    )


def _in_the_middle(clip: Float, skeleton: Skeleton) -> Float:
    """Every frame moved so that the first person's centre joint stands still; absent joints stay zero."""
    present = clip.any(axis=-1, keepdims=True)
    root = clip[:, :1, skeleton.center : skeleton.center + 1].astype(np.float64)
    return np.where(present, clip - root + 1.0, 0.0)  # 1: a joint at zero would count as absent


def pack(motion: Motion) -> dict[str, Any]:
    """Everything the player in the page needs, as plain data for JSON.

    Per clip: ``t`` frames, ``p`` persons, ``d`` seconds, ``s`` size of one integer step, ``w`` and ``h`` half width
    and half height of the figure, ``y`` yaw that faces the viewer, ``m`` base64 of little-endian int16 (t, p, V, C).
    """
    skeleton = motion.skeleton
    sensor = skeleton.kind == "sensor"
    frames = frames_per_clip(motion)
    side = [0] * len(skeleton)
    for left, right in skeleton.mirror:
        side[left], side[right] = 1, 2
    packed: dict[str, Any] = {
        "kind": skeleton.kind,
        "dims": len(motion.channels) if sensor else dimensions(skeleton, motion.channels),
        "joints": list(skeleton.joints),
        "channels": list(motion.channels),
        "units": _units(motion),
        "fps": motion.fps,
        "assumed": ASSUMED_FPS,
        "bones": [list(bone) for bone in skeleton.bones],
        "side": side,
        "head": _head(skeleton),
        "frames": frames,
        "clips": [(_sensor if sensor else _body)(clip, motion, frames) for clip in motion.clips],
    }
    if sensor and motion.clips:
        packed["ranges"] = _ranges(motion)
    return packed
