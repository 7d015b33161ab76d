"""Where the recordings of a page are from: made once, in the folder that a page works in."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

from motet.data import edit
from motet.data.archive import MotionArchive
from motet.data.formats import import_dataset

Source = Callable[[Path, Path], Path | None]
"""(folder of the recordings, folder to work in) → archive, table of features or folder of graphs; None where what it
is made of is not at hand."""


def made(name: str, make: Callable[[Path, Path, Path], object | None]) -> Source:
    """What ``make(data, work, path)`` writes, once; nothing where it answers None."""

    def source(data: Path, work: Path) -> Path | None:
        path = work / "archives" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path if path.exists() or make(data, work, path) is not None else None

    return source


def npz(name: str, place: str = "") -> Source:
    """A compact set of skeletons, in a folder of its name or of another."""

    def make(data: Path, work: Path, path: Path) -> MotionArchive | None:
        file = data / "skeleton" / f"{name}.npz"
        return import_dataset("npz", file, path, progress=False, workers=1) if file.exists() else None

    return made(place or name, make)


def derived(name: str, source: Source, make: Callable[[MotionArchive, Path], object]) -> Source:
    """What is made of another archive."""

    def whole(data: Path, work: Path, path: Path) -> object | None:
        before = source(data, work)
        return None if before is None else make(MotionArchive.open(before), path)

    return made(name, whole)


def in_layout(name: str, layout: str) -> Source:
    """A set in the joints of a layout."""
    return derived(f"{name}-{layout}", npz(name), lambda a, path: edit.convert(a, path, layout=layout))


def tu(name: str) -> Source:
    """A TU set, packed or not."""

    def source(data: Path, work: Path) -> Path | None:
        folder, packed = data / "graphs" / name, data / "graphs" / f"{name}.tar.xz"
        if not folder.is_dir() and packed.exists():
            folder = work / "archives" / name
            if not folder.is_dir():
                with tarfile.open(packed) as file:
                    file.extractall(folder.parent, filter="data")
        return folder if folder.is_dir() else None

    return source
