"""Inertial sensors at the leading wrist and at the hip, from the kinematics of a performance."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from motet.data.simulate.body import Array
from motet.data.skeletons import Skeleton

GRAVITY = 9.81
"""m/s²."""

ACCELEROMETER_NOISE, ACCELEROMETER_BIAS = 0.08, 0.05
"""m/s², standard deviation per axis and frame, and per axis and clip."""
GYROSCOPE_NOISE, GYROSCOPE_BIAS = 0.01, 0.01
"""rad/s, likewise."""

NODES = ("wrist_accelerometer", "wrist_gyroscope", "hip_accelerometer", "hip_gyroscope")
SENSORS = Skeleton(
    name="imu-wrist-hip",
    joints=NODES,
    parents=(-1, -1, -1, -1),
    parts={"wrist": (0, 1), "hip": (2, 3), "accelerometers": (0, 2), "gyroscopes": (1, 3)},
    up=None,
    kind="sensor",
)


def _inside(starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(F,) each frame, or the nearest one that has a neighbour on both sides within its performance."""
    own = np.repeat(np.arange(len(lengths)), lengths)
    return np.clip(np.arange(len(own)), starts[own] + 1, starts[own] + lengths[own] - 2)


def measure(
    position: Array, frame: Array, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], fps: float
) -> Array:
    """True accelerometer and gyroscope readings of a sensor fixed to a segment.

    Args:
        position: (3, F) of the sensor, metres, y up.
        frame: (3, 3, F) orientation of the segment; columns are the sensor's axes.
        starts, lengths: of the performances along F; each at least three frames long.
        fps: frames a second.

    Returns:
        (2, 3, F): specific force in m/s² (at rest 9.81 upward), angular rate in rad/s; both in the sensor's axes.
    """
    at = _inside(starts, lengths)
    force = (position[:, at + 1] - 2 * position[:, at] + position[:, at - 1]) * np.float32(fps**2)
    force[1] += np.float32(GRAVITY)
    # R(t-1)ᵀ R(t+1) is the turn within two frames, about the sensor's own axes
    before, after = frame[:, :, at - 1], frame[:, :, at + 1]
    turn = np.stack([[np.sum(before[:, i] * after[:, j], axis=0) for j in range(3)] for i in range(3)])
    half = np.stack([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]) / 2
    sine = np.sqrt(np.sum(half**2, axis=0))
    angle = np.arctan2(sine, (turn[0, 0] + turn[1, 1] + turn[2, 2] - 1) / 2)
    rate = half * np.where(sine > 1e-6, angle / np.maximum(sine, 1e-6), 1) * np.float32(fps / 2)
    own = np.stack([np.sum(frame[:, j] * force, axis=0) for j in range(3)])
    readings: Array = np.stack([own, rate]).astype(np.float32)
    return readings


def sense(clip: Array, draw: np.random.Generator) -> Array:
    """Add noise and bias to the true readings of a clip, (T, 4, 3) in the order of :data:`NODES`."""
    noise = np.array([ACCELEROMETER_NOISE, GYROSCOPE_NOISE] * 2, np.float32)[:, None]
    bias = np.array([ACCELEROMETER_BIAS, GYROSCOPE_BIAS] * 2, np.float32)[:, None]
    white = noise * draw.standard_normal(clip.shape, np.float32)
    noisy: Array = clip + white + bias * draw.standard_normal(clip.shape[1:], np.float32)
    return noisy
