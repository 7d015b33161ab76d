"""Arrays that networks for skeletons are trained on: of ST-GCN and 2s-AGCN (``.npy``) and of CTR-GCN (``.npz``).

``SIDE_data_joint.npy`` (or ``SIDE_data.npy``) is (N, C, T, V, M): clips, coordinates, frames, joints, people, with
``SIDE_label.pkl`` next to it: names and labels. ``NAME.npz`` has ``x_train``, ``x_test`` (N, T, M·V·3) and ``y_train``,
``y_test``, one-hot. Frames of zeros at the end, which fill clips to one length, are cut off. 25 joints are Kinect v2's,
20 Kinect v1's, 18 OpenPose's and 17 COCO's with x, y and confidence.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import DataError
from motet.core.text import counted
from motet.data import layouts
from motet.data.formats import _pickle
from motet.data.formats._files import bare, check_unpacked, find_files, next_to, opened, read_bytes
from motet.data.formats.base import Format, Plan, RawClip, Unit
from motet.data.skeletons import Skeleton

LAYOUTS = {25: "kinect-v2", 20: "kinect-v1", 18: "openpose-18", 17: "coco-17"}
FLAT = (17, 18)
NTU_PEOPLE = 2
BLOCK = 16  # clips of a unit
_NTU = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")


@dataclass(frozen=True)
class Options:
    """Options of the ``stgcn`` format.

    Attributes:
        skeleton: built-in layout or TOML file; by default the one with as many joints.
        fps: frames per second.
        licence: terms of the recordings.
    """

    skeleton: str | None = None
    fps: float | None = 30.0
    licence: str = "unknown"


@dataclass(frozen=True)
class Header:
    """Shape and type of an array in a file, and where its numbers begin."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int


def _header(stream: IO[bytes], where: str) -> Header:
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shape, fortran, dtype = read(stream)
    except Exception as error:  # numpy's reader of headers lets all sorts of errors out
        raise DataError(f"{where} is no array of NumPy ({error!s:.80})") from error
    if fortran or dtype.hasobject or dtype.kind not in "fiu" or not shape or min(shape) < 1:
        raise DataError(f"{where}: {dtype} {shape} is no array of numbers in C order")
    return Header(tuple(int(n) for n in shape), dtype, stream.tell())


def _row_bytes(header: Header) -> int:
    size = header.dtype.itemsize
    for extent in header.shape[1:]:
        size *= extent
    return size


class _Member:
    """An array in an ``.npz``, read row after row."""

    def __init__(self, path: Path, name: str) -> None:
        self.where = f"{path}, {name}"
        try:
            self._file = zipfile.ZipFile(path if bare(path) == path else opened(path))  # which closes a path by itself
            info = self._file.getinfo(f"{name}.npy")
            check_unpacked(path, info.compress_size, info.file_size)
            self._stream = self._file.open(info)
        except (OSError, KeyError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise DataError(f"{path} has no readable array {name!r} ({error!s:.80})") from error
        self.header = _header(self._stream, self.where)
        if self.header.shape[0] * _row_bytes(self.header) > info.file_size:
            raise DataError(f"{self.where}: it declares {self.header.shape}, more than the file holds")

    def rows(self, first: int, last: int) -> npt.NDArray[Any]:
        size = _row_bytes(self.header)
        try:
            self._stream.seek(self.header.start + first * size)
            data = self._stream.read((last - first) * size)
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error, struct.error, ValueError) as error:
            raise DataError(f"{self.where} cannot be read ({error!s:.80})") from error
        if len(data) < (last - first) * size:
            raise DataError(f"{self.where} is cut off")
        return np.frombuffer(data, self.header.dtype).reshape(last - first, *self.header.shape[1:])


@lru_cache(maxsize=2)  # units follow each other, so that a packed array is unpacked once
def _member(path: Path, name: str, mtime: int) -> _Member:
    return _Member(path, name)


def _open(path: Path, name: str) -> _Member:
    return _member(path, name, path.stat().st_mtime_ns)


