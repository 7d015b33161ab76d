"""CMD's normalisation of NTU-size clips: batched against joint by joint in numpy.

    python -m benchmarks.bench_preprocess [--rounds 5]

One thread, alternated rounds, medians of CPU seconds. The floor is one read and one write of the clips, as the
time of a plain copy of their bytes.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import torch
from benchmarks.bench_feeder import medians
from tests.data import feeder_oracle as oracle

from motet.data import layouts
from motet.data.preprocess import preprocess


def make_clips(count: int) -> list[oracle.Array]:
    """40 to 150 frames; a fifth show two people, some come late or leave early."""
    rng = np.random.default_rng(0)
    clips = []
    for i in range(count):
        clip = rng.normal(size=(int(rng.integers(40, 151)), 2, 25, 3)).astype(np.float32)
        if i % 5:
            clip[:, 1] = 0
        if i % 7 == 0:
            clip[:10, i % 2] = 0
            clip[-10:] = 0
        clips.append(clip)
    return sorted(clips, key=len)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clips", type=int, default=128)
    options = parser.parse_args()
    torch.set_num_threads(1)
    clips = make_clips(options.clips)
    lengths = torch.tensor([len(clip) for clip in clips])
    skeleton = layouts.get("kinect-v2")

    def batched(step: int) -> torch.Tensor:
        # padding is part of the work: sorted by length, in groups of 32
        out = torch.empty(0)
        for first in range(0, len(clips), 32):
            group = clips[first : first + 32]
            padded = np.zeros((len(group), len(group[-1]), *group[0].shape[1:]), dtype=np.float32)
            for row, clip in enumerate(group):
                padded[row, : len(clip)] = clip
            out = preprocess(torch.from_numpy(padded), lengths[first : first + 32], skeleton, "cmd")
        return out

    source = torch.from_numpy(np.concatenate(clips))
    target = torch.empty_like(source)
    result = medians(
        {
            "naive": lambda step: [oracle.normalise(clip) for clip in clips],
            "batched": batched,
            "floor": lambda step: target.copy_(source),
        },
        options.rounds,
    )
    report = {f"{name}_ms": round(value, 3) for name, value in result.items()}
    report |= {
        "clips": len(clips),
        "clips_per_second": round(len(clips) / result["batched"] * 1e3),
        "gigabytes_per_second": round(source.numel() * 4 / result["batched"] / 1e6, 2),
        "ratio": round(result["naive"] / result["batched"], 1),
        "share_of_floor": round(result["floor"] / result["batched"], 3),
        "rounds": options.rounds,
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
