"""Gestures as data: shapes of the hand, paths and turns of the wrist.

A gesture is a list of key poses over its course and a cycle that repeats next to them. A pose names the channels that
it moves (:mod:`motet.data.simulate.hands.anatomy`); the others stay as the hand happens to be held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from motet.data.simulate.hands.anatomy import FINGERS, Array

Pose = Mapping[str, float]
Keys = tuple[tuple[float, Pose], ...]
SPREAD = {"index": 1.0, "middle": 0.2, "ring": -0.6, "pinky": -1.4}
"""how far each finger moves aside when all are spread"""


@dataclass(frozen=True)
class Gesture:
    """What a hand does.

    Attributes:
        name: of the class.
        seconds: shortest and longest duration at ordinary tempo.
        keys: poses at phases from 0 to 1.
        cycle: poses at phases of a period; of the wrist they are added to the keys.
        rate: least and most periods a second.
        free: shapes of which one is held where the keys say nothing of the fingers; empty for a relaxed hand.
        tilt: 0 fingers up and palm to the viewer, 90 fingers to the viewer and palm down; None where both will do.
        back: whether the viewer sees the back of the hand.
        mirrored: whether a left hand turns the other way, as in signs; turns of the picture (clockwise) are for both.
    """

    name: str
    seconds: tuple[float, float]
    keys: Keys = ()
    cycle: Keys = ()
    rate: tuple[float, float] = (0.0, 0.0)
    free: tuple[Pose, ...] = ()
    tilt: float | None = None
    back: bool = False
    mirrored: bool = False


def fingers(mcp: float, pip: float, spread: float | None = None, which: Sequence[str] = FINGERS) -> Pose:
    """The same bend of some fingers."""
    pose = {f"{f}_mcp": mcp for f in which} | {f"{f}_pip": pip for f in which}
    return pose if spread is None else pose | {f"{f}_spread": spread * SPREAD[f] for f in which}


def thumb(out: float, palm: float, mcp: float = 0, ip: float = 0) -> Pose:
    """Where the thumb points."""
    return {"thumb_out": out, "thumb_palm": palm, "thumb_mcp": mcp, "thumb_ip": ip}


def wrist(x: float = 0, y: float = 0, z: float = 0, **turn: float) -> Pose:
    """Where the wrist is, and how it is turned (rx, ry, rz)."""
    return {"x": x, "y": y, "z": z, **turn}


ASIDE, FOLDED, LOOSE = thumb(60, 15), thumb(15, 25, 45, 45), thumb(40, 25, 12, 15)
_STRETCHED = (0, 2)
OPEN: Pose = {**fingers(*_STRETCHED, 8), **ASIDE}
RELAXED: Pose = {**fingers(22, 30, 2), **LOOSE}
FIST: Pose = {**fingers(78, 98, 0), **FOLDED}
FLAT: Pose = {**fingers(2, 4, 0), **LOOSE}
WIDE: Pose = {**fingers(-8, 0, 15), **thumb(75, 15)}
CLAW: Pose = {**fingers(15, 55, 12), **thumb(60, 40)}
POINTING: Pose = {**FIST, **fingers(*_STRETCHED, 0, ("index",))}
TWO: Pose = {**FIST, **fingers(*_STRETCHED, 6, ("index", "middle"))}
THREE: Pose = {**fingers(*_STRETCHED, 8), **fingers(78, 98, 0, ("ring", "pinky")), **ASIDE}
FOUR: Pose = {**OPEN, **FOLDED}
PINCHED: Pose = {**RELAXED, **fingers(55, 48, 0, ("index",)), **thumb(20, 40, 20, 22)}
OKAY: Pose = {**PINCHED, **fingers(5, 8, 8, FINGERS[1:])}
APART: Pose = {**RELAXED, **fingers(18, 16, None, ("index",)), **thumb(45, 45)}
BEAK: Pose = {**fingers(60, 40, -4), **thumb(15, 40, 20, 18)}
THUMB_UP: Pose = {**FIST, **thumb(70, 0, -5, -5)}
HORNS: Pose = {**FIST, **fingers(*_STRETCHED, 0, ("index", "pinky"))}
TELEPHONE: Pose = {**FIST, **fingers(*_STRETCHED, 0, ("pinky",)), **ASIDE}
ANGLE: Pose = {**POINTING, **thumb(80, 15)}
SHAPES = (
    OPEN, RELAXED, FIST, FLAT, WIDE, CLAW, POINTING, TWO, PINCHED, OKAY, APART, BEAK, THUMB_UP, THREE, FOUR, HORNS,
    TELEPHONE, ANGLE,
)  # fmt: skip
FREE = (POINTING, POINTING, FLAT, RELAXED, OPEN, TWO, FIST)
"""how a hand is held that draws a path; each person has a habit"""
_TURNING = (CLAW, PINCHED, RELAXED, APART, FIST)
_PALM = (OPEN, FLAT, RELAXED)


def path(
    name: str, points: Sequence[Sequence[float] | Array], seconds: tuple[float, float], free: tuple[Pose, ...] = FREE
) -> Gesture:
    """A path of the wrist through points (hand lengths), at even speed but for a stop at each."""
    places = [np.pad(np.asarray(p, np.float64), (0, 3 - len(p))) for p in points]
    steps = [float(np.linalg.norm(b - a)) + 0.15 for a, b in pairwise(places)]
    phases = 0.05 + 0.9 * np.cumsum([0.0, *steps]) / sum(steps)
    keys = tuple((float(t), wrist(*map(float, p))) for t, p in zip(phases, places, strict=True))
    return Gesture(name, seconds, keys, free=free)


def _shape(name: str, seconds: tuple[float, float], first: Pose, last: Pose, **more: float) -> Gesture:
    """One shape of the hand becomes another."""
    return Gesture(name, seconds, ((0.1, first), (0.8, last)), **more)  # type: ignore[arg-type]


def _shown(name: str, shape: Pose, tilt: float | None = None) -> Gesture:
    """A relaxed hand shows a shape and holds it."""
    return Gesture(name, (0.7, 1.6), ((0.1, RELAXED), (0.5, shape)), tilt=tilt, mirrored=True)


def _again(
    name: str,
    held: Pose | tuple[Pose, ...],
    cycle: Sequence[Pose],
    rate: tuple[float, float],
    seconds: tuple[float, float] = (0.9, 2.2),
    tilt: float | None = None,
) -> Gesture:
    """Poses that repeat, next to a shape that is held or one of several."""
    phases = tuple((i / len(cycle), pose) for i, pose in enumerate(cycle))
    if isinstance(held, tuple):
        return Gesture(name, seconds, (), phases, rate, held, tilt)
    return Gesture(name, seconds, ((0.0, held),), phases, rate, (), tilt)


_CIRCLE = [(0.6 * float(np.sin(a)), 0.6 * float(np.cos(a))) for a in np.linspace(0, 2 * np.pi, 9)]
_PRESS, _BENT = wrist(0, -0.25, 0.42, rx=22), fingers(35, 35, None, ("index",))
WRITTEN: tuple[Gesture, ...] = (
    _shape("grab", (0.6, 1.4), OPEN, FIST),
    _shape("release", (0.6, 1.4), FIST, OPEN),
    _shape("pinch", (0.5, 1.3), APART, PINCHED),
    _shape("zoom in", (0.5, 1.3), PINCHED, {**APART, **fingers(0, 5, None, ("index",)), "thumb_out": 65}),
    _shape("expand", (0.6, 1.4), BEAK, WIDE),
    _shape("gather", (0.6, 1.4), WIDE, BEAK),
    Gesture("tap", (0.5, 1.2), ((0.05, wrist()), (0.5, _PRESS), (0.95, wrist())), free=FREE),
    Gesture(
        "double tap", (0.8, 1.6), free=FREE,
        keys=((0.05, wrist()), (0.28, _PRESS), (0.5, wrist()), (0.72, _PRESS), (0.95, wrist())),
    ),
    Gesture("click", (0.4, 1.0), ((0.1, POINTING), (0.5, {**POINTING, **_BENT}), (0.9, POINTING))),
    Gesture("rotate clockwise", (0.7, 1.6), ((0.1, wrist(rz=35)), (0.9, wrist(rz=-55))), free=_TURNING),
    Gesture("rotate anticlockwise", (0.7, 1.6), ((0.1, wrist(rz=-35)), (0.9, wrist(rz=55))), free=_TURNING),
    Gesture("turn palm up", (0.6, 1.4), ((0.1, wrist()), (0.9, wrist(ry=150))), free=_PALM, mirrored=True),
    Gesture("turn palm down", (0.6, 1.4), ((0.1, wrist(ry=150)), (0.9, wrist())), free=_PALM, mirrored=True),
    path("swipe right", [(-0.8, 0), (0.8, 0)], (0.7, 1.6)),
    path("swipe left", [(0.8, 0), (-0.8, 0)], (0.7, 1.6)),
    path("swipe up", [(0, -0.7), (0, 0.7)], (0.7, 1.6)),
    path("swipe down", [(0, 0.7), (0, -0.7)], (0.7, 1.6)),
    path("push", [(0, 0, -0.4), (0, 0, 0.7)], (0.7, 1.6)),
    path("pull", [(0, 0, 0.7), (0, 0, -0.4)], (0.7, 1.6)),
    path("draw a circle", _CIRCLE, (0.9, 2.2)),
    path("draw a circle anticlockwise", [(-x, y) for x, y in _CIRCLE], (0.9, 2.2)),
    path("draw an X", [(-0.6, 0.6), (0.6, -0.6), (0.6, 0.5), (-0.6, -0.6)], (1.0, 2.4)),
    path("draw a V", [(-0.6, 0.6), (0, -0.6), (0.6, 0.6)], (0.8, 1.9)),
    path("draw a plus", [(0, 0.7), (0, -0.7), (-0.6, 0), (0.7, 0)], (1.1, 2.4)),
    path("draw a plus, across first", [(-0.7, 0), (0.7, 0), (0, 0.7), (0, -0.7)], (1.1, 2.4)),
    path("draw a Z", [(-0.6, 0.6), (0.6, 0.6), (-0.6, -0.6), (0.6, -0.6)], (1.0, 2.2)),
    path("draw a square", [(-0.5, 0.5), (0.5, 0.5), (0.5, -0.5), (-0.5, -0.5), (-0.5, 0.5)], (1.2, 2.6)),
    path("draw a triangle", [(0, 0.6), (0.6, -0.5), (-0.6, -0.5), (0, 0.6)], (1.1, 2.4)),
    path("draw a tick", [(-0.4, 0), (-0.1, -0.4), (0.6, 0.6)], (0.7, 1.5)),
    _again("wave", OPEN, (wrist(rz=25), wrist(rz=-25)), (1.2, 2.6), tilt=5),
    _again("shake", FREE, (wrist(0.35), wrist(-0.35)), (1.8, 4.0)),
    _again("shake up and down", FREE, (wrist(0, 0.35), wrist(0, -0.35)), (1.6, 3.6)),
    _again("beckon", FLAT, (fingers(0, 5), fingers(60, 50)), (1.1, 2.4)),
    _again("beckon with a finger", POINTING, ({}, fingers(40, 70, None, ("index",))), (1.1, 2.4)),
    _again("knock", FIST, (wrist(rx=-18), wrist(0, -0.1, 0.2, rx=25)), (1.6, 3.2)),
    _again(
        "drum with the fingers", RELAXED, rate=(1.0, 2.2),
        cycle=[{f"{f}_mcp": 45, f"{g}_mcp": 5} for f, g in zip(FINGERS, ("pinky", *FINGERS[:3]), strict=True)],
    ),
    _again("say no with a finger", POINTING, (wrist(rz=22), wrist(rz=-22)), (1.2, 2.6)),
    _again("screw", PINCHED, (wrist(ry=-30), wrist(ry=45)), (0.9, 2.0)),
    _again(
        "write", PINCHED, (wrist(-0.08, 0.06), wrist(0.05, 0.08), wrist(0.08, -0.05), wrist(-0.05, -0.08)), (1.5, 3.0)
    ),
    _again("stroke", FLAT, (wrist(-0.4, 0, 0.1), wrist(0.4)), (0.6, 1.4), tilt=85),
    _again(
        "cut with scissors", TWO, rate=(1.2, 2.6),
        cycle=({"index_spread": 14, "middle_spread": -10}, {"index_spread": 0, "middle_spread": 0}),
    ),
    _again("open and close", RELAXED, (OPEN, FIST), (0.8, 1.8)),
    _again("scroll", POINTING, (wrist(0, 0.2), {**wrist(0, -0.15), "index_mcp": 30, "index_pip": 20}), (1.0, 2.0)),
    Gesture("turn a key", (0.7, 1.5), ((0.1, {**PINCHED, "ry": -10}), (0.9, {**PINCHED, "ry": 90}))),
    _shown("point", POINTING),
    _shown("thumb up", {**THUMB_UP, "rz": 80}, 80),
    _shown("thumb down", {**THUMB_UP, "rz": -95}, 80),
    _shown("okay", OKAY, 5),
    _shown("victory", {**TWO, "index_spread": 14, "middle_spread": -8}, 5),
    _shown("three", THREE, 5),
    _shown("four", FOUR, 5),
    Gesture("stop", (0.7, 1.6), ((0.1, {**RELAXED, "rx": 60}), (0.55, {**FLAT, **wrist(0, 0.3, 0.3)})), tilt=0),
    Gesture(
        "snap", (0.5, 1.1),
        ((0.1, {**BEAK, "middle_mcp": 60}), (0.55, {**BEAK, "middle_mcp": 60}),
         (0.7, {**APART, "middle_mcp": 85, "middle_pip": 60})),
    ),
    Gesture(
        "throw", (0.6, 1.3),
        ((0.05, {**FIST, **wrist(0, 0.3, -0.3, rx=-50)}), (0.6, {**OPEN, **wrist(0, 0.1, 0.6, rx=30)}),
         (0.95, {**RELAXED, **wrist(0, -0.2, 0.6, rx=50)})),
    ),
    Gesture("catch", (0.6, 1.3), ((0.05, {**OPEN, **wrist(0, 0, 0.4)}), (0.6, {**FIST, **wrist(0, -0.1, -0.1)}))),
)  # fmt: skip
