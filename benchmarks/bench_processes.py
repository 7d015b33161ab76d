"""The figures of docs/results/ddp.md: one, two and four processes give one training.

    python -m benchmarks.bench_processes --steps 40

Every method trains on simulated clips in float64, once for each number of processes, with the same global batches.
Compared with a single process: the loss of every step (each term), the queues and the weights after the last step, on
every process; queues and weights of the processes of one run must be equal to the last bit.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import socket
import tempfile
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing as mp
from torch import Tensor

from motet.core.environment import hardware
from motet.core.errors import MotetWarning
from motet.core.files import write_json, written
from motet.data.archive import MotionArchive
from motet.data.simulate import simulate
from motet.engine.trainer import Trainer
from motet.methods.base import Streams
from motet.methods.learner import Pretraining
from motet.methods.pretrain import resolve

METHODS: dict[str, dict[str, Any]] = {
    "moco": {"streams": ("joint",)},
    "cmd": {},
    "halp-cmd": {"halp_start": 0, "recent": 32, "prototypes": 6, "positives": 20, "refresh": 2},
}
SMALL: dict[str, Any] = {
    "frames": 16,
    "hidden": 16,
    "layers": 2,
    "dim": 16,
    "batch_size": 16,
    "queue_size": 64,
    "optimiser": "sgd",
    "lr": 0.01,
    "split": "odd-even",
    "seed": 0,
}


class Exact(Pretraining):
    """A pretraining in float64."""

    def _make_network(self) -> Streams:
        return super()._make_network().double()

    def _views(self, ids: Tensor, epoch: int) -> tuple[Tensor, ...]:
        return tuple(clip.double() for clip in super()._views(ids, epoch))


def train(archive: MotionArchive, method: str, processes: int, steps: int) -> dict[str, Any]:
    """The losses of every step and what is left after the last one, as this process sees it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MotetWarning)
        recipe, parts = resolve(f"{method}/small", archive, {**SMALL, **METHODS[method], "devices": processes})
    trainer = Trainer(lambda device: Exact(recipe, archive, parts, device), recipe.loop, progress=False)
    trainer.module.train()
    losses = []
    for step in range(steps):
        trainer.epoch, trainer.step = divmod(step, trainer.at.stage.steps)
        if trainer.step == 0:
            trainer.learner.enter_epoch(trainer.at)
        losses.append({name: float(value) for name, value in trainer.one_step().items()})
    state = {k: v for k, v in trainer.learner.state()["host"].items() if isinstance(v, Tensor)}
    return {"losses": losses, "state": state}


def _worker(number: int, port: int, processes: int, job: tuple[str, list[str], int], folder: str) -> None:
    torch.set_num_threads(1)
    if processes > 1:  # as torchrun does
        os.environ |= {"TORCHELASTIC_RUN_ID": "equality", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        os.environ |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
        os.environ |= {"RANK": str(number), "LOCAL_RANK": str(number), "GROUP_RANK": "0"}
    path, methods, steps = job
    archive = MotionArchive.open(path)
    torch.save({m: train(archive, m, processes, steps) for m in methods}, Path(folder) / f"{number}.pt")


def run(archive: Path, methods: list[str], processes: int, steps: int) -> list[dict[str, Any]]:
    """What each process saw, by method."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        job = (str(archive), methods, steps)
        # from a server that has imported everything and has no thread running
        mp.start_processes(_worker, (port, processes, job, folder), nprocs=processes, start_method="forkserver")
        return [torch.load(Path(folder) / f"{n}.pt", weights_only=True) for n in range(processes)]


def furthest(ours: dict[str, Tensor], theirs: dict[str, Tensor], *, queues: bool) -> float:
    """Largest difference of any number of the queues, or of everything else."""
    kept = [k for k in ours if k.startswith("queue.") == queues]
    return max(float((ours[k].double() - theirs[k].double()).abs().max()) for k in kept)


def compare(alone: dict[str, Any], together: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Differences to a single process, the largest over all processes."""
    first = together[0]
    losses = [
        abs(a[term] - b[term])
        for seen in together
        for a, b in zip(alone["losses"], seen["losses"], strict=True)
        for term in a
    ]
    return {
        "losses": max(losses),
        "queues": max(furthest(alone["state"], seen["state"], queues=True) for seen in together),
        "weights": max(furthest(alone["state"], seen["state"], queues=False) for seen in together),
        "equal_processes": all(
            torch.equal(first["state"][k], seen["state"][k]) for seen in together for k in first["state"]
        ),
    }


def table(found: dict[str, Any]) -> str:
    lines = [
        "| method | processes | losses | queues | weights | processes equal to the bit |",
        "|---|---|---|---|---|---|",
    ]
    for method, entry in found["methods"].items():
        for processes, row in entry["against_one"].items():
            figures = " | ".join(f"{row[name]:.1e}" for name in ("losses", "queues", "weights"))
            lines.append(f"| {method} | {processes} | {figures} | {'yes' if row['equal_processes'] else '**no**'} |")
    return "\n".join(lines)


def page(found: dict[str, Any]) -> str:
    machine = found["hardware"]
    lines = [
        "# One training on several processes",
        "",
        f"Largest absolute difference to a single process over {found['steps']} steps of the same global batches "
        f"({found['batch_size']} clips), float64, gloo on a CPU.",
        "Losses: every term of every step. Queues and weights (query and momentum encoders, heads, running "
        "statistics of the norms, prototypes): after the last step, on every process.",
        "",
        table(found),
        "",
        "```bash",
        f"python -m benchmarks.bench_processes --steps {found['steps']}",
        "```",
        "",
        "How it is done: [several processes and machines](../scale_out.md).",
        "",
        f"{machine['cpu']}, torch {found['torch']}, {found['date']}. All figures: [ddp.json](ddp.json).",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    args = parser.parse_args()
    multiprocessing.set_forkserver_preload(
        ["motet.engine.trainer", "motet.methods.recipes.contrastive", "motet.methods.recipes.halp"]
    )
    found: dict[str, Any] = {"steps": args.steps, "batch_size": SMALL["batch_size"], "methods": {}}
    found |= {"hardware": hardware(), "torch": torch.__version__, "date": datetime.now(UTC).date().isoformat()}
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "simulated"
        simulate(archive, clips=96, actions=6, actors=4, seed=0, progress=False)
        seen = {n: run(archive, args.methods, n, args.steps) for n in (1, *args.processes)}
        for method in args.methods:
            alone = seen[1][0][method]
            rows = {str(n): compare(alone, [one[method] for one in seen[n]]) for n in args.processes}
            found["methods"][method] = {"against_one": rows, "last_losses": alone["losses"][-1]}
            print(method, rows, flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    write_json(args.out / "ddp.json", found)
    with written(args.out / "ddp.md") as partial:
        partial.write_text(page(found))


if __name__ == "__main__":
    main()
