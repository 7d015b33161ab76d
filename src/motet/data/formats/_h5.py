"""HDF5 files through ``h5py`` in a process of its own: arrays and attributes, nothing unpickled on the way."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np

from motet.core.errors import ConfigError, DataError
from motet.core.text import counted
from motet.data.formats import _isolated
from motet.data.formats._files import read_bytes

MOST_ITEMS = 10_000
MOST_VALUES = 2**29  # bytes of one data set, and of all that are asked for


@dataclass(frozen=True)
class Item:
    """A data set or group: its attributes, and the array if it was asked for (plain types only)."""

    attributes: Mapping[str, Any]
    values: Any = None
    shape: tuple[int, ...] = ()


def read_h5(path: Path, wanted: Sequence[str]) -> dict[str, Item]:
    """Everything in a file by its path inside, with the arrays whose paths match a pattern of ``wanted``.

    Raises:
        ConfigError: the package ``h5py`` is not installed.
        DataError: no HDF5 file, a damaged one, or one that is too large.
    """
    if importlib.util.find_spec("h5py") is None:
        raise ConfigError(
            f"{path} is read with the package h5py, which is not installed: pip install '.[h5]' in the folder of motet"
        )
    found = _isolated.call("_h5", "parse", path, read_bytes(path), tuple(wanted))
    return {name: Item(*item) for name, item in found.items()}


def parse(data: bytes, wanted: Sequence[str]) -> dict[str, tuple[dict[str, Any], Any, tuple[int, ...]]]:
    """What :func:`read_h5` answers with; runs in the process apart."""
    import h5py

    found: dict[str, tuple[dict[str, Any], Any, tuple[int, ...]]] = {}
    size = 0

    def visit(name: str, item: Any) -> None:
        nonlocal size
        if len(found) >= MOST_ITEMS:
            raise DataError(f"it holds more than {counted(MOST_ITEMS, 'item')}")
        attributes = _attributes(item)
        values, shape = None, ()
        if isinstance(item, h5py.Dataset):
            shape = tuple(item.shape or ())
            if any(fnmatch(name, pattern) for pattern in wanted):
                size += int(np.prod(shape, dtype=np.float64) * item.dtype.itemsize)
                if size > MOST_VALUES:
                    raise DataError(f"its arrays have more than {MOST_VALUES / 1e6:.0f} MB")
                values = _plain(item[()])
        found[name] = attributes, values, shape

    with h5py.File(io.BytesIO(data), "r") as file:
        found[""] = _attributes(file), None, ()
        file.visititems(visit)
    return found


def _attributes(item: Any) -> dict[str, Any]:
    """Attributes; texts of bytes stay bytes, because some are pickles."""
    found = {}
    for name in list(item.attrs)[:100]:
        value = item.attrs[name]
        found[str(name)] = bytes(value) if isinstance(value, bytes) else _plain(value)
    return found


def _plain(value: Any) -> Any:
    """Numbers, texts and arrays of them (records too); anything else is None."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "OS":
            return [_plain(v) for v in value.ravel().tolist()] if value.size <= 2**20 else None
        return value if value.dtype.kind in "biufUV" and not value.dtype.hasobject else None
    if isinstance(value, np.generic):
        return _plain(value.item()) if value.dtype.kind in "biufSU" else None
    return value if isinstance(value, str | int | float) else None


def texts(values: Any) -> list[str]:
    """Plain texts of an array of bytes or texts."""
    if isinstance(values, np.ndarray):
        values = values.ravel().tolist()
    if isinstance(values, str | bytes):
        values = [values]
    return [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values or []]


def array(items: Mapping[str, Item], name: str, path: Path, kinds: str = "fiu") -> np.ndarray[Any, Any]:
    """An array of numbers that must be there.

    Raises:
        DataError: it is missing or of another kind.
    """
    found = items[name].values if name in items else None
    if not isinstance(found, np.ndarray) or found.dtype.kind not in kinds:
        raise DataError(f"{path}: there is no array of numbers {name!r} in it")
    return found


def edges(items: Mapping[str, Item], name: str) -> list[list[int]]:
    """Pairs of nodes of a skeleton; none where there is no such array of whole numbers."""
    found = items[name].values if name in items else None
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "iu" or found.ndim != 2 or found.shape[1] != 2:
        return []
    pairs: list[list[int]] = found.tolist()
    return pairs
