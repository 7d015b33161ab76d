"""The arrays of the compact layout (:mod:`motet.data.formats.npz`), checked as they are read."""

from __future__ import annotations

import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import DataError
from motet.core.text import counted, printable
from motet.data.columns import LONGEST_TEXT, STRUCTURE, WORDS
from motet.data.formats import _intervals
from motet.data.formats._files import bare, check_unpacked, opened, version
from motet.data.formats._names import subject_numbers
from motet.data.formats.base import Column

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]

KNOWN = {"pos", "pos_mm", "offset", "joint_names", "parents", "fps", "label", "subject", "view", "rep"}
KNOWN |= {"licence", "name", "frame_label", "confidence", "unit", "kind", "up", "right_handed", "column_titles"}
KNOWN |= {*_intervals.NAMES}
"""arrays that are no column of the clips."""
ABSENT = -(2**63)
"""a whole number of a column that is not known."""
_LAST_LETTER = 0x10FFFF  # of Unicode


def load_arrays(path: Path) -> Arrays:
    """Every array of an ``.npz``; nothing is unpickled.

    Raises:
        DataError: not an ``.npz``, cut off, damaged, or an array whose header promises more than the file holds.
    """
    return _load(path, *version(path))


@lru_cache(maxsize=1)  # clips are units of their own, so that one bad clip can be skipped; the file is read once
def _load(path: Path, mtime: int, size: int) -> Arrays:
    try:
        with opened(path) as file, zipfile.ZipFile(file) as archive:
            found = {}
            for member in archive.infolist():
                if member.filename.endswith(".npy"):
                    with archive.open(member) as stream:
                        found[member.filename.removesuffix(".npy")] = _read_array(stream, member, path)
            return found
    except DataError:
        raise
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, struct.error) as error:
        raise DataError(f"{path} is no complete .npz file ({error})") from error
    except Exception as error:  # numpy's reader of headers lets all sorts of errors out
        raise DataError(f"{path} is no .npz file that can be read ({error!s:.100})") from error


def _read_array(stream: IO[bytes], member: zipfile.ZipInfo, path: Path) -> Array:
    major, minor = np.lib.format.read_magic(stream)
    if (major, minor) not in ((1, 0), (2, 0)):
        raise ValueError(f"array version {major}.{minor}")
    read_header = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of headers that another version wrote
        shape, fortran, dtype = read_header(stream)
    if dtype.hasobject:
        raise DataError(f"{path}: array {member.filename!r} holds Python objects, which are not read")
    count = 1
    for extent in shape:
        count *= int(extent)  # Python integers: a product that overflows must not look small
    check_unpacked(path, member.compress_size, member.file_size)
    if min(shape, default=0) < 0 or count * dtype.itemsize > member.file_size:
        raise DataError(f"{path}: array {member.filename!r} declares shape {shape}, more than the file holds")
    data = stream.read(count * dtype.itemsize)
    if len(data) != count * dtype.itemsize:
        raise DataError(f"{path}: array {member.filename!r} is cut off")
    found = np.ndarray(shape, dtype, data, order="F" if fortran else "C")
    if (
        dtype.kind == "U"
        and found.size
        and (np.frombuffer(data, dtype.byteorder.replace("=", "<") + "u4") > _LAST_LETTER).any()
    ):
        raise DataError(f"{path}: array {member.filename!r} holds what is no text")
    return found


