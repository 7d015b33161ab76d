"""A table of texts with a header: read whole, every cell traceable to its line in the file."""

from __future__ import annotations

import csv as _csv
import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from motet.core.errors import ConfigError, DataError, MotetNote
from motet.core.text import counted, from_cell
from motet.data.formats._files import read_text

SEPARATORS = ",;\t|"
ABSENT = ("", "nan", "-nan", "na", "n/a", "#n/a", "null", "none", "nil", "-nan(ind)", "1.#qnan", "-1.#ind", "--")
"""What programs write where a number is missing, in lower case."""
_NUMBER = re.compile(r"[-+.,\d]*\d")
"""What a cell begins with that is no name of a column."""
MOST_COLUMNS = 20_000  # of a table, ten for each joint that a layout may have


class Sheet:
    """A table of texts, with the line in the file that each row comes from.

    Args:
        path: the file.
        separator: between cells; ``auto`` is what the header has.
        decimal: point or comma of numbers.

    Raises:
        DataError: not text, no header, a column named twice, or a line with more or fewer cells than the header.
    """

    def __init__(self, path: Path, separator: str = "auto", decimal: str = ".") -> None:
        self.path, self.decimal = path, decimal
        if separator != "auto" and (len(separator) != 1 or separator in '"\r\n'):
            raise ConfigError(f"option separator must be one character, not {separator!r}")
        if decimal not in (".", ",") or decimal == separator:
            raise ConfigError(f"option decimal is {decimal!r}; it must be . or , and not the separator")
        text = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
        if "\0" in text:
            raise DataError(f"{path} is not a text table: it holds a zero byte")
        lines = text.split("\n")
        above = _above(lines, separator, decimal)
        if above:
            warnings.warn(
                f"{path}: the table begins at line {above + 1}; what is above is not read", MotetNote, stacklevel=3
            )
            lines[:above] = [""] * above
        if separator == "auto":
            first = next((line for line in lines if line.strip()), "")
            separator = next((c for c in SEPARATORS if c in first and c != decimal), "," if decimal == "." else ";")
        filled = [i for i, line in enumerate(lines) if line.strip(" \t") or (separator in line)]
        self.lines = [i + 1 for i in filled[1:]]
        body = [lines[i] for i in filled]
        other = next((c for c in SEPARATORS if c in body[0]), None)
        if separator not in body[0] and other is not None:
            shown = "$'\\t'" if other == "\t" else f"'{other}'"
            raise DataError(
                f"{path}, line 1: no {separator!r} between cells; they seem to be parted by {shown}: pass "
                f"--separator {shown}"
            )
        self.header = [name.strip() for name in _cells(path, body[0], separator, 1)]
        if len(self.header) > MOST_COLUMNS:
            raise DataError(f"{path}: {counted(len(self.header), 'column')}; tables of up to {MOST_COLUMNS:,} are read")
        twice = sorted(name for name, count in Counter(self.header).items() if count > 1)
        if twice:
            known = "; it is a table of DeepLabCut: import it as deeplabcut" if self.header[0] == "scorer" else ""
            raise DataError(f"{path}, line 1: two columns are called {twice[0]!r}{known}")
        for line, row in zip(self.lines, body[1:], strict=True):
            cells = row.count(separator) + 1 if '"' not in row else len(_cells(path, row, separator, line))
            if cells != len(self.header):
                raise DataError(f"{path}, line {line}: {counted(cells, 'cell')}, the header has {len(self.header)}")
        if not self.lines:
            raise DataError(f"{path}: it has a header and no rows")
        self._frame = self._read(body[1:], separator)

    def _read(self, rows: Sequence[str], separator: str) -> pl.DataFrame:
        try:
            frame = pl.read_csv(
                BytesIO("\n".join(rows).encode()),
                separator=separator,
                has_header=False,
                infer_schema=False,
                raise_if_empty=False,
            )
        except pl.exceptions.PolarsError as error:
            raise DataError(f"{self.path}: the table cannot be read ({error!s:.100})") from error
        if frame.shape != (len(rows), len(self.header)):
            raise DataError(f"{self.path}: a quoted cell runs over several lines, which is not read")
        return frame.rename(dict(zip(frame.columns, self.header, strict=True))).fill_null("")

    def texts(self, column: str) -> list[str]:
        """Cells of a column, without blanks around them."""
        return [from_cell(text) for text in self._frame[column].str.strip_chars().to_list()]

    def coded(self, column: str, empty: Sequence[str] = ("",)) -> tuple[npt.NDArray[np.int64], list[str]]:
        """(rows,) number of the cell of each row, -1 where it is ``empty``, and the different cells of a column."""
        cells = self._frame[column].str.strip_chars()
        texts = cells.unique(maintain_order=True).to_list()
        number = {text: n for n, text in enumerate(dict.fromkeys(from_cell(t) for t in texts if t not in empty))}
        codes = [number.get(from_cell(text), -1) for text in texts]
        return cells.replace_strict(texts, codes, return_dtype=pl.Int64).to_numpy(), list(number)

    def numbers(self, columns: Sequence[str], remedy: str = "") -> npt.NDArray[np.float64]:
        """(rows, columns) numbers; NaN for a cell that is empty or says that it is (:data:`ABSENT`).

        Raises:
            DataError: names line and column of a cell that is no finite number.
        """
        texts = self._frame.select(pl.col(list(columns)).str.strip_chars())
        missing = texts.select(pl.all().str.to_lowercase().is_in(list(ABSENT)))
        if self.decimal == ",":
            texts = texts.select(pl.all().str.replace(",", ".", literal=True))
        elif not remedy and any("," in (texts[c][0] or "") for c in columns):
            remedy = "; for decimal commas pass --decimal ,"
        values = texts.select(pl.all().cast(pl.Float64, strict=False).fill_null(float("nan"))).to_numpy()
        absent = missing.to_numpy()
        for place, row in np.argwhere((~np.isfinite(values) & ~absent).T)[:1].tolist():
            column = columns[place]
            text = texts[column][row]
            raise DataError(f"{self.path}, line {self.lines[row]}, column {column}: {text!r} is no number{remedy}")
        return np.where(absent, np.nan, values)

    def whole(self, column: str, names: Mapping[str, int | None] | None = None) -> list[int | None]:
        """Whole numbers of a column, or those of the ``names`` in it; None for an empty cell."""
        if names is not None:
            return [names.get(text) for text in self.texts(column)]
        found: list[int | None] = []
        remedy = "; write numbers throughout, or names throughout"
        for row, value in enumerate(self.numbers([column], remedy)[:, 0].tolist()):
            if value == value and (value != int(value) or abs(value) >= 2**62):
                raise DataError(f"{self.path}, line {self.lines[row]}, column {column}: {value:g} is no whole number")
            found.append(int(value) if value == value else None)
        return found


