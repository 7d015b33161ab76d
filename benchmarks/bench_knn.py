"""kNN of the evaluation against scikit-learn: 4,000 test × 40,091 training × 2,048 features, as NTU-60 cross-subject.

    python benchmarks/bench_knn.py [--test 4000] [--train 40091] [--width 2048] [--rounds 3]

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

from motet.evaluate import knn_predict


def features(count: int, width: int, labels: np.ndarray, seed: int) -> np.ndarray:
    """Classes as clouds around centres in a narrow cone, as an encoder's features lie."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((labels.max() + 1, width)).astype(np.float32)
    cloud = rng.standard_normal((count, width), dtype=np.float32)
    return 1.0 + 0.3 * centres[labels] + cloud


def seconds(work: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def peak(dtype: torch.dtype, width: int) -> float:
    """GFLOP/s of a large product."""
    a, b = torch.randn(1024, width).to(dtype), torch.randn(8192, width).to(dtype)
    best = min(seconds(lambda: a @ b.T)[0] for _ in range(5))
    return 2 * 1024 * 8192 * width / best / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("--test", 4000), ("--train", 40091), ("--width", 2048), ("--rounds", 3)):
        parser.add_argument(name, type=int, default=value)
    given = parser.parse_args()
    rng = np.random.default_rng(1)
    train_labels, test_labels = (rng.integers(0, 60, n) for n in (given.train, given.test))
    train = features(given.train, given.width, train_labels, 2)
    test = features(given.test, given.width, test_labels, 3)
    # fitting only stores: it is left out for scikit-learn, normalising is part of both
    theirs = KNeighborsClassifier(1, metric="cosine").fit(train, train_labels)
    times: dict[str, list[float]] = {"motet": [], "scikit-learn": []}
    for _ in range(given.rounds):
        spent, ours = seconds(lambda: knn_predict(train, train_labels, test))
        times["motet"].append(spent)
        spent, expected = seconds(lambda: theirs.predict(test))
        times["scikit-learn"].append(spent)
    medians = {name: statistics.median(found) for name, found in times.items()}
    gflop = 2e-9 * given.train * given.test * given.width
    floor = {"fp32": gflop / peak(torch.float32, given.width), "bf16": gflop / peak(torch.bfloat16, given.width)}
    result = {
        "threads": torch.get_num_threads(),
        "seconds": medians,
        "ratio": medians["scikit-learn"] / medians["motet"],
        "equal_predictions": float((np.asarray(ours) == np.asarray(expected)).mean()),
        "accuracy": float((np.asarray(ours) == test_labels).mean()),
        "floor_seconds": floor,
        "share_of_floor": {name: limit / medians["motet"] for name, limit in floor.items()},
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
