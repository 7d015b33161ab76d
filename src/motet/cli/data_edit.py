"""Verbs that make archives of archives, label them, and write them for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from motet.cli.entries import Arg, Positional
from motet.cli.parse import parse
from motet.cli.result import Output, Replacing
from motet.core.text import counted, first_of

if TYPE_CHECKING:
    from motet.data.archive import MotionArchive

_FINDINGS = Arg(metavar="FINDING …")


def _said(given: Output, archive: MotionArchive) -> int:
    facts = {"archive": str(archive.path), "clips": len(archive), "frames": len(archive.frames)}
    return given.done(
        f"{archive.path}: {counted(len(archive), 'clip')}, {counted(len(archive.frames), 'frame')}, "
        f"{archive.skeleton.name}",
        {**facts, "layout": archive.skeleton.name},
    )


@dataclass
class Select(Replacing):
    """A part of an archive: by name, by a condition on the columns of its clips, or by what inspect found in them.

    Examples:
    motet data select archive part --where "subject = 3 AND class = 'squat'"
    motet data select archive part --drop clip-7 clip-9
    motet data select archive sound --drop-finding 'frozen frames' 'duplicate clips'
    """

    archive: Positional[Path]
    destination: Positional[Path]
    drop: tuple[str, ...] = ()
    """names of clips to leave out"""
    keep: tuple[str, ...] = ()
    """names of clips to take"""
    where: str | None = None
    """SQL condition, e.g. "subject = 3 AND class = 'squat'" """
    trim: bool = False
    """cut frames at both ends in which nothing was recorded"""
    finding: Annotated[tuple[str, ...], _FINDINGS] = ()
    """take the clips that have one of these findings of `motet data inspect --doctor`, e.g. 'frozen frames'"""
    drop_finding: Annotated[tuple[str, ...], _FINDINGS] = ()
    """leave out the clips that have one of these findings; of copies the first stays"""
    cut_finding: Annotated[tuple[str, ...], _FINDINGS] = ()
    """cut out the frames that have one of these findings; parts of a second or more stay"""
    without: tuple[str, ...] = ()
    """joints, nodes or coordinates to leave out"""
    persons: tuple[int, ...] = ()
    """people or hands to take, counted from 1; clips that show none of them are left out"""
    apart: bool = False
    """make a clip of each person or animal, with the label tracks that are called after it"""
    drop_column: tuple[str, ...] = ()
    """columns of the clips to leave out, such as label or subject"""
    split: str | None = None
    """split rule by which findings on training and test are evaluated; by default the archive's own"""


def data_select(args: Sequence[str]) -> int:
    """motet data select ARCHIVE DESTINATION"""
    given = parse(Select, args, "motet data select")
    from motet.data.edit import select

    return _said(given, select(given.archive, given.destination, **given.others("archive", "destination")))


@dataclass
class Merge(Replacing):
    """Several archives of one layout and rate as one; classes are joined by name. Files of features (.npz) likewise.

    Examples:
    motet data merge monday tuesday both
    """

    archives: Positional[tuple[Path, ...]]
    """archives, or files of `motet embed --shard`; the last one is the destination"""


def data_merge(args: Sequence[str]) -> int:
    """motet data merge ARCHIVE ARCHIVE … DESTINATION"""
    given = parse(Merge, args, "motet data merge")
    from motet.core.errors import ConfigError
    from motet.data.edit import merge

    if len(given.archives) < 3:
        raise ConfigError("merge needs at least two archives and a destination: `motet data merge A B DESTINATION`")
    if all(path.suffix == ".npz" for path in given.archives):
        from motet.use.joined import join

        shape = join(given.archives[:-1], given.archives[-1], overwrite=given.overwrite)
        facts = {"out": str(given.archives[-1]), "clips": shape[0], "features": shape[1]}
        return given.done(f"{given.archives[-1]}: {counted(shape[0], 'clip')} × {counted(shape[1], 'feature')}", facts)
    return _said(given, merge(given.archives[:-1], given.archives[-1], overwrite=given.overwrite))


@dataclass
class Split(Replacing):
    """Recordings cut into clips: windows of equal length, or the intervals of a label track.

    Examples:
    motet data split recordings windows --seconds 4 --overlap 0.5
    motet data split recordings clips --track behaviour
    """

    archive: Positional[Path]
    destination: Positional[Path]
    seconds: float | None = None
    """length of a window"""
    overlap: float = 0.0
    """share of a window that the next one repeats"""
    track: str | None = None
    """label track: its intervals become clips, or label the windows"""


def data_split(args: Sequence[str]) -> int:
    """motet data split ARCHIVE DESTINATION"""
    given = parse(Split, args, "motet data split")
    from motet.data.edit import split

    return _said(given, split(given.archive, given.destination, **given.others("archive", "destination")))


@dataclass
class Convert(Replacing):
    """The same recordings in another layout, rate, unit, scale or system of axes, or all as if of one side.

    Examples:
    motet data convert archive converted --layout shared-15 --fps 30
    motet data convert camera centimetres --scale 0.083 --units cm
    motet data convert shares pixels --scale 1920 1080 --units px
    motet data convert watches one-side --mirror left
    """

    archive: Positional[Path]
    destination: Positional[Path]
    layout: str | None = None
    """joint layout, e.g. shared-15"""
    fps: float | None = None
    """frames per second"""
    units: str | None = None
    """m, dm, cm, mm, inch or ft; of sensors e.g. m/s^2 or 'g, deg/s'"""
    up: Literal["+x", "-x", "+y", "-y", "+z", "-z"] | None = None
    """axis that points up"""
    hand: Literal["right", "left"] | None = None
    """handedness of the axes (not which hand was recorded)"""
    mirror: Literal["left", "right"] | None = None
    """make clips whose column side says so their mirror image: movements of one side as if of the other"""
    scale: tuple[float, ...] = ()
    """multiply coordinates, or x, y … each by its own; --units then says what they are in, as of a pixel of 0.083 cm"""


