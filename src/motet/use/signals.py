"""A recording as signals over time: what windows and networks look at, whatever was recorded.

Bodies are seen from themselves: every frame centred at the hips and turned to one heading, with the hips' height and
speed; animals that point in all directions by the line from tail to head, with their speed ahead, aside and in turning.
Sensors keep their readings, with the magnitude of each node. Frames in which nothing was recorded are absent, and short
holes are filled.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from motet.core.errors import ConfigError, DataError, MotetNote, MotetWarning
from motet.core.text import counted, first_of, pasted
from motet.core.units import stated
from motet.data import inertial, layouts
from motet.data.adapt import joints_apart, unit_remedy
from motet.data.archive import MotionArchive
from motet.data.convert import convert
from motet.data.heading import all_ways, ground, lines
from motet.data.inspection.gravity import unit_by_gravity
from motet.data.skeletons import Skeleton, coordinates
from motet.data.timing import LONGEST_GAP
from motet.data.tracks import rate
from motet.data.worn import axis_of, note_on, to_one_side

Float = npt.NDArray[np.floating[Any]]
Array = npt.NDArray[np.float32]
Double = npt.NDArray[np.float64]
TICKS = 10.0  # decisions per second
SAMPLES = 25.0  # samples per second that a network sees
_BLOCK = 1 << 16  # frames
_HEADING = 0.5  # seconds over which the heading of a body is averaged
_LATERAL = (("left_hip", "right_hip"), ("left_shoulder", "right_shoulder"))


@dataclass(frozen=True)
class Layout:
    """What recordings must have in common: nodes, coordinates, rate, unit.

    Attributes:
        skeleton: joints or sensor nodes.
        persons: P.
        channels: C.
        fps: frames per second.
        units: of the readings; None where it is not known.
        mirror: axis along which sensors worn on the left are mirrored (:mod:`motet.data.worn`); None: as recorded.
        heading: whether animals are turned by the line from tail to head (:mod:`motet.data.heading`).
    """

    skeleton: Skeleton
    persons: int
    channels: int
    fps: float
    units: str | None = None
    mirror: str | None = None
    heading: bool = False

    @classmethod
    def of(cls, archive: MotionArchive) -> Layout:
        """The layout of an archive.

        Raises:
            ConfigError: its frame rate is unknown.
        """
        skeleton, channels = archive.skeleton, len(archive.channels)
        scored = channels != coordinates(archive.channels)  # it would be taken for an axis of the ground
        turned = not scored and not _sideways(skeleton, channels) and all_ways(archive)
        return cls(skeleton, archive.persons, channels, rate(archive), archive.units, axis_of(archive), turned)

    @property
    def described(self) -> str:
        """Layout, rate, unit and axes in words."""
        s = self.skeleton
        parts = [s.name, f"{self.fps:g} frames per second", self.units and f"in {self.units}"]
        worn = self.mirror and f"worn on the left mirrored along {self.mirror}"
        turned = "turned by the line from tail to head" if self.heading else ""
        return ", ".join(filter(None, [*parts, s.up and f"{s.up} up", s.up and s.handedness, worn, turned]))

    def centres(self, frames: int) -> npt.NDArray[np.int64]:
        """(n,) middle frame of each tick of a recording of so many frames."""
        return np.minimum(np.arange(self.ticks(frames)) * self.hop + self.hop // 2, frames - 1)

    @property
    def hop(self) -> int:
        """Frames from one decision to the next."""
        return max(1, round(self.fps / TICKS))

    @property
    def stride(self) -> int:
        """Frames that a network averages into one sample, so that it sees about :data:`SAMPLES` a second."""
        return max(1, round(self.fps / SAMPLES))

    @property
    def block(self) -> int:
        """Frames after which ticks and samples fall on the same frame again: where a recording may be cut."""
        return math.lcm(self.hop, self.stride)

    def ticks(self, frames: int) -> int:
        """Decisions about so many frames."""
        return -(-frames // self.hop)

    def turner(self, archive: MotionArchive) -> Callable[[Float], Float]:
        """What brings clips of an archive to the axes of this layout; where it does anything, that is noted.

        Raises:
            ConfigError: one states its axes and the other does not, or two coordinates cannot be turned so.
        """
        ours, theirs = self.skeleton, archive.skeleton
        axes = [f"{s.up} up" + f", {s.handedness}" * (self.channels > 2) for s in (theirs, ours)]
        if ours.kind == "sensor" or axes[0] == axes[1]:
            return np.asarray
        if None in (ours.up, theirs.up):
            raise ConfigError(
                f"{archive.path} states {'an' if theirs.up else 'no'} axis that points up, the training recordings "
                f"{'one' if ours.up else 'none'}: answers would be meaningless; import with --up where it is missing"
            )
        convert(np.zeros((1, 1, len(theirs), self.channels)), theirs, ours)
        warnings.warn(
            f"{archive.path} has {axes[0]}, the training recordings {axes[1]}, so it is turned to those",
            MotetNote,
            stacklevel=2,
        )
        return lambda frames: convert(frames, theirs, ours)

    def _remedy(self, archive: MotionArchive) -> str:
        """How recordings of another layout may be read: converted, or by a model of what both have."""
        if inertial.is_read(self.skeleton) and inertial.is_read(archive.skeleton):
            again = ", and predict from these converted likewise" * (archive.skeleton.name != inertial.LAYOUT)
            mine = self.skeleton.name == inertial.LAYOUT
            return _converted(inertial.LAYOUT, mine=mine) + again * (not mine)
        if (self.channels, self.persons) == (len(archive.channels), archive.persons):
            for name, source, target in (
                (self.skeleton.name, archive.skeleton, self.skeleton),
                (archive.skeleton.name, self.skeleton, archive.skeleton),
            ):
                try:
                    convert(np.zeros((1, 1, len(source), self.channels)), source, target)
                except ConfigError:
                    continue
                if name in layouts.names():
                    return _converted(name, mine=target is self.skeleton)
        if (archive.skeleton.joints, len(archive.channels)) == (self.skeleton.joints, self.channels):
            some = f"`motet data select {pasted(archive.path, 'PART', '--persons', '1')}`"
            return f"{some} takes one of them" if self.persons == 1 else "fit again on recordings of as many people"
        return "fit again on recordings of a layout that both have"

    def check(self, archive: MotionArchive) -> None:
        """Raise ConfigError unless recordings of the archive are of this layout, rate and unit."""
        nodes = archive.skeleton.joints
        same = archive.skeleton.kind == self.skeleton.kind
        ours = (self.skeleton.joints, self.channels, self.persons)
        if not same or (nodes, len(archive.channels), archive.persons) != ours:
            remedy = self._remedy(archive) if same else f"fit a model on recordings of a {archive.skeleton.kind}"
            raise ConfigError(
                f"{archive.path} holds {archive.persons} × {archive.skeleton.name} ({counted(len(nodes), 'node')} of "
                f"{len(archive.channels)}), the model knows {self.persons} × {self.skeleton.name} "
                f"({len(self.skeleton)} of {self.channels}){joints_apart(archive.skeleton, self.skeleton)}; {remedy}"
            )
        converted = archive.path, archive.path.with_name(f"{archive.path.name}-converted")
        found = rate(archive)
        if abs(found - self.fps) > 0.02 * self.fps:
            raise ConfigError(
                f"{archive.path} has {found:g} frames per second, the model was fitted on {self.fps:g}; convert it "
                f"with `motet data convert {pasted(*converted, '--fps', f'{self.fps:g}')}`"
            )
        known = [stated(u, self.skeleton.kind) for u in (self.units, archive.units)]
        if self.units and None not in known and known[0] != known[1]:
            raise ConfigError(
                f"the unit of {archive.path} is {archive.units}, that of the training recordings {self.units}: answers "
                f"would be meaningless; {unit_remedy(archive.skeleton, archive.units, self.units, *converted)}"
            )
        seen = unit_by_gravity(archive) if known[0] and known[1] is None else None
        if seen and self.units and seen not in self.units.split(", "):
            warnings.warn(
                f"the unit of {archive.path} is unknown, and gravity in it has the size of {seen}; the training "
                f"recordings are in {self.units}, so answers are likely meaningless: import it again with --unit",
                MotetWarning,
                stacklevel=3,
            )


def _converted(name: str, *, mine: bool) -> str:
    command = f"`motet data convert --layout {name}`"
    return f"convert it with {command}" if mine else f"fit again on recordings converted with {command}"


def present(frames: Float) -> npt.NDArray[np.bool_]:
    """(T,) whether anything was recorded in each frame of (T, P, V, C)."""
    return np.asarray((frames.reshape(len(frames), -1) != 0).any(axis=1), dtype=np.bool_)


def bridged(frames: Float, layout: Skeleton, fps: float) -> Float:
    """(T, P, V, C) frames with holes of up to :data:`LONGEST_GAP` seconds filled: linear between what lies around.

    Of bodies and hands that is so of each joint, which at the ends stays where it is while others are seen; the nodes
    of a sensor record or lack a frame together.
    """
    if layout.kind == "sensor":
        return _bridged(frames, fps)
    there = (frames != 0).any(axis=-1)
    holed = np.argwhere(there.any(axis=0) & ~there.all(axis=0)).tolist()
    out = np.array(frames) if holed else frames
    for person, joint in holed:
        alone = np.s_[:, person : person + 1, joint : joint + 1]
        out[alone] = _bridged(frames[alone], fps)
        rows, others = np.flatnonzero(there[:, person, joint]), there[:, person].any(axis=1)
        for at, end in ((rows[0], np.arange(rows[0])), (rows[-1], np.arange(rows[-1] + 1, len(frames)))):
            if len(end) / fps <= LONGEST_GAP + 1e-9:
                out[end[others[end]], person, joint] = frames[at, person, joint]
    return out


def _bridged(frames: Float, fps: float) -> Float:
    there = present(frames)
    rows, holes = np.flatnonzero(there), np.flatnonzero(~there)
    after = np.searchsorted(rows, holes)
    inside = (after > 0) & (after < len(rows))
    holes, low, high = holes[inside], rows[after[inside] - 1], rows[after[inside]]
    short = (high - low) / fps <= LONGEST_GAP + 1e-9
    if not short.any():
        return frames
    holes, low, high = holes[short], low[short], high[short]
    share = ((holes - low) / (high - low)).reshape(-1, *[1] * (frames.ndim - 1))
    both = (frames[low] != 0).any(axis=-1, keepdims=True) & (frames[high] != 0).any(axis=-1, keepdims=True)
    out = np.array(frames)
    out[holes] = np.where(both, frames[low] * (1 - share) + frames[high] * share, 0)
    return out


def recorded(archive: MotionArchive, layout: Layout) -> Callable[[int], Float]:
    """What reads (T, P, V, C) frames of a recording by its row: short holes :func:`bridged`, and sensors worn on the
    left mirrored where the layout says so, which is said, as it is said where animals are turned."""
    turned_to = "animals point in all directions: every frame is turned by the line from tail to head"
    if said := turned_to if layout.heading else note_on(layout.mirror, archive):
        warnings.warn(said, MotetNote, stacklevel=3)
    skeleton, fps, turned = archive.skeleton, rate(archive), to_one_side(archive, layout.mirror)
    return lambda row: bridged(turned(row, archive.clip(row)), skeleton, fps)


def signals(frames: Float, layout: Layout) -> Array:
    """(T, S) signals of (T, P, V, C) frames; zero where nothing was recorded."""
    if layout.skeleton.kind == "sensor":
        values = frames.reshape(len(frames), -1)
        found = np.empty((len(frames), values.shape[1] + values.shape[1] // frames.shape[-1]), dtype=np.float32)
        found[:, : values.shape[1]] = values
        for begin in range(0, len(frames), _BLOCK):
            part = frames[begin : begin + _BLOCK]
            found[begin : begin + _BLOCK, values.shape[1] :] = np.linalg.norm(part, axis=-1).reshape(len(part), -1)
        return found
    parts = [_body(frames, p, layout) for p in range(frames.shape[1])]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def _body(group: Float, person: int, layout: Layout) -> Array:
    """One person of (T, P, V, C): joints seen from the hips, height of the hips, speed on the ground; of animals also
    how they turn and where the others are."""
    frames = group[:, person]
    skeleton, seen, axes = layout.skeleton, (frames != 0).any(axis=-1), frames.shape[-1]
    level = list(ground(skeleton, axes))
    root, there = _root(frames, skeleton)
    root = _placed(root, there, frames, seen)
    centred = (frames - root[:, None]) * seen[..., None]
    space = skeleton.up is not None and axes > 2
    extra = [np.delete(root, level, axis=1)] if space else []  # the height
    if layout.heading:
        line = np.asarray(lines(frames.astype(np.float64), skeleton), dtype=np.float64)
        direction, length = _direction(line, layout.fps, held=True)
        centred = _turned(centred, direction, level)
        extra.append(_moving(root[:, level], there, direction, length) * (layout.fps / TICKS))
        for other in (_root(group[:, p], skeleton) for p in range(group.shape[1]) if p != person):
            extra.append(_towards((other[0] - root)[:, level], there & other[1], direction, length))
    elif space:
        if (names := _sideways(skeleton, axes)) is not None:
            left, right = (skeleton.index(n) for n in names)
            line = (centred[:, right] - centred[:, left])[:, level].astype(np.float64)
            centred = _turned(centred, _direction(line, layout.fps)[0], level)
        step = np.diff(root[:, level], axis=0, prepend=root[:1, level])
        extra.append(np.linalg.norm(step, axis=1, keepdims=True) * layout.fps)
    extra = [np.where(seen.any(axis=1)[:, None], columns, 0) for columns in extra]
    centred = _held(centred, seen)
    return np.concatenate([centred.reshape(len(frames), -1), *extra], axis=1, dtype=np.float32)


def _root(frames: Float, skeleton: Skeleton) -> tuple[Float, npt.NDArray[np.bool_]]:
    """(T, C) middle of the hips, or the centre joint, and (T,) whether it was seen."""
    hips = _LATERAL[0]
    joints = [skeleton.index(n) for n in hips] if set(hips) <= set(skeleton.canonical) else [skeleton.center]
    points = frames[:, joints]
    return np.asarray(points.mean(axis=1)), np.asarray((points != 0).any(axis=-1).all(axis=1))


def _placed(root: Float, there: npt.NDArray[np.bool_], frames: Float, seen: npt.NDArray[np.bool_]) -> Float:
    """(T, C) the root, where it was not seen as far from the middle of what is seen as before and after.

    Recordings that never show it are relative to it where bodies lie around the origin; elsewhere it is the middle.
    """
    lost, known = np.flatnonzero(~there & seen.any(axis=1)), np.flatnonzero(there)
    if not len(lost):
        return root
    middle = (frames * seen[..., None]).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)[:, None]
    if not len(known):
        high, low = (np.where(seen[lost, :, None], frames[lost], end) for end in (-np.inf, np.inf))
        extent = (high.max(axis=1) - low.min(axis=1)).max(axis=1)
        return root if np.median(np.linalg.norm(middle[lost], axis=1)) <= np.median(extent) else middle
    out = np.array(root)
    for axis in range(root.shape[1]):
        out[lost, axis] = middle[lost, axis] + np.interp(lost, known, (root - middle)[known, axis])
    return out


def _held(centred: Float, seen: npt.NDArray[np.bool_]) -> Float:
    """(T, V, C) joints as they are seen from the body, those that were not seen while others were on the line between
    the sightings around, or as the nearest: a joint lost for long is no movement."""
    body = seen.any(axis=1)
    for joint in np.flatnonzero(seen.any(axis=0) & ~seen[body].all(axis=0)):
        lost, known = np.flatnonzero(body & ~seen[:, joint]), np.flatnonzero(seen[:, joint])
        for axis in range(centred.shape[2]):
            centred[lost, joint, axis] = np.interp(lost, known, centred[known, joint, axis])
    return centred


def _sideways(skeleton: Skeleton, axes: int) -> tuple[str, str] | None:
    """The joints whose line bodies in space are turned by."""
    return next((n for n in _LATERAL if axes > 2 and set(n) <= set(skeleton.canonical)), None)


def _direction(line: npt.NDArray[np.float64], fps: float, *, held: bool = False) -> tuple[Double, Double]:
    """(T, 2) unit vectors and (T,) length of the mean of (T, 2) lines over half a second; where there is none, along
    the first axis, or as ``held`` from before (at the beginning, from after)."""
    line = moving_mean(line, max(1, round(_HEADING * fps)))
    length = np.linalg.norm(line, axis=1)
    known = length > 1e-6
    found = np.where(known[:, None], line / np.maximum(length, 1e-6)[:, None], [1.0, 0.0])
    if held and known.any():
        last = np.maximum.accumulate(np.where(known, np.arange(len(line)), -1))
        found = found[np.where(last < 0, known.argmax(), last)]
    return found, length


def _turned(centred: Float, direction: Double, level: list[int]) -> Float:
    """Frames turned until the direction lies along the first of the two axes of the ground."""
    cos, sin = direction.T[..., None]
    turned = centred.copy()
    a, b = (centred[..., axis] for axis in level)
    turned[..., level[0]] = cos * a + sin * b
    turned[..., level[1]] = cos * b - sin * a
    return turned


def _moving(root: Float, there: npt.NDArray[np.bool_], direction: Double, length: Double) -> Double:
    """(T, 3) how far the root moves ahead and aside from frame to frame, and the head about the tail, all in the unit
    of the coordinates; zero where the root was not seen."""
    step = np.diff(root.astype(np.float64), axis=0, prepend=root[:1])
    step[~(there & np.roll(there, 1))] = 0
    angle = np.unwrap(np.arctan2(direction[:, 1], direction[:, 0]))
    return np.column_stack([_seen_along(step, direction), np.diff(angle, prepend=angle[:1]) * length])


def _towards(way: Float, there: npt.NDArray[np.bool_], direction: Double, length: Double) -> Double:
    """(T, 2) where another one is, ahead and aside, less than a body's length however far; zero where he is absent."""
    far = np.linalg.norm(way, axis=1) + length
    near = np.where(there & (far > 0), length / np.maximum(far, 1e-6), 0)
    return _seen_along(way * near[:, None], direction)


