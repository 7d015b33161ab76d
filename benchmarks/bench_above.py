"""What turning animals that are seen from above to their own heading is worth, on simulated mice.

python -m benchmarks.bench_above [SEEDS]

Twelve mice walk about an open field, stay, groom, rear and sniff; a tracker sees nine joints with three millimetres of
noise, loses some and takes some for others. Odd-numbered mice train, even-numbered ones test; printed are nearest
neighbour and ridge regression of `cmd` with its defaults and what stands beside it, clips as recorded and turned.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

import motet
from motet.data.archive import ArchiveWriter
from motet.data.skeletons import Skeleton
from motet.evaluate.runner import run

JOINTS = ("snout", "leftear", "rightear", "shoulder", "spine1", "spine2", "tailbase", "tailmid", "tailtip")
AXIS, ACROSS = np.array([45, 32, 32, 20, 5, -12, -30, -60, -90.0]), np.array([0, 9, -9, 0, 0, 0, 0, 0, 0.0])
SPEED = {"walk": 150.0, "stay": 1.0, "groom": 2.0, "rear": 5.0, "sniff": 10.0}  # mm/s
FPS, FRAMES, CLIPS = 30, 60, 75
FORMS = ("first-frame", "egocentric")


def mouse(doing: str, style: float, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """(60, 9, 2) millimetres."""
    time = np.arange(FRAMES) / FPS + random.uniform(0, 9)
    along, across = np.tile(AXIS, (FRAMES, 1)), np.tile(ACROSS, (FRAMES, 1))
    beat = {"walk": 4.3, "groom": 6.0, "sniff": 2.2}.get(doing, 1.0) * style
    wave = np.sin(2 * np.pi * beat * time)[:, None]
    if doing == "walk":
        across += 2 * np.sin(2 * np.pi * beat * time[:, None] + AXIS / 25)
    elif doing == "groom":
        along[:, :4] *= 0.85
        across[:, :3] += 3 * wave + 3
    elif doing == "rear":
        along[:, AXIS > 0] *= 0.75 + 0.1 * np.sin(2 * np.pi * 0.7 * time)[:, None]
    elif doing == "sniff":
        across[:, :3] += 4 * wave
    bend = 0.04 if doing == "walk" else 0.01
    angle = random.uniform(0, 2 * np.pi) + np.cumsum(np.cumsum(random.normal(0, bend, FRAMES)) / 20)
    ahead = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    aside = np.stack([-ahead[:, 1], ahead[:, 0]], axis=-1)
    place = random.uniform(50, 450, 2) + np.cumsum(SPEED[doing] * style / FPS * ahead, axis=0)
    return place[:, None] + along[..., None] * ahead[:, None] + across[..., None] * aside[:, None]


def field(path: Path) -> Path:
    random, names = np.random.default_rng(7), list(SPEED)
    layout = Skeleton("mouse", JOINTS, (3, 0, 0, 4, -1, 4, 5, 6, 7), center=4, up="-y")
    with ArchiveWriter(path, skeleton=layout, fps=FPS, units="mm", channels=("x", "y"), class_names=names) as writer:
        for who in range(12):
            style = 1 + 0.2 * random.normal()
            for number in range(CLIPS):
                points = mouse(names[number % 5], style, random) + random.normal(0, 3, (FRAMES, 9, 2))
                points[random.random((FRAMES, 9)) < 0.01] += random.normal(0, 30, 2)
                points[random.random((FRAMES, 9)) < 0.02] = 0
                writer.add(points[:, None], name=f"{who}-{number}", label=number % 5, subject=who, persons=1)
    return path


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with TemporaryDirectory() as folder:
        data, found = field(Path(folder) / "mice"), {}
        for form in FORMS:
            out = Path(folder) / form
            options: dict[str, Any] = {"split": "odd-even", "preprocess": form, "progress": False}
            runs = [motet.pretrain("cmd", data, out / str(s), seed=s, **options).path for s in range(seeds)]
            for row in run(runs, ("knn", "ridge"), progress=False)["rows"]:
                if "+" in row["stream"] and not row.get("standardise"):
                    of = found.setdefault(str(row["features"]), {}).setdefault(form, {})
                    of.setdefault(row["protocol"], 100 * row["mean"])
        print("| features |", " | ".join(FORMS), "|")
        for name, of in found.items():
            cells = [" / ".join(f"{of[form][p]:.1f}" for p in ("knn", "ridge")) for form in FORMS if form in of]
            print("|", name, "|", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
