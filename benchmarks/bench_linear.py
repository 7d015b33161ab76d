"""Linear probes trained side by side against one after the other with torch's own layer, loss and optimiser.

    python benchmarks/bench_linear.py [--clips 1000] [--width 256] [--classes 14] [--seeds 5] [--epochs 20]

The work of ``motet evaluate --seeds 5`` on cached features of three streams, trained and untrained encoder: every
stream alone and all jointly. Both forms do the same steps from the same weights in the same order; weights must agree.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch
from torch import Tensor, nn

from motet.core.rng import CounterRNG
from motet.evaluate.probe import ORDER_VIEW, Chunk, Probes, Schedule

STREAMS = ("joint", "motion", "bone")


def one_by_one(
    features: Tensor, labels: Tensor, start: Tensor, units: list[tuple[int, int]], schedule: Schedule
) -> list[Tensor]:
    """Final weights (F, K) of every layer, in the order (unit, stream, alone or joint)."""
    found = []
    ids = torch.arange(len(labels))
    for u, (q, seed) in enumerate(units):
        groups = [([s], 0) for s in range(len(STREAMS))] + [(list(range(len(STREAMS))), 1)]
        for streams, kind in groups:
            layers = [nn.Linear(start.shape[2], start.shape[-1]) for _ in streams]
            for s, layer in zip(streams, layers, strict=True):
                layer.weight.data = start[u, s, :, kind].T.contiguous()
                nn.init.zeros_(layer.bias)
            sgd = torch.optim.SGD([p for la in layers for p in la.parameters()], lr=schedule.lr[0], momentum=0.9)
            for epoch in range(schedule.epochs):
                sgd.param_groups[0]["lr"] = schedule.lr[0] * schedule.factor(epoch)
                order = CounterRNG(seed, epoch, ids, ORDER_VIEW).order("probe")
                for rows in order.split(schedule.batch_size):
                    logits = sum(la(features[q, s, rows]) for s, la in zip(streams, layers, strict=True)) / len(layers)
                    sgd.zero_grad()
                    nn.functional.cross_entropy(logits, labels[rows]).backward()
                    sgd.step()
            found += [layer.weight.detach().T for layer in layers]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = {"clips": 1000, "width": 256, "classes": 14, "seeds": 5, "epochs": 20, "rounds": 3, "threads": 1}
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    features = torch.randn(2, len(STREAMS), given.clips, given.width) / 4
    labels = torch.randint(0, given.classes, (given.clips,))
    units = [(q, seed) for q in range(2) for seed in range(given.seeds)]
    schedule = Schedule(epochs=given.epochs)
    times: dict[str, list[float]] = {"side by side": [], "one by one": []}
    for _ in range(given.rounds):
        probes = Probes([q for q, _ in units], [s for _, s in units], STREAMS, given.width, given.classes, schedule)
        start = probes.weight.view(len(units), len(STREAMS), given.width, 2, given.classes).clone()
        begun = time.process_time()
        for epoch in range(given.epochs):
            probes.run_chunk(Chunk(torch.arange(given.clips), features, labels), epoch)
        times["side by side"].append(time.process_time() - begun)
        begun = time.process_time()
        expected = one_by_one(features, labels, start, units, schedule)
        times["one by one"].append(time.process_time() - begun)
    ours = probes.weight.view_as(start).permute(0, 3, 1, 2, 4).flatten(0, 2)  # (unit, kind, stream)
    difference = max(float((a - b).abs().max()) for a, b in zip(ours, expected, strict=True))
    medians = {name: statistics.median(found) for name, found in times.items()}
    result = {
        "layers": len(expected),
        "steps": given.epochs * -(-given.clips // schedule.batch_size),
        "threads": given.threads,
        "processor_seconds": medians,
        "ratio": medians["one by one"] / medians["side by side"],
        "largest_difference_of_weights": difference,
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
