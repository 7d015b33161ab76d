"""The table of an archive's clips: made of their rows, and checked against the frames when it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from motet.core.errors import DataError

# Columns that every archive has; importers may add more (style, quality, domain …).
COLUMNS: dict[str, pl.DataType] = {
    "name": pl.String(),
    "offset": pl.Int64(),
    "length": pl.Int64(),
    "persons": pl.Int64(),
    "label": pl.Int64(),
    "subject": pl.Int64(),
    "camera": pl.Int64(),
    "setup": pl.Int64(),
    "repetition": pl.Int64(),
    "source": pl.String(),
    "sha256": pl.String(),
}


def table(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """The table of clips; a column of numbers and texts becomes one of texts."""
    extra = [k for k in dict.fromkeys(k for row in rows for k in row) if k not in COLUMNS]
    data = {c: pl.Series(c, [row.get(c) for row in rows], dtype=kind) for c, kind in COLUMNS.items()}
    for column in extra:
        values = [row.get(column) for row in rows]
        kinds = {type(v) for v in values if v is not None}
        if str in kinds and len(kinds) > 1:
            values = [None if v is None else str(v) for v in values]
        elif kinds == {int, float}:
            values = [None if v is None else float(v) for v in values]
        kind = pl.String() if str in kinds or not kinds else pl.Float64() if float in kinds else pl.Int64()
        data[column] = pl.Series(column, values, dtype=kind)
    return pl.DataFrame(data)


def check_table(path: Path, clips: pl.DataFrame, meta: Mapping[str, Any]) -> None:
    """Refuse a table of clips that does not fit the frames.

    Raises:
        DataError: a column is missing or of another kind, or a clip lies outside of the frames.
    """
    for column, kind in COLUMNS.items():
        if clips.schema.get(column) != kind:
            raise DataError(f"{path}/clips.parquet: column {column!r} is missing or not {kind}")
    needed = clips.select("name", "offset", "length", "persons", "sha256")
    if not len(clips) or needed.null_count().sum_horizontal().item():
        raise DataError(f"{path}/clips.parquet: it has no clips, or clips without a name, place or digest")
    start, length = clips["offset"].to_numpy(), clips["length"].to_numpy()
    frames = int(meta["frames"])
    if (start < 0).any() or (length < 1).any() or (length > frames).any() or (start > frames - length).any():
        raise DataError(f"{path}/clips.parquet: a clip lies outside of the {frames} frames")
    label = clips["label"].drop_nulls().to_numpy()
    if len(label) and not 0 <= label.min() <= label.max() < len(meta["class_names"]):
        raise DataError(f"{path}/clips.parquet: a label is none of the {len(meta['class_names'])} classes")
    if clips["name"].n_unique() < len(clips):
        raise DataError(f"{path}/clips.parquet: two clips have one name")
