"""Archives written from clips, or parts of clips, of others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt
import polars as pl

from motet.core.errors import DataError
from motet.data.archive import ArchiveWriter, MotionArchive, Sensor
from motet.data.tracks import warn_of_variants

OWN = ("name", "offset", "length", "persons", "sha256")
"""columns of clips that follow from their frames."""


@dataclass
class Piece:
    """A clip to write: frames ``first`` to ``last`` of a clip of ``archive``, with what changes of its row.

    ``slots`` are the persons that a change of frames takes, ``tracks`` the label tracks that come along with the names
    that they have then; None: all, as they are.
    """

    archive: MotionArchive
    index: int
    first: int = 0
    last: int | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    slots: tuple[int, ...] | None = None
    tracks: Mapping[str, str] | None = None

    @property
    def whole(self) -> bool:
        """Whether it is the whole clip."""
        return self.first == 0 and self.last is None

    @property
    def row(self) -> dict[str, Any]:
        """Columns of the clip, name included."""
        row = self.archive.clips.row(self.index, named=True)
        return {**{k: v for k, v in row.items() if k == "name" or k not in OWN}, **self.changes}

    @property
    def recording(self) -> str:
        """What the clip was cut from in the first place; the clip itself where it was not."""
        return str(self.row.get("recording") or self.row["name"])


Change = Callable[[Piece, npt.NDArray[Any]], npt.NDArray[Any]]


def write(
    pieces: Iterable[Piece],
    destination: str | Path,
    like: MotionArchive,
    *,
    change: Change | None = None,
    certain: Change | None = None,
    verb: str,
    overwrite: bool = False,
    without: Collection[str] = (),
    **options: Any,
) -> MotionArchive:
    """Write clips as a new archive; label tracks come along, cut where clips are cut.

    Args:
        pieces: what to write.
        destination: archive to create, whole or not at all.
        like: archive whose description is taken where ``options`` do not say otherwise.
        change: applied to the frames of every clip.
        certain: applied to the confidence of clips whose frames change; without it their confidence is left out.
        verb: what was done, for the record of the archive.
        overwrite: replace an archive that is there.
        without: columns that are left out.
        **options: of :class:`motet.data.archive.ArchiveWriter`.

    Raises:
        ConfigError: the destination exists.
        DataError: nothing is left to write.
    """
    listed = list(pieces)
    warn_of_variants(options.get("class_names", ()), destination)
    if not listed:
        raise DataError(f"{like.path}: no clip is left, so there is nothing to write to {destination}")
    kept = all(p.whole for p in listed) and change is None
    found_sensors = {n: s for p in listed for n, s in p.archive.sensors.items()} if kept else {}
    kinds = {n: Sensor(s.skeleton, s.fps, s.units, s.channels) for n, s in found_sensors.items()}
    described: dict[str, Any] = {
        "skeleton": like.skeleton,
        "persons": like.persons,
        "fps": like.fps,
        "units": like.units,
        "channels": like.channels,
        "class_names": like.class_names,
        "source": {**like.source, verb: str(like.path.name)},
        "licence": like.licence,
        "simulated": like.simulated,
        "dtype": like.frames.dtype,
    } | options
    rows: dict[str, list[dict[str, Any]]] = {}
    confidence = all(p.whole and p.archive.confidence is not None for p in listed) and (kept or certain is not None)
    with ArchiveWriter(destination, confidence=confidence, sensors=kinds, overwrite=overwrite, **described) as writer:
        for piece in listed:
            frames = piece.archive.clip(piece.index)[piece.first : piece.last]
            columns = {name: value for name, value in piece.row.items() if name not in without}
            sensors = {n: piece.archive.sensor_clip(n, piece.index) for n in kinds if n in piece.archive.sensors}
            sure = piece.archive.clip_confidence(piece.index) if confidence else None
            sure = sure if sure is None or certain is None else certain(piece, sure)
            made = frames if change is None else change(piece, frames)
            writer.add(made, name=columns.pop("name"), confidence=sure, sensors=sensors, **columns)
            for track, own in _labels(piece, len(frames)):
                rows.setdefault(track, []).extend(own)
    archive = MotionArchive.open(destination)
    for track, own in rows.items():
        archive.tracks.save(track, own)
    return archive


def _labels(piece: Piece, frames: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    if piece.archive.fps is None:
        return
    start, end = piece.first / piece.archive.fps, (piece.first + frames) / piece.archive.fps
    for name, table in piece.archive.tracks.items():
        if piece.tracks is not None and name not in piece.tracks:
            continue
        own = table.filter(recording=piece.archive.clips["name"][piece.index]).filter(
            (pl.col("start") < end) & (pl.col("end") > start)
        )
        cut = own.with_columns(
            start=pl.max_horizontal("start", pl.lit(start)) - start,
            end=pl.min_horizontal("end", pl.lit(end)) - start,
            recording=pl.lit(piece.row["name"]),
        )
        if piece.tracks is None or len(cut):  # a track of somebody else's name in another recording is none here
            yield (name if piece.tracks is None else piece.tracks[name]), cut.to_dicts()
