"""Numbers out of large plain text, vectorised: only the tokens that are asked for are converted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.errors import DataError

_WIDEST = 20  # bytes of a token that the vectorised conversion takes on
_EXACT = 2**53  # integers below are exact in float64, so one division rounds correctly
_TENS = 10.0 ** np.arange(_WIDEST + 1)


class Lines:
    """Non-empty lines of a text and their white-space separated tokens, by position.

    Args:
        data: content of the file.
        where: names it in messages.

    Attributes:
        tokens: (L,) number of tokens of each non-empty line.

    Raises:
        DataError: not text.
    """

    def __init__(self, data: bytes, where: str | Path) -> None:
        if b"\0" in data:
            raise DataError(f"{where} is not a text file")
        self._data, self._where = data, where
        # padding lets every token be read as _WIDEST bytes
        self._bytes = np.frombuffer(data + b"\n" * (_WIDEST + 1), dtype=np.uint8)
        space = self._bytes <= 32
        edges = np.flatnonzero(space[1:] != space[:-1]) + 1
        if not space[0]:
            edges = np.concatenate([np.zeros(1, dtype=edges.dtype), edges])
        self._starts, self._ends = edges[0::2], edges[1::2]
        newlines = np.flatnonzero(self._bytes[: len(data) + 1] == 10)
        until = np.searchsorted(self._starts, newlines)
        counts = np.diff(until, prepend=0)
        self._numbers = np.flatnonzero(counts)
        self.tokens: npt.NDArray[np.int64] = counts[self._numbers]
        self._first = until[self._numbers] - self.tokens

    def __len__(self) -> int:
        return len(self.tokens)

    def number(self, line: int) -> int:
        """Number of a non-empty line as an editor shows it (from 1)."""
        return int(self._numbers[line]) + 1

    def token(self, line: int) -> bytes:
        """First token of a line."""
        at = self._first[line]
        return self._data[self._starts[at] : self._ends[at]]

    def floats(self, lines: npt.NDArray[np.int64] | None, count: int) -> npt.NDArray[np.float64]:
        """(len(lines), count) values of the first ``count`` tokens of the given (or all) lines, as ``float`` has them.

        Raises:
            DataError: a token is no finite number; file and line are named.
        """
        lines = np.arange(len(self)) if lines is None else lines
        which = (self._first[lines][:, None] + np.arange(count)).ravel()
        start, length = self._starts[which], self._ends[which] - self._starts[which]
        values, plain = _decimals(self._bytes, start, length)
        for index in np.flatnonzero(~plain).tolist():
            token = self._data[start[index] : start[index] + length[index]]
            try:
                values[index] = float(token)
            except ValueError:
                values[index] = np.nan
        finite = np.isfinite(values)
        if not finite.all():
            index = int(np.argmin(finite))
            text = self._data[start[index] : start[index] + min(int(length[index]), 30)].decode(errors="replace")
            raise DataError(
                f"{self._where}, line {self.number(int(lines[index // count]))}: {text!r} is no finite number"
            )
        return values.reshape(-1, count)


def _decimals(
    data: npt.NDArray[np.uint8], start: npt.NDArray[Any], length: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Values of tokens of the form ``-123.456`` and which tokens are of it (the other values mean nothing).

    Mantissa and power of ten are exact, so the quotient is the float64 nearest to the text.
    """
    width = int(min(length.max(initial=1), _WIDEST))
    mantissa = np.zeros(len(start), dtype=np.int64)
    digits = np.zeros(len(start), dtype=np.int64)
    point = np.full(len(start), -1, dtype=np.int64)
    points = np.zeros(len(start), dtype=np.int64)
    negative = data[start] == ord("-")
    for column in range(width):
        char = data[start + column]
        inside = column < length
        digit = char - np.uint8(48)  # wraps for what is below "0"
        good = (digit < 10) & inside
        mantissa = np.where(good, mantissa * 10 + digit, mantissa)
        digits += good
        dot = (char == ord(".")) & inside
        point[dot] = column
        points += dot
    plain = (length <= width) & (digits > 0) & (digits <= 18) & (points <= 1) & (mantissa < _EXACT)
    plain &= digits + points + negative == length
    decimals = np.where(point >= 0, np.minimum(length, width) - 1 - point, 0)
    values = mantissa / _TENS[decimals]
    return np.where(negative, -values, values), plain
