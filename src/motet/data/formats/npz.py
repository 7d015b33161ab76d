"""The compact layout: a whole set of clips in one ``.npz``.

==================  =============================================================================================
``pos``             (sum of lengths, V, C), or (…, P, V, C) for several persons: coordinates in metres
``pos_mm``          instead of ``pos``: the same as integers, in millimetres
``offset``          (N + 1,) integers; clip i is ``pos[offset[i]:offset[i + 1]]``
``joint_names``     (V,) text
``parents``         (V,) integers, -1 = root; optional where the joint names are those of a built-in layout
``fps``             frames per second, optional
``label``           (N,) integers into ``class_names``, -1 = unknown; optional, like everything below
``subject``         (N,) integers into ``subject_names``, or the names themselves
``view``            (N,) integers into ``view_names``; becomes the camera number and, by name, the column ``view``
``rep``             (N,) repetition, number or text
``frame_label``     (sum of lengths,) integers into ``class_names``, -1 = unlabelled: labels along time, which become
                    the track ``labels``
``interval_track``  (M,) texts, the label track of each interval, with ``interval_clip`` (which clip, from 0),
                    ``interval_start`` and ``interval_end`` in seconds, ``interval_label``, and if known
                    ``interval_rater`` ("" = unknown) and ``interval_certainty`` (NaN = unknown)
``name``            (N,) texts, the names of the clips; ``source`` (N,) texts, where each comes from
``confidence``      (sum of lengths, V), or (…, P, V): how sure each joint is
``licence``         text
any other (N,)      a column of its own; a number if ``<name>_names`` does not exist, else that name
``<s>``             (sum of lengths, 6) acceleration and angular rate of a sensor that recorded next to the skeletons,
                    with its own ``<s>_offset`` (nothing between two offsets: absent) and ``<s>_fps``
``<s>_<node>``      (sum of lengths, 3) with ``<s>_<node>_offset`` and ``…_time`` in seconds: likewise, the nodes
                    ``accelerometer`` and ``gyroscope`` each with its own times
==================  =============================================================================================
"""

from __future__ import annotations

import dataclasses
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError, MotetNote
from motet.core.text import counted
from motet.data import layouts
from motet.data.columns import STRUCTURE, WORDS, path_name
from motet.data.convert import estimate_handedness, estimate_up
from motet.data.formats import _intervals, _layout
from motet.data.formats._axes import Up
from motet.data.formats._files import bare, check_unpacked, find_files, opened, version
from motet.data.formats._names import subject_numbers
from motet.data.formats._sensors import join_nodes, note_pauses
from motet.data.formats._time import in_seconds
from motet.data.formats.base import Column, Format, Plan, RawClip, SensorPlan, Unit
from motet.data.skeletons import Skeleton

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]

_KNOWN = {"pos", "pos_mm", "offset", "joint_names", "parents", "fps", "label", "subject", "view", "rep"}
_KNOWN |= {"licence", "name", "frame_label", "confidence", *_intervals.NAMES}
_LAST_LETTER = 0x10FFFF  # of Unicode
_PROBED_FRAMES = 2000  # enough to see which way is up


@dataclass(frozen=True)
class Options:
    """Options of the ``npz`` format.

    Attributes:
        sensor: import this accompanying sensor (its prefix in the file, e.g. ``inertial`` or ``watch``) instead of
            the skeletons.
        sensor_fps: rate to which sensor nodes with their own times are brought (linear interpolation).
        up: axis that points up; ``auto`` sees it in the recordings, and takes the layout's where it cannot.
        right_handed: whether the axes form a right-handed frame; by default as the recordings show (the feet point
            forward), and takes the layout's where it cannot.
        licence: terms of the recordings, if the file does not tell.
    """

    sensor: str | None = None
    sensor_fps: float = 50.0
    up: Up = "auto"
    right_handed: bool | None = None
    licence: str = "unknown"


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


class _Set:
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
        for name in self.extras():
            if name in (*STRUCTURE, *WORDS):
                raise self.fail(f"array {name!r} cannot be a column: every archive has one of that name; rename it")
            kinds = self.names(f"{name}_names")
            values = self.index(name, kinds) if kinds else self.per_clip(name)
            fill(name, [None if v is None else kinds[v] for v in values] if kinds and values else values)
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

    def extras(self) -> list[str]:
        """Arrays with one value a clip that are not part of the layout itself."""
        return [
            n
            for n, a in self.arrays.items()
            if n not in _KNOWN
            and a.shape == (self.clips,)
            and n + "_offset" not in self.arrays
            and not n.endswith("_names")
        ]


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, bool):
        return int(value)
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _number(value: Any) -> int | None:
    digits = re.search(r"\d{1,9}", str(value), re.ASCII)
    return int(digits[0]) if digits else None


