"""Features of every clip of an archive, written as one .npz or Parquet file.

Clips are encoded a block at a time and features go straight to a file, so the archive and the table may both be larger
than memory. Started by ``torchrun``, the processes share the blocks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
import torch.distributed as dist

from motet.core.devices import usable
from motet.core.distributed import agreed, joined, rank, reason, world_size
from motet.core.errors import ConfigError, RunError
from motet.core.files import refuse_existing, written
from motet.core.progress import working
from motet.core.shards import Shard
from motet.data.archive import MotionArchive
from motet.data.splits import split
from motet.engine.hub import found as place_of
from motet.engine.model import Embedding, Model, load
from motet.engine.run import Run
from motet.evaluate.baselines import untrained as fresh
from motet.evaluate.centred import groups_of, less_means, note_of
from motet.evaluate.clips import rule_of
from motet.methods.model import Model as Encoders


def embed(
    run: str | PathLike[str],
    archive: str | PathLike[str],
    out: str | Path,
    *,
    device: str | torch.device = "cpu",
    shard: str | None = None,
    overwrite: bool = False,
    block_bytes: int = 0,
    untrained: bool = False,
    centre_by: str | None = None,
    progress: bool = True,
) -> tuple[int, int]:
    """Encode an archive with a trained run.

    Args:
        run: a run, or whatever else :func:`motet.load` takes; of `motet distill` and `motet distill raw`, its
            first student; of `motet discover`, both branches, with the clusters; of `motet graphs`, the encoder of the
            first seed.
        archive: archive of the same skeleton as the run's; for a student a table (.npz) if it learned from one, a
            manifest (CSV) or folder of recordings if it learned from these; for graphs a folder of a TU set. Tables and
            archives need no labels.
        out: file to write. ``.parquet``: a row for each clip with its columns of the archive, ``class`` and the vector
            ``features``, as embedding-atlas reads it. Else ``.npz``: ``features`` (N, F) float32, ``name`` (N,),
            ``label`` (N,) int64 with -1 for unknown, ``class_names`` (C,) that it counts in, ``streams`` (S,) and
            ``columns`` (S + 1,), the columns of each stream, and ``centre_by``, if there is one (of a ``.parquet`` in
            the metadata of the file). Of a discovery also,
            for each branch, ``cluster_B0`` (N,) int64, ``class_B0`` (N,) the names of these clusters, and
            ``similarity_B0`` (N,) float32. Of a student also ``probabilities`` (N, C) of its classes (``label`` is -1
            too for those that it does not know), and of tables and archives ``trained`` (N,) bool, whether the row
            trained this very student; rows that lack its target are NaN in ``features`` and ``probabilities``.
        device: where to encode.
        shard: ``"i/n"``: encode the i-th of n parts of the clips of an archive; :func:`motet.use.joined.join` joins the
            files.
        overwrite: replace a file that is there.
        block_bytes: memory for preprocessed clips.
        untrained: of the same encoders without their training, whitened by training clips if the trained ones are, as
            the row "random encoder" of an evaluation has them (of its first seed).
        centre_by: column of an archive's clips, such as ``"subject"``: features less the mean of that person's clips.
        progress: say on stderr that it runs, where it takes long.

    Returns:
        (N, F): how many rows and columns ``features`` has; they themselves are in ``out``.

    Raises:
        ConfigError: clips of another layout, or a file that is there already.
        RunError: another process stopped; no file is written then.
    """
    refuse_existing(out, overwrite, ".npz", ".parquet")
    if Path(out).suffix.lower() in (".csv", ".npy", ".json", ".pt", ".h5"):
        raise ConfigError(f"{out}: features are written as .npz or .parquet; name such a file")
    model: Model = load(run, usable(str(device)))
    archive, out, part = Path(archive), Path(out), None if shard is None else Shard.parse(shard)
    if part is not None and not model.shards:
        raise ConfigError(
            f"{run} is a run of `motet {model.trained_by}`, whose features are not made in shards; drop --shard"
        )
    if part is not None and out.suffix == ".parquet":
        raise ConfigError(f"{out}: shards are written as .npz; name such a file")
    groups = None if centre_by is None else _groups(archive, centre_by, part)
    if untrained:
        model = _untrained(model, Run.open(place_of(run)), archive)
    found = model.embedding(archive, block_bytes=block_bytes, shard=part)
    facts = {} if centre_by is None else {"centre_by": centre_by}
    with joined(), _scratch(out, found.shape) as table:
        features = np.lib.format.open_memmap(table, mode="r+") if found.shape[0] else np.zeros(found.shape, np.float32)
        with working("embed: encoding", show=progress and rank() == 0):
            found.fill(features)
        if isinstance(features, np.memmap):
            features.flush()
        _wait()
        if groups is not None and rank() == 0:
            less_means(features, groups)
        if rank() == 0 and out.suffix == ".parquet":
            _write_parquet(out, found, features, facts)
        elif rank() == 0:
            with written(out) as partial, partial.open("wb") as file:
                np.savez(
                    file,
                    features=features,
                    name=found.names,
                    label=found.labels,
                    streams=np.array(list(found.streams)),
                    columns=np.cumsum([0, *found.widths]),
                    **({"class_names": np.array(found.class_names, dtype=np.str_)} | facts | dict(found.more)),
                )
    return found.shape


def _groups(path: str | Path, column: str, part: Shard | None) -> npt.NDArray[np.int64]:
    """Number of the group of each clip.

    Raises:
        ConfigError: a shard, no archive, or clips without a value.
    """
    if part is not None:
        raise ConfigError("a shard does not hold all clips of a group; drop --shard")
    archive = MotionArchive.open(path)
    groups = groups_of(archive, column)
    note_of(groups, archive.labels, column)
    return groups


def _untrained(model: Model, run: Run, path: str | Path) -> Model:
    if not isinstance(model, Encoders):
        raise ConfigError(f"{run.path} is a run of `motet {model.trained_by}`, which is embedded as it was trained")
    archive = MotionArchive.open(path)
    model.check(archive)
    parts = split(archive, rule_of(None, run, archive))
    rows = parts.train[archive.labels[parts.train] >= 0] if (archive.labels >= 0).any() else parts.train
    return fresh(model, model.store(archive, rows), torch.from_numpy(rows), seed=0)


def _write_parquet(out: Path, found: Embedding, features: npt.NDArray[np.float32], metadata: Mapping[str, str]) -> None:
    """Clips with their columns, the name of their class, and their features as one vector; facts as metadata."""
    names = [found.class_names[n] if n >= 0 else None for n in found.labels.tolist()]
    facts = pl.DataFrame({"name": found.names}) if found.facts is None else found.facts
    facts = facts.with_columns(pl.Series(n, x) for n, x in found.more.items() if x.shape == found.names.shape)
    vectors = pl.Series("features", np.asarray(features), dtype=pl.Array(pl.Float32, features.shape[1]))
    with written(out) as partial:
        facts.with_columns(pl.Series("class", names, dtype=pl.String), vectors).write_parquet(
            partial, metadata=dict(metadata)
        )


@contextmanager
def _scratch(out: Path, shape: tuple[int, int]) -> Iterator[Path]:
    """The file that features are gathered in, made and removed by the first process."""
    table = out.with_name(f".{out.name}.features.partial-{agreed(os.getpid())}")
    try:
        if rank() == 0 and shape[0]:
            table.parent.mkdir(parents=True, exist_ok=True)
            np.lib.format.open_memmap(table, mode="w+", dtype=np.float32, shape=shape).flush()
        _wait()
        yield table
    finally:
        if rank() == 0:
            table.unlink(missing_ok=True)


def _wait() -> None:
    if world_size() == 1:
        return
    try:
        dist.barrier()
    except RuntimeError as error:
        raise RunError(f"another process has stopped ({reason(error)}); start them all again") from error
