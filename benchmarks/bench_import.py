"""NTU import against a straightforward reader, and archive reads. Prints one JSON object.

    python -m benchmarks.bench_import [--files 24] [--rounds 5] [--json FILE]

*Straightforward* is the way of the released code: the text line by line into dictionaries, bodies into an array joint
by joint, and the normalisation (null frames, centre, two rotations) in loops over persons, frames and joints; a second
protocol repeats all of it. The released code also pads every clip to 300 frames first: a second pair of ratios.
*motet* parses vectorised, normalises a batch at once, and reads a second protocol from the same archive. Rounds
alternate, one thread; the figures are medians of CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tests.data.formats.ntu_reference import random_clip, read_line_by_line, released_selection, skeleton_text

from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.formats import ntu
from motet.data.formats._files import read_bytes
from motet.data.preprocess import preprocess

VIEWS = 20  # passes over the archive, for the clock's resolution
PADDED = 300  # frames of every clip in the released code


def rotation_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(3, 3) minimal rotation that takes the direction a to the direction b."""
    if np.abs(a).sum() < 1e-6 or np.abs(b).sum() < 1e-6:
        return np.eye(3)
    axis = np.cross(a, b)
    angle = math.acos(max(-1.0, min(1.0, float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))))
    if np.abs(axis).sum() < 1e-6 or abs(angle) < 1e-6:
        return np.eye(3)
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def normalise_joint_by_joint(clip: np.ndarray, total: int) -> np.ndarray:
    """(T, 2, 25, 3), padded to ``total`` frames → the same, normalised like the released code (CMD, ECCV 2022)."""
    data = np.zeros((2, total, 25, 3))
    data[:, : len(clip)] = clip[:total].transpose(1, 0, 2, 3)
    for person in data:
        if person.sum() == 0:
            continue
        if person[0].sum() == 0:
            seen = person[[frame.sum() != 0 for frame in person]]
            person[:] = 0
            person[: len(seen)] = seen
        for f, frame in enumerate(person):
            if frame.sum() == 0 and person[f:].sum() == 0:
                rest = total - f
                person[f:] = np.concatenate([person[:f]] * math.ceil(rest / f))[:rest]
                break
    centre = data[0, :, 1:2].copy()
    for person in data:
        for f in range(total):
            for j in range(25):
                if person[f, j].sum() != 0:
                    person[f, j] -= centre[f, 0]
    for bottom, top, towards in ((0, 1, np.array([0.0, 0, 1])), (8, 4, np.array([1.0, 0, 0]))):
        direction = data[0, 0, top] - data[0, 0, bottom] if bottom == 0 else data[0, 0, bottom] - data[0, 0, top]
        rotation = rotation_between(direction, towards)
        for person in data:
            for frame in person:
                if frame.sum() == 0:
                    continue
                for j in range(25):
                    frame[j] = rotation @ frame[j]
    return data[:, : len(clip)].transpose(1, 0, 2, 3)


def straightforward(files: list[Path], padded: int = 0) -> list[np.ndarray]:
    clips = [released_selection(read_line_by_line(f)) for f in files]
    return [normalise_joint_by_joint(clip, padded or len(clip)) for clip in clips]


def parsed(files: list[Path]) -> list[np.ndarray]:
    return [ntu.select_bodies(ntu.parse(read_bytes(f), f), "as-released") for f in files]


def normalised(clips: list[np.ndarray]) -> list[np.ndarray]:
    """All clips as one batch, in float64 so that the outcome can be compared."""
    lengths = torch.tensor([len(c) for c in clips])
    batch = torch.zeros(len(clips), int(lengths.max()), 2, 25, 3, dtype=torch.float64)
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    done = preprocess(batch, lengths, layouts.get("kinect-v2"), "cmd").numpy()
    return [clip[:n] for clip, n in zip(done, lengths.tolist(), strict=True)]


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def import_ratios(folder: Path, count: int, rounds: int) -> dict[str, float]:
    rng = np.random.default_rng(0)
    files = []
    for i in range(count):
        path = folder / f"S001C001P001R{i:03d}A001.skeleton"
        # NTU RGB+D 60 has about 85 frames a clip, and a second body in one clip of five or so
        path.write_text(skeleton_text(random_clip(rng, int(rng.integers(50, 120)), 2 if i % 5 == 0 else 1)))
        files.append(path)
    naive, ours = straightforward(files), normalised(parsed(files))
    apart = max(float(np.abs(a - b).max()) for a, b in zip(naive, ours, strict=True))
    assert apart < 1e-9, f"the two ways differ by {apart}"
    times: dict[str, list[float]] = {"naive": [], "padded": [], "naive_read": [], "read": [], "normalise": []}
    clips = parsed(files)
    for _ in range(rounds):
        times["naive"].append(seconds(lambda: straightforward(files)))
        times["padded"].append(seconds(lambda: straightforward(files, PADDED)))
        times["read"].append(seconds(lambda: parsed(files)))
        times["normalise"].append(seconds(lambda: normalised(clips)))
        times["naive_read"].append(seconds(lambda: [released_selection(read_line_by_line(f)) for f in files]))
    per_file = {name: statistics.median(values) / count for name, values in times.items()}
    once = per_file["read"] + per_file["normalise"]
    size = sum(f.stat().st_size for f in files) / count
    return {
        "naive_ms_per_file": 1e3 * per_file["naive"],
        "motet_ms_per_file": 1e3 * once,
        "motet_read_ms_per_file": 1e3 * per_file["read"],
        "read_megabytes_per_s": size / per_file["read"] / 1e6,
        "ratio_read_alone": per_file["naive_read"] / per_file["read"],
        "ratio_one_protocol": per_file["naive"] / once,
        "ratio_two_protocols": 2 * per_file["naive"] / once,
        "ratio_one_protocol_padded": per_file["padded"] / once,
        "ratio_two_protocols_padded": 2 * per_file["padded"] / once,
        "largest_difference": apart,
    }


def read_rates(folder: Path, rounds: int) -> dict[str, float]:
    """Clips a second out of an archive of 4,000 clips of about 85 frames, in random order."""
    rng = np.random.default_rng(1)
    pool = rng.normal(size=(200, 2, 25, 3)).astype(np.float32)
    with ArchiveWriter(folder / "archive", skeleton=layouts.get("kinect-v2"), persons=2) as writer:
        for i in range(4000):
            writer.add(pool[: int(rng.integers(50, 120))] + np.float32(i), name=str(i))
    archive = MotionArchive.open(folder / "archive")
    order = rng.permutation(len(archive)).tolist()
    views, copies = [], []
    for _ in range(rounds):
        views.append(seconds(lambda: [archive.clip(i) for _ in range(VIEWS) for i in order]))
        copies.append(seconds(lambda: [archive.clip(i).copy() for i in order]))
    size = archive.frames.nbytes
    return {
        "clips_per_s": VIEWS * len(order) / statistics.median(views),
        "copied_clips_per_s": len(order) / statistics.median(copies),
        "copied_gigabytes_per_s": size / statistics.median(copies) / 1e9,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = {
            "import": import_ratios(folder, given.files, given.rounds),
            "archive": read_rates(folder, given.rounds),
        }
    text = json.dumps({part: {n: float(f"{v:.4g}") for n, v in values.items()} for part, values in result.items()})
    print(text)
    if given.json:
        given.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
