"""A training step in two checkouts of this repository, in turns: has a change made it slower?

    git worktree add ../before 0302bee
    python -m benchmarks.bench_checkouts --before ../before

Each round trains the same recipe on the same clips with the one checkout and with the other, each in a process of its
own with one thread, and takes the fastest epoch after the first. Printed are the medians over the rounds and the median
of the rounds' ratios (now over before), which the load of the machine changes little. There is no floor: the ratio
should be 1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
COMMON = ["--split", "odd-even", "--device", "cpu", "--precision", "32", "--monitor-every", "1000000", "--quiet"]
# recipe now, recipe before, epochs, clips, further options
SIZES: dict[str, tuple[str, str, int, int, list[str]]] = {
    "small": ("cmd/small-gru", "cmd/small", 4, 480, []),
    "paper": ("cmd/paper", "cmd/paper", 2, 64, ["--batch-size", "16", "--queue-size", "16384"]),
}


def motet(checkout: Path, words: list[str]) -> None:
    """One command of a checkout."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(checkout / "src")}
    done = subprocess.run(
        [sys.executable, "-m", "motet", *words],
        env=environment,
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"motet {' '.join(words)} in {checkout} failed: {done.stderr.strip()[-500:]}")


def seconds(checkout: Path, recipe: str, data: Path, epochs: int, options: list[str]) -> float:
    """The fastest epoch after the first, by the run's own metrics."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        words = ["pretrain", recipe, "--data", str(data), "--out", str(run), "--epochs", str(epochs), *COMMON, *options]
        motet(checkout, words)
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return min(float(line["seconds"]) for line in lines[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="the other checkout; without one this is compared with itself")
    parser.add_argument("--now", type=Path, default=ROOT)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    before, now = (given.before or given.now).resolve(), given.now.resolve()
    with tempfile.TemporaryDirectory() as folder:
        for size in given.sizes:
            recipe, earlier, epochs, clips, options = SIZES[size]
            data = Path(folder) / size
            words = ["--clips", str(clips), "--actions", "4", "--actors", "4", "--seed", "0", "--quiet"]
            motet(before, ["data", "simulate", str(data), *words])
            pairs = []
            for turn in range(given.rounds):
                places = [(now, recipe), (before, earlier if given.before else recipe)]
                order = places if turn % 2 else places[::-1]
                taken = {place: seconds(*place, data, epochs, options) for place in order}
                pairs.append((taken[places[1]], taken[places[0]]) if given.before else (taken[places[0]],) * 2)
                print(
                    f"{size}, round {turn + 1}: before {pairs[-1][0]:.2f} s, now {pairs[-1][1]:.2f} s an epoch",
                    flush=True,
                )
            ratio = median(b / a for a, b in pairs)
            print(f"{size}: {median(a for a, _ in pairs):.2f} → {median(b for _, b in pairs):.2f} s, ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
