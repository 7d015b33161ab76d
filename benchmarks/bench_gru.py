"""The causal GRU against the frame-by-frame form: forward, and forward + backward, fp32 and bf16.

    python -m benchmarks.bench_gru [--hidden 128 256 1024] [--streams 1 3] [--threads 1] [--rounds 5]

The frame-by-frame form is the tests' oracle: ``nn.GRU`` called per frame with the state carried, in fp32, as the
released code of CMD does. Rounds alternate the forms in one process; medians of CPU time on one thread, of wall
time on more. The floor is the arithmetic: two operations per weight, frame and clip (three times that with the
backward pass) at the peak rate of a 2048² matrix product, measured in the same rounds, per dtype.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from tests.encoders.stepwise import StepwiseGRU
from torch import Tensor, nn

from motet.encoders import CausalGRU, encode_together

FEATURES = 150
PEAK_SIZE = 2048


def peak_seconds(dtype: torch.dtype, clock: Callable[[], float]) -> Callable[[], float]:
    """A measurement of one large matrix product."""
    a, b = (torch.randn(PEAK_SIZE, PEAK_SIZE).to(dtype) for _ in range(2))
    out = torch.empty_like(a)

    def measure() -> float:
        start = clock()
        torch.mm(a, b, out=out)
        return clock() - start

    return measure


def pass_seconds(
    encoders: list[nn.Module], inputs: list[Tensor], low: bool, backward: bool, clock: Callable[[], float]
) -> Callable[[], float]:
    """A measurement of encoding all streams, and of its gradients if asked for."""

    def measure() -> float:
        for encoder in encoders:
            encoder.zero_grad()
        start = clock()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low), torch.set_grad_enabled(backward):
            features = encode_together(encoders, inputs)
        if backward:
            torch.stack(features).sum().backward()
        return clock() - start

    return measure


def agreement(stepwise: list[nn.Module], fast: list[nn.Module], inputs: list[Tensor], low: bool) -> dict[str, float]:
    """How the gradients of the two forms compare: relative difference and cosine over all parameters."""
    found = []
    for encoders in (stepwise, fast):
        pass_seconds(encoders, inputs, low and encoders is fast, True, time.perf_counter)()
        found.append(torch.cat([p.grad.flatten() for e in encoders for p in e.parameters() if p.grad is not None]))
    plain, mine = (f.double() for f in found)
    difference = float((mine - plain).norm() / plain.norm())
    return {"relative_difference": difference, "cosine": float(torch.cosine_similarity(mine, plain, dim=0))}


def bench(
    hidden: int, streams: int, layers: int, batch: int, frames: int, rounds: int, threads: int
) -> dict[str, object]:
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    fast: list[nn.Module] = [CausalGRU(FEATURES, hidden, layers) for _ in range(streams)]
    stepwise: list[nn.Module] = [StepwiseGRU.like(encoder) for encoder in fast if isinstance(encoder, CausalGRU)]
    inputs = [torch.randn(batch, frames, FEATURES) for _ in range(streams)]
    weights = sum(p.numel() for e in fast for p in e.parameters() if p.dim() == 2)
    operations = 2.0 * weights * batch * frames
    result: dict[str, object] = {
        "hidden": hidden, "layers": layers, "streams": streams, "batch": batch, "frames": frames, "threads": threads,
        "gflop_forward": operations / 1e9,
        "gradients_fp32": agreement(stepwise, fast, inputs, low=False),
        "gradients_bf16": agreement(stepwise, fast, inputs, low=True),
    }  # fmt: skip
    for name, backward in (("forward", False), ("forward_backward", True)):
        forms = {
            "stepwise_fp32": pass_seconds(stepwise, inputs, False, backward, clock),
            "fp32": pass_seconds(fast, inputs, False, backward, clock),
            "bf16": pass_seconds(fast, inputs, True, backward, clock),
            "peak_fp32": peak_seconds(torch.float32, clock),
            "peak_bf16": peak_seconds(torch.bfloat16, clock),
        }
        times: dict[str, list[float]] = {form: [] for form in forms}
        for step in range(rounds + 1):
            for form, measure in forms.items():
                seconds = measure()
                if step:
                    times[form].append(seconds)
        median = {form: statistics.median(values) for form, values in times.items()}
        peak = {dtype: 2.0 * PEAK_SIZE**3 / median[f"peak_{dtype}"] for dtype in ("fp32", "bf16")}
        wanted = operations * (3 if backward else 1)
        rows: dict[str, object] = {"peak_gflops": {dtype: rate / 1e9 for dtype, rate in peak.items()}}
        for form in ("stepwise_fp32", "fp32", "bf16"):
            floor = wanted / peak["bf16" if form == "bf16" else "fp32"]
            rows[form] = {
                "ms": 1e3 * median[form],
                "ratio": median["stepwise_fp32"] / median[form],
                "ratio_at_the_floor": median["stepwise_fp32"] / floor,
                "share_of_floor": floor / median[form],
            }
        result[name] = rows
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, nargs="+", default=[128, 256, 1024])
    parser.add_argument("--streams", type=int, nargs="+", default=[1])
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    for hidden in options.hidden:
        for streams in options.streams:
            result = bench(
                hidden, streams, options.layers, options.batch, options.frames, options.rounds, options.threads
            )
            print(json.dumps(result, indent=2), flush=True)


if __name__ == "__main__":
    main()
