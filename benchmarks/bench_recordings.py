"""A long recording of a wrist sensor through a fitted model: seconds of processor time and memory an hour costs.

python -m benchmarks.bench_recordings --hours 24 --candidate network
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.use.fit import fit

FPS = 50.0
CLASSES = ("sit", "walk", "wave")


def movement(kind: int, frames: int, random: np.random.Generator) -> np.ndarray:
    """(frames, 2, 3) readings: gravity on another axis and another frequency for each class."""
    swing = np.sin(2 * np.pi * (0.0, 1.5, 4.0)[kind] * np.arange(frames) / FPS)[:, None, None]
    gravity = np.zeros((2, 3))
    gravity[0, kind] = 9.8
    return gravity + 3 * swing + random.normal(0, 0.3, (frames, 2, 3))


def write(path: Path, recordings: int, seconds: float, seed: int) -> MotionArchive:
    """Recordings whose class changes every five seconds."""
    random = np.random.default_rng(seed)
    with ArchiveWriter(path, skeleton=layouts.get("imu-2"), fps=FPS, class_names=CLASSES) as writer:
        for index in range(recordings):
            kinds = [(index + k) % 3 for k in range(round(seconds / 5))]
            frames = np.concatenate([movement(k, 250, random) for k in kinds]).astype(np.float32)
            labels = [CLASSES[k] for k in kinds for _ in range(250)]
            writer.add(frames, name=f"r{index}", subject=index // 2, tracks={"activity": labels})
    return MotionArchive.open(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--candidate", default="statistics+trees")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        known = write(Path(folder) / "known.motet", 6, 60, 0)
        model = fit(known, Path(folder) / "model", candidates=(given.candidate,), folds=2, progress=False)
        day = write(Path(folder) / "day.motet", 1, given.hours * 3600, 1)
        began = time.process_time()
        bouts = model.predict(day)
        spent = time.process_time() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{given.candidate}: {given.hours:g} h in {spent:.1f} s of one core, {len(bouts)} bouts, peak {memory:.0f} MB"
    )


if __name__ == "__main__":
    main()
