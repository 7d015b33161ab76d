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
_DIFFER = {
    "class_names": "counts its labels in other classes than",
    "centre_by": "has features that are centred otherwise than",
}


def join(paths: Sequence[str | Path], out: str | Path, *, overwrite: bool = False) -> tuple[int, int]:
    """Join files of :func:`motet.use.embed.embed`; shards come in their order, whatever the order of ``paths``.

    Args:
        paths: ``.npz`` files.
        out: file to write.
        overwrite: replace a file that is there.

    Returns:
        (N, F): rows and columns of the joined features.

    Raises:
        ConfigError: a shard is missing or comes twice, or files that differ in their model, their classes or
            what they are centred by.
        DataError: a file that `motet embed` did not write, or a clip that is in two files.
    """
    refuse_existing(out, overwrite, ".npz")
    parts = [_read(Path(p)) for p in paths]
    order = in_order([str(p["shard"]) if "shard" in p else None for p in parts], [str(p) for p in paths])
    places = order or range(len(parts))
    paths, parts = [paths[i] for i in places], [parts[i] for i in places]
    same = [k for k in parts[0] if k not in (*_EACH, "shard")]
    for path, part in zip(paths, parts, strict=True):
        for key in (k for k in {**parts[0], **part} if k not in (*_EACH, "shard")):
            if key not in part or key not in parts[0] or not np.array_equal(part[key], parts[0][key]):
                what = _DIFFER.get(key, "holds features of another model than")
                raise ConfigError(f"{path} {what} {paths[0]}; embed all of them with one command")
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
