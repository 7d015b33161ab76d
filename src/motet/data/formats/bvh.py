"""BVH (Biovision hierarchy): skeleton and motion in one text file, one file a clip.

The hierarchy of the files becomes the joint layout, end sites included. The channels of a node are applied in the
order in which the file lists them, ``R = R₁ R₂ R₃`` for column vectors; position channels stand in the place of the
node's offset (exporters that move every joint write the whole translation there).
"""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError, MotetWarning
from motet.core.text import counted, pasted
from motet.core.units import METRES
from motet.data import layouts
from motet.data.convert import convert, estimate_up, recipe
from motet.data.formats._axes import PROBED_FRAMES, Up, decide_up, probed, some_frames
from motet.data.formats._files import find_files, read_plain, stem_of
from motet.data.formats._layout import check_joints
from motet.data.formats._names import NamePattern
from motet.data.formats._text import Lines
from motet.data.formats._time import one_rate, resample
from motet.data.formats.base import Format, Plan, RawClip, Unit, units_of
from motet.data.skeletons import Skeleton

Float = npt.NDArray[np.float64]

_FRAME_TIME = re.compile(rb"frame[ \t]+time[^\r\n]*", re.IGNORECASE)


@dataclass(frozen=True)
class Options:
    """Options of the ``bvh`` format.

    Attributes:
        unit: unit of offsets and positions; BVH does not say, centimetres are usual.
        scale: further factor, e.g. 0.45 ** -1 for hierarchies shrunk by their exporter.
        up: axis that points up; ``auto`` sees it in all files and in how the skeleton rests.
        end_sites: keep the end sites (finger tips, toes, top of the head) as joints.
        fps: resample to this rate (linear); by default the files' own, which must then be the same.
        skeleton: a built-in layout or a TOML file to convert every file to, or one of the ``.bvh`` files: only files
            with its hierarchy are read.
        pattern: regular expression on the path below the source with groups label, subject, camera, setup,
            repetition or others, e.g. ``(?P<label>[a-z]+)_(?P<subject>\\d+)``.
    """

    unit: Literal["cm", "m", "mm", "inch"] = "cm"
    scale: float = 1.0
    up: Up = "auto"
    end_sites: bool = True
    fps: float | None = None
    skeleton: str | None = None
    pattern: str | None = None


@dataclass(frozen=True)
class Node:
    """A joint or end site; channels are ``("position" | "rotation", axis 0…2)`` in the file's order."""

    name: str
    parent: int
    offset: tuple[float, float, float]
    channels: tuple[tuple[str, int], ...]
    end: bool


@dataclass(frozen=True)
class Header:
    """What precedes the numbers of a file.

    Attributes:
        nodes: in the order of the file, a parent before its children.
        frames: declared number of frames.
        frame_time: seconds from frame to frame.
        first: index of the first line of numbers among the non-empty lines.
    """

    nodes: tuple[Node, ...]
    frames: int
    frame_time: float
    first: int

    def people(self, end_sites: bool) -> list[list[int]]:
        """Nodes that are kept of each person: of each root, where several have the same hierarchy, else all of them."""
        roots: list[int] = []
        for i, node in enumerate(self.nodes):
            roots.append(i if node.parent < 0 else roots[node.parent])
        bodies = [[i for i, r in enumerate(roots) if r == root] for root in dict.fromkeys(roots)]
        shapes = {tuple((self.nodes[i].parent - body[0], self.nodes[i].end) for i in body[1:]) for body in bodies}
        if len(shapes) > 1 or len(bodies[0]) < 2:
            bodies = [list(range(len(self.nodes)))]
        return [[i for i in body if end_sites or not self.nodes[i].end] for body in bodies]

    def rest(self, end_sites: bool) -> Float:
        """(V, 3) positions of the first person's nodes when nothing moves."""
        places: list[Float] = []
        for node in self.nodes:
            places.append(np.array(node.offset) + (places[node.parent] if node.parent >= 0 else 0))
        return np.array([places[i] for i in self.people(end_sites)[0]])

    def joints(self, end_sites: bool) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """Names and parents of the nodes that are kept, of the first person."""
        kept = self.people(end_sites)[0]
        place = {node: at for at, node in enumerate(kept)}
        return (
            tuple(self.nodes[i].name for i in kept),
            tuple(place.get(self.nodes[i].parent, -1) for i in kept),
        )