class Compact:
    """The arrays of a file, checked as they are asked for."""

    def __init__(self, path: Path) -> None:
        self.path, self.stem, self.arrays = path, bare(path).stem, load_arrays(path)
        self.clips = len(self.offsets("offset", len(self.positions()))) - 1

    def fail(self, what: str) -> DataError:
        return DataError(f"{self.path}: {what}")

    def positions(self) -> Array:
        for name in ("pos", "pos_mm"):
            if name in self.arrays:
                found = self.arrays[name]
                if found.ndim not in (3, 4) or found.dtype.kind not in "fiu" or 0 in found.shape[1:]:
                    raise self.fail(f"array {name!r} is {found.dtype} {found.shape}, not numbers (frames, V, C)")
                return found
        stamps = (n for n in self.arrays if f"{n}_offset" in self.arrays and f"{n}_time_ms" in self.arrays)
        hint = "".join(f", but a sensor {n!r}; `motet data import streams` reads it" for n in sorted(stamps)[:1])
        raise self.fail(f"it has neither an array 'pos' nor 'pos_mm'{hint}")

    def offsets(self, name: str, rows: int) -> npt.NDArray[np.int64]:
        found = self.arrays.get(name)
        if found is None:
            raise self.fail(f"array {name!r} is missing")
        if found.ndim != 1 or len(found) < 2 or found.dtype.kind not in "iu":
            raise self.fail(f"array {name!r} is {found.dtype} {found.shape}, not (clips + 1,) integers")
        offsets = found.astype(np.int64)
        if offsets[0] < 0 or (np.diff(offsets) < 0).any() or offsets[-1] > rows:
            raise self.fail(f"array {name!r} does not rise from 0 to the {counted(rows, 'row')} there are")
        return offsets

    def names(self, name: str) -> list[str]:
        found = self.arrays.get(name)
        if found is None:
            return []
        if found.ndim != 1 or found.dtype.kind not in "US":
            raise self.fail(f"array {name!r} is {found.dtype} {found.shape}, not a list of texts")
        return [str(n.decode("utf-8", "replace") if isinstance(n, bytes) else n) for n in found.tolist()]

    def text(self, name: str) -> str | None:
        """One text, None if there is none."""
        found = self.arrays.get(name)
        if found is None:
            return None
        if found.ndim or found.dtype.kind != "U":
            raise self.fail(f"array {name!r} is {found.dtype} {found.shape}, not one text")
        return printable(str(found)[:LONGEST_TEXT])

    def number(self, name: str) -> float | None:
        found = self.arrays.get(name)
        if found is None:
            return None
        if found.size != 1 or found.dtype.kind not in "fiu" or not 0 < float(found.reshape(())) < 1e6:
            raise self.fail(f"array {name!r} must be one positive number")
        return float(found.reshape(()))

    def per_clip(self, name: str) -> list[Any] | None:
        """Plain values of an (N,) array of numbers, truth values or texts; None if there is none."""
        found = self.arrays.get(name)
        if found is None:
            return None
        if found.shape != (self.clips,) or found.dtype.kind not in "fiubUS":
            raise self.fail(f"array {name!r} is {found.dtype} {found.shape}, not a value for each clip")
        return [_plain(v) for v in found.tolist()]

    def index(self, name: str, names: Sequence[str]) -> list[int | None] | None:
        """An (N,) array of indices into ``names``; -1 becomes None."""
        values = self.per_clip(name)
        if values is None:
            return None
        for clip, value in enumerate(values):
            if not isinstance(value, int) or value < -1 or (names and value >= len(names)):
                known = f"an index below {len(names)}" if names else "a whole number"
                raise self.fail(f"array {name!r} says {value!r} for clip {clip}, which is not {known}")
        return [None if v == -1 else v for v in values]

    def columns(self) -> list[dict[str, Column]]:
        """Columns of every clip."""
        rows: list[dict[str, Column]] = [{} for _ in range(self.clips)]

        def fill(column: str, values: Sequence[Column] | None) -> None:
            for row, value in zip(rows, values or (), strict=False):
                row[column] = value

        fill("label", self.index("label", self.names("class_names")))
        people, views = self.names("subject_names"), self.names("view_names")
        view = self.index("view", views)
        given = self.per_clip("subject")
        if given and not people and isinstance(given[0], str):  # people by name, not by index
            people = list(dict.fromkeys(given))
            subject: list[int | None] | None = [people.index(p) for p in given]
        else:
            subject = self.index("subject", people)
        if subject is not None:
            numbers = subject_numbers(people)
            fill("subject", [None if s is None else numbers[s] if people else s for s in subject])
            if people:
                fill("subject_name", [None if s is None else people[s] for s in subject])
        if view is not None:
            fill("camera", view)
            if views:
                fill("view", [None if v is None else views[v] for v in view])
        repetition = self.per_clip("rep")
        if repetition is not None:
            fill("repetition", [_number(r) for r in repetition])
            if any(isinstance(r, str) and not r.isdecimal() for r in repetition):
                fill("rep", repetition)
        for name, column in self.extras():
            if column in (*STRUCTURE, *WORDS):
                raise self.fail(f"array {column!r} cannot be a column: every archive has one of that name; rename it")
            kinds = self.names(f"{name}_names")
            values = self.index(name, kinds) if f"{name}_names" in self.arrays else self.per_clip(name)
            fill(column, [None if v is None else kinds[v] for v in values] if kinds and values else values)
        return rows

    def tracks(self, clip: int) -> dict[str, Sequence[str | Mapping[str, Any] | None]]:
        """Labels along time of one clip by track."""
        count, names = len(self.positions()), self.names("class_names")
        return {
            **_intervals.intervals(self.arrays, clip, self.clips, self.fail),
            **_intervals.frames(self.arrays, clip, count, names, self.fail),
        }

    def clip_names(self) -> list[str]:
        """Names of the clips: those of the array ``name``, else their numbers.

        Raises:
            DataError: not one text for each clip, or one twice.
        """
        stated = self.names("name")
        if not stated:
            return [f"{self.stem}_{i:05d}" for i in range(self.clips)]
        if len(stated) != self.clips or len(set(stated)) < self.clips or not all(stated):
            distinct = len({*stated} - {""})
            raise self.fail(f"array 'name' has {distinct} distinct names for {counted(self.clips, 'clip')}")
        return stated

    def confidence(self) -> Array | None:
        """(frames, [P,] V) how sure each joint is, if the file says it.

        Raises:
            DataError: another shape, or not finite.
        """
        found = self.arrays.get("confidence")
        if found is None:
            return None
        if found.shape != self.positions().shape[:-1] or found.dtype.kind not in "fiub":
            raise self.fail(f"array 'confidence' is {found.dtype} {found.shape}, not one number for each joint")
        if not np.isfinite(found).all():
            raise self.fail("array 'confidence' holds NaN or infinity")
        return found.astype(np.float32)

    def extras(self) -> list[tuple[str, str]]:
        """Arrays with one value a clip that are not part of the layout itself, each with the column that it is."""
        titles, found = self.names("column_titles"), []
        for name, array in self.arrays.items():
            if name in KNOWN or array.shape != (self.clips,):
                continue
            if name.endswith("_names") or f"{name}_offset" in self.arrays:
                continue
            number = re.fullmatch(r"column_(\d{1,6})", name)
            titled = number is not None and int(number[1]) < len(titles)
            found.append((name, titles[int(number[1])] if number is not None and titled else name))
        return found


def own_array(name: str, arrays: Collection[str]) -> bool:
    """Whether a column can be an array of its own name next to ``arrays``; else it is ``column_<k>`` with a title."""
    taken = {*KNOWN, *arrays, "file", "allow_pickle"}  # the last two are arguments of numpy.savez
    sound = re.fullmatch(r"[^\W\d_]\w*", name) and not re.search(r"_(names|offset)$|^column_\d+$", name)
    return bool(sound) and not {name, f"{name}_names", f"{name}_offset"} & taken


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, bool):
        return int(value)
    if value == ABSENT and isinstance(value, int):
        return None
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _number(value: Any) -> int | None:
    digits = re.search(r"\d{1,9}", str(value), re.ASCII)
    return int(digits[0]) if digits else None
