"""Latency of one frame of a live stream: preprocessing, views and encoders, and the class.

    python benchmarks/bench_stream.py [--frames 1000] [--threads 1]

The encoders of the small recipe and of the paper, joint alone and all three streams, with untrained weights; two
persons of 25 joints. The first frames, which warm caches, are left out.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace

import numpy as np
import torch

from motet.data import layouts
from motet.methods import recipes
from motet.methods.model import Model
from motet.use.stream import Classifier, Stream

WARM = 50


def latencies(recipe: str, streams: tuple[str, ...], frames: int, classes: int = 60) -> dict[str, float]:
    torch.manual_seed(0)
    model = Model(replace(recipes.get(recipe), streams=streams), layouts.get("kinect-v2"), 2, 3)
    width = sum(int(e.feature_size) for e in model.encoders)  # type: ignore[arg-type]
    names = tuple(map(str, range(classes)))
    classifier = Classifier(
        torch.randn(width, classes), torch.zeros(classes), torch.zeros(width), torch.ones(width), names
    )
    stream = Stream(model, classifier)
    recording = np.random.default_rng(0).normal(size=(frames + WARM, 2, 25, 3)).cumsum(axis=0)
    found = []
    for frame in recording:
        begun = time.perf_counter()
        stream.push(frame)
        found.append(time.perf_counter() - begun)
    late = 1000 * np.array(found[WARM:])
    return {"p50_ms": float(np.percentile(late, 50)), "p99_ms": float(np.percentile(late, 99))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    result = {
        f"{recipe}, {'+'.join(streams)}": latencies(recipe, streams, given.frames)
        for recipe in ("cmd/small-gru", "cmd/paper")
        for streams in (("joint",), ("joint", "motion", "bone"))
    }
    print(json.dumps(result | {"threads": given.threads}, indent=1))


if __name__ == "__main__":
    main()
