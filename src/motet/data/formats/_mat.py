"""Arrays of numbers in MATLAB files of version 5 (and 4), read here so that no damaged file can end the process.

The layout is that of "MAT-File Format" (The MathWorks): elements of a type, a size and data, which may be packed, and
matrices that are elements of elements. Only real arrays of numbers are read; all else is stepped over.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from motet.core.errors import DataError
from motet.core.text import counted
from motet.data.formats._files import read_bytes, unpack

_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_MATRIX, _PACKED = 14, 15
_NUMERIC = range(6, 16)  # classes double … uint64
_COMPLEX = 0x08
_OLD_TYPES = ["f8", "f4", "i4", "i2", "u2", "u1"]


def read_mat(path: Path, variable: str) -> npt.NDArray[np.float64]:
    """A numeric array of a MATLAB file (version 4 or 5), real and finite.

    Raises:
        DataError: not such a file, a damaged one, no such variable, or not finite numbers.
    """
    data = read_bytes(path)
    try:
        found = _find(data, variable, path)
    except (struct.error, ValueError, EOFError, zlib.error, IndexError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is no MATLAB file that can be read ({error!s:.80})") from error
    if found is None:
        raise DataError(f"{path} has no array of numbers {variable!r}")
    if not np.isfinite(found).all():
        raise DataError(f"{path}: {variable!r} holds NaN or infinity")
    return found


def _find(data: bytes, variable: str, path: Path) -> npt.NDArray[np.float64] | None:
    if data[:1] == b"\0" or len(data) < 128:
        return _find_old(data, variable)
    if data[126:128] not in (b"IM", b"MI"):
        raise ValueError("it has no byte order mark of version 5")
    order = "<" if data[126:128] == b"IM" else ">"
    for kind, body in _elements(data[128:], order):
        inner = [(kind, body)]
        if kind == _PACKED:
            inner = list(_elements(unpack(path, body, 15), order))
        for what, content in inner:
            if what == _MATRIX:
                name, values = _matrix(content, order)
                if name == variable and values is not None:
                    return values
    return None


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """(type, data) of each element; small ones keep their data in the place of their size."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(order + "II", data, at)
        if kind >> 16:
            yield kind & 0xFFFF, data[at + 4 : at + 4 + min(4, kind >> 16)]
            at += 8
            continue
        if size > len(data) - at - 8:
            raise ValueError("an element is larger than the file; is it cut off?")
        yield kind, data[at + 8 : at + 8 + size]
        at += 8 + size + (-size % 8 if kind != _PACKED else 0)


def _matrix(data: bytes, order: str) -> tuple[str, npt.NDArray[np.float64] | None]:
    """Name and values of a matrix; None if it is none of real numbers."""
    parts = []
    for part in _elements(data, order):
        parts.append(part)
        if len(parts) == 4:
            break
    if len(parts) < 4 or len(parts[0][1]) < 4:
        return "", None
    flags = struct.unpack_from(order + "I", parts[0][1])[0]
    name = parts[2][1].decode("latin-1").rstrip("\0")
    kind, raw = parts[3]
    if flags & 0xFF not in _NUMERIC or (flags >> 8) & _COMPLEX or kind not in _TYPES:
        return name, None
    shape = np.frombuffer(parts[1][1], order + "i4").tolist()
    return name, _shaped(raw, order + _TYPES[kind], shape)


def _shaped(raw: bytes, kind: str, shape: list[int]) -> npt.NDArray[np.float64]:
    count = 1
    for extent in shape:
        count *= extent
    dtype = np.dtype(kind)
    if not shape or min(shape) < 0 or count * dtype.itemsize != len(raw) - len(raw) % dtype.itemsize:
        raise ValueError(f"an array of shape {tuple(shape[:5])} has {counted(len(raw), 'byte')}")
    return np.frombuffer(raw, dtype, count).reshape(shape, order="F").astype(np.float64)


def _find_old(data: bytes, variable: str) -> npt.NDArray[np.float64] | None:
    """A matrix of a file of version 4: type, rows, columns, imaginary flag and name, then the numbers."""
    at = 0
    while at + 20 <= len(data):
        kind, rows, columns, imaginary, length = struct.unpack_from("<5i", data, at)
        digits = f"{kind:04d}"
        if not 0 <= kind < 100 or int(digits[2]) >= len(_OLD_TYPES) or min(rows, columns, length) < 0:
            raise ValueError("its first matrix is none of version 4")
        dtype = np.dtype("<" + _OLD_TYPES[int(digits[2])])
        size = rows * columns * dtype.itemsize
        start = at + 20 + length
        if size * (1 + bool(imaginary)) > len(data) - start:
            raise ValueError("a matrix is larger than the file; is it cut off?")
        if data[at + 20 : start].rstrip(b"\0").decode("latin-1") == variable and digits[3] == "0" and not imaginary:
            return _shaped(data[start : start + size], dtype.str, [rows, columns])
        at = start + size * (1 + bool(imaginary))
    return None
