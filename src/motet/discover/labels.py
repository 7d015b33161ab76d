"""From clusters to labels: a reader names what was found, merges what belongs together, and takes it elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from motet.archive import MotionArchive
from motet.discover.judge import BRANCHES
from motet.errors import ConfigError, RunError
from motet.runs import write_json, written

NAMES = "names.json"


def read_names(run: str | Path) -> dict[str, dict[int, str]]:
    """Names that clusters of a discovery were given: branch → cluster → name.

    Raises:
        RunError: the file is damaged.
    """
    path = Path(run) / NAMES
    if not path.exists():
        return {branch: {} for branch in BRANCHES}
    try:
        stored = json.loads(path.read_text())
        return {branch: {int(k): str(v) for k, v in stored[branch].items()} for branch in BRANCHES}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged ({error!r}); remove it and name the clusters again") from error


def name_clusters(run: str | Path, names: Mapping[int, str], *, branch: str = "B0") -> dict[int, str]:
    """Remember names of a branch's clusters; clusters of one name are one class from then on.

    Args:
        run: directory of a finished discovery.
        names: cluster → name; an empty name is forgotten.
        branch: ``"B0"`` or ``"B1"``.

    Returns:
        All names of the branch.

    Raises:
        RunError: the run has no clusters yet.
        ConfigError: no such branch or cluster.
    """
    _check(run, names, branch)
    stored = read_names(run)
    stored[branch] = {k: v for k, v in sorted({**stored[branch], **names}.items()) if v}
    write_json(Path(run) / NAMES, {b: {str(k): v for k, v in words.items()} for b, words in stored.items()})
    return stored[branch]


def _check(run: str | Path, names: Mapping[int, str], branch: str) -> int:
    from motet.discover.run import read_result

    if branch not in BRANCHES:
        raise ConfigError(f"branch {branch!r} is none of {', '.join(BRANCHES)}")
    count = int(read_result(Path(run))["k"])
    unknown = sorted(set(names) - set(range(count)))
    if unknown:
        raise ConfigError(f"there is no cluster {unknown[0]}; they are numbered 0 … {count - 1}")
    return count


def export_labels(
    run: str | Path,
    out: str | Path,
    names: Mapping[int, str] | None = None,
    *,
    branch: str = "B0",
    odd: bool = True,
    archive: str | Path | MotionArchive | None = None,
) -> pl.DataFrame:
    """Write the clusters of a finished discovery as labels.

    Args:
        run: run directory.
        out: ``.csv`` or ``.parquet`` file.
        names: cluster → name, beside those that the run remembers (:func:`name_clusters`) and before them; clusters of
            one name become one class, clusters without a name keep ``cluster <n>``.
        branch: ``"B0"`` or ``"B1"``.
        odd: keep clips that fit nowhere; otherwise they have no label.
        archive: new recordings of the target's layout; by default the clips among which the clusters were found.

    Returns:
        What was written: ``name`` of the clip, ``label`` (0, 1, …; null without one), ``class``, ``cluster``,
        ``similarity``.

    Raises:
        RunError: the run has no clusters yet.
        ConfigError: no such branch or cluster, another kind of file, or recordings of another layout.
    """
    from motet.discover.model import load

    folder, target = Path(run), Path(out)
    count = _check(folder, names or {}, branch)
    if target.suffix not in (".csv", ".parquet"):
        raise ConfigError(f"{out} must end with .csv or .parquet")
    given = {**read_names(folder)[branch], **(names or {})}
    if archive is None:
        table = pl.read_parquet(folder / "clusters.parquet")
    else:
        table = load(folder).label(archive if isinstance(archive, MotionArchive) else MotionArchive.open(archive))
    words = {k: given.get(k, f"cluster {k}") for k in range(count)}
    order = {word: i for i, word in enumerate(dict.fromkeys(words.values()))}
    rows = table.select(branch, f"{branch}_odd").rows()
    found = pl.DataFrame(
        {
            "name": table["name"],
            "label": pl.Series(
                [order[words[k]] if odd or not strange else None for k, strange in rows], dtype=pl.Int64
            ),
            "class": [words[k] for k in table[branch]],
            "cluster": table[branch],
            "similarity": table[f"{branch}_similarity"],
        }
    )
    with written(target) as partial:
        if target.suffix == ".csv":
            found.write_csv(partial)
        else:
            found.write_parquet(partial)
    return found
