"""MotionArchive: clips of any length, end to end in one memory-mapped array.

A directory with three files (and a fourth where the source has confidences)::

    archive.json      skeleton, units, fps, class names, provenance, licence, version and digests
    clips.parquet     one row a clip: name, offset, length, persons, label, subject, …, sha256
    frames.npy        (sum of lengths, P, V, C), float32 or float16; an absent person or joint is zero
    confidence.npy    (sum of lengths, P, V), same dtype, optional
    sensors/NAME/     an archive of the sensor NAME that recorded beside the skeletons, optional
    tracks/           labels along time, which may be edited later: see motet.data.tracks

A sensor beside the skeletons (inertial, a watch …) has its own rate and its own number of samples, so it is an archive
of its own inside; its clips have the names of the clips beside which they were recorded, and a clip that the sensor
did not record is absent from it.

It is written to a temporary name beside its destination and renamed when complete, and never changed in place.
"""

from __future__ import annotations

import glob
import hashlib
import itertools
import json
import os
import shutil
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from motet._version import __version__
from motet.core.errors import ConfigError, DataError
from motet.data import tracks
from motet.data.clip_table import COLUMNS as COLUMNS
from motet.data.clip_table import check_table
from motet.data.clip_table import table as make_table
from motet.data.columns import MOST_PERSONS, check_columns, check_meta, path_name, printable
from motet.data.skeletons import Skeleton

ARCHIVE_VERSION = 1
_WRITERS = itertools.count()
Float = npt.NDArray[np.floating[Any]]


def _digest(*parts: bytes) -> str:
    sha = hashlib.sha256()
    for part in parts:
        sha.update(part)
    return sha.hexdigest()


def _canonical(meta: Mapping[str, Any]) -> bytes:
    return json.dumps(meta, sort_keys=True, separators=(",", ":")).encode()


def clip_digest(frames: Float, confidence: Float | None = None) -> str:
    """SHA-256 of one clip's stored bytes, shape and dtype included."""
    parts = [f"{frames.dtype.str}{frames.shape}".encode(), np.ascontiguousarray(frames).tobytes()]
    if confidence is not None:
        parts.append(np.ascontiguousarray(confidence).tobytes())
    return _digest(*parts)


_HEADER = 128  # bytes of an .npy header as written here


def _npy_header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    text = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': {shape}, }}"
    body = text.encode().ljust(_HEADER - 11) + b"\n"
    return b"\x93NUMPY\x01\x00" + (_HEADER - 10).to_bytes(2, "little") + body


