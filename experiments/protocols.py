"""docs/results/protocols.md: every protocol on raw coordinates, random encoders, MoCo and CMD.

The trainings are those of foundation.py: give both the same --work and they are shared.
"""

from __future__ import annotations

from experiments import foundation
from experiments.foundation import GRU
from experiments.sets import SETS, Set
from motet.reproduce import Measure, Row, Table, Training
from motet.reproduce.measures import clusterings, clusters, ensembles, retrieval, semi
from motet.reproduce.page import Page, Part
from motet.reproduce.sources import in_layout

LAYOUT = "common-15"  # KARD's joints do not give UI-PRMD's
TRANSFERS = {
    "bandai2": Set("bandai2", "Bandai Namco 2", in_layout("bandai2", LAYOUT)),
    "ui_prmd": Set("ui_prmd", "UI-PRMD, Kinect", in_layout("ui_prmd_kinect", LAYOUT)),
    "kard": Set("kard", "KARD", in_layout("kard", LAYOUT)),
}
ALL = {"stream": "all", "ensemble": "concat"}
FEW = {"protocol": "fewlabels", "algorithm": "ridge", **ALL}
DEFAULT = (
    *(Measure(f"{n} a class", {"per_class": n, **FEW}, small={"counts": (1, 5)}) for n in (1, 5)),
    *(Measure(m, {"protocol": "retrieval", "metric": m, **ALL}) for m in ("R@5", "mAP")),
    *clusters("all", ensemble="concat"),
)
"""what is measured of all streams together, with the default encoders"""
PROTOCOLS = {
    "Semi-supervised": semi((0.01, 0.05, 0.1, 0.2), repeats=2, epochs=30, minimum_steps=200),
    "Ensembles": ensembles(),
    "Retrieval": retrieval(),
    "Clustering": clusterings(),
}


def rows(which: Set) -> tuple[Row, ...]:
    """MoCo and CMD."""
    return tuple(Row(m, Training(GRU[m], which.training(streams=which.streams))) for m in ("moco", "cmd"))


def default(which: Set) -> Part:
    """Few labels, retrieval and clusters of the trainings of foundation.py with the default encoders."""
    return which.part("protocols/default", DEFAULT, foundation.default(which).table.rows)


def of_set(which: Set) -> list[Part]:
    """One table for each protocol."""
    return [which.part(f"protocols/{n.lower()}", m, rows(which), n.lower()) for n, m in PROTOCOLS.items()]


def transfer(source: Set, target: Set, tuned: str) -> Part:
    """Encoders of one set on another: a layer on all streams, or the whole joint network."""
    pick = {"protocol": "transfer", "tuned": tuned}
    if tuned == "head":
        options = {"tuned": tuned, "streams": source.streams}
        measures = tuple(Measure(s, {**pick, "stream": s}, small=options) for s in source.streams)
        together = Measure("all", {**pick, "stream": "all", "ensemble": "mean-logits"}, small=options)
        measures, how = (*measures, together), "a layer on frozen encoders"
    else:
        small = {"tuned": tuned, "epochs": 20, "minimum_steps": 300}
        measures, how = (Measure("joint", {**pick, "stream": "joint"}, small=small),), "the joint network fine-tuned"
    title = f"{source.title} → {target.title}, {how}"
    name = f"protocols/{source.name}-to-{target.name}-{tuned}"
    table = Table(name, title, "pretrain", "this project", measures, rows(source), target=True)
    return Part(table, source.source, target.source)


PAIRS = (("ui_prmd", "kard"), ("bandai2", "ui_prmd"), ("bandai2", "kard"))
PAGE = Page(
    "protocols",
    "Every protocol on small real sets",
    (
        *map(default, SETS),
        *(part for which in SETS for part in of_set(which)),
        *(transfer(TRANSFERS[a], TRANSFERS[b], tuned) for a, b in PAIRS for tuned in ("head", "network")),
    ),
)
