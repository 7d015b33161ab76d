"""What a run was trained on: frames, and what the clips table says of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.text import counted
from motet.data.archive import MotionArchive

PLACES = ("offset", "length", "persons", "source", "sha256")
"""columns that say where frames lie or came from; the frames have a digest of their own."""
CALLED = {"name": "names of clips", "label": "labels", "subject": "people", "camera": "cameras"}


def identity(archive: MotionArchive) -> dict[str, Any]:
    """What config.json says of an archive: where it is, what it holds, digests of frames and of every column."""
    return {
        "path": str(archive.path.resolve()),
        "hash": archive.hash,
        "columns": columns(archive),
        "clips": len(archive),
        "class_names": list(archive.class_names),
        "skeleton": archive.skeleton.to_dict(),
        "persons": archive.persons,
        "channels": list(archive.channels),
        "units": archive.units,
        "simulated": archive.simulated,
        "licence": archive.licence,
    }


def packed(rows: npt.NDArray[np.int64], count: int) -> str:
    """Some rows of an archive of ``count`` clips as text of a bit each, so that it is known later who trained."""
    mask = np.zeros(count, dtype=np.bool_)
    mask[rows] = True
    return np.packbits(mask).tobytes().hex()


def unpacked(text: str, count: int) -> npt.NDArray[np.int64]:
    """Inverse of :func:`packed`.

    Raises:
        ValueError: not such a text.
    """
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(text), dtype=np.uint8))
    if not count <= len(bits) < count + 8:
        raise ValueError(f"it holds {counted(len(bits), 'clip')}, not {count}")
    return np.flatnonzero(bits[:count]).astype(np.int64)


def columns(archive: MotionArchive) -> dict[str, str]:
    """A digest of every column that says who did what; of labels by the names of their classes."""
    found = {}
    for name in archive.clips.columns:
        if name in PLACES:
            continue
        values = archive.clips[name].to_list()
        if name == "label":
            values = [None if v is None or v < 0 else archive.class_names[v] for v in values]
        found[name] = hashlib.sha256(repr(values).encode()).hexdigest()[:16]
    return found


def digest(archive: MotionArchive) -> str:
    """Of its frames and its columns, so that clips with other labels or people are other recordings."""
    return hashlib.sha256(repr((archive.hash, sorted(columns(archive).items()))).encode()).hexdigest()


def changes(stored: Mapping[str, Any], archive: MotionArchive) -> list[str]:
    """What differs between an archive and the one that a run was trained on, in words; empty where nothing does.

    Columns that a run of an earlier version did not record are not compared.
    """
    if stored.get("hash") != archive.hash:
        return ["its frames"]
    before, now = stored.get("columns", {}), columns(archive) if stored.get("columns") else {}
    differ = [name for name in before if before[name] != now.get(name)]
    return [CALLED.get(name, f"the column {name!r}") for name in differ]
