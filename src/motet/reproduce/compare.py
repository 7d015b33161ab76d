"""Several trainings on one archive, evaluated in the same way and set side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motet.core.files import written
from motet.core.text import counted
from motet.data.archive import MotionArchive
from motet.engine.table import UNTRAINED, Row, is_baseline, percent
from motet.evaluate.runner import run as evaluate
from motet.methods.pretrain import train_seeds
from motet.methods.start import FRESH


@dataclass(frozen=True)
class Entry:
    """One row of the comparison: a recipe with some options, trained with every seed.

    Attributes:
        name: what tables call it; also the folder of its runs.
        recipe: name of the recipe.
        options: options of the recipe that differ from it.
    """

    name: str
    recipe: str
    options: Mapping[str, Any] = field(default_factory=dict)


def study(
    entries: Sequence[Entry],
    data: str | Path | MotionArchive,
    out: str | Path,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    protocols: Sequence[str] = ("knn", "linear-cached"),
    progress: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """Train and evaluate every entry; what is done already in ``out`` is not done again.

    Args:
        entries: what to compare.
        data: archive.
        out: folder; each entry has its own below it, with one run per seed and an ``evaluation.json``.
        seeds: seeds of the trainings; also as many random encoders and probes.
        protocols, options: as for :func:`motet.evaluate.runner.run`.

    Returns:
        ``archive``, ``split``, ``hardware``, ``seeds`` and ``rows``: raw features, random encoder, then the entries in
        order; each row as :meth:`motet.evaluate.results.Row.to_dict`. Written as ``study.json`` and ``study.md``.
    """
    archive = MotionArchive.open(data)
    out = Path(out)
    rows: list[Row] = []
    evaluation: dict[str, Any] = {}
    for entry in entries:
        folder = out / entry.name
        runs = train_seeds(entry.recipe, archive, folder, seeds, progress=progress, **{"start": FRESH, **entry.options})
        evaluation = evaluate(
            runs,
            protocols,
            data=archive,
            seeds=len(seeds),
            json=folder / "evaluation.json",
            markdown=folder / "evaluation.md",
            baselines=not rows,
            progress=progress,
            **options,
        )
        for row in (r for r in map(Row.from_dict, evaluation["rows"]) if r.protocol in protocols):
            named = Row(**{**vars(row), "features": entry.name}) if not is_baseline(row.features) else row
            rows.append(named)
    order = [*UNTRAINED, *(r.features for r in rows if is_baseline(r.features)), *(e.name for e in entries)]
    rows.sort(key=lambda row: order.index(row.features))
    facts = {k: evaluation[k] for k in ("motet", "torch", "archive", "split", "hardware", "notes")}
    found = {**facts, "seeds": list(seeds), "rows": [row.to_dict() for row in rows]}
    for name, text in (("study.json", json.dumps(found, indent=1) + "\n"), ("study.md", table(rows))):
        with written(out / name) as partial:
            partial.write_text(text)
    return found


def table(rows: Sequence[Row]) -> str:
    """Markdown: one line per kind of features, one column per protocol and stream; percent, mean ± sd, last epoch."""
    columns = list(dict.fromkeys(_column(r) for r in rows))
    names = list(dict.fromkeys(r.features for r in rows))
    cells = {(r.features, *_column(r)): percent(r.values) for r in rows}
    short = {"+": " + "}

    def title(column: tuple[str, str, str | None]) -> str:
        protocol, stream, ensemble = column
        what = stream if ensemble is None else f"{counted(len(stream.split('+')), 'stream')}, {ensemble}"
        return f"{protocol}: {what.replace('+', short['+'])}"

    lines = ["| features | " + " | ".join(map(title, columns)) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += ["| " + " | ".join([n, *(cells.get((n, *c), "–") for c in columns)]) + " |" for n in names]
    return "\n".join(lines) + "\n"


def _column(row: Row) -> tuple[str, str, str | None]:
    """Protocol with what distinguishes its rows, stream, ensemble."""
    shown = row.protocol if row.protocol in ("knn", "linear", "linear-cached") else row.label
    # a raw row of fine-tuning has a layer only; it belongs next to the tuned networks all the same
    shown = shown.replace(", head", "").replace(", network", "")
    return shown if row.metric == "accuracy" else f"{shown}, {row.metric}", row.stream, row.ensemble
