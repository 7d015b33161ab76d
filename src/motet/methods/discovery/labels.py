"""From clusters to labels: a reader names what was found, merges what belongs together, and takes it elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from motet.core.earlier import accepts
from motet.core.errors import ConfigError, RunError
from motet.core.files import refuse_existing, write_json, written
from motet.data.archive import ArchiveWriter, MotionArchive
from motet.data.clip_table import csv_text
from motet.engine.run import Run
from motet.methods.discovery.model import load
from motet.methods.discovery.names import NAMES, cluster_words, read_names
from motet.methods.discovery.scores import BRANCHES
from motet.methods.discovery.stored import KIND, read_clusters, read_config, read_result

_WRITTEN = (
    "name",
    "persons",
    "label",
    "offset",
    "length",
    "sha256",
)  # columns that a writer makes, or is distinguished


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
    if branch not in BRANCHES:
        raise ConfigError(f"branch {branch!r} is none of {', '.join(BRANCHES)}")
    count = int(read_result(Path(run))["k"])
    unknown = sorted(set(names) - set(range(count)))
    if unknown:
        raise ConfigError(f"there is no cluster {unknown[0]}; they are numbered 0 … {count - 1}")
    return count


@accepts(odd="outliers")
def export_labels(
    run: str | Path,
    out: str | Path,
    names: Mapping[int, str] | None = None,
    *,
    branch: str = "B0",
    outliers: bool = True,
    archive: str | Path | MotionArchive | None = None,
    overwrite: bool = False,
) -> pl.DataFrame:
    """Write the clusters of a finished discovery as labels.

    Args:
        run: run directory.
        out: ``.csv`` or ``.parquet`` file.
        names: cluster → name, next to those that the run remembers (:func:`name_clusters`) and before them; clusters of
            one name become one class, clusters without a name keep ``cluster <n>``.
        branch: ``"B0"`` or ``"B1"``.
        outliers: keep clips that fit nowhere; otherwise they have no label.
        archive: new recordings of the target's layout; by default the clips among which the clusters were found.
        overwrite: replace a file that is there.

    Returns:
        What was written: ``name`` of the clip, ``label`` (0, 1, …) and ``class``, both null without one, ``cluster``,
        ``similarity``.

    Raises:
        RunError: the run has no clusters yet.
        ConfigError: no such branch or cluster, another kind of file, one that is there, or recordings of another
            layout.
    """
    target = Path(out)
    if target.suffix not in (".csv", ".parquet"):
        raise ConfigError(f"{out} must end with .csv or .parquet")
    refuse_existing(target, overwrite, ".csv", ".parquet")
    found = _labels(Path(run), names or {}, branch, outliers, archive)
    with written(target) as partial:
        if target.suffix == ".csv":
            partial.write_text(csv_text(found), encoding="utf-8")
        else:
            found.write_parquet(partial)
    return found


@accepts(odd="outliers")
def label_archive(
    run: str | Path,
    out: str | Path,
    names: Mapping[int, str] | None = None,
    *,
    branch: str = "B0",
    outliers: bool = True,
    archive: str | Path | MotionArchive | None = None,
    overwrite: bool = False,
) -> MotionArchive:
    """Write recordings again with the clusters as their labels, to pretrain on, to evaluate or as the next source.

    Args:
        run: run directory.
        out: archive to create.
        names, branch, outliers: as for :func:`export_labels`; clips without a label are in the new archive too.
        archive: recordings of the target's layout; by default the target where the discovery found it.
        overwrite: replace an archive that is there.

    Returns:
        The new archive: clips, confidences and columns as they were, but with other labels, and without what other
        sensors recorded.

    Raises:
        RunError: the run has no clusters yet, or its target is not where it was, or not what it was.
        ConfigError, DataError: as for :func:`export_labels`; ``out`` is there already.
    """
    folder = Path(run)
    if archive is None:
        Run.open(folder, KIND).need_history("name recordings by --archive")
    given = archive if archive is not None else read_config(folder)["target"]["path"]
    opened = MotionArchive.open(given)
    if archive is None and opened.hash != read_config(folder)["target"]["hash"]:
        raise RunError(
            f"{opened.path} does not hold the clips in which {folder} found clusters; name them by --archive"
        )
    found = _labels(folder, names or {}, branch, outliers, archive)
    places = dict(found.select("name", "label").rows())
    words = dict(sorted(found.select("label", "class").drop_nulls().unique().rows()))
    kept = [name for name in opened.clips.columns if name not in _WRITTEN]
    with ArchiveWriter(
        out,
        skeleton=opened.skeleton,
        persons=opened.persons,
        fps=opened.fps,
        units=opened.units,
        channels=opened.channels,
        class_names=[words.get(i, f"class {i}") for i in range(max(words, default=-1) + 1)],
        source={**opened.source, "labels": f"clusters of {folder.name}, {branch}"},
        licence=opened.licence,
        simulated=opened.simulated,
        dtype=opened.frames.dtype,
        confidence=opened.confidence is not None,
        overwrite=overwrite,
    ) as writer:
        for index, row in enumerate(opened.clips.select("name", "persons", *kept).rows(named=True)):
            rows = slice(int(opened.offsets[index]), int(opened.offsets[index] + opened.lengths[index]))
            certain = None if opened.confidence is None else opened.confidence[rows]
            writer.add(opened.frames[rows], confidence=certain, label=places.get(row["name"]), **row)
    return MotionArchive.open(out)


def _labels(
    folder: Path, names: Mapping[int, str], branch: str, outliers: bool, archive: str | Path | MotionArchive | None
) -> pl.DataFrame:
    """What :func:`export_labels` returns."""
    count = _check(folder, names, branch)
    given = {**read_names(folder)[branch], **names}
    table = read_clusters(folder) if archive is None else load(folder).label(MotionArchive.open(archive))
    words = cluster_words(given, count)
    order = {word: i for i, word in enumerate(dict.fromkeys(words))}
    kept = [
        words[k] if outliers or not outlier else None for k, outlier in table.select(branch, f"{branch}_outlier").rows()
    ]
    return pl.DataFrame(
        {
            "name": table["name"],
            "label": pl.Series([None if word is None else order[word] for word in kept], dtype=pl.Int64),
            "class": pl.Series(kept, dtype=pl.String),
            "cluster": table[branch],
            "similarity": table[f"{branch}_similarity"],
        }
    )
