"""The tables of CoDT: its modules, their variants and its rivals on pairs of small real sets.

    python experiments/codt.py --data ../shared/data --work runs/codt --tasks vicon-kinect kard-utkinect --workers 2

Every cell is a `motet discover` of its own and stays in its run directory; what is done is not done again and what was
interrupted goes on, so the script can be stopped and started at will. Tables and figures of whatever is complete go to
``tables.md`` and ``figures.json`` in the work folder; what is not complete is named.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch

from motet import discover
from motet.archive import MotionArchive
from motet.cluster import spherical_kmeans
from motet.evaluate.clusters import cluster_scores
from motet.formats import import_dataset
from motet.runs import hardware, write_json

FILES = {
    "UI-PRMD Vicon": "ui_prmd_vicon",
    "UI-PRMD Kinect": "ui_prmd_kinect",
    "KARD": "kard",
    "UTKinect": "utkinect",
    "Florence 3D": "florence3d",
    "SmartFallMM, young": "smartfallmm_young",
    "SHREC'17": "shrec17_hand_train",
}
METRICS = ("purity", "hungarian_accuracy", "nmi", "ari")


@dataclass(frozen=True)
class Entry:
    """A row of the table.

    Attributes:
        title: its name.
        options: of the verb.
        by: which of a result's rows count.
    """

    title: str
    options: tuple[str, ...]
    by: str = "classifier"

    @property
    def folder(self) -> str:
        """Name of its run directory."""
        return "-".join(o.strip("-") for o in self.options) or "codt"


ENTRIES = (
    Entry("BM, k-means", ("--method", "bm"), "kmeans"),
    Entry("BM + OCM", ("--method", "ocm")),
    Entry("CoDT (+ CCM)", ()),
    Entry("CoDT, CCM-FP", ("--pairs", "features")),
    Entry("CoDT, CCM-PF", ("--pairs", "cosine")),
    Entry("CoDT, exactly balanced labels", ("--rounding", "balanced")),
    Entry("CoDT, sizes half free", ("--balance", "0.5")),
    Entry("SeLa", ("--method", "sela")),
    Entry("UNO", ("--method", "uno")),
    Entry("MMT", ("--method", "mmt")),
    Entry("AutoNovel", ("--method", "autonovel")),
)


def archives(data: Path, work: Path, task: str) -> tuple[Path, Path]:
    """Source and target of a task, imported once."""
    known, found = discover.TASKS[task], []
    for name in (known.source, known.target):
        if name not in FILES:
            raise SystemExit(
                f"the recordings of {name} are not among the small sets; run `motet discover --task {task}`"
            )
        path = work / "archives" / f"{FILES[name]}.motet"
        if not path.exists():
            import_dataset("npz", data / "skeleton" / f"{FILES[name]}.npz", path, progress=False)
        found.append(path)
    return found[0], found[1]


def train(pair: tuple[Path, Path], out: Path, words: Sequence[str]) -> None:
    """One run, or the rest of it."""
    if (out / "result.json").exists():
        return
    begin = ["--source", str(pair[0]), "--target", str(pair[1]), "--out", str(out), *words]
    arguments = ["--resume", str(out)] if (out / "config.json").exists() else begin
    done = subprocess.run(
        [sys.executable, "-m", "motet", "discover", *arguments, "--quiet"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(f"{out}: {done.stderr.strip()}", file=sys.stderr)


def results(folder: Path, entry: Entry, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Finished results of an entry, one per seed."""
    paths = [folder / entry.folder / f"seed-{s}" / "result.json" for s in seeds]
    return [json.loads(p.read_text()) for p in paths if p.exists()]


def lines(found: Sequence[dict[str, Any]], entry: Entry) -> Iterator[tuple[str, dict[str, list[float]]]]:
    """Branch and the values of each metric over seeds."""
    for branch in ("B0", "B1", "B0+B1"):
        rows = [r for one in found for r in one["rows"] if (r["branch"], r["by"]) == (branch, entry.by)]
        if rows:
            yield branch, {m: [100 * r[m] for r in rows] for m in METRICS}


def shown(values: Sequence[float]) -> str:
    """Mean and sample standard deviation."""
    return f"{fmean(values):.1f} ± {stdev(values):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


def sensor_purity(run: Path, pair: tuple[Path, Path], clusters: int) -> float:
    """How far clusters of both sets together only tell the sets apart; their larger share is the floor.

    K-means on the shared branch's features of every clip of the smaller and as many of the larger archive.
    """
    found = discover.load(run)
    features = [torch.from_numpy(found.shared(MotionArchive.open(p))) for p in pair]
    count = min(len(f) for f in features)
    some = [f[torch.linspace(0, len(f) - 1, count).long()] for f in features]
    made = spherical_kmeans(torch.cat(some), 2 * clusters, iterations=100, restarts=10)
    return cluster_scores(np.repeat([0, 1], count), made.assignment)["purity"]


def table(task: str, folder: Path, pair: tuple[Path, Path], seeds: Sequence[int]) -> tuple[str, dict[str, Any]]:
    """A task's table as Markdown, and its figures."""
    known = discover.TASKS[task]
    text = [f"## {known.source} → {known.target} (`{task}`)", ""]
    text += [
        "| method | branch | purity | Hungarian | NMI | ARI | purity in source/target |",
        "|---|---|---|---|---|---|---|",
    ]
    figures, missing = {}, []
    for entry in ENTRIES:
        found = results(folder, entry, seeds)
        if len(found) < len(seeds):
            missing.append(f"{entry.title} ({len(found)} of {len(seeds)})")
            continue
        mixed = [sensor_purity(folder / entry.folder / f"seed-{s}", pair, found[0]["k"]) for s in seeds]
        for branch, values in lines(found, entry):
            figures[f"{entry.title} {branch}"] = {**values, "sets": mixed}
            cells = " | ".join(shown(values[m]) for m in METRICS)
            sets = shown([100 * m for m in mixed]) if branch == "B0" else ""
            text.append(f"| {entry.title} | {branch} | {cells} | {sets} |")
    if missing:
        text += ["", f"Not complete: {', '.join(missing)}."]
    return "\n".join([*text, ""]), figures


def main() -> None:
    """Train what is missing, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=["vicon-kinect", "kinect-vicon"], choices=list(discover.TASKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--tables", action="store_true", help="train nothing")
    parser.add_argument("--options", default="", help="further options of every run, such as '--epochs 10'")
    given = parser.parse_args()
    pairs = {task: archives(given.data, given.work, task) for task in given.tasks}
    if not given.tables:
        with ThreadPoolExecutor(given.workers) as pool:
            for task in given.tasks:
                for seed in given.seeds:
                    for entry in ENTRIES:
                        out = given.work / task / entry.folder / f"seed-{seed}"
                        words = ["--task", task, "--seed", str(seed), *entry.options, *given.options.split()]
                        pool.submit(train, pairs[task], out, words)
    made = {task: table(task, given.work / task, pairs[task], given.seeds) for task in given.tasks}
    (given.work / "tables.md").write_text("\n".join(text for text, _ in made.values()))
    write_json(given.work / "figures.json", {"hardware": hardware(), **{t: f for t, (_, f) in made.items()}})


if __name__ == "__main__":
    main()
