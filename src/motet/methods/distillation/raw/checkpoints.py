"""Published checkpoints as dictionaries of tensors; nothing in them is executed."""

from __future__ import annotations

import hashlib
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from motet.core.errors import DataError

_INSIDE = ("model", "state_dict")  # under which the published files keep their weights


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Tensors of a ``.safetensors`` file or of a torch checkpoint.

    The weights may lie under ``model`` (PANNs) or ``state_dict``; ``module.`` before the names is dropped.

    Raises:
        DataError: not there, damaged, or more than tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"there is no checkpoint {path}")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        content = _load(path)
    except (OSError, RuntimeError, EOFError, BadZipFile, pickle.UnpicklingError, ValueError, LookupError) as error:
        raise DataError(
            f"{path} cannot be read as a checkpoint of tensors: it is damaged or holds other things; download it again"
        ) from error
    except SafetensorError as error:
        raise DataError(f"{path} is not a safetensors file ({_reason(error)})") from error
    for name in _INSIDE:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping) or not any(isinstance(v, Tensor) for v in content.values()):
        raise DataError(f"{path} holds no weights")
    return {str(k).removeprefix("module."): v for k, v in content.items() if isinstance(v, Tensor)}


def _load(path: Path) -> Any:
    # the checkpoints of PANNs also hold the state of a sampler, as arrays: those are data, too
    dtypes = [type(np.dtype(kind)) for kind in ("i8", "i4", "f8", "f4", "?")]
    rebuild = np.empty(0).__reduce__()[0]
    arrays: list[Any] = [np.ndarray, np.dtype, *dtypes]
    arrays += [(rebuild, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")]
    with warnings.catch_warnings(), torch.serialization.safe_globals(arrays):
        warnings.simplefilter("ignore")  # of torch about old pickles: what it cannot read is an error here anyway
        return torch.load(path, map_location="cpu", weights_only=True)


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def digest(path: str) -> str:
    """SHA-256 of a checkpoint, or of the names and sizes of a folder of weights; of anything else its name."""
    place = Path(path) if path else None
    if place is not None and place.is_file():
        with place.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if place is not None and place.is_dir():
        sizes = sorted((p.name, p.stat().st_size) for p in place.iterdir() if p.is_file())
        return hashlib.sha256(repr(sizes).encode()).hexdigest()
    return path
