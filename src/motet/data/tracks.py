"""Labels along time: any number of tracks of intervals next to the recordings of an archive.

A track is a table of intervals: recording (the clip's name), start and end in seconds, label, and optionally rater and
certainty (0 to 1). It lies at ``ARCHIVE/tracks/NAME.parquet``, written atomically; the frames of the archive never
change. Single edits go to ``NAME.journal``, one JSON line each, and are folded into the table by :meth:`Tracks.save`.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from motet.core.errors import ConfigError, DataError, MotetWarning
from motet.core.files import written
from motet.core.text import first_of

if TYPE_CHECKING:
    from motet.data.archive import MotionArchive

COLUMNS: dict[str, pl.DataType] = {
    "recording": pl.String(),
    "start": pl.Float64(),
    "end": pl.Float64(),
    "label": pl.String(),
    "rater": pl.String(),
    "certainty": pl.Float64(),
}
Row = Mapping[str, Any]
Integers = npt.NDArray[np.int64]
UNLABELLED = -1
UNKNOWN = "imported"
"""the rater of intervals that name none."""


def check_name(name: str) -> str:
    """The name of a track, which becomes a file's.

    Raises:
        ConfigError: it has characters that a file name should not have.
    """
    if not re.fullmatch(r"\w[\w .+-]{0,99}", name) or name.endswith((" ", ".")):
        raise ConfigError(f"track {name!r}: a track is named with letters, digits, _ - + . and blanks")
    return name


def table(rows: Iterable[Row]) -> pl.DataFrame:
    """Intervals as a table with the columns of :data:`COLUMNS`, in order of recording and time."""
    listed = list(rows)
    data = {c: pl.Series(c, [r.get(c) for r in listed], dtype=kind, strict=False) for c, kind in COLUMNS.items()}
    return pl.DataFrame(data).sort("recording", "start", "end", maintain_order=True)


def intervals(recording: str, labels: Sequence[str | None], fps: float) -> list[dict[str, Any]]:
    """Rows of a track from one label a frame; None and "" are unlabelled.

    >>> intervals("a", ["sit", "sit", "", "walk"], 2.0)[1]
    {'recording': 'a', 'start': 1.5, 'end': 2.0, 'label': 'walk'}
    """
    rows, start = [], 0
    for at in range(1, len(labels) + 1):
        if at == len(labels) or labels[at] != labels[start]:
            if labels[start]:
                rows.append({"recording": recording, "start": start / fps, "end": at / fps, "label": labels[start]})
            start = at
    return rows


def overlapping(rows: pl.DataFrame, frame: float = 0.0) -> tuple[Row, Row] | None:
    """The first two intervals of one rater that overlap by more than half a frame (seconds), in order of time."""
    last: dict[tuple[str, str | None], Row] = {}
    for row in rows.iter_rows(named=True):
        key = row["recording"], row["rater"]
        before = last.get(key)
        if before is not None and row["start"] < before["end"] - 1e-6 - frame / 2:
            return before, row
        last[key] = row if before is None or row["end"] > before["end"] else before
    return None


def check(rows: pl.DataFrame, durations: Mapping[str, float], where: str, *, frame: float = 0.0) -> None:
    """Whether intervals make sense on these recordings.

    Args:
        rows: columns of :data:`COLUMNS`.
        durations: seconds of each recording, by name.
        where: what messages name: the file or track.
        frame: seconds by which an interval may end late: rounding of other programs.

    Raises:
        DataError: names the first interval that is backward, empty, beyond its recording, on an unknown recording,
            without a label, or overlaps another one of the same rater.
    """
    for row in rows.iter_rows(named=True):
        name, start, end, label = row["recording"], row["start"], row["end"], row["label"]
        if name not in durations:
            raise DataError(not_there(name, durations, where))
        if not label:
            raise DataError(f"{where}: an interval of {name} has no label; remove it or name its class")
        if start is None or end is None or not np.isfinite([start, end]).all():
            raise DataError(f"{where}: the interval {label!r} of {name} has a start or end that is no number")
        at = f"{where}: the interval {label!r} of {name} from {start:g} to {end:g} s"
        if end <= start:
            raise DataError(f"{at} runs backward or is empty; swap start and end, or remove it")
        if start < 0 or end > durations[name] + frame + 1e-6:
            last = max(rows.filter(recording=name)["end"].drop_nulls().to_list())
            units = [
                unit for unit, s in (("frames", frame), ("milliseconds", 1e-3)) if s and s * last <= durations[name]
            ]
            fit = f" (they would fit as {' or '.join(units)})" * bool(units and start >= 0)
            raise DataError(
                f"{at} lies outside the recording, which ends at {durations[name]:g} s; correct its times{fit}"
            )
        certainty = row["certainty"]
        if certainty is not None and not 0 <= certainty <= 1:
            raise DataError(f"{at} has certainty {certainty:g}; it must be between 0 and 1")
    pair = overlapping(rows, frame)
    if pair is not None:
        before, after = pair
        name, start, end, label = (after[c] for c in ("recording", "start", "end", "label"))
        raise DataError(
            f"{where}: the interval {label!r} of {name} from {start:g} to {end:g} s overlaps {before['label']!r}, "
            f"which ends at {before['end']:g} s; put what happens at the same time on two tracks"
        )


def not_there(name: str, names: Iterable[str], where: str) -> str:
    """What is wrong with labels of a recording that is none of these."""
    return f"{where}: there is no recording {name!r} in the archive; it has {_some(names)}"


def pass_over(names: Sequence[str], where: object) -> None:
    """Warn of recordings that a table of more than this archive names."""
    if names:
        said = f"{where}: rows of recordings that the archive does not have are passed over: "
        warnings.warn(said + first_of(names, "recording"), MotetWarning, stacklevel=3)


def warn_of_variants(classes: Iterable[str], where: object) -> None:
    """Warn of classes whose names differ in case, blanks or ``_`` alone."""
    same: dict[str, list[str]] = {}
    for name in classes:
        same.setdefault(re.sub(r"[\s_]+", " ", name).casefold(), []).append(name)
    for names in same.values():
        if len(names) > 1:
            said = f"{where}: {' and '.join(names)} differ in case, blanks or _ alone and are different classes"
            warnings.warn(f"{said}; write one name if they are one", MotetWarning, stacklevel=3)


def _some(names: Iterable[str], count: int = 3) -> str:
    listed = list(names)
    return ", ".join(listed[:count]) + (" …" if len(listed) > count else "")


class Tracks(Mapping[str, pl.DataFrame]):
    """The tracks of an archive by name; values are tables with the columns of :data:`COLUMNS`.

    >>> archive.tracks["activity"]  # doctest: +SKIP
    >>> archive.tracks.frames("activity", 0, ["sit", "walk"])  # doctest: +SKIP
    """

    def __init__(self, archive: MotionArchive) -> None:
        self.folder = archive.path / "tracks"
        self.archive = archive
        self._tables: dict[str, pl.DataFrame] = {}
        files = sorted(self.folder.glob("*.parquet")) + sorted(self.folder.glob("*.journal"))
        self._names = sorted({f.stem for f in files if not f.name.startswith(".")})

    def refuse_existing(self, name: str, overwrite: bool) -> None:
        """Say before the work that a track cannot be saved under a name.

        Raises:
            ConfigError: it is no name, or there is such a track and nobody asked to overwrite it.
        """
        if check_name(name) in self and not overwrite:
            path = self.archive.path
            raise ConfigError(f"{path} has a track {name!r} already; choose another --track or pass --overwrite")

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Any:
        return iter(self._names)

    def __getitem__(self, name: str) -> pl.DataFrame:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._tables:
            self._tables[name] = self._read(name)
        return self._tables[name]

    def track(self, name: str | None = None) -> pl.DataFrame:
        """The track of that name; the only one there is if none is given.

        Raises:
            ConfigError: no such track, or several to choose from.
        """
        chosen = self.one(name)
        return self[chosen]

    def one(self, name: str | None = None) -> str:
        """Name of the track meant; see :meth:`track`."""
        if name is not None and name in self._names:
            return name
        if name is None and len(self) == 1:
            return self._names[0]
        known = ", ".join(self._names) or "none; add one with `motet data label`"
        what = f"has no track {name!r}" if name is not None else "has several tracks; choose one with --track"
        what = "has no label tracks" if not self._names else what
        raise ConfigError(f"{self.archive.path} {what} (tracks: {known})")

    @property
    def durations(self) -> dict[str, float]:
        """Seconds of each recording.

        Raises:
            ConfigError: the frame rate is unknown.
        """
        fps = rate(self.archive)
        return dict(zip(self.archive.clips["name"], (self.archive.lengths / fps).tolist(), strict=True))

    def save(self, name: str, rows: Iterable[Row] | pl.DataFrame, *, where: str | None = None) -> None:
        """Replace or create a track: checked as a whole, then written atomically.

        Raises:
            ConfigError, DataError: see :func:`check`; nothing is written.
        """
        listed = rows.to_dicts() if isinstance(rows, pl.DataFrame) else rows
        whole = table(listed)
        frame = 1 / rate(self.archive)
        check(whole, self.durations, where or f"track {name}", frame=frame)
        write_track(self.folder, name, whole)
        (self.folder / f"{name}.journal").unlink(missing_ok=True)
        self._tables[name] = whole
        self._names = sorted({*self._names, name})

    def edit(self, name: str, *, add: Sequence[Row] = (), remove: Sequence[Row] = ()) -> None:
        """Append one edit to the track's journal; what is added replaces what it overlaps of the same rater.

        Args:
            name: track, created if it is new.
            add: intervals.
            remove: intervals that are there (their recording, start, end and label); those of one rater where a rater
                is named.

        Raises:
            DataError: an added interval does not fit its recording; nothing is written.
        """
        check_name(name)
        added = table(add)
        check(added, self.durations, f"track {name}", frame=1 / rate(self.archive))
        line = json.dumps({"add": added.to_dicts(), "remove": table(remove).to_dicts()})
        self.folder.mkdir(exist_ok=True)
        with (self.folder / f"{name}.journal").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._tables.pop(name, None)
        self._names = sorted({*self._names, name})

    def remove(self, name: str) -> None:
        """Delete a track.

        Raises:
            ConfigError: there is no such track.
        """
        name = self.one(name)
        for suffix in ("parquet", "journal"):
            (self.folder / f"{name}.{suffix}").unlink(missing_ok=True)
        self._names.remove(name)
        self._tables.pop(name, None)

    def classes(self, name: str) -> list[str]:
        """Labels of a track: in the order of the archive's class names, then by alphabet."""
        seen = set(self[name]["label"])
        named = [c for c in self.archive.class_names if c in seen]
        return named + sorted(seen - set(named))

    def frames(self, name: str, index: int, classes: Sequence[str]) -> Integers:
        """(T,) class of each frame of recording ``index``, -1 where it is unlabelled or raters disagree."""
        clip = self.archive.clips["name"][index]
        rows = self._by_recording(name).get(clip)
        found = np.full(int(self.archive.lengths[index]), UNLABELLED, dtype=np.int64)
        if rows is None:
            return found
        return paint(rows, len(found), rate(self.archive), classes)

    def _by_recording(self, name: str) -> dict[str, list[dict[str, Any]]]:
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in self[name].iter_rows(named=True):
            groups.setdefault(row["recording"], []).append(row)
        return groups

    def all_frames(self, name: str, classes: Sequence[str]) -> list[Integers]:
        """:meth:`frames` of every recording."""
        groups, fps = self._by_recording(name), rate(self.archive)
        names, lengths = self.archive.clips["name"], self.archive.lengths
        return [paint(groups.get(n, []), int(t), fps, classes) for n, t in zip(names, lengths, strict=True)]

    def _read(self, name: str) -> pl.DataFrame:
        path, journal = self.folder / f"{name}.parquet", self.folder / f"{name}.journal"
        try:
            whole = pl.read_parquet(path.read_bytes()) if path.exists() else table(())
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(f"{path} cannot be read ({error!s:.100}); restore it or label again") from error
        if set(COLUMNS) - set(whole.columns):
            raise DataError(f"{path} is not a label track; remove it and label again")
        if journal.exists():
            whole = _replay(whole, journal)
        return whole


