"""Labels along time in the arrays of the compact layout (:mod:`motet.data.formats.npz`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import DataError
from motet.core.text import counted

Arrays = Mapping[str, npt.NDArray[Any]]
Fail = Callable[[str], DataError]
_NEEDED = {"clip": "iu", "start": "fiu", "end": "fiu", "track": "U", "label": "U"}  # with kinds of their arrays
_OPTIONAL = {"rater": "U", "certainty": "fiu"}
NAMES = tuple(f"interval_{name}" for name in (*_NEEDED, *_OPTIONAL))


def intervals(arrays: Arrays, clip: int, clips: int, fail: Fail) -> dict[str, Sequence[Mapping[str, Any]]]:
    """Intervals of one clip by label track, as rows of :mod:`motet.data.tracks` without the recording.

    Args:
        arrays: of the file.
        clip: which one, from 0.
        clips: how many there are.
        fail: error with the name of the file.

    Raises:
        DataError: an array is missing, of another kind or length, or names a clip that is not there.
    """
    tracks = arrays.get("interval_track")
    if tracks is None:
        return {}
    for name, kinds in {**_NEEDED, **_OPTIONAL}.items():
        array = arrays.get(f"interval_{name}")
        if array is None and name in _OPTIONAL:
            continue
        if array is None or array.ndim != 1 or array.shape != tracks.shape or array.dtype.kind not in kinds:
            raise fail(f"array 'interval_{name}' is missing, or not a value for each of 'interval_track'")
    about = arrays["interval_clip"]
    if len(about) and not 0 <= about.min() <= about.max() < clips:
        wrong = about.min() if about.min() < 0 else about.max()
        raise fail(f"array 'interval_clip' has {wrong}, and there are {counted(clips, 'clip')}")
    found: dict[str, list[Mapping[str, Any]]] = {}
    for at in np.flatnonzero(about == clip).tolist():
        row = {n: arrays[f"interval_{n}"][at].item() for n in (*_NEEDED, *_OPTIONAL) if f"interval_{n}" in arrays}
        certainty = row.get("certainty")
        known = {"rater": row.get("rater") or None, "certainty": None if certainty != certainty else certainty}
        found.setdefault(row["track"], []).append({**row, **known})
    return {**found}


def frames(arrays: Arrays, clip: int, count: int, names: Sequence[str], fail: Fail) -> dict[str, list[str | None]]:
    """The track ``labels`` of ``frame_label`` of one clip, if the file has it.

    Args:
        arrays: of the file, with ``offset``.
        clip: which one, from 0.
        count: frames of all clips.
        names: of the classes.
        fail: error with the name of the file.

    Raises:
        DataError: not one integer a frame, or a class that is not there.
    """
    numbers = arrays.get("frame_label")
    if numbers is None:
        return {}
    if numbers.shape != (count,) or numbers.dtype.kind not in "iu":
        raise fail(f"array 'frame_label' is {numbers.dtype} {numbers.shape}, not one integer a frame")
    chosen = numbers[slice(*arrays["offset"][clip : clip + 2].tolist())].tolist()
    if chosen and not -1 <= min(chosen) <= max(chosen) < len(names):
        raise fail(f"array 'frame_label' has a label that is not among the {len(names)} of 'class_names'")
    return {"labels": [None if n < 0 else names[n] for n in chosen]}
