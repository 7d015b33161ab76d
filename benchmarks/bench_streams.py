"""Cost of mutual distillation by number of streams: every pair (as published) against the consensus of the others.

    python -m benchmarks.bench_streams [--rounds 7] [--streams 3 6 9] [--json FILE]

Two figures for each number of streams. *Terms*: loss forward and backward alone, at the paper's size (batch 64, queue
16,384, width 128). *Step*: a whole step of the small recipe (encoders, twins, terms, backward) on random clips. Rounds
alternate, one thread; the figures are medians of CPU milliseconds. The floor of the terms is one product of
queries and keys with the queue for every stream, which both forms need.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from motet.data import layouts
from motet.losses import consensus_distillation, mutual_distillation
from motet.methods.cmd import CMD
from motet.methods.contrastive import ContrastiveStreams
from motet.methods.moco import MoCo

ARMS, LEGS = "left_arm+right_arm", "left_leg+right_leg"
VIEWS = ["joint", "motion", "bone", "acceleration", "bone_motion"]
VIEWS += [f"{view}[{part}]" for part in (ARMS, LEGS) for view in ("joint", "motion")]
BATCH, QUEUE, WIDTH = 64, 16_384, 128


def milliseconds(forms: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median CPU time of each form; they take turns, the first round only warms up."""
    times: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(rounds + 1):
        for name, form in forms.items():
            began = time.process_time()
            form()
            times[name].append(1e3 * (time.process_time() - began))
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def unit(*shape: int) -> Tensor:
    return normalize(torch.randn(*shape), dim=-1)


def terms(count: int, rounds: int) -> dict[str, float]:
    names = VIEWS[:count]
    queries = {n: unit(BATCH, WIDTH).requires_grad_() for n in names}
    keys, queues = {n: unit(BATCH, WIDTH) for n in names}, {n: unit(QUEUE, WIDTH) for n in names}

    def form(loss: Callable[..., Tensor]) -> Callable[[], object]:
        return lambda: loss(queries, keys, queues, top_k=QUEUE // 2).backward()  # type: ignore[no-untyped-call]

    def floor() -> None:
        for n in names:
            (queries[n] @ queues[n].T).sum().backward()
            keys[n] @ queues[n].T

    forms = {"pairwise": form(mutual_distillation), "consensus": form(consensus_distillation), "floor": floor}
    return milliseconds(forms, rounds)


def steps(count: int, rounds: int) -> dict[str, float]:
    clips = torch.randn(2, BATCH, 32, 1, 25, 3)
    encoder = {"name": "gru", "hidden": 64, "layers": 2, "mode": "causal"}
    methods = {
        "pairwise": CMD(queue_size=512),
        "consensus": CMD(queue_size=512, teachers="consensus"),
        "moco": MoCo(queue_size=512),
    }

    def form(method: CMD | MoCo) -> Callable[[], object]:
        host = ContrastiveStreams(
            method,
            VIEWS[:count],
            skeleton=layouts.get("kinect-v2"),
            persons=1,
            channels=3,
            encoder=encoder,
            epochs=10,
        )
        return lambda: sum(host(clips[0], clips[1], 0).values()).backward()

    return milliseconds({name: form(method) for name, method in methods.items()}, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--streams", type=int, nargs="+", default=[3, 6, 9])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    found = {}
    for count in given.streams:
        found[str(count)] = {"terms_ms": terms(count, given.rounds), "step_ms": steps(count, given.rounds)}
        print(count, json.dumps(found[str(count)]), flush=True)
    if given.json:
        given.json.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