class _NpyStream:
    """An .npy file that grows row by row; the header is finished on close."""

    def __init__(self, path: Path, row_shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.row_shape, self.dtype, self.rows = row_shape, dtype, 0
        self._file = path.open("wb")
        self._file.write(_npy_header(self.dtype, (self.rows, *self.row_shape)))

    def append(self, rows: Float) -> None:
        self._file.write(np.ascontiguousarray(rows, dtype=self.dtype).tobytes())
        self.rows += len(rows)

    def close(self) -> None:
        if self._file.closed:
            return
        self._file.seek(0)
        self._file.write(_npy_header(self.dtype, (self.rows, *self.row_shape)))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


@dataclass(frozen=True)
class Sensor:
    """What recorded beside the skeletons.

    Attributes:
        skeleton: its nodes (a layout of kind ``sensor``), e.g. ``imu-2``.
        fps: samples per second, None if unknown.
        measure: unit of the readings, e.g. ``"g, deg/s"``.
        channels: names of the C readings of a node.
    """

    skeleton: Skeleton
    fps: float | None = None
    measure: str = "as recorded"
    channels: tuple[str, ...] = ("x", "y", "z")


def _made_by_training(path: Path) -> bool:
    """Whether a directory is a run of any verb, or weights."""
    try:
        config = json.loads((path / "config.json").read_text())
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "motet" in config


class ArchiveWriter:
    """Writes an archive clip by clip; use it as a context manager.

    Leaving the block without an exception completes the archive and renames it to ``destination``; an exception
    (an interrupt too) removes everything that was written.

    Args:
        destination: directory to create; must not exist unless ``overwrite``.
        skeleton: joint layout of every clip.
        persons: P, the number of person slots; clips with fewer are filled with zeros.
        fps: frames per second of the recordings, None if unknown.
        units: unit of the coordinates (``"m"``, ``"mm"``, ``"px"``, ``"m/s^2"`` …).
        channels: names of the C coordinates.
        class_names: name of each label index.
        source: what was read (format, options, provenance), stored as is.
        licence: terms of the recordings, as far as known.
        simulated: True for data that no sensor recorded; shown wherever the archive appears.
        dtype: ``float32`` or ``float16``.
        confidence: whether clips come with a confidence per joint.
        sensors: what recorded beside the skeletons, by name; one that no clip has is left out of the archive.
    """

    def __init__(
        self,
        destination: str | Path,
        *,
        skeleton: Skeleton,
        persons: int = 1,
        fps: float | None = None,
        units: str = "m",
        channels: Sequence[str] = ("x", "y", "z"),
        class_names: Sequence[str] = (),
        source: Mapping[str, Any] | None = None,
        licence: str = "unknown",
        simulated: bool = False,
        dtype: npt.DTypeLike = np.float32,
        confidence: bool = False,
        sensors: Mapping[str, Sensor] | None = None,
        overwrite: bool = False,
    ) -> None:
        self.destination = Path(destination)
        if self.destination.exists() and not overwrite:
            raise ConfigError(f"{destination} exists already; choose another destination or pass --overwrite")
        if self.destination.exists() and not (self.destination / "archive.json").is_file():
            raise ConfigError(f"{destination} is not an archive, so it is not overwritten; choose another destination")
        if np.dtype(dtype) not in (np.dtype(np.float32), np.dtype(np.float16)):
            raise ConfigError(f"an archive stores float32 or float16, not {np.dtype(dtype)}")
        if not 1 <= persons <= MOST_PERSONS:
            raise ConfigError(f"an archive has 1 to {MOST_PERSONS} person slots, not {persons}")
        for sensor in sensors or {}:
            path_name(sensor, "a sensor")
        if fps is not None and not 0 < fps < float("inf"):
            raise ConfigError(f"fps is {fps}; it must be a positive number, or None if unknown")
        self.skeleton, self.persons, self.channels = skeleton, persons, tuple(channels)
        self.class_names = [printable(str(n)) for n in class_names]
        self._meta: dict[str, Any] = {
            "version": ARCHIVE_VERSION,
            "motet": __version__,
            "skeleton": skeleton.to_dict(),
            "persons": persons,
            "channels": list(channels),
            "units": units,
            "fps": fps,
            "licence": licence,
            "simulated": simulated,
            "source": dict(source or {}),
        }
        self._rows: list[dict[str, Any]] = []
        self._names: set[str] = set()
        self._tracks: dict[str, list[dict[str, Any]]] = {}
        self.destination.parent.mkdir(parents=True, exist_ok=True)
        self._partial = self.destination.parent / f".{self.destination.name}.partial-{next(_WRITERS)}-{os.getpid()}"
        _remove_orphans(self.destination)
        shutil.rmtree(self._partial, ignore_errors=True)
        # an interrupt may come before anybody holds the writer and could abort it
        self._remove = weakref.finalize(self, shutil.rmtree, self._partial, ignore_errors=True)
        self._partial.mkdir()
        row = (persons, len(skeleton), len(self.channels))
        self._frames = _NpyStream(self._partial / "frames.npy", row, np.dtype(dtype))
        self._confidence = (
            _NpyStream(self._partial / "confidence.npy", row[:2], np.dtype(dtype)) if confidence else None
        )
        self._sensors = {
            sensor: ArchiveWriter(
                self._partial / "sensors" / sensor,
                skeleton=kind.skeleton,
                fps=kind.fps,
                units=kind.measure,
                channels=kind.channels,
                class_names=class_names,
                source={"sensor": sensor, **(source or {})},
                licence=licence,
                simulated=simulated,
            )
            for sensor, kind in (sensors or {}).items()
        }

    def add(
        self,
        frames: Float,
        *,
        name: str,
        confidence: Float | None = None,
        persons: int | None = None,
        sensors: Mapping[str, Float] | None = None,
        tracks: Mapping[str, Sequence[str | None]] | None = None,
        **columns: Any,
    ) -> None:
        """Append one clip.

        Args:
            frames: (T, P', V, C) with P' ≤ P, or (T, V, C) for one person; finite numbers.
            name: unique name of the clip.
            confidence: (T, P', V) or (T, V), if the archive stores confidences.
            persons: how many of the slots hold a person; counted from the non-zero slots by default.
            sensors: (T', V', C') of each sensor that recorded this clip, at its own rate; absent or empty if none.
            tracks: (T,) label of each frame on each label track, None where it has none.
            **columns: ``label``, ``subject``, ``camera``, ``setup``, ``repetition``, ``source`` and any others.

        Raises:
            DataError: empty clip, wrong shape, values that are not finite, a name seen before, or a sensor that the
                archive was not told of.
        """
        name = printable(name)
        columns = check_columns(name, columns, len(self.class_names))
        frames, stored = self._checked(name, frames)
        certain: Float | None = None
        if self._confidence is not None:
            if confidence is None:
                raise DataError(f"clip {name}: the archive stores confidences but the clip has none")
            given = np.asarray(confidence)
            given = given[:, None] if given.ndim == 2 else given
            if not np.isfinite(given).all():
                raise DataError(f"clip {name}: a confidence is NaN or infinite")
            if given.shape != frames.shape[:3]:
                raise DataError(f"clip {name}: confidence of shape {given.shape} does not fit {frames.shape[:3]}")
            certain = np.zeros(stored.shape[:3], dtype=self._frames.dtype)
            certain[:, : given.shape[1]] = given
        self._add_tracks(name, tracks or {}, len(stored))
        self._add_sensors(name, sensors or {}, columns)
        if self._confidence is not None and certain is not None:
            self._confidence.append(certain)
        if persons is None:
            persons = int(stored.any(axis=(0, 2, 3)).sum())
        self._rows.append(
            {
                "name": name,
                "offset": self._frames.rows,
                "length": len(stored),
                "persons": persons,
                **columns,
                "sha256": clip_digest(stored, certain),
            }
        )
        self._names.add(name)
        self._frames.append(stored)

    def _checked(self, name: str, frames: Float) -> tuple[Float, Float]:
        """Frames with a person axis, and what will be stored of them."""
        frames = np.asarray(frames)
        if frames.ndim == 3:
            frames = frames[:, None]
        want = (len(self.skeleton), len(self.channels))
        if frames.ndim != 4 or frames.shape[2:] != want:
            raise DataError(f"clip {name}: shape {frames.shape} does not fit (T, persons, {want[0]}, {want[1]})")
        if len(frames) == 0:
            raise DataError(f"clip {name}: it has no frames")
        if frames.shape[1] > self.persons:
            raise DataError(f"clip {name}: {frames.shape[1]} persons, the archive has room for {self.persons}")
        if name in self._names:
            raise DataError(f"clip {name}: a clip of that name was added before")
        stored = np.zeros((len(frames), self.persons, *want), dtype=self._frames.dtype)
        with np.errstate(over="ignore"):
            stored[:, : frames.shape[1]] = frames
        if not np.isfinite(stored).all():
            bad = int(np.argwhere(~np.isfinite(stored).all(axis=(1, 2, 3)))[0, 0])
            raise DataError(f"clip {name}, frame {bad}: a coordinate is NaN, infinite or too large for {stored.dtype}")
        return frames, stored

    def _add_sensors(self, name: str, sensors: Mapping[str, Float], columns: Mapping[str, Any]) -> None:
        unknown = sorted(set(sensors) - set(self._sensors))
        if unknown:
            raise DataError(f"clip {name}: the archive was not told of a sensor {unknown[0]!r}")
        recorded = {sensor: samples for sensor, samples in sensors.items() if len(samples)}
        for sensor, samples in recorded.items():  # all are sound before the first is written
            self._sensors[sensor]._checked(f"{name}, sensor {sensor}", samples)
        for sensor, samples in recorded.items():
            self._sensors[sensor].add(samples, name=name, **columns)

    def _add_tracks(self, name: str, given: Mapping[str, Sequence[str | None]], length: int) -> None:
        for track, labels in given.items():
            tracks.check_name(track)
            if len(labels) != length:
                raise DataError(f"clip {name}, track {track}: {len(labels)} labels for {length} frames")
            fps = self._meta["fps"]
            if fps is None:
                raise DataError(f"clip {name}, track {track}: labels along time need a frame rate; state it with --fps")
            self._tracks.setdefault(track, []).extend(tracks.intervals(name, labels, fps))

    def __len__(self) -> int:
        return len(self._rows)

    def close(self) -> MotionArchive:
        """Complete the archive and give it its name."""
        if not self._rows:
            self.abort()
            raise DataError(f"{self.destination}: no clip was written, so there is no archive to make")
        self._frames.close()
        if self._confidence is not None:
            self._confidence.close()
        table = make_table(self._rows)
        table.write_parquet(self._partial / "clips.parquet")
        labels = table["label"].drop_nulls()
        highest = -1 if labels.is_empty() else int(labels.max())  # type: ignore[arg-type]
        if self.class_names and highest >= len(self.class_names):
            self.abort()
            raise DataError(f"{self.destination}: label {highest} has no name among {len(self.class_names)} classes")
        names = self.class_names or [str(i) for i in range(highest + 1)]
        clips_sha = _digest((self._partial / "clips.parquet").read_bytes())
        content = _digest("".join(table["sha256"]).encode(), _canonical(self._meta["skeleton"]))
        meta = {**self._meta, "class_names": names, "clips": len(table), "frames": self._frames.rows}
        meta |= {"clips_sha256": clips_sha, "content_sha256": content}
        recorded = {sensor: writer for sensor, writer in self._sensors.items() if len(writer)}
        for sensor, writer in self._sensors.items():
            if sensor not in recorded:
                writer.abort()
        if self._sensors and not recorded:
            (self._partial / "sensors").rmdir()
        if recorded:
            meta["sensors"] = {sensor: writer.close()._digest for sensor, writer in recorded.items()}
        meta["sha256"] = _digest(_canonical(meta))
        (self._partial / "archive.json").write_text(json.dumps(meta, indent=1) + "\n")
        for track, rows in self._tracks.items():
            tracks.write_track(self._partial / "tracks", track, tracks.table(rows))
        _replace(self._partial, self.destination)
        self._remove.detach()
        return MotionArchive.open(self.destination)

    def abort(self) -> None:
        """Remove what was written."""
        for writer in self._sensors.values():
            writer.abort()
        self._frames.close()
        if self._confidence is not None:
            self._confidence.close()
        self._remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def _remove_orphans(destination: Path) -> None:
    """Remove what writers of the same destination left when they were killed."""
    for path in destination.parent.glob(f".{glob.escape(destination.name)}.partial-*"):
        number = path.name.rsplit("-", 1)[1]
        if number.isdigit() and not _alive(int(number)):
            shutil.rmtree(path, ignore_errors=True)


def _alive(process: int) -> bool:
    if os.name == "nt":  # os.kill would end it there
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _replace(partial: Path, destination: Path) -> None:
    old = destination.parent / f".{destination.name}.old-{os.getpid()}"
    if destination.exists():
        destination.rename(old)
    partial.rename(destination)
    shutil.rmtree(old, ignore_errors=True)


class MotionArchive:
    """An opened archive. Build one with :meth:`open`.

    Attributes:
        path: directory of the archive.
        clips: polars DataFrame, one row a clip; see :data:`COLUMNS`. Unknown values are null.
        skeleton: joint layout.
        frames: (sum of lengths, P, V, C), memory-mapped and read-only.
        confidence: (sum of lengths, P, V) or None.
        fps, units, channels, class_names, licence, source, simulated: as given when it was written.
        hash: digest of all clips and the skeleton; equal hashes mean equal data. Sensors have hashes of their own.
    """

    def __init__(self, path: Path, meta: Mapping[str, Any], clips: pl.DataFrame) -> None:
        self.path, self.clips = path, clips
        self.skeleton = Skeleton.from_dict(meta["skeleton"])
        self.persons = int(meta["persons"])
        self.channels: tuple[str, ...] = tuple(meta["channels"])
        self.units, self.licence = str(meta["units"]), str(meta["licence"])
        self.fps: float | None = meta["fps"]
        self.class_names: list[str] = list(meta["class_names"])
        self.source: dict[str, Any] = dict(meta["source"])
        self.simulated = bool(meta.get("simulated", False))
        self.hash = str(meta["content_sha256"])
        self._digest = str(meta["sha256"])
        self._sensor_digests: dict[str, str] = dict(meta.get("sensors", {}))
        self._offsets: list[int] = clips["offset"].to_list()
        self._digests: list[str] = clips["sha256"].to_list()
        self._lengths: list[int] = clips["length"].to_list()
        self.frames = self._map("frames.npy", int(meta["frames"]), 4)
        self.confidence: Float | None = (
            self._map("confidence.npy", int(meta["frames"]), 3) if (path / "confidence.npy").exists() else None
        )

    @classmethod
    def open(cls, path: str | Path) -> MotionArchive:
        """Open an archive; nothing of the frames is read yet (see :meth:`verify`).

        Raises:
            DataError: not an archive, another version, or metadata that do not match their digests.
        """
        path = Path(path)
        if not path.exists():
            raise DataError(f"{path} does not exist; make an archive with `motet data import` or `motet data simulate`")
        if not (path / "archive.json").exists() and _made_by_training(path):
            raise DataError(
                f"{path} is a run or a folder of weights, not an archive: name the archive of recordings "
                "(`motet data import` makes one)"
            )
        if not (path / "archive.json").exists():
            kind = "npz" if path.suffix == ".npz" else "FORMAT"
            raise DataError(
                f"{path} is not a motion archive; make one of it with `motet data import {kind} {path} DESTINATION`"
            )
        try:
            meta = json.loads((path / "archive.json").read_text())
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise DataError(f"{path} is not a motion archive: archive.json cannot be read ({error})") from error
        if not isinstance(meta, dict) or "version" not in meta:
            raise DataError(f"{path}/archive.json is not the description of a motion archive")
        if meta["version"] != ARCHIVE_VERSION:
            raise DataError(
                f"{path} is an archive of version {meta['version']}, this motet reads version {ARCHIVE_VERSION}; "
                "import the recordings again"
            )
        body = {k: v for k, v in meta.items() if k != "sha256"}
        if meta.get("sha256") != _digest(_canonical(body)):
            raise DataError(f"{path}/archive.json was changed after it was written; import the recordings again")
        check_meta(path, meta)
        try:
            raw = (path / "clips.parquet").read_bytes()
        except OSError as error:
            raise DataError(f"{path}: clips.parquet cannot be read ({error.strerror})") from error
        if _digest(raw) != meta["clips_sha256"]:
            raise DataError(f"{path}/clips.parquet was changed after it was written; import the recordings again")
        try:
            clips = pl.read_parquet(raw)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
            raise DataError(f"{path}/clips.parquet cannot be read ({error!s:.80}); import again") from error
        check_table(path, clips, meta)
        return cls(path, meta, clips)

    def _map(self, name: str, rows: int, ndim: int) -> Float:
        # numpy's own header parser lets foreign errors out on damaged files; only what motet writes is read here
        shape = (rows, self.persons, len(self.skeleton), len(self.channels))[:ndim]
        path = self.path / name
        try:
            with path.open("rb") as file:
                header = file.read(_HEADER)
            for dtype in (np.dtype(np.float32), np.dtype(np.float16)):
                if header == _npy_header(dtype, shape):
                    mapped = np.memmap(path, dtype, "r", offset=_HEADER, shape=shape)
                    plain: Float = mapped.view(np.ndarray)  # slicing np.memmap is several times slower
                    return plain
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be mapped ({error}); import the recordings again") from error
        raise DataError(f"{path} does not hold the frames that archive.json describes; import the recordings again")

    def __len__(self) -> int:
        return len(self._lengths)

    def __repr__(self) -> str:
        return f"MotionArchive({str(self.path)!r}: {len(self)} clips, {self.skeleton.name}, {len(self.frames)} frames)"

    def clip(self, index: int) -> Float:
        """(T, P, V, C) float32 coordinates of one clip; a read-only view where the archive stores float32.

        Raises:
            ConfigError: there is no such clip.
        """
        try:
            start = self._offsets[index]
        except IndexError:
            raise ConfigError(
                f"{self.path} has no clip {index}: its {len(self)} clips are numbered from 0 to {len(self) - 1}"
            ) from None
        return self.frames[start : start + self._lengths[index]].astype(np.float32, copy=False)

    def clip_confidence(self, index: int) -> Float | None:
        """(T, P, V) float32 confidences of one clip, or None."""
        if self.confidence is None:
            return None
        start = self._offsets[index]
        return self.confidence[start : start + self._lengths[index]].astype(np.float32, copy=False)

    @cached_property
    def sensors(self) -> dict[str, MotionArchive]:
        """What recorded beside the skeletons: an archive by the sensor's name, whose clips are named as here.

        Raises:
            DataError: one of them is missing or is not what was written.
        """
        found = {}
        for name, digest in self._sensor_digests.items():
            found[name] = MotionArchive.open(self.path / "sensors" / name)
            if found[name]._digest != digest:
                raise DataError(f"{found[name].path} was changed after it was written; import the recordings again")
        return found

    def _sensor(self, name: str) -> MotionArchive:
        if name not in self._sensor_digests:
            known = ", ".join(self._sensor_digests) or "no sensors"
            raise ConfigError(f"{self.path} has no sensor {name!r} beside its skeletons; it has {known}")
        return self.sensors[name]

    def sensor_rows(self, name: str) -> npt.NDArray[np.int64]:
        """(N,) row of each clip in ``sensors[name]``, -1 where the sensor did not record it.

        Raises:
            ConfigError: there is no such sensor.
        """
        rows = {clip: row for row, clip in enumerate(self._sensor(name).clips["name"])}
        return np.array([rows.get(clip, -1) for clip in self.clips["name"]], dtype=np.int64)

    def sensor_clip(self, name: str, index: int) -> Float:
        """(T', V', C') float32 readings beside clip ``index`` at the rate of ``sensors[name].fps``; T' is 0 if none.

        Raises:
            ConfigError: there is no such sensor.
        """
        sensor, row = self._sensor(name), int(self.sensor_rows(name)[index])
        if row < 0:
            return np.zeros((0, len(sensor.skeleton), len(sensor.channels)), dtype=np.float32)
        return sensor.clip(row)[:, 0]

    def __iter__(self) -> Iterator[Float]:
        return (self.clip(i) for i in range(len(self)))

    @property
    def tracks(self) -> tracks.Tracks:
        """Labels along time as they are now, by name of the track."""
        return tracks.Tracks(self)

    @cached_property
    def labels(self) -> npt.NDArray[np.int64]:
        """(N,) labels, -1 where a clip has none."""
        return self.clips["label"].fill_null(-1).to_numpy().astype(np.int64)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(N,) frames per clip."""
        return self.clips["length"].to_numpy().astype(np.int64)

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """(N,) first row of each clip in ``frames``."""
        return self.clips["offset"].to_numpy().astype(np.int64)

    def verify(self) -> None:
        """Read every frame and compare each clip with its digest.

        Raises:
            DataError: names the first clip whose bytes are not those that were written.
        """
        for index in range(len(self)):
            self.verified(index)
        for sensor in self.sensors.values():
            sensor.verify()

    def verified(self, index: int) -> Float:
        """(T, P, V, C) view of a clip as stored, after its bytes were compared with their digest.

        Raises:
            DataError: the bytes are not those that were written; names the clip.
        """
        start = self._offsets[index]
        rows = slice(start, start + self._lengths[index])
        certain = None if self.confidence is None else self.confidence[rows]
        if clip_digest(self.frames[rows], certain) != self._digests[index]:
            raise DataError(
                f"{self.path}: the data of clip {self.clips['name'][index]} (frames {rows.start}..{rows.stop - 1}) are "
                "not what was written; restore the archive from a copy or import the recordings again"
            )
        return self.frames[rows]
