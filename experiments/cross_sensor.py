"""docs/results/cross_sensor.md: sensors that teach each other, against each sensor alone.

Every row is evaluated on one sensor, so the other helps in pretraining only. Trainings of the default encoders are
those of the recipes' names, 300 steps; those of the papers' recurrent encoder have as many.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from experiments.foundation import GRU
from experiments.sets import PRECISION
from motet.reproduce import Measure, Row, Steps, Table, Training
from motet.reproduce.declare import TARGET
from motet.reproduce.measures import features, frozen
from motet.reproduce.page import Page, Part
from motet.reproduce.sources import Source, npz

BODY = ("joint", "motion", "bone")
BARE = ("joint", "motion")
BOTH = "cmd, both sensors"
PERFORMANCE = ("subject", "label", "repetition", "quality")
Options = dict[str, Any]


@dataclass(frozen=True)
class Pair:
    """Two sensors of the same performances.

    Attributes:
        title: of the set.
        data: recordings of the main sensor.
        names: of the main sensor and of the other.
        other: what streams call the other.
        streams: of the other, by default.
        weights: that each starts from by default when it is alone; empty for no row of it.
        target: archive of the other sensor, where it is none of ``data``.
        brief: the larger set: no row of MoCo, and none of both sensors from weights.
    """

    title: str
    data: Source
    names: tuple[str, str]
    other: str
    streams: tuple[str, ...] = BARE
    weights: tuple[str, str] = ("body", "wrist")
    target: Source | tuple[str, ...] = ()
    brief: bool = False

    def both(self, main: tuple[str, ...], other: tuple[str, ...]) -> Options:
        """Options of a training on both."""
        found: Options = {"streams": (*main, *(f"{self.other}:{s}" for s in other))}
        if not isinstance(self.target, tuple):
            found |= {"companions": {self.other: TARGET}, "pair_by": PERFORMANCE}
        return found

    def part(
        self, place: str, form: str, measures: Iterable[Measure], rows: list[Row], gains: tuple[tuple[str, str], ...]
    ) -> Part:
        """A table that is evaluated on the main sensor, or on the other (``place``)."""
        more = {"sensor": place} if place else {}
        table = Table(
            f"cross_sensor/{self.title.split(',')[0].lower()}-{place or 'main'}-{form}",
            f"{self.title}, evaluated on the {self.names[bool(place)]}",
            *("pretrain", "this project"),
            tuple(replace(m, pick={**m.pick, **more}) for m in measures),
            tuple(rows),
            gains=gains,
        )
        return Part(table, self.data, self.target)


def default(pair: Pair) -> list[Part]:
    """Default encoders and recipes: new ones, and from the weights that each sensor would start from by itself."""
    both = pair.both(BODY, pair.streams)
    parts = []
    for place, streams, weights in (("", BODY, pair.weights[0]), (pair.other, pair.streams, pair.weights[1])):
        own = {"streams": BARE} if streams == BARE else {}  # as next to the other sensor; alone it has four by default
        rows = [Row(m, Training(m, own, sensor=place)) for m in (("cmd",) if pair.brief else ("moco", "cmd"))]
        rows.append(Row(BOTH, Training("cmd", both)))
        gains = [(BOTH, "cmd")]
        alone, started = f"cmd from {weights}", f"{BOTH}, {pair.names[0]} from {pair.weights[0]}"
        if weights:
            rows.append(Row(alone, Training("cmd", {**own, "start": weights}, sensor=place)))
        if not pair.brief:
            rows.append(Row(started, Training("cmd", {**both, "start": pair.weights[0]})))
            gains.append((started, "cmd" if place else alone))  # the other sensor has new encoders then
        parts.append(pair.part(place, "default", features(streams), rows, tuple(gains)))
    return parts


def recurrent(pair: Pair) -> list[Part]:
    """The papers' recurrent encoder."""
    base: Options = {**PRECISION, "epochs": Steps(300)}
    both = base | pair.both(BARE, BARE)
    parts = []
    for place in ("", pair.other):
        rows = [Row(m, Training(GRU[m], {**base, "streams": BARE}, sensor=place)) for m in ("moco", "cmd")]
        rows.append(Row(BOTH, Training(GRU["cmd"], both)))
        parts.append(pair.part(place, "gru", frozen(BARE), rows, ((BOTH, "cmd"),)))
    return parts


PAIRS = (
    Pair("UTD-MHAD", npz("utd_mhad"), ("skeleton", "inertial sensor"), "inertial"),
    Pair("SmartFallMM, young", npz("smartfallmm_young"), ("skeleton", "watch"), "watch"),
    Pair(
        *("UI-PRMD", npz("ui_prmd_kinect"), ("Kinect", "Vicon"), "vicon"),
        streams=BODY,
        weights=("body", ""),
        target=npz("ui_prmd_vicon"),
        brief=True,
    ),
)
PAGE = Page(
    "cross_sensor",
    "Sensors that teach each other",
    tuple(part for form in (default, recurrent) for pair in PAIRS for part in form(pair)),
)
