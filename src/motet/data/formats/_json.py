"""JSON files of pose estimators: read whole, with whatever is wrong with them named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import DataError
from motet.data.formats._files import read_text


def read_json(path: Path, *, lines: bool = False) -> Any:
    """Content of a JSON file, unpacked if it is gzip.

    Args:
        path: the file.
        lines: a file with a value on each line (JSON lines) is a list of them.

    Raises:
        DataError: it cannot be read or is no JSON.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        rows = text.splitlines()
        if lines and error.msg == "Extra data" and len(rows) > 1:
            return [_line(path, number, row) for number, row in enumerate(rows, 1) if row.strip()]
        ends = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated")
        hint = "; is the file cut off?" if ends else ""
        raise DataError(f"{path}, line {error.lineno}: no JSON ({error.msg}{hint})") from error
    except (RecursionError, ValueError) as error:  # nested too deep, or a number of thousands of digits
        raise DataError(f"{path}: no JSON that can be read ({error!s:.80})") from error


def _line(path: Path, number: int, row: str) -> Any:
    try:
        return json.loads(row)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}, line {number}: no JSON ({error!s:.80})") from error


def numbers(value: Any, where: str, *, absent: bool = False) -> npt.NDArray[np.float64]:
    """A list (of lists) of finite numbers as an array; with ``absent``, null and NaN are NaN.

    Raises:
        DataError: anything else; begins with ``where``.
    """
    try:
        found = np.array(value, dtype=np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"{where}: no list of numbers ({error!s:.60})") from error
    if not (np.isfinite(found) | (absent & np.isnan(found))).all():
        raise DataError(f"{where}: a number is NaN or infinite")
    return found


def field(row: Any, *names: str) -> Any:
    """Value of the first of these keys that a JSON object has; None if it has none or is no object."""
    if isinstance(row, dict):
        for name in names:
            if name in row:
                return row[name]
    return None
