"""Human3.6M as it is passed on: positions of 17 joints in world coordinates, or in the pictures of four cameras.

* ``data_3d_h36m.npz`` of VideoPose3D: ``positions_3d``, {subject: {action: (T, 32 or 17, 3) metres}};
* ``data_2d_h36m_*.npz``: ``positions_2d``, {subject: {action: [(T, 17, 2) pixels of each camera]}};
* ``S1/MyPoses/3D_positions/Walking 1.h5``: ``3D_positions``, (96, T) millimetres.

Of the 32 joints of the motion capture the 17 are kept that move and occur once. The dictionaries are pickles: they are
read without running anything that they name. 50 frames a second; subjects 9 and 11 test.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import DataError
from motet.data import layouts
from motet.data.formats import _pickle
from motet.data.formats._files import bare, check_unpacked, opened
from motet.data.formats._h5 import array, read_h5
from motet.data.formats._points import PointFormat, PointOptions, Recording

LAYOUT = "h36m-17"
KEPT = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
"""of the 32 joints of the motion capture"""
FPS = 50.0
CLASS_NAMES = (
    *("Directions", "Discussion", "Eating", "Greeting", "Phoning", "Photo", "Posing", "Purchases", "Sitting"),
    *("SittingDown", "Smoking", "Waiting", "WalkDog", "WalkTogether", "Walking"),
)
_ALIASES = {"takingphoto": "photo", "walkingdog": "walkdog", "walkingtogether": "walktogether"}
_SUBJECT = re.compile(r"S(\d{1,4})", re.IGNORECASE)
_ACTION = re.compile(r"(.*?)[ _]?(\d{0,4})")
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Options(PointOptions):
    """Options of the ``h36m`` format."""


def _columns(subject: str, action: str, camera: int | None = None) -> dict[str, Any]:
    found, named = _SUBJECT.fullmatch(subject), _ACTION.fullmatch(action)
    word = (named[1] if named else action).lower().replace(" ", "")
    known = [c.lower() for c in CLASS_NAMES]
    word = _ALIASES.get(word, word)
    return {
        "label": known.index(word) if word in known else None,
        "subject": int(found[1]) if found else None,
        "repetition": int(named[2]) if named and named[2] else None,
        **({} if camera is None else {"camera": camera}),
    }


def _recording(points: Array, name: str, columns: dict[str, Any], scale: float, where: str) -> Recording:
    if points.ndim != 3 or points.shape[1] not in (17, 32) or points.shape[2] not in (2, 3) or not len(points):
        raise DataError(f"{where}: an array of shape {points.shape} instead of (frames, 17 or 32, 2 or 3)")
    layout = layouts.get(LAYOUT)
    kept = points[:, KEPT] if points.shape[1] == 32 else points
    flat = points.shape[2] == 2
    kept = np.where(np.isfinite(kept).all(axis=-1, keepdims=True), kept, 0) * scale
    up = "-y" if flat else "+z"
    return Recording(layout.joints, kept[:, None], fps=FPS, parents=layout.parents, up=up, name=name, columns=columns)


def _dictionary(path: Path, wanted: tuple[str, ...]) -> tuple[str, Any]:
    """The first of the wanted arrays of Python objects in an ``.npz``, and what it holds."""
    try:
        with opened(path) as file, zipfile.ZipFile(file) as archive:
            members = {m.filename.removesuffix(".npy"): m for m in archive.infolist()}
            name = next((n for n in wanted if n in members), None)
            if name is None:
                raise DataError(f"{path}: it has neither {' nor '.join(wanted)}, so it is no file of Human3.6M")
            member = members[name]
            check_unpacked(path, member.compress_size, member.file_size)
            with archive.open(member) as stream:
                np.lib.format.read_magic(stream)
                dtype = np.lib.format.read_array_header_1_0(stream)[2]
                if not dtype.hasobject:
                    raise DataError(f"{path}: {name} is no dictionary of subjects")
                return name, _pickle.load(stream).state[4][0]
    except DataError:
        raise
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is no complete .npz file ({error})") from error
    except Exception as error:  # a damaged pickle may raise anything
        raise DataError(f"{path} holds no dictionary of plain arrays ({error!s:.80})") from error


def _entries(path: Path, content: Any) -> Iterator[tuple[str, str, Any]]:
    if not isinstance(content, dict):
        raise DataError(f"{path}: no dictionary of subjects")
    for subject, actions in content.items():
        if not isinstance(subject, str) or not isinstance(actions, dict):
            raise DataError(f"{path}: {str(subject)[:40]!r} is no subject with a dictionary of actions")
        for action, held in actions.items():
            if not isinstance(action, str):
                raise DataError(f"{path}, {subject[:40]}: {str(action)[:40]!r} is no name of an action")
            yield subject, action, held


def _numbers(held: Any, where: str) -> Array:
    try:
        return _pickle.numbers(held).astype(np.float64)
    except Exception as error:  # an array that is none
        raise DataError(f"{where}: {error!s:.80}") from error


def _npz(path: Path) -> list[Recording]:
    kind, content = _dictionary(path, ("positions_3d", "positions_2d"))
    found = []
    for subject, action, held in _entries(path, content):
        where, name = f"{path}, {subject[:40]}, {action[:40]}", f"{subject}/{action}"
        if kind == "positions_3d":
            points = _numbers(held, where)
            if points.ndim == 3 and points.shape[2] == 2:
                raise DataError(f"{where}: positions_3d of two coordinates")
            found.append(_recording(points, name, _columns(subject, action), 1.0, where))
            continue
        if not isinstance(held, list | tuple) or not held:
            raise DataError(f"{where}: no list of an array for each camera")
        for camera, view in enumerate(held, 1):
            points = _numbers(view, where)
            columns = _columns(subject, action, camera)
            found.append(_recording(points, f"{name}/{camera}", columns, 1.0, f"{where}, camera {camera}"))
    return found


def _h5(path: Path) -> list[Recording]:
    values = array(read_h5(path, ("3D_positions",)), "3D_positions", path).astype(np.float64)
    rows = values.T if values.ndim == 2 and values.shape[0] in (96, 51) else values
    if rows.ndim != 2 or rows.shape[1] not in (96, 51):
        raise DataError(f"{path}: 3D_positions of shape {values.shape} instead of (96, frames)")
    subject = next((p for p in reversed(path.parts[:-1]) if _SUBJECT.fullmatch(p)), "")
    columns = _columns(subject, bare(path).stem.split(".")[0])
    return [_recording(rows.reshape(len(rows), -1, 3), "", columns, 0.001, str(path))]


def _read(path: Path, options: Options) -> list[Recording]:
    if bare(path).suffix.lower() == ".cdf":
        raise DataError(f"{path}: CDF is not read; give the positions as data_3d_h36m.npz (VideoPose3D) or .h5")
    return _npz(path) if bare(path).suffix.lower() == ".npz" else _h5(path)


FORMAT = PointFormat(
    files=r".+\.(npz|h5|cdf)",
    what="positions of Human3.6M (data_3d_h36m.npz, data_2d_h36m_*.npz, *.h5)",
    read=_read,
    prefix="h36m",
    measure=lambda channels, options: "px" if channels == 2 else "m",
    facts={"split": "test-subjects:9,11"},
    classes=CLASS_NAMES,
    licence="Human3.6M licence: academic use",
).format("Human3.6M positions (.npz of VideoPose3D, .h5)", Options)
