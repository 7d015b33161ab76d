"""docs/results/amid_recordings.md: AMID and its baselines with encoders of sequences trained from recordings.

Settings are chosen on held-out people of the training side; the test people are looked at once, by the chosen setting.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from experiments.amid import FORECASTS, GRID, SCORES, Options, weights
from experiments.sets import FALLS, ONE_REPETITION, sensors_of_prmd, watch
from motet.reproduce import Row, Table, Training
from motet.reproduce.page import Page, Part
from motet.reproduce.sources import Source, made, npz

# two of each, as an encoder of sequences takes longer
FEW: dict[str, tuple[Options, ...]] = {m: settings[:2] for m, settings in GRID.items()}
FEW["amid"] = (weights(0.02, 0.1), weights(0.2, 0.5))
# on the held-out parts of UTD-MHAD, for the teacher
ENCODER: Options = {
    **{"sequence": "tcn", "sequence_layers": 3, "sequence_hidden": 32},
    **{"frames": 32, "sensor_frames": 64, "dropout": 0.1},
}


def methods(
    name: str,
    title: str,
    data: Source,
    target: tuple[str, ...],
    auxiliary: tuple[str, ...],
    *,
    choose: Sequence[str] = (),
    only: Sequence[str] = tuple(GRID),
    forecast: bool = True,
    warm_up: int | None = None,
    **options: Any,
) -> Part:
    """Methods on recordings, odd people train; settings of those in ``choose`` are chosen, others are the recipe's."""
    own: dict[str, Options] = {"alone": {"diagnose": forecast}} | ({"amid": {"warm_up": warm_up}} if warm_up else {})
    rows = tuple(Row(m, Training(m, own.get(m, {}), choose=FEW[m] if m in choose else ())) for m in only)
    gains = tuple((m, "alone") for m in only if m not in ("alone", "teacher"))
    table = Table(f"amid_recordings/{name}", title, "distill", "this project", (*SCORES, *FORECASTS), rows, gains=gains)
    return Part(table, data, target, auxiliary, {"split": "odd-even", **ENCODER, **options})


UTD_CLIPS = npz("utd_mhad")
PARTS = (
    methods(
        *("utd", "UTD-MHAD: inertial, taught by skeleton", UTD_CLIPS, ("inertial",), ("skeleton",)),
        choose=tuple(FEW),
        epochs=30,
    ),
    methods(
        *("gyro", "UTD-MHAD: gyroscope, taught by accelerometer and skeleton", UTD_CLIPS),
        *(("inertial.gyroscope",), ("inertial.accelerometer", "skeleton")),
        only=("alone", "teacher", "kd", "crd", "amid"),
        choose=("kd", "crd", "amid"),
        epochs=30,
    ),
    methods(
        *("few", "UTD-MHAD, one repetition of each training person: inertial, taught by skeleton"),
        *(ONE_REPETITION, ("inertial",), ("skeleton",)),
        choose=("kd", "crd"),
        only=("alone", "teacher", "kd", "crd", "amid"),
        forecast=False,  # four clips of a class are too few for one
        epochs=90,
        warm_up=12,
    ),
    methods(
        *("falls", "SmartFallMM: watch, taught by skeleton", FALLS, ("watch",), ("skeleton",)),
        epochs=30,
    ),
    methods(
        *("watch", "watch: gyroscope, taught by accelerometer", made("watch", watch)),
        *(("gyroscope",), ("accelerometer",)),
        epochs=8,
    ),
    methods(
        *("prmd", "UI-PRMD: Kinect, taught by Vicon", sensors_of_prmd, ("kinect",), ("vicon",)),
        only=("alone", "teacher", "kd", "crd", "nce", "amid"),
        epochs=8,
    ),
)
PAGE = Page("amid_recordings", "AMID and its baselines on recordings", PARTS)