def parse_header(data: bytes, path: Path) -> tuple[Header, Lines]:
    """Hierarchy and frame time of a file, and its lines.

    Raises:
        DataError: names the file and line that is not as a BVH file should be.
    """
    if b"\n" not in data:
        data = data.replace(b"\r", b"\n")
    lines = Lines(data, path)
    texts = data.split(b"\n")

    def text(line: int) -> str:
        return texts[lines.number(line) - 1].decode("utf-8", "replace").strip()

    start = next((i for i in range(len(lines)) if lines.token(i).upper() == b"MOTION"), None)
    if start is None or not len(lines) or lines.token(0).upper() != b"HIERARCHY":
        raise DataError(f"{path} is not a BVH file: it has no HIERARCHY and MOTION")
    nodes = _Hierarchy(path)
    for line in range(1, start):
        for piece in text(line).replace("{", "\n{\n").replace("}", "\n}\n").splitlines():
            if piece.strip():
                nodes.take(piece.split(), lines.number(line))
    found = nodes.complete()
    if start + 2 >= len(lines):
        raise DataError(f"{path}: it ends before the first frame")
    frames = _field(text(start + 1), "frames", path, lines.number(start + 1))
    seconds = _field(text(start + 2), "frame time", path, lines.number(start + 2))
    if frames < 1 or frames != int(frames):
        raise DataError(f"{path}: it declares {frames:g} frames")
    if not 0 < seconds < 10:
        raise DataError(f"{path}: a frame time of {seconds:g} seconds is not plausible")
    return Header(found, int(frames), seconds, start + 3), lines


def _field(line: str, name: str, path: Path, number: int) -> float:
    key, colon, value = line.partition(":")
    try:
        if not colon or " ".join(key.lower().split()) != name:
            raise ValueError
        found = float(value)
        if not np.isfinite(found):
            raise ValueError
    except ValueError as error:
        raise DataError(f"{path}, line {number}: {line[:40]!r} where '{name.capitalize()}: number' is due") from error
    return found


