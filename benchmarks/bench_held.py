"""What `motet data inspect` finds held in recordings, and how much of what is held on purpose it finds.

python -m benchmarks.bench_held ARCHIVE …

Alarms are shares of the clips that have a finding. Held on purpose: a joint of 150 clips, drawn once, stays for 8 or 15
frames where it is, while it went 3 % of the body's size or more; the share of them that are lost joints then.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.data.archive import MotionArchive
from motet.data.inspection.frames import BONE_CHANGE, scan
from motet.data.inspection.held import lost_joints

HELD = ("stuttering frames", "lost joints", "stuck readings", "clipped readings")
CLIPS, FRAMES, MOVES = 150, (8, 15), 0.03


def alarms(archive: MotionArchive) -> str:
    found = scan(archive, BONE_CHANGE)
    said = {name: len(found[name].rows) for name in HELD if name in found and found[name].rows}
    return ", ".join(f"{name} {100 * n / len(archive):.1f} %" for name, n in said.items()) or "nothing"


def found_again(archive: MotionArchive) -> str:
    random, fps = np.random.default_rng(0), archive.fps or 30.0
    hits: dict[int, list[bool]] = {frames: [] for frames in FRAMES}
    for row in random.permutation(len(archive))[:CLIPS]:
        for frames in FRAMES:
            spoilt = _with_held_joint(np.array(archive.clip(int(row))), frames, random)
            if spoilt is not None:
                clip, start = spoilt
                shortest = max(5, round(0.2 * fps))
                bad = lost_joints(clip, (clip != 0).any(-1), np.array([0]), archive.skeleton, shortest, fps)
                hits[frames].append(bool(bad[start : start + frames].any()))
    return ", ".join(f"{f} frames {100 * np.mean(h):.0f} % of {len(h)}" for f, h in hits.items() if h)


def _with_held_joint(
    clip: npt.NDArray[Any], frames: int, random: np.random.Generator
) -> tuple[npt.NDArray[Any], int] | None:
    if len(clip) < frames + 12:
        return None
    start, joint = int(random.integers(3, len(clip) - frames - 4)), int(random.integers(clip.shape[2]))
    path = clip[start : start + frames + 2, 0, joint]
    if np.linalg.norm(path[frames] - path[0]) < MOVES * np.ptp(clip[:, 0], axis=(0, 1)).max() or not path.any(-1).all():
        return None
    path[: frames + 1] = path[0]
    return clip, start


if __name__ == "__main__":
    for path in sys.argv[1:]:
        archive = MotionArchive.open(path)
        again = "" if archive.skeleton.kind == "sensor" else f"; held on purpose: {found_again(archive)}"
        print(f"{archive.path.name}: {alarms(archive)}{again}", flush=True)