def data_convert(args: Sequence[str]) -> int:
    """motet data convert ARCHIVE DESTINATION"""
    given = parse(Convert, args, "motet data convert")
    from motet.data.edit import convert

    return _said(
        given,
        convert(
            given.archive,
            given.destination,
            **given.others("archive", "destination", "scale"),
            scale=given.scale or None,
        ),
    )


@dataclass
class Label(Replacing):
    """Labels from a file: a label track of the archive (--track), or labels of clips in a new archive (--out).

    Examples:
    motet data label archive intervals.csv --track behaviour
    motet data label archive labels.csv --out labelled
    """

    archive: Positional[Path]
    table: Positional[Path]
    """intervals (CSV, TSV, ELAN, BORIS, Audacity), one label a frame, or a folder of such files; with --out a CSV with
    a column recording (or name)"""
    track: str | None = None
    """label track to write, next to the recordings"""
    form: Literal["table", "elan", "boris", "audacity", "frames"] | None = None
    """form of the file; by default seen in it"""
    recording: str | None = None
    """recording that the file is about, where it does not say; by default the one called like the file"""
    rater: str | None = None
    """whose labels they are, where the file does not say"""
    out: Path | None = None
    """archive to create, with labels of clips from the table"""


def data_label(args: Sequence[str]) -> int:
    """motet data label ARCHIVE TABLE --track NAME"""
    given = parse(Label, args, "motet data label")
    from motet.core.errors import ConfigError
    from motet.data.archive import MotionArchive
    from motet.data.edit import relabelled
    from motet.data.exchange import labelled

    if (given.out is None) == (given.track is None):
        raise ConfigError(
            "say where the labels go: --track NAME for labels along time, --out ARCHIVE for labels of clips"
        )
    if given.out is not None:
        return _said(given, relabelled(given.archive, given.out, given.table, overwrite=given.overwrite))
    archive = MotionArchive.open(given.archive)
    added = labelled(archive, given.table, track=str(given.track), **given.others("archive", "table", "out", "track"))
    left = {own: _without(archive, own) for own in added}
    facts: dict[str, Any] = {"archive": str(archive.path), "track": given.track, "intervals": sum(added.values())}
    facts |= {"tracks": added, "unlabelled": left}
    said = "; ".join(f"track {name}, {counted(count, 'interval')}" for name, count in added.items())
    for own, names in left.items():
        if names:
            share = f"{len(names):,} of {counted(len(archive), 'recording')}"
            said += f"\ntrack {own} has no interval of {share}: {first_of(names, 'recording')}"
    return given.done(f"{archive.path}: {said}", facts)


def _without(archive: MotionArchive, track: str) -> list[str]:
    """Recordings that have no interval of a track."""
    labelled = set(archive.tracks[track]["recording"])
    return [name for name in archive.clips["name"] if name not in labelled]


@dataclass
class Export(Replacing):
    """An archive for other programs: the motion as CSV, .npz, BVH, TRC or glTF; label tracks as one label a frame,
    tables, ELAN, BORIS or Audacity.

    Examples:
    motet data export archive folder
    motet data export archive folder --form elan --track behaviour
    """

    archive: Positional[Path]
    destination: Positional[Path]
    """folder to create; a file for npz"""
    form: Literal["csv", "npz", "bvh", "trc", "glb", "frames", "table", "elan", "boris", "audacity"] = "csv"
    """csv, npz, bvh, trc and glb hold the motion (csv and npz label tracks too), the others a label track: frames one
    label a frame, a file a recording"""
    track: str | None = None
    """label track to export; the only one by default"""


def data_export(args: Sequence[str]) -> int:
    """motet data export ARCHIVE DESTINATION"""
    given = parse(Export, args, "motet data export")
    from motet.data.archive import MotionArchive
    from motet.data.exchange import export

    archive = MotionArchive.open(given.archive)
    if given.form in ("bvh", "trc", "glb"):
        from motet.use.animation import export_animation

        files = export_animation(archive, given.destination, form=given.form, overwrite=given.overwrite)
        return given.done(
            f"{given.destination}: {counted(files, 'file')}", {"out": str(given.destination), "files": files}
        )
    count = export(archive, given.destination, form=given.form, track=given.track, overwrite=given.overwrite)
    what = "clip" if given.form in ("csv", "npz", "frames") else "interval"
    return given.done(
        f"{given.destination}: {counted(count, what)}", {"out": str(given.destination), f"{what}s": count}
    )


@dataclass
class Stitch(Replacing):
    """Long recordings with a label track from the labelled clips of each person, in an order that is drawn.

    Examples:
    motet data stitch archive long --seconds 120
    """

    archive: Positional[Path]
    destination: Positional[Path]
    seconds: float = 60.0
    """a recording ends with the clip that brings it to this length"""
    gap: float = 0.3
    """seconds of interpolation between two clips, unlabelled"""
    track: str = "labels"
    """label track to write"""
    seed: int = 0
    """of the order of clips"""


def data_stitch(args: Sequence[str]) -> int:
    """motet data stitch ARCHIVE DESTINATION"""
    given = parse(Stitch, args, "motet data stitch")
    from motet.data.stitch import stitch

    return _said(given, stitch(given.archive, given.destination, **given.others("archive", "destination")))
