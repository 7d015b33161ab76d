"""An archive that is read."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterator, Mapping
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from motet.core.errors import ConfigError, DataError
from motet.core.files import put_back
from motet.core.options import near_names
from motet.core.places import mistaken
from motet.core.text import counted, plain
from motet.core.units import unit_name
from motet.data import tracks
from motet.data.archive.files import ARCHIVE_VERSION, HEADER, Float, canonical, clip_digest, digest, npy_header
from motet.data.clip_table import check_table, plain_texts
from motet.data.columns import check_meta
from motet.data.skeletons import Skeleton


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
        self.units, self.licence = unit_name(str(meta["units"])), str(meta["licence"])
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

    def __fspath__(self) -> str:
        return str(self.path)

    @classmethod
    def open(cls, path: str | PathLike[str]) -> MotionArchive:
        """Open an archive, or give back one that is open; nothing of the frames is read yet (see :meth:`verify`).

        Raises:
            ConfigError: neither an archive nor a path, such as an array of frames.
            DataError: not an archive, another version, or metadata that do not match their digests.
        """
        if isinstance(path, MotionArchive):
            return path
        if not isinstance(path, str | PathLike):
            raise ConfigError(
                f"an archive or its path is wanted, not {type(path).__name__}; ArchiveWriter makes one of arrays"
            )
        path = Path(path)
        if not (path / "archive.json").exists():
            put_back(path)
        if not (path / "archive.json").exists():
            raise DataError(mistaken(path, "archive"))
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
        if meta.get("sha256") != digest(canonical(body)):
            raise DataError(f"{path}/archive.json was changed after it was written; import the recordings again")
        check_meta(path, meta)
        try:
            raw = (path / "clips.parquet").read_bytes()
        except OSError as error:
            raise DataError(f"{path}: clips.parquet cannot be read ({error.strerror})") from error
        if digest(raw) != meta["clips_sha256"]:
            raise DataError(f"{path}/clips.parquet was changed after it was written; import the recordings again")
        try:
            clips = pl.read_parquet(raw)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
            raise DataError(f"{path}/clips.parquet cannot be read ({error!s:.80}); import again") from error
        check_table(path, clips, meta)
        try:
            return cls(path, plain(meta), plain_texts(clips))
        except ConfigError as error:  # of the skeleton
            raise DataError(f"{path}/archive.json: {error}") from error

    def _map(self, name: str, rows: int, ndim: int) -> Float:
        # numpy's own header parser lets foreign errors out on damaged files; only what motet writes is read here
        shape = (rows, self.persons, len(self.skeleton), len(self.channels))[:ndim]
        path = self.path / name
        try:
            with path.open("rb") as file:
                header = file.read(HEADER)
            for dtype in (np.dtype(np.float32), np.dtype(np.float16)):
                if header == npy_header(dtype, shape):
                    mapped = np.memmap(path, dtype, "r", offset=HEADER, shape=shape)
                    plain: Float = mapped.view(np.ndarray)  # slicing np.memmap is several times slower
                    return plain
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be mapped ({error}); import the recordings again") from error
        raise DataError(f"{path} does not hold the frames that archive.json describes; import the recordings again")

    def __len__(self) -> int:
        return len(self._lengths)

    def __repr__(self) -> str:
        clips, frames = counted(len(self), "clip"), counted(len(self.frames), "frame")
        return f"MotionArchive({str(self.path)!r}: {clips}, {self.skeleton.name}, {frames})"

    def row(self, clip: int | str) -> int:
        """Number of a clip, by its number (a negative one counts from the end) or its name.

        Raises:
            ConfigError: there is no such clip.
        """
        if isinstance(clip, str):
            if clip in self._rows:
                return self._rows[clip]
            near = ", ".join(near_names(clip, list(self._rows)) or list(self._rows)[:3])
            raise ConfigError(f"{self.path} has no clip {clip!r:.60}; a number or a name is wanted, such as {near}")
        try:
            return range(len(self))[operator.index(clip)]
        except (IndexError, TypeError):
            raise ConfigError(
                f"{self.path} has no clip {clip!s:.40}: it holds {counted(len(self), 'clip')}, numbered from 0"
            ) from None

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.clips["name"].to_list())}

    def clip(self, index: int | str) -> Float:
        """(T, P, V, C) float32 coordinates of one clip; a read-only view where the archive stores float32.

        Args:
            index: number or name of the clip.

        Raises:
            ConfigError: there is no such clip.
        """
        index = self.row(index)
        start = self._offsets[index]
        return self.frames[start : start + self._lengths[index]].astype(np.float32, copy=False)

    def __getitem__(self, index: int | str) -> Float:
        return self.clip(index)

    def clip_confidence(self, index: int | str) -> Float | None:
        """(T, P, V) float32 confidences of one clip, or None."""
        if self.confidence is None:
            return None
        index = self.row(index)
        start = self._offsets[index]
        return self.confidence[start : start + self._lengths[index]].astype(np.float32, copy=False)

    @cached_property
    def sensors(self) -> dict[str, MotionArchive]:
        """What recorded next to the skeletons: an archive by the sensor's name, whose clips are named as here.

        Raises:
            DataError: one of them is missing or is not what was written.
        """
        found = {}
        for name, stated in self._sensor_digests.items():
            found[name] = MotionArchive.open(self.path / "sensors" / name)
            if found[name]._digest != stated:
                raise DataError(f"{found[name].path} was changed after it was written; import the recordings again")
        return found

    def _sensor(self, name: str) -> MotionArchive:
        if name not in self._sensor_digests:
            known = ", ".join(self._sensor_digests) or "no sensors"
            raise ConfigError(f"{self.path} has no sensor {name!r} next to its skeletons; it has {known}")
        return self.sensors[name]

    def sensor_rows(self, name: str) -> npt.NDArray[np.int64]:
        """(N,) row of each clip in ``sensors[name]``, -1 where the sensor did not record it.

        Raises:
            ConfigError: there is no such sensor.
        """
        rows = {clip: row for row, clip in enumerate(self._sensor(name).clips["name"])}
        return np.array([rows.get(clip, -1) for clip in self.clips["name"]], dtype=np.int64)

    def sensor_clip(self, name: str, index: int) -> Float:
        """(T', V', C') float32 readings next to clip ``index`` at the rate of ``sensors[name].fps``; T' is 0 if none.

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
        # without the threads of polars, which a forked process (a worker of torch's DataLoader) waits for in vain
        return np.array([-1 if label is None else label for label in self.clips["label"].to_list()], dtype=np.int64)

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
