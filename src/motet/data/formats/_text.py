"""Numbers out of large plain text, vectorised: only the tokens that are asked for are converted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from motet.core.errors import DataError

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
        # the padding lets every token be read as _WIDEST bytes and a space
        padded = np.frombuffer(b"\n" + data + b"\n" * (_WIDEST + 2), dtype=np.uint8)
        self._bytes = padded[1:]
        space = padded <= 32
        self._starts = np.flatnonzero(space[:-1] > space[1:])
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
        return self._token(int(self._starts[self._first[line]]))

    def _token(self, start: int) -> bytes:
        short = self._data[start : start + 64].split(None, 1)
        if len(short) == 2 or start + 64 >= len(self._data):
            return short[0]
        return self._data[start:].split(None, 1)[0]

    def counts(self) -> list[int]:
        """Value of each line that is one whole number, -1 for every other line."""
        out = np.full(len(self), -1, dtype=np.int64)
        single = np.flatnonzero(self.tokens == 1)
        _, values, plain = self._decimals(self._first[single])
        whole = plain & (values >= 0) & (values == np.floor(values))
        out[single[whole]] = values[whole].astype(np.int64)
        return out.tolist()

    def floats(self, lines: npt.NDArray[np.int64] | None, count: int) -> npt.NDArray[np.float64]:
        """(len(lines), count) values of the first ``count`` tokens of the given (or all) lines, as ``float`` has them.

        Raises:
            DataError: a token is no finite number; file and line are named.
        """
        lines = np.arange(len(self)) if lines is None else lines
        start, values, plain = self._decimals((self._first[lines][:, None] + np.arange(count)).ravel())
        for index in np.flatnonzero(~plain).tolist():
            try:
                values[index] = float(self._token(start[index]))
            except ValueError:
                values[index] = np.nan
        finite = np.isfinite(values)
        if not finite.all():
            index = int(np.argmin(finite))
            text = self._token(start[index])[:30].decode(errors="replace")
            raise DataError(
                f"{self._where}, line {self.number(int(lines[index // count]))}: {text!r} is no finite number"
            )
        return values.reshape(-1, count)

    def _decimals(
        self, which: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Of the tokens at ``which``: start, value, and whether the value holds (form ``-123.456``, few digits).

        Mantissa and power of ten are exact, so the quotient is the float64 nearest to the text.
        """
        start = self._starts[which]
        space = self._starts[np.minimum(which + 1, len(self._starts) - 1)] - start  # up to the next token
        space = np.where(space > 0, space, _WIDEST + 1)  # the last token has no next one
        width = min(int(space.max(initial=1)), _WIDEST + 1)
        windows = np.lib.stride_tricks.sliding_window_view(self._bytes, width)
        chars = np.ascontiguousarray(windows[start].T)
        column = np.arange(width, dtype=np.uint8)[:, None]
        inside = (chars > 32) & (column < np.minimum(space, width).astype(np.uint8))
        digit = chars - np.uint8(48)  # wraps for what is below "0"
        good = (digit < 10) & inside
        dots = (chars == 46) & inside
        factor = good * np.uint8(9) + np.uint8(1)  # 10 at a digit, else 1: small integers keep this in the cache
        digit *= good
        mantissa = np.zeros(len(start))
        for times, plus in zip(factor, digit, strict=True):
            mantissa *= times
            mantissa += plus
        length, digits, points = (np.add.reduce(m, axis=0, dtype=np.uint8) for m in (inside, good, dots))
        negative = chars[0] == 45
        plain = (length <= _WIDEST) & (digits > 0) & (points <= 1) & (mantissa < _EXACT)
        plain &= digits + points + negative == length
        point = np.add.reduce(dots * (column + np.uint8(1)), axis=0, dtype=np.uint8)
        decimals = np.where((points == 1) & plain, length - point, 0)
        values = mantissa / _TENS[decimals]
        return start, np.where(negative, -values, values), plain
