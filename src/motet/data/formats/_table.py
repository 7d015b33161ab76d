"""Columns of a table and what they mean: coordinates of joints, readings of sensors, time, labels, people."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError, MotetNote, MotetWarning
from motet.core.text import counted, first_of, pasted
from motet.core.units import METRES, OF_SENSORS, PICTURE, unit_name
from motet.data import layouts
from motet.data.formats import _layout, _time
from motet.data.formats._axes import Up
from motet.data.formats._labels import LabelColumns
from motet.data.formats._people import Identities
from motet.data.formats._sheet import Sheet
from motet.data.formats._time import TimeUnit
from motet.data.inertial import FORCE, TURN
from motet.data.skeletons import Skeleton
from motet.data.worn import SIDE

AXES = ("x", "y", "z")
_META = ("clip", "frame", "time", "person", "label", "subject", "camera", "setup", "repetition")
PATTERNS = (
    *("{joint}_{axis}", "{joint}.{axis}", "{joint} {axis}", "{joint}:{axis}", "{joint}-{axis}", "{axis}_{joint}"),
    *("{joint}{axis}", "{axis}{joint}", "{joint}[{axis}]", "{joint}({axis})"),
)
"""How columns are named where ``{joint}_{axis}`` finds none; the one that finds most counts."""
_UNIT = re.compile(r"(.+?) ?[(\[]([^()\[\]]+)[)\]]")
"""A column and its unit, as in ``acc_x (g)``."""
_AXIS = re.compile(r"(?i)([xyz])([ _-]?axis)?")
"""A column with the name of an axis and nothing more."""
_SENSOR = re.compile(r"(?i).*(acc|gyr|mag(net)?|grav|imu|angular|linear|rotation|euler|quat|attitude|sensor).*")
_MODELLED = re.compile(r"(?i).*(angle|force|moment|power|torque|grf)s?|.*_(for|mom|cop)")
"""Columns of modelling software and force plates, which have axes too and are no positions."""
_SHORT = {"a": "acc", "g": "gyr", "m": "mag"}
"""Nodes of sensors whose columns are called ax, gy, mz."""
_NUMBER = re.compile(r"[-+\d.,]+([eE][-+]?\d+)?")
_INDEX = re.compile(r"(?i)|index|unnamed: ?0")
"""First columns of row numbers, as pandas writes them."""
_WHO = re.compile(r"(?i)(subject|user|participant|patient|volunteer|person)s?([ _]?(id|name|no|nr|number|code))?")
"""How columns of people are called as a rule, of which an option has to name one."""
_SHOWN = 6  # joints that are listed
WHOLE = ("subject", "camera", "setup", "repetition")


@dataclass(frozen=True)
class Options:
    """Options of the ``csv`` format.

    Attributes:
        joints: how coordinate columns are named; ``{joint}`` and ``{axis}`` (x, y or z) stand for what varies. Where
            no column is named like the default, other usual forms are tried (``hip.x``, ``x_hip``, ``hipX`` …). Where
            a row has several persons, ``{person}`` stands for them, e.g. ``{person}_{joint}_{axis}``.
        confidence: the same for confidences, e.g. ``{joint}_score``; none by default.
        kind: what the columns of coordinates are: positions of joints of a ``body`` or a ``hand``, or readings of a
            ``sensor``; ``auto`` takes them for readings where the names of all nodes say so (acc, gyr, mag, …; ax,
            gy, mz), and knows hands by their joints.
        skeleton: built-in layout or TOML file; by default the built-in one with exactly the joints of the table, else
            its joints as points without bones.
        clip: column that tells the clips of a file apart; without it a file is one clip.
        frame: column with the number of the frame; numbers that are missing are absent frames. Without it and without
            a time, a first column without a name or called ``index``, as pandas writes it; ``--frame ""``: none.
        time: column with stamps (seconds, ms, µs, ns, ISO 8601 or times of day), for the frame rate, and for the
            order where there is no frame number.
        person: column that tells the persons of a frame apart.
        label: column with the class, number or text; where it changes within a clip, it becomes a label track.
        tracks: columns with a label for each row, which become label tracks; by default those called ``label``,
            ``activity``, ``behaviour``, ``posture`` … that change within a clip; ``--tracks ""``: none.
        subject, camera, setup, repetition: columns with whole numbers, or with names; names are numbered (by their
            digits, else in their order) and kept in a column ``subject_name`` and so on.
        columns: further columns to keep, as text.
        separator: between cells; ``auto`` is what the header has.
        decimal: of numbers, ``.`` or ``,``.
        time_unit: of the stamps; ``auto`` reads it from the column's name or its values.
        fps: frames per second; recordings whose stamps say another rate are resampled (linear).
        up: axis that points up in three dimensions; ``auto`` sees it in the recordings, and takes the layout's where
            it cannot.
        right_handed: whether three axes form a right-handed frame; by default likewise.
        unit: of bodies and hands ``m`` (the default), ``cm``, ``mm`` and so on, stored in metres, ``px``, or ``shares``
            of the picture (0 … 1); of sensors one, or one for each kind of node, such as ``g, deg/s``.
        identities: of people: as the table has them (``given``), or ``joined`` where one begins where another ended.
        pattern: regular expression on the path below the source with groups label, subject … (as columns that the
            table does not have).
        licence: terms of the recordings.
    """

    joints: str = "{joint}_{axis}"
    confidence: str | None = None
    kind: Literal["auto", "body", "hand", "sensor"] = "auto"
    skeleton: str | None = None
    clip: str = "clip"
    frame: str = "frame"
    time: str = "time"
    person: str = "person"
    label: str = "label"
    subject: str = "subject"
    camera: str = "camera"
    setup: str = "setup"
    repetition: str = "repetition"
    columns: tuple[str, ...] = ()
    tracks: tuple[str, ...] = ()
    separator: str = "auto"
    decimal: str = "."
    time_unit: TimeUnit = "auto"
    fps: float | None = None
    up: Up = "auto"
    right_handed: bool | None = None
    unit: str | None = None
    identities: Identities = "given"
    pattern: str | None = None
    licence: str = "unknown"


_DEFAULTS = {f.name: f.default for f in fields(Options)}
_USUAL = {meaning: re.compile(f"(?i){meaning}") for meaning in _META} | {
    "frame": re.compile(r"(?i)frames?([ _]?(num(ber)?|no|nr|id|idx|index))?|fnum"),
    "time": _time.COLUMN,
    "person": re.compile(r"(?i)(person|track)([ _]?(id|idx|index))?"),
}
"""How columns that no option names are called as a rule, where exactly one is."""


@dataclass(frozen=True)
class Coordinates:
    """Coordinate columns of a table: ``columns[joint][axis]`` for the joints of the layout and the axes it has.

    Where a row has several ``people``, the joints of one follow those of another. ``given`` is what the table calls
    joints that have another name in a built-in layout, ``unit`` that in the names of columns where all hold one: one
    for all, or one for each node.
    """

    skeleton: Skeleton
    axes: tuple[str, ...]
    columns: tuple[tuple[str, ...], ...]
    people: tuple[str, ...] = ("",)
    given: Mapping[str, str] = field(default_factory=dict)
    unit: str | None = None

    @property
    def names(self) -> Sequence[tuple[str, ...]]:
        """What each joint may be called in the table."""
        called = _named_joints(self.skeleton)
        return [(*pair, *(self.given[n] for n in pair if n in self.given)) for pair in called]

    @property
    def held(self) -> str:
        """Layout and axes in words."""
        return f"{', '.join(self.axes)} of {self.skeleton.name!r}" + (f" in {self.unit}" if self.unit else "")

    @property
    def same(self) -> tuple[str, Skeleton]:
        """What the tables of one archive have in common."""
        return self.held, self.skeleton

    def like(self, held: str, skeleton: Skeleton) -> Coordinates | None:
        """The same columns in the order of a layout of the same joints; None where axes, unit or joints are others."""
        own, count = self.skeleton.joints, len(self.skeleton)
        if self.held != held or set(own) != set(skeleton.joints):
            return None
        order = [own.index(joint) for joint in skeleton.joints]
        columns = [self.columns[person * count + i] for person in range(len(self.people)) for i in order]
        return replace(self, skeleton=skeleton, columns=tuple(columns))


def find_coordinates(sheet: Sheet, options: Options) -> Coordinates:
    """Match the header to a layout.

    Raises:
        ConfigError: a pattern without ``{joint}``.
        DataError: no coordinate columns, a joint without one of the axes, or joints of no layout.
    """
    if any(options.joints.count(f"{{{part}}}") != 1 for part in ("joint", "axis")):
        raise ConfigError(f"--joints is {pasted(options.joints)}; it must hold {{joint}} and {{axis}} once each")
    declared = declared_columns(sheet, options).values()
    named = [name for name in sheet.header if name not in declared]
    people = _people(named, options.joints)
    found = _matched(named, options.joints.replace("{person}", people[0]))
    if not found and options.joints == _DEFAULTS["joints"]:
        found = max((_matched(named, p) for p in PATTERNS), key=lambda f: (_whole(f), len(f))) or _alone(named, options)
    if not found:
        numbers = sum(bool(_NUMBER.fullmatch(name)) for name in sheet.header)
        if 2 * numbers > len(sheet.header):
            raise DataError(
                f"{sheet.path}, line 1: it holds numbers; the first line must name the columns (x0,y0,z0,…)"
            )
        raise DataError(
            f"{sheet.path}, line 1: no column looks like {pasted(options.joints)}; say how they are named with --joints"
        )
    found, given = _renamed(found)
    if (
        options.kind in ("auto", "sensor")
        and set(found) <= set(_SHORT)
        and all(len(axes) == 3 for axes in found.values())
    ):
        found = {_SHORT[joint]: columns for joint, columns in found.items()}
    skeleton = _layout_of(sheet, found, options)
    of_all = [found, *(_renamed(_matched(named, options.joints.replace("{person}", p)))[0] for p in people[1:])]
    axes = tuple(a for a in AXES if any(a in (_of_joint(found, *j) or {}) for j in _named_joints(skeleton)))
    columns: list[tuple[str, ...]] = []
    for person, own in zip(people, of_all, strict=True):
        columns += _columns_of(sheet, own, skeleton, axes, f" of person {person}" * (len(people) > 1))
    return Coordinates(skeleton, axes, tuple(columns), people, given, _unit_of(columns))


def _unit_of(columns: Sequence[tuple[str, ...]]) -> str | None:
    """The unit in the names of columns: one, or one for each node; None where a column names none."""
    units = [{without_unit(column)[1] for column in node} for node in columns]
    if any(len(unit) > 1 or None in unit for unit in units):
        return None
    named = [unit or "" for node in units for unit in node]
    return ", ".join(named if len(set(named)) > 1 else named[:1])


def _renamed(found: dict[str, dict[str, str]]) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Columns by the joint's name in a built-in layout where it is known by another, and the table's name of each."""
    names = _layout.known_names(list(found))
    return {names.get(j, j): columns for j, columns in found.items()}, {new: old for old, new in names.items()}


