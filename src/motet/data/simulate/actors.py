"""Simulated actors: body size and limb ratios, tempo, amplitude, handedness and posture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from motet.data.simulate.body import CHANNELS, INDEX, SEGMENTS, SOLE, Array
from motet.data.simulate.draws import generator

SIZES = (*SEGMENTS, "sole", "stance", "toe_out")
"""Rows of a table of body sizes: segment lengths (m), half the stance width (m), toe-out (rad)."""

_LEFT_HANDED = 0.15
# Standard deviation, in degrees, of how actors differ in the way they hold themselves.
_POSTURE = {"spine_flex": 5.0, "head_nod": 6.0, "spine_side": 1.5, "head_tilt": 2.0, "pelvis_pitch": 1.5} | {
    f"{side}_{name}": value
    for side in "lr"
    for name, value in {"elevation": 4.0, "elbow": 8.0, "plane": 13.0, "pron": 12.0, "twist": 8.0}.items()
}


@dataclass(frozen=True)
class Actor:
    """One simulated person.

    Attributes:
        stature: height in metres.
        size: (len(SIZES),) segment lengths in metres and stance.
        tempo: speed relative to a programme's own, about 0.79 to 1.27.
        amplitude: how large the movements are, about 0.8 to 1.25.
        left_handed: whether the left side leads.
        posture: (channels,) offsets in radians that the actor holds throughout.
    """

    stature: float
    size: Array
    tempo: float
    amplitude: float
    left_handed: bool
    posture: Array


def make_actor(seed: int, number: int) -> Actor:
    """The actor of a number (from 0) in the company of a seed."""
    draw = generator(seed, "actor", number)
    tall, female = draw.standard_normal(), draw.random() < 0.5
    stature = float(np.clip((1.64 if female else 1.77) + 0.065 * tall, 1.48, 1.98))
    ratios = np.exp(0.035 * np.clip(draw.standard_normal(len(SEGMENTS)), -2, 2))
    legs = np.exp(0.025 * np.clip(draw.standard_normal(), -2, 2))
    size = {name: stature * part * ratio for (name, part), ratio in zip(SEGMENTS.items(), ratios, strict=True)}
    for name in ("thigh", "shank"):
        size[name] *= legs
    size["shoulder_width"] *= 0.96 if female else 1.04
    size["sole"] = stature * SOLE
    size["stance"] = size["hip_width"] * draw.uniform(0.95, 1.6)
    size["toe_out"] = np.radians(draw.uniform(0, 16))
    posture = np.zeros(len(CHANNELS), np.float32)
    for name, spread in _POSTURE.items():
        posture[INDEX[name]] = np.radians(spread * np.clip(draw.standard_normal(), -2, 2))
    return Actor(
        stature=stature,
        size=np.array([size[name] for name in SIZES], np.float32),
        tempo=float(np.exp(0.12 * np.clip(draw.standard_normal(), -2, 2))),
        amplitude=float(np.exp(0.11 * np.clip(draw.standard_normal(), -2, 2))),
        left_handed=bool(draw.random() < _LEFT_HANDED),
        posture=posture,
    )


def sizes_by_name(table: Array, actor: npt.NDArray[np.int64]) -> dict[str, Array]:
    """Segment lengths of each frame's actor: (actors, sizes) gathered by (F,) into (F,) rows."""
    return {name: table[actor, i] for i, name in enumerate(SIZES)}
