"""Performances: who does which programme, how long and how differently each time; and the poses that follow.

Everything is computed for many performances at once over one flat axis of frames (F = sum of lengths), by
element-wise operations alone, so a result does not depend on what else is in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from motet.data.simulate.actors import Actor, sizes_by_name
from motet.data.simulate.body import (
    CHANNELS,
    INDEX,
    LIMITS,
    REST,
    Array,
    Posed,
    leg_length,
    mirror_channels,
    pose_body,
    rest_pose,
)
from motet.data.simulate.programme import CYCLE_STEPS, KEY_STEPS, Programme, Table, left, reach, right

SHORTEST, LONGEST = 40 / 30, 150 / 30
"""Seconds."""

# A clip is cut by hand: it may miss this share of the action at either end, or show that much of standing around.
_CUT, _HOLD = 0.05, 0.25

_BARE = [name.removeprefix("l_").removeprefix("r_") for name in CHANNELS]
_LEGS = np.isin(_BARE, ["pelvis_x", "pelvis_y", "pelvis_z", "out", "up", "fwd"])
_ARMS = np.isin(_BARE, ["plane", "elevation", "twist", "elbow", "pron", "wrist"])
# turns of the whole body and of the feet are what the programme says, whatever the amplitude
_EXACT = np.isin(_BARE, ["pelvis_yaw", "carry", "heel", "toe_out", "fly", "plane", "pron", "wrist"])
_SWAY = np.array([
    0.02 if arm else 0.0 if name in {"out", "up", "fwd", "carry", "heel", "toe_out", "fly", "pelvis_y"}
    else 0.010 if name.startswith("pelvis_") and leg else 0.022 if name.startswith("head") else 0.012
    for name, arm, leg in zip(_BARE, _ARMS, _LEGS, strict=True)
], np.float32)  # fmt: skip

_ON_HIP = reach(0.16, -0.50, 0.02, swivel=88, pron=60, wrist=-30)
_AT_BELLY = reach(-0.25, -0.42, 0.40, swivel=35, pron=40)
_BENT = {"plane": 60.0, "elevation": 12.0, "elbow": 55.0, "pron": 20.0}
_IDLE: tuple[dict[str, float], ...] = ({}, {}, {}, {}, _BENT, _ON_HIP, _AT_BELLY)
"""What an arm may do that the action does not need; mostly it hangs."""


@dataclass(frozen=True)
class Performance:
    """One person doing one programme once.

    Attributes:
        programme: index into the compiled programmes.
        actor: index into the company of actors.
        frames: length in frames.
        cycles, start: how many periods of the cycle pass, and the phase at which they begin.
        trim: phases of the programme at which the clip begins and ends; outside 0 to 1 its ends are held.
        warp: (2,) how the passing of phase speeds up and slows down.
        gain: (channels,) amplitude.
        offset: (channels,) posture and idle arms, radians.
        sway: (2 frequencies, sine and cosine, channels) slow swaying; ``sway_rate`` (2,) in radians per clip.
        mirrored: whether the left side leads.
    """

    programme: int
    actor: int
    frames: int
    cycles: float
    start: float
    trim: tuple[float, float]
    warp: Array
    gain: Array
    offset: Array
    sway: Array
    sway_rate: Array
    mirrored: bool


def idle_arms(programme: Programme) -> tuple[bool, bool]:
    """Whether the programme leaves the left, the right arm alone."""
    used = {name for _, pose in (*programme.keys, *programme.cycle) for name in pose}
    return tuple(not any(n.startswith(f"{s}_") and _ARMS[INDEX[n]] for n in used) for s in "lr")  # type: ignore[return-value]


def _idle_offset(draw: np.random.Generator, programme: Programme) -> Array:
    offset = np.zeros(len(CHANNELS), np.float32)
    for side, idle in zip((left, right), idle_arms(programme), strict=True):
        held = _IDLE[draw.integers(len(_IDLE))]
        if idle:
            for name, value in side(**held).items():
                offset[INDEX[name]] = np.radians(value - REST.get(name, 0.0))
    return offset


def perform(
    draw: np.random.Generator, index: int, programme: Programme, number: int, actor: Actor, fps: float
) -> Performance:
    """Draw one repetition of a programme by an actor."""
    lead, tail = draw.uniform(-_CUT, _HOLD, 2)
    seconds = draw.uniform(*programme.seconds) / actor.tempo * (1 + lead + tail)
    frames = round(float(np.clip(seconds, SHORTEST, LONGEST)) * fps)
    rate = draw.uniform(*programme.rate) * actor.tempo
    free = programme.freedom
    gain = np.exp(np.clip(draw.standard_normal(len(CHANNELS)), -2, 2) * np.where(_ARMS, 0.11, 0.15) * free)
    gain *= actor.amplitude**free
    gain[_LEGS] = np.exp(0.06 * free * np.clip(draw.standard_normal(), -2, 2)) * actor.amplitude ** (0.7 * free)
    gain[_EXACT] = 1.0
    daily = 0.5 * np.radians(4.0) * np.clip(draw.standard_normal(len(CHANNELS)), -2, 2)
    offset = (actor.posture + np.where(actor.posture != 0, daily, 0)) * np.where(_ARMS, free, 1.0)
    spread = np.exp(0.3 * np.clip(draw.standard_normal(), -2, 2))
    sway = _SWAY * spread * draw.standard_normal((2, 2, len(CHANNELS))) * np.where(_ARMS, 0.3 + 0.7 * free, 1.0)
    frequency = 2 * np.pi * draw.uniform((0.12, 0.35), (0.35, 0.7))
    return Performance(
        programme=index,
        actor=number,
        frames=frames,
        cycles=rate * frames / fps,
        start=float(draw.random()),
        trim=(float(-lead), float(1 + tail)),
        warp=draw.uniform((-0.28, -0.2), (0.28, 0.2)).astype(np.float32),
        gain=gain.astype(np.float32),
        offset=(offset + _idle_offset(draw, programme)).astype(np.float32),
        sway=sway.astype(np.float32),
        sway_rate=(frequency * frames / fps).astype(np.float32),
        mirrored=actor.left_handed,
    )


@dataclass(frozen=True)
class Stage:
    """Performances computed together.

    Attributes:
        posed: kinematics over the flat axis of frames.
        pose: (channels, F) what was posed, radians and leg lengths.
        starts, lengths: first flat frame and number of frames of each performance.
    """

    posed: Posed
    pose: Array
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]


def _rows(table: Array, programme: npt.NDArray[np.int64], position: Array) -> Array:
    """(F, channels) rows of compiled tables at fractional positions."""
    low = np.minimum(position.astype(np.int64), table.shape[1] - 2)
    part = (position - low).astype(np.float32)
    part = part[:, None] if table.ndim == 3 else part
    first: Array = table[programme, low]
    first += (table[programme, low + 1] - first) * part
    return first


def stage(performances: Sequence[Performance], table: Table, sizes: Array) -> Stage:
    """Pose and forward kinematics of all performances.

    Args:
        performances: what to compute.
        table: compiled programmes.
        sizes: (actors, sizes) body sizes, see :data:`motet.data.simulate.actors.SIZES`.
    """
    lengths = np.array([p.frames for p in performances], np.int64)
    starts = np.cumsum(lengths) - lengths
    own = np.repeat(np.arange(len(performances)), lengths)
    u = (np.arange(len(own)) - starts[own]) / np.maximum(lengths - 1, 1)[own]
    programme = np.array([p.programme for p in performances])[own]

    warp = np.stack([p.warp for p in performances])[own]
    trim = np.array([p.trim for p in performances])[own]
    tau = 2 * np.pi * u
    phase = u + (warp[:, 0] * np.sin(tau) + 0.5 * warp[:, 1] * np.sin(2 * tau)) / (2 * np.pi)
    phase = np.clip(trim[:, 0] + (trim[:, 1] - trim[:, 0]) * phase, 0, 1)
    cycles = np.array([p.cycles for p in performances])[own]
    turned = cycles * (u - 0.5)
    where = (np.array([p.start for p in performances])[own] + turned) % 1.0

    gain = np.stack([p.gain for p in performances])[own]
    pose = _rows(table.keys, programme, phase * KEY_STEPS)
    gate = _rows(table.gate, programme, phase * KEY_STEPS)
    pose += _rows(table.cycle, programme, where * CYCLE_STEPS) * gate[:, None]
    rest = rest_pose()
    pose = (pose - rest) * gain + rest + np.stack([p.offset for p in performances])[own]
    pose += _sway(performances, own, u)
    mirrored = np.array([p.mirrored for p in performances])[own]
    source, sign = mirror_channels()
    pose[mirrored] = pose[mirrored][:, source] * sign
    pose = np.ascontiguousarray(np.clip(pose, LIMITS[:, 0], LIMITS[:, 1]).T)

    size = sizes_by_name(sizes, np.array([p.actor for p in performances])[own])
    stride = table.travel[programme] * gain[:, INDEX["l_fwd"]]
    travel = (stride * turned * leg_length(size)).astype(np.float32)
    return Stage(pose_body(pose, size, travel), pose, starts, lengths)


def _sway(performances: Sequence[Performance], own: npt.NDArray[np.int64], u: npt.NDArray[np.float64]) -> Array:
    sway = np.stack([p.sway for p in performances])
    rate = np.stack([p.sway_rate for p in performances])[own]
    total = np.zeros((len(own), len(CHANNELS)), np.float32)
    for k in range(2):
        angle = (rate[:, k] * u).astype(np.float32)
        total += sway[own, k, 0] * np.sin(angle)[:, None]
        total += sway[own, k, 1] * np.cos(angle)[:, None]
    return total
