"""Data sets of the paper and plain folders as manifests: what is there, and what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from motet.core.errors import ConfigError, DataError
from motet.methods.distillation.raw.datasets import activitynet, folders, iemocap, ucf51
from motet.methods.distillation.raw.datasets.base import Found
from motet.methods.distillation.raw.manifest import Manifest

__all__ = ["DATASETS", "Found", "index", "open_source"]

DATASETS: dict[str, Callable[[Path], Found]] = {
    "folders": folders.find,
    "ucf51": ucf51.find,
    "activitynet": activitynet.find,
    "iemocap": iemocap.find,
}


def index(dataset: str, source: str | Path, *, partial: bool = False) -> Found:
    """Find the recordings of a data set in its folder.

    Args:
        dataset: ``folders`` (one folder per class), ``ucf51``, ``activitynet`` or ``iemocap``.
        source: folder.
        partial: continue with what is there, although something is missing.

    Raises:
        ConfigError: no such data set.
        DataError: nothing of it is there; or, unless ``partial``, something is missing: the message says what.
    """
    if dataset not in DATASETS:
        raise ConfigError(f"there is no data set {dataset!r}; choose one of {', '.join(DATASETS)}")
    place = Path(source)
    if not place.is_dir():
        raise DataError(f"there is no folder {place}")
    found = DATASETS[dataset](place)
    if found.missing and not partial:
        raise DataError(f"{place} is not all of {dataset}: {'; '.join(found.missing)}. --partial takes what is there")
    if not len(found.manifest):
        raise DataError(f"{place} has no recording of {dataset}")
    return found


def open_source(source: str | Path) -> Manifest:
    """The manifest that a CSV file holds, or that a folder with one folder per class makes."""
    path = Path(source)
    return index("folders", path).manifest if path.is_dir() else Manifest.read(path)