def _named_joints(skeleton: Skeleton) -> Sequence[tuple[str, str]]:
    return list(zip(skeleton.joints, skeleton.canonical, strict=True))


def _columns_of(
    sheet: Sheet, found: Mapping[str, dict[str, str]], skeleton: Skeleton, axes: Sequence[str], whose: str
) -> list[tuple[str, ...]]:
    """Columns of every joint by axis.

    Raises:
        DataError: a joint that is not there, or lacks an axis.
    """
    by_joint = [_of_joint(found, *names) for names in _named_joints(skeleton)]
    absent = [joint for joint, columns in zip(skeleton.joints, by_joint, strict=True) if columns is None]
    if absent:
        listed = ", ".join(absent)
        raise DataError(f"{sheet.path}, line 1: no columns for {listed}{whose} of the layout {skeleton.name!r}")
    for joint, columns in zip(skeleton.joints, by_joint, strict=True):
        missing = [a for a in axes if a not in (columns or {})]
        if missing:
            raise DataError(f"{sheet.path}, line 1: joint {joint}{whose} has no column for {missing[0]}")
    return [tuple((columns or {})[a] for a in axes) for columns in by_joint]


def _people(named: Sequence[str], pattern: str) -> tuple[str, ...]:
    """Persons in the names of columns, in the order of the table; one without a name where the pattern has none."""
    if "{person}" not in pattern:
        return ("",)
    matches = (re.fullmatch(_form(pattern), name) for name in named)
    return tuple(dict.fromkeys(match["person"] for match in matches if match)) or ("",)


