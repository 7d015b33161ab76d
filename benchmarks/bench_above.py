"""What turning animals that are seen from above to their own heading is worth, on simulated mice.

python -m benchmarks.bench_above [SEEDS]
python -m benchmarks.bench_above moments [SETS]

Mice walk about an open field, stay, groom, rear and sniff; a tracker sees nine joints with three millimetres of noise,
loses some and takes some for others. Of clips of twelve, odd-numbered mice train and even-numbered ones test; printed
are nearest neighbour and ridge regression of `cmd` with its defaults and what stands beside it, clips as recorded,
turned, and turned and brought to one size. Of moments, eight mice of three minutes each: what `fit` expects of a new
mouse, how well states of `segment` agree with what they do (NMI), and how many of the nearest hits of `search` do as
the example does, each frame as recorded and turned.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.metrics import normalized_mutual_info_score

import motet
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.skeletons import Skeleton
from motet.evaluate.runner import run
from motet.use import signals

JOINTS = ("snout", "leftear", "rightear", "shoulder", "spine1", "spine2", "tailbase", "tailmid", "tailtip")
AXIS, ACROSS = np.array([45, 32, 32, 20, 5, -12, -30, -60, -90.0]), np.array([0, 9, -9, 0, 0, 0, 0, 0, 0.0])
SPEED = {"walk": 150.0, "stay": 1.0, "groom": 2.0, "rear": 5.0, "sniff": 10.0}  # mm/s
FPS, FRAMES, CLIPS = 30, 60, 75
FORMS = {form: {"preprocess": form, "start": "none"} for form in ("first-frame", "egocentric", "animal")}
LAYOUT = Skeleton("mouse", JOINTS, (3, 0, 0, 4, -1, 4, 5, 6, 7), center=4, up="-y")


Array = npt.NDArray[np.float64]


def mouse(
    doing: str,
    style: float,
    random: np.random.Generator,
    frames: int = FRAMES,
    after: tuple[Array, float] | None = None,
) -> tuple[Array, tuple[Array, float]]:
    """(frames, 9, 2) millimetres, and place and heading at the end; ``after`` those of before."""
    time = np.arange(frames) / FPS + random.uniform(0, 9)
    along, across = np.tile(AXIS, (frames, 1)), np.tile(ACROSS, (frames, 1))
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
    heading = random.uniform(0, 2 * np.pi) if after is None else after[1]
    angle = heading + np.cumsum(np.cumsum(random.normal(0, bend, frames)) / 20)
    ahead = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    aside = np.stack([-ahead[:, 1], ahead[:, 0]], axis=-1)
    place = random.uniform(50, 450, 2) if after is None else after[0]
    place = place + np.cumsum(SPEED[doing] * style / FPS * ahead, axis=0)
    points = place[:, None] + along[..., None] * ahead[:, None] + across[..., None] * aside[:, None]
    return points, (place[-1], float(angle[-1]))


def tracked(points: Array, random: np.random.Generator) -> Array:
    """What a tracker makes of them."""
    points = points + random.normal(0, 3, points.shape)
    points[random.random(points.shape[:2]) < 0.01] += random.normal(0, 30, 2)
    points[random.random(points.shape[:2]) < 0.02] = 0
    return points


def field(path: Path) -> Path:
    random, names = np.random.default_rng(7), list(SPEED)
    with ArchiveWriter(path, skeleton=LAYOUT, fps=FPS, units="mm", channels=("x", "y"), class_names=names) as writer:
        for who in range(12):
            style = 1 + 0.2 * random.normal()
            for number in range(CLIPS):
                points = tracked(mouse(names[number % 5], style, random)[0], random)
                writer.add(points[:, None], name=f"{who}-{number}", label=number % 5, subject=who, persons=1)
    return path


def recordings(path: Path, seed: int) -> MotionArchive:
    """Eight mice of three minutes each, with what they do as the label track ``behaviour``."""
    random, bouts = np.random.default_rng(seed), []
    with ArchiveWriter(path, skeleton=LAYOUT, fps=FPS, units="mm", channels=("x", "y")) as writer:
        for who in range(8):
            style, after, found, start = 1 + 0.2 * random.normal(), None, [], 0
            while start < 180 * FPS:
                doing, frames = str(random.choice(list(SPEED))), int(random.uniform(1.5, 5) * FPS)
                points, after = mouse(doing, style, random, frames, after)
                found.append(points)
                bouts.append((str(who), start / FPS, (start + frames) / FPS, doing))
                start += frames
            writer.add(tracked(np.concatenate(found), random)[:, None], name=str(who), subject=who, persons=1)
    table = pl.DataFrame(bouts, schema=["recording", "start", "end", "label"], orient="row")
    MotionArchive.open(path).tracks.save("behaviour", table)
    return MotionArchive.open(path)


def of_moments(archive: MotionArchive, folder: Path) -> list[float]:
    """Per cent: expected by `fit`, NMI of `segment`, right among the twenty nearest of `search`, mean of twenty
    examples."""
    classes = archive.tracks.classes("behaviour")
    truth = archive.tracks.all_frames("behaviour", classes)
    expected = motet.fit(archive, folder / "model", progress=False, overwrite=True).config["expected"]["accuracy"]
    states = motet.segment(archive)
    centres = [states.layout.centres(n) for n in archive.lengths.tolist()]
    agreed = normalized_mutual_info_score(
        np.concatenate([y[at] for y, at in zip(truth, centres, strict=True)]), np.concatenate(states.labels)
    )
    right = []
    bouts = archive.tracks["behaviour"].filter(pl.col("end") - pl.col("start") > 2)
    for bout in bouts.gather_every(max(1, len(bouts) // 20)).iter_rows(named=True):
        middle = (bout["start"] + bout["end"]) / 2
        hits = motet.search(archive, f"{bout['recording']}:{middle - 0.75:.2f}-{middle + 0.75:.2f}", hits=20)
        own = [truth[int(h["recording"])][int((h["start"] + h["end"]) / 2 * FPS)] for h in hits.iter_rows(named=True)]
        right.append(np.mean(np.array(own) == classes.index(bout["label"])))
    return [100 * float(expected), 100 * agreed, 100 * float(np.mean(right))]


def moments(sets: int) -> None:
    """The table of moments."""
    print("| frames | fit | segment, NMI | search |")
    for turned in (False, True):
        found = []
        for seed in range(sets):
            with TemporaryDirectory() as folder, patch.object(signals, "all_ways", lambda _: turned):  # noqa: B023
                found.append(of_moments(recordings(Path(folder) / "mice", seed), Path(folder)))
        cells = [
            f"{m:.1f} ± {d:.1f}" for m, d in zip(np.mean(found, axis=0), np.std(found, axis=0, ddof=1), strict=True)
        ]
        print("|", "turned" if turned else "as recorded", "|", " | ".join(cells), "|", flush=True)


def compared(data: Path, trainings: Mapping[str, Mapping[str, Any]], seeds: int) -> None:
    """The table of `cmd` trained with some options, which are the columns."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    with TemporaryDirectory() as folder:
        for form, own in trainings.items():
            options: dict[str, Any] = {"split": "odd-even", "progress": False, **own}
            runs = [motet.pretrain("cmd", data, Path(folder) / form / str(s), seed=s, **options) for s in range(seeds)]
            for row in run([r.path for r in runs], ("knn", "ridge"), progress=False)["rows"]:
                if "+" in row["stream"] and not row.get("standardise"):
                    of = found.setdefault(str(row["features"]), {}).setdefault(form, {})
                    spread = f" ± {100 * row['sd']:.1f}" if row["sd"] else ""
                    of.setdefault(row["protocol"], f"{100 * row['mean']:.1f}{spread}")
    print("| features |", " | ".join(trainings), "|")
    for name, of in found.items():
        cells = [" / ".join(of[form][p] for p in ("knn", "ridge")) for form in trainings if form in of]
        print("|", name, "|", " | ".join(cells), "|")


def main() -> None:
    if sys.argv[1:2] == ["moments"]:
        moments(int(sys.argv[2]) if len(sys.argv) > 2 else 3)
        return
    with TemporaryDirectory() as folder:
        compared(field(Path(folder) / "mice"), FORMS, int(sys.argv[1]) if len(sys.argv) > 1 else 5)


if __name__ == "__main__":
    main()
