"""The optimiser step and the momentum update of one encoder at paper scale, against loops over its parameters.

    python -m benchmarks.bench_ema_sgd [--rounds 15] [--threads 1]

The loop form is one SGD step with ``foreach=False`` and one EMA line per parameter, as released code has it. The
fast form is SGD with ``fused=True`` and :func:`motet.memory.ema_update`. Alternated rounds, medians; CPU time on one
thread. The floor is the memory traffic, at the rate of one in-place addition of two parameter sets measured in the
same rounds (reads two, writes one): SGD with momentum reads weight, gradient and buffer and writes two of them, EMA
reads two and writes one.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from motet.encoders import SkeletonGRU
from motet.memory import ema_update, momentum_encoder

MOMENTUM = 0.999


def network() -> nn.Module:
    """CMD's encoder with its head: 49.5 M parameters."""
    head = nn.Sequential(nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 128))
    return nn.Sequential(SkeletonGRU(nodes=25, persons=2, channels=3), head)


def optimiser(online: nn.Module, **form: bool) -> torch.optim.SGD:
    return torch.optim.SGD(online.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, **form)


def loop_ema(twin: nn.Module, online: nn.Module) -> None:
    for target, source in zip(twin.parameters(), online.parameters(), strict=True):
        target.data = target.data * MOMENTUM + source.data * (1.0 - MOMENTUM)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.threads == 1 else time.perf_counter
    slow = network()
    fast = copy.deepcopy(slow)
    slow_twin, fast_twin = momentum_encoder(slow), momentum_encoder(fast)
    for mine, theirs in zip(slow.parameters(), fast.parameters(), strict=True):
        mine.grad = torch.randn_like(mine)
        theirs.grad = mine.grad.clone()
    slow_sgd, fast_sgd = optimiser(slow, foreach=False), optimiser(fast, fused=True)
    flat = torch.randn(sum(p.numel() for p in slow.parameters()))
    target = torch.empty_like(flat)
    forms: dict[str, Callable[[], object]] = {
        "loop_sgd": slow_sgd.step,
        "loop_ema": lambda: loop_ema(slow_twin, slow),
        "fast_sgd": fast_sgd.step,
        "fast_ema": lambda: ema_update(fast_twin, fast, MOMENTUM),
        "addition": lambda: target.add_(flat),
    }
    times: dict[str, list[float]] = {name: [] for name in forms}
    for step in range(options.rounds + 1):
        for name, form in forms.items():
            start = clock()
            form()
            if step:
                times[name].append(clock() - start)
    ms = {name: 1e3 * statistics.median(values) for name, values in times.items()}
    loop, quick = ms["loop_sgd"] + ms["loop_ema"], ms["fast_sgd"] + ms["fast_ema"]
    floor = ms["addition"] * (5 + 3) / 3
    result = {
        "parameters": flat.numel(), "threads": options.threads, "ms": ms,
        "ratio": {"sgd": ms["loop_sgd"] / ms["fast_sgd"], "ema": ms["loop_ema"] / ms["fast_ema"], "both": loop / quick},
        "floor_ms": floor, "share_of_floor": floor / quick,
        "largest_difference": {"online": _largest(slow, fast), "twin": _largest(slow_twin, fast_twin)},
    }  # fmt: skip
    print(json.dumps(result, indent=2))


def _largest(a: nn.Module, b: nn.Module) -> float:
    pairs: list[tuple[Tensor, Tensor]] = list(zip(a.parameters(), b.parameters(), strict=True))
    return max(float((x - y).detach().abs().max()) for x, y in pairs)


if __name__ == "__main__":
    main()
