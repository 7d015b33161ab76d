"""Every encoder and every verb for a few steps on a device: does it work there?

``python -m benchmarks.gpu_smoke [--device cuda] [--out gpu_smoke.json] [--only WORD …] [--seconds 110]``

One line per case, then a count. A case that fails does not stop the others; its last line and traceback are in the
JSON file. Encoders are compared with the same weights on the CPU: features, gradients, a step in bfloat16. Verbs are
the commands as a person types them, on small simulated recordings. Without ``--device`` it is ``cuda`` where torch
sees one, else ``cpu``.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from motet import losses
from motet.cli import main as motet
from motet.data import layouts
from motet.data.archive import MotionArchive
from motet.encoders import CausalGRU, Rocket, build_encoder, encode_together
from motet.memory import momentum_encoder

Case = Callable[[], str]
BATCH, FRAMES, PERSONS, CHANNELS = 6, 24, 2, 3
ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "gru": ("gru", {"hidden": 32, "layers": 2}),
    "gru bidirectional": ("gru", {"hidden": 32, "layers": 2, "mode": "bidirectional"}),
    "gru of the paper": ("gru", {"hidden": 1024 if torch.cuda.is_available() else 64}),
    "stgcn width 4": ("stgcn", {"width": 4, "feature_size": 32, "dropout": 0.0}),
    "stgcn width 8": ("stgcn", {"width": 8, "feature_size": 32, "dropout": 0.0}),
    "stgcn": ("stgcn", {"dropout": 0.0}),
    "tcn": ("tcn", {}),
    "tcn causal": ("tcn", {"causal": True}),
    "transformer": ("transformer", {}),
    "rocket": ("rocket", {"kernels": 200, "seed": 0}),
}
METHODS = ("codt", "bm", "ocm", "mmt", "uno", "sela", "autonovel", "simgcd")
STUDENTS = ("amid", "nce", "ccl", "crd", "crcd", "fitnets", "gmc", "kd", "alone", "teacher")
RECIPES = (
    *("moco", "mcl", "crossclr", "cmd", "halp", "halp-cmd", "aimclr", "halp-aimclr", "barlow", "mae"),
    *("moco-stgcn", "crossclr-stgcn"),
)
SHORT = {
    "linear": ("--linear.epochs", "2"),
    "semi": ("--semi.epochs", "1", "--semi.repeats", "1", "--semi.ratios", "0.5"),
    "finetune": ("--finetune.epochs", "1"),
    "transfer": ("--transfer.epochs", "1"),
    "ensemble": ("--ensemble.epochs", "2"),
    "cluster": ("--cluster.restarts", "2"),
    "fewshot": ("--fewshot.episodes", "20"),
}
PROTOCOLS = (
    *("knn", "ridge", "linear", "linear-cached", "semi", "finetune", "retrieval"),
    *("cluster", "fewshot", "ensemble", "transfer"),
)


class Bench:
    """The cases, and what came of each."""

    def __init__(self, device: str, work: Path, only: list[str], seconds: float) -> None:
        self.device, self.work, self.only = device, work, only
        self.end = time.monotonic() + seconds
        self.results: list[dict[str, Any]] = []

    def run(self, name: str, case: Case) -> None:
        """Run one case and print its line."""
        if self.only and not any(word in name for word in self.only) and not name.startswith("data "):
            return
        found: dict[str, Any] = {"case": name}
        if time.monotonic() > self.end:
            found |= {"ok": None, "said": "no time left"}
        else:
            start = time.perf_counter()
            try:
                found |= {"ok": True, "said": case()}
            except BaseException as error:  # the next case has to run whatever this one did
                if isinstance(error, KeyboardInterrupt):
                    raise
                said = (str(error).strip().splitlines() or [""])[-1]
                found |= {"ok": False, "said": f"{type(error).__name__}: {said}"[:400]}
                found["traceback"] = traceback.format_exc()[-3000:]
            found["seconds"] = round(time.perf_counter() - start, 2)
        self.results.append(found)
        word = {True: "ok", False: "FAILED", None: "left out"}[found["ok"]]
        print(f"{word:8} {found.get('seconds', 0.0):6.2f} s  {name}  {found['said']}"[:200], flush=True)

    def verb(self, name: str, *words: object) -> None:
        """A case that is a command."""
        self.run(name, lambda: command([str(w) for w in words]))


def command(words: list[str]) -> str:
    """Run a command; its last printed line.

    Raises:
        RuntimeError: exit status other than 0; the message is what was written to stderr.
    """
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = motet(words)
    if status:
        raise RuntimeError(f"motet {' '.join(words[:3])}: status {status}: {err.getvalue().strip()}")
    lines = [line for line in out.getvalue().splitlines() if line.strip()]
    return lines[-1].strip()[:80] if lines else ""


def difference(a: Tensor, b: Tensor) -> float:
    """Largest difference as a share of the largest value."""
    a, b = a.detach().double().cpu(), b.detach().double().cpu()
    return float((a - b).abs().max() / b.abs().max().clamp_min(1e-12))


def encoder_case(kind: str, options: dict[str, Any], device: str) -> str:
    """Features, tokens and gradients as on the CPU, in training and in use; one step in bfloat16."""
    torch.manual_seed(0)
    skeleton = layouts.get("kinect-v2")
    here = build_encoder(kind, skeleton=skeleton, persons=PERSONS, channels=CHANNELS, **options)
    x = torch.randn(BATCH, FRAMES, PERSONS, len(skeleton), CHANNELS)
    there = build_encoder(kind, skeleton=skeleton, persons=PERSONS, channels=CHANNELS, **options)
    if isinstance(here, Rocket):
        here.fit(x)
    there.load_state_dict(here.state_dict())
    there.to(device)
    said = []
    for training in (True, False):
        here.train(training), there.train(training)
        gradients = []
        for encoder, clips in ((here, x), (there, x.to(device))):
            encoder.zero_grad()
            feature = encoder(clips)
            if feature.requires_grad:
                feature.square().sum().backward()
            gradients.append((feature, [p.grad for p in encoder.parameters() if p.grad is not None]))
        (expected, slopes), (found, found_slopes) = gradients
        worst = max([difference(a, b) for a, b in zip(found_slopes, slopes, strict=True)], default=0.0)
        said.append(f"{difference(found, expected):.0e}/{worst:.0e}")
        limit = 2e-2 if device.startswith("cuda") else 1e-4  # cuDNN's convolutions round to TF32
        if difference(found, expected) > limit or worst > 5 * limit:
            raise RuntimeError(f"features and gradients differ from the CPU's by {said[-1]}")
    with torch.no_grad():
        tokens = there.tokens(x.to(device))  # type: ignore[operator]
    if tokens.shape[:2] != (BATCH, FRAMES) or not torch.isfinite(tokens).all():
        raise RuntimeError(f"tokens have shape {tuple(tokens.shape)} or are not finite")
    with torch.autocast(device.split(":")[0], dtype=torch.bfloat16):
        feature = there.train()(x.to(device))
    if feature.requires_grad:
        feature.float().square().sum().backward()
    if not torch.isfinite(feature).all():
        raise RuntimeError("not finite in bfloat16")
    return " ".join(said)


def library_case(device: str) -> str:
    """torch's own recurrence trains, in either state of the module."""
    torch.manual_seed(0)
    gru = CausalGRU(12, 16, 2).to(device)
    x = torch.randn(4, 9, 12, device=device)
    worst = 0.0
    for training in (True, False):
        gru.train(training).zero_grad()
        gru.sequence_by_library(x).square().sum().backward()
        slopes = [p.grad.clone() for p in gru.parameters() if p.grad is not None]
        gru.zero_grad()
        gru.sequence(x).square().sum().backward()
        worst = max(
            worst, *(difference(p.grad, s) for p, s in zip(gru.parameters(), slopes, strict=True) if p.grad is not None)
        )
    if worst > 1e-2:
        raise RuntimeError(f"gradients differ by {worst:.0e}")
    return f"{worst:.0e}"


