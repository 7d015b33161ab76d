"""Invented actions: key poses, cycles and gaits of arms, trunk and feet, drawn at random.

Nobody would name them. They are there for variety when an encoder trains. Joint limits hold; between two stances the
feet may slide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from motet.data.simulate.body import INDEX, LIMITS
from motet.data.simulate.draws import generator
from motet.data.simulate.programme import Gait, Keys, Pose, Programme, both, left, reach, right

Point = npt.NDArray[np.float64]
Gate = tuple[float, float, float, float]

REST: Pose = {}
# where a wrist goes: box of (out, up, forward) in arm lengths from the shoulder, and how often
_ZONES = (
    ((-0.45, 0.35), (-0.35, 0.10), (0.35, 0.85), 4.0),  # before chest and belly
    ((-0.30, 0.25), (0.15, 0.45), (0.15, 0.45), 2.5),  # at the head
    ((0.30, 0.95), (-0.20, 0.30), (-0.15, 0.45), 2.0),  # to the side
    ((-0.10, 0.45), (0.55, 0.95), (-0.05, 0.45), 2.0),  # up
    ((-0.35, 0.15), (-0.20, 0.20), (0.75, 0.98), 2.0),  # straight forward
    ((-0.25, 0.30), (-0.90, -0.45), (0.10, 0.55), 1.5),  # low before the body
    ((0.05, 0.40), (-0.85, -0.50), (-0.30, 0.05), 1.0),  # behind the hip
)
# channel of the trunk or head, its range in degrees, how often it moves, whether it moves more where no arm does
_TRUNK = (
    ("spine_flex", -12, 35, 0.4, True),
    ("spine_twist", -35, 35, 0.3, True),
    ("spine_side", -22, 22, 0.25, True),
    ("head_nod", -25, 30, 0.3, False),
    ("head_turn", -50, 50, 0.3, False),
    ("head_tilt", -20, 20, 0.15, False),
)
_STANCES = {
    "stand": 0.46, "squat": 0.08, "bend": 0.08, "lunge": 0.07, "kick": 0.08, "side": 0.06, "turn": 0.04, "sit": 0.04,
    "jump": 0.04, "tiptoe": 0.02, "lean": 0.03,
}  # fmt: skip
_ARMS = {"right": 0.40, "left": 0.08, "both": 0.24, "each": 0.18, "none": 0.10}
_ARM = ("plane", "elevation", "twist", "elbow", "pron", "wrist")
_FOOT = ("up", "fwd", "out", "heel", "carry")


def invented(seed: int, count: int) -> tuple[Programme, ...]:
    """The first ``count`` invented actions of a seed; an action depends on the seed and its number alone."""
    return tuple(_invent(generator(seed, "invented", number), number) for number in range(count))


def _one_of(draw: np.random.Generator, shares: Mapping[str, float]) -> str:
    return str(draw.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))


@dataclass(frozen=True)
class _Arms:
    """Who moves, and how the elbows are turned; the same throughout an action."""

    who: str
    swivel: tuple[float, float]
    pron: float

    @classmethod
    def drawn(cls, draw: np.random.Generator) -> _Arms:
        first, second = draw.uniform(0, 70, 2)
        return cls(_one_of(draw, _ARMS), (float(first), float(second)), float(draw.uniform(-30, 70)))

    def at(self, points: list[Point]) -> dict[str, float]:
        """The arms with the wrists at two points, of the leading and of the other arm."""
        first, second = (self._reach(point, swivel) for point, swivel in zip(points, self.swivel, strict=True))
        match self.who:
            case "right":
                return right(**first)
            case "left":
                return left(**first)
            case "both":
                return both(**first)
            case "each":
                return {**right(**first), **left(**second)}
        return {}

    def _reach(self, point: Point, swivel: float) -> dict[str, float]:
        out, up, forward = (float(x) for x in (point + 0.1 if np.linalg.norm(point) < 0.05 else point))
        angles = reach(out, up, forward, swivel=swivel, pron=self.pron)
        limits = {name: np.degrees(LIMITS[INDEX[f"r_{name}"]]) for name in angles}
        return {name: float(np.clip(value, *limits[name])) for name, value in angles.items()}


def _place(draw: np.random.Generator) -> Point:
    weights = np.array([zone[3] for zone in _ZONES])
    zone = _ZONES[int(draw.choice(len(_ZONES), p=weights / weights.sum()))]
    return np.array([draw.uniform(*box) for box in zone[:3]])


def _trunk(draw: np.random.Generator, strength: float) -> dict[str, float]:
    return {
        name: float(draw.uniform(low, high)) * (strength if stronger else 1.0)
        for name, low, high, often, stronger in _TRUNK
        if draw.random() < often
    }


def _stance(draw: np.random.Generator) -> dict[str, float]:
    """Pelvis and feet; most often plain standing."""
    side = "l" if draw.random() < 0.3 else "r"
    outward = -1.0 if side == "r" else 1.0

    def some(low: float, high: float) -> float:
        return float(draw.uniform(low, high))

    match _one_of(draw, _STANCES):
        case "squat":
            y = some(0.12, 0.55)
            return {"pelvis_y": -y, "pelvis_z": -0.28 * y, "pelvis_pitch": 45 * y, "spine_flex": 25 * y}
        case "bend":
            pitch = some(15, 60)
            back = {"pelvis_pitch": pitch, "pelvis_z": -0.004 * pitch}
            return {**back, "spine_flex": some(5, 35), "head_nod": some(-20, 15)}
        case "lunge":
            forward, y = some(0.4, 0.9), some(0.1, 0.36)
            rear = "r" if side == "l" else "l"
            return {f"{side}_fwd": forward, "pelvis_z": forward / 2, "pelvis_y": -y, f"{rear}_heel": 100 * y}
        case "kick":
            foot = {f"{side}_up": some(0.15, 0.75), f"{side}_fwd": some(-0.4, 0.8), f"{side}_out": some(-0.1, 0.5)}
            lean = {"pelvis_x": -0.1 * outward, "pelvis_pitch": some(-14, 12)}
            return {**lean, **foot, f"{side}_heel": some(-5, 50)}
        case "side":
            out = some(0.2, 0.5)
            return {f"{side}_out": out, "pelvis_x": outward * some(0.2, 0.8) * out, "pelvis_y": -some(0, 0.2)}
        case "turn":
            angle = some(-90, 90)
            return {"pelvis_yaw": angle, "r_carry": angle * 0.9, "l_carry": angle * 0.9}
        case "sit":
            return {"pelvis_y": -0.47, "pelvis_z": -0.43, "spine_flex": some(0, 10)}
        case "jump":
            return {"fly": some(0.08, 0.35), "r_heel": 42.0, "l_heel": 42.0}
        case "tiptoe":
            return {"l_heel": some(10, 40), "r_heel": some(10, 40), "pelvis_y": 0.05}
        case "lean":
            return {"pelvis_x": some(-0.08, 0.08), "pelvis_roll": some(-8, 8)}
    return {}


@dataclass(frozen=True)
class _Poses:
    """What an action passes through.

    Attributes:
        poses: one to four key poses.
        points: of the two wrists in the last.
        at: phases of the poses.
        start, end: phases at which it leaves rest and is back.
        back: whether it comes back.
    """

    poses: list[dict[str, float]]
    points: list[Point]
    at: Point
    start: float
    end: float
    back: bool

    def keys(self, draw: np.random.Generator) -> Keys:
        """Pose after pose, held for a moment or not."""
        keys: list[tuple[float, Pose]] = [(0.0, REST), (self.start, REST)]
        hold = draw.random() < 0.5 and len(self.poses) <= 2
        after = [*self.at[1:], self.end]
        for moment, following, pose in zip(self.at, after, self.poses, strict=True):
            keys.append((float(moment), pose))
            if hold and moment + 0.12 < following - 0.05:
                keys.append((float(moment + draw.uniform(0.05, 0.12)), pose))
        return (*keys, *self._rest())

    def held(self) -> tuple[Keys, Gate]:
        """The last pose from beginning to end, and the gate of what repeats about it."""
        start, end, last = self.start, self.end, self.poses[-1]
        keys: Keys = ((0.0, REST), (start, REST), (start + 0.15, last), (end - 0.15, last), *self._rest())
        return keys, (start + 0.12, start + 0.2, end - 0.2, end - 0.12)

    def _rest(self) -> Keys:
        return ((self.end, REST),) if self.back else ()


def _poses(draw: np.random.Generator, arms: _Arms) -> _Poses:
    count = int(draw.choice([1, 2, 3, 4], p=[0.3, 0.35, 0.22, 0.13]))
    stance, points = _stance(draw), [_place(draw), _place(draw)]
    steps, strength = draw.random() < 0.5, 1.3 if arms.who == "none" else 1.0
    poses = []
    for number in range(count):
        if number:
            points = [_place(draw) if draw.random() < 0.6 else p + draw.normal(0, 0.2, 3) for p in points]
            if steps and draw.random() < 0.5:
                stance = _stance(draw)
        poses.append({**stance, **_trunk(draw, strength), **arms.at(points)})
    start, end = float(draw.uniform(0.03, 0.14)), float(draw.uniform(0.86, 0.97))
    gap = 0.07  # between poses
    at = np.sort(draw.uniform(start + 0.12, end - 0.10, count))
    for number in range(1, count):
        at[number] = max(at[number], at[number - 1] + gap)
    at = np.minimum(at, end - 0.04 - gap * (count - 1 - np.arange(count)))
    return _Poses(poses, points, at, start, end, bool(draw.random() < 0.85))


def _rate(draw: np.random.Generator, low: float, high: float) -> tuple[float, float]:
    rate = float(draw.uniform(low, high))
    return 0.85 * rate, 1.15 * rate


def _repeated(draw: np.random.Generator, arms: _Arms, own: _Poses) -> Keys:
    """A cycle of the wrists about the last pose, along a line or round a triangle."""
    reach_of, last = draw.uniform(0.08, 0.35), own.poses[-1]
    directions = [v / np.linalg.norm(v) for v in draw.normal(0, 1, (2, 3))]
    legs = {name: value for name, value in last.items() if name[2:] not in _ARM}
    far = {**legs, **arms.at([p + reach_of * v for p, v in zip(own.points, directions, strict=True)])}
    if draw.random() >= 0.4:
        return (0.0, last), (0.5, far)
    aside = [reach_of * np.cross(v, draw.normal(0, 1, 3)) for v in directions]
    third = {**legs, **arms.at([p + v for p, v in zip(own.points, aside, strict=True)])}
    return (0.0, last), (0.33, far), (0.67, third)


def _gait(draw: np.random.Generator) -> Gait:
    return Gait(
        stride=float(draw.choice([0.0, draw.uniform(0.3, 0.8)])),
        duty=float(draw.uniform(0.48, 0.62)),
        lift=float(draw.uniform(0.06, 0.45)),
        reach=float(draw.uniform(-0.2, 0.3)),
        heel=float(draw.uniform(10, 55)),
        strike=float(draw.uniform(0, 12)),
    )


def _walked(draw: np.random.Generator, arms: _Arms, own: _Poses) -> tuple[Keys, Keys]:
    """Keys and cycle of steps: arms and trunk of the poses, or arms that swing."""
    kept = [
        {n: v for n, v in pose.items() if n[2:] not in _FOOT and not n.startswith(("pelvis", "fly"))}
        for pose in own.poses
    ]
    keys: Keys = ((0.0, kept[0]),)
    if draw.random() >= 0.5:
        keys = (0.0, REST), (0.15, kept[0]), (0.7, kept[-1]), (0.95, REST)
    angle, twist = float(draw.uniform(5, 38)), float(draw.uniform(-8, 8))

    def swing(sign: float) -> dict[str, float]:
        arm = {"r_elevation": 4 + sign * angle, "l_elevation": 4 - sign * angle, "r_plane": 82.0, "l_plane": 82.0}
        return {"spine_twist": sign * twist, **(arm if arms.who == "none" else {})}

    return keys, ((0.0, swing(1.0)), (0.5, swing(-1.0)))


def _invent(draw: np.random.Generator, number: int) -> Programme:
    arms = _Arms.drawn(draw)
    own = _poses(draw, arms)
    kind, cycle, rate = draw.random(), Keys(), (1.0, 1.0)
    gate: Gate | None = None
    gait: Gait | None = None
    if kind < 0.45 and arms.who != "none":
        (keys, gate), cycle, rate = own.held(), _repeated(draw, arms, own), _rate(draw, 0.7, 2.6)
    elif kind < 0.60:
        (keys, cycle), gait, rate = _walked(draw, arms, own), _gait(draw), _rate(draw, 0.6, 1.6)
    elif kind < 0.70:  # squats, bows, jumping jacks: the whole body repeats
        near = {**_stance(draw), **arms.at([_place(draw), _place(draw)])}
        (keys, gate), cycle, rate = own.held(), ((0.0, own.poses[-1]), (0.5, near)), _rate(draw, 0.4, 1.2)
    else:
        keys = own.keys(draw)
    base = float(draw.uniform(1.2, 3.2))
    return Programme(
        f"invented {number + 1}",
        (0.7 * base, 1.4 * base),
        keys=keys,
        cycle=cycle,
        rate=rate,
        gate=gate,
        gait=gait,
        freedom=float(draw.choice([1.0, 0.6, 0.35])),
    )
