"""Two augmented views of a batch of NTU-size clips: batched on the resident set against clip by clip in numpy.

    python -m benchmarks.bench_feeder [--rounds 30]

One thread, alternated rounds, medians of CPU seconds. The floor is what any feeder must do: read the two frames that
each output frame is mixed from and write the output, here as the time of plain copies of that many bytes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tests.data import feeder_oracle as oracle

from motet.data import layouts
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.augment import Augment
from motet.data.loader import ClipStore, augmented_views

BATCH, FRAMES, PERSONS = 64, 64, 2


def write_archive(path: Path, clips: int) -> MotionArchive:
    """Clips of 40 to 150 frames, as long as NTU RGB+D's mostly are."""
    rng = np.random.default_rng(0)
    with ArchiveWriter(path, skeleton=layouts.get("kinect-v2"), persons=PERSONS) as writer:
        for i in range(clips):
            frames = rng.normal(size=(int(rng.integers(40, 151)), PERSONS, 25, 3)).astype(np.float32)
            writer.add(frames, name=f"clip{i}", label=i % 60)
    return MotionArchive.open(path)


def medians(forms: dict[str, Callable[[int], object]], rounds: int) -> dict[str, float]:
    """Median CPU milliseconds of each form over alternated rounds; round 0 warms up."""
    times: dict[str, list[float]] = {name: [] for name in forms}
    for step in range(rounds + 1):
        for name, form in forms.items():
            start = time.process_time()
            form(step)
            times[name].append((time.process_time() - start) * 1e3)
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        archive = write_archive(Path(folder) / "archive", 1024)
        store = ClipStore(archive, preprocess="none")
        clips = [archive.clip(i).copy() for i in range(len(archive))]
        rng = np.random.default_rng(1)

        def chosen(step: int) -> torch.Tensor:
            return torch.arange(step * BATCH, (step + 1) * BATCH) % len(archive)

        def naive(step: int) -> object:
            return [torch.from_numpy(v) for v in oracle.two_views([clips[i] for i in chosen(step)], rng, FRAMES)]

        released = [np.ascontiguousarray(clip.transpose(3, 0, 2, 1)) for clip in clips]

        def channels_first(step: int) -> object:
            views = oracle.two_views_channels_first([released[i] for i in chosen(step)], rng, FRAMES)
            return [torch.from_numpy(view) for view in views]

        def batched(options: Augment) -> Callable[[int], object]:
            def form(step: int) -> object:
                return augmented_views(store, chosen(step), options, seed=0, epoch=0, frames=FRAMES)

            return form

        block = torch.randn(BATCH * FRAMES * PERSONS * 25 * 3)
        target = torch.empty_like(block)

        def floor(step: int) -> object:
            # two views; reading two rows and writing one is one and a half copies
            for _ in range(3):
                target.copy_(block)
            return target

        result = medians(
            {
                "naive": naive,
                "naive_channels_first": channels_first,
                "published": batched(Augment.published()),
                "mild": batched(Augment.mild()),
                "floor": floor,
            },
            rounds,
        )
    report = {f"{name}_ms": round(value, 3) for name, value in result.items()}
    report |= {
        "batch": BATCH,
        "frames": FRAMES,
        "samples_per_second": round(BATCH / result["published"] * 1e3),
        "ratio": round(result["naive"] / result["published"], 2),
        "ratio_channels_first": round(result["naive_channels_first"] / result["published"], 2),
        "share_of_floor": round(result["floor"] / result["published"], 3),
        "rounds": rounds,
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
