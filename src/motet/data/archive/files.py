"""The files of an archive: digests, and arrays that grow row by row."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

ARCHIVE_VERSION = 1
Float = npt.NDArray[np.floating[Any]]


def digest(*parts: bytes) -> str:
    sha = hashlib.sha256()
    for part in parts:
        sha.update(part)
    return sha.hexdigest()


def canonical(meta: Mapping[str, Any]) -> bytes:
    return json.dumps(meta, sort_keys=True, separators=(",", ":")).encode()


def clip_digest(frames: Float, confidence: Float | None = None) -> str:
    """SHA-256 of one clip's stored bytes, shape and dtype included."""
    parts = [f"{frames.dtype.str}{frames.shape}".encode(), np.ascontiguousarray(frames).tobytes()]
    if confidence is not None:
        parts.append(np.ascontiguousarray(confidence).tobytes())
    return digest(*parts)


HEADER = 128  # bytes of an .npy header as written here


def npy_header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    text = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': {shape}, }}"
    body = text.encode().ljust(HEADER - 11) + b"\n"
    return b"\x93NUMPY\x01\x00" + (HEADER - 10).to_bytes(2, "little") + body


class NpyStream:
    """An .npy file that grows row by row; the header is finished on close."""

    def __init__(self, path: Path, row_shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.row_shape, self.dtype, self.rows = row_shape, dtype, 0
        self._file = path.open("wb")
        self._file.write(npy_header(self.dtype, (self.rows, *self.row_shape)))

    def append(self, rows: Float) -> None:
        self._file.write(np.ascontiguousarray(rows, dtype=self.dtype).tobytes())
        self.rows += len(rows)

    def close(self) -> None:
        if self._file.closed:
            return
        self._file.seek(0)
        self._file.write(npy_header(self.dtype, (self.rows, *self.row_shape)))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
