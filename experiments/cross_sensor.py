"""docs/results/cross_sensor.md: sensors that teach each other, against each sensor alone.

Every row is evaluated on one sensor, so the other helps in pretraining only; all have the same number of steps.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from experiments.foundation import GRU
from experiments.sets import PRECISION
from motet.reproduce import Row, Steps, Table, Training
from motet.reproduce.declare import TARGET
from motet.reproduce.measures import frozen
from motet.reproduce.page import Page, Part
from motet.reproduce.sources import Source, npz

STREAMS = ("joint", "motion")
BOTH = "cmd, both sensors"
PERFORMANCE = ("subject", "label", "repetition", "quality")


def tables(
    title: str, data: Source, sensor: str, names: tuple[str, str], target: Source | tuple[str, ...]
) -> list[Part]:
    """Two tables: evaluated on the main recordings, and on the other sensor."""
    base: dict[str, Any] = {**PRECISION, "epochs": Steps(300)}
    both = {**base, "streams": (*STREAMS, *(f"{sensor}:{s}" for s in STREAMS))}
    if not isinstance(target, tuple):  # the other sensor is an archive of its own
        both |= {"companions": {sensor: TARGET}, "pair_by": PERFORMANCE}
    parts = []
    for place, name in (("", names[0]), (sensor, names[1])):
        alone = {**base, "streams": STREAMS}
        rows = [Row(m, Training(GRU[m], alone, sensor=place)) for m in ("moco", "cmd")]
        rows.append(Row(BOTH, Training(GRU["cmd"], both)))
        more = {"sensor": place} if place else {}
        measures = tuple(replace(m, pick={**m.pick, **more}) for m in frozen(STREAMS))
        table = Table(
            *(f"cross_sensor/{title.split(',')[0].lower()}-{place or 'main'}", f"{title}, evaluated on the {name}"),
            *("pretrain", "this project", measures, tuple(rows)),
            gains=((BOTH, "cmd"),),
        )
        parts.append(Part(table, data, target))
    return parts


PAGE = Page(
    "cross_sensor",
    "Sensors that teach each other",
    (
        *tables("UTD-MHAD", npz("utd_mhad"), "inertial", ("skeleton", "inertial sensor"), ()),
        *tables("SmartFallMM, young", npz("smartfallmm_young"), "watch", ("skeleton", "watch"), ()),
        *tables("UI-PRMD", npz("ui_prmd_kinect"), "vicon", ("Kinect", "Vicon"), npz("ui_prmd_vicon")),
    ),
)
