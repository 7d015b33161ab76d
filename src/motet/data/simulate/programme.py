"""What an action is: key poses, an optional cycle and gait; and its compilation into smooth tables over phase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d

from motet.data.simulate.body import CHANNELS, INDEX, SEGMENTS, Array, is_angle, rest_pose

Pose = Mapping[str, float]
Keys = tuple[tuple[float, Pose], ...]

KEY_STEPS, CYCLE_STEPS = 1024, 512


@dataclass(frozen=True)
class Gait:
    """Alternating steps; lengths in leg lengths.

    Attributes:
        stride: how far a standing foot passes below the body; the body travels ``stride / duty`` a cycle.
        duty: share of the cycle for which a foot stands.
        lift: height of the toe in mid-swing.
        reach: how far the swinging foot leaves its straight path, forward (knee raised) or backward (heels to seat).
        heel: degrees by which the heel is raised in mid-swing.
        strike: degrees by which the toes point up when the heel lands.
    """

    stride: float
    duty: float
    lift: float
    reach: float = 0.0
    heel: float = 25.0
    strike: float = 0.0


@dataclass(frozen=True)
class Programme:
    """One action. Poses name channels of :data:`motet.data.simulate.body.CHANNELS` in degrees and leg lengths; a
    channel
    that a pose leaves out is at rest. They are written for a right-handed actor.

    Attributes:
        name: class name.
        seconds: shortest and longest duration at tempo 1.
        keys: (phase, pose) with phases from 0 to 1 over the clip.
        cycle: (phase, pose) over one period; what it adds is the difference to its first pose.
        rate: cycles a second at tempo 1.
        gate: phases at which the cycle begins to show, shows fully, begins to fade, is gone; None: throughout.
        gait: steps of the cycle's period.
        freedom: how far amplitude and posture may change the arms; small where a hand must arrive somewhere.
    """

    name: str
    seconds: tuple[float, float]
    keys: Keys
    cycle: Keys = ()
    rate: tuple[float, float] = (1.0, 1.0)
    gate: tuple[float, float, float, float] | None = None
    gait: Gait | None = None
    freedom: float = 1.0


@dataclass(frozen=True)
class Table:
    """Compiled programmes: (A, steps + 1, channels) radians and metres per leg length; see :func:`compile_all`."""

    keys: Array
    cycle: Array
    gate: Array
    travel: Array


def both(**channels: float) -> dict[str, float]:
    """The same arm or foot channels on both sides."""
    return {f"{side}_{name}": value for side in "lr" for name, value in channels.items()}


def right(**channels: float) -> dict[str, float]:
    """Channels of the leading side."""
    return {f"r_{name}": value for name, value in channels.items()}


def left(**channels: float) -> dict[str, float]:
    """Channels of the other side."""
    return {f"l_{name}": value for name, value in channels.items()}


def reach(
    out: float, up: float, fwd: float, *, swivel: float = 20.0, pron: float = 0.0, wrist: float = 0.0
) -> dict[str, float]:
    """Arm channels (degrees) that bring the wrist to a place relative to the shoulder, for a body of average ratios.

    Args:
        out, up, fwd: outward from the body, up, forward; in arm lengths (shoulder to wrist).
        swivel: degrees by which the elbow is turned outward from pointing down.
        pron, wrist: passed through.
    """
    arm = SEGMENTS["upper_arm"] + SEGMENTS["forearm"]
    upper, fore = SEGMENTS["upper_arm"] / arm, SEGMENTS["forearm"] / arm
    target = np.array([out, up, fwd], float)
    distance = float(np.clip(np.linalg.norm(target), 0.3, 0.998))
    line = target / np.linalg.norm(target)
    target = line * distance
    down = np.array([0.0, -1.0, 0.0])
    down = down - line * (down @ line)
    if np.linalg.norm(down) < 0.05:  # straight up or down: the elbow points outward or behind
        down = np.array([0.0, 0.0, -1.0]) - line * (-line[2])
    down /= np.linalg.norm(down)
    aside = np.cross(line, down)
    aside = aside if aside[0] >= 0 else -aside
    turned = down * np.cos(np.radians(swivel)) + aside * np.sin(np.radians(swivel))
    along = (upper**2 - fore**2 + distance**2) / (2 * distance)
    elbow_at = line * along + turned * np.sqrt(max(upper**2 - along**2, 0.0))
    u = elbow_at / upper
    f = (target - elbow_at) / fore
    plane, elevation = np.arctan2(u[2], u[0]), np.arccos(np.clip(-u[1], -1, 1))
    axis = np.array([-np.sin(plane), 0.0, np.cos(plane)])
    # rotate the forearm back into the hanging upper arm's frame (Rodrigues, by -elevation)
    c, s = np.cos(-elevation), np.sin(-elevation)
    local = f * c + np.cross(axis, f) * s + axis * (axis @ f) * (1 - c)
    flexion = np.arccos(np.clip(-local[1], -1, 1))
    twist = np.arctan2(local[0], local[2]) if flexion > 0.02 else 0.0
    angles = {"plane": plane, "elevation": elevation, "twist": twist, "elbow": flexion}
    return {name: float(np.degrees(value)) for name, value in angles.items()} | {"pron": pron, "wrist": wrist}


def _row(pose: Pose) -> Array:
    row = rest_pose()
    for name, value in pose.items():
        row[INDEX[name]] = np.radians(value) if is_angle(name) else value
    return row


def _interpolate(keys: Keys, phase: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Monotone cubic through the keys: no overshoot, at rest wherever a key is held or turned back from."""
    rows = np.stack([_row(pose) for _, pose in keys]).astype(float)
    if len(keys) == 1:
        return np.repeat(rows, len(phase), axis=0)
    result: npt.NDArray[np.float64] = PchipInterpolator([p for p, _ in keys], rows, axis=0)(phase)
    return result


