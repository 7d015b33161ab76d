"""The table of an archive's clips: made of their rows, and checked against the frames when it is read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from motet.core.errors import DataError
from motet.core.text import cell, counted, from_cell, printable

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
    if not clips["persons"].is_between(0, meta["persons"]).all():
        raise DataError(f"{path}/clips.parquet: a clip has more than {counted(meta['persons'], 'person')}")
    frames = int(meta["frames"])
    if (start < 0).any() or (length < 1).any() or (length > frames).any() or (start > frames - length).any():
        raise DataError(f"{path}/clips.parquet: a clip lies outside of the {counted(frames, 'frame')}")
    label = clips["label"].drop_nulls().to_numpy()
    if len(label) and not 0 <= label.min() <= label.max() < len(meta["class_names"]):
        raise DataError(f"{path}/clips.parquet: a label is none of the {counted(len(meta['class_names']), 'class')}")
    if clips["name"].n_unique() < len(clips):
        raise DataError(f"{path}/clips.parquet: two clips have one name")


def plain_texts(clips: pl.DataFrame) -> pl.DataFrame:
    """The table with control characters in its texts written out."""
    names = [name for name, kind in clips.schema.items() if kind == pl.String()]
    marked = [n for n in names if clips[n].str.contains(r"[\p{Cc}\p{Cf}]").any()]
    return clips.with_columns(pl.col(marked).map_elements(printable, return_dtype=pl.String())) if marked else clips


def csv_text(table: pl.DataFrame, **options: Any) -> str:
    """A table as CSV in which no text is a formula to a spreadsheet (:func:`motet.core.text.cell`).

    Args:
        table: any.
        options: of :meth:`polars.DataFrame.write_csv`.
    """
    texts = pl.col(pl.String()).map_elements(cell, return_dtype=pl.String())
    safe = table.with_columns(texts).rename({name: cell(name) for name in table.columns})
    return str(safe.write_csv(**options))


def without_guards(table: pl.DataFrame) -> pl.DataFrame:
    """A table that was read from a CSV of :func:`csv_text`, with its texts as they were."""
    texts = pl.col(pl.String()).map_elements(from_cell, return_dtype=pl.String())
    return table.with_columns(texts).rename({name: from_cell(name) for name in table.columns})


def read_rows(path: Path) -> pl.DataFrame:
    """A table that somebody wrote: commas, semicolons or tabs between its columns, whichever the header has most of
    (``.tsv``: tabs).

    Raises:
        DataError: it cannot be read.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            header = re.sub(r'"[^"]*"', "", file.readline())
        separator = "\t" if path.suffix == ".tsv" else max(",;\t", key=header.count)
        return without_guards(pl.read_csv(path, separator=separator, infer_schema_length=None))
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        why = str(error).splitlines()[0]
        raise DataError(f"{path} cannot be read as a table ({why:.100}); give a CSV with a header") from error
