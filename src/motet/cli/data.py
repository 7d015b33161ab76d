"""Verbs on data."""

# no postponed annotations here: options of a format are a type that is known only when the verb runs

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from motet.cli.parse import parse, write_result

if TYPE_CHECKING:
    from rich.console import RenderableType

PIPED_WIDTH = 10_000  # nothing is folded there: a remedy stays one line that can be copied


def data_import(args: Sequence[str]) -> int:
    """motet data import FORMAT SOURCE DESTINATION"""
    from motet.data import formats

    names = formats.names()
    if not args or args[0] in ("-h", "--help"):
        print("usage: motet data import FORMAT SOURCE DESTINATION [options]\n\nformats:")
        for name in names:
            print(f"  {name:12} {formats.get(name).description}")
        print("\n`motet data import FORMAT --help` lists the options of a format")
        return 0
    chosen = formats.get(args[0])

    @dataclass
    class Arguments:
        source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")]
        """folder or file that holds the recordings"""
        destination: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DESTINATION")]
        """archive to create"""
        # mypy cannot follow a type that is chosen at run time
        format: tyro.conf.OmitArgPrefixes[chosen.options] = field(default_factory=chosen.options)  # type: ignore[name-defined]
        """what the format can be told"""
        on_error: Literal["stop", "skip"] = "stop"
        """what to do with a file that cannot be read: stop, or skip and list it"""
        workers: int | None = None
        """processes that read; by default one a core"""
        dtype: Literal["float32", "float16"] = "float32"
        """precision of the stored coordinates"""
        shard: Annotated[str | None, tyro.conf.arg(metavar="I/N", help_behavior_hint="")] = None
        """read the I-th of N parts of the files; `motet data merge` joins the parts"""
        overwrite: bool = False
        """replace an archive of the same name"""
        json: Path | None = None
        """write a summary as one JSON object"""
        quiet: bool = False
        """no progress"""

    given = parse(Arguments, args[1:], f"motet data import {args[0]}", description=chosen.description)
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
    print(
        f"{archive.path}: {len(archive)} clips, {len(archive.frames)} frames, {len(archive.class_names)} classes, "
        f"{archive.skeleton.name}; licence: {archive.licence}"
    )
    write_result(given.json, {"archive": str(archive.path), "clips": len(archive), "source": archive.source})
    return 0


def data_inspect(args: Sequence[str]) -> int:
    """motet data inspect ARCHIVE"""

    @dataclass
    class Arguments:
        """What is in an archive, and what is wrong with it."""

        archive: tyro.conf.Positional[Path]
        doctor: bool = False
        """also tell why it would train badly: size, axes, speed, dead joints, leaks, classes"""
        split: str | None = None
        """split rule that the doctor judges; by default the archive's own"""
        json: Path | None = None
        """write the findings as one JSON object"""

    given = parse(Arguments, args, "motet data inspect")
    from motet.data import doctor
    from motet.data.archive import MotionArchive
    from motet.data.inspection import inspect, render

    archive = MotionArchive.open(given.archive)
    found = inspect(archive)
    if given.doctor or given.split is not None:
        found["doctor"] = doctor.report(archive, rule=given.split)
    _show(render(found))
    write_result(given.json, found)
    return 0


def _show(what: "RenderableType") -> None:
    """Print to standard output; where it is no terminal, in whole lines without blanks at their ends."""
    from rich.console import Console

    if sys.stdout.isatty():
        Console().print(what)
        return
    console = Console(width=PIPED_WIDTH)
    with console.capture() as capture:
        console.print(what)
    print("\n".join(line.rstrip() for line in capture.get().splitlines()))


def data_list(args: Sequence[str]) -> int:
    """motet data list"""

    @dataclass
    class Arguments:
        """Known data sets: what they hold, where they come from, on what terms."""

        json: Path | None = None
        """write the catalogue as one JSON object"""

    given = parse(Arguments, args, "motet data list")
    from motet.data import catalogue, formats, layouts

    entries = catalogue.entries()
    print(catalogue.render())
    print(f"\nformats: {', '.join(formats.names())}\nlayouts: {', '.join(layouts.names())}")
    write_result(given.json, {"datasets": [asdict(e) for e in entries], "formats": list(formats.names())})
    return 0


def data_simulate(args: Sequence[str]) -> int:
    """motet data simulate DESTINATION"""

    @dataclass
    class Arguments:
        """Make labelled simulated recordings. They are for trying things out; no claim should rest on them."""

        destination: tyro.conf.Positional[Path]
        clips: int = 500
        actions: int = 24
        """classes"""
        actors: int = 20
        sensor: Literal["depth", "optical"] = "depth"
        persons: int = 1
        """2 adds a second person to some clips"""
        imu: bool = False
        """also write what wrist and hip IMUs would have recorded, as <destination>-imu"""
        layout: str = "kinect-v2"
        second_layout: str | None = None
        """also write the same performances in this layout"""
        fps: float = 30.0
        seed: int = 0
        overwrite: bool = False
        quiet: bool = False

    given = parse(Arguments, args, "motet data simulate")
    from motet.data.simulate import simulate

    options = dict(vars(given))
    quiet = options.pop("quiet")
    archive = simulate(options.pop("destination"), progress=not quiet, **options)
    print(f"{archive.path}: {len(archive)} simulated clips, {len(archive.class_names)} actions")
    return 0
