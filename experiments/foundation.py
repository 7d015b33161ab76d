"""docs/results/foundation.md: CMD and its baselines on small real sets, and what CMD depends on.

Trainings of the default encoders are those of the recipes' names, of nothing but their defaults; those of the papers'
recurrent encoder have the lengths of :mod:`experiments.sets`.
"""

from __future__ import annotations

from experiments.sets import SETS, SHREC, Set
from motet.reproduce import Row, Share, Training
from motet.reproduce.measures import EPOCHS, SECONDS, features, frozen
from motet.reproduce.page import Page, Part

GRU = {m: f"{m}/small-gru" for m in ("moco", "cmd", "mcl", "crossclr", "halp", "halp-cmd")}
SIX = ("joint", "motion", "bone", "acceleration", "bone_motion")


def default(which: Set) -> Part:
    """The methods with the default encoders, and CMD as it is by default: from the weights that come with motet."""
    rows = [Row(m, Training(m)) for m in ("moco", "cmd", "mcl", "crossclr")]
    if which.weights:
        rows.append(Row(f"cmd from {which.weights}", Training("cmd", {"start": which.weights})))
    return which.part("foundation/default", features(which.streams), rows)


def methods(which: Set) -> Part:
    """MoCo, MCL, CrosSCLR, CMD, and MoCo for as long as CMD takes."""
    base = which.training(streams=which.streams)
    rows = [Row(m, Training(GRU[m], base)) for m in ("moco", "cmd", "mcl", "crossclr")]
    rows.append(Row("cmd, consensus", Training(GRU["cmd"], {**base, "teachers": "consensus"})))
    rows.append(Row("moco, equal time", Training(GRU["moco"], {**base, "epochs": which.equal_time})))
    measures = (*frozen(which.streams), EPOCHS, SECONDS)
    return which.part("foundation/gru", measures, rows, "the papers' recurrent encoder")


def ablations(which: Set) -> Part:
    """CMD's temperatures and stages, and six streams."""
    base = which.training(streams=which.streams)
    six = which.training(streams=(*SIX, f"joint[{which.joints}]"))
    cmd, crossclr = GRU["cmd"], GRU["crossclr"]
    rows = [
        Row(f"cmd, τt {t}, τs {s}", Training(cmd, {**base, "teacher_temperature": t, "student_temperature": s}))
        for t, s in ((0.02, 0.1), (0.05, 0.1), (0.1, 0.1), (0.05, 0.5))
    ]
    rows.append(Row("cmd, two stages", Training(cmd, {**base, "distill_start": Share(0.5)})))
    rows.append(Row("crossclr, one stage", Training(crossclr, {**base, "cross_start": 0})))
    rows += [Row(f"cmd, six streams, {t}", Training(cmd, {**six, "teachers": t})) for t in ("pairwise", "consensus")]
    return which.part("foundation/ablations", (*frozen(which.streams), EPOCHS, SECONDS), rows, "ablations")


PAGE = Page(
    "foundation",
    "CMD and its baselines on small real sets",
    (*map(default, SETS), *map(methods, SETS), ablations(SHREC)),
)