def _alone(named: Sequence[str], options: Options) -> dict[str, dict[str, str]]:
    """Columns that are called x, y and z (``x-axis``) and nothing more: one sensor, which the unit may name, or one
    point."""
    matches = ((_AXIS.fullmatch(without_unit(name)[0]), name) for name in named)
    axes = {match[1].lower(): name for match, name in matches if match}
    unit = unit_name(options.unit or "") or next((without_unit(name)[1] for name in axes.values()), None)
    sensor = "acc" if unit in FORCE else "gyr" if unit in TURN else "sensor"
    node = sensor if len(axes) == 3 and options.kind in ("auto", "sensor") else "point"
    return {node: axes} if {"x", "y"} <= set(axes) else {}


def _of_joint(found: Mapping[str, dict[str, str]], joint: str, canonical: str) -> dict[str, str] | None:
    return found.get(joint) or found.get(canonical)


def _matched(named: Sequence[str], pattern: str) -> dict[str, dict[str, str]]:
    """Columns by joint and axis; without a sign between them a single axis makes no joint (``activity``)."""
    form = _form(pattern)
    found: dict[str, dict[str, str]] = {}
    for name in named:
        match = re.fullmatch(form, name) or re.fullmatch(form, without_unit(name)[0])
        if match and not _AXIS.fullmatch(without_unit(name)[0]):
            found.setdefault(match["joint"].strip(), {}).setdefault(match["axis"].lower(), name)
    if pattern in ("{joint}{axis}", "{axis}{joint}"):
        known = _known_joints() if _whole(found) else frozenset()
        found = {joint: columns for joint, columns in found.items() if len(columns) > 1 or joint in known}
    return found


