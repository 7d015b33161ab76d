"""Performances of gestures: whose hand, how long and how differently each time, and what a tracker makes of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from motet.data.simulate.draws import generator
from motet.data.simulate.hands.anatomy import (
    BONES,
    CHANNELS,
    FINGER_CHANNELS,
    INDEX,
    LIMITS,
    PLACE_CHANNELS,
    POSE,
    TURN_CHANNELS,
    Array,
    Size,
    about,
    joints,
    rotation,
)
from motet.data.simulate.hands.gestures import FREE, RELAXED, Gesture, Keys

REACH = 0.19
"""metres that a path of one hand length takes"""
_FOREARM = 0.30  # metres; how far the wrist is from what it swings about
SHORTEST, LONGEST = 10 / 30, 150 / 30
"""seconds of a clip"""
_X, _Y, _Z = np.eye(3)
_MIRROR = np.array([1.0, -1.0, -1.0])
_TILTS = (10.0, 45.0, 70.0)
# how much the estimate of a joint trembles: wrist, then root to tip of each finger
_TREMBLE = np.array([0.9, *[1.0, 1.0, 1.4, 1.8] * 5])
_ALONG = np.array([0.0, *[0.2, 0.5, 0.8, 1.0] * 5])  # how far along its finger a joint is
_OF_WRIST = np.arange(len(CHANNELS)) >= len(POSE)
_FINGER_OF = np.array([5, *np.repeat(np.arange(5), 4)])


@dataclass(frozen=True)
class Performer:
    """One simulated person's hand and habits.

    Attributes:
        size: of the hand.
        left: whether it is the left hand.
        tempo, amplitude: relative to a gesture's own.
        twist, tilt, yaw, roll: how the hand is held, degrees.
        posture: (channels of the fingers,) what they are bent more than others', degrees.
        swing: from 0, the hand keeps its direction along a path, to 1, it turns with the forearm.
        habit: (shapes of FREE,) how often each is held where a gesture leaves that open.
    """

    size: Size
    left: bool
    tempo: float
    amplitude: float
    twist: float
    tilt: float
    yaw: float
    roll: float
    posture: Array
    swing: float
    habit: Array


def make_performer(seed: int, number: int) -> Performer:
    """The performer of a number (from 0) in the company of a seed."""
    draw = generator(seed, "hand", number)
    length = 0.187 * np.exp(np.clip(draw.normal(0, 0.08), -0.2, 0.2))
    palm = np.exp(draw.normal(0, 0.05, 3) * [1, 0.6, 0])
    bones = {
        finger: np.array(own) * np.exp(draw.normal(0, 0.05)) * np.exp(draw.normal(0, 0.03, 3))
        for finger, own in BONES.items()
    }
    twist, tilt, yaw, roll = draw.normal(0, (20, 18, 14, 12))
    return Performer(
        size=Size(float(length), palm, bones),
        left=bool(draw.random() < 0.5),
        tempo=float(np.exp(np.clip(draw.normal(0, 0.2), -0.45, 0.45))),
        amplitude=float(np.exp(np.clip(draw.normal(0, 0.18), -0.4, 0.4))),
        twist=float(twist),
        tilt=float(tilt),
        yaw=float(yaw),
        roll=float(roll),
        posture=draw.normal(0, 3, len(POSE)),
        swing=float(draw.random()),
        habit=draw.dirichlet(np.full(len(FREE), 0.5)),
    )


def _table(keys: Keys) -> tuple[Array, Array]:
    """(K,) phases and (K, channels) values, NaN where a pose says nothing."""
    values = np.full((len(keys), len(CHANNELS)), np.nan)
    for row, (_, pose) in zip(values, keys, strict=True):
        for name, value in pose.items():
            row[INDEX[name]] = value
    return np.array([phase for phase, _ in keys]), values


def _held(draw: np.random.Generator, gesture: Gesture, who: Performer) -> Array:
    """(channels,) how the hand is held where the gesture says nothing."""
    shape = RELAXED
    if gesture.free:
        by_habit = gesture.free is FREE and draw.random() < 0.7
        shape = gesture.free[draw.choice(len(gesture.free), p=who.habit if by_habit else None)]
    start = np.zeros(len(CHANNELS))
    for name, value in {**RELAXED, **shape}.items():
        start[INDEX[name]] = value
    return start


def _along(phase: Array, times: Array, values: Array) -> Array:
    """Values at phases between key poses, along curves of least jerk."""
    before = np.clip(np.searchsorted(times, phase, side="right") - 1, 0, len(times) - 1)
    after = np.minimum(before + 1, len(times) - 1)
    part = np.clip((phase - times[before]) / np.maximum(times[after] - times[before], 1e-6), 0, 1)
    eased = part**3 * (10 - 15 * part + 6 * part**2)
    mixed: Array = values[before] + (values[after] - values[before]) * eased
    return mixed


def _follow_keys(draw: np.random.Generator, pose: Array, keys: Keys, phase: Array) -> None:
    times, values = _table(keys)
    times = np.maximum.accumulate(np.clip(times + draw.normal(0, 0.02, len(times)), 0, 1))
    times = times + 1e-4 * np.arange(len(times))
    for channel in np.flatnonzero(~np.isnan(values).all(axis=0)):
        said = ~np.isnan(values[:, channel])
        pose[:, channel] = _along(phase, times[said], values[said, channel])


def _repeat(pose: Array, cycle: Keys, turned: Array) -> None:
    """Add a cycle at (F,) periods passed; fingers follow it alone."""
    times, values = _table(cycle)
    moved = ~np.isnan(values).all(axis=0)
    values = np.where(np.isnan(values), 0, values)
    where = turned % 1.0
    before = np.searchsorted(times, where, side="right") - 1
    part = (where - times[before]) / (np.append(times[1:], 1.0) - times)[before]
    eased = (0.5 - 0.5 * np.cos(np.pi * part))[:, None]
    added = values[before] + (values[(before + 1) % len(times)] - values[before]) * eased
    pose[:, moved] = np.where(_OF_WRIST[moved], pose[:, moved], 0) + added[:, moved]


def _sway(draw: np.random.Generator, seconds: float, u: Array) -> Array:
    size = np.concatenate([np.full(len(POSE), 2.0), np.full(3, 0.03), np.full(3, 3.0)])
    waves = draw.normal(size=(2, 2, len(CHANNELS))) * size
    total = np.zeros((len(u), len(CHANNELS)))
    for wave, rate in zip(waves, draw.uniform((0.2, 0.5), (0.5, 1.2)), strict=True):
        angle = 2 * np.pi * rate * seconds * u[:, None]
        total += wave[0] * np.sin(angle) + wave[1] * np.cos(angle)
    return total


def _posed(draw: np.random.Generator, gesture: Gesture, who: Performer, fps: float) -> Array:
    """(F, channels) of one repetition."""
    lead, tail = draw.uniform(-0.05, 0.25, 2)
    seconds = float(np.clip(draw.uniform(*gesture.seconds) / who.tempo * (1 + lead + tail), SHORTEST, LONGEST))
    frames = max(2, round(seconds * fps))
    u = np.linspace(0, 1, frames)
    uneven = draw.uniform((-0.35, -0.25), (0.35, 0.25))
    phase = u + (uneven[0] * np.sin(2 * np.pi * u) + 0.5 * uneven[1] * np.sin(4 * np.pi * u)) / (2 * np.pi)
    phase = np.clip(-lead + (1 + tail + lead) * phase, 0, 1)
    start = _held(draw, gesture, who)
    pose = np.tile(start, (frames, 1))
    if gesture.keys:
        _follow_keys(draw, pose, gesture.keys, phase)
    if gesture.cycle:
        periods = draw.uniform(*gesture.rate) * who.tempo * seconds
        _repeat(pose, gesture.cycle, draw.random() + periods * (u - 0.5 + 0.08 * uneven[0] * np.sin(2 * np.pi * u)))
    gain = np.exp(np.clip(draw.normal(0, 0.15, len(CHANNELS)), -0.35, 0.35))
    gain[PLACE_CHANNELS] *= who.amplitude * np.exp(draw.normal(0, 0.12))
    gain[TURN_CHANNELS] *= who.amplitude**0.6
    pose = (pose - start) * gain + start
    pose[:, FINGER_CHANNELS] += who.posture + draw.normal(0, 5, len(POSE))
    return np.clip(pose + _sway(draw, seconds, u), LIMITS[:, 0], LIMITS[:, 1])


def perform(draw: np.random.Generator, gesture: Gesture, who: Performer, fps: float) -> Array:
    """One repetition of a gesture, as it truly is.

    Returns:
        (F, 21, 3) metres about where the wrist began: x right, y up, z towards the viewer.
    """
    pose = _posed(draw, gesture, who, fps)
    side = -1.0 if who.left else 1.0
    tilt = (draw.choice(_TILTS) if gesture.tilt is None else gesture.tilt) + who.tilt + draw.normal(0, 9)
    twist = who.twist + draw.normal(0, 10) + (180 if gesture.back else 0)
    yaw, roll = np.array([who.yaw, who.roll]) + draw.normal(0, 8, 2)
    held = about(_Y, np.array([yaw])) @ about(_Z, np.array([roll])) @ about(_X, np.array([tilt]))
    held = held @ about(_Y, np.array([side * twist]))
    place = pose[:, PLACE_CHANNELS] * REACH
    swing = np.degrees(who.swing * draw.uniform(0.5, 1.3) / _FOREARM)
    # a turn seen in a mirror: what is across the mirror's normal changes its sense
    turn = rotation(pose[:, TURN_CHANNELS] * (_MIRROR if who.left and gesture.mirrored else 1.0))
    turned = about(_Y, swing * place[:, 0]) @ about(_X, -swing * place[:, 1]) @ turn @ held
    hand = joints(pose, who.size) * [side, 1, 1]
    out: Array = np.einsum("fij,fvj->fvi", turned, hand) + place[:, None]
    return out


def _slow(noise: Array, memory: float) -> Array:
    """(F, …) autoregressive noise of unit variance."""
    gain = np.sqrt(1 - memory**2)
    filtered: Array = lfilter([gain], [1, -memory], noise, axis=0, zi=noise[:1] * (1 - gain))[0]
    return filtered


def track(draw: np.random.Generator, hand: Array) -> Array:
    """What a camera's hand tracker makes of true joints.

    It trembles and wanders, most at the tips and finger by finger; a finger stands still for some frames, or is taken
    for another.

    Args:
        draw: generator of the clip's tracker.
        hand: (F, 21, 3) metres.
    """
    frames, count, _ = hand.shape
    level, white, slow = np.exp(draw.normal(0, 0.4)), draw.normal(size=hand.shape), draw.normal(size=hand.shape)
    finger = _slow(draw.normal(size=(frames, 6, 3)), 0.93)[:, _FINGER_OF] * _ALONG[:, None]
    wrong = draw.normal(size=(count, 3))
    out: Array = hand + level * _TREMBLE[:, None] * (0.0012 * white + 0.0022 * _slow(slow, 0.85) + 0.003 * wrong)
    out += 0.004 * level * finger
    for _ in range(draw.poisson(frames / 80)):
        first = int(draw.integers(frames))
        last, which = min(frames, first + int(draw.integers(2, 9))), int(draw.integers(5))
        own = 1 + 4 * which
        if draw.random() < 0.5:
            out[first:last, own : own + 4] = out[first, own : own + 4] - out[first, 0] + out[first:last, :1]
        else:
            other = 1 + 4 * ((which + int(draw.integers(1, 5))) % 5)
            mine, theirs = (out[first:last, root + 1 : root + 4] for root in (own, other))
            out[first:last, own + 1 : own + 4] = 0.4 * mine + 0.6 * theirs
    return out
