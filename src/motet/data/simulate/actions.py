"""The actions, as data. Degrees and leg lengths; written for a right-handed actor; see :mod:`.programme`."""

from __future__ import annotations

from dataclasses import dataclass

from motet.data.simulate.programme import Gait, Programme, both, left, reach, right

REST: dict[str, float] = {}

# --- poses that several actions share
_GUARD = both(**reach(-0.10, 0.02, 0.42, swivel=10, pron=30))
_ON_THIGHS = both(**reach(-0.05, -0.62, 0.48, swivel=25, pron=60))
_SEATED = {"pelvis_y": -0.47, "pelvis_z": -0.43, "spine_flex": 4.0, **_ON_THIGHS}
_RISING = {"pelvis_y": -0.36, "pelvis_z": -0.30, "pelvis_pitch": 26.0, "spine_flex": 18.0, "head_nod": -16.0} | both(
    **reach(0.0, -0.55, 0.60, swivel=20, pron=30)
)
_FORWARD = both(**reach(0.02, 0.0, 0.98, pron=60))
_RAISED = both(**reach(0.02, 0.42, 0.88, pron=60))
_HIGH = both(**reach(0.30, 0.88, 0.10, swivel=40))
_CROUCH = {"pelvis_y": -0.22, "pelvis_z": -0.08, "pelvis_pitch": 22.0, "spine_flex": 20.0}


def _swing_arms(forward: str, angle: float, elbow: float, base: float = 4.0) -> dict[str, float]:
    """Arms as in walking: the named side forward, the other behind."""
    sign = {forward: 1.0, "lr".replace(forward, ""): -1.0}
    return {
        f"{side}_{name}": value
        for side in "lr"
        for name, value in {
            "plane": 82.0, "elevation": base + sign[side] * angle, "elbow": elbow + 10 * sign[side], "pron": 15.0
        }.items()
    }  # fmt: skip


_STRIDE_L = {"pelvis_yaw": -5.0, "spine_twist": 9.0, "spine_flex": 3.0, **_swing_arms("r", 20, 24)}
_STRIDE_R = {"pelvis_yaw": 5.0, "spine_twist": -9.0, "spine_flex": 3.0, **_swing_arms("l", 20, 24)}
_RUN_L = {"pelvis_yaw": -4.0, "spine_twist": 8.0, "spine_flex": 9.0, **_swing_arms("r", 30, 88)}
_RUN_R = {"pelvis_yaw": 4.0, "spine_twist": -8.0, "spine_flex": 9.0, **_swing_arms("l", 30, 88)}
_MARCH_L = {"spine_twist": 4.0, **_swing_arms("r", 34, 12)}
_MARCH_R = {"spine_twist": -4.0, **_swing_arms("l", 34, 12)}

_WAVE = {"spine_side": -2.0, **right(**reach(0.42, 0.46, 0.28, swivel=35, pron=-20))}
_WAVE_OUT = {"spine_side": -2.0, **right(**reach(0.70, 0.36, 0.26, swivel=35, pron=-20, wrist=-15))}
_WAVE_BOTH = both(**reach(0.25, 0.90, 0.12, swivel=50, pron=-20))
_WAVE_BOTH_OUT = both(**reach(0.68, 0.66, 0.12, swivel=50, pron=-20))
_CLAP_OPEN = both(**reach(0.10, -0.16, 0.62, swivel=28, wrist=0))
_CLAP_SHUT = both(**reach(-0.275, -0.16, 0.64, swivel=34, wrist=4))

