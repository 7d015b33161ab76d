"""The six GRU encoders of one CMD step at paper scale on a GPU: time, samples per second, memory, share of peak.

    python -m benchmarks.bench_gpu [--rounds 10] [--stepwise]

One step is the forward and backward pass of the three query encoders and the forward pass of the three key encoders
without gradients (batch 64, 64 frames, 150 features, hidden 1024, 3 layers). Forms, alternated, medians:
``grouped``, :func:`motet.encoders.encode_together`; ``graph``, the same recorded once as a CUDA graph; ``library``,
one cuDNN call per layer and direction; ``stepwise``, one call per frame, as the released code (fp32, slow: on
request). Peak is a 8192² matrix product of the same dtype in the same rounds; arithmetic is 12 forward passes' worth.
Without a GPU the script says so and exits with status 0.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from tests.encoders.stepwise import StepwiseGRU
from torch import Tensor, nn

from motet.encoders import CausalGRU, encode_together
from motet.memory import momentum_encoder

STREAMS, BATCH, FRAMES, FEATURES, HIDDEN, LAYERS = 3, 64, 64, 150, 1024, 3
PEAK_SIZE = 8192

Encode = Callable[[Sequence[nn.Module], Sequence[Tensor]], list[Tensor]]


def by_library(encoders: Sequence[nn.Module], inputs: Sequence[Tensor]) -> list[Tensor]:
    """Features by cuDNN's own kernels, stream after stream."""
    return [e.sequence_by_library(x)[:, -1] for e, x in zip(encoders, inputs, strict=True) if isinstance(e, CausalGRU)]


def step_of(
    encode: Encode, queries: Sequence[nn.Module], keys: Sequence[nn.Module], inputs: Sequence[Tensor], low: bool
) -> Callable[[], None]:
    """One training step's worth of encoding; gradients are overwritten, not accumulated."""
    parameters = [p for e in queries for p in e.parameters()]
    device = inputs[0].device.type

    def step() -> None:
        with torch.autocast(device, dtype=torch.bfloat16, enabled=low, cache_enabled=False):
            features = encode(queries, inputs)
            with torch.no_grad():
                encode(keys, inputs)
        gradients = torch.autograd.grad(torch.stack(features).float().sum(), parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient

    return step


def recorded(step: Callable[[], None]) -> Callable[[], None]:
    """The step as a CUDA graph, recorded after three warm-up runs on a side stream."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def product(dtype: torch.dtype) -> Callable[[], None]:
    a, b = (torch.randn(PEAK_SIZE, PEAK_SIZE, device="cuda").to(dtype) for _ in range(2))
    out = torch.empty_like(a)

    def multiply() -> None:
        torch.mm(a, b, out=out)

    return multiply


def seconds(action: Callable[[], None]) -> float:
    torch.cuda.synchronize()
    start = time.perf_counter()
    action()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def bench(low: bool, stepwise: bool, rounds: int) -> dict[str, object]:
    torch.manual_seed(0)
    queries = nn.ModuleList([CausalGRU(FEATURES, HIDDEN, LAYERS) for _ in range(STREAMS)]).cuda()
    keys = momentum_encoder(queries)
    inputs = [torch.randn(BATCH, FRAMES, FEATURES, device="cuda") for _ in range(STREAMS)]
    grouped = step_of(encode_together, list(queries), list(keys), inputs, low)
    forms = {"grouped": grouped, "library": step_of(by_library, list(queries), list(keys), inputs, low)}
    if stepwise:
        plain, plain_keys = (
            [StepwiseGRU.like(e) for e in group if isinstance(e, CausalGRU)] for group in (queries, keys)
        )
        forms["stepwise"] = step_of(encode_together, plain, plain_keys, inputs, low=False)
    memory: dict[str, float] = {}
    for name, form in forms.items():
        form()
        torch.cuda.reset_peak_memory_stats()
        form()
        memory[name] = torch.cuda.max_memory_allocated() / 2**20
    forms["graph"] = recorded(grouped)
    dtype = torch.bfloat16 if low else torch.float32
    timed = {**forms, "peak": product(dtype)}
    times: dict[str, list[float]] = {name: [] for name in timed}
    for count in range(rounds + 2):
        for name, form in timed.items():
            taken = seconds(form)
            if count >= 2:
                times[name].append(taken)
    median = {name: statistics.median(values) for name, values in times.items()}
    weights = sum(p.numel() for p in queries.parameters() if p.dim() == 2)
    operations = 2.0 * weights * BATCH * FRAMES * 4
    peak = 2.0 * PEAK_SIZE**3 / median["peak"]
    return {
        "dtype": str(dtype).removeprefix("torch."),
        "peak_tflops": peak / 1e12,
        "forms": {
            name: {
                "ms_per_step": 1e3 * median[name],
                "samples_per_second": BATCH / median[name],
                "share_of_peak": operations / median[name] / peak,
                "memory_mib": memory.get(name),
            }
            for name in forms
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--stepwise", action="store_true", help="also time the frame-by-frame form")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("no GPU at hand: nothing measured")
        return
    report: dict[str, object] = {"device": torch.cuda.get_device_name(), "torch": torch.__version__}
    for low in (False, True):
        report["bf16" if low else "fp32"] = bench(low, options.stepwise, options.rounds)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
