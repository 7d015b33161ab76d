"""HDF5 files through ``h5py``: arrays and attributes, nothing unpickled on the way."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from motet.core.errors import ConfigError, DataError, MotetError
from motet.data.formats._files import read_bytes


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The file, open for reading; whatever goes wrong with it inside of the block is a :class:`DataError`.

    Raises:
        ConfigError: the package ``h5py`` is not installed.
        DataError: no HDF5 file, or one without what the block looks for.
    """
    if importlib.util.find_spec("h5py") is None:
        raise ConfigError(
            f"{path} is read with the package h5py, which is not installed: pip install '.[h5]' in the folder of motet"
        )
    import h5py

    try:
        with h5py.File(io.BytesIO(read_bytes(path)), "r") as file:
            yield file
    except MotetError:
        raise
    except Exception as error:  # h5py lets all sorts of errors out on damaged files
        raise DataError(f"{path} cannot be read as it should ({type(error).__name__}: {error!s:.80})") from error


def texts(values: Any) -> list[str]:
    """Plain texts of an array of bytes or texts."""
    return [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values]