SOLO: tuple[Programme, ...] = (
    Programme(
        "walk", (1.6, 3.2), keys=((0.0, _STRIDE_L),), cycle=((0.0, _STRIDE_L), (0.5, _STRIDE_R)), rate=(0.75, 1.0),
        gait=Gait(stride=0.66, duty=0.6, lift=0.10, heel=42, strike=12),
    ),
    Programme(
        "run in place", (1.5, 3.0), keys=((0.0, _RUN_L),), cycle=((0.0, _RUN_L), (0.5, _RUN_R)), rate=(1.2, 1.7),
        gait=Gait(stride=0.0, duty=0.5, lift=0.34, reach=-0.16, heel=55),
    ),
    Programme(
        "march", (1.8, 3.6), keys=((0.0, _MARCH_L),), cycle=((0.0, _MARCH_L), (0.5, _MARCH_R)), rate=(0.75, 1.1),
        gait=Gait(stride=0.0, duty=0.55, lift=0.42, reach=0.26, heel=18),
    ),
    Programme(
        "wave", (1.8, 3.6), keys=((0.0, REST), (0.06, REST), (0.24, _WAVE), (0.78, _WAVE), (0.96, REST)),
        cycle=((0.0, _WAVE), (0.5, _WAVE_OUT)), rate=(1.2, 2.0), gate=(0.20, 0.30, 0.72, 0.82),
    ),
    Programme(
        "wave with both hands", (1.8, 3.6),
        keys=((0.0, REST), (0.05, REST), (0.25, _WAVE_BOTH), (0.78, _WAVE_BOTH), (0.97, REST)),
        cycle=((0.0, _WAVE_BOTH), (0.5, _WAVE_BOTH_OUT)), rate=(0.9, 1.5), gate=(0.22, 0.32, 0.70, 0.80),
    ),
    Programme(
        "clap", (1.5, 3.2), keys=((0.0, REST), (0.05, REST), (0.2, _CLAP_OPEN), (0.82, _CLAP_OPEN), (0.97, REST)),
        cycle=((0.0, _CLAP_OPEN), (0.5, _CLAP_SHUT)), rate=(1.6, 2.6), gate=(0.18, 0.24, 0.76, 0.84), freedom=0.25,
    ),
    Programme(
        "punch", (1.4, 2.4),
        keys=(
            (0.0, REST), (0.06, REST), (0.28, {**_GUARD, "spine_twist": -6.0, "pelvis_y": -0.04}),
            (0.38, {**_GUARD, **right(**reach(0.10, -0.12, 0.30, swivel=20)), "spine_twist": -24.0, "pelvis_y": -0.05}),
            (0.50, {**_GUARD, **right(**reach(-0.12, 0.04, 0.98, pron=75)), "spine_twist": 30.0, "pelvis_yaw": 16.0,
                    "pelvis_z": 0.10, "pelvis_y": -0.06, "r_heel": 25.0, "spine_flex": 6.0}),
            (0.64, {**_GUARD, "spine_twist": -4.0, "pelvis_y": -0.04}), (0.70, {**_GUARD, "pelvis_y": -0.04}),
            (0.95, REST),
        ),
    ),
    Programme(
        "front kick", (1.4, 2.4),
        keys=(
            (0.0, REST), (0.12, {"pelvis_x": 0.09, "r_fwd": -0.18, "r_up": 0.05, "r_heel": 30.0, "spine_flex": 4.0}),
            (0.32, {"pelvis_x": 0.11, "r_up": 0.34, "r_fwd": 0.12, "r_heel": 40.0, "pelvis_pitch": -4.0,
                    **left(**reach(0.15, -0.3, 0.6))}),
            (0.46, {"pelvis_x": 0.11, "pelvis_z": -0.06, "r_up": 0.74, "r_fwd": 0.82, "r_heel": 5.0,
                    "pelvis_pitch": -16.0, "spine_flex": 12.0, **left(**reach(0.25, -0.15, 0.75)),
                    **right(plane=60.0, elevation=-35.0, elbow=20.0)}),
            (0.60, {"pelvis_x": 0.10, "r_up": 0.30, "r_fwd": 0.12, "r_heel": 35.0, **left(**reach(0.1, -0.4, 0.5))}),
            (0.80, {"pelvis_x": 0.05}), (0.96, REST),
        ),
    ),
    Programme(
        "sit down", (1.5, 3.0),
        keys=((0.0, REST), (0.15, REST), (0.50, _RISING), (0.72, {**_SEATED, "pelvis_pitch": 4.0}), (0.88, _SEATED)),
    ),
    Programme(
        "stand up", (1.5, 3.0),
        keys=((0.0, _SEATED), (0.14, _SEATED), (0.26, {**_SEATED, "pelvis_pitch": 20.0, "spine_flex": 18.0}),
              (0.48, _RISING), (0.86, REST)),
    ),
    Programme(
        "squat", (2.0, 4.0), keys=((0.0, REST), (0.12, _FORWARD), (0.9, _FORWARD), (1.0, REST)),
        cycle=((0.0, _FORWARD), (0.5, {**_RAISED, "pelvis_y": -0.50, "pelvis_z": -0.14, "pelvis_pitch": 24.0,
                                       "spine_flex": 12.0, "head_nod": -14.0})),
        rate=(0.45, 0.65), gate=(0.02, 0.14, 0.86, 0.98),
    ),
    Programme(
        "jump", (1.4, 2.2),
        keys=(
            (0.0, REST), (0.08, REST), (0.32, {**_CROUCH, **both(plane=85.0, elevation=-38.0, elbow=15.0)}),
            (0.45, {"r_heel": 22.0, "l_heel": 22.0, "pelvis_y": 0.06, **both(plane=80.0, elevation=45.0, elbow=25.0)}),
            (0.50, {"fly": 0.20, "r_heel": 45.0, "l_heel": 45.0, **both(plane=78.0, elevation=90.0, elbow=20.0)}),
            (0.56, {"fly": 0.33, "r_heel": 42.0, "l_heel": 42.0, **both(plane=78.0, elevation=125.0, elbow=20.0)}),
            (0.62, {"fly": 0.20, "r_heel": 25.0, "l_heel": 25.0, **both(plane=78.0, elevation=110.0, elbow=25.0)}),
            (0.66, {"pelvis_y": -0.03, **both(plane=80.0, elevation=80.0, elbow=30.0)}),
            (0.76, {**_CROUCH, **both(plane=80.0, elevation=30.0, elbow=30.0)}), (0.96, REST),
        ),
    ),
    Programme(
        "jumping jack", (1.8, 3.4), keys=((0.0, REST),),
        cycle=(
            (0.0, REST), (0.08, {"pelvis_y": -0.08}),
            (0.26, {"fly": 0.09, **both(plane=12.0, elevation=85.0, elbow=15.0, out=0.16, heel=20.0)}),
            (0.44, both(plane=20.0, elevation=155.0, elbow=18.0, out=0.34)),
            (0.56, {"pelvis_y": -0.07, **both(plane=20.0, elevation=158.0, elbow=18.0, out=0.34)}),
            (0.76, {"fly": 0.09, **both(plane=12.0, elevation=80.0, elbow=15.0, out=0.16, heel=20.0)}), (0.94, REST),
        ),
        rate=(0.8, 1.15),
    ),
    Programme(
        "throw", (1.4, 2.6),
        keys=(
            (0.0, REST), (0.08, REST),
            (0.36, {**right(**reach(0.46, 0.34, -0.06, swivel=50)), **left(**reach(0.10, 0.05, 0.85)),
                    "spine_twist": -34.0, "pelvis_yaw": -20.0, "pelvis_x": -0.06, "pelvis_z": -0.05}),
            (0.50, {**right(**reach(0.05, 0.62, 0.66, swivel=45, pron=30)), **left(**reach(0.15, -0.3, 0.55)),
                    "spine_twist": 14.0, "pelvis_yaw": 12.0, "pelvis_z": 0.10, "r_heel": 25.0, "spine_flex": 6.0}),
            (0.58, {**right(**reach(-0.22, 0.05, 0.94, swivel=20, pron=60, wrist=25)), "spine_twist": 30.0,
                    **left(**reach(0.2, -0.7, 0.35)), "pelvis_yaw": 22.0, "pelvis_z": 0.13, "r_heel": 35.0,
                    "spine_flex": 16.0}),
            (0.72, {**right(**reach(-0.28, -0.45, 0.68, swivel=10, pron=60)), "spine_twist": 24.0,
                    "pelvis_yaw": 14.0, "spine_flex": 14.0, "pelvis_z": 0.08, "r_heel": 20.0}),
            (0.95, REST),
        ),
    ),
    Programme(
        "pick up", (1.8, 3.4),
        keys=(
            (0.0, REST), (0.10, REST),
            (0.42, {"pelvis_y": -0.44, "pelvis_z": -0.18, "pelvis_pitch": 40.0, "spine_flex": 36.0, "head_nod": -10.0,
                    **right(**reach(-0.05, -0.72, 0.66, swivel=10, pron=40)), **left(**reach(0.0, -0.75, 0.40))}),
            (0.54, {"pelvis_y": -0.44, "pelvis_z": -0.18, "pelvis_pitch": 40.0, "spine_flex": 38.0, "head_nod": -8.0,
                    **right(**reach(-0.08, -0.74, 0.62, swivel=10, pron=40)), **left(**reach(0.0, -0.75, 0.40))}),
            (0.80, {"spine_flex": 6.0, "head_nod": 14.0, **right(**reach(-0.12, -0.42, 0.45, swivel=15))}),
            (0.97, {"head_nod": 8.0, **right(**reach(-0.10, -0.46, 0.42, swivel=15))}),
        ),
    ),
    Programme(
        "drink", (2.0, 4.2),
        keys=(
            (0.0, REST), (0.08, REST), (0.22, {"head_nod": 8.0, **right(**reach(0.0, -0.36, 0.52, swivel=22))}),
            (0.44, {"head_nod": -6.0, **right(**reach(-0.26, 0.20, 0.40, swivel=42, pron=10))}),
            (0.52, {"head_nod": -20.0, **right(**reach(-0.26, 0.24, 0.40, swivel=58, pron=25))}),
            (0.66, {"head_nod": -22.0, **right(**reach(-0.26, 0.25, 0.39, swivel=60, pron=25))}),
            (0.80, {"head_nod": 4.0, **right(**reach(-0.05, -0.34, 0.50, swivel=24))}), (0.97, REST),
        ),
        freedom=0.35,
    ),
    Programme(
        "phone call", (2.0, 4.6),
        keys=(
            (0.0, REST), (0.06, REST), (0.18, {"head_nod": 12.0, **right(**reach(-0.05, -0.34, 0.48, swivel=18))}),
            (0.40, {"head_tilt": -8.0, **right(**reach(-0.02, 0.30, 0.18, swivel=30, pron=-10))}),
            (0.70, {"head_tilt": -11.0, "head_turn": 14.0, **right(**reach(-0.02, 0.31, 0.17, swivel=34, pron=-10))}),
            (0.88, {"head_tilt": -8.0, "head_turn": -6.0, **right(**reach(-0.02, 0.30, 0.18, swivel=30, pron=-10))}),
            (1.0, {"head_tilt": -4.0, **right(**reach(0.0, 0.10, 0.36, swivel=26))}),
        ),
        freedom=0.35,
    ),
    Programme(
        "brush teeth", (2.0, 4.0),
        keys=((0.0, REST), (0.05, REST), (0.22, {"head_nod": 6.0, **right(**reach(-0.20, 0.20, 0.42, swivel=62))}),
              (0.80, {"head_nod": 6.0, **right(**reach(-0.20, 0.20, 0.42, swivel=62))}), (0.97, REST)),
        cycle=((0.0, right(**reach(-0.20, 0.20, 0.42, swivel=62))),
               (0.5, right(**reach(-0.06, 0.19, 0.42, swivel=66)))),
        rate=(2.0, 3.0), gate=(0.20, 0.28, 0.74, 0.82), freedom=0.35,
    ),
    Programme(
        "point", (1.4, 2.8),
        keys=(
            (0.0, REST), (0.10, REST), (0.40, {**right(**reach(0.06, 0.06, 0.985, pron=55)), "spine_twist": 10.0}),
            (0.72, {**right(**reach(0.06, 0.08, 0.985, pron=55)), "spine_twist": 10.0}), (0.96, REST),
        ),
    ),
    Programme(
        "bow", (1.6, 3.2),
        keys=(
            (0.0, REST), (0.10, REST),
            (0.44, {"pelvis_pitch": 38.0, "spine_flex": 26.0, "head_nod": 14.0, "pelvis_z": -0.14,
                    **both(plane=85.0, elevation=20.0, elbow=10.0)}),
            (0.60, {"pelvis_pitch": 38.0, "spine_flex": 28.0, "head_nod": 14.0, "pelvis_z": -0.14,
                    **both(plane=85.0, elevation=22.0, elbow=10.0)}),
            (0.95, REST),
        ),
    ),
    Programme(
        "push", (1.4, 2.8),
        keys=(
            (0.0, REST), (0.08, REST),
            (0.34, {**both(**reach(0.05, -0.05, 0.32, swivel=25, pron=60, wrist=-50)), "pelvis_z": -0.04}),
            (0.54, {**both(**reach(-0.04, 0.0, 0.97, swivel=20, pron=70, wrist=-60)), "pelvis_z": 0.12,
                    "pelvis_pitch": 12.0, "spine_flex": 8.0, "pelvis_y": -0.04}),
            (0.68, {**both(**reach(-0.04, 0.0, 0.97, swivel=20, pron=70, wrist=-60)), "pelvis_z": 0.12,
                    "pelvis_pitch": 12.0, "spine_flex": 8.0, "pelvis_y": -0.04}),
            (0.95, REST),
        ),
    ),
    Programme(
        "pull", (1.4, 2.8),
        keys=(
            (0.0, REST), (0.08, REST),
            (0.34, {**both(**reach(-0.04, -0.05, 0.95, swivel=15, pron=30)), "pelvis_pitch": 8.0, "spine_flex": 6.0}),
            (0.44, {**both(**reach(-0.04, -0.05, 0.95, swivel=15, pron=30)), "pelvis_pitch": 8.0, "spine_flex": 6.0}),
            (0.66, {**both(**reach(0.08, -0.22, 0.30, swivel=30, pron=10)), "pelvis_z": -0.12, "pelvis_pitch": -6.0,
                    "spine_flex": -4.0, "pelvis_y": -0.05}),
            (0.95, REST),
        ),
    ),
    Programme(
        "salute", (1.4, 2.8),
        keys=(
            (0.0, REST), (0.08, REST),
            (0.34, right(**reach(0.02, 0.42, 0.26, swivel=75, pron=50))),
            (0.70, right(**reach(0.02, 0.42, 0.26, swivel=75, pron=50))), (0.94, REST),
        ),
        freedom=0.4,
    ),
    Programme(
        "fall", (1.4, 2.4),
        keys=(
            (0.0, REST), (0.14, {"spine_flex": 8.0, "pelvis_z": 0.08, "pelvis_y": -0.03}),
            (0.32, {"pelvis_y": -0.25, "pelvis_z": 0.58, "pelvis_pitch": 34.0, "spine_flex": 10.0, "l_heel": 42.0,
                    "r_heel": 44.0, **both(**reach(0.20, 0.05, 0.85, pron=60)), "head_nod": -20.0}),
            (0.50, {"pelvis_y": -0.57, "pelvis_z": 1.02, "pelvis_pitch": 70.0, "spine_flex": 0.0, "l_heel": 72.0,
                    "r_heel": 74.0, **both(**reach(0.25, 0.25, 0.78, pron=70)), "head_nod": -34.0}),
            (0.62, {"pelvis_y": -0.90, "pelvis_z": 1.13, "pelvis_pitch": 86.0, "l_heel": 80.0, "r_heel": 80.0,
                    "spine_flex": -8.0, **both(**reach(0.35, 0.70, 0.22, swivel=70, pron=60)), "head_nod": -26.0}),
            (0.80, {"pelvis_y": -0.90, "pelvis_z": 1.13, "pelvis_pitch": 86.0, "l_heel": 80.0, "r_heel": 80.0,
                    "spine_flex": -8.0, **both(**reach(0.42, 0.66, 0.12, swivel=80, pron=60)), "head_nod": -16.0,
                    "head_turn": 25.0}),
        ),
        freedom=0.0,
    ),
    Programme(
        "lunge", (1.8, 3.4),
        keys=(
            (0.0, REST), (0.08, {"pelvis_x": 0.05}), (0.24, {"r_up": 0.10, "r_fwd": 0.45, "pelvis_z": 0.16,
                                                             "pelvis_x": 0.05, "l_heel": 20.0}),
            (0.38, {"r_fwd": 0.85, "pelvis_z": 0.42, "pelvis_y": -0.16, "l_heel": 42.0}),
            (0.54, {"r_fwd": 0.85, "pelvis_z": 0.44, "pelvis_y": -0.34, "l_heel": 58.0, "spine_flex": 6.0}),
            (0.68, {"r_fwd": 0.85, "pelvis_z": 0.40, "pelvis_y": -0.16, "l_heel": 42.0}),
            (0.82, {"r_up": 0.08, "r_fwd": 0.40, "pelvis_z": 0.12, "pelvis_x": 0.05, "l_heel": 8.0}),
            (0.95, REST),
        ),
    ),
    Programme(
        "turn around", (1.6, 3.2),
        keys=(
            (0.0, REST), (0.08, {"head_turn": -20.0, "pelvis_x": 0.04}),
            (0.20, {"r_carry": -35.0, "r_up": 0.07, "pelvis_yaw": -25.0, "head_turn": -30.0, "pelvis_x": 0.04}),
            (0.32, {"r_carry": -75.0, "pelvis_yaw": -60.0, "head_turn": -25.0}),
            (0.44, {"r_carry": -75.0, "l_carry": -60.0, "l_up": 0.07, "pelvis_yaw": -90.0, "head_turn": -25.0}),
            (0.56, {"r_carry": -75.0, "l_carry": -125.0, "pelvis_yaw": -120.0, "head_turn": -20.0}),
            (0.68, {"r_carry": -130.0, "l_carry": -125.0, "r_up": 0.07, "pelvis_yaw": -150.0, "head_turn": -12.0}),
            (0.78, {"r_carry": -180.0, "l_carry": -125.0, "pelvis_yaw": -170.0, "head_turn": -5.0}),
            (0.88, {"r_carry": -180.0, "l_carry": -160.0, "l_up": 0.05, "pelvis_yaw": -178.0}),
            (0.97, {"r_carry": -180.0, "l_carry": -180.0, "pelvis_yaw": -180.0}),
        ),
    ),
    Programme(
        "side kick", (1.5, 2.6),
        keys=(
            (0.0, REST), (0.10, {"pelvis_x": 0.10, **_GUARD}),
            (0.34, {**_GUARD, "pelvis_x": 0.13, "pelvis_roll": 8.0, "r_up": 0.42, "r_fwd": 0.16, "r_out": -0.02,
                    "r_heel": 20.0, "spine_side": -4.0}),
            (0.48, {**_GUARD, "pelvis_x": 0.13, "pelvis_roll": 20.0, "r_up": 0.62, "r_out": 0.72, "r_fwd": 0.10,
                    "r_heel": -5.0, "spine_side": 12.0, "head_turn": -25.0}),
            (0.62, {**_GUARD, "pelvis_x": 0.13, "pelvis_roll": 8.0, "r_up": 0.38, "r_fwd": 0.14, "r_heel": 20.0}),
            (0.82, {"pelvis_x": 0.06, **_GUARD}), (0.97, REST),
        ),
    ),
    Programme(
        "side step", (1.8, 3.4),
        keys=(
            (0.0, REST), (0.06, {"pelvis_x": 0.05}), (0.15, {"r_out": 0.22, "r_up": 0.06, "pelvis_x": -0.06}),
            (0.24, {"r_out": 0.44, "pelvis_x": -0.26}), (0.34, {"r_out": 0.44, "l_out": -0.22, "l_up": 0.06,
                                                                 "pelvis_x": -0.40}),
            (0.44, {"r_out": 0.44, "l_out": -0.44, "pelvis_x": -0.44}), (0.54, {"r_out": 0.44, "l_out": -0.44,
                                                                                "pelvis_x": -0.46}),
            (0.64, {"r_out": 0.44, "l_out": -0.22, "l_up": 0.06, "pelvis_x": -0.38}),
            (0.73, {"r_out": 0.44, "pelvis_x": -0.20}), (0.83, {"r_out": 0.22, "r_up": 0.06, "pelvis_x": -0.04}),
            (0.92, REST),
        ),
    ),
    Programme(
        "stretch", (2.0, 4.2),
        keys=((0.0, REST), (0.10, REST), (0.44, {**_HIGH, "spine_flex": -14.0, "head_nod": -18.0, "l_heel": 14.0,
                                                 "r_heel": 14.0, "pelvis_y": 0.04}),
              (0.66, {**_HIGH, "spine_flex": -16.0, "head_nod": -20.0, "l_heel": 16.0, "r_heel": 16.0,
                      "pelvis_y": 0.04}),
              (0.95, REST)),
    ),
    Programme(
        "look around", (1.8, 3.8),
        keys=((0.0, REST), (0.08, REST), (0.30, {"head_turn": 55.0, "spine_twist": 16.0}),
              (0.42, {"head_turn": 58.0, "spine_twist": 18.0}), (0.68, {"head_turn": -55.0, "spine_twist": -16.0}),
              (0.78, {"head_turn": -58.0, "spine_twist": -18.0}), (0.97, REST)),
    ),
    Programme(
        "check the time", (1.5, 3.2),
        keys=(
            (0.0, REST), (0.08, REST),
            (0.36, {"head_nod": 24.0, "head_turn": 8.0, **left(**reach(-0.24, -0.22, 0.46, swivel=40, pron=75))}),
            (0.72, {"head_nod": 26.0, "head_turn": 8.0, **left(**reach(-0.24, -0.22, 0.46, swivel=40, pron=75))}),
            (0.95, REST),
        ),
        freedom=0.6,
    ),
    Programme(
        "cross arms", (1.6, 3.4),
        keys=(
            (0.0, REST), (0.10, REST),
            (0.42, {**right(**reach(-0.42, -0.24, 0.40, swivel=30, pron=70)),
                    **left(**reach(-0.42, -0.34, 0.34, swivel=30, pron=70))}),
            (0.85, {**right(**reach(-0.42, -0.24, 0.40, swivel=30, pron=70)),
                    **left(**reach(-0.42, -0.34, 0.34, swivel=30, pron=70)), "pelvis_x": 0.03}),
            (1.0, {**right(**reach(-0.2, -0.45, 0.40, swivel=30, pron=50)),
                   **left(**reach(-0.2, -0.52, 0.34, swivel=30, pron=50))}),
        ),
        freedom=0.4,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Interaction:
    """Two people who face each other.

    Attributes:
        first, second: what each of them does, over the same phase.
        distance: between their standing places, in leg lengths of the first.
    """

    first: Programme
    second: Programme
    distance: float

    @property
    def name(self) -> str:
        """Class name."""
        return self.first.name


_SHAKE = {"spine_flex": 6.0, **right(**reach(-0.20, -0.30, 0.72, swivel=12))}
_SHAKE_UP = {"spine_flex": 6.0, **right(**reach(-0.20, -0.18, 0.74, swivel=12))}
_FIVE = right(**reach(-0.20, 0.42, 0.78, swivel=25, pron=60, wrist=-30))
_GIVE = {"spine_flex": 6.0, **right(**reach(-0.15, -0.12, 0.86, swivel=12))}


def _shake(name: str) -> Programme:
    keys = ((0.0, REST), (0.08, REST), (0.32, _SHAKE), (0.76, _SHAKE), (0.97, REST))
    cycle = ((0.0, _SHAKE), (0.5, _SHAKE_UP))
    return Programme(
        name, (1.8, 3.2), keys=keys, cycle=cycle, rate=(1.4, 2.0), gate=(0.30, 0.36, 0.68, 0.76), freedom=0.3
    )


def _five(name: str) -> Programme:
    raised = right(**reach(0.05, 0.45, 0.42, swivel=30, pron=50))
    keys = ((0.0, REST), (0.10, REST), (0.36, raised), (0.50, _FIVE), (0.58, raised), (0.92, REST))
    return Programme(name, (1.4, 2.4), keys=keys, freedom=0.4)


_STAGGER = {"pelvis_z": -0.20, "spine_flex": -10.0, "pelvis_pitch": -10.0, "head_nod": 14.0, "l_fwd": -0.36,
            **both(**reach(0.35, -0.25, 0.62))}  # fmt: skip

PAIRS: tuple[Interaction, ...] = (
    Interaction(_shake("shake hands"), _shake("shake hands"), 1.15),
    Interaction(
        Programme("push a person", (1.4, 2.4), keys=next(p for p in SOLO if p.name == "push").keys),
        Programme(
            "be pushed", (1.4, 2.4),
            keys=((0.0, REST), (0.48, REST), (0.58, {**_STAGGER, "l_up": 0.05, "l_fwd": -0.2}), (0.68, _STAGGER),
                  (0.82, _STAGGER), (1.0, {"l_fwd": -0.36, "pelvis_z": -0.16})),
        ),
        0.95,
    ),
    Interaction(
        Programme("hand over", (1.8, 3.2), keys=((0.0, REST), (0.10, REST), (0.42, _GIVE), (0.56, _GIVE), (0.85, REST)),
                  freedom=0.4),
        Programme("receive", (1.8, 3.2), keys=((0.0, REST), (0.22, REST), (0.46, _GIVE), (0.58, _GIVE), (0.82, {
            "head_nod": 16.0, **right(**reach(-0.2, -0.25, 0.45, swivel=20))})), freedom=0.4),
        1.45,
    ),
    Interaction(_five("high five"), _five("high five"), 1.3),
    Interaction(
        Programme("kick a person", (1.4, 2.4), keys=next(p for p in SOLO if p.name == "front kick").keys),
        Programme(
            "be kicked", (1.4, 2.4),
            keys=((0.0, REST), (0.42, REST), (0.56, {**_STAGGER, "l_up": 0.05, "l_fwd": -0.2, "spine_flex": 20.0}),
                  (0.68, {**_STAGGER, "spine_flex": 14.0}), (1.0, {"l_fwd": -0.36, "pelvis_z": -0.16})),
        ),
        1.25,
    ),
)  # fmt: skip
