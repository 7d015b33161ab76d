"""What sensors make of true joint positions: an optical system's precision, a depth camera's troubles, a pose
estimator's pictures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from motet.data.simulate.body import Array
from motet.data.simulate.cameras import project
from motet.data.skeletons import Skeleton

OPTICAL_NOISE = 0.0003
"""Metres, standard deviation of an optical system's error per axis."""
PLACED, PIXELS = 0.025, 1.5
"""Of a pose estimator: metres from a joint to where it is taken to be, pixels of tremble of a trunk joint."""
FRAMED, BORDER = 0.4, (0.35, 0.95)
"""Share of films in which the picture ends within the body, and where: shares of its height, from the top."""

# How much a depth camera's estimate of a joint trembles, relative to a trunk joint; extremities are small and fast.
_TREMBLE = {
    "finger": 2.2, "thumb": 2.2, "tip": 2.2, "index": 2.2, "hand": 1.9, "wrist": 1.6, "elbow": 1.3,
    "foot": 1.9, "toe": 2.0, "ankle": 1.6, "knee": 1.2, "head": 0.9,
}  # fmt: skip
_ARM = ("elbow", "wrist", "hand", "thumb", "tip", "finger", "index", "pinky")
_LEG = ("knee", "ankle", "foot", "toe", "heel")


@dataclass(frozen=True)
class Roles:
    """What the depth model needs to know of a layout.

    Attributes:
        tremble: (V,) noise relative to a trunk joint.
        limbs: index arrays of left arm, right arm, left leg, right leg beyond shoulder and hip, in one order.
        trunk: joints by which the body's front is known.
    """

    tremble: Array
    limbs: tuple[npt.NDArray[np.int64], ...]
    trunk: npt.NDArray[np.int64]


def _roles(canonical: tuple[str, ...]) -> Roles:
    tremble = [max((v for key, v in _TREMBLE.items() if key in name), default=1.0) for name in canonical]

    def limb(side: str, words: tuple[str, ...]) -> npt.NDArray[np.int64]:
        chosen = [n for n in canonical if n.startswith(side) and any(w in n for w in words)]
        order = sorted(chosen, key=lambda n: n.removeprefix(side))
        return np.array([canonical.index(n) for n in order], np.int64)

    limbs = tuple(limb(side, words) for words in (_ARM, _LEG) for side in ("left_", "right_"))
    outer = {int(i) for indices in limbs for i in indices}
    trunk = np.array([i for i in range(len(canonical)) if i not in outer], np.int64)
    return Roles(np.array(tremble, np.float32), limbs, trunk)


_cached_roles = cache(_roles)


def roles(skeleton: Skeleton) -> Roles:
    """The roles of a layout's joints, read from their canonical names."""
    return _cached_roles(skeleton.canonical)


def optical(clip: Array, draw: np.random.Generator) -> Array:
    """White noise of :data:`OPTICAL_NOISE`; (T, P, V, 3) metres."""
    return clip + np.float32(OPTICAL_NOISE) * draw.standard_normal(clip.shape, np.float32)


def depth(clip: Array, draw: np.random.Generator, layout: Roles) -> Array:
    """A depth camera's skeleton of a clip in camera coordinates.

    Noise grows with distance and is partly slow; joints hidden behind the trunk wander and are drawn towards it;
    limbs freeze or jump for some frames; left and right limbs are swapped for some frames; now and then the body is
    lost altogether (zeros).

    Args:
        clip: (T, P, V, 3) true positions in metres, camera frame; y up, z away from the camera.
        draw: generator of the clip's sensor.
        layout: roles of the layout's joints.
    """
    out = np.empty_like(clip)
    for person in range(clip.shape[1]):
        out[:, person] = _depth_person(clip[:, person], draw, layout)
    return out


def picture(clip: Array, draw: np.random.Generator, layout: Roles) -> Array:
    """What a pose estimator finds in the pictures of a camera.

    Joints lie where the estimator learnt to put them, some centimetres from where they are; it is misled like a depth
    camera (:func:`depth`), and trembles by pixels. Some films show the upper part of the body alone.

    Args:
        clip: (T, P, V, 3) true positions in metres, camera frame; y up, z away from the camera.
        draw: generator of the clip's sensor.
        layout: roles of the layout's joints.

    Returns:
        (T, P, V, 2) pixels; zero where a body or joint is lost.
    """
    placed = np.float32(PLACED) * draw.standard_normal(clip.shape[1:], np.float32)
    pixels = project(depth(clip + placed, draw, layout), draw)
    noise = np.float32(PIXELS) * layout.tremble[:, None] * draw.standard_normal(pixels.shape, np.float32)
    return _framed(np.asarray(pixels + noise * pixels.any(axis=-1, keepdims=True), dtype=clip.dtype), draw)


