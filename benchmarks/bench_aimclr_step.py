"""Where a training step of AimCLR spends its time, next to MoCo with the same encoder, and its floor.

    python -m benchmarks.bench_aimclr_step [--size small|paper] [--rounds 5]

A step is augmentation of the three clips, queries, momentum update and keys, the two further queries, terms, backward
and optimiser, on random clips of a Kinect body with a full queue and neighbours mined. Figures are medians of CPU
milliseconds on one thread. The floor is the arithmetic alone: floating-point operations of the step's products and
convolutions at the rate that a large float32 product reaches in the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch.utils.flop_counter import FlopCounterMode

from motet.core.rng import CounterRNG
from motet.data import layouts
from motet.engine.learner import make_optimiser
from motet.engine.options import encoder_options
from motet.methods import recipes
from motet.methods.contrastive import ContrastiveStreams, StepOutput

SIDE = 2048  # of the product that gives the rate


class Step:
    """One step, timed by part."""

    def __init__(self, name: str, size: str) -> None:
        torch.manual_seed(0)
        self.recipe = recipes.get(f"aimclr/{size}")
        if name == "moco":
            self.recipe = replace(self.recipe, method=recipes.get(f"moco/{size}").method)
        self.skeleton = layouts.get("kinect-v2")
        self.network: ContrastiveStreams = self.recipe.method.network(
            ("joint",),
            skeleton=self.skeleton,
            persons=2,
            channels=3,
            encoder=encoder_options(self.recipe.encoder),
            epochs=self.recipe.epochs,
        )
        self.network.train()
        self.network.queue.filled.fill_(self.recipe.method.queue_size)
        self.optimiser = make_optimiser(
            self.recipe.optimiser, [p for p in self.network.parameters() if p.requires_grad]
        )
        self.clips = torch.randn(self.recipe.batch_size, self.recipe.frames, 2, len(self.skeleton), 3)
        self.taken: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        began = time.process_time()
        yield
        self.taken[part].append(1e3 * (time.process_time() - began))

    def __call__(self) -> None:
        network, method, epoch = self.network, self.recipe.method, self.recipe.epochs - 1
        with self.timed("step"):
            with self.timed("augmentation"):
                ids = torch.arange(len(self.clips))
                keyed = [CounterRNG(0, epoch, ids, view) for view in range(method.clips)]
                first, second, *further = method.transform([self.clips] * method.clips, keyed, self.skeleton)
            with self.timed("queries"):
                queries = network._embed(network.encoders, network.heads, first)
            with self.timed("further queries"):
                more = network.embed_further(further)
            with self.timed("keys"):
                keys = network._keys(second, epoch)
            with self.timed("terms"):
                filled = method.queue_size
                output = StepOutput(queries, keys, network.queue.snapshot(), epoch, filled, {}, more)
                losses = [t.weight_at(epoch) * t.loss(output) for t in network.terms if t.weight_at(epoch)]
            with self.timed("backward"):
                self.optimiser.zero_grad(set_to_none=True)
                torch.stack(losses).sum().backward()
            with self.timed("optimiser"):
                self.optimiser.step()

    def medians(self) -> dict[str, float]:
        return {part: round(statistics.median(values[1:]), 1) for part, values in self.taken.items()}


def rate(rounds: int) -> float:
    """Floating-point operations a second of a large float32 product."""
    a, b = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    taken = []
    for _ in range(rounds + 1):
        began = time.process_time()
        a @ b
        taken.append(time.process_time() - began)
    return 2 * SIDE**3 / min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("small", "paper"), default="small")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    steps = {name: Step(name, given.size) for name in ("moco", "aimclr")}
    for _ in range(given.rounds + 1):
        for step in steps.values():
            step()
    found = {name: step.medians() for name, step in steps.items()}
    with FlopCounterMode(display=False) as counter:
        steps["aimclr"]()
    floor = 1e3 * counter.get_total_flops() / rate(given.rounds)
    whole = found["aimclr"]["step"]
    report = {
        "size": given.size,
        "ms": found,
        "shares": {part: round(ms / whole, 3) for part, ms in found["aimclr"].items() if part != "step"},
        "over_moco": round(whole / found["moco"]["step"], 2),
        "gigaflop": round(counter.get_total_flops() / 1e9, 1),
        "floor_ms": round(floor, 1),
        "over_floor": round(whole / floor, 2),
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
