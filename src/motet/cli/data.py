"""Verbs on data."""

# no postponed annotations here: options of a format are a type that is known only when the verb runs

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from motet.cli.entries import Arg, Positional, Shown
from motet.cli.parse import HELP, parse
from motet.cli.result import Output, Replacing
from motet.core.errors import ConfigError
from motet.core.text import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

    from motet.data.archive import MotionArchive
    from motet.data.formats.base import Format

PIPED_WIDTH = 10_000  # nothing is folded there: a remedy stays one line that can be copied


def data_import(args: Sequence[str]) -> int:
    """motet data import FORMAT SOURCE DESTINATION"""
    from motet.data import formats

    names = formats.names()
    if not args or args[0] in HELP:
        print("usage: motet data import FORMAT SOURCE DESTINATION [options]\n\nformats:")
        for name in names:
            print(f"  {name:12} {formats.description(name)}")
        print("\n`motet data import FORMAT --help` lists the options of a format")
        return 0
    if args[0].startswith("-"):
        raise ConfigError("data import needs a FORMAT first (see `motet data import --help`)")
    chosen = formats.get(args[0])

    @dataclass
    class Arguments(Replacing):
        source: Annotated[str, Arg(positional=True)]
        """folder or file that holds the recordings"""
        destination: Positional[Path]
        """archive to create"""
        # mypy cannot follow a type that is chosen at run time
        format: Shown[chosen.options] = field(default_factory=chosen.options)  # type: ignore[name-defined]
        """what the format accepts"""
        on_error: Literal["stop", "skip"] = "stop"
        """what to do with a file that cannot be read: stop, or skip and list it"""
        workers: int | None = None
        """processes that read; by default one a core"""
        dtype: Literal["float32", "float16"] = "float32"
        """precision of the stored coordinates"""
        shard: Annotated[str | None, Arg(metavar="I/N")] = None
        """read the I-th of N parts of the files; `motet data merge` joins the parts"""

    given = parse(Arguments, args[1:], f"motet data import {args[0]}", description=_described(args[0], chosen))
    options = {f.name: getattr(given.format, f.name) for f in fields(given.format)}
    archive = formats.import_dataset(
        args[0],
        given.source,
        given.destination,
        on_error=given.on_error,
        workers=given.workers,
        dtype=given.dtype,
        shard=given.shard,
        overwrite=given.overwrite,
        progress=not given.quiet,
        **options,
    )
    skeleton, turned = archive.skeleton, len(archive.channels) > 2 and archive.skeleton.up
    axes = f" ({skeleton.up} up, {skeleton.handedness})" if turned else ""
    return given.done(
        f"{archive.path}: {counted(len(archive), 'clip')}, {counted(len(archive.frames), 'frame')}, "
        f"{_classes(archive)}, {skeleton.name}{axes}; licence: {archive.licence}"
        + ("; frames per second unknown, so seconds are (--fps)" if archive.fps is None else "")
        + (f"\ncolumns: {archive.source['columns']}" if "columns" in archive.source else ""),
        {"archive": str(archive.path), "clips": len(archive), "source": archive.source},
    )


def _classes(archive: "MotionArchive") -> str:
    """How many classes clips have, and each label track."""
    tracks = [f"track {name} of {counted(len(archive.tracks.classes(name)), 'class')}" for name in archive.tracks]
    of_clips = [counted(len(archive.class_names), "class")] if archive.class_names else []
    return ", ".join([*of_clips, *tracks]) or "no labels"


def _described(name: str, chosen: "Format") -> str:
    """Description of a format with an example."""
    return f"{chosen.description}\n\nExamples:\nmotet data import {name} {chosen.example} archive"


def data_inspect(args: Sequence[str]) -> int:
    """motet data inspect ARCHIVE"""

    @dataclass
    class Arguments(Output):
        """What is in an archive, and what is wrong with it.

        Examples:
        motet data inspect archive
        motet data inspect archive --doctor --json findings.json
        """

        archive: Positional[Path]
        doctor: bool = False
        """also tell why it would train badly: size, axes, speed, dead joints, leaks, classes"""
        split: str | None = None
        """split rule that the doctor evaluates; by default the archive's own"""

    given = parse(Arguments, args, "motet data inspect")
    from motet.data import doctor
    from motet.data.archive import MotionArchive
    from motet.data.inspection import inspect, render

    archive = MotionArchive.open(given.archive)
    found = inspect(archive)
    if given.doctor or given.split is not None:
        found["doctor"] = doctor.report(archive, rule=given.split)
    return given.done("" if given.quiet else _text(render(found)), found)


def _text(what: "RenderableType") -> str:
    """As text that fits the terminal; where standard output is none, in whole lines without blanks at their ends."""
    from rich.console import Console

    console = Console() if sys.stdout.isatty() else Console(width=PIPED_WIDTH)
    with console.capture() as capture:
        console.print(what)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def data_list(args: Sequence[str]) -> int:
    """motet data list"""

    @dataclass
    class Arguments(Output):
        """Known data sets: what they hold, where they come from, on what terms.

        Examples:
        motet data list
        """

    given = parse(Arguments, args, "motet data list")
    from motet.data import catalogue, formats, layouts

    entries = catalogue.entries()
    named = f"formats: {', '.join(formats.names())}\nlayouts: {', '.join(layouts.names())}"
    return given.done(
        f"{catalogue.render()}\n\n{named}",
        {"datasets": [asdict(e) for e in entries], "formats": list(formats.names())},
    )


def data_simulate(args: Sequence[str]) -> int:
    """motet data simulate DESTINATION"""

    @dataclass
    class Arguments(Replacing):
        """Make labelled simulated recordings. They are for trying things out; no claim should rest on them.

        Examples:
        motet data simulate simulated --clips 200 --actions 12
        motet data simulate gestures --hands --clips 200 --actions 12
        """

        destination: Positional[Path]
        clips: int = 500
        actions: int = 24
        """classes"""
        invented: int = 0
        """further classes: random key poses, cycles and gaits"""
        actors: int = 20
        sensor: Literal["depth", "optical", "picture"] = "depth"
        """a depth camera, markers, or a pose estimator's x and y in the pictures of a film"""
        persons: int = 1
        """2 adds a second person to some clips"""
        imu: bool = False
        """also write what wrist and hip IMUs would have recorded, as <destination>-imu"""
        hands: bool = False
        """a hand that makes gestures, in place of a body"""
        layout: str | None = None
        """kinect-v2 by default, hand-21 of hands"""
        second_layout: str | None = None
        """also write the same performances in this layout"""
        fps: float = 30.0
        seed: int = 0

    given = parse(Arguments, args, "motet data simulate")
    from motet.data.simulate import simulate

    archive = simulate(given.destination, progress=not given.quiet, **given.others("destination"))
    return given.done(
        f"{archive.path}: {len(archive)} simulated clips, {counted(len(archive.class_names), 'action')}",
        {"archive": str(archive.path), "clips": len(archive), "actions": list(archive.class_names)},
    )
