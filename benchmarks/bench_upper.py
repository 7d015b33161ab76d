"""What films of the upper body cost: an archive of pixels with the legs, or hips and legs, of some people not seen.

python -m benchmarks.bench_upper PIXELS [WEIGHTS]

PIXELS as `python -m benchmarks.bench_picture` makes it. Not seen are they in nobody, in the people who are tested, in
every other person of either side, or in all. Printed are nearest neighbour, plain and standardised, and ridge
regression of the weights (by default `picture`) and of what stands beside them; odd-numbered people train,
even-numbered ones test.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.bench_pixels import filmed

from motet.data.archive import MotionArchive
from motet.evaluate.runner import run

LEGS = ["left_knee", "left_ankle", "right_knee", "right_ankle"]
PARTS = {"legs": LEGS, "hips and legs": [*LEGS, "left_hip", "right_hip", "mid_hip"]}
WHOSE: dict[str, Callable[[int], bool]] = {
    "those who are tested": lambda who: who % 2 == 0,
    "every other person": lambda who: who % 4 in (2, 3),
    "all": lambda who: True,
}


def cut(source: MotionArchive, path: Path, joints: list[str], whose: Callable[[int], bool]) -> Path:
    """The archive without some joints of some people."""
    lost = [source.skeleton.index(name) for name in joints]
    with filmed(source, path, source.skeleton) as writer:
        for index, row in enumerate(source.clips.iter_rows(named=True)):
            clip = source.clip(index).copy()
            if whose(int(row["subject"])):
                clip[:, :, lost] = 0
            writer.add(clip, name=row["name"], label=row["label"], subject=row["subject"])
    return path


def figures(weights: str, path: Path) -> dict[str, str]:
    """Features -> kNN / standardised / ridge."""
    found: dict[str, list[str]] = {}
    for row in run(weights, ("knn", "ridge"), data=path, split="odd-even", progress=False)["rows"]:
        if "+" in row["stream"]:
            found.setdefault(row["features"], []).append(f"{100 * row['mean']:.1f}")
    return {features: " / ".join(numbers) for features, numbers in found.items()}


def main() -> None:
    source, weights = MotionArchive.open(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "picture"
    rows = {"nothing lost": figures(weights, source.path)}
    with TemporaryDirectory() as folder:
        for part, joints in PARTS.items():
            for who, whose in WHOSE.items():
                path = Path(folder) / f"{part} of {who}"
                rows[f"{part} of {who}"] = figures(weights, cut(source, path, joints, whose))
    print("| not seen |", " | ".join(rows["nothing lost"]), "|")
    for name, found in rows.items():
        print("|", name, "|", " | ".join(found.values()), "|")


if __name__ == "__main__":
    main()