def _whole(found: Mapping[str, dict[str, str]]) -> int:
    """How many joints have more than one axis."""
    return sum(len(columns) > 1 for columns in found.values())


def without_unit(name: str) -> tuple[str, str | None]:
    """The name of a column without the unit behind it, and that unit.

    >>> without_unit("Acceleration X (m/s²)"), without_unit("acc_x"), without_unit("nose[x]")
    (('Acceleration X', 'm/s^2'), ('acc_x', None), ('nose[x]', None))
    """
    match = _UNIT.fullmatch(name)
    unit = unit_name(match[2]) if match else None
    return (match[1], unit) if match and unit in (*METRES, *PICTURE, *OF_SENSORS) else (name, None)


def _form(pattern: str) -> str:
    parts = {"person": ".+?", "joint": ".+?", "axis": "[xyzXYZ]"}
    form = re.escape(pattern)
    for name, part in parts.items():
        form = form.replace(rf"\{{{name}\}}", f"(?P<{name}>{part})", 1)
    return form


def _layout_of(sheet: Sheet, found: dict[str, dict[str, str]], options: Options) -> Skeleton:
    """The layout asked for, a built-in one, or one of the table's own joints; what is left out of that is noted."""
    flat = unit_name(options.unit or "m") in PICTURE or not any("z" in axes for axes in found.values())
    named = options.kind == "auto" and all(_SENSOR.fullmatch(joint) for joint in found)
    if options.skeleton is None and (named or options.kind == "sensor"):
        _layout.check_joints(len(found), f"{sheet.path}, line 1")
        return layouts.build(f"sensor-{len(found)}", list(found), [-1] * len(found), up=None, kind="sensor")
    if modelled := [joint for joint in found if _MODELLED.fullmatch(joint)]:
        warnings.warn(
            f"{sheet.path}: {first_of(modelled, 'column')} are called like angles, forces or moments and are taken for "
            "positions of joints; leave them out of the table, or keep all as readings with --kind sensor",
            MotetWarning,
            stacklevel=4,
        )
    axes = Counter("".join(sorted(a)) for a in found.values()).most_common(1)[0][0]
    partial = [joint for joint, columns in found.items() if "".join(sorted(columns)) != axes]
    whole = [joint for joint in found if joint not in set(partial)]
    if partial and len(axes) > 1 and not set(partial) <= _known_joints():
        listed = ", ".join(partial[:5]) + (" …" if len(partial) > 5 else "")
        warnings.warn(f"{sheet.path}: {listed} have other axes than {axes} and are left out", MotetNote, stacklevel=4)
    else:
        whole = list(found)
    skeleton = _layout.of_names(
        whole, f"{sheet.path}, line 1", skeleton=options.skeleton, up="-y" if flat else "+y", prefix="table"
    )
    return replace(skeleton, kind="hand") if options.kind == "hand" else skeleton


@cache
def _known_joints() -> frozenset[str]:
    known = [layouts.get(name) for name in layouts.names()]
    return frozenset(n for skeleton in known for n in (*skeleton.joints, *skeleton.canonical))


def declared_columns(sheet: Sheet, options: Options) -> dict[str, str]:
    """Columns that are not coordinates: what they mean → their name.

    Raises:
        DataError: a column that an option names is not there.
    """
    found = {}
    for meaning in _META:
        name = getattr(options, meaning)
        if not name:
            continue
        same = [name] if name != _DEFAULTS[meaning] else [n for n in sheet.header if _USUAL[meaning].fullmatch(n)]
        if name in sheet.header or (len(same) == 1 and same[0] in sheet.header):
            found[meaning] = name if name in sheet.header else same[0]
        elif name != _DEFAULTS[meaning]:
            raise DataError(f"{sheet.path}, line 1: there is no column {name!r}, which --{meaning} names")
    for name in options.columns:
        if name not in sheet.header:
            raise DataError(f"{sheet.path}, line 1: there is no column {name!r}, which --columns names")
    index = sheet.header[0]
    if _INDEX.fullmatch(index) and options.frame and not {"frame", "time", "person"} & set(found):
        kind = _index(sheet, index, grouped_rows(sheet, found))
        found |= {} if kind is None else {kind: index}
    return found


