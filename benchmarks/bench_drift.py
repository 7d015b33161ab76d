"""How often a clock that is fast is noticed, and how often one is accused that is right, on phones and watches.

python -m benchmarks.bench_drift --data DATA

The recordings of each person of SP-SW-HAR are joined in their order; the stamps of the watch are stretched by so much.
Unrelated: the phone of one person with the watch of another, for which nothing may be said.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np

from motet.data.drift import drift, ends

FAST = (0.0, 0.01, -0.01, 0.005, -0.005, 0.02, -0.02)
APART = (1, 2, 3, 5, 7, 11)

Signal = tuple[np.ndarray, np.ndarray]


def joined(path: Path) -> list[list[Signal]]:
    """Seconds and readings of phone and watch of every person."""
    with np.load(path) as file:
        arrays = dict(file)
    people: dict[str, list[list[Signal]]] = {}
    at: dict[str, float] = {}
    for index, who in enumerate(arrays["subject"].tolist()):
        pair = []
        for name in ("phone", "watch"):
            rows = slice(*arrays[f"{name}_offset"][index : index + 2])
            pair.append((arrays[f"{name}_time_ms"][rows] / 1e3, arrays[name][rows]))
        shift = at.get(who, 0.0) - min(t.min() for t, _ in pair)
        people.setdefault(who, []).append([(t + shift, values) for t, values in pair])
        at[who] = shift + max(t.max() for t, _ in pair) + 0.02
    return [
        [tuple(np.concatenate([clip[n][k] for clip in clips]) for k in (0, 1)) for n in (0, 1)]  # type: ignore[misc]
        for clips in people.values()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    path = parser.parse_args().data / "long" / "sp_sw_har.npz"
    people = joined(path)
    with np.load(path) as file:
        lasting = [
            np.array([np.ptp(file[f"{n}_time_ms"][a:b]) / 1e3 for a, b in pairwise(file[f"{n}_offset"])])
            for n in ("phone", "watch")
        ]
    print("fast by | noticed by movements | furthest off | noticed by ends of recordings")
    for share in FAST:
        found = [drift([p[0], w[0] * (1 + share)], [p[1], w[1]]) for p, w in people]
        off = [abs(f.share - share) for f in found if f is not None]
        by_ends = ends(lasting[0], lasting[1] * (1 + share))
        said = "no" if by_ends is None else f"{100 * by_ends:.2f} %"
        print(
            f"{100 * share:4.1f} % | {len(off)} of {len(found)} | {100 * max(off, default=0):.2f} % | {said}",
            flush=True,
        )
    others = [
        drift([p[0], w[0]], [p[1], w[1]])
        for step in APART
        for (p, _), (_, w) in zip(people, people[step:] + people[:step], strict=True)
    ]
    print(f"unrelated: {sum(f is not None for f in others)} of {len(others)}")


if __name__ == "__main__":
    main()
