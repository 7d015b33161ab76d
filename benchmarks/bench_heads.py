"""Linear heads of several shares of the labels side by side against one after the other with torch's own modules.

    python benchmarks/bench_heads.py [--clips 2000] [--width 128] [--classes 20] [--repeats 5] [--epochs 80]

The work of ``motet evaluate --protocols semi --semi.tuned head``: 1, 5, 10 and 20 % of the labels, several draws each.
Both forms do the same steps from the same weights in the same order; weights must agree.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch
from torch import Tensor, nn

from motet.core.rng import CounterRNG
from motet.evaluate.heads import Head, train_heads
from motet.evaluate.probe import ORDER_VIEW, Schedule

RATIOS = (0.01, 0.05, 0.1, 0.2)


def one_by_one(x: Tensor, y: Tensor, heads: list[Head], classes: int, schedule: Schedule, epochs: list[int]) -> Tensor:
    """(L, F, K) final weights."""
    found = []
    for head, last in zip(heads, epochs, strict=True):
        layer = nn.Linear(x.shape[1], classes)
        start = torch.randn(x.shape[1], classes, generator=torch.Generator().manual_seed(head.seed)) * 0.01
        layer.weight.data = start.T.contiguous()
        nn.init.zeros_(layer.bias)
        sgd = torch.optim.SGD(layer.parameters(), lr=schedule.lr[0], momentum=schedule.momentum)
        for epoch in range(last):
            sgd.param_groups[0]["lr"] = schedule.lr[0] * schedule.factor(epoch * schedule.epochs // last)
            order = head.rows[CounterRNG(head.seed, epoch, head.rows, ORDER_VIEW).order("head")]
            for rows in order.split(schedule.batch_size):
                sgd.zero_grad()
                nn.functional.cross_entropy(layer(x[rows]), y[rows]).backward()
                sgd.step()
        found.append(layer.weight.detach().T)
    return torch.stack(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = {"clips": 2000, "width": 128, "classes": 20, "repeats": 5, "epochs": 80, "batch_size": 16}
    for name, value in (defaults | {"minimum_steps": 500, "rounds": 3, "threads": 1}).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(given.clips, given.width, generator=generator) * 8 / given.width**0.5
    y = torch.randint(0, given.classes, (given.clips,), generator=generator)
    heads = [
        Head(0, torch.randperm(given.clips, generator=generator)[: int(ratio * given.clips)].sort().values, repeat)
        for ratio in RATIOS
        for repeat in range(given.repeats)
    ]
    schedule = Schedule(epochs=given.epochs, batch_size=given.batch_size)
    epochs = [max(given.epochs, -(-given.minimum_steps // -(-len(head.rows) // given.batch_size))) for head in heads]
    times: dict[str, list[float]] = {"side by side": [], "one by one": []}
    for _ in range(given.rounds):
        begun = time.process_time()
        weight, _ = train_heads(x[None], y, heads, classes=given.classes, schedule=schedule, epochs=epochs)
        times["side by side"].append(time.process_time() - begun)
        begun = time.process_time()
        expected = one_by_one(x, y, heads, given.classes, schedule, epochs)
        times["one by one"].append(time.process_time() - begun)
    medians = {name: statistics.median(found) for name, found in times.items()}
    result = {
        "heads": len(heads),
        "steps": sum(e * -(-len(head.rows) // given.batch_size) for e, head in zip(epochs, heads, strict=True)),
        "threads": given.threads,
        "processor_seconds": medians,
        "ratio": medians["one by one"] / medians["side by side"],
        "largest_difference_of_weights": float((weight - expected).abs().max()),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
