"""How fast simulated actors are made, and in how much memory.

    python benchmarks/bench_simulate.py [--clips 56880] [--persons 2] [--json FILE]

The floor is writing the same archive from frames that exist already (hash and copy); the share of it that is reached
is printed next to the rate.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.simulate import simulate


def copy(archive: MotionArchive, destination: Path) -> float:
    """Seconds to write the archive's clips again."""
    start = time.perf_counter()
    names = archive.clips["name"].to_list()
    with ArchiveWriter(destination, skeleton=archive.skeleton, persons=archive.persons) as writer:
        for name, clip in zip(names, archive, strict=True):
            writer.add(clip, name=name)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=5688)
    parser.add_argument("--actors", type=int, default=40)
    parser.add_argument("--persons", type=int, default=2)
    parser.add_argument("--imu", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        archive = simulate(
            Path(folder) / "actors",
            clips=given.clips,
            actors=given.actors,
            persons=given.persons,
            imu=given.imu,
            progress=False,
        )
        seconds = time.perf_counter() - start
        # before the copy below maps the whole archive
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        floor = copy(archive, Path(folder) / "copy")
        result = {
            "clips": len(archive),
            "frames": len(archive.frames),
            "persons": given.persons,
            "imu": given.imu,
            "seconds": round(seconds, 2),
            "clips_per_second": round(len(archive) / seconds, 1),
            "share_of_floor": round(floor / seconds, 3),
            "peak_memory_gib": round(peak, 3),
        }
    print(json.dumps(result, indent=1))
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
