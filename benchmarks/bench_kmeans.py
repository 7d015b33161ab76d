"""Spherical k-means of the prototypes: vectorised against a loop over clusters, and against geomstats if installed.

    python -m benchmarks.bench_kmeans [--rounds 10] [--rows 256] [--width 128] [--clusters 20] [--iterations 20]

Keys scatter about as many directions as there are clusters (--noise sets how far). One thread, alternated rounds with
another seed each, medians of CPU milliseconds; the inertias (sum of squared angles) are means over the rounds. The loop
draws its centres by k-means++ as well, cluster by cluster in plain torch; Riemannian k-means is the one that HaLP's
released code takes (geomstats 2.5 or 2.6, tolerance 1e-3, k-means++). The floor is the products of vectors with
centres alone: one per iteration, and one vector at a time for the start.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from statistics import mean

import torch
from benchmarks.bench_feeder import medians
from torch import Tensor
from torch.nn.functional import normalize

from motet.memory.kmeans import spherical_kmeans


def loop(x: Tensor, k: int, iterations: int, seed: int) -> Tensor:
    """Centres; clusters one by one, numbers fetched from the tensors as loops do."""
    generator = torch.Generator().manual_seed(seed)
    chosen = [int(torch.randint(len(x), (), generator=generator))]
    while len(chosen) < k:
        distance = torch.stack([1 - x @ x[c] for c in chosen]).amin(dim=0).clamp_min(0)
        chosen.append(int(torch.multinomial(distance, 1, generator=generator)))
    centres = x[chosen].clone()
    before: list[int] = []
    for _ in range(iterations):
        owner = [int((centres @ row).argmax()) for row in x]
        if owner == before:
            break
        before = owner
        for c in range(k):
            members = x[[i for i, o in enumerate(owner) if o == c]]
            centres[c] = normalize(members.sum(dim=0), dim=0) if len(members) else x[c]
    return centres


def inertia(x: Tensor, centres: Tensor) -> float:
    return float((x @ centres.T).amax(dim=1).double().clamp(-1, 1).acos().square().sum())


def riemannian(k: int) -> Callable[[Tensor], Tensor] | None:
    """geomstats' fit with the released settings, None where it is not installed."""
    try:
        from geomstats.geometry.hypersphere import Hypersphere
        from geomstats.learning.kmeans import RiemannianKMeans
    except ImportError:
        return None

    def fit(x: Tensor) -> Tensor:
        space = Hypersphere(dim=x.shape[1] - 1)
        model = RiemannianKMeans(metric=space.metric, n_clusters=k, tol=1e-3, init="kmeans++", init_step_size=1.0)
        model.fit(x.double().numpy())
        return torch.as_tensor(model.centroids).to(x.dtype)

    return fit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"rounds": 10, "rows": 256, "width": 128, "clusters": 20, "iterations": 20}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--noise", type=float, default=1.0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    k, count = given.clusters, given.rows
    directions = normalize(torch.randn(k, given.width, generator=generator), dim=1)
    scatter = given.noise * torch.randn(count, given.width, generator=generator) / given.width**0.5
    x = normalize(directions[torch.arange(count) % k] + scatter, dim=1)
    found: dict[str, list[float]] = {}

    def judged(name: str, fit: Callable[[int], Tensor]) -> Callable[[int], None]:
        def run(number: int) -> None:
            found.setdefault(name, []).append(inertia(x, fit(number)))

        return run

    forms = {
        "vectorised": judged(
            "vectorised", lambda i: spherical_kmeans(x, k, iterations=given.iterations, seed=i).centres
        ),
        "loop": judged("loop", lambda i: loop(x, k, given.iterations, i)),
        "floor": lambda _: [x @ directions.T for _ in range(given.iterations)] + [x @ d for d in directions],
    }
    fit = riemannian(k)
    if fit is not None:
        forms["geomstats"] = judged("geomstats", lambda _: fit(x))
    result = medians(forms, given.rounds)
    report: dict[str, object] = {f"{name}_ms": round(value, 3) for name, value in result.items()}
    report |= {f"{name}_inertia": round(mean(values), 1) for name, values in found.items()}
    report |= {f"ratio_{n}": round(result[n] / result["vectorised"], 1) for n in ("loop", "geomstats") if n in result}
    report["share_of_floor"] = round(result["floor"] / result["vectorised"], 3)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
