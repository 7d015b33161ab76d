"""Where a performance is seen from: three depth cameras around the actor, the camera of a film, or an optical system's
laboratory frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from motet.data.simulate.body import Array

CAMERAS = (-45.0, 0.0, 45.0)
"""Degrees by which cameras 1, 2 and 3 stand to the side of the actor's front."""

SETUPS = 8
NEAREST = 1.1
"""Metres: nobody comes closer to a depth camera than this."""
ASIDE = 35.0
"""Degrees by which the camera of a film stands farther to either side, at most."""
WIDTH, HEIGHT = 1280, 720
"""Pixels of a film."""
LENSES = (0.7, 1.3)
"""Focal lengths, in widths of the picture."""


@dataclass(frozen=True)
class View:
    """One camera's view of one performance.

    Attributes:
        yaw: heading of the actor in the camera frame, radians (half a turn: facing the camera).
        pitch: how far the camera looks down, radians.
        height, distance, aside: camera above the floor, and the actor's place before it, metres.
    """

    yaw: float
    pitch: float
    height: float
    distance: float
    aside: float


def depth_view(draw: np.random.Generator, camera: int, setup: int, *, sideways: bool) -> View:
    """A depth camera's view.

    Args:
        draw: generator of the clip's camera.
        camera: 1, 2 or 3.
        setup: 1 to :data:`SETUPS`; each has its own height and distance, as in a recording campaign.
        sideways: two people who face each other stand across the line of sight.
    """
    level, range_ = (setup - 1) % 4, (setup - 1) // 4
    height = 0.8 + 0.45 * level + draw.normal(0, 0.03)
    distance = 2.7 + 0.8 * range_ + draw.normal(0, 0.12)
    yaw = np.pi + np.radians(CAMERAS[camera - 1] + draw.uniform(-18, 18)) + (np.pi / 2 if sideways else 0)
    pitch = np.arctan2(height - 0.95, distance) + np.radians(draw.normal(0, 2))
    return View(float(yaw), float(pitch), float(height), float(distance), float(draw.normal(0, 0.2)))


def optical_view(draw: np.random.Generator, *, sideways: bool) -> View:
    """The laboratory frame of an optical system: floor at y = 0, the actor somewhere near its middle."""
    yaw = np.pi + np.radians(draw.uniform(-40, 40)) + (np.pi / 2 if sideways else 0)
    return View(float(yaw), 0.0, 0.0, float(draw.normal(0, 0.3)), float(draw.normal(0, 0.3)))


def film_view(draw: np.random.Generator, camera: int, setup: int, *, sideways: bool) -> View:
    """The view of a film: that of a depth camera, up to :data:`ASIDE` farther to either side."""
    view = depth_view(draw, camera, setup, sideways=sideways)
    return replace(view, yaw=view.yaw + float(np.radians(draw.uniform(-ASIDE, ASIDE))))


def hand_view(draw: np.random.Generator) -> View:
    """The view of a film of a hand, which may be turned from how it faces the camera."""
    aside, down = np.radians(draw.uniform(-25, 25)), np.radians(draw.uniform(-17, 17))
    return View(np.pi + aside, down, draw.normal(0, 0.06), draw.uniform(0.35, 0.8), draw.normal(0, 0.08))


def project(points: Array, draw: np.random.Generator) -> Array:
    """Where points are in the picture of a pinhole camera.

    Args:
        points: (..., 3) metres in the camera frame of :func:`see`; zero where they are lost.
        draw: of the lens.

    Returns:
        (..., 2) pixels, x right and y down; zero where points are lost.
    """
    focal, there = np.float32(WIDTH * draw.uniform(*LENSES)), points.any(axis=-1, keepdims=True)
    away = np.maximum(points[..., 2:], 0.1)
    pixels = np.array([WIDTH / 2, HEIGHT / 2], np.float32) - focal * points[..., :2] / away
    return np.asarray(pixels * there, dtype=points.dtype)


def see(positions: Array, views: list[View], own: npt.NDArray[np.int64]) -> Array:
    """Body frame to camera frame (x to the camera's left, y up, z away from it; right-handed).

    Args:
        positions: (V, 3, F) metres.
        views: one per performance.
        own: (F,) the performance of each frame.

    Returns:
        (V, 3, F) metres.
    """
    table = np.array([[v.yaw, v.pitch, v.height, v.distance, v.aside] for v in views])
    cos, sin = np.cos(table[:, :2]).astype(np.float32)[own].T, np.sin(table[:, :2]).astype(np.float32)[own].T
    height, distance, aside = table[:, 2:].astype(np.float32)[own].T
    x, y, z = positions[:, 0], positions[:, 1] - height, positions[:, 2]
    out = np.empty_like(positions)
    out[:, 0] = cos[0] * x + sin[0] * z + aside
    away = cos[0] * z - sin[0] * x + distance
    out[:, 1] = y * cos[1] + away * sin[1]
    out[:, 2] = away * cos[1] - y * sin[1]
    return out