def _index(sheet: Sheet, name: str, groups: Mapping[str, npt.NDArray[np.int64]]) -> str | None:
    """What a column of row numbers means: ``frame`` or ``time`` where it rises in every clip."""
    try:
        values = sheet.numbers([name])[:, 0]
    except DataError:
        try:
            values = _time.seconds(sheet.texts(name), name, sheet.path)
        except DataError:
            return None
    if np.isnan(values).any():
        return None
    if not all((np.diff(values[rows]) > 0).all() for rows in groups.values()):
        warnings.warn(
            f"{sheet.path}: {called(name)} does not rise within a clip, so rows are taken in their order; where a new "
            "clip begins, tell clips apart with --clip",
            MotetNote,
            stacklevel=4,
        )
        return None
    return "frame" if (values == np.floor(values)).all() and np.ptp(values) < 1e9 else "time"


def called(column: str) -> str:
    """A column in messages.

    >>> called("t"), called("")
    ('column t', 'the column without a name')
    """
    return f"column {column}" if column else "the column without a name"


def used_columns(coordinates: Coordinates, declared: Mapping[str, str], options: Options) -> set[str]:
    """Columns that are read, but for those of label tracks."""
    used = {*declared.values(), *options.columns, *(c for joint in coordinates.columns for c in joint)}
    if options.confidence:
        names = [name for known in coordinates.names for name in known]
        used |= {filled(options.confidence, person, name) for person in coordinates.people for name in names}
    return used


def filled(pattern: str, person: str, joint: str) -> str:
    """The name of a column under a pattern."""
    return pattern.replace("{person}", person).replace("{joint}", joint)


def described(
    header: Sequence[str],
    coordinates: Coordinates,
    declared: Mapping[str, str],
    options: Options,
    labels: LabelColumns,
) -> str:
    """What the columns of a table were taken for, in a line."""
    skeleton = coordinates.skeleton
    what, other = f"joints of a {skeleton.kind}", "sensor"
    if skeleton.kind == "sensor":
        what, other = "readings of a sensor", "body"
    parts = [
        f"{_listed(skeleton.joints)} ({', '.join(coordinates.axes)}) are {what}"
        + (f" (--kind {other} if they are not)" if options.skeleton is None else "")
    ]
    if len(coordinates.people) > 1:
        parts.append(f"{counted(len(coordinates.people), 'person')} in a row ({_listed(coordinates.people)})")
    parts += [f"{meaning} in {called(name)}" for meaning, name in declared.items() if name not in labels.apart]
    if labels.apart:
        unasked = " (--tracks '' if they are none)" * (not options.tracks)
        parts += [f"a label for each row, so a label track, in {_listed(list(labels.apart))}{unasked}"]
    used = used_columns(coordinates, declared, options) | set(labels.apart)
    left = [name or called(name) for name in header if name not in used]
    parts += [f"not read: {_listed(left)}"] if left else []
    if labels.whole in left:
        parts += [f"to read a label of each clip: --label {pasted(labels.whole)}"]
    who = next((name for name in left if _WHO.fullmatch(name)), None)
    if who is not None and "subject" not in declared:
        parts += [f"to read who it is: --subject {pasted(who)}"]
    if skeleton.kind == "sensor" and SIDE in left:
        parts += [f"to read on which side it was worn: --columns {pasted(*options.columns, SIDE)}"]
    if labels.others:
        parts += [f"to read labels along time: --tracks {pasted(*labels.others)}"]
    return "; ".join(parts)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" … ({len(names)})" if len(names) > _SHOWN else "")


def grouped_rows(sheet: Sheet, declared: Mapping[str, str]) -> dict[str, npt.NDArray[np.int64]]:
    """Rows of every clip, in order of first appearance; the key is empty for the only clip of a file."""
    if "clip" not in declared:
        return {"": np.arange(len(sheet.lines))}
    groups: dict[str, list[int]] = {}
    for row, key in enumerate(sheet.texts(declared["clip"])):
        if not key:
            raise DataError(f"{sheet.path}, line {sheet.lines[row]}: column {declared['clip']} is empty")
        groups.setdefault(key, []).append(row)
    return {key: np.array(rows) for key, rows in groups.items()}
