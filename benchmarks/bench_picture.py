"""What the weights `picture` and `hand-picture` are worth on recordings in space as cameras see them, next to encoders
trained on them.

python -m benchmarks.bench_picture ARCHIVE front|mixed|side PIXELS [SEEDS]

People of an archive in metres are seen in perspective by cameras that look down by up to ten degrees, with several
lenses and two pixels of noise: from the front, each person from one of five directions up to 60 degrees to the side
(so other people are seen from elsewhere), or from the side; hands by nearer cameras, from the front or up to 30 degrees
to the side. PIXELS is the archive that is made of them. Without SEEDS that is all: `motet evaluate picture --data
PIXELS` has the figures. With SEEDS, printed are nearest neighbour and ridge regression of `cmd` with new encoders and
from the weights, of these as they are, and of what stands beside them;
odd-numbered people train, even-numbered ones test.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from benchmarks.bench_above import compared
from benchmarks.bench_pixels import filmed

from motet.core.units import METRES
from motet.data import layouts
from motet.data.archive import MotionArchive
from motet.data.convert import convert
from motet.data.simulate.cameras import View, project, see
from motet.data.skeletons import Skeleton

Floats = npt.NDArray[np.float64]

ASIDE = (-60, -30, 0, 30, 60)  # degrees
TURNED = (-30, -15, 0, 15, 30)  # of hands


def start(source: MotionArchive) -> str:
    """The weights that read pictures of these recordings."""
    return "hand-picture" if source.skeleton.kind == "hand" else "picture"


def bodies(source: MotionArchive) -> tuple[Skeleton, list[Floats]]:
    """Clips (T, 15, 3) in metres, y up, that face +z on the whole."""
    layout = replace(layouts.get("shared-15"), up="+y", right_handed=True)
    both = [layout.index(f"{side}_shoulder") for side in ("left", "right")]
    clips = [convert(c[:, :1].astype(np.float64), source.skeleton, layout)[:, 0] for c in source]
    left = sum(np.median(c[:, both[0]] - c[:, both[1]], axis=0) for c in clips)
    turn = np.arctan2(left[2], left[0])  # from where the people of a set face to the front
    back = np.array([[np.cos(turn), 0, -np.sin(turn)], [0, 1, 0], [np.sin(turn), 0, np.cos(turn)]])
    return layout, [clip @ back for clip in clips]


def hands(source: MotionArchive) -> tuple[Skeleton, list[Floats]]:
    """Clips (T, 21, 3) in metres, y up, towards the camera +z; recorded with x right and z away from it."""
    layout = replace(layouts.get("hand-21"), up="+y", right_handed=False)
    return layout, [convert(c[:, :1].astype(np.float64), source.skeleton, layout)[:, 0] * [1, 1, -1] for c in source]


def seen(source: MotionArchive, path: Path, where: str) -> Path:
    """The archive in pixels, of bodies fifteen joints, of hands 21."""
    hand, random = source.skeleton.kind == "hand", np.random.default_rng(1)
    layout, clips = (hands if hand else bodies)(source)
    people, scale = source.clips["subject"].to_numpy(), METRES[source.units]
    cameras = {who: random.choice(TURNED if hand else ASIDE) for who in np.unique(people)}
    with filmed(source, path, layout) as writer:
        for row, (name, who, label) in enumerate(zip(source.clips["name"], people, source.labels, strict=True)):
            there = clips[row].any(axis=-1, keepdims=True)
            middle = clips[row][there[..., 0].any(axis=1).argmax()].mean(axis=0)
            aside = np.radians({"front": 0, "mixed": cameras[who], "side": 90}[where] + random.uniform(-10, 10))
            down, away = (random.uniform(-10, 10), (0.35, 0.8)) if hand else (random.uniform(0, 10), (2.8, 5.0))
            view = View(np.pi + aside, np.radians(down), 0.0, random.uniform(*away), 0.0)
            own = np.zeros(len(clips[row]), np.int64)
            points = see(((clips[row] - middle) * scale).transpose(1, 2, 0), [view], own).transpose(2, 0, 1)
            pixels = (project(points, random) + random.normal(0, 2, (*points.shape[:-1], 2))) * there
            writer.add(pixels[:, None].astype(np.float32), name=name, label=int(label), subject=int(who))
    return path


def main() -> None:
    archive, where, out, *seeds = sys.argv[1:]
    source = MotionArchive.open(archive)
    pixels = seen(source, Path(out), where)
    if seeds:
        weights = start(source)
        compared(pixels, {"new encoders": {"start": "none"}, f"from {weights}": {"start": weights}}, int(seeds[0]))


if __name__ == "__main__":
    main()
