"""New archives from old ones: a part of them, several joined, cut into windows, at another rate or layout."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from motet.core.errors import ConfigError, DataError, MotetNote, MotetWarning
from motet.core.options import near_names
from motet.core.shards import in_order
from motet.core.text import counted, first_of, pasted, several
from motet.core.units import METRES, PICTURE, unit_name
from motet.data import layouts
from motet.data.adapt import difference, into, readings, sensors_left_out, unit_factors, written_as
from motet.data.apart import apart as one_each
from motet.data.apart import named as named_again
from motet.data.archive import COLUMNS, MotionArchive
from motet.data.archive.writer import check_destination
from motet.data.clip_table import read_rows
from motet.data.convert import swapped
from motet.data.findings import clips_with, reduced, sound_parts
from motet.data.inertial import FORCE, LAYOUT, TURN
from motet.data.numbering import agreed, changed, named
from motet.data.pieces import OWN, Piece, write
from motet.data.skeletons import SCORE, Skeleton
from motet.data.timing import LONGEST_GAP, resampled
from motet.data.track_files import file_names, named_by
from motet.data.tracks import intervals, paint, pass_over, rate
from motet.data.worn import SIDE, note_apart, other_side, worn_left


def select(
    archive: str | Path | MotionArchive,
    destination: str | Path,
    *,
    drop: Sequence[str] = (),
    keep: Sequence[str] = (),
    where: str | None = None,
    trim: bool = False,
    finding: Sequence[str] = (),
    drop_finding: Sequence[str] = (),
    cut_finding: Sequence[str] = (),
    without: Sequence[str] = (),
    persons: Sequence[int] = (),
    apart: bool = False,
    drop_column: Sequence[str] = (),
    split: str | None = None,
    overwrite: bool = False,
) -> MotionArchive:
    """A part of an archive.

    Args:
        archive: what to choose from.
        destination: archive to create.
        drop: names of clips to leave out.
        keep: names of clips to take; all by default.
        where: an SQL condition on the columns of the clips, e.g. ``"subject = 3 AND length > 30"``; ``class`` is the
            name of the label.
        trim: cut frames at both ends in which nothing was recorded.
        finding: names as `motet data inspect --doctor` prints them, e.g. ``"frozen frames"``, or a
            beginning that is clear: clips that have one.
        drop_finding: findings whose clips are left out; of copies the first stays.
        cut_finding: findings whose frames are cut out; parts of a second or more stay, as clips that begin at 0.
        without: joints, nodes or coordinates to leave out.
        persons: people or hands to take, counted from 1; clips that show none of them are left out.
        apart: make a clip of each person, with the label tracks that are called after them (:mod:`motet.data.apart`).
        drop_column: columns of the clips to leave out; without ``label`` there are no classes either.
        split: rule by which findings on training and test are evaluated; by default the archive's own.
        overwrite: replace an archive that is there.

    Raises:
        ConfigError: nothing says which part, a name that no clip has, an unknown finding, joint, person or column, a
            column that follows from the frames, or a condition that cannot be evaluated.
        DataError: nothing is left.
    """
    drop, keep, drop_finding, without = several(drop), several(keep), several(drop_finding), several(without)
    asked = (drop, keep, where is not None, trim, finding, drop_finding, cut_finding, without, persons, apart)
    if not any((*asked, drop_column)):
        raise ConfigError(
            "nothing says which part of the archive: give --where CONDITION, --keep NAME…, --drop NAME…, "
            "--drop-finding FINDING…, --without JOINT…, --persons N…, --apart, --drop-column NAME… or --trim (a copy "
            "of all is what copying the folder makes)"
        )
    source = MotionArchive.open(archive)
    names = source.clips["name"].to_list()
    if unknown := [n for n in (*drop, *keep) if n not in set(names)]:
        raise ConfigError(f"{source.path} has no clip {unknown[0]!r}; `motet data inspect` lists what there is")
    _check_columns(source, drop_column)
    slots = _slots(source, persons)
    chosen = _condition(source, where)
    has, _ = clips_with(source, finding, split)
    _, extra = clips_with(source, drop_finding, split)
    parts, pieces = sound_parts(source, cut_finding), list[Piece]()
    for index, name in enumerate(names):
        out = name in set(drop) or (keep and name not in set(keep)) or index in extra or (finding and index not in has)
        if out or not chosen[index] or (persons and not source.clip(index)[:, slots].any()):
            continue
        ends = _recorded(source.clip(index)[:, slots]) if trim else (0, int(source.lengths[index]))
        pieces += _parts(source, index, ends, parts.get(index))
    changed: dict[str, Any] = {"class_names": ()} if "label" in drop_column else {}
    if without or persons or apart:
        skeleton, channels, joints, axes = reduced(source, without)
        changed |= {
            "skeleton": skeleton,
            "persons": 1 if apart else len(slots),
            "channels": channels,
            "change": lambda piece, frames: frames[:, piece.slots or slots][..., joints, :][..., axes],
            "certain": lambda piece, values: values[:, piece.slots or slots][..., joints],
        }
    pieces = list(one_each(pieces, slots) if apart else named_again(pieces, slots) if persons else pieces)
    return write(pieces, destination, source, verb="select", overwrite=overwrite, without=drop_column, **changed)


def _slots(archive: MotionArchive, persons: Sequence[int]) -> list[int]:
    """Places of the people asked for, all of them by default."""
    there = archive.persons
    if any(not 1 <= n <= there for n in persons) or len(set(persons)) < len(persons):
        raise ConfigError(f"--persons {pasted(*map(str, persons))}: {archive.path} has persons 1 to {there}, each once")
    return [n - 1 for n in persons] or list(range(there))


def _check_columns(archive: MotionArchive, names: Sequence[str]) -> None:
    """Refuse columns that clips do not have or cannot be without."""
    known = [name for name in archive.clips.columns if name not in OWN]
    for name in names:
        if name in OWN:
            raise ConfigError(f"--drop-column {name}: every clip has one; there are {', '.join(known)}")
        if name not in known:
            near = near_names(name, known)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(known)}"
            raise ConfigError(f"{archive.path} has no column {name!r}; {hint}")


def _parts(
    archive: MotionArchive, index: int, ends: tuple[int, int], parts: list[tuple[int, int]] | None
) -> list[Piece]:
    """What is kept of a clip: all between ``ends``, or its sound parts there, each a clip of its own."""
    first, last = ends
    if parts is None:
        return [Piece(archive, index, first, None if last == int(archive.lengths[index]) else last)] if last else []
    name, cut = archive.clips["name"][index], Piece(archive, index).recording
    inside = [(max(a, first), min(b, last)) for a, b in parts if a < last and b > first]
    return [Piece(archive, index, a, b, {"name": f"{name}_{a:06d}", "recording": cut}) for a, b in inside]


_NAMED = 8
"""classes that are named where a condition is true of none"""


def _condition(archive: MotionArchive, where: str | None) -> list[bool]:
    if where is None:
        return [True] * len(archive)
    classes = [None if i < 0 else archive.class_names[i] for i in archive.labels]
    table = archive.clips.with_columns(pl.Series("class", classes, dtype=pl.String))
    try:
        found = _evaluated(table, where)
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise ConfigError(f"--where {pasted(where)} cannot be evaluated: {_reason(error, table)}") from error
    if found.dtype != pl.Boolean or len(found) != len(archive):
        raise ConfigError(f"--where {pasted(where)} is no condition; compare a column with a value, e.g. 'subject = 3'")
    kept = [bool(v) for v in found]
    if not any(kept):
        there = f"; classes are {', '.join(archive.class_names[:_NAMED])}" if archive.class_names else ""
        more = " …" if len(archive.class_names) > _NAMED else ""
        raise ConfigError(f"--where {pasted(where)} is true of no clip of {archive.path}{there}{more}")
    return kept


def _evaluated(table: pl.DataFrame, where: str) -> pl.Series:
    """Value of an SQL expression for each clip; columns may be called like a word of SQL, such as ``group``."""
    try:
        return table.select(pl.sql_expr(where).alias("chosen"))["chosen"]
    except pl.exceptions.PolarsError:
        names = "|".join(map(re.escape, table.columns))
        quoted = re.sub(rf"('[^']*'|\"[^\"]*\")|\b({names})\b", lambda m: m[1] or f'"{m[2]}"', where)
        try:
            return table.select(pl.sql_expr(quoted).alias("chosen"))["chosen"]
        except pl.exceptions.PolarsError:
            pass
        raise


def _reason(error: Exception, table: pl.DataFrame) -> str:
    """What is wrong with a condition: a column that there is not, a number compared with a word, or its form."""
    columns = [name for name in table.columns if name not in ("offset", "sha256")]
    numbers = [name for name in columns if table.schema[name].is_numeric()]
    words = [name for name in columns if name not in numbers]
    listed = f"columns with numbers: {', '.join(numbers)}; with words: {', '.join(words)}"
    unknown = re.search(r"unable to find column \"([^\"]+)\"", str(error))
    if unknown is not None:
        near = near_names(unknown[1], columns)
        hint = f"did you mean {' or '.join(near)}?" if near else "words stand in single quotes"
        return f"there is no column {unknown[1]!r}; {hint} ({listed})"
    if any(word in str(error) for word in ("compar", "cast", "conversion")):
        names = "the names of label and subject are in class and subject_name, where they are known"
        return f"it takes a number for a word or a word for a number; {names} ({listed})"
    return f"it is no SQL condition such as \"subject = 3 AND class = 'squat'\" ({listed})"


def _recorded(frames: npt.NDArray[Any]) -> tuple[int, int]:
    seen = np.flatnonzero(frames.reshape(len(frames), -1).any(axis=1))
    return (int(seen[0]), int(seen[-1]) + 1) if len(seen) else (0, 0)


def merge(archives: Sequence[str | Path], destination: str | Path, *, overwrite: bool = False) -> MotionArchive:
    """Several archives of one layout and rate as one; classes are joined by name, and so are people who have names.

    Shards of one import come in their order, whatever the order of ``archives``, and give the archive of the whole.

    Raises:
        ConfigError: fewer than two archives, layouts, rates or units that differ, or a shard that is missing.
        DataError: two clips of one name.
    """
    if len(archives) < 2:
        raise ConfigError("merge needs at least two archives and a destination")
    sources = [MotionArchive.open(a) for a in archives]
    order = in_order([s.source.get("shard") for s in sources], [str(s.path) for s in sources])
    sources = [sources[i] for i in order or range(len(sources))]
    first = sources[0]
    for other in sources[1:]:
        for what in ("skeleton", "persons", "fps", "units", "channels"):
            a, b = getattr(first, what), getattr(other, what)
            if a != b:
                raise ConfigError(f"{first.path} and {other.path} differ in {difference(what, a, b, other.skeleton)}")
    check_destination(Path(destination), overwrite)
    _one_each(sources)
    if said := note_apart(sources):
        warnings.warn(said, MotetWarning, stacklevel=2)
    classes = list(dict.fromkeys(c for s in sources for c in s.class_names))
    numbers = agreed(sources) if order is None else {}
    pieces = []
    for source in sources:
        for index, label in enumerate(source.labels.tolist()):
            number = None if label < 0 else classes.index(source.class_names[label])
            changes = {"label": number, **changed(source.clips.row(index, named=True), numbers)}
            pieces.append(Piece(source, index, changes=changes))
    options: dict[str, Any] = {"class_names": classes}
    if order is not None:
        options["source"] = _whole_source(sources)
    return write(pieces, destination, first, verb="merge", overwrite=overwrite, **options)


def _one_each(sources: Sequence[MotionArchive]) -> None:
    """Refuse clips of one name in two archives."""
    holder: dict[str, Path] = {}
    for source in sources:
        twice = [n for n in source.clips["name"] if holder.setdefault(n, source.path) != source.path]
        if twice:
            drop = pasted(source.path, "PART", "--drop", *twice[:50])
            raise DataError(
                f"{holder[twice[0]]} and {source.path} each have clips {first_of(twice, 'clip')}; `motet data select "
                f"{drop}` leaves out of one what is the same; give other recordings other names before their import"
            )
        if sum(source.path.resolve() == other.path.resolve() for other in sources) > 1:
            raise ConfigError(f"{source.path} is named twice; name each archive once")


def _whole_source(shards: Sequence[MotionArchive]) -> dict[str, Any]:
    """What the import of all shards at once would have noted."""
    whole = {k: v for k, v in shards[0].source.items() if k != "shard"}
    whole["files"] = sum(int(s.source.get("files", 0)) for s in shards)
    whole["skipped"] = [file for s in shards for file in s.source.get("skipped", [])]
    return whole


def split(
    archive: str | Path | MotionArchive,
    destination: str | Path,
    *,
    seconds: float | None = None,
    overlap: float = 0.0,
    track: str | None = None,
    overwrite: bool = False,
) -> MotionArchive:
    """Recordings cut into clips: windows of equal length, or the intervals of a label track.

    Args:
        archive: recordings.
        destination: archive to create.
        seconds: length of a window; with ``track`` windows carry the label that most of their labelled frames have.
        overlap: share of a window that the next one repeats.
        track: without ``seconds`` each interval of this track becomes a clip with its label; of several raters, where
            they do not disagree.
        overwrite: replace an archive that is there.

    Raises:
        ConfigError: neither ``seconds`` nor ``track``, or values that make no sense.
        DataError: every recording is shorter than a window.
    """
    source = MotionArchive.open(archive)
    if seconds is None and track is None:
        there = f" ({source.path} has {', '.join(source.tracks)})" if len(source.tracks) else ""
        raise ConfigError(
            f"say how to cut: --seconds for windows, --track for the intervals of a label track{there}, or both"
        )
    if (seconds is not None and not seconds > 0) or not 0 <= overlap < 1:
        raise ConfigError("seconds must be positive, and overlap at least 0 and below 1")
    fps = rate(source)
    classes = list(source.class_names) if track is None else source.tracks.classes(source.tracks.one(track))
    pieces = []
    for index, name in enumerate(source.clips["name"]):
        length, cut = int(source.lengths[index]), Piece(source, index).recording
        rows = [] if track is None else source.tracks.track(track).filter(recording=name).to_dicts()
        if len({row["rater"] for row in rows}) > 1 and seconds is None:
            agreed = paint(rows, length, fps, classes).tolist()
            rows = intervals(name, [None if k < 0 else classes[k] for k in agreed], fps)
        if seconds is None:
            cuts = [(round(r["start"] * fps), round(r["end"] * fps), classes.index(r["label"])) for r in rows]
        else:
            size = max(1, round(seconds * fps))
            starts = range(0, length - size + 1, max(1, round(size * (1 - overlap))))
            frames = paint(rows, length, fps, classes) if track is not None else None
            own = source.labels[index]
            cuts = [(a, a + size, int(own) if frames is None else _most(frames[a : a + size])) for a in starts]
        for a, b, label in cuts:
            changes = {"name": f"{name}_{a:06d}", "label": None if label < 0 else label, "recording": cut}
            pieces.append(Piece(source, index, a, b, changes))
    # "split" is the rule of the set in the record of an archive
    return write(pieces, destination, source, verb="windows", overwrite=overwrite, class_names=classes)


def _most(labels: npt.NDArray[np.int64]) -> int:
    known = labels[labels >= 0]
    return int(np.bincount(known).argmax()) if len(known) else -1


def convert(
    archive: str | Path | MotionArchive,
    destination: str | Path,
    *,
    layout: str | None = None,
    fps: float | None = None,
    units: str | None = None,
    up: str | None = None,
    hand: Literal["right", "left"] | None = None,
    mirror: Literal["left", "right"] | None = None,
    scale: float | Sequence[float] | None = None,
    overwrite: bool = False,
) -> MotionArchive:
    """The same recordings in another layout, rate, unit, scale or system of axes, or all as if of one side.

    Args:
        archive: recordings.
        destination: archive to create.
        layout: a built-in layout; joints are mapped by their canonical names, axes and handedness included. To
            ``inertial`` any sensors: their unit and rate become those of the layout, and holes of half a second are
            bridged.
        fps: frames per second; linear in between, absent stays absent.
        units: ``m``, ``cm``, ``mm`` or ``inch``; of sensors ``m/s^2``, ``g``, ``mg``, ``rad/s``, ``deg/s``, or two of
            them as in ``g, deg/s``.
        up: axis that points up, e.g. ``+z``; turned by the smallest rotation.
        hand: handedness of the axes; where it changes, one sideways axis is negated.
        mirror: clips whose column ``side`` says so are made their mirror image, and have the other side from then on:
            movements of the left arm as if of the right, readings of a left wrist as if of the right
            (:mod:`motet.data.worn`).
        scale: coordinates are multiplied by it, or x, y … each by its own; ``units`` then says what they are in. A
            camera whose pixel is 0.083 cm: ``scale=0.083, units="cm"``; shares of a frame of 1920 × 1080:
            ``scale=(1920, 1080), units="px"``.
        overwrite: replace an archive that is there.

    Raises:
        ConfigError: nothing to convert, an unknown unit, joints that the layout needs and the recordings lack, no
            clip to mirror, or a scale of sensors.
    """
    source = MotionArchive.open(archive)
    if all(given is None for given in (layout, fps, units, up, hand, mirror, scale)):
        raise ConfigError("say what to convert: --layout, --fps, --units, --up, --hand, --mirror or --scale")
    units = None if units is None else unit_name(units)
    target = _with_axes(source, source.skeleton if layout is None else layouts.get(layout), up, hand)
    if fps is not None and not fps > 0:
        raise ConfigError(f"fps is {fps}; it must be positive")
    form = written_as(source, target)
    factors = _factors(target, form["units"], units, source.channels, scale)
    old = None if fps is None else form["fps"] or rate(source)
    adapt = into(target, source.skeleton, readings(source, target), source.fps, LONGEST_GAP)
    if target.name == LAYOUT and (said := sensors_left_out(source)):
        warnings.warn(said, MotetNote, stacklevel=2)
    turned = _of_side(source, mirror)
    image = other_side(source) if len(turned) else np.asarray

    def change(piece: Piece, frames: npt.NDArray[Any]) -> npt.NDArray[Any]:
        made = adapt(image(frames) if piece.changes else frames)
        return np.asarray(
            (made if old is None or fps is None else resampled(made, old, fps)) * factors, dtype=np.float32
        )

    def certain(piece: Piece, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return values[..., swapped(source.skeleton)] if piece.changes and source.skeleton.kind != "sensor" else values

    pieces = [Piece(source, i, changes=turned.get(i, {})) for i in range(len(source))]
    options = form | {"change": change, "certain": certain if layout is None and fps is None else None}
    options |= {name: value for name, value in (("fps", fps), ("units", units)) if value is not None}
    return write(pieces, destination, source, verb="convert", overwrite=overwrite, **options)


def _of_side(source: MotionArchive, side: str | None) -> dict[int, dict[str, str]]:
    """The clips of a side, by their row, with the side that they have once they are mirrored.

    Raises:
        ConfigError: there are none.
    """
    if side is None:
        return {}
    left = worn_left(source)
    rows = np.flatnonzero(left == (side == "left"))
    if not len(rows):
        raise ConfigError(
            f"{source.path} has no clip whose column {SIDE} says {side}; `motet data label` adds it from a table"
        )
    return {row: {SIDE: "right" if side == "left" else "left"} for row in rows.tolist()}


def _factors(
    skeleton: Skeleton, units: str, wanted: str | None, names: Sequence[str], scale: float | Sequence[float] | None
) -> npt.NDArray[np.float64]:
    """(V, 1) factors to the wanted unit, or (V, C) the scale that is stated."""
    if scale is not None:
        given, moved = np.atleast_1d(np.asarray(scale, float)), np.array([c != SCORE for c in names])
        if skeleton.kind == "sensor" or not (given > 0).all() or not np.isfinite(given).all():
            raise ConfigError(f"scale is {scale}; it must be positive, and changes positions, not readings of sensors")
        if len(given) not in (1, moved.sum()):
            axes = ", ".join(np.array(names)[moved])
            raise ConfigError(f"scale has {counted(len(given), 'number')}; it takes one, or one for each of {axes}")
        if wanted not in (None, *METRES, *PICTURE):
            raise ConfigError(f"unit {wanted!r} is none of {', '.join((*METRES, *PICTURE))}")
        each = np.ones(len(moved))
        each[moved] = given
        return np.tile(each, (len(skeleton), 1))
    found = np.ones(len(skeleton)) if wanted is None else unit_factors(skeleton, units, wanted)
    if found is None:
        known = ", ".join([*FORCE, *TURN] if skeleton.kind == "sensor" else METRES)
        raise ConfigError(f"unit {units!r} cannot be converted to {wanted!r}; known are {known}")
    return found[:, None]


def _with_axes(source: MotionArchive, target: Skeleton, up: str | None, hand: str | None) -> Skeleton:
    if up is None and hand is None:
        return target
    if source.skeleton.up is None:
        raise ConfigError(f"{source.path}: {source.skeleton.name} has no up axis, so there is none to turn")
    if hand not in (None, "right", "left"):
        raise ConfigError(f"hand is {hand!r}; it must be right or left")
    right = target.right_handed if hand is None else hand == "right"
    return replace(target, up=up or target.up, right_handed=right)


def relabelled(
    archive: str | Path | MotionArchive, destination: str | Path, table: str | Path, *, overwrite: bool = False
) -> MotionArchive:
    """Clip labels and further columns from a table with a column ``recording`` or ``name``; ``label`` holds classes,
    ``subject`` and the like numbers or names.

    Raises:
        ConfigError: no such column, no name that a clip has, or one that comes twice.

    Warns:
        MotetNote: names clips without a row, which keep what they have; and rows without a clip.
    """
    source = MotionArchive.open(archive)
    rows = read_rows(Path(table))
    key = next((c for k in ("name", "recording") for c in rows.columns if c.lower() == k), None)
    if key is None:
        raise ConfigError(f"{table} has no column 'recording' or 'name'; it has {', '.join(rows.columns)}")
    known = {n: i for i, n in enumerate(source.clips["name"])}
    files = file_names(known)
    given = {named_by(str(r[key]), files)[0]: r for r in rows.to_dicts()}
    lost, twice = [n for n in given if n not in known], len(given) < len(rows)
    if twice or 0 < len(given) == len(lost):
        what = "names a clip twice" if twice else f"names {lost[0]!r}, which no clip of {source.path} is called"
        raise ConfigError(f"{table} {what}; correct the table")
    pass_over(lost, table)
    given = {name: row for name, row in given.items() if name in known}
    named(given, source, str(table))
    if left := [name for name in known if name not in given]:
        share, some = f"{len(left):,} of {counted(len(known), 'clip')}", first_of(left, "clip")
        warnings.warn(f"{table} has no row for {share}, which keep what they have: {some}", MotetNote, stacklevel=2)
    said = [None if r.get("label") is None else str(r["label"]) for r in given.values()]
    classes = list(dict.fromkeys([*source.class_names, *(c for c in said if c)]))
    pieces = []
    for name, index in known.items():
        row = {k: v for k, v in given.get(name, {}).items() if k != key and k not in OWN}
        if "label" in row:
            row["label"] = None if row["label"] is None else classes.index(str(row["label"]))
        for column in set(row) & {c for c, kind in COLUMNS.items() if kind == pl.Int64()}:
            if row[column] is not None and not isinstance(row[column], int):
                raise ConfigError(f"{table}: column {column} of {name} is {row[column]!r}, which is no whole number")
        pieces.append(Piece(source, index, changes=row))
    return write(pieces, destination, source, verb="label", overwrite=overwrite, class_names=classes)
