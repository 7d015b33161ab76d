"""Small inputs of the recorded runs, all drawn from seeds."""

from __future__ import annotations

import hashlib
import json
from contextlib import AbstractContextManager
from pathlib import Path
from unittest.mock import patch

import numpy as np

from tests.methods.distillation.raw import made
from tests.methods.graphs.made import write_tu

JOINTS = ("hip", "spine", "neck", "head", "left_hand", "right_hand", "left_foot", "right_foot")
LAYOUT = """
name = "stick"
center = "spine"
joints = [
  { name = "hip", parent = "" }, { name = "spine", parent = "hip" }, { name = "neck", parent = "spine" },
  { name = "head", parent = "neck" }, { name = "left_hand", parent = "neck" }, { name = "right_hand", parent = "neck" },
  { name = "left_foot", parent = "hip" }, { name = "right_foot", parent = "hip" },
]
"""
BVH = """HIERARCHY
ROOT hip
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT spine
  {
    OFFSET 0 20 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 15 5
    }
  }
}
MOTION
Frames: 12
Frame Time: 0.04
"""


def feature_table(path: Path, rows: int = 48, classes: int = 3, frames: int = 0, seed: int = 0) -> Path:
    """Two modalities, eye and ear, of noisy class prototypes; vectors, or sequences of ``frames`` steps."""
    random = np.random.default_rng(seed)
    label, group = np.arange(rows) % classes, np.arange(rows) // classes % 4
    step = (frames,) if frames else ()
    content = {"label": label, "group": group, "fold": group % 2}
    for name, width, noise in (("eye", 6, 1.5), ("ear", 5, 0.7)):
        centres = random.normal(size=(classes, *step, width))
        content[name] = (centres[label] + random.normal(0, noise, (rows, *step, width))).astype(np.float32)
    np.savez(path, **content)
    return path


def gapped_table(path: Path, seed: int = 5) -> Path:
    """The same, where a quarter of the rows lack an ear."""
    whole = feature_table(path, seed=seed)
    with np.load(whole) as file:
        content = dict(file)
    np.savez(path, **content, available_ear=np.arange(len(content["label"])) % 4 != 3)
    return path


def clips(folder: Path, count: int = 36, classes: int = 3, subjects: int = 4, seed: int = 0) -> Path:
    """One CSV of clips whose class is the frequency and the limb of an oscillation, and the layout next to it."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    lines = [",".join(["clip,frame,label,subject", *(f"{j}_{axis}" for j in JOINTS for axis in "xyz")])]
    for clip in range(count):
        label, subject = clip % classes, clip // classes % subjects
        time = np.arange(random.integers(16, 30))[:, None, None] / 30
        frames = np.zeros((len(time), 8, 3)) + np.arange(8)[:, None] * (0.1, 0.2, 0.05)
        frames[:, 4 + label % 4] += 0.3 * np.sin(2 * np.pi * (1 + label) * time + random.uniform(0, 6))[:, 0]
        frames = (1 + 0.05 * subject) * frames + random.normal(0, 0.01, frames.shape)
        for number, frame in enumerate(frames):
            values = ",".join(f"{v:.5f}" for v in frame.ravel())
            lines.append(f"clip{clip:03d},{number},class{label},{subject + 1},{values}")
    (folder / "clips.csv").write_text("\n".join(lines) + "\n")
    (folder.parent / "stick.toml").write_text(LAYOUT)
    return folder


def compact(path: Path, seed: int = 0) -> Path:
    """The compact layout: one ``.npz`` of 24 clips with an inertial sensor."""
    random = np.random.default_rng(seed)
    lengths = random.integers(5, 12, 24)
    offset, samples = np.r_[0, lengths.cumsum()], np.r_[0, (2 * lengths).cumsum()]
    np.savez(
        path,
        pos=random.normal(size=(offset[-1], len(JOINTS), 3)).astype(np.float32),
        offset=offset,
        joint_names=np.array(JOINTS),
        parents=np.array([-1, 0, 1, 2, 2, 2, 0, 0]),
        fps=np.float64(30),
        label=np.arange(24) % 3,
        class_names=np.array(["sit", "stand", "walk"]),
        subject=np.arange(24) // 3 % 4,
        subject_names=np.array(["s02", "s11", "s12", "s13"]),
        inertial=random.normal(size=(samples[-1], 6)).astype(np.float32),
        inertial_offset=samples,
        inertial_fps=np.float64(60),
    )
    return path


def bvh(folder: Path, seed: int = 0) -> Path:
    """Two motion captures of one chain."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for name in ("wave_1", "bow_2"):
        rows = random.uniform(-40, 40, (12, 9))
        (folder / f"{name}.bvh").write_text(BVH + "\n".join(" ".join(f"{v:.4f}" for v in row) for row in rows) + "\n")
    return folder


def openpose(folder: Path, seed: int = 0) -> Path:
    """Two recordings of six frames, one person, 25 key points."""
    random = np.random.default_rng(seed)
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for frame in range(6):
            points = np.column_stack([random.uniform(0, 640, (25, 2)), random.uniform(0.3, 1, 25)]).round(3)
            person = {"person_id": [-1], "pose_keypoints_2d": points.ravel().tolist()}
            text = json.dumps({"version": 1.3, "people": [person]})
            (folder / name / f"{name}_{frame:012d}_keypoints.json").write_text(text)
    return folder


def films(folder: Path) -> Path:
    """Eight tiny films with sound for training, four for testing."""
    return made.films(folder)


def graphs(folder: Path) -> Path:
    """Thirty small graphs of two classes."""
    return write_tu(folder, count=30)


def as_recorded() -> AbstractContextManager[object]:
    """Simulation as it was when the record was made: where the tag of a purpose is large, every clip draws the same."""

    def generator(seed: int, purpose: str, index: int) -> np.random.Generator:
        tag = int.from_bytes(hashlib.blake2b(purpose.encode(), digest_size=4).digest(), "big")
        return np.random.Generator(np.random.Philox(key=[seed, tag << 32 | index]))

    return patch("motet.data.simulate.generate.generator", generator)
