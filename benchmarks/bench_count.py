"""Error of `motet count`: cut repetitions of UI-PRMD, and mocap6 against turning points of one joint.

python -m benchmarks.bench_count --data DATA --set ui-prmd | edges | fast | short | different | mocap6

UI-PRMD: the correct repetitions of one person and movement joined in their order, counted as one recording. edges:
where as many are found, how far their starts and ends are from the cuts, as a share of the repetition. fast: the same,
each repetition brought to so many seconds. short: stretches of one to six of them, as they are, cut in the middle of
the first and the last, with the end of another movement before and the beginning of another after, with a posture
that drifts, with rest before and after, and of other movements one after another. different: one repetition of each
movement of a person, in four orders. mocap6: each labelled interval; nobody counted them, so the reference is the
number of peaks of what an onlooker would count by: the hands' height (jumping jacks, arm circles), the hips' (squats,
up-downs), the head's (toe touches), a knee's and a foot's (knee raises and jogging, the mean of both sides), the
shoulders' turn (twists); either end of a movement may be counted, so the reference is a range of two numbers.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
from scipy.signal import find_peaks

from motet.data.archive import MotionArchive
from motet.data.formats import import_dataset
from motet.data.formats._time import resample
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


def movements(
    data: Path, folder: Path, quality: str = "correct"
) -> tuple[Layout, list[tuple[str, str, list[np.ndarray]]]]:
    """(person, movement, its correct or incorrect repetitions) of UI-PRMD."""
    source = import_dataset("npz", data / "skeleton" / "ui_prmd_kinect.npz", folder / "u.motet", progress=False)
    clips = source.clips.with_row_index().filter(quality=quality).sort("subject", "label", "repetition")
    groups = groupby(clips.rows(named=True), key=lambda r: (r["subject"], r["label"]))
    return Layout.of(source), [
        (s, source.class_names[k], [source.clip(r["index"]) for r in own]) for (s, k), own in groups
    ]


def ui_prmd(data: Path, folder: Path, quality: str = "correct") -> list[tuple[str, int, tuple[int, int]]]:
    """(movement, counted, (true, true)) of every person and movement."""
    layout, known = movements(data, folder, quality)
    return [(k, len(repetitions(np.concatenate(own), layout)), (len(own), len(own))) for _, k, own in known]


def edges(data: Path, folder: Path) -> list[tuple[str, int, float, float]]:
    """(movement, frames, error of start and of end in frames) of every repetition, where the number is right."""
    layout, known = movements(data, folder)
    found = []
    for _, label, own in known:
        cuts = np.cumsum([0, *map(len, own)])
        said = repetitions(np.concatenate(own), layout)
        if len(said) == len(own):
            pairs = zip(said, cuts[:-1], cuts[1:], strict=True)
            found += [(label, int(b - a), float(abs(s - a)), float(abs(e - b))) for (s, e, *_), a, b in pairs]
    return found


def fast(data: Path, folder: Path) -> list[tuple[str, int, tuple[int, int]]]:
    """(seconds of a repetition, counted, (true, true)) of every person and movement, played faster."""
    layout, known = movements(data, folder)
    found = []
    for seconds in (0.2, 0.25, 0.3, 0.35, 0.5, 0.8):
        wanted = round(seconds * layout.fps)
        for _, _, own in known:
            parts = [resample(p, len(p) - 1, wanted - 1, absent=False) for p in own]
            found.append((f"{seconds:g} s", len(repetitions(np.concatenate(parts), layout)), (len(own), len(own))))
    return found


def short(data: Path, folder: Path) -> list[tuple[str, int, tuple[int, int]]]:
    """(kind, counted, (least, most)) of stretches of few repetitions."""
    layout, known = movements(data, folder)
    random, still, found = np.random.default_rng(0), np.random.default_rng(1), []

    def add(kind: str, parts: list[np.ndarray], least: int, most: int) -> None:
        found.append((kind, len(repetitions(np.concatenate(parts), layout)), (least, most)))

    for person, label, own in known:
        others = [r for p, k, reps in known if p == person and k != label for r in reps]
        for n in (1, 2, 3, 4, 6):
            for first in range(0, len(own) - n + 1, max(3, n)):
                parts = own[first : first + n]
                add("whole", parts, n if n > 1 else 0, n)
                if n == 1:
                    continue
                a, b = (int(random.uniform(0.2, 0.8) * len(p)) for p in (parts[0], parts[-1]))
                add("cut", [parts[0][a:], *parts[1:-1], parts[-1][:b]], n - 1 if n > 2 else 0, n)
                before, after = (others[i] for i in random.integers(len(others), size=2))
                a, b = random.integers(8, 25, size=2)
                add("others before and after", [before[-a:], *parts, after[:b]], n, n)
                add("posture drifts", [drifting(np.concatenate(parts), random)], n, n)
                add("rest before and after", [resting(parts[0][0], still), *parts, resting(parts[-1][-1], still)], n, n)
                add("different", [others[i] for i in random.choice(len(others), n, replace=False)], 0, 1)
    return found


def different(data: Path, folder: Path) -> list[tuple[str, int, tuple[int, int]]]:
    """(person, counted, (0, 0)) of sequences of one repetition of every movement, four orders a person."""
    layout, known = movements(data, folder)
    random, found = np.random.default_rng(0), []
    for person, group in groupby(known, key=lambda row: row[0]):
        firsts = [own[0] for _, _, own in group]
        for _ in range(4):
            parts = [firsts[i] for i in random.permutation(len(firsts))]
            found.append((person, len(repetitions(np.concatenate(parts), layout)), (0, 0)))
    return found


def drifting(frames: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Frames whose joints are moved along a slow curve, about as far as the movement itself."""
    away = random.normal(size=frames.shape[1:])
    away *= frames.std(axis=0).max() * random.uniform(0.25, 1) / np.sqrt((away**2).mean())
    place = np.tanh(random.uniform(0.5, 3) * (np.linspace(-1, 1, len(frames)) - random.uniform(-0.5, 0.5)))
    return np.asarray(frames + place[:, None, None, None] * away, dtype=np.float32)