def _keys_table(programme: Programme) -> Array:
    phase = np.linspace(0, 1, KEY_STEPS + 1)
    first, last = programme.keys[0][1], programme.keys[-1][1]
    keys = tuple(k for k in programme.keys if 0 < k[0] < 1)
    # the keys held outside make a clip that starts early or ends late begin and end at rest
    rows = _interpolate(((-0.05, first), (0.0, first), *keys, (1.0, last), (1.05, last)), phase)
    smooth: Array = gaussian_filter1d(rows, 0.008 * KEY_STEPS, axis=0, mode="nearest").astype(np.float32)
    return smooth


def _cycle_table(programme: Programme) -> Array:
    phase = np.arange(CYCLE_STEPS + 1) / CYCLE_STEPS
    rows = np.zeros((CYCLE_STEPS + 1, len(CHANNELS)))
    if programme.cycle:
        before = [(p - 1, pose) for p, pose in programme.cycle]
        after = [(p + 1, pose) for p, pose in programme.cycle]
        rows += _interpolate((*before, *programme.cycle, *after), phase) - _row(programme.cycle[0][1])
    if programme.gait:
        _add_gait(rows, programme.gait, phase)
    smooth = gaussian_filter1d(rows[:-1], 0.015 * CYCLE_STEPS, axis=0, mode="wrap")
    return np.concatenate([smooth, smooth[:1]]).astype(np.float32)


def _add_gait(rows: npt.NDArray[np.float64], gait: Gait, phase: npt.NDArray[np.float64]) -> None:
    half, duty = gait.stride / 2, gait.duty
    toe_up = np.sin(np.radians(gait.strike)) * SEGMENTS["foot"] / (SEGMENTS["thigh"] + SEGMENTS["shank"])
    for side, shift in (("l", 0.0), ("r", 0.5)):
        own = (phase + shift) % 1.0
        s = np.clip((own - duty) / (1 - duty), 0, 1)
        stand = half - gait.stride * own / duty
        # the swing leaves and lands with the floor's own speed (cubic Hermite)
        speed = -gait.stride / duty * (1 - duty)
        swing = (
            -half * (2 * s**3 - 3 * s**2 + 1)
            + speed * (s**3 - 2 * s**2 + s)
            + half * (3 * s**2 - 2 * s**3)
            + speed * (s**3 - s**2)
        )
        bump = np.sin(np.pi * s) ** 2
        rows[:, INDEX[f"{side}_fwd"]] += np.where(own < duty, stand, swing) + gait.reach * bump
        landing = np.clip(1 - own / 0.07, 0, 1) * (own < duty) + np.clip((s - 0.6) / 0.4, 0, 1)
        rows[:, INDEX[f"{side}_up"]] += gait.lift * bump + toe_up * landing
        push = np.clip((own - duty + 0.16) / 0.16, 0, 1) * (own < duty) + (own >= duty) * np.clip(1 - s / 0.7, 0, 1)
        rows[:, INDEX[f"{side}_heel"]] += np.radians(gait.heel) * push**2 - np.radians(gait.strike) * landing


def _gate(programme: Programme) -> Array:
    phase = np.linspace(0, 1, KEY_STEPS + 1)
    if not programme.cycle and not programme.gait:
        return np.zeros(len(phase), np.float32)
    if programme.gate is None:
        return np.ones(len(phase), np.float32)
    a, b, c, d = programme.gate
    up, down = np.clip((phase - a) / (b - a), 0, 1), np.clip((d - phase) / (d - c), 0, 1)
    s = np.minimum(up, down)
    gate: Array = (s * s * (3 - 2 * s)).astype(np.float32)
    return gate


def compile_all(programmes: tuple[Programme, ...]) -> Table:
    """Tables of all programmes, dense enough for linear interpolation between their rows."""
    return Table(
        keys=np.stack([_keys_table(p) for p in programmes]),
        cycle=np.stack([_cycle_table(p) for p in programmes]),
        gate=np.stack([_gate(p) for p in programmes]),
        travel=np.array([p.gait.stride / p.gait.duty if p.gait else 0.0 for p in programmes], np.float32),
    )
