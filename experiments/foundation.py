"""The tables of docs/results/foundation.md: CMD beside its rivals on small real sets.

    python experiments/foundation.py --data ../shared/data --work runs/foundation --workers 2

Every training is a `motet pretrain` of its own (its metrics say time and memory); what is done already is not done
again, so the script can be stopped and started at will. The tables are written from whatever is complete, between the
markers of foundation.md, and all figures into foundation.json; rows that are not complete are left out and named.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

from pages import insert

from motet.core.environment import hardware
from motet.core.files import write_json
from motet.data.archive import MotionArchive
from motet.data.formats import import_dataset
from motet.data.splits import default_rule, split
from motet.engine.run import Run
from motet.engine.table import RANDOM, RAW, Row, percent
from motet.reproduce.compare import Entry, study

SIX = "joint motion bone acceleration bone_motion joint[{part}]"


@dataclass(frozen=True)
class Set:
    """A data set of the table: where its recordings are, how long to train, options of all its trainings."""

    name: str
    file: str | None
    steps: int
    options: dict[str, Any] = field(default_factory=dict)
    streams: tuple[str, ...] = ("joint", "motion", "bone")
    part: str = "left_arm+right_arm"


SETS = (
    Set("shrec17", "skeleton/shrec17_hand_train.npz", 600, part="index+thumb"),
    Set("kard", "skeleton/kard.npz", 400),
    Set("utd_mhad", "skeleton/utd_mhad.npz", 400),
    Set("ui_prmd", "skeleton/ui_prmd_kinect.npz", 400),
    Set("watch", None, 400, {"preprocess": "none"}, ("joint", "motion")),
)
ABLATION_SET = "shrec17"
TITLES = {
    "shrec17": "SHREC'17, training half (hands)",
    "kard": "KARD",
    "utd_mhad": "UTD-MHAD",
    "ui_prmd": "UI-PRMD, Kinect",
    "watch": "watch (accelerometer and gyroscope)",
    "shrec17-ablations": "Ablations on SHREC'17",
    "timing": "Time per epoch on SHREC'17",
}
PRECISION = "bf16"  # the same accuracy as fp32 on held-out training subjects, 1.6 times as fast here


def epochs_for(archive: MotionArchive, steps: int, batch: int = 64) -> int:
    """Epochs that make about the given number of steps."""
    clips = len(split(archive, default_rule(archive)).train)
    return math.ceil(steps / (clips // min(batch, clips)))


def entries(which: Set, archive: MotionArchive, ratio: float | None) -> list[Entry]:
    """Trainings of one set; ``ratio`` is CMD's time per epoch over MoCo's, once it is known."""
    epochs = epochs_for(archive, which.steps)
    common = {**which.options, "streams": which.streams, "precision": PRECISION}
    base = {**common, "epochs": epochs}
    rows = [Entry(m, f"{m}/small", base) for m in ("moco", "cmd", "mcl", "crossclr")]
    rows.append(Entry("cmd-consensus", "cmd/small-gru", {**base, "teachers": "consensus"}))
    if ratio is not None:
        longer = max(epochs, round(epochs * ratio))
        rows.append(Entry("moco-equal-time", "moco/small-gru", {**common, "epochs": longer}))
    return rows


def ablations(which: Set, archive: MotionArchive) -> list[Entry]:
    """CMD's temperatures and stages, and many streams."""
    epochs = epochs_for(archive, which.steps)
    base = {**which.options, "streams": which.streams, "precision": PRECISION, "epochs": epochs}
    rows = [
        Entry(f"cmd-t{t}-s{s}", "cmd/small-gru", {**base, "teacher_temperature": t, "student_temperature": s})
        for t, s in ((0.02, 0.1), (0.1, 0.1), (0.05, 0.5))
    ]
    rows.append(Entry("cmd-two-stage", "cmd/small-gru", {**base, "distill_start": epochs // 2}))
    rows.append(Entry("crossclr-one-stage", "crossclr/small-gru", {**base, "cross_start": 0}))
    six = tuple(SIX.format(part=which.part).split())
    rows += [
        Entry(f"cmd-6-streams-{t}", "cmd/small-gru", {**base, "streams": six, "teachers": t})
        for t in ("pairwise", "consensus")
    ]
    return rows


def archive_of(which: Set, data: Path, work: Path) -> MotionArchive:
    path = work / "archives" / which.name
    if not path.exists():
        if which.file is None:
            import_dataset("watch", "seglearn", path, progress=False)
        else:
            import_dataset("npz", data / which.file, path, progress=False, workers=1)
    return MotionArchive.open(path)


def command(entry: Entry, archive: Path, out: Path, seed: int) -> list[str]:
    """The training as a command line."""
    words = ["motet", "pretrain", entry.recipe, "--data", str(archive), "--out", str(out), "--seed", str(seed)]
    for name, value in entry.options.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", *(map(str, value) if isinstance(value, tuple) else [str(value)])]
    return words


def train_all(jobs: Sequence[tuple[Entry, Path, Path, int]], workers: int) -> None:
    """Run the trainings that are not finished, ``workers`` at a time, one thread each."""
    waiting: queue.SimpleQueue[tuple[Entry, Path, Path, int]] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)

    def work() -> None:
        while True:
            try:
                entry, archive, out, seed = waiting.get_nowait()
            except queue.Empty:
                return
            if (out / "model.safetensors").exists():
                continue
            words = command(entry, archive, out, seed)
            if (out / "config.json").exists():
                words = ["motet", "pretrain", "--resume", str(out)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            done = subprocess.run(
                [sys.executable, "-m", *words, "--quiet"], env=environment, capture_output=True, text=True, check=False
            )
            print(done.stdout.strip() or f"FAILED {out}: {done.stderr.strip()[-500:]}", flush=True)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def seconds_per_epoch(folder: Path, seeds: Sequence[int]) -> float:
    """Median over the epochs of all seeds."""
    return float(median(m["seconds"] for s in seeds for m in Run.open(folder / f"seed-{s}").metrics()))


def measured(folder: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """Time and memory of an entry's trainings."""
    runs = [Run.open(folder / f"seed-{s}") for s in seeds]
    return {
        "epochs": runs[0].recipe.epochs,
        "seconds_per_epoch": seconds_per_epoch(folder, seeds),
        "seconds": fmean(sum(m["seconds"] for m in r.metrics()) for r in runs),
        "peak_memory_mb": max(m["peak_memory_mb"] for r in runs for m in r.metrics()),
    }


def finished(folder: Path, seeds: Sequence[int]) -> bool:
    return all((folder / f"seed-{s}" / "model.safetensors").exists() for s in seeds)


def run_set(which: Set, args: argparse.Namespace, *, ablation: bool) -> dict[str, Any]:
    """Train and judge one set; returns what the tables are made of."""
    archive, folder = archive_of(which, args.data, args.work), args.work / which.name
    if ablation:
        rows = ablations(which, archive)
    else:
        rows = entries(which, archive, None)
        first = [e for e in rows if e.name in ("moco", "cmd")]
        train_all(
            [(e, archive.path, folder / e.name / f"seed-{s}", s) for s in args.seeds for e in first], args.workers
        )
        ratio = seconds_per_epoch(folder / "cmd", args.seeds) / seconds_per_epoch(folder / "moco", args.seeds)
        rows = entries(which, archive, ratio)
    train_all([(e, archive.path, folder / e.name / f"seed-{s}", s) for s in args.seeds for e in rows], args.workers)
    complete = [e for e in rows if finished(folder / e.name, args.seeds)]
    found = study(complete, archive, folder, seeds=args.seeds, progress=False, linear_cached={"epochs": 80})
    extra = {
        e.name: {
            **measured(folder / e.name, args.seeds),
            "command": " ".join(command(e, Path(which.name), Path("RUN"), 0)),
        }
        for e in complete
    }
    missing = [e.name for e in rows if e not in complete]
    return {"set": which.name, "steps": which.steps, "trainings": extra, "missing": missing, **found}


def cells(rows: Sequence[Row], name: str) -> dict[tuple[str, str], str]:
    """Percent by (protocol, stream); ensembles of all streams are called ``all``."""
    kept = [r for r in rows if r.features == name and r.ensemble in (None, "concat", "mean-logits")]
    return {(r.protocol, r.stream if r.ensemble is None else "all"): percent(r.values) for r in kept}


def markdown(found: dict[str, Any]) -> str:
    """One table of a set."""
    rows = [Row.from_dict(r) for r in found["rows"]]
    names = [RAW, RANDOM, *found["trainings"]]
    order: dict[tuple[str, str], None] = {}
    for name in names:
        order |= dict.fromkeys(cells(rows, name))
    columns = [c for c in order if c[1] in ("joint", "motion", "bone", "all")]
    head = [f"{'kNN' if p == 'knn' else 'linear'} {s}" for p, s in columns]
    facts, shown = found["split"], []
    for name in names:
        values, time = cells(rows, name), found["trainings"].get(name)
        cost = ["–", "–"] if time is None else [str(time["epochs"]), f"{time['peak_memory_mb']:.0f}"]
        shown.append([name, *(values.get(c, "–") for c in columns), *cost])
    title = ["features", *head, "epochs", "peak MB"]
    lines = [
        f"{facts['train']} training and {facts['test']} test clips, {facts['classes']} classes, split "
        f"`{facts['rule']}`, seeds {found['seeds']}.",
        "",
        "| " + " | ".join(title) + " |",
        "|---" * len(title) + "|",
        *("| " + " | ".join(row) + " |" for row in shown),
    ]
    if found["missing"]:
        lines += ["", f"Not run yet: {', '.join(found['missing'])}."]
    return "\n".join(lines) + "\n"


def timing(which: Set, args: argparse.Namespace, rounds: int) -> dict[str, Any]:
    """Seconds per epoch of every method and ablation on an idle machine: they take turns, one thread."""
    archive, taken = archive_of(which, args.data, args.work), dict[str, list[float]]()
    rows = [*entries(which, archive, None), *ablations(which, archive)]
    chosen = [e for e in rows if "-t0" not in e.name and "stage" not in e.name]
    for turn, entry in ((r, e) for r in range(rounds) for e in chosen):
        with tempfile.TemporaryDirectory() as folder:
            options = {**entry.options, "epochs": 2, "monitor_every": 10**6}
            words = command(Entry(entry.name, entry.recipe, options), archive.path, Path(folder) / "run", turn)
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            subprocess.run([sys.executable, "-m", *words, "--quiet"], env=environment, capture_output=True, check=True)
            seconds = Run.open(Path(folder) / "run").metrics()[-1]["seconds"]  # the second epoch: nothing is cold
        taken.setdefault(entry.name, []).append(seconds)
    per_epoch = {name: median(values) for name, values in taken.items()}
    return {"set": which.name, "rounds": rounds, "seconds_per_epoch": per_epoch}


def timing_table(found: dict[str, Any]) -> str:
    per_epoch = found["seconds_per_epoch"]
    lines = ["| training | s/epoch | over moco |", "|---|---|---|"]
    lines += [f"| {n} | {s:.2f} | {s / per_epoch['moco']:.2f} |" for n, s in per_epoch.items()]
    return (
        f"Median of {found['rounds']} rounds, one thread on a core of its own, the other core not always idle.\n\n"
        + "\n".join(lines)
        + "\n"
    )


def fill(path: Path, results: dict[str, Any]) -> None:
    """Write all tables into the page."""
    parts = {k: timing_table(found) if k == "timing" else markdown(found) for k, found in results.items()}
    insert(path, "\n".join(f"### {TITLES[key]}\n\n{part}" for key, part in parts.items()), "Foundation")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--work", type=Path, default=Path("runs/foundation"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--sets", nargs="*", default=[s.name for s in SETS])
    parser.add_argument("--ablations", action="store_true", help=f"also the ablations on {ABLATION_SET}")
    parser.add_argument("--timing", type=int, default=0, metavar="ROUNDS", help="also time an epoch of each training")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "foundation.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    todo = [(s, False) for s in SETS if s.name in args.sets]
    todo += [(s, True) for s in SETS if args.ablations and s.name == ABLATION_SET]
    for which, ablation in todo:
        key = f"{which.name}-ablations" if ablation else which.name
        results[key] = run_set(which, args, ablation=ablation) | {"hardware": hardware(), "date": _today()}
        write_json(path, results)
        fill(args.out / "foundation.md", results)
        print(markdown(results[key]), flush=True)
    if args.timing:
        which = next(s for s in SETS if s.name == ABLATION_SET)
        results["timing"] = timing(which, args, args.timing) | {"hardware": hardware(), "date": _today()}
        write_json(path, results)
        fill(args.out / "foundation.md", results)
        print(timing_table(results["timing"]))


def _today() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).date().isoformat()


if __name__ == "__main__":
    main()