def together_case(device: str) -> str:
    """Three streams and their momentum encoders in one recurrence, as a CUDA graph where there is one."""
    torch.manual_seed(0)
    encoders = nn.ModuleList([CausalGRU(20, 64, 2) for _ in range(3)]).to(device)
    twins, inputs = momentum_encoder(encoders), [torch.randn(8, 16, 20, device=device) for _ in range(3)]

    def step() -> Tensor:
        features = encode_together(list(encoders), inputs)
        with torch.no_grad():
            encode_together(list(twins), inputs)
        return torch.autograd.grad(torch.stack(features).sum(), list(encoders.parameters()))[0]

    expected = step()
    if not device.startswith("cuda"):
        return "no graph on this device"
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = step()
    graph.replay()
    torch.cuda.synchronize()
    if difference(kept, expected) > 1e-3:
        raise RuntimeError(f"the graph's gradients differ by {difference(kept, expected):.0e}")
    return "graph as eager"


def losses_case(device: str) -> str:
    """Losses, transport, k-means and neighbours with their tensors on the device, against the CPU."""
    torch.manual_seed(0)
    unit = {k: nn.functional.normalize(torch.randn(n, 16), dim=1) for k, n in (("q", 8), ("k", 8), ("queue", 64))}
    worst = 0.0
    on = {k: v.to(device) for k, v in unit.items()}
    for loss in (losses.info_nce,):
        worst = max(worst, difference(loss(on["q"], on["k"], on["queue"]), loss(unit["q"], unit["k"], unit["queue"])))
    for loss in (losses.mutual_distillation, losses.cross_positive_mining, losses.mutual_contrast):
        values = []
        for place in (on, unit):
            pair = ({s: place["q"].roll(i, 0) for i, s in enumerate("ab")}, dict.fromkeys("ab", place["k"]))
            more = {"top_k": 8} if loss is losses.mutual_distillation else {}
            values.append(loss(*pair, {s: place["queue"].roll(i, 0) for i, s in enumerate("ab")}, **more))  # type: ignore[operator]
        worst = max(worst, difference(*values))
    logits = torch.randn(64, 5)
    worst = max(worst, difference(losses.balanced_assignment(logits.to(device)), losses.balanced_assignment(logits)))
    if worst > 1e-3:
        raise RuntimeError(f"values differ from the CPU's by {worst:.0e}")
    return f"{worst:.0e}"