def _framed(pixels: Array, draw: np.random.Generator) -> Array:
    """Joints under the border of the picture are zero, in some of the films."""
    framed, cut = draw.random() < FRAMED, draw.uniform(*BORDER)
    seen, height = pixels.any(axis=-1), pixels[..., 1]
    there = np.any(seen, axis=(1, 2))
    if not framed or not there.any():
        return pixels
    top = np.median(np.where(seen, height, np.inf)[there].min(axis=(1, 2)))
    bottom = np.median(np.where(seen, height, -np.inf)[there].max(axis=(1, 2)))
    return np.where((height <= top + cut * (bottom - top))[..., None], pixels, np.float32(0))


def _slow(noise: Array, memory: float) -> Array:
    """Autoregressive noise over frames with unit variance."""
    gain = np.array([np.sqrt(1 - memory**2)], np.float32)
    poles = np.array([1, -memory], np.float32)
    start = noise[:1] * (1 - gain)  # so that the first frame has unit variance too
    filtered: Array = lfilter(gain, poles, noise, axis=0, zi=start)[0]
    return filtered


def _depth_person(clip: Array, draw: np.random.Generator, layout: Roles) -> Array:
    frames = len(clip)
    away = clip[:, :, 2:3]
    sigma = np.float32(0.0022) * layout.tremble[:, None] * (0.5 + (away / 3.0) ** 2)
    noise = draw.standard_normal((2, *clip.shape), np.float32)
    slow = _slow(noise[1], 0.85)
    shift = np.float32(0.010) * layout.tremble[:, None] * draw.standard_normal(clip.shape[1:], np.float32)
    hidden = _hidden(clip, layout)[:, :, None]
    wander = sigma * noise[0] + (1.6 * sigma + 0.05 * hidden) * slow
    out: Array = (clip + shift * 0.6 + wander).astype(np.float32)
    # a hidden joint is guessed on the side of the trunk that the camera sees
    out[:, :, 2] -= (0.10 * hidden[:, :, 0]).astype(np.float32)
    out[:, :, :2] += 0.2 * hidden * (clip[:, layout.trunk, :2].mean(axis=1, keepdims=True) - clip[:, :, :2])
    _freeze(out, draw, layout, frames)
    _jump(out, draw, layout, frames)
    _swap(out, draw, layout, frames)
    _lose(out, draw, frames)
    return out


def _hidden(clip: Array, layout: Roles) -> Array:
    """(T, V) from 0, seen, to 1, behind the trunk as the camera looks."""
    trunk = clip[:, layout.trunk]
    middle = trunk.mean(axis=1, keepdims=True)
    low, high = trunk[:, :, 1].min(axis=1, keepdims=True), trunk[:, :, 1].max(axis=1, keepdims=True)
    behind = 1 / (1 + np.exp(-np.clip((clip[:, :, 2] - middle[:, :, 2] - 0.12) / 0.03, -30, 30)))
    aside = np.exp(-(((clip[:, :, 0] - middle[:, :, 0]) / 0.16) ** 2))
    within = (clip[:, :, 1] > low - 0.05) & (clip[:, :, 1] < high + 0.05)
    hidden: Array = (behind * aside * within).astype(np.float32)
    hidden[:, layout.trunk] = 0
    return hidden


def _event(draw: np.random.Generator, frames: int, shortest: int, longest: int) -> slice:
    start = int(draw.integers(frames))
    return slice(start, min(frames, start + int(draw.integers(shortest, longest + 1))))


def _limb(draw: np.random.Generator, layout: Roles) -> npt.NDArray[np.int64]:
    return layout.limbs[draw.integers(len(layout.limbs))]


def _freeze(out: Array, draw: np.random.Generator, layout: Roles, frames: int) -> None:
    for _ in range(draw.poisson(frames / 150)):
        when, limb = _event(draw, frames, 3, 12), _limb(draw, layout)
        out[when, limb] = out[when.start, limb]


def _jump(out: Array, draw: np.random.Generator, layout: Roles, frames: int) -> None:
    for _ in range(draw.poisson(frames / 150)):
        when, limb = _event(draw, frames, 1, 4), _limb(draw, layout)
        out[when, limb] += draw.normal(0, 0.12, 3).astype(np.float32)


def _swap(out: Array, draw: np.random.Generator, layout: Roles, frames: int) -> None:
    for _ in range(draw.poisson(frames / 600)):
        when, pair = _event(draw, frames, 2, 8), int(draw.integers(2))
        one, other = layout.limbs[2 * pair], layout.limbs[2 * pair + 1]
        if len(one) == len(other):
            out[when, one], out[when, other] = out[when, other].copy(), out[when, one].copy()


def _lose(out: Array, draw: np.random.Generator, frames: int) -> None:
    if draw.random() < 0.04:
        when = _event(draw, frames, 1, 5)
        # the first frame is always seen: recording starts when a body is found
        out[max(when.start, 1) : when.stop] = 0