class _Hierarchy:
    """Collects nodes line by line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names: list[str] = []
        self._parents: list[int] = []
        self._ends: list[bool] = []
        self._offsets: dict[int, tuple[float, float, float]] = {}
        self._channels: dict[int, tuple[tuple[str, int], ...]] = {}
        self._open: list[int] = []
        self._pending = False
        self._own: set[str] = set()  # names below the present root

    def take(self, words: Sequence[str], line: int) -> None:
        key = words[0].upper()
        if key in ("ROOT", "JOINT", "END"):
            self._node(key, words, line)
        elif key == "{" and self._pending:
            self._pending = False
        elif key == "}" and self._open and not self._pending:
            self._open.pop()
        elif key == "OFFSET" and self._open and not self._pending:
            self._offsets[self._open[-1]] = self._offset(words[1:], line)
        elif key == "CHANNELS" and self._open and not self._pending:
            self._channels[self._open[-1]] = self._channel_list(words[1:], line)
        else:
            raise DataError(f"{self._path}, line {line}: {' '.join(words)[:40]!r} has no place here in a hierarchy")

    def _node(self, key: str, words: Sequence[str], line: int) -> None:
        if self._pending or (key == "ROOT") != (not self._open):
            raise DataError(f"{self._path}, line {line}: {words[0]} has no place here in a hierarchy")
        parent = self._open[-1] if self._open else -1
        name = f"{self._names[parent]}_end" if key == "END" else " ".join(words[1:])
        if not name:
            raise DataError(f"{self._path}, line {line}: a {words[0]} without a name")
        if key == "END":
            siblings = sum(e and p == parent for e, p in zip(self._ends, self._parents, strict=True))
            name += str(siblings + 1) if siblings else ""
        if key == "ROOT":
            self._own = set()
        if name in self._own:
            raise DataError(f"{self._path}, line {line}: a second node is called {name!r}")
        self._own.add(name)
        check_joints(len(self._names), self._path)
        self._open.append(len(self._names))
        self._names.append(name)
        self._parents.append(parent)
        self._ends.append(key == "END")
        self._pending = True

    def _offset(self, words: Sequence[str], line: int) -> tuple[float, float, float]:
        try:
            x, y, z = (float(w) for w in words)
        except ValueError as error:
            raise DataError(f"{self._path}, line {line}: an OFFSET needs three numbers") from error
        if not np.isfinite([x, y, z]).all():
            raise DataError(f"{self._path}, line {line}: an OFFSET is NaN or infinite")
        return x, y, z

    def _channel_list(self, words: Sequence[str], line: int) -> tuple[tuple[str, int], ...]:
        channels = []
        for word in words[1:]:
            axis, kind = "XYZ".find(word[:1].upper()), word[1:].lower()
            if axis < 0 or kind not in ("position", "rotation"):
                raise DataError(f"{self._path}, line {line}: {word!r} is no channel")
            channels.append((kind, axis))
        if not words or words[0] != str(len(channels)):
            raise DataError(
                f"{self._path}, line {line}: {counted(len(channels), 'channel')} listed, another number declared"
            )
        positions = [axis for kind, axis in channels if kind == "position"]
        if len(positions) != len(set(positions)):
            raise DataError(f"{self._path}, line {line}: a position channel is listed twice")
        return tuple(channels)

    def complete(self) -> tuple[Node, ...]:
        if self._open or self._pending:
            raise DataError(f"{self._path}: the hierarchy is not closed (a '}}' is missing; is the file cut off?)")
        if not self._names:
            raise DataError(f"{self._path}: the hierarchy has no ROOT")
        return tuple(
            Node(name, parent, self._offsets.get(i, (0.0, 0.0, 0.0)), self._channels.get(i, ()), end)
            for i, (name, parent, end) in enumerate(zip(self._names, self._parents, self._ends, strict=True))
        )


def read_motion(header: Header, lines: Lines, path: Path, limit: int | None = None) -> Float:
    """(T, channels) numbers of the motion section, at most ``limit`` frames.

    Raises:
        DataError: fewer frames than declared, or a line with another number of channels.
    """
    channels = sum(len(n.channels) for n in header.nodes)
    available = len(lines) - header.first
    if available < header.frames:
        raise DataError(f"{path}: it declares {counted(header.frames, 'frame')} and has {available} (is it cut off?)")
    if available > header.frames:
        warnings.warn(
            f"{path}: it declares {counted(header.frames, 'frame')} and has {available}; all are read",
            MotetWarning,
            stacklevel=4,
        )
    rows = np.arange(header.first, header.first + min(available, limit or available))
    wrong = np.flatnonzero(lines.tokens[rows] != channels)
    if len(wrong):
        line = int(rows[wrong[0]])
        raise DataError(
            f"{path}, line {lines.number(line)}: {counted(lines.tokens[line], 'number')}, "
            f"{counted(channels, 'channel')}"
        )
    if not channels:
        raise DataError(f"{path}: no node has channels")
    return lines.floats(rows, channels)


def forward_kinematics(nodes: Sequence[Node], motion: Float) -> Float:
    """Positions of every node.

    Args:
        nodes: hierarchy, a parent before its children.
        motion: (T, channels), degrees and the file's unit of length.

    Returns:
        (T, nodes, 3).
    """
    frames = len(motion)
    radians = np.deg2rad(motion)
    sine, cosine = np.sin(radians), np.cos(radians)
    positions = np.empty((frames, len(nodes), 3))
    turns: list[Float] = []
    column = 0
    for index, node in enumerate(nodes):
        shift = np.tile(np.array(node.offset), (frames, 1))
        turn: Float = np.broadcast_to(np.eye(3), (frames, 3, 3))
        for kind, axis in node.channels:
            if kind == "position":
                shift[:, axis] = motion[:, column]
            else:
                turn = turn @ _axis_rotation(axis, sine[:, column], cosine[:, column])
            column += 1
        if node.parent < 0:
            positions[:, index], total = shift, turn
        else:
            above = turns[node.parent]
            positions[:, index] = positions[:, node.parent] + (above @ shift[..., None])[..., 0]
            total = above @ turn if node.channels else above
        turns.append(total)
    return positions


def _axis_rotation(axis: int, sine: Float, cosine: Float) -> Float:
    a, b = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.zeros((len(sine), 3, 3))
    matrix[:, axis, axis] = 1.0
    matrix[:, a, a] = matrix[:, b, b] = cosine
    matrix[:, b, a] = sine
    matrix[:, a, b] = -sine
    return matrix


def _positions(path: Path, options: Options, limit: int | None = None) -> tuple[Header, Float]:
    """(T, P, V, 3) metres of the nodes that are kept."""
    header, lines = parse_header(read_plain(path), path)
    motion = read_motion(header, lines, path, limit)
    with np.errstate(over="ignore", invalid="ignore"):
        everything = forward_kinematics(header.nodes, motion) * (METRES[options.unit] * options.scale)
        frames = everything[:, header.people(options.end_sites)]
        bad = np.flatnonzero(~np.isfinite(frames.astype(np.float32)).all(axis=(1, 2, 3)))
    if len(bad):
        raise DataError(f"{path}, frame {int(bad[0])}: a position is too large")
    return header, frames


def _skeleton(header: Header, options: Options, up: str) -> Skeleton:
    joints, parents = header.joints(options.end_sites)
    known = layouts.match(joints)
    if known is not None and known.parents == parents:
        return dataclasses.replace(known, up=up, right_handed=True)
    return layouts.build(f"bvh-{len(joints)}", joints, parents, up=up)


def _up(units: Sequence[Unit], headers: Mapping[str, Header], options: Options) -> str:
    clips = {}
    for unit in probed(units):
        try:
            header, frames = _positions(unit.path, options, 10 * PROBED_FRAMES)
        except DataError:
            continue  # for *read* to complain of
        if header.joints(options.end_sites) == headers[units[0].name].joints(options.end_sites):
            clips[unit.name] = some_frames(frames)
    first = headers[units[0].name]
    skeleton = _skeleton(first, options, "+y")
    rest = estimate_up(first.rest(options.end_sites)[None], skeleton)
    return decide_up(clips, skeleton, asked=options.up, rest=rest, otherwise="+y")


def discover(source: Path, options: Options) -> Plan:
    if options.scale <= 0 or (options.fps is not None and options.fps <= 0):
        raise ConfigError(f"scale and fps must be positive, not {options.scale} and {options.fps}")
    files = find_files(source, r"(?i).+\.bvh", what="BVH files (*.bvh)")
    units = units_of(files, source)
    headers = _headers(units)
    target = None
    if options.skeleton is not None and not options.skeleton.lower().endswith((".bvh", ".bvh.gz")):
        target = layouts.get(options.skeleton)
    elif options.skeleton is not None:
        units = _like(options.skeleton, units, headers, options, source)
    readable = [u for u in units if u.name in headers]
    first = readable[0]
    up = _up(readable, headers, options)
    if target is None:
        _one_hierarchy(readable, headers, options)
    else:
        _convertible(readable, headers, options, target)
    names = NamePattern(options.pattern, [u.name for u in units])
    return Plan(
        units=[Unit(u.name, u.path, {"up": up, "columns": names.columns(u.name)}) for u in units],
        skeleton=target or _skeleton(headers[first.name], options, up),
        persons=max(len(headers[u.name].people(options.end_sites)) for u in readable),
        fps=one_rate([(u.name, _rate(headers[u.name])) for u in readable], options.fps),
        class_names=tuple(names.class_names),
        facts={"unit": options.unit, "hierarchy": headers[first.name].joints(options.end_sites)[0]},
    )


def _headers(units: Sequence[Unit]) -> dict[str, Header]:
    """Headers of the files that have one; *read* complains of the others."""
    headers: dict[str, Header] = {}
    reason: DataError | None = None
    for unit in units:
        try:
            data = read_plain(unit.path)
            until = _FRAME_TIME.search(data)
            headers[unit.name] = parse_header(data[: until.end()] if until else data, unit.path)[0]
        except DataError as error:
            reason = reason or error
    if reason is not None and not headers:
        raise reason
    return headers


def _like(
    name: str, units: Sequence[Unit], headers: Mapping[str, Header], options: Options, source: Path
) -> list[Unit]:
    chosen = [u.name for u in units if u.name == name or u.path.name == Path(name).name]
    if not chosen or chosen[0] not in headers:
        raise ConfigError(f"option skeleton names {name}, which is no readable BVH file of {source}")
    wanted = headers[chosen[0]].joints(options.end_sites)
    # a file without a hierarchy stays, for *read* to say why
    return [u for u in units if u.name not in headers or headers[u.name].joints(options.end_sites) == wanted]


def _one_hierarchy(units: Sequence[Unit], headers: Mapping[str, Header], options: Options) -> None:
    first = headers[units[0].name].joints(options.end_sites)
    for unit in units[1:]:
        other = headers[unit.name].joints(options.end_sites)
        if other != first:
            only = [sorted(set(a) - set(b)) for a, b in ((first[0], other[0]), (other[0], first[0]))]
            differs = next((names[0] for names in only if names), "the order or the parents of the joints")
            raise DataError(
                f"{units[0].name} ({counted(len(first[0]), 'joint')}) and {unit.name} "
                f"({counted(len(other[0]), 'joint')}) have different hierarchies ({differs}), and an archive holds "
                f"one; read the files like one of them with --skeleton {pasted(unit.name)}, or convert all of them to "
                f"a layout with --skeleton common-15"
            )


def _convertible(units: Sequence[Unit], headers: Mapping[str, Header], options: Options, target: Skeleton) -> None:
    for unit in units:
        own = _skeleton(headers[unit.name], options, "+y")
        missing = [n for n in target.canonical if recipe(n, own) is None]
        if missing:
            raise ConfigError(
                f"{unit.name} cannot be converted to {target.name!r}: {', '.join(missing)} cannot be derived from "
                f"its joints"
            )


def _rate(header: Header) -> float:
    return round(1 / header.frame_time, 2)  # 0.0083333 seconds are 120 frames/s


def read(unit: Unit, options: Options) -> list[RawClip]:
    header, positions = _positions(unit.path, options)
    frames: npt.NDArray[np.floating[Any]] = positions
    if options.fps is not None and abs(_rate(header) - options.fps) > 1e-9:
        frames = resample(positions, _rate(header), options.fps, absent=False)
    detail: Mapping[str, Any] = unit.detail
    if options.skeleton is not None and not options.skeleton.lower().endswith((".bvh", ".bvh.gz")):
        frames = convert(frames, _skeleton(header, options, detail["up"]), layouts.get(options.skeleton))
    return [RawClip(stem_of(unit.name), frames.astype(np.float32), columns=detail["columns"])]


FORMAT = Format(description="BVH files with their own hierarchy", options=Options, discover=discover, read=read)
