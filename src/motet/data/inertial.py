"""Readings of inertial sensors in one form, whatever device wrote them: m/s², rad/s, one rate.

The form is the layout ``inertial``: specific force and angular rate as two nodes, absent ones zero. Nodes are found by
their names, units by what an archive says of them or else by the size of gravity and of the fastest turns.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from motet.core.errors import ConfigError
from motet.core.units import SPELLINGS, plain
from motet.data.archive import MotionArchive
from motet.data.skeletons import Skeleton
from motet.data.timing import nearest, resample

Float = npt.NDArray[np.floating[Any]]
LAYOUT = "inertial"
RATE = 30.0
"""samples per second"""
UNITS = "m/s^2, rad/s"
FORCE = {"m/s^2": 1.0, "g": 9.80665, "mg": 9.80665e-3}
TURN = {"rad/s": 1.0, "deg/s": math.pi / 180}
_NODES = (r"(?i:acc)", r"(?i:gyr|angular|rotation_?rate)")
_WORN = r"(?i)wrist|watch|hand"  # where there are several sensors, the one that is worn there
_FASTEST = 40.0  # rad/s; sensors that people wear end at 35
_RESTING = 0.3  # rad/s; a hand that is held still sways more slowly
_CLIPS = 100  # that units are seen in


@dataclass(frozen=True)
class Inertial:
    """What brings clips of a layout of sensors to the layout ``inertial``.

    Attributes:
        nodes: rows of acceleration and angular rate, None where there is none.
        scales: factors to m/s² and rad/s.
        fps: samples per second of the clips.
        longest: seconds without a sample that are bridged, on the line between the samples around and at the ends by
            the nearest; what lies in longer holes, and at the ends, is absent.
    """

    nodes: tuple[int | None, int | None]
    scales: tuple[float, float]
    fps: float
    longest: float = math.inf

    @classmethod
    def of(cls, skeleton: Skeleton, units: str, fps: float | None, longest: float = math.inf) -> Inertial:
        """For clips of a layout in units of :func:`units_of`; an unknown rate is taken to be :data:`RATE`.

        Raises:
            ConfigError: no node is an accelerometer or a gyroscope.
        """
        force, _, turn = units.partition(", ")
        return cls(nodes_of(skeleton), (FORCE[force], TURN[turn]), fps or RATE, longest)

    def __call__(self, frames: Float) -> npt.NDArray[np.float32]:
        """(T, P, V, 3) → (T', 1, 2, 3) of the first person at :data:`RATE`: means where the rate falls, linear
        between samples.

        Zeros are lost samples or readings. An acceleration of zero is lost, as gravity is in it. A turn of zero is lost
        where the acceleration is zero, too. Of a gyroscope alone, whose zeros at rest are readings, it is lost where it
        turns on both sides of the zeros, faster than a hand at rest (0.3 rad/s).
        """
        made: Float = np.zeros((len(frames), 6))
        for place, (node, scale) in enumerate(zip(self.nodes, self.scales, strict=True)):
            if node is not None:
                made[:, 3 * place : 3 * place + 3] = frames[:, 0, node] * scale
        rows, lost = np.arange(len(made)), np.zeros(made.shape, dtype=np.bool_)
        force = (made[:, :3] != 0).any(axis=1)
        turn = (made != 0).any(axis=1) if force.any() else ~_amid_turns(made[:, 3:])
        for columns, known in ((range(3), force), (range(3, 6), turn)):
            for column in columns if known.any() and not known.all() else ():
                made[:, column] = np.interp(rows, rows[known], made[known, column])
                lost[:, column] = _lost(known, self.longest * self.fps)
        if len(made) and self.fps != RATE:
            width = round(self.fps / RATE)
            made = _smoothed(made, width) if width > 1 else made
            times = np.arange(len(made)) / self.fps
            at = np.minimum(np.arange(self.length(len(made))) / RATE, times[-1])
            made, lost = resample(times, made, at, longest_gap=math.inf), nearest(times, lost, at)
        made[lost] = 0
        return made.reshape(len(made), 1, 2, 3).astype(np.float32)

    def length(self, frames: int) -> int:
        """T' of a clip of T frames."""
        return int((frames - 1) / self.fps * RATE + 1e-6) + 1 if frames else 0


def _lost(there: npt.NDArray[np.bool_], longest: float) -> npt.NDArray[np.bool_]:
    """(T,) which samples lie in holes between samples more than ``longest`` apart, or at the ends."""
    if longest == math.inf or not there.any():
        return np.zeros(len(there), dtype=np.bool_)
    before, after = _around(there)
    return np.asarray(~there & ((before < 0) | (after < 0) | (after - before > longest)))


def _amid_turns(turns: Float) -> npt.NDArray[np.bool_]:
    """(T, 3) turns → (T,) which zeros lie between turns that are faster than :data:`_RESTING`."""
    speed = np.linalg.norm(turns, axis=1)
    before, after = _around(speed > 0)
    fast = np.append(speed > _RESTING, False)  # the last: there is none
    return np.asarray((speed == 0) & fast[before] & fast[after])


def _around(there: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(T,) row of the last sample before each and of the first that is not before it; -1 where there is none."""
    rows = np.append(np.flatnonzero(there), -1)
    after = np.searchsorted(rows[:-1], np.arange(len(there)))
    return rows[after - 1], rows[after]


def _smoothed(frames: Float, width: int) -> Float:
    """Means of (T, F) frames over windows of ``width``; the first and last frame stand for those beyond the ends."""
    padded = np.pad(frames, ((width // 2, width - 1 - width // 2), (0, 0)), mode="edge")
    means: Float = sliding_window_view(padded, width, axis=0).mean(axis=-1)
    return means


def nodes_of(skeleton: Skeleton) -> tuple[int | None, int | None]:
    """Rows of the accelerometer and the gyroscope of one sensor: at the wrist where that is named, else the first.

    Raises:
        ConfigError: the layout has neither.
    """
    kinds = [[i for i, name in enumerate(skeleton.joints) if re.search(kind, name)] for kind in _NODES]
    if not is_read(skeleton):
        raise ConfigError(
            f"{skeleton.name} has no node that is called an accelerometer or a gyroscope; it has "
            f"{', '.join(skeleton.joints)}"
        )
    words = "|".join(rf"{kind}[a-z]*(_(velocity|rate))?" for kind in _NODES)
    place = [re.sub(words, "", name) for name in skeleton.joints]
    main = next(own for own in kinds if own)
    worn = place[next((i for i in main if re.search(_WORN, skeleton.joints[i])), main[0])]
    there = [own if len(own) == 1 else [i for i in own if place[i] == worn] for own in kinds]
    first, second = (own[0] if own else None for own in there)
    return first, second


def is_read(skeleton: Skeleton) -> bool:
    """Whether recordings of a layout come to the form :data:`LAYOUT`: an accelerometer or a gyroscope is in it."""
    return skeleton.kind == "sensor" and any(re.search(kind, name) for kind in _NODES for name in skeleton.joints)


def units_of(archive: MotionArchive) -> str:
    """Units of an archive's readings, such as ``g, deg/s``: as it says, else as they are seen.

    Gravity is the median size of an acceleration, within a factor of three; where it is not there the unit is taken
    to be m/s². Turns above 40 rad/s are degrees.

    Raises:
        ConfigError: see :func:`nodes_of`.
    """
    said = [next((u for u in kinds if re.search(SPELLINGS[u], plain(archive.units))), None) for kinds in (FORCE, TURN)]
    if None in said:
        rows = np.unique(np.linspace(0, len(archive) - 1, _CLIPS).astype(np.int64))
        frames = np.concatenate([archive.clip(int(i))[:, 0] for i in rows])
        seen = (_seen(frames, node, kind) for node, kind in zip(nodes_of(archive.skeleton), (FORCE, TURN), strict=True))
        said = [ours or theirs for ours, theirs in zip(said, seen, strict=True)]
    return ", ".join(str(unit) for unit in said)


def kind_of(node: str) -> str:
    """What a node measures: ``acc`` or ``gyr`` by its name, ``mag``, else its own name."""
    kinds = (*zip(("acc", "gyr"), _NODES, strict=True), ("mag", "(?i:mag)"))
    return next((kind for kind, form in kinds if re.search(form, node)), node)


def views_of_kinds(archive: MotionArchive) -> tuple[str, ...]:
    """Views of the accelerometers alone and of the gyroscopes alone; none where either recorded nothing."""
    skeleton = archive.skeleton
    rows = np.unique(np.linspace(0, len(archive) - 1, _CLIPS).astype(np.int64))
    recorded = np.any([archive.clip(int(i)).any(axis=(0, 1, 3)) for i in rows], axis=0)
    views = []
    for kind in ("acc", "gyr"):
        nodes = [name for i, name in enumerate(skeleton.joints) if recorded[i] and kind_of(name) == kind]
        if not nodes or any(set(name) & set("[]+") for name in nodes):
            return ()
        views.append(f"joint[{'+'.join(nodes)}]")
    return tuple(views)


def factors(skeleton: Skeleton, units: str, wanted: str) -> npt.NDArray[np.float64] | None:
    """(V,) factors of the nodes from units such as ``g, deg/s`` to others; None where the two are not of one kind.

    A unit is that of the nodes named for it, or of all where no node is named for any.
    """
    scales = np.ones(len(skeleton))
    kinds = np.array([next((k for k, n in enumerate(_NODES) if re.search(n, name)), -1) for name in skeleton.joints])
    said = [[unit.strip() for unit in text.split(",")] for text in (units, wanted)]
    if len(said[0]) != len(said[1]):
        return None
    for theirs, ours in zip(*said, strict=True):
        kind = next((k for k, known in enumerate((FORCE, TURN)) if {theirs, ours} <= set(known)), None)
        if kind is None or (len(said[0]) > 1 and (kinds < 0).all()):
            return None
        known = (FORCE, TURN)[kind]
        scales[(kinds == kind) | (kinds < 0).all()] = known[theirs] / known[ours]
    return scales


def _seen(frames: Float, node: int | None, kinds: dict[str, float]) -> str:
    """The unit of (T, V, 3) readings of one node."""
    first = next(iter(kinds))
    sizes = np.zeros(0) if node is None else np.linalg.norm(frames[:, node].astype(np.float64), axis=1)
    sizes = sizes[sizes > 0]
    if not len(sizes):
        return first
    if kinds is TURN:
        return "deg/s" if np.quantile(sizes, 0.999) > _FASTEST else first
    gravity = {unit: abs(math.log(float(np.median(sizes)) * scale / FORCE["g"])) for unit, scale in FORCE.items()}
    best = min(gravity, key=lambda unit: gravity[unit])
    return best if gravity[best] < math.log(3) else first
