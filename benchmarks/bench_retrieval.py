"""Retrieval and kNN on a large gallery: time, and the most memory the process held.

python benchmarks/bench_retrieval.py [--rows 1000000] [--width 128] [--queries 200] [--threads 2]
"""

from __future__ import annotations

import argparse
import json
import resource
import time

import torch

from motet.evaluate import knn_predict, retrieval_scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"rows": 1_000_000, "width": 128, "queries": 200, "classes": 60, "threads": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(given.classes, given.width, generator=generator)

    def clips(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        owner = torch.randint(0, given.classes, (count,), generator=generator)
        return centres[owner].add_(torch.randn(count, given.width, generator=generator), alpha=2.0), owner

    gallery, owners = clips(given.rows)
    queries, wanted = clips(given.queries)
    begun = time.perf_counter()
    predicted = knn_predict(gallery, owners, queries)
    middle = time.perf_counter()
    scores = retrieval_scores(gallery, owners, queries, wanted)
    done = time.perf_counter()
    result = {
        "rows": given.rows,
        "queries": given.queries,
        "threads": given.threads,
        "knn_seconds": middle - begun,
        "retrieval_seconds": done - middle,
        "knn_accuracy": float((predicted == wanted.numpy()).mean()),
        "scores": scores,
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