def skeleton_of(found: _Set, options: Options) -> Skeleton:
    """Built-in layout with these joint names, or one made of names and parents; axes as the recordings show them."""
    joints = found.names("joint_names")
    count = found.positions().shape[-2]
    _layout.check_joints(count, found.path)
    if len(joints) != count:
        raise found.fail(f"{len(joints)} joint names for {counted(count, 'joint')}")
    skeleton = layouts.match(joints)
    parents = found.arrays.get("parents")
    if skeleton is not None and parents is not None:
        _check_parents(found, skeleton, parents)
    if skeleton is None:
        if parents is None:
            skeleton = _layout.of_names(joints, found.path, prefix=found.stem, remedy="an array 'parents' or a")
        elif parents.shape != (count,) or parents.dtype.kind not in "iu":
            raise found.fail(f"no built-in layout has these joint names, and 'parents' is not ({count},) integers")
        else:
            try:
                skeleton = layouts.build(f"{found.stem}-{count}", joints, [int(p) for p in parents])
            except ConfigError as error:
                raise found.fail(str(error)) from error
    positions = found.positions()
    sample = positions[:: max(1, len(positions) // _PROBED_FRAMES)]
    sample = sample[np.isfinite(sample).all(axis=tuple(range(1, sample.ndim)))]
    up = (estimate_up(sample, skeleton) or skeleton.up) if options.up == "auto" else options.up
    handed = options.right_handed
    if handed is None:
        seen = estimate_handedness(sample, skeleton)
        handed = skeleton.right_handed if seen is None else seen
    return dataclasses.replace(skeleton, up=up, right_handed=handed)


def _check_parents(found: _Set, skeleton: Skeleton, parents: Array) -> None:
    """Refuse ``parents`` that are no tree, and note those that are another tree than the layout's."""
    if parents.shape != (len(skeleton),) or parents.dtype.kind not in "iu":
        raise found.fail(f"'parents' is {parents.dtype} {parents.shape}, not ({len(skeleton)},) integers")
    theirs = [-1 if p == joint else int(p) for joint, p in enumerate(parents.tolist())]
    try:
        layouts.build(found.stem, skeleton.joints, theirs)
    except ConfigError as error:
        raise found.fail(f"'parents' is no tree ({error})") from error
    ours = [-1 if p == joint else p for joint, p in enumerate(skeleton.parents)]
    other = [skeleton.joints[j] for j, (a, b) in enumerate(zip(theirs, ours, strict=True)) if a != b]
    if other:
        warnings.warn(
            f"{found.path}: 'parents' differs from the built-in layout {skeleton.name}, whose bones are used (parent "
            f"of {', '.join(other[:5])}{' …' if len(other) > 5 else ''})",
            MotetNote,
            stacklevel=3,
        )


def discover(source: Path, options: Options) -> Plan:
    files = find_files(source, r"(?i).+\.npz", what="compact sets (*.npz)")
    if len(files) > 1:
        raise DataError(f"{source} holds {len(files)} .npz files; import one at a time, e.g. {files[0]}")
    path = files[0]
    found = _Set(path)
    columns, names = found.columns(), found.clip_names()
    certain = found.confidence() is not None and options.sensor is None
    licence = found.arrays.get("licence")
    stated = str(licence) if licence is not None and licence.ndim == 0 and licence.dtype.kind == "U" else ""
    skeleton = skeleton_of(found, options) if options.sensor is None else layouts.get("imu-2")
    names = found.clip_names()
    numbers = {c.get("subject") for c in columns}
    parities = {n % 2 for n in numbers if isinstance(n, int)}
    facts: dict[str, Any] = {"split": "odd-even" if len(parities) == 2 else "random:0.3@0"}
    clips: Sequence[int] = range(found.clips)
    fps = found.number("fps")
    if options.sensor is not None:
        clips, fps = _sensor_clips(found, options.sensor, options)
        facts["without_sensor"] = found.clips - len(clips)
    counts = {} if options.sensor is not None else {s: _sensor_clips(found, s, options)[1] for s in _sensors(found)}
    positions = found.positions()
    channels = ("x", "y", "z") if options.sensor is not None else _channels(found, positions.shape[-1])
    return Plan(
        units=[Unit(names[i], path, {"clip": i, "columns": columns[i]}) for i in clips],
        skeleton=skeleton,
        light=True,
        persons=positions.shape[1] if positions.ndim == 4 and options.sensor is None else 1,
        fps=fps,
        measure="m" if options.sensor is None else "as recorded",
        channels=channels,
        class_names=tuple(found.names("class_names")),
        confidence=certain,
        licence=stated or options.licence,
        facts=facts,
        sensors={s: SensorPlan(layouts.get("imu-2"), rate, "as recorded") for s, rate in counts.items()},
    )


def _channels(found: _Set, count: int) -> tuple[str, ...]:
    if count not in (2, 3):
        raise found.fail(f"{counted(count, 'coordinate')} a joint; 2 or 3 are read")
    return ("x", "y", "z")[:count]


def _nodes(found: _Set, prefix: str) -> tuple[str, ...]:
    """Arrays of a sensor: one with six columns, or one with three columns for each node of the sensor layout."""
    whole = found.arrays.get(prefix)
    if whole is not None and whole.ndim == 2 and whole.shape[1] == 6 and whole.dtype.kind in "fiu":
        return (prefix,)
    nodes = tuple(f"{prefix}_{joint}" for joint in layouts.get("imu-2").joints)
    for name in nodes:
        array, time = found.arrays.get(name), found.arrays.get(f"{name}_time")
        if array is None or array.ndim != 2 or array.shape[1] != 3 or array.dtype.kind not in "fiu":
            known = sorted({n.removesuffix("_offset") for n in found.arrays if n.endswith("_offset")})
            raise ConfigError(
                f"{found.path} has no sensor {prefix!r}: neither {prefix!r} (rows, 6) nor {name!r} (rows, 3); "
                f"it has {', '.join(known) or 'no sensors'} (a sensor is named without _accelerometer or _gyroscope)"
            )
        if time is None or time.shape != array.shape[:1] or time.dtype.kind != "f":
            raise found.fail(f"array '{name}_time' is missing or not ({len(array)},) seconds")
    return nodes


def _sensors(found: _Set) -> list[str]:
    """Prefixes of the sensors that recorded next to the skeletons."""
    prefixes = []
    for name in (n.removesuffix("_offset") for n in found.arrays if n.endswith("_offset")):
        values = found.arrays.get(name)
        node = next((j for j in layouts.get("imu-2").joints if name.endswith(f"_{j}")), None)
        if values is not None and values.ndim == 2 and values.shape[1] in (3, 6):
            prefix = name if node is None else name.removesuffix(f"_{node}")
            prefixes.append(path_name(prefix, f"{found.path}: a sensor"))
    return list(dict.fromkeys(prefixes))


def _sensor_clips(found: _Set, prefix: str, options: Options) -> tuple[list[int], float | None]:
    """Clips during which the sensor recorded, and its rate."""
    if options.sensor_fps <= 0:
        raise ConfigError(f"sensor_fps must be positive, not {options.sensor_fps}")
    nodes = _nodes(found, prefix)
    lengths = []
    for name in nodes:
        lengths.append(np.diff(found.offsets(f"{name}_offset", len(found.arrays[name]))))
        if len(lengths[-1]) != found.clips:
            raise found.fail(f"array '{name}_offset' is for {len(lengths[-1])} of {counted(found.clips, 'clip')}")
        if len(nodes) > 1:
            note_pauses(f"{found.path}, {name}", [_stamps(found, name, i) for i in range(found.clips)])
    clips = [i for i in range(found.clips) if any(n[i] for n in lengths)]
    if not clips:
        raise found.fail(f"the sensor {prefix!r} recorded nothing")
    return clips, options.sensor_fps if len(nodes) > 1 else found.number(f"{nodes[0]}_fps")


def _sensor_frames(found: _Set, prefix: str, clip: int, options: Options) -> npt.NDArray[np.float32]:
    """(T, 2, 3): acceleration and angular rate; a node that did not record is zero; T is 0 if neither did."""
    nodes = _nodes(found, prefix)
    rows = [slice(*found.arrays[f"{n}_offset"][clip : clip + 2].tolist()) for n in nodes]
    if len(nodes) == 1:
        return found.arrays[nodes[0]][rows[0]].reshape(-1, 2, 3).astype(np.float32)
    values = [found.arrays[n][r].astype(np.float64) for n, r in zip(nodes, rows, strict=True)]
    return join_nodes([_stamps(found, n, clip) for n in nodes], values, options.sensor_fps)


def _stamps(found: _Set, node: str, clip: int) -> npt.NDArray[np.float64]:
    """Seconds of the samples of a node in a clip."""
    times = found.arrays[f"{node}_time"][slice(*found.arrays[f"{node}_offset"][clip : clip + 2].tolist())]
    if not np.isfinite(times).all():
        raise found.fail(f"array '{node}_time' is NaN or infinite in clip {clip}")
    return in_seconds(times.astype(np.float64), f"{node}_time", found.path)


def read(unit: Unit, options: Options) -> list[RawClip]:
    found = _Set(unit.path)
    clip: int = unit.detail["clip"]
    if options.sensor is not None:
        frames: Array = _sensor_frames(found, options.sensor, clip, options)
        sensors, certain = {}, None
    else:
        positions = found.positions()
        frames = positions[slice(*found.arrays["offset"][clip : clip + 2].tolist())]
        if "pos" not in found.arrays:
            frames = frames.astype(np.float32) / 1000
        sensors = {s: _sensor_frames(found, s, clip, options) for s in _sensors(found)}
        sure = found.confidence()
        certain = None if sure is None else sure[slice(*found.arrays["offset"][clip : clip + 2].tolist())]
    columns = {"source": unit.path.name, **unit.detail["columns"]}
    tracks = found.tracks(clip) if options.sensor is None else {}
    return [RawClip(unit.name, frames, certain, columns=columns, sensors=sensors, tracks=tracks)]


FORMAT = Format(description="many clips in one .npz", options=Options, discover=discover, read=read, example="set.npz")
