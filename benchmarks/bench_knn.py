"""kNN of the evaluation against scikit-learn: 4,000 test × 40,091 training × 2,048 features, as NTU-60 cross-subject.

    python benchmarks/bench_knn.py [--test 4000] [--train 40091] [--width 2048] [--rounds 3] [--threads 1]

Both run alternately, medians are compared, predictions must be equal. The floor is the processor's own matrix product,
in fp32 and bf16, measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits

from motet.evaluate import knn_predict


def features(count: int, width: int, labels: np.ndarray, seed: int) -> np.ndarray:
    """Classes as clouds around centres in a narrow cone, as an encoder's features lie."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((labels.max() + 1, width)).astype(np.float32)
    cloud = rng.standard_normal((count, width), dtype=np.float32)
    return 1.0 + 0.3 * centres[labels] + cloud


def seconds(work: Callable[[], object]) -> tuple[tuple[float, float], object]:
    """(wall, processor) seconds and the result; on a busy machine believe the processor's."""
    start, cpu = time.perf_counter(), time.process_time()
    result = work()
    return (time.perf_counter() - start, time.process_time() - cpu), result


def peak(dtype: torch.dtype, width: int) -> float:
    """GFLOP per processor second of a large product."""
    a, b = torch.randn(1024, width).to(dtype), torch.randn(8192, width).to(dtype)
    best = min(seconds(lambda: a @ b.T)[0][1] for _ in range(5))
    return 2 * 1024 * 8192 * width / best / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("--test", 4000), ("--train", 40091), ("--width", 2048), ("--rounds", 3), ("--threads", 1)):
        parser.add_argument(name, type=int, default=value)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rng = np.random.default_rng(1)
    train_labels, test_labels = (rng.integers(0, 60, n) for n in (given.train, given.test))
    train = features(given.train, given.width, train_labels, 2)
    test = features(given.test, given.width, test_labels, 3)
    # fitting only stores: it is left out for scikit-learn, normalising is part of both
    theirs = KNeighborsClassifier(1, metric="cosine").fit(train, train_labels)
    times: dict[str, list[tuple[float, float]]] = {"motet": [], "scikit-learn": []}
    with threadpool_limits(given.threads):
        for _ in range(given.rounds):
            spent, ours = seconds(lambda: knn_predict(train, train_labels, test))
            times["motet"].append(spent)
            spent, expected = seconds(lambda: theirs.predict(test))
            times["scikit-learn"].append(spent)
    wall, cpu = ({n: statistics.median(t[i] for t in found) for n, found in times.items()} for i in (0, 1))
    gflop = 2e-9 * given.train * given.test * given.width
    floor = {"fp32": gflop / peak(torch.float32, given.width), "bf16": gflop / peak(torch.bfloat16, given.width)}
    result = {
        "threads": torch.get_num_threads(),
        "wall_seconds": wall,
        "processor_seconds": cpu,
        "ratio": wall["scikit-learn"] / wall["motet"],
        "processor_ratio": cpu["scikit-learn"] / cpu["motet"],
        "equal_predictions": float((np.asarray(ours) == np.asarray(expected)).mean()),
        "accuracy": float((np.asarray(ours) == test_labels).mean()),
        "floor_processor_seconds": floor,
        "share_of_floor": {name: limit / cpu["motet"] for name, limit in floor.items()},
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
