"""Made recordings of a worn sensor: who does what is known, and easy to see."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive

FPS = 20.0
CLASSES = {"sit": 0.0, "walk": 1.5, "wave": 4.0}  # frequency of the movement


def movement(label: str, frames: int, random: np.random.Generator) -> np.ndarray:
    """(frames, 2, 3) readings of a wrist: gravity, and an oscillation of the class's frequency."""
    time = np.arange(frames)[:, None, None] / FPS
    swing = np.sin(2 * np.pi * CLASSES[label] * time + random.uniform(0, 6)) * (CLASSES[label] > 0)
    tilt = {"sit": (0, 0, 9.8), "walk": (0, 9.8, 0), "wave": (9.8, 0, 0)}[label]
    return (
        np.array([tilt, (0, 0, 0)])
        + 3 * swing * [[1, 0.5, 0.2], [0.3, 0.1, 0.2]]
        + random.normal(0, 0.3, (frames, 2, 3))
    )


def recordings(path: Path, people: int = 4, each: int = 2, seed: int = 0, *, labelled: bool = True) -> MotionArchive:
    """Recordings of five bouts of 3 to 6 seconds with a track ``activity``."""
    random = np.random.default_rng(seed)
    writer = ArchiveWriter(path, skeleton=layouts.get("imu-2"), fps=FPS, units="m/s^2", class_names=list(CLASSES))
    with writer:
        for i in range(people * each):
            order = [list(CLASSES)[(i + k + (k > 2)) % 3] for k in range(5)]
            parts = [(c, int(random.integers(60, 120))) for c in order]
            frames = np.concatenate([movement(c, n, random) for c, n in parts]) * (1 + 0.02 * (i // each))
            labels = [c for c, n in parts for _ in range(n)]
            tracks = {"activity": labels} if labelled else {}
            writer.add(frames, name=f"r{i:02d}", subject=i // each + 1, tracks=tracks)
    return MotionArchive.open(path)


def clips(path: Path, seed: int = 0) -> MotionArchive:
    """Clips of 1 to 2 seconds of one class each, by four people."""
    random = np.random.default_rng(seed)
    with ArchiveWriter(path, skeleton=layouts.get("imu-2"), fps=FPS, class_names=list(CLASSES)) as writer:
        for i in range(36):
            label = i % 3
            frames = movement(list(CLASSES)[label], int(random.integers(20, 40)), random)
            writer.add(frames, name=f"c{i:02d}", label=label, subject=i // 9 + 1)
    return MotionArchive.open(path)
