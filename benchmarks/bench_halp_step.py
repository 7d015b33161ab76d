"""A whole training step with hallucinated positives against one without: HaLP next to MoCo, HaLP+CMD next to CMD.

    python -m benchmarks.bench_halp_step [--size small|paper] [--rounds 10] [--device cpu|cuda] [--streams 1|3]

A step is queries, momentum update, keys, terms, enqueue, refresh of the prototypes every fifth step, backward and
optimiser, on random clips of a Kinect body; the queue is full, so every step hallucinates. The forms take turns, each
of their rounds is five steps (one refresh), and figures are medians of milliseconds per step: CPU time on one thread,
or wall time between synchronisations on a GPU. The goal is a ratio of at most 1.05 at the paper's size.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch

from motet.data import layouts
from motet.engine.learner import make_optimiser
from motet.engine.options import encoder_options
from motet.methods import recipes
from motet.methods.contrastive import ContrastiveStreams
from motet.methods.recipe import Recipe

STEPS = 5


def stepper(recipe: Recipe, device: str) -> Callable[[], None]:
    """A function that takes ``STEPS`` steps in the last epoch."""
    torch.manual_seed(0)
    skeleton = layouts.get("kinect-v2")
    network: ContrastiveStreams = recipe.method.network(
        recipe.streams,
        skeleton=skeleton,
        persons=2,
        channels=3,
        encoder=encoder_options(recipe.encoder),
        epochs=recipe.epochs,
    )
    network.to(device).train()
    network.queue.filled.fill_(recipe.method.queue_size)
    optimiser = make_optimiser(recipe.optimiser, [p for p in network.parameters() if p.requires_grad])
    shape = (recipe.batch_size, recipe.frames, 2, len(skeleton), 3)
    first, second = torch.randn(shape, device=device), torch.randn(shape, device=device)

    def steps() -> None:
        for _ in range(STEPS):
            losses = network(first, second, recipe.epochs - 1)
            optimiser.zero_grad(set_to_none=True)
            torch.stack(list(losses.values())).sum().backward()
            optimiser.step()

    return steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("small", "paper"), default="small")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--streams", type=int, choices=(1, 3), default=1)
    given = parser.parse_args()
    torch.set_num_threads(1)
    names = ("moco", "halp") if given.streams == 1 else ("cmd", "halp-cmd")
    streams = ("joint",) if given.streams == 1 else ("joint", "motion", "bone")
    forms = {
        name: stepper(recipes.get(f"{name}/{given.size}").with_options({"streams": streams}), given.device)
        for name in names
    }
    gpu = given.device != "cpu"
    clock = time.perf_counter if gpu else time.process_time
    times: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(given.rounds + 1):
        for name, form in forms.items():
            if gpu:
                torch.cuda.synchronize()
            start = clock()
            form()
            if gpu:
                torch.cuda.synchronize()
            times[name].append((clock() - start) * 1e3 / STEPS)
    result = {name: statistics.median(values[1:]) for name, values in times.items()}
    report: dict[str, object] = {f"{name}_ms": round(value, 2) for name, value in result.items()}
    report |= {"ratio": round(result[names[1]] / result[names[0]], 3), "size": given.size, "device": given.device}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
