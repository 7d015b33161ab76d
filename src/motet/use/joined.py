"""Files of features that were made in shards, joined to the one that a single process would have written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from motet.core.errors import ConfigError, DataError
from motet.core.files import refuse_existing, written
from motet.core.shards import in_order

_EACH = ("features", "name", "label")  # one row a clip; everything else must be the same in all files


def join(paths: Sequence[str | Path], out: str | Path, *, overwrite: bool = False) -> tuple[int, int]:
    """Join files of :func:`motet.use.embed.embed`; shards come in their order, whatever the order of ``paths``.

    Args:
        paths: ``.npz`` files.
        out: file to write.
        overwrite: replace a file that is there.

    Returns:
        (N, F): rows and columns of the joined features.

    Raises:
        ConfigError: a shard is missing or comes twice, or files of different models.
        DataError: a file that `motet embed` did not write, or a clip that is in two files.
    """
    refuse_existing(out, overwrite, ".npz")
    parts = [_read(Path(p)) for p in paths]
    order = in_order([str(p["shard"]) if "shard" in p else None for p in parts], [str(p) for p in paths])
    parts = [parts[i] for i in order or range(len(parts))]
    same = [k for k in parts[0] if k not in (*_EACH, "shard")]
    for path, part in zip(paths, parts, strict=True):
        if any(k not in part or not np.array_equal(part[k], parts[0][k]) for k in same):
            raise ConfigError(f"{path} holds features of another model than {paths[0]}; embed all shards with one")
    names = np.concatenate([p["name"] for p in parts])
    found, counts = np.unique(names, return_counts=True)
    if (counts > 1).any():
        raise DataError(f"clip {found[counts > 1][0]!r} is in two of the files; give each of them once")
    whole: dict[str, Any] = {k: np.concatenate([p[k] for p in parts]) for k in _EACH} | {k: parts[0][k] for k in same}
    with written(Path(out)) as partial, partial.open("wb") as file:
        np.savez(file, **{k: whole[k] for k in parts[0] if k in whole})
    rows, columns = whole["features"].shape
    return rows, columns


def _read(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {k: file[k] for k in file}
    except (OSError, ValueError, BadZipFile, EOFError) as error:
        raise DataError(f"{path} cannot be read ({error!s:.100}); give files that `motet embed` wrote") from error
    if not set(_EACH) <= set(found):
        raise DataError(f"{path} has no features; give files that `motet embed --shard` wrote")
    return found
