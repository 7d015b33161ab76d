"""The data path written the plain way, clip by clip in numpy: what tests compare with and benchmarks race against."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]


def resize(clip: Array, start: int, length: int, frames: int) -> Array:
    """Linear resize of one window of a clip (T, P, V, C), half-pixel centres, edge clamp."""
    window = clip[start : start + length]
    source = np.clip((np.arange(frames) + 0.5) * length / frames - 0.5, 0, length - 1)
    early = np.floor(source).astype(np.int64)
    late = np.minimum(early + 1, length - 1)
    weight = (source - early).astype(clip.dtype)[:, None, None, None]
    return window[early] * (1 - weight) + window[late] * weight


def random_window(rng: np.random.Generator, length: int, minimum_ratio: float, frames: int) -> tuple[int, int]:
    """Start and length of a random crop of one clip."""
    kept = min(max(int(np.floor(length * rng.uniform(minimum_ratio, 1))), frames), length)
    return int(rng.integers(0, length - kept + 1)), kept


def shear(clip: Array, rng: np.random.Generator, amplitude: float = 1.0) -> Array:
    """S x with one random shear matrix S for the clip."""
    matrix = np.eye(3)
    matrix[~np.eye(3, dtype=bool)] = rng.uniform(-amplitude, amplitude, 6)
    return np.dot(clip, matrix.T).astype(clip.dtype)


def corrupt(clip: Array, rng: np.random.Generator, joints: int = 15) -> Array:
    """Zero, or map by one random matrix, some of the joints in all frames and persons."""
    out = clip.copy()
    chosen = rng.choice(clip.shape[2], joints, replace=False)
    if rng.uniform() < 0.5:
        out[:, :, chosen] = 0
    else:
        out[:, :, chosen] = np.dot(clip[:, :, chosen], rng.uniform(-1, 1, (3, 3)))
    return out


def two_views(clips: list[Array], rng: np.random.Generator, frames: int = 64) -> tuple[Array, Array]:
    """The published pre-training feeder on a list of clips: two augmented views (B, T, P, V, C)."""
    views: tuple[list[Array], list[Array]] = ([], [])
    for clip in clips:
        for view in views:
            cut = resize(clip, *random_window(rng, len(clip), 0.1, frames), frames)
            view.append(corrupt(cut, rng) if rng.uniform() < 0.5 else shear(cut, rng))
    return np.stack(views[0]), np.stack(views[1])


def two_views_channels_first(clips: list[Array], rng: np.random.Generator, frames: int = 64) -> tuple[Array, Array]:
    """The same on clips (C, T, V, P), the layout in which CMD's release stores and augments them."""
    views: tuple[list[Array], list[Array]] = ([], [])
    for clip in clips:
        for view in views:
            start, length = random_window(rng, clip.shape[1], 0.1, frames)
            window = clip[:, start : start + length]
            source = np.clip((np.arange(frames) + 0.5) * length / frames - 0.5, 0, length - 1)
            early = np.floor(source).astype(np.int64)
            weight = (source - early).astype(clip.dtype)[:, None, None]
            cut = window[:, early] * (1 - weight) + window[:, np.minimum(early + 1, length - 1)] * weight
            last = cut.transpose(1, 3, 2, 0)
            spatial = corrupt(last, rng) if rng.uniform() < 0.5 else shear(last, rng)
            view.append(spatial.transpose(3, 0, 2, 1))
    return np.stack(views[0]), np.stack(views[1])


def rodrigues(source: Array, target: Array) -> Array:
    """Smallest rotation from one vector to another; identity where there is no axis."""
    axis = np.cross(source, target)
    if np.abs(axis).sum() < 1e-6:
        return np.eye(3)
    cosine = float(np.dot(source, target) / np.linalg.norm(source) / np.linalg.norm(target))
    angle = math.acos(min(1.0, max(-1.0, cosine)))
    if abs(angle) < 1e-6:
        return np.eye(3)
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn: Array = np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross
    return turn


def fill(person: Array) -> Array:
    """Null frames of one person (T, V, C): to the front if he comes late, then repeat cyclically to the end."""
    person = person.copy()
    if not person.any():
        return person
    if not person[0].any():
        seen = person[person.any(axis=(1, 2))]
        person[:] = 0
        person[: len(seen)] = seen
    for t in range(len(person)):
        if not person[t:].any():
            person[t:] = np.concatenate([person[:t]] * (len(person) // t + 1))[: len(person) - t]
            break
    return person


def normalise(clip: Array) -> Array:
    """CMD's normalisation of one Kinect v2 clip (T, P, 25, 3), joint by joint."""
    people = [fill(clip[:, p]) for p in range(clip.shape[1])]
    centre = people[0][:, 1].copy()
    for person in people:
        for t in range(len(person)):
            for v in range(person.shape[1]):
                if person[t, v].any():
                    person[t, v] = person[t, v] - centre[t]
    start = people[0][0]
    turns = (((1, 0), (0.0, 0.0, 1.0)), ((8, 4), (1.0, 0.0, 0.0)))
    for (tip, root), target in turns:
        matrix = rodrigues(start[tip] - start[root], np.array(target))
        for person in people:
            for t in range(len(person)):
                if not person[t].any():
                    continue
                for v in range(person.shape[1]):
                    person[t, v] = np.dot(matrix, person[t, v])
    return np.stack(people, axis=1)
