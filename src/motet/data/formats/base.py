"""What a raw format is: a module of this package that defines ``FORMAT``.

A format does two things. *discover* looks at a source (folder or file), quickly, and returns a :class:`Plan`: the
units of work in a fixed order and what holds for all of them. *read* turns one unit into clips; it runs in a worker
process, so units and options are plain picklable data, and it keeps no state. To add a format, add a module::

    @dataclass(frozen=True)
    class Options:
        fps: float = 30.0


    def discover(source: Path, options: Options) -> Plan: ...
    def read(unit: Unit, options: Options) -> list[RawClip]: ...


    FORMAT = Format(description="…", options=Options, discover=discover, read=read)

It is found by its module name; ``my_format.py`` is ``my-format`` on the command line.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError
from motet.core.options import unboxed
from motet.data.skeletons import Skeleton

Float = npt.NDArray[np.floating[Any]]
Column = str | int | float | None


@dataclass(frozen=True)
class Unit:
    """One piece of work: usually one file, read by one process.

    Attributes:
        name: what messages and the list of skipped files call it, usually the path below the source.
        path: the file.
        detail: whatever else *read* needs (plain data).
    """

    name: str
    path: Path
    detail: Any = None


@dataclass(frozen=True)
class RawClip:
    """One clip as it was recorded.

    Attributes:
        name: unique within the source.
        frames: (T, P, V, C), or (T, V, C) for one person; finite, in the plan's unit, absent = zero.
        confidence: (T, P, V) or (T, V), where the plan promises confidences.
        columns: ``label``, ``subject``, ``camera``, ``setup``, ``repetition`` (integers) and any others.
            ``source`` is filled in by the importer.
        sensors: (T', V', C') of each sensor of the plan that recorded this clip, at its own rate.
        tracks: (T,) label of each frame by label track, None where it has none; or intervals, as rows of
            :mod:`motet.data.tracks` without the recording.
    """

    name: str
    frames: Float
    confidence: Float | None = None
    columns: Mapping[str, Column] = field(default_factory=dict)
    sensors: Mapping[str, Float] = field(default_factory=dict)
    tracks: Mapping[str, Sequence[str | Mapping[str, Any] | None]] = field(default_factory=dict)


@dataclass(frozen=True)
class SensorPlan:
    """A sensor that recorded next to the skeletons; see :class:`motet.data.archive.Sensor`, which it becomes.

    Workers, which read files, need not import what writes archives.
    """

    skeleton: Skeleton
    fps: float | None
    measure: str
    channels: tuple[str, ...] = ("x", "y", "z")


@dataclass(frozen=True)
class Plan:
    """What *discover* found.

    Attributes:
        units: work in the order in which the archive stores it.
        skeleton: joint layout of every clip.
        persons: most persons in a clip.
        fps: frames per second, None if unknown.
        measure: unit of the coordinates (``"m"``, ``"mm"``, ``"px"`` …).
        channels: names of the coordinates.
        class_names: name of each label index; empty if unknown.
        licence: terms of the recordings, as far as known.
        confidence: whether every clip brings confidences.
        light: all units lie in one file, and reading one costs less than handing it to another process.
        facts: goes into ``archive.source`` as is; ``"split"`` names the default split rule.
        sensors: what recorded next to the skeletons, by name: nodes, samples per second, unit and channels.
    """

    units: Sequence[Unit]
    skeleton: Skeleton
    persons: int = 1
    fps: float | None = None
    measure: str = "m"
    channels: tuple[str, ...] = ("x", "y", "z")
    class_names: tuple[str, ...] = ()
    licence: str = "unknown"
    confidence: bool = False
    light: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    sensors: Mapping[str, SensorPlan] = field(default_factory=dict)


@dataclass(frozen=True)
class Format:
    """A raw format; see the module's docstring.

    Attributes:
        description: one line for ``motet data import --help``.
        options: frozen dataclass, every field with a default.
        discover: ``(source, options) -> Plan``.
        read: ``(unit, options) -> clips``; raises :class:`DataError` for a file that cannot be used.
        example: what the example in the help calls the source.
    """

    description: str
    options: type[Any]
    discover: Callable[[Path, Any], Plan]
    read: Callable[[Unit, Any], Sequence[RawClip]]
    example: str = "recordings"


def make_options(name: str, kind: type[Any], given: Mapping[str, Any]) -> Any:
    """The options of format ``name`` with ``given`` filled in and checked.

    Raises:
        ConfigError: an option that the format does not have, or a value of another type.
    """
    hints = typing.get_type_hints(kind)
    valid = [f.name for f in fields(kind)]
    for option in given:
        if option not in valid:
            listed = ", ".join(valid) if valid else "no options"
            raise ConfigError(f"format {name} has no option {option!r}; it has {listed}")
    return kind(**{k: _coerce(f"format {name}: option {k}", hints[k], v) for k, v in given.items()})


def _coerce(what: str, hint: Any, value: Any) -> Any:
    choices = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    value = unboxed(value)
    for choice in choices:
        origin = get_origin(choice)
        if origin is Literal:
            if value in get_args(choice):
                return value
        elif choice is type(None):
            if value is None:
                return None
        elif choice is Path:
            if isinstance(value, str | Path):
                return Path(value)
        elif choice is float:
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value)
        elif origin is tuple:
            if isinstance(value, list | tuple):
                inner = get_args(choice)[0]
                return tuple(_coerce(what, inner, v) for v in value)
        elif isinstance(choice, type) and isinstance(value, choice) and (choice is bool or not isinstance(value, bool)):
            return value
    wanted = [str(v) for c in choices if get_origin(c) is Literal for v in get_args(c)]
    wanted = wanted or [getattr(c, "__name__", str(c)) for c in choices]
    raise ConfigError(f"{what} is {value!r}; it must be {' or '.join(wanted)}")


def units_of(files: Iterable[Path], source: Path) -> list[Unit]:
    """One unit per file, named by its path below ``source``."""
    return [Unit(p.name if p == source else p.relative_to(source).as_posix(), p) for p in files]
