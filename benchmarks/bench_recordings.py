"""What long recordings cost, in seconds of processor time and in memory.

python -m benchmarks.bench_recordings --part predict --hours 24 --candidate network
python -m benchmarks.bench_recordings --part segment | tracks | search
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.simulate import simulate
from motet.use.fit import fit
from motet.use.search import search
from motet.use.segment import segment

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


def written_apart(path: Path, hours: float) -> MotionArchive:
    """One long recording, written by another process, whose memory is not looked at."""
    child = multiprocessing.get_context("spawn").Process(target=write, args=(path, 1, hours * 3600, 1))
    child.start()
    child.join()
    return MotionArchive.open(path)


def predicted(hours: float, candidate: str, folder: Path) -> str:
    """A day of a wrist through a fitted model."""
    known = write(folder / "known.motet", 6, 60, 0)
    model = fit(known, folder / "model", candidates=(candidate,), folds=2, progress=False)
    day = written_apart(folder / "day.motet", hours)
    began = time.process_time()
    bouts = model.predict(day)
    return f"predict, {candidate}: {hours:g} h in {time.process_time() - began:.1f} s, {len(bouts)} bouts"


def segmented(hours: float, folder: Path) -> str:
    """States of simulated bodies: their movements one after another, in recordings of six minutes."""
    clips = folder / "clips.motet"
    simulate(clips, actions=10, actors=4, clips=120, seed=0)
    source = MotionArchive.open(clips)
    random, fps, length = np.random.default_rng(0), float(source.fps), 360
    with ArchiveWriter(folder / "long.motet", skeleton=source.skeleton, fps=fps, units=source.units) as writer:
        for index in range(round(hours * 3600 / length)):
            parts: list[np.ndarray] = []
            while sum(map(len, parts)) < length * fps:
                parts.append(source.clip(int(random.integers(len(source)))))
            writer.add(np.concatenate(parts)[: round(length * fps)], name=f"r{index}")
    long = MotionArchive.open(folder / "long.motet")
    began = time.process_time()
    found = segment(long)
    seconds = long.lengths.sum() / fps
    return (
        f"segment: {seconds / 3600:.2f} h at {fps:g} fps in {time.process_time() - began:.1f} s, {found.count} states"
    )


def loaded(recordings: int, folder: Path) -> str:
    """Label tracks of many recordings, a bout every five seconds: classes of all frames."""
    archive = write(folder / "many.motet", recordings, 60, 0)
    began = time.process_time()
    found = MotionArchive.open(archive.path).tracks.all_frames("activity", list(CLASSES))
    spent = time.process_time() - began
    return f"tracks: {len(found)} recordings, {sum(map(len, found)):,} frames in {spent:.2f} s"


def searched(hours: float, folder: Path) -> str:
    """An example of two seconds in a long recording, where a window begins at every tenth of a second."""
    day = written_apart(folder / "search.motet", hours)
    began = time.process_time()
    found = search(day, "r0:10-12")
    spent = time.process_time() - began
    return f"search: {hours:g} h, {hours * 36_000:,.0f} windows in {spent:.1f} s, nearest {found['distance'][0]:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0, help="of the recording that is predicted")
    parser.add_argument("--candidate", default="statistics+trees")
    parser.add_argument("--skeleton-hours", type=float, default=1.0)
    parser.add_argument("--recordings", type=int, default=1000)
    parser.add_argument("--search-hours", type=float, default=28.0, help="28 are a million windows")
    parser.add_argument("--part", choices=("predict", "segment", "tracks", "search"), required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        line = {
            "predict": lambda: predicted(given.hours, given.candidate, folder),
            "segment": lambda: segmented(given.skeleton_hours, folder),
            "tracks": lambda: loaded(given.recordings, folder),
            "search": lambda: searched(given.search_hours, folder),
        }[given.part]()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{line}; seconds of one core; peak of the process {memory:.0f} MB")


if __name__ == "__main__":
    main()
