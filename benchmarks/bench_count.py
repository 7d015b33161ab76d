"""Error of `motet count`: cut repetitions of UI-PRMD, and mocap6 against turning points of one joint.

python -m benchmarks.bench_count --data DATA --set ui-prmd | mocap6

UI-PRMD: the correct repetitions of one person and movement joined in their order, counted as one recording. mocap6:
each labelled interval; nobody counted them, so the reference is the number of peaks of what an onlooker would count by:
the hands' height (jumping jacks, arm circles), the hips' (squats, up-downs), the head's (toe touches), a knee's and a
foot's (knee raises and jogging, the mean of both sides), the shoulders' turn (twists); either end of a movement may be
counted, so the reference is a range of two numbers.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from itertools import groupby
from pathlib import Path

import numpy as np
from scipy.signal import find_peaks

from motet.data.archive import MotionArchive
from motet.data.formats import import_dataset
from motet.use.count import repetitions
from motet.use.signals import Layout, moving_mean

HIGH = {
    "jumping jack": ("lhand", "rhand"),
    "arm circle": ("lhand", "rhand"),
    "squat": ("root",),
    "up-down": ("root",),
    "toe touch, one hand": ("head",),
    "toe touch, two hands": ("head",),
}
SIDES = {"knee raise": ("ltibia", "rtibia"), "jog": ("lfoot", "rfoot")}
PROMINENT = 0.35  # of the range of the signal


def ui_prmd(data: Path, folder: Path) -> list[tuple[str, int, tuple[int, int]]]:
    """(movement, counted, (true, true)) of every person and movement."""
    source = import_dataset("npz", data / "skeleton" / "ui_prmd_kinect.npz", folder / "u.motet", progress=False)
    layout = Layout.of(source)
    clips = source.clips.with_row_index().filter(quality="correct").sort("subject", "label", "repetition")
    found = []
    for (_, label), own in groupby(clips.rows(named=True), key=lambda r: (r["subject"], r["label"])):
        rows = [r["index"] for r in own]
        frames = np.concatenate([source.clip(i) for i in rows])
        found.append((source.class_names[label], len(repetitions(frames, layout)), (len(rows), len(rows))))
    return found


def mocap6(data: Path, folder: Path) -> list[tuple[str, int, tuple[int, int]]]:
    """(movement, counted, reference) of every labelled interval."""
    source = import_dataset("npz", data / "long" / "mocap6.npz", folder / "m.motet", progress=False)
    layout, names = Layout.of(source), source.clips["name"].to_list()
    found = []
    for row in source.tracks[source.tracks.one(None)].rows(named=True):
        frames = source.clip(names.index(row["recording"]))
        part = frames[round(row["start"] * layout.fps) : round(row["end"] * layout.fps)]
        found.append((row["label"], len(repetitions(part, layout)), reference(source, part[:, 0], row["label"])))
    return found


def reference(source: MotionArchive, frames: np.ndarray, label: str) -> tuple[int, int]:
    """The smaller and the larger number of turning points at either end of a movement."""
    place = {n: i for i, n in enumerate(source.skeleton.joints)}
    height = frames[..., 1].astype(np.float64) - frames[:, :1, 1] * (label not in ("squat", "up-down", "jog"))
    if label == "twist":
        across = frames[:, place["rhumerus"]] - frames[:, place["lhumerus"]]
        signals = [np.unwrap(np.arctan2(across[:, 2], across[:, 0]).astype(np.float64))]
    elif label in SIDES:
        signals = [height[:, place[n]] for n in SIDES[label]]
    else:
        signals = [height[:, [place[n] for n in HIGH[label]]].mean(axis=1)]
    ends = [[_peaks(side * moving_mean(s[:, None], 5)[:, 0]) for s in signals] for side in (1, -1)]
    both = [round(float(np.mean(end))) for end in ends]
    return min(both), max(both)


def _peaks(signal: np.ndarray) -> int:
    padded = np.concatenate([[signal.min()], signal, [signal.min()]])
    return len(find_peaks(padded, prominence=PROMINENT * np.ptp(signal))[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--set", choices=("ui-prmd", "mocap6"), required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = (ui_prmd if given.set == "ui-prmd" else mocap6)(given.data, Path(folder))
    errors = Counter(max(low - n, n - high, 0) for _, n, (low, high) in found)
    nothing = sum(n == 0 for _, n, _ in found)
    for label, n, (low, high) in found:
        if not low <= n <= high:
            print(f"{label}: {n}, {low}" + (f" to {high}" if high > low else ""))
    print(f"{len(found)} stretches; error: how many {dict(sorted(errors.items()))}; {nothing} in which nothing recurs")


if __name__ == "__main__":
    main()
