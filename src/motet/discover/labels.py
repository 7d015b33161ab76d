"""From clusters to labels: a reader names what was found, merges what belongs together, and takes it elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from motet.discover.judge import BRANCHES
from motet.errors import ConfigError, RunError


def export_labels(
    run: str | Path, out: str | Path, names: Mapping[int, str] | None = None, *, branch: str = "B0", odd: bool = True
) -> pl.DataFrame:
    """Write the clusters of a finished discovery as labels of the target's clips.

    Args:
        run: run directory.
        out: ``.csv`` or ``.parquet`` file.
        names: cluster → name; clusters of one name become one class, clusters without a name keep ``cluster <n>``.
        branch: ``"B0"`` or ``"B1"``.
        odd: keep clips that fit nowhere; otherwise they have no label.

    Returns:
        What was written: ``name`` of the clip, ``label`` (0, 1, …; null without one), ``class``, ``similarity``.

    Raises:
        RunError: the run has no clusters yet.
        ConfigError: no such branch or cluster, or another kind of file.
    """
    path, target = Path(run) / "clusters.parquet", Path(out)
    if not (Path(run) / "result.json").exists():
        raise RunError(f"{run} holds no clusters; finish it with `motet discover --resume {run}`")
    if branch not in BRANCHES:
        raise ConfigError(f"branch {branch!r} is none of {', '.join(BRANCHES)}")
    if target.suffix not in (".csv", ".parquet"):
        raise ConfigError(f"{out} must end with .csv or .parquet")
    table = pl.read_parquet(path)
    there = range(int(json.loads((Path(run) / "result.json").read_text())["k"]))
    unknown = sorted(set(names or {}) - set(there))
    if unknown:
        raise ConfigError(f"there is no cluster {unknown[0]}; they are numbered 0 … {there[-1]}")
    words = {k: (names or {}).get(k, f"cluster {k}") for k in there}
    order = {word: i for i, word in enumerate(dict.fromkeys(words.values()))}
    label = [
        order[words[k]] if odd or not strange else None for k, strange in table.select(branch, f"{branch}_odd").rows()
    ]
    found = pl.DataFrame(
        {
            "name": table["name"],
            "label": pl.Series(label, dtype=pl.Int64),
            "class": [words[k] for k in table[branch]],
            "similarity": table[f"{branch}_similarity"],
        }
    )
    if target.suffix == ".csv":
        found.write_csv(target)
    else:
        found.write_parquet(target)
    return found