def _npy_rows(path: Path, first: int, last: int) -> npt.NDArray[Any]:
    with opened(path) as stream:
        header = _header(stream, str(path))
        size = _row_bytes(header)
        stream.seek(header.start + first * size)
        data = stream.read((last - first) * size)
    if len(data) < (last - first) * size:
        raise DataError(f"{path} is cut off")
    return np.frombuffer(data, header.dtype).reshape(last - first, *header.shape[1:])


def _npy_header(path: Path) -> Header:
    with opened(path) as stream:
        header = _header(stream, str(path))
        size = stream.seek(0, io.SEEK_END)
    if header.shape[0] * _row_bytes(header) + header.start > size:
        raise DataError(f"{path} declares {header.shape}, more than it holds (is it cut off?)")
    return header


def _labels(path: Path, count: int) -> list[tuple[str, int | None]]:
    """Name and label of each clip of an ``.npy``, from the pickle next to it."""
    stem = re.sub(r"(?i)(_?data(_joint)?)?\.npy$", "", bare(path).name)
    file = next_to(path.parent, f"{stem}_label.pkl") or next_to(path.parent, "label.pkl")
    if file is None:
        return [(f"{stem}_{i:06d}", None) for i in range(count)]
    try:
        names, labels = _pickle.load(io.BytesIO(read_bytes(file)))[:2]
        numbers = _pickle.numbers(labels).ravel().tolist()
        texts = [str(n).rsplit(".", 1)[0] for n in (names if isinstance(names, list | tuple) else [])]
    except DataError:
        raise
    except Exception as error:  # a damaged pickle may raise anything, and nothing here has side effects
        raise DataError(f"{file} is no pickle of names and labels ({error!s:.80})") from error
    if len(numbers) != count or len(texts) != count:
        raise DataError(
            f"{file} has {len(texts)} names and {counted(len(numbers), 'label')} for {counted(count, 'clip')} of "
            f"{path.name}"
        )
    return [(text, int(number)) for text, number in zip(texts, numbers, strict=True)]


def _skeleton(joints: int, options: Options, where: object) -> Skeleton:
    if options.skeleton is None and joints not in LAYOUTS:
        raise DataError(
            f"{where} has {counted(joints, 'joint')}; layouts are known for {', '.join(map(str, LAYOUTS))}: use "
            f"--skeleton"
        )
    skeleton = layouts.get(options.skeleton or LAYOUTS[joints])
    if len(skeleton) != joints:
        raise DataError(f"{where} has {counted(joints, 'joint')}, layout {skeleton.name!r} has {len(skeleton)}")
    return skeleton


def _npy_units(path: Path, name: str) -> tuple[list[Unit], tuple[int, ...]]:
    header = _npy_header(path)
    if len(header.shape) != 5 or header.shape[1] not in (2, 3):
        raise DataError(f"{path}: an array of shape {header.shape} instead of (N, 2 or 3, T, V, M)")
    clips = _labels(path, header.shape[0])
    side = next((s for s in ("train", "val", "test") if s in path.name.lower()), None)
    units = []
    for first in range(0, len(clips), BLOCK):
        last = min(first + BLOCK, len(clips))
        detail = {"rows": (first, last), "clips": clips[first:last], "side": side, "array": None}
        units.append(Unit(f"{name} [{first}:{last}]", path, detail))
    return units, (header.shape[1], header.shape[3], header.shape[4])


def _npz_units(path: Path, name: str) -> tuple[list[Unit], tuple[int, ...]]:
    units: list[Unit] = []
    joints = 0
    for side in ("train", "test"):
        try:
            header = _open(path, f"x_{side}").header
        except DataError:
            continue
        if len(header.shape) != 3 or header.shape[2] % (NTU_PEOPLE * 3):
            raise DataError(f"{path}: x_{side} of shape {header.shape} instead of (N, T, 2·V·3)")
        joints = header.shape[2] // (NTU_PEOPLE * 3)
        answers = _open(path, f"y_{side}")
        if answers.header.shape[0] != header.shape[0] or len(answers.header.shape) > 2:
            raise DataError(f"{path}: y_{side} of shape {answers.header.shape} for {counted(header.shape[0], 'clip')}")
        given = answers.rows(0, header.shape[0])
        labels = (given.argmax(axis=1) if given.ndim == 2 else given).astype(np.int64).tolist()
        for first in range(0, len(labels), BLOCK):
            last = min(first + BLOCK, len(labels))
            clips = [(f"{side}_{i:06d}", labels[i]) for i in range(first, last)]
            detail = {"rows": (first, last), "clips": clips, "side": side, "array": f"x_{side}"}
            units.append(Unit(f"{name} {side} [{first}:{last}]", path, detail))
    if not units:
        raise DataError(f"{path} has neither x_train and y_train nor x_test and y_test")
    return units, (3, joints, NTU_PEOPLE)