def _seen_along(way: Float, direction: Double) -> Double:
    """(T, 2) vectors as how far ahead and how far aside of the direction."""
    (x, y), (cos, sin) = way.T, direction.T
    return np.stack([cos * x + sin * y, cos * y - sin * x], axis=1)


def moving_mean(values: Double, width: int) -> Double:
    """(T, S) means over ``width`` frames around each frame; at the ends over what there is."""
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    at = np.arange(len(values))
    low, high = np.maximum(at - width // 2, 0), np.minimum(at + (width + 1) // 2, len(values))
    return np.asarray((total[high] - total[low]) / (high - low)[:, None])


def long_enough(archive: MotionArchive, rows: Sequence[int], seconds: float) -> list[int]:
    """Those of ``rows`` whose recordings are as long as a window of ``seconds``.

    Raises:
        DataError: none is.

    Warns:
        MotetWarning: names those that are left out.
    """
    least = math.ceil(seconds * rate(archive) - 1e-9)
    enough = (archive.lengths >= least).tolist()
    kept, short = ([row for row in rows if enough[row] is long] for long in (True, False))
    name, lasting = archive.clips["name"], archive.lengths / rate(archive)
    if short and not kept:
        more = f" ({counted(len(short) - 1, 'other')} as well)" if len(short) > 1 else ""
        raise DataError(
            f"{archive.path}: recording {name[short[0]]} lasts {lasting[short[0]]:.2f} s, shorter than a window of "
            f"{seconds:g} s{more}; {longer(archive, least)}"
        )
    if short:
        lasts = [f"{name[i]} ({lasting[i]:.2f} s)" for i in short]
        warnings.warn(
            f"{archive.path}: left out, as shorter than a window of {seconds:g} s: {first_of(lasts, 'recording')}",
            MotetWarning,
            stacklevel=3,
        )
    return kept


def longer(archive: MotionArchive, least: int) -> str:
    """The command that leaves out recordings of fewer than ``least`` frames."""
    if archive.lengths.max() < least:
        return f"record at least {least / rate(archive):.2g} s"
    path = archive.path
    words = pasted(path, path.with_name(f"{path.name}-long"), "--where", f"length >= {least}")
    return f"leave out what is so short: motet data select {words}"
