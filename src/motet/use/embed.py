"""Features of every clip of an archive, written as one .npz or Parquet file.

Clips are encoded a block at a time and features go straight to a file, so the archive and the table may both be larger
than memory. Started by ``torchrun``, the processes share the blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
import torch.distributed as dist

from motet.core.distributed import joined, rank, reason, world_size
from motet.core.errors import ConfigError, RunError
from motet.core.files import refuse_existing, written
from motet.core.shards import Shard
from motet.data.archive import MotionArchive
from motet.data.loader import release_pages
from motet.engine.model import load
from motet.engine.run import kind_of
from motet.methods.model import Model
from motet.methods.rocket import ROCKET, RocketModel

_BLOCK_BYTES = 256 << 20  # preprocessed clips that are held at a time


def embed(
    run: str | Path,
    archive: str | Path,
    out: str | Path,
    *,
    device: str | torch.device = "cpu",
    shard: str | None = None,
    overwrite: bool = False,
    block_bytes: int = _BLOCK_BYTES,
) -> tuple[int, int]:
    """Encode an archive with a trained run.

    Args:
        run: run directory, or whatever else :func:`motet.load` takes; of `motet distill` and `motet distill raw`, its
            first student; of `motet discover`, both branches, with the clusters.
        archive: archive of the same skeleton as the run's; for a student a table (.npz) if it learned from one, a
            manifest (CSV) or folder of recordings if it learned from these. Tables and archives need no labels.
        out: file to write. ``.parquet``: a row for each clip with its columns of the archive, ``class`` and the vector
            ``features``, as embedding-atlas reads it. Else ``.npz``: ``features`` (N, F) float32, ``name`` (N,),
            ``label`` (N,) int64 with -1 for unknown, ``streams`` (S,) and ``columns`` (S + 1,), the columns of each
            stream. Of a student also ``probabilities`` (N, C) and ``class_names`` (C,), in which ``label``
            counts then (-1 too for classes that it does not know), and of tables and archives ``trained`` (N,)
            bool, whether the row trained this very student; rows that lack its target are NaN in ``features`` and
            ``probabilities``.
        device: where to encode.
        shard: ``"i/n"``: encode the i-th of n parts of the clips of an archive; :func:`motet.use.joined.join` joins the
            files.
        overwrite: replace a file that is there.
        block_bytes: memory for preprocessed clips.

    Returns:
        (N, F): how many rows and columns ``features`` has; they themselves are in ``out``.

    Raises:
        ConfigError: clips of another layout, or a file that is there already.
        RunError: another process stopped; no file is written then.
    """
    refuse_existing(out, overwrite)
    part = None if shard is None else Shard.parse(shard)
    kind, parquet = kind_of(run), Path(out).suffix == ".parquet"
    if part is not None and kind in ("distill", "distill-raw", "discover"):
        raise ConfigError(f"{run} is a run of `motet {kind}`, whose features are not made in shards; drop --shard")
    if parquet and (part is not None or kind in ("distill", "distill-raw", "discover")):
        raise ConfigError(f"{out}: shards, and runs of distill and discover, are written as .npz; name such a file")
    if kind == "distill":
        from motet.methods.distillation.student import embed as embed_by_student

        return embed_by_student(run, archive, out)
    if kind == "distill-raw" or (Path(run) / "replica.json").exists():
        from motet.methods.distillation.raw.student import embed as embed_by_raw_student

        return embed_by_raw_student(run, archive, out)
    if kind == "discover":
        from motet.methods.discovery.model import embed as embed_by_branches

        return embed_by_branches(run, archive, out)
    model = load(run, device, () if str(run) == ROCKET else ("pretrain",))
    source = MotionArchive.open(archive)
    if isinstance(model, RocketModel):
        model = model.fit(source)
    model.check(source)
    out = Path(out)
    widths = [int(e.feature_size) for e in model.encoders]
    extra: dict[str, Any] = {} if part is None else {"shard": np.array(str(part))}
    rows = np.arange(len(source))[slice(None) if part is None else part.part(len(source))]
    if not len(rows):
        raise ConfigError(f"{source.path} holds {len(source)} clips, too few for shard {part}; use fewer shards")
    shape = (len(rows), sum(widths))
    table = out.with_name(f".{out.name}.features")
    with joined(), model.reading(source) as source, _scratch(table, shape):
        features = np.lib.format.open_memmap(table, mode="r+")
        for number, ids in enumerate(_blocks(source, rows, block_bytes)):
            if number % world_size() == rank():
                features[ids - rows[0]] = _encoded(model, source, ids)
                release_pages(source.frames)  # otherwise the whole archive stays mapped in the end
                release_pages(features)
        features.flush()
        _wait()
        if rank() == 0:
            if parquet:
                _write_parquet(out, source, features)
                return shape
            with written(out) as partial, partial.open("wb") as file:
                np.savez(
                    file,
                    features=features,
                    name=source.clips["name"].to_numpy()[rows].astype(np.str_),
                    label=source.labels[rows],
                    streams=np.array(model.streams),
                    columns=np.cumsum([0, *widths]),
                    **extra,
                )
    return shape


def _write_parquet(out: Path, source: MotionArchive, features: npt.NDArray[np.float32]) -> None:
    """Clips with their columns, the name of their class, and their features as one vector."""
    names = [source.class_names[n] if n >= 0 else None for n in source.labels.tolist()]
    facts = source.clips.select(pl.exclude("sha256", "offset"))
    vectors = pl.Series("features", np.asarray(features), dtype=pl.Array(pl.Float32, features.shape[1]))
    with written(out) as partial:
        facts.with_columns(pl.Series("class", names, dtype=pl.String), vectors).write_parquet(partial)


def _blocks(source: MotionArchive, rows: npt.NDArray[np.int64], block_bytes: int) -> Iterator[npt.NDArray[np.int64]]:
    """Consecutive archive rows of ``rows`` whose frames fit the memory, at least one clip each."""
    frame = source.persons * len(source.skeleton) * len(source.channels) * 4
    start, used = 0, 0
    for place, length in enumerate(source.lengths[rows]):
        if used and used + int(length) * frame > block_bytes:
            yield rows[start:place]
            start, used = place, 0
        used += int(length) * frame
    yield rows[start:]


def _encoded(model: Model, source: MotionArchive, ids: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    features = model.encode(model.store(source, ids), torch.from_numpy(ids))
    table: npt.NDArray[Any] = torch.cat(list(features.values()), dim=1).cpu().numpy()
    return table


@contextmanager
def _scratch(table: Path, shape: tuple[int, int]) -> Iterator[None]:
    """The file that features are gathered in, made and removed by the first process."""
    try:
        if rank() == 0:
            table.parent.mkdir(parents=True, exist_ok=True)
            np.lib.format.open_memmap(table, mode="w+", dtype=np.float32, shape=shape).flush()
        _wait()
        yield
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
