"""docs/results/halp.md: HaLP and AimCLR on small real sets, and what HaLP depends on.

Settings are those of the small recipes, chosen on held-out training subjects for MoCo and CMD; none was chosen for
HaLP or AimCLR.
"""

from __future__ import annotations

from typing import Any

from experiments.foundation import GRU
from experiments.sets import KARD, SETS, SHREC, UI_PRMD, WATCH, Set
from motet.reproduce import Row, Share, Steps, Training
from motet.reproduce.measures import features, frozen, semi
from motet.reproduce.page import Page, Part

# what differs from halp/small-gru on the joint stream
ABLATIONS: dict[str, dict[str, Any]] = {
    "HaLP": {},
    **{f"filter {f}": {"filter": f} for f in ("variant-1", "variant-2", "none")},
    **{f"positives G {g}": {"positives": g} for g in (1, 10)},
    **{f"start at {s:g} of the epochs": {"halp_start": Share(s)} for s in (0.0, 0.67, 0.89)},
    **{f"weight μ {m}": {"halp_weight": m} for m in (0.5, 2.0)},
    **{f"hardness λ {h}": {"hardness": h} for h in (0.0, 1.0)},
    "recent keys 128": {"recent": 128},
    **{f"prototypes N {n}": {"prototypes": n} for n in (5, 40)},
    "no queue, without HaLP": {"prototypes_from": "batch", "halp_weight": 0.0},
    "no queue, batch": {"prototypes_from": "batch"},
    "no queue, keys": {"prototypes_from": "keys"},
}
# name, options, share of the steps
CONDITIONS: tuple[tuple[str, dict[str, Any], float], ...] = (
    ("SGD", {"optimiser": "sgd", "lr": 0.05}, 1),
    ("twice the epochs", {}, 2),
    ("four people train", {"split": "subjects:3,7,9,11"}, 1),
)


def views(which: Set) -> dict[str, Any]:
    """AimCLR's strong augmentation; a hand or a watch has no sides to swap."""
    return {} if which in (KARD, UI_PRMD) else {"extreme": ("rotate", "noise", "blur", "axis-mask")}


def default(which: Set) -> Part:
    """MoCo and CMD with hallucinated positives and without, with the default encoders and recipes."""
    methods = ("moco", "halp", "cmd", "halp-cmd")
    # HaLP has one stream by default, as published; the others have four of a sensor
    named = methods if which is WATCH else ("halp",)
    rows = [Row(m, Training(m, {"streams": which.streams} if m in named else {})) for m in methods]
    gains = (("halp", "moco"), ("halp-cmd", "cmd"))
    return which.part("halp/default", features(which.streams), rows, "default encoders", gains)


def methods(which: Set) -> Part:
    """The six methods; AimCLR learns the joint stream with the encoder of the others."""
    base = which.training(streams=which.streams)
    rows = [Row(m, Training(GRU[m], base)) for m in ("moco", "halp", "cmd", "halp-cmd")]
    joint = which.training(streams=("joint",), encoder="gru", attention_drop=False, **views(which))
    rows += [Row(f"{m}, GRU", Training(m, joint)) for m in ("aimclr", "halp-aimclr")]
    measures = (*frozen(which.streams), *semi((0.05, 0.1), ratios=(0.05, 0.1), repeats=3, minimum_steps=200))
    gains = (("halp", "moco"), ("halp-cmd", "cmd"), ("halp-aimclr, GRU", "aimclr, GRU"))
    return which.part("halp/methods", measures, rows, "the papers' recurrent encoder", gains)


def ablations(which: Set) -> Part:
    """Around HaLP on the joint stream."""
    base = which.training(streams=("joint",))
    rows = [Row("MoCo", Training(GRU["moco"], base))]
    rows += [Row(name, Training(GRU["halp"], {**base, **options})) for name, options in ABLATIONS.items()]
    gains = tuple((name, "MoCo") for name in ABLATIONS)
    return which.part("halp/ablations", frozen(("joint",)), rows, "what HaLP depends on", gains)


def conditions(which: Set) -> Part:
    """MoCo and HaLP with another optimiser, for longer, and with fewer people."""
    rows = [
        Row(f"{m}, {name}", Training(GRU[m], which.training(share, streams=("joint",), **options)))
        for name, options, share in CONDITIONS
        for m in ("moco", "halp")
    ]
    gains = tuple((f"halp, {name}", f"moco, {name}") for name, _, _ in CONDITIONS)
    return which.part("halp/conditions", frozen(("joint",)), rows, "under other conditions", gains)


def graph_encoder(which: Set) -> Part:
    """AimCLR as published: with the ST-GCN and its attention drop; half as many steps, each costs ten of the others."""
    options = which.training(streams=("joint",), **views(which)) | {"epochs": Steps(which.steps // 2)}
    rows = [Row(m, Training(m, options)) for m in ("aimclr", "halp-aimclr")]
    gains = (("halp-aimclr", "aimclr"),)
    return which.part("halp/graph-encoder", frozen(("joint",)), rows, "AimCLR with the graph encoder", gains)


PAGE = Page(
    "halp",
    "HaLP and AimCLR on small sets",
    (
        *map(default, SETS),
        *map(methods, (SHREC, KARD, UI_PRMD, WATCH)),
        ablations(SHREC),
        conditions(SHREC),
        *map(graph_encoder, (KARD, SHREC, UI_PRMD)),
    ),
)
