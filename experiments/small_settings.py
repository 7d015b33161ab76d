"""docs/results/small_settings.md: the small recipe's settings, chosen on held-out *training* subjects.

The archives hold the training people alone, a third of whom is set aside: test subjects are never looked at.
"""

from __future__ import annotations

from typing import Any

from experiments.foundation import GRU
from experiments.sets import SHREC, UTD, Set
from motet.reproduce import Row, Steps, Table, Training
from motet.reproduce.measures import frozen
from motet.reproduce.page import Page, Part
from motet.reproduce.sources import training_side

BASE: dict[str, Any] = {"hidden": 64, "crop_frames": 8, "mask": 0.0, "lr": 3e-3, "precision": "bf16", "scale": 0.0}
CANDIDATES: dict[str, dict[str, Any]] = {
    "base": {},
    "scale .2": {"scale": 0.2},
    "shear .6": {"shear": 0.6},
    "rotate 30": {"rotate": 30.0},
    "published augmentation": {"crop_minimum": 0.1, "corruption": 0.5, "shear": 1.0, "noise": 0.0},
    "queue 64": {"queue_size": 64},
    "temperature .2": {"temperature": 0.2},
    "crop .25": {"crop_minimum": 0.25},
    "hidden 128": {"hidden": 128},
    "key momentum .95": {"key_momentum": 0.95},
    "weight decay 0": {"weight_decay": 0.0},
    "mask .3": {"mask": 0.3},
    "preprocess center": {"preprocess": "center"},
    "preprocess yaw": {"preprocess": "yaw"},
    "noise .1": {"noise": 0.1},
    "linear head": {"mlp_head": False},
    "sgd .05": {"optimiser": "sgd", "lr": 0.05},
    "key momentum .999": {"key_momentum": 0.999},
}


def of_set(which: Set, file: str) -> Part:
    """All candidates on one set."""
    common = {**BASE, "epochs": Steps(200), "split": "random-subjects:0.34@0"}
    rows = tuple(
        Row(name, Training(GRU["cmd"], {**common, **options}))
        for name, options in CANDIDATES.items()
        if which is UTD or name != "preprocess yaw"  # a hand has no heading
    )
    measures = tuple(m for m in frozen(which.streams) if m.name.startswith("kNN"))
    table = Table(f"small_settings/{which.name}", which.title, "pretrain", "this project", measures, rows)
    return Part(table, training_side(file))


PAGE = Page(
    "small_settings",
    "How the small recipe's settings were chosen",
    (of_set(SHREC, "shrec17_hand_train"), of_set(UTD, "utd_mhad")),
)
