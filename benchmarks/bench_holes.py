"""What `body`, `hand` and `wrist` are worth where joints were not seen or samples were lost.

python -m benchmarks.bench_holes hand ARCHIVE

Odd-numbered people train with whole clips. Of the others' clips a tenth of the frames, one stretch of a fifth, or a
tenth of the joints (or readings of nodes) is taken away; printed are nearest neighbour and ridge regression.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.data.archive import MotionArchive
from motet.data.pieces import Piece, write
from motet.data.splits import split
from motet.evaluate.runner import run

Frames = npt.NDArray[Any]
SHARE, STRETCH = 0.1, 0.2


def frames(clip: Frames, random: np.random.Generator) -> None:
    clip[random.random(len(clip)) < SHARE] = 0


def stretch(clip: Frames, random: np.random.Generator) -> None:
    length = int(STRETCH * len(clip))
    start = random.integers(len(clip) - length + 1)
    clip[start : start + length] = 0


def joints(clip: Frames, random: np.random.Generator) -> None:
    clip[random.random(clip.shape[:3]) < SHARE] = 0


def without(archive: MotionArchive, path: Path, take: Callable[[Frames, np.random.Generator], None]) -> MotionArchive:
    random, tested = np.random.default_rng(0), set(split(archive, "odd-even").test)

    def change(piece: Piece, clip: Frames) -> Frames:
        holed = np.array(clip)
        if piece.index in tested:
            take(holed, random)
        return holed

    return write([Piece(archive, row) for row in range(len(archive))], path, archive, change=change, verb="holes")


def scores(weights: str, archive: MotionArchive) -> str:
    options: dict[str, Any] = {"split": "odd-even", "baselines": False, "again": True, "progress": False}
    rows = run([Path(weights)], ("knn", "ridge"), data=archive.path, **options)["rows"]
    of = {
        row["protocol"]: 100 * row["mean"] for row in reversed(rows) if "+" in row["stream"]
    }  # the plain knn is first
    return f"{of['knn']:.1f} / {of['ridge']:.1f}"


if __name__ == "__main__":
    whole = MotionArchive.open(sys.argv[2])
    print("nothing lost", scores(sys.argv[1], whole))
    for take in (frames, stretch, joints):
        with TemporaryDirectory() as folder:
            print(take.__name__, scores(sys.argv[1], without(whole, Path(folder) / whole.path.name, take)))
