"""Peak memory of importing and training on as many clips as NTU RGB+D 60 has. Prints one JSON object.

    python -m benchmarks.bench_memory [--clips 56880] [--distinct 64] [--epochs 1] [--work DIR] [--json FILE]

The recordings are random ``.skeleton`` files of 50 to 120 frames; ``--distinct`` of them are written and the others are
further names of the same files, so that the disk holds them. Import and training are processes of their own, as a user
starts them; the figure is the largest resident set (mapped pages included) of the process, and of any of its workers.
Memory must not grow with the number of clips: the archive is far larger than what either may hold.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from tests.data.formats.ntu_reference import random_clip, skeleton_text

LIMIT = 4.0  # gigabytes that an import or a training may take


def write_recordings(folder: Path, clips: int, distinct: int) -> None:
    """``clips`` names as NTU RGB+D 60 gives them (setup, camera, performer, replication, action)."""
    rng = np.random.default_rng(0)
    originals = []
    names = product(range(1, 18), range(1, 4), range(1, 3), range(1, 61), range(1, 41))
    for i, (setup, camera, replication, action, performer) in zip(range(clips), names, strict=False):
        path = folder / f"S{setup:03d}C{camera:03d}P{performer:03d}R{replication:03d}A{action:03d}.skeleton"
        if i < distinct:
            path.write_text(skeleton_text(random_clip(rng, int(rng.integers(50, 120)), 2 if i % 5 == 0 else 1)))
            originals.append(path)
        else:
            path.hardlink_to(originals[i % distinct])


def peak(words: list[str]) -> dict[str, float]:
    """Run ``motet`` in a process of its own; wall seconds and largest resident set in gigabytes."""
    program = (
        "import json, resource, sys\nfrom motet.cli import main\ncode = main(sys.argv[1:])\n"
        "own, below = (resource.getrusage(w).ru_maxrss for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))\n"
        "print(json.dumps([own, below]))\nsys.exit(code)"
    )
    reader, writer = os.pipe()
    started = time.monotonic()
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", program, *words, "--quiet"],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_CLOSE, reader)],
    )
    os.close(writer)
    with os.fdopen(reader) as output:
        text = output.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        raise SystemExit(f"motet {' '.join(words)} left with {status}")
    own, below = json.loads(text.splitlines()[-1])
    return {"seconds": time.monotonic() - started, "peak_gb": own / 2**20, "peak_of_a_worker_gb": below / 2**20}


def measure(work: Path, clips: int, distinct: int, epochs: int) -> dict[str, Any]:
    recordings, archive = work / "recordings", work / "archive"
    recordings.mkdir(parents=True)
    write_recordings(recordings, clips, distinct)
    os.environ["MOTET_CACHE"] = str(work / "cache")
    imported = peak(["data", "import", "ntu", str(recordings), str(archive)])
    size = sum(f.stat().st_size for f in archive.iterdir()) / 2**30
    training = [
        "pretrain",
        "cmd/small-gru",
        "--data",
        str(archive),
        "--out",
        str(work / "run"),
        "--epochs",
        str(epochs),
    ]
    trained = peak([*training, "--split", "ntu60-xsub", "--precision", "bf16"])
    return {"clips": clips, "archive_gb": size, "import": imported, "training": trained}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=56_880)
    parser.add_argument("--distinct", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--work", type=Path, help="where some gigabytes fit; by default the place for temporary files")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.work) as name:
        found = measure(Path(name), given.clips, given.distinct, given.epochs)
    text = json.dumps(found)
    print(text)
    if given.json:
        given.json.write_text(text + "\n")
    over = [k for k in ("import", "training") if found[k]["peak_gb"] >= LIMIT]
    if over:
        raise SystemExit(f"{' and '.join(over)} took {LIMIT} GB or more")


if __name__ == "__main__":
    main()