def discover(source: Path, options: Options) -> Plan:
    files = [
        p
        for p in find_files(source, r".+\.(npy|npz)", what="arrays of ST-GCN or CTR-GCN (*_data_joint.npy, *.npz)")
        if not bare(p).name.lower().endswith(("_bone.npy", "_motion.npy"))  # made of the joints
    ]
    units: list[Unit] = []
    shapes = {}
    for path in files:
        name = path.name if path == source else path.relative_to(source).as_posix()
        found, shapes[name] = (_npz_units if bare(path).suffix.lower() == ".npz" else _npy_units)(path, name)
        units += found
    distinct = set(shapes.values())
    if len(distinct) != 1:
        raise DataError(f"{source} holds arrays of different kinds: {', '.join(f'{n} {s}' for n, s in shapes.items())}")
    channels, joints, people = distinct.pop()
    sides = {u.detail["side"] for u in units} - {None}
    other = next((s for s in ("val", "test") if s in sides), None)
    flat = joints in FLAT or channels == 2
    return Plan(
        units=units,
        skeleton=_skeleton(joints, options, files[0]),
        persons=people,
        fps=options.fps,
        measure="shares of the picture" if flat else "m",
        channels=("x", "y") if flat else ("x", "y", "z"),
        licence=options.licence,
        confidence=flat and channels == 3,
        light=True,
        facts={"split": f"column:split=train,{other}" if other and "train" in sides else "odd-even"},
    )


def _frames(unit: Unit) -> npt.NDArray[np.float32]:
    """(N, T, M, V, C) of the clips of a unit."""
    first, last = unit.detail["rows"]
    if unit.detail["array"] is None:
        return _npy_rows(unit.path, first, last).transpose(0, 2, 4, 3, 1).astype(np.float32)
    flat = _open(unit.path, unit.detail["array"]).rows(first, last)
    return flat.reshape(*flat.shape[:2], NTU_PEOPLE, -1, 3).astype(np.float32)


def _clip(name: str, label: int | None, side: str | None, frames: npt.NDArray[np.float32]) -> RawClip:
    columns: dict[str, Any] = {"label": label, "split": side}
    found = _NTU.search(name)
    if found:
        columns |= dict(zip(("setup", "camera", "subject", "repetition"), map(int, found.groups()[:4]), strict=True))
    there = np.flatnonzero(frames.any(axis=(1, 2, 3)))
    if not len(there):
        raise DataError(f"{name}: nobody is in any of its frames")
    frames = frames[: there[-1] + 1]
    if frames.shape[2] in FLAT and frames.shape[3] == 3:
        sure = frames[..., 2].clip(0, None)
        return RawClip(name, np.where(sure[..., None] > 0, frames[..., :2], 0), sure, columns)
    return RawClip(name, frames, columns=columns)


def read(unit: Unit, options: Options) -> Sequence[RawClip]:
    frames = _frames(unit)
    if not np.isfinite(frames).all():
        raise DataError(f"{unit.path}: a clip of {unit.name} holds NaN or infinity")
    side = unit.detail["side"]
    return [_clip(n, label, side, f) for (n, label), f in zip(unit.detail["clips"], frames, strict=True)]


FORMAT = Format(
    description="arrays of ST-GCN, 2s-AGCN (.npy) and CTR-GCN (.npz)", options=Options, discover=discover, read=read
)
