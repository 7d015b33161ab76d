"""Balanced assignment of a whole training set against Sinkhorn on float32 powers of the probabilities.

    python -m benchmarks.bench_sinkhorn [--samples 18841] [--clusters 51] [--rounds 5]

One thread, alternated rounds, medians of CPU milliseconds, for flat and for peaked logits (a classifier that is sure of
its classes). On processors that are slow with denormal numbers the power form's time depends on the logits; `denormals`
tells how slow this one is. Labels of the two must agree, and both are compared with the power form in float64. The
floor is the two products with the plan of each iteration.
"""

from __future__ import annotations

import argparse
import json

import torch
from benchmarks.bench_feeder import medians
from torch import Tensor

from motet.losses import balanced_assignment


def power_form(logits: Tensor, power: float = 10.0) -> tuple[Tensor, int]:
    """The plan and the number of iterations, by the stopping rule of the released code."""
    kernel = torch.softmax(logits, dim=1) ** power
    rows, columns = kernel.shape
    v = kernel.new_full((rows,), 1 / rows)
    change, iteration = 1e3, 0
    while change > 1e-2 and iteration < 100:
        u = (1 / columns) / (kernel.T @ v)
        new = (1 / rows) / (kernel @ u)
        if iteration % 10 == 0:
            change = float(torch.nansum((v / new - 1).abs()))
        v, iteration = new, iteration + 1
    return rows * v[:, None] * kernel * u, iteration


def products(plan: Tensor, times: int) -> None:
    row, column = torch.ones_like(plan[:, 0]), torch.ones_like(plan[0])
    for _ in range(times):
        _ = row @ plan, plan @ column


def denormal_slowness(rounds: int) -> float:
    """A product with denormal numbers, in multiples of the time of one with ordinary numbers."""
    ordinary = torch.rand(4096, 64) + 1
    column = torch.ones(64)
    kinds = {"ordinary": ordinary, "denormal": ordinary * 1e-40}
    times = medians({name: (lambda _, m=m: [m @ column for _ in range(20)]) for name, m in kinds.items()}, rounds)  # type: ignore[misc]
    return times["denormal"] / times["ordinary"]


def measure(logits: Tensor, rounds: int) -> dict[str, float]:
    (theirs, iterations), ours = power_form(logits), balanced_assignment(logits)
    exact = power_form(logits.double())[0]
    result = medians(
        {
            "power": lambda _: power_form(logits),
            "motet": lambda _: balanced_assignment(logits),
            "floor": lambda _: products(ours, iterations),
        },
        rounds,
    )
    report: dict[str, float] = {f"{name}_ms": round(value, 2) for name, value in result.items()}
    return report | {
        "ratio": round(result["power"] / result["motet"], 2),
        "share_of_floor": round(result["floor"] / result["motet"], 2),
        "iterations": iterations,
        "equal_labels": float((ours.argmax(1) == theirs.argmax(1)).double().mean()),
        "error": float((ours - exact).abs().max()),
        "error_power": float((theirs - exact).abs().max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"samples": 18841, "clusters": 51, "rounds": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    flat = 0.02 * torch.randn(given.samples, given.clusters, generator=generator)
    sure = torch.randint(0, given.clusters, (given.samples, 1), generator=generator)
    peaked = torch.randn(given.samples, given.clusters, generator=generator).scatter_add(
        1, sure, torch.full((given.samples, 1), 5.0)
    )
    report = {name: measure(logits, given.rounds) for name, logits in (("flat", flat), ("peaked", peaked))}
    print(json.dumps(report | {"denormals": round(denormal_slowness(given.rounds), 1)}, indent=1))


if __name__ == "__main__":
    main()
