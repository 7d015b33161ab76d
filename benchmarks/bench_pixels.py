"""What bringing bodies in a picture to one size is worth: recordings in space, seen by cameras at several distances.

python -m benchmarks.bench_pixels ARCHIVE [SEEDS]

Every person of an archive in metres is seen from the front, in parallel projection, by a camera of his own: 121 to 330
pixels a metre, anywhere in the picture, with a pixel of noise. Odd-numbered people train, even-numbered ones test;
printed are nearest neighbour and ridge regression of `cmd` with its defaults and of what stands beside it, clips as
first-frame leaves them and sized.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from benchmarks.bench_above import compared

from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.skeletons import Skeleton

NEAR = 0.5  # logarithm of how much nearer or further than 200 pixels a metre
FORMS = {form: {"preprocess": form, "start": "none"} for form in ("first-frame", "sized")}


def filmed(source: MotionArchive, path: Path, layout: Skeleton, persons: int = 1) -> ArchiveWriter:
    """An archive of pixels of the clips of another one, to be filled."""
    return ArchiveWriter(
        path,
        skeleton=replace(layout, up="-y"),
        fps=source.fps,
        units="px",
        channels=("x", "y"),
        class_names=source.class_names,
        persons=persons,
    )


def seen(source: MotionArchive, path: Path) -> Path:
    """The archive in pixels."""
    random, skeleton = np.random.default_rng(1), source.skeleton
    assert skeleton.up is not None
    up, sign = "xyz".index(skeleton.up[1]), 1 if skeleton.up[0] == "-" else -1
    left, right = skeleton.index("left_shoulder"), skeleton.index("right_shoulder")
    across = sum(np.abs((c[:, 0, left] - c[:, 0, right]).mean(axis=0)) for c in map(source.clip, range(len(source))))
    across[up] = 0
    people = source.clips["subject"].to_numpy()
    scale = {who: 200 * np.exp(random.uniform(-NEAR, NEAR)) for who in np.unique(people)}
    with filmed(source, path, skeleton, source.persons) as writer:
        for row, (name, who, label) in enumerate(zip(source.clips["name"], people, source.labels, strict=True)):
            frames = source.clip(row)
            flat = np.stack([frames[..., int(across.argmax())], sign * frames[..., up]], axis=-1) * scale[who]
            flat += random.uniform((440, 160), (840, 560)) + random.normal(0, 1, flat.shape)
            flat *= (frames != 0).any(axis=-1, keepdims=True)
            writer.add(flat.astype(np.float32), name=name, label=int(label), subject=int(who))
    return path


def main() -> None:
    seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with TemporaryDirectory() as folder:
        compared(seen(MotionArchive.open(sys.argv[1]), Path(folder) / "pixels"), FORMS, seeds)


if __name__ == "__main__":
    main()