def _replay(whole: pl.DataFrame, journal: Path) -> pl.DataFrame:
    """The table after the edits of a journal; a last line that was cut off by a crash is passed over."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in whole.to_dicts():
        rows.setdefault(row["recording"], []).append(row)
    lines = journal.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            edit = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):
                break
            raise DataError(f"{journal}, line {number}: not an edit ({error}); remove the line") from error
        gone = {(*_key(r), r["rater"]) for r in edit["remove"]}
        for name in {r["recording"] for r in edit["remove"]} & set(rows):
            rows[name] = [r for r in rows[name] if not gone & {(*_key(r), None), (*_key(r), r["rater"] or UNKNOWN)}]
        for new in edit["add"]:
            rows[new["recording"]] = [part for r in rows.get(new["recording"], ()) for part in _cut(r, new)] + [new]
    return table(row for own in rows.values() for row in own)


def _key(row: Row) -> tuple[Any, ...]:
    return (row["recording"], round(row["start"], 6), round(row["end"], 6), row["label"])


def _cut(row: dict[str, Any], new: Row) -> list[dict[str, Any]]:
    """What is left of an interval where a new one of the same rater lies."""
    same = row["recording"] == new["recording"] and row["rater"] == new["rater"]
    if not same or new["start"] >= row["end"] or new["end"] <= row["start"]:
        return [row]
    parts = [{**row, "end": new["start"]}, {**row, "start": new["end"]}]
    return [p for p in parts if p["end"] > p["start"]]


def paint(rows: Iterable[Row], length: int, fps: float, classes: Sequence[str]) -> Integers:
    """(length,) class of each frame of one recording; a frame belongs to the interval that holds its middle."""
    number = {c: i for i, c in enumerate(classes)}
    found = np.full(length, UNLABELLED, dtype=np.int64)
    owner: dict[str | None, Integers] = {}
    for row in rows:
        if row["label"] in number:
            own = owner.setdefault(row.get("rater"), np.full(length, UNLABELLED, dtype=np.int64))
            start, end = round(row["start"] * fps), round(row["end"] * fps)
            own[max(0, start) : max(end, start + 1)] = number[row["label"]]
    disputed = np.zeros(length, dtype=bool)
    for own in owner.values():
        disputed |= (own != UNLABELLED) & (found != UNLABELLED) & (own != found)
        found = np.where(own != UNLABELLED, own, found)
    found[disputed] = UNLABELLED
    return found


def write_track(folder: Path, name: str, whole: pl.DataFrame) -> None:
    """Write a table of intervals as a track, atomically."""
    with written(folder / f"{check_name(name)}.parquet") as partial:
        whole.write_parquet(partial)


def rate(archive: MotionArchive) -> float:
    """Frames per second of the archive.

    Raises:
        ConfigError: it is unknown, so that seconds mean nothing.
    """
    if archive.fps is None:
        raise ConfigError(
            f"{archive.path}: the frame rate is unknown, so times in seconds mean nothing; import with --fps"
        )
    return archive.fps