def resting(pose: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A pose that is held for two to six seconds, with jitter of 2 mm."""
    return np.asarray(pose + random.normal(0, 0.002, (int(random.integers(60, 180)), *pose.shape)), dtype=np.float32)


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


SETS = {
    "ui-prmd": ui_prmd,
    "ui-prmd-incorrect": partial(ui_prmd, quality="incorrect"),
    "fast": fast,
    "short": short,
    "different": different,
    "mocap6": mocap6,
}


def print_edges(found: list[tuple[str, int, float, float]]) -> None:
    for label in (*dict.fromkeys(row[0] for row in found), None):
        own = [row for row in found if label in (row[0], None)]
        shares = 100 * np.array([error / frames for _, frames, *errors in own for error in errors])
        low, high = np.percentile(shares, [50, 90])
        print(f"{label or 'all'}: median {low:.1f} %, 90th percentile {high:.1f} % of {len(own)} repetitions")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--set", choices=[*SETS, "edges"], required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.set == "edges":
            return print_edges(edges(given.data, Path(folder)))
        found = SETS[given.set](given.data, Path(folder))
    if given.set in ("fast", "short"):
        for kind in dict.fromkeys(k for k, *_ in found):
            right = [low <= n <= high for k, n, (low, high) in found if k == kind]
            print(f"{kind}: {100 * np.mean(right):.1f} % of {len(right)} are right")
        return
    errors = Counter(max(low - n, n - high, 0) for _, n, (low, high) in found)
    nothing = sum(n == 0 for _, n, _ in found)
    for label, n, (low, high) in found:
        if not low <= n <= high:
            print(f"{label}: {n}, {low}" + (f" to {high}" if high > low else ""))
    print(f"{len(found)} stretches; error: how many {dict(sorted(errors.items()))}; {nothing} in which nothing recurs")


if __name__ == "__main__":
    main()
