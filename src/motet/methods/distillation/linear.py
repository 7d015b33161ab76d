"""What a linear model makes of the same rows: of the target alone, and of all modalities together."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np
import torch

from motet.methods.distillation.diagnose import Probe, block
from motet.methods.distillation.folds import Fold
from motet.methods.distillation.table import FeatureTable

PENALTY = 1e-2
BUDGET = 50_000
"""rows times folds that are looked at; of more, evenly spaced rows"""


def linear(
    table: FeatureTable, target: Sequence[str], auxiliary: Sequence[str], folds: Sequence[Fold]
) -> dict[str, Any]:
    """Accuracy of softmax regressions on the test rows of a result, without any training of networks.

    Modalities are standardised, of large ones 256 principal components taken, over all rows; the penalty is fixed.

    Args:
        table: the rows.
        target, auxiliary: names of modalities.
        folds: of the result.

    Returns:
        ``target`` and, with an auxiliary, ``all``: {"accuracy", "rows"}, the mean over the folds and the number of rows
        looked at: those that have every modality in question. One that has no fold with training and test rows is left
        out.
    """
    sets = {"target": tuple(target)} | ({"all": (*target, *auxiliary)} if auxiliary else {})
    found = {}
    for name, names in sets.items():
        whole = np.flatnonzero(np.logical_and.reduce([table.modalities[m].available for m in names]))
        most = max(2, BUDGET // max(1, len(folds)))
        if len(whole) > most:
            whole = whole[np.linspace(0, len(whole) - 1, most).astype(np.int64)]
        train, test = (
            torch.stack([torch.as_tensor(np.isin(whole, getattr(f, side))) for f in folds])
            for side in ("train", "test")
        )
        kept = train.any(dim=1) & test.any(dim=1)
        if not bool(kept.any()):
            continue
        part = table.rows(whole)
        labels = torch.as_tensor(np.unique(part.labels, return_inverse=True)[1])
        x = torch.cat([block(part, m) for m in names], dim=1)
        right = Probe(x, labels, train[kept], (PENALTY,)).logits.argmax(dim=-1) == labels
        scores = [float(one[side].double().mean()) for one, side in zip(right, test[kept], strict=True)]
        found[name] = {"accuracy": fmean(scores), "rows": len(whole)}
    return found


def below(result: dict[str, Any]) -> str:
    """One line where the student does worse than a linear model of its modality; empty where it does not."""
    scores = (result.get("linear") or {}).get("target")
    student = result["summary"].get("student", {}).get("accuracy")
    if scores is None or student is None or result["scored"] != "student" or student["mean"] >= scores["accuracy"]:
        return ""
    return (
        f"A linear model of {' + '.join(result['target'])} alone does better than this student: "
        f"{100 * scores['accuracy']:.1f} % against {100 * student['mean']:.1f} %."
    )


def rows(result: dict[str, Any]) -> list[tuple[str, float]]:
    """Name and accuracy of the linear models of a result; of earlier releases there are none."""
    names = {"target": result["target"], "all": [*result["target"], *result["auxiliary"]]}
    found = result.get("linear") or {}
    return [(f"linear model of {' + '.join(names[n])}", found[n]["accuracy"]) for n in names if n in found]