def without_fills(points: npt.NDArray[Any], where: object) -> npt.NDArray[Any]:
    """(…, C) points, of which those are NaN that a number beyond all others fills (``-9999``, ``9999999``), which is
    noted: where a marker was lost, programs write one number in every coordinate."""
    first = points[..., 0]
    same = (points == first[..., None]).all(axis=-1)
    others = np.abs(points[~same])
    most = others[np.isfinite(others)].max(initial=0)
    values, counts = np.unique(first[same & (np.abs(first) > most)], return_counts=True)
    fills = values[counts > 1]
    if not len(fills) or not most:
        return points
    lost = same & np.isin(first, fills)
    warnings.warn(
        f"{where}: {', '.join(f'{v:.10g}' for v in fills[:3])} in all coordinates, beyond all others, is taken for "
        f"what was not seen ({lost.sum():,} times)",
        MotetNote,
        stacklevel=3,
    )
    return np.where(lost[..., None], np.nan, points)


def _above(lines: Sequence[str], separator: str, decimal: str) -> int:
    """How many lines lie above the header: facts about a device, with fewer cells than the table below them has."""
    filled = [i for i, line in enumerate(lines) if line.strip()]
    first, last = (lines[filled[0]], lines[filled[-1]]) if filled else ("", "")
    known = [c for c in SEPARATORS if c != decimal] if separator == "auto" else [separator]
    own = next((c for c in known if c in first), "")
    if own and all(lines[i].count(own) == first.count(own) for i in filled):
        return 0  # a table as it is, whatever else is in its cells
    mark = max(known, key=last.count)
    count = last.count(mark)
    if not count or first.count(mark) >= count:
        return 0
    header = next(i for i in filled if lines[i].count(mark) == count)
    cells = [cell.strip(' "') for cell in lines[header].split(mark)]
    table = all(lines[i].count(mark) == count for i in filled if i > header)
    return header if table and header < filled[-1] and not any(not c or _NUMBER.match(c) for c in cells) else 0


def _cells(path: Path, row: str, separator: str, line: int) -> list[str]:
    try:
        return next(_csv.reader(StringIO(row), delimiter=separator, strict=True))
    except (_csv.Error, StopIteration) as error:
        raise DataError(f"{path}, line {line}: quotes that do not fit ({error})") from error
