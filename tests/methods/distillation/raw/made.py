"""A folder of tiny films with sound, and networks that are small enough for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from motet.methods.distillation.raw import Audio, RawOptions, Video
from tests.methods.distillation.raw.media_files import pictures, tone, write

NETWORKS = RawOptions(
    video=Video(layers=(1, 1, 1, 1), width=2, size=16, frames=4, stride=4, weights="random"),
    audio=Audio(width=1, features=4, weights="random", seconds=0.5),
)
FLAGS = [
    *("--video.layers", "1", "1", "1", "1", "--video.width", "2", "--video.size", "16", "--video.frames", "4"),
    *("--video.stride", "4", "--audio.width", "1", "--audio.features", "4", "--audio.weights", "random"),
]
SMALL = {"features": 4, "fuse_hidden": 4, "critic_width": 4, "epochs": 2, "batch_size": 4, "warm_up": 1}
QUICK = ["--features", "4", "--fuse-hidden", "4", "--critic-width", "4", "--batch-size", "4", "--warm-up", "1"]
QUICK += ["--workers", "0"]


def films(root: Path, train: int = 4, test: int = 2) -> Path:
    """Two classes, distinguished by brightness and by pitch: train/low/low0.mp4 …"""
    random = np.random.default_rng(0)
    for side, count in (("train", train), ("test", test)):
        for label, (hertz, shade) in {"high": (2000, 120), "low": (300, 0)}.items():
            for number in range(count):
                frames = pictures(int(random.integers(6, 12)), 16, 24) // 2 + np.uint8(shade)
                wave = tone(float(random.uniform(0.3, 0.5)), hertz * random.uniform(0.9, 1.1))
                write(root / side / label / f"{label}{number}.mp4", frames, wave)
    return root
