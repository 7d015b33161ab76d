"""Writing an archive, clip by clip."""

from __future__ import annotations

import glob
import itertools
import json
import os
import shutil
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt

from motet._version import __version__
from motet.core.errors import ConfigError, DataError
from motet.core.files import alive, put_back, take_place
from motet.core.options import Bounds, convert, unboxed
from motet.core.text import counted, printable
from motet.core.units import unit_name
from motet.data import tracks
from motet.data.archive.files import ARCHIVE_VERSION, Float, NpyStream, canonical, clip_digest, digest
from motet.data.archive.reader import MotionArchive
from motet.data.clip_table import table as make_table
from motet.data.columns import MOST_PERSONS, absent, check_columns, path_name
from motet.data.skeletons import Skeleton

_WRITERS = itertools.count()
Rate = Annotated[float, Bounds(above=0)] | None


@dataclass(frozen=True)
class Sensor:
    """What recorded next to the skeletons.

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


def check_destination(destination: Path, overwrite: bool) -> None:
    """Refuse a place where an archive may not be written.

    Raises:
        ConfigError: there is an archive and it is not to be replaced, or something else.
    """
    if not destination.exists():
        return
    if not overwrite:
        raise ConfigError(f"{destination} exists already; choose another destination or pass --overwrite")
    if not (destination / "archive.json").is_file():
        raise ConfigError(f"{destination} is not an archive, so it is not overwritten; choose another destination")


def _check_form(dtype: np.dtype[Any], skeleton: Skeleton, persons: int, sensors: Iterable[str]) -> None:
    if not isinstance(skeleton, Skeleton):
        raise ConfigError(f"skeleton is {skeleton!r:.60}, not a layout; motet.layouts.get gives one by its name")
    if dtype not in (np.float32, np.float16):
        raise ConfigError(f"an archive stores float32 or float16, not {dtype}")
    if not 1 <= persons <= MOST_PERSONS:
        raise ConfigError(f"an archive has 1 to {MOST_PERSONS} person slots, not {persons}")
    for sensor in sensors:
        path_name(sensor, "a sensor")


def _label(value: Any) -> str | None:
    """The label of a frame as text; NaN is none, also where an array of texts has made a text of it."""
    text = None if absent(value) else str(unboxed(value))
    return None if text == "nan" else text


def _class_names(given: Sequence[str]) -> list[str]:
    if isinstance(given, str):
        raise ConfigError(f"class_names is the text {given!r:.60}; a list of names is wanted")
    names = [printable(str(n)) for n in given]
    if len(set(names)) < len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise ConfigError(f"class_names holds {twice!r} twice; a class has one number")
    return names


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
        sensors: what recorded next to the skeletons, by name; one that no clip has is left out of the archive.
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
        put_back(self.destination)
        check_destination(self.destination, overwrite)
        kind, persons = np.dtype(dtype), convert(int, persons, "persons")
        fps, units = convert(Rate, fps, "fps"), convert(str, units, "units")
        _check_form(kind, skeleton, persons, sensors or {})
        self.skeleton, self.persons, self.channels = skeleton, persons, tuple(channels)
        self.class_names = _class_names(class_names)
        self._meta: dict[str, Any] = {
            "version": ARCHIVE_VERSION,
            "motet": __version__,
            "skeleton": skeleton.to_dict(),
            "persons": persons,
            "channels": list(channels),
            "units": unit_name(units),
            "fps": fps,
            "licence": licence,
            "simulated": simulated,
            "source": dict(source or {}),
        }
        self._rows: list[dict[str, Any]] = []
        self._names: set[str] = set()
        self._tracks: dict[str, list[dict[str, Any]]] = {}
        self._begin()
        row = (persons, len(skeleton), len(self.channels))
        self._frames = NpyStream(self._partial / "frames.npy", row, kind)
        self._confidence = NpyStream(self._partial / "confidence.npy", row[:2], kind) if confidence else None
        self._sensors = {
            sensor: ArchiveWriter(
                self._partial / "sensors" / sensor,
                skeleton=given.skeleton,
                fps=given.fps,
                units=given.measure,
                channels=given.channels,
                class_names=class_names,
                source={"sensor": sensor, **(source or {})},
                licence=licence,
                simulated=simulated,
            )
            for sensor, given in (sensors or {}).items()
        }

    def _begin(self) -> None:
        """The folder that is renamed at the end."""
        self.destination.parent.mkdir(parents=True, exist_ok=True)
        self._partial = self.destination.parent / f".{self.destination.name}.partial-{next(_WRITERS)}-{os.getpid()}"
        _remove_orphans(self.destination)
        shutil.rmtree(self._partial, ignore_errors=True)
        # an interrupt may come before anybody holds the writer and could abort it
        self._remove = weakref.finalize(self, shutil.rmtree, self._partial, ignore_errors=True)
        self._partial.mkdir()

    def add(
        self,
        frames: Float,
        *,
        name: str,
        confidence: Float | None = None,
        persons: int | None = None,
        sensors: Mapping[str, Float] | None = None,
        tracks: Mapping[str, Sequence[str | Mapping[str, Any] | None]] | None = None,
        **columns: Any,
    ) -> None:
        """Append one clip.

        Args:
            frames: (T, P', V, C) with P' ≤ P, or (T, V, C) for one person; finite numbers.
            name: unique name of the clip.
            confidence: (T, P', V) or (T, V), if the archive stores confidences.
            persons: how many of the slots hold a person; counted from the non-zero slots by default.
            sensors: (T', V', C') of each sensor that recorded this clip, at its own rate; absent or empty if none.
            tracks: (T,) label of each frame on each label track, None or NaN where it has none; or rows of
                intervals, with ``start`` and ``end`` in seconds, ``label``, and if known ``rater`` and ``certainty``.
            **columns: ``label``, ``subject``, ``camera``, ``setup``, ``repetition``, ``source`` and any others.

        Raises:
            DataError: empty clip, wrong shape, values that are not finite, a name seen before, or a sensor that the
                archive was not given.
        """
        if not isinstance(name, str):
            raise DataError(f"the name of a clip is {name!r:.60}, it must be text")
        name = printable(name)
        columns = check_columns(name, columns, self.class_names)
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
            raise DataError(
                f"clip {name}: {counted(frames.shape[1], 'person')}, the archive has room for {self.persons}"
            )
        if name in self._names:
            raise DataError(f"clip {name}: a clip of that name was added before")
        stored = np.zeros((len(frames), self.persons, *want), dtype=self._frames.dtype)
        with np.errstate(over="ignore"):
            stored[:, : frames.shape[1]] = frames
        if not np.isfinite(stored).all():
            bad = int(np.argwhere(~np.isfinite(stored).all(axis=(1, 2, 3)))[0, 0])
            raise DataError(
                f"clip {name}, frame {bad}: a coordinate is NaN, infinite or too large for {stored.dtype}; a joint "
                "that was not seen is zero in all coordinates"
            )
        return frames, stored

    def _add_sensors(self, name: str, sensors: Mapping[str, Float], columns: Mapping[str, Any]) -> None:
        unknown = sorted(set(sensors) - set(self._sensors))
        if unknown:
            raise DataError(f"clip {name}: the archive was not given a sensor {unknown[0]!r}")
        recorded = {sensor: samples for sensor, samples in sensors.items() if len(samples)}
        for sensor, samples in recorded.items():  # all are sound before the first is written
            self._sensors[sensor]._checked(f"{name}, sensor {sensor}", samples)
        for sensor, samples in recorded.items():
            self._sensors[sensor].add(samples, name=name, **columns)

    def _add_tracks(
        self, name: str, given: Mapping[str, Sequence[str | Mapping[str, Any] | None]], length: int
    ) -> None:
        for track, labels in given.items():
            where = f"clip {name}, track {tracks.check_name(track)}"
            fps = self._meta["fps"]
            spans = isinstance(next((row for row in labels if row is not None), None), Mapping)
            if len(labels) != length and not spans:
                raise DataError(f"{where}: {counted(len(labels), 'label')} for {counted(length, 'frame')}")
            if fps is None:
                raise DataError(f"{where}: labels along time need a frame rate; state it with --fps")
            if spans:
                rows = [{**row, "recording": name} for row in labels if isinstance(row, Mapping)]
                tracks.check(tracks.table(rows), {name: length / fps}, where, frame=1 / fps)
            else:
                rows = tracks.intervals(name, [_label(label) for label in labels], fps)
            self._tracks.setdefault(track, []).extend(rows)

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
            raise DataError(
                f"{self.destination}: label {highest} has no name among {counted(len(self.class_names), 'class')}"
            )
        names = self.class_names or [str(i) for i in range(highest + 1)]
        clips_sha = digest((self._partial / "clips.parquet").read_bytes())
        content = digest("".join(table["sha256"]).encode(), canonical(self._meta["skeleton"]))
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
        meta["sha256"] = digest(canonical(meta))
        (self._partial / "archive.json").write_text(json.dumps(meta, indent=1) + "\n")
        for track, rows in self._tracks.items():
            tracks.write_track(self._partial / "tracks", track, tracks.table(rows))
        take_place(self._partial, self.destination)
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
        if number.isdigit() and not alive(int(number)):
            shutil.rmtree(path, ignore_errors=True)
