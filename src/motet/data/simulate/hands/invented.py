"""Invented gestures: paths, shapes and turns of a hand, drawn at random, for variety when an encoder trains."""

from __future__ import annotations

import numpy as np

from motet.data.simulate.draws import generator
from motet.data.simulate.hands.anatomy import FINGERS, Array
from motet.data.simulate.hands.gestures import (
    ASIDE,
    FOLDED,
    FREE,
    SHAPES,
    SPREAD,
    Gesture,
    Keys,
    Pose,
    path,
    thumb,
    wrist,
)

_KINDS = {"path": 0.48, "shape": 0.20, "turn": 0.08, "both": 0.20}
_CYCLES = {"shape": 0.28, "turn": 0.21, "path": 0.22, "both": 0.29}
_REPEATED = 0.28
"""share of gestures that repeat"""
_TURNS = ("rx", "ry", "rz"), (60.0, 110.0, 75.0)
"""axes, and how far a wrist turns about them at most, degrees"""


def invented(seed: int, count: int) -> tuple[Gesture, ...]:
    """The first ``count`` invented gestures of a seed; one depends on the seed and its number alone."""
    return tuple(_invent(generator(seed, "invented gesture", number), number) for number in range(count))


def _one_of(draw: np.random.Generator, shares: dict[str, float]) -> str:
    return str(draw.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))


def _shape(draw: np.random.Generator) -> Pose:
    """A shape that has a name, or fingers that are each bent, half bent or straight."""
    if draw.random() < 0.5:
        return SHAPES[draw.integers(len(SHAPES))]
    anywhere = thumb(*(float(draw.uniform(0, most)) for most in (75, 60, 45, 60)))
    pose = dict((ASIDE, FOLDED, anywhere)[draw.choice(3, p=[0.4, 0.3, 0.3])])
    bent = draw.choice([0, 0.25, 0.5, 1.0], 4, p=[0.4, 0.15, 0.15, 0.3])
    if draw.random() < 0.4:
        bent[:] = bent[0]
    for finger, level in zip(FINGERS, bent, strict=True):
        pose[f"{finger}_mcp"] = float(80 * level * draw.uniform(0.6, 1.1))
        pose[f"{finger}_pip"] = float(95 * level * draw.uniform(0.5, 1.1))
        pose[f"{finger}_spread"] = float(draw.uniform(-3, 14) * SPREAD[finger])
    return pose


def _points(draw: np.random.Generator, lines: int) -> list[Array]:
    """Points of a path about its middle: an arc, or straight lines that mostly follow the axes or the diagonals."""
    if draw.random() < 0.25:
        start, sweep = draw.uniform(0, 2 * np.pi), draw.choice([-1, 1]) * draw.uniform(0.6, 2) * np.pi
        radius, flat = draw.uniform(0.35, 0.8), draw.uniform(0.5, 1)
        plane = np.linalg.qr(draw.normal(size=(3, 3)))[0] if draw.random() < 0.4 else np.eye(3)
        angles = start + sweep * np.linspace(0, 1, 8)
        return [plane @ np.array([radius * np.cos(a), flat * radius * np.sin(a), 0]) for a in angles]
    points = [draw.normal(0, 0.35, 3) * [1, 1, 0.5]]
    for _ in range(lines):
        kind = draw.random()
        if kind < 0.6:
            along = np.eye(3)[draw.choice(3, p=[0.4, 0.4, 0.2])] * draw.choice([-1, 1]) + draw.normal(0, 0.12, 3)
        elif kind < 0.8:
            along = np.array([draw.choice([-1, 1]), draw.choice([-1, 1]), 0]) + draw.normal(0, 0.12, 3)
        else:
            along = draw.normal(size=3) * [1, 1, 0.6]
        points.append(points[-1] + along / np.linalg.norm(along) * draw.uniform(0.4, 1.4))
    middle = np.mean(points, axis=0)
    return [p - middle for p in points]


def _turn(draw: np.random.Generator) -> dict[str, float]:
    axis, turn = int(draw.integers(3)), np.zeros(3)
    turn[axis] = draw.choice([-1, 1]) * draw.uniform(20, _TURNS[1][axis])
    if draw.random() < 0.3:
        turn += draw.normal(0, 12, 3)
    return dict(zip(_TURNS[0], map(float, turn), strict=True))


def _changes(draw: np.random.Generator, kind: str) -> Keys:
    """Two or three key poses of shape, turn or both, on a path where it is both."""
    count = int(draw.choice([2, 3], p=[0.7, 0.3]))
    shapes = [_shape(draw) for _ in range(count)]
    if count == 3 and draw.random() < 0.6:
        shapes[2] = shapes[0]
    places = _points(draw, count - 1)[-count:] if kind == "both" else []
    keys = []
    for i, phase in enumerate(np.linspace(0.1, 0.9, count)):
        pose: dict[str, float] = {}
        if kind == "shape" or (kind == "both" and draw.random() < 0.8):
            pose |= shapes[i]
        if kind == "turn" or (kind == "both" and draw.random() < 0.5):
            pose |= _turn(draw)
        if places and draw.random() < 0.8:
            pose |= wrist(*map(float, 0.7 * places[i]))
        keys.append((float(phase), pose))
    return tuple(keys)


def _cycle(draw: np.random.Generator, kind: str) -> Keys:
    first: dict[str, float] = {}
    second: dict[str, float] = {}
    if kind in ("shape", "both"):
        moved = [f for f in FINGERS if draw.random() < 0.6] or ["index"]
        mcp, pip = float(draw.uniform(20, 70)), float(draw.uniform(10, 80))
        for finger in moved:
            first |= {f"{finger}_mcp": 0, f"{finger}_pip": 5}
            second |= {f"{finger}_mcp": mcp, f"{finger}_pip": pip}
    if kind in ("turn", "both"):
        turn = _turn(draw)
        first |= {name: 0.4 * value for name, value in turn.items()}
        second |= {name: -0.4 * value for name, value in turn.items()}
    if kind in ("path", "both"):
        along = draw.normal(size=3)
        along *= draw.uniform(0.15, 0.5) / np.linalg.norm(along)
        first |= wrist(*map(float, along))
        second |= wrist(*map(float, -along))
    return (0.0, first), (0.5, second)


def _invent(draw: np.random.Generator, number: int) -> Gesture:
    name, base = f"invented {number + 1}", float(draw.uniform(0.6, 2.2))
    tilt = float(draw.choice([5, 45, 85])) if draw.random() < 0.5 else None
    back, repeated = bool(draw.random() < 0.3), draw.random() < _REPEATED
    keys: Keys = ()
    cycle: Keys = ()
    free: tuple[Pose, ...] = ()
    rate = (0.0, 0.0)
    if repeated:
        kind, base, often = _one_of(draw, _CYCLES), float(draw.uniform(1.0, 2.2)), float(draw.uniform(0.9, 3.0))
        cycle, rate = _cycle(draw, kind), (0.75 * often, 1.3 * often)
        free = FREE if kind == "path" and draw.random() < 0.6 else (_shape(draw),)
    elif (kind := _one_of(draw, _KINDS)) == "path":
        points = _points(draw, int(draw.integers(1, 5)))
        keys = path(name, points, (1, 1)).keys
        base *= 1.0 if len(points) > 6 else 0.6 + 0.2 * len(points)
        free = FREE if draw.random() < 0.7 else (_shape(draw),)
    else:
        keys = _changes(draw, kind)
        free = FREE if kind == "turn" and draw.random() < 0.5 else (_shape(draw),)
    return Gesture(name, (0.7 * base, 1.4 * base), keys, cycle, rate, free, tilt, back)