def table(path: Path) -> None:
    """Two modalities of 60 samples in three classes."""
    draw = np.random.default_rng(0)
    label = np.arange(60) % 3
    arrays = {name: (draw.normal(size=(60, 12)) + label[:, None]).astype("f4") for name in ("text", "video")}
    np.savez(path, label=label, fold=np.arange(60) // 3 % 2, **arrays)


def graph_set(folder: Path) -> None:
    """Rings and stars of 6 nodes, in the form of the TU collection."""
    folder.mkdir()
    edges, owners, labels = [], [], []
    for graph in range(40):
        first = 6 * graph + 1
        ring = [(first + i, first + (i + 1) % 6) for i in range(6)]
        pairs = ring if graph % 2 else [(first, first + i) for i in range(1, 6)]
        edges += [f"{a}, {b}" for pair in pairs for a, b in (pair, pair[::-1])]
        owners += [str(graph + 1)] * 6
        labels += [str(graph % 2)]
    lines = {
        "A": edges,
        "graph_indicator": owners,
        "graph_labels": labels,
        "node_labels": [str(i % 3) for i in range(240)],
    }
    for name, text in lines.items():
        (folder / f"DS_{name}.txt").write_text("\n".join(text) + "\n")


def cases(bench: Bench) -> None:
    """All of them, those first that others need."""
    device, at = bench.device, bench.work
    for name, (kind, options) in ENCODERS.items():
        bench.run(f"encoder {name}", lambda kind=kind, options=options: encoder_case(kind, options, device))  # type: ignore[misc]
    bench.run("encoder gru by the library", lambda: library_case(device))
    bench.run("encoder three streams together", lambda: together_case(device))
    bench.run("losses", lambda: losses_case(device))
    size = ("--clips", 64, "--actions", 4, "--actors", 4, "--quiet")
    bench.verb("data simulate", "data", "simulate", at / "a", *size, "--imu")
    bench.verb("data simulate (target)", "data", "simulate", at / "b", *size, "--seed", 1, "--sensor", "optical")
    archive = ("--data", at / "a", "--quiet")
    few = ("--device", device, "--steps", 4, "--batch-size", 8, "--frames", 16)
    for recipe in RECIPES:
        bench.verb(f"pretrain {recipe}", "pretrain", f"{recipe}/small", *archive, "--out", at / f"run-{recipe}", *few)
    for encoder, more in (
        ("gru", ("--hidden", 16)),
        ("stgcn", ("--width", 8)),
        ("transformer", ()),
        ("tcn", ("--causal",)),
    ):
        words = ("--encoder", encoder, *more, "--out", at / f"run-{encoder}")
        bench.verb(f"pretrain cmd with {encoder}", "pretrain", "cmd/small", *archive, *few, *words)
    low = (*few, "--precision", "bf16", "--out", at / "run-bf16")
    bench.verb("pretrain in bfloat16", "pretrain", "cmd/small-gru", *archive, *low, "--hidden", 64)
    beside = ("--beside", f"imu={at / 'a-imu'}", "--streams", "joint", "imu:joint", "--out", at / "run-imu")
    bench.verb("pretrain with a worn sensor", "pretrain", "cmd/small", *archive, *few, *beside)
    bench.verb("resume", "resume", at / "run-cmd", "--quiet")
    run = at / "run-cmd"
    for protocol in PROTOCOLS:
        words = ("--protocols", protocol, "--device", device, "--quiet", *SHORT.get(protocol, ()))
        words += ("--transfer.data", at / "b") if protocol == "transfer" else ()
        bench.verb(f"evaluate {protocol}", "evaluate", run, *words)
    bench.verb(
        "evaluate gru run",
        "evaluate",
        at / "run-gru",
        "--protocols",
        "knn",
        "linear",
        "--linear.epochs",
        2,
        "--device",
        device,
        "--quiet",
    )
    for who in (run, "body", "rocket"):
        word = who if isinstance(who, str) else "run"
        bench.verb(f"embed {word}", "embed", who, at / "a", "--out", at / f"{word}.npz", "--device", device)
    pair = ("--source", at / "a", "--target", at / "b", "--device", device, "--quiet")
    for method in METHODS:
        words = ("--method", method, "--epochs", 2, "--finetune-epochs", 1, "--clusters", 4, "--batch-size", 8)
        bench.verb(f"discover {method}", "discover", *pair, "--out", at / f"found-{method}", *words)
    table(at / "table.npz")
    for method in STUDENTS:
        words = (
            "--target",
            "text",
            "--auxiliary",
            "video",
            "--method",
            method,
            "--epochs",
            3,
            "--device",
            device,
            "--quiet",
        )
        bench.verb(f"distill {method}", "distill", at / "table.npz", "--out", at / f"student-{method}", *words)
    graph_set(at / "graphs")
    for method in ("graphcl", "halp-graphcl"):
        words = ("--method", method, "--seeds", 0, "--folds", 2, "--epochs", 2, "--device", device, "--quiet")
        bench.verb(f"graphs {method}", "graphs", at / "graphs", "--out", at / method, *words)
    bench.verb("weights pack", "weights", "pack", run, "--out", at / "packed")
    bench.verb("report", "report", run, "--out", at / "report.html")
    answers(bench)
    bench.verb("export", "export", run, "--out", at / "model.onnx", "--quiet")


def answers(bench: Bench) -> None:
    """Verbs that compute on the CPU only, once each: they have to work on a machine with another device too."""
    at = bench.work
    words = ("--candidates", "statistics+linear", "--folds", 2, "--quiet")
    bench.verb("fit", "fit", at / "a", "--out", at / "fitted", *words)
    bench.verb("predict", "predict", at / "fitted", at / "b", "--out", at / "bouts.csv")
    bench.verb("segment", "segment", at / "a", "--out", at / "states.csv", "--states", 3)
    like = MotionArchive.open(at / "a").clips["name"][0] if (at / "a").is_dir() else "0"
    bench.verb("search", "search", at / "a", "--like", like, "--out", at / "hits.csv")
    bench.verb("count", "count", at / "a", "--out", at / "repetitions.csv")


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=Path("gpu_smoke.json"))
    parser.add_argument("--only", nargs="*", default=[], help="cases whose names contain one of these words")
    parser.add_argument("--seconds", type=float, default=110.0, help="no case begins later than this")
    given = parser.parse_args()
    start = time.monotonic()
    with workplace() as work:
        bench = Bench(given.device, work, given.only, given.seconds)
        cases(bench)
    name = torch.cuda.get_device_name() if given.device.startswith("cuda") else given.device
    failed = [r["case"] for r in bench.results if r["ok"] is False]
    found = {
        "device": name,
        "torch": torch.__version__,
        "seconds": round(time.monotonic() - start, 1),
        "failed": failed,
        "cases": bench.results,
    }
    given.out.write_text(json.dumps(found, indent=1))
    print(f"{len(bench.results)} cases on {name} in {found['seconds']} s: {len(failed)} failed; written to {given.out}")


if __name__ == "__main__":
    main()
