"""What linear models make of the same rows: of the target alone, and of all modalities together; of the numbers as they
are, and of sequences also behind random convolutions, which nobody has to train."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from motet.data.skeletons import Skeleton
from motet.encoders.rocket import Rocket
from motet.methods.distillation.diagnose import Probe, block, components
from motet.methods.distillation.folds import Fold
from motet.methods.distillation.layers import resampled
from motet.methods.distillation.table import FeatureTable

PENALTY = 1e-2
BUDGET = 50_000
"""rows times folds that are looked at; of more, evenly spaced rows"""
CONVOLVED = {"target": "convolutions", "all": "convolutions_all"}
FITTED = 64
"""training rows of a fold that set the thresholds of random convolutions"""


def linear(
    table: FeatureTable, target: Sequence[str], auxiliary: Sequence[str], folds: Sequence[Fold]
) -> dict[str, Any]:
    """Accuracy on the test rows of a result, without any training of networks.

    Softmax regressions: modalities are standardised, of large ones 256 principal components taken, over all rows; the
    penalty is fixed. With a sequence among the modalities also on 1,000 random convolutions of each sequence
    (:class:`motet.encoders.rocket.Rocket`), whose thresholds are set by training rows of the fold.

    Args:
        table: the rows.
        target, auxiliary: names of modalities.
        folds: of the result.

    Returns:
        ``target`` and, with an auxiliary, ``all``; of sequences also ``convolutions`` and ``convolutions_all``:
        {"accuracy", "rows"}, the mean over the folds and the number of rows looked at: those that have every modality
        in question. One that has no fold with training and test rows is left out.
    """
    sets = {"target": tuple(target)} | ({"all": (*target, *auxiliary)} if auxiliary else {})
    found: dict[str, Any] = {}
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
        part, train, test = table.rows(whole), train[kept], test[kept]
        labels = torch.as_tensor(np.unique(part.labels, return_inverse=True)[1])
        blocks = torch.cat([block(part, m) for m in names], dim=1)
        seen = {name: Probe(blocks, labels, train, (PENALTY,)).logits}
        if any(part.modalities[m].lengths is not None for m in names):
            folded = zip(*(_convolved(part, m, train) for m in names), strict=True)
            own = [torch.cat(one, dim=1) for one in folded]
            fitted = (Probe(x, labels, side[None], (PENALTY,)) for x, side in zip(own, train, strict=True))
            seen[CONVOLVED[name]] = torch.cat([probe.logits for probe in fitted])
        for what, logits in seen.items():
            right = logits.argmax(dim=-1) == labels
            scores = [float(one[rows].double().mean()) for one, rows in zip(right, test, strict=True)]
            found[what] = {"accuracy": fmean(scores), "rows": len(whole)}
    return found


def _convolved(table: FeatureTable, name: str, train: Tensor) -> list[Tensor]:
    """(N, ≤ 256) components of random convolutions of a sequence for each fold; of a vector as it is.

    ``train``: (F, N) rows that train in a fold, of which some set its thresholds. No label takes part.
    """
    modality = table.modalities[name]
    if modality.lengths is None:
        return [block(table, name)] * len(train)
    x = torch.as_tensor(modality.values, dtype=torch.float32)
    x = resampled(x[None], torch.as_tensor(modality.lengths)[None], x.shape[1])[0]
    frames = x.flatten(0, 1)
    x = (x - frames.mean(dim=0)) / frames.std(dim=0).clamp_min(1e-6)
    numbers = tuple(map(str, range(x.shape[2])))
    encoder = Rocket(Skeleton("numbers", numbers, (-1,) * len(numbers), kind="sensor"), 1, 1, seed=0)
    clips, found = x[:, :, None, :, None], []
    for side in train:
        rows = side.nonzero()[:, 0]
        encoder.fit(clips[rows[torch.linspace(0, len(rows) - 1, min(FITTED, len(rows))).long()]])
        found.append(components(encoder(clips)))
    return found


def below(result: dict[str, Any]) -> str:
    """One line where the student does worse than a linear model of its modality; empty where it does not."""
    models = [m for m in rows(result) if m[2] == list(result["target"])]
    student = result["summary"].get("student", {}).get("accuracy")
    if not models or student is None or result["scored"] != "student":
        return ""
    name, accuracy, _ = max(models, key=lambda m: m[1])
    if student["mean"] >= accuracy:
        return ""
    return (
        f"A {name} alone does better than this student: {100 * accuracy:.1f} % against {100 * student['mean']:.1f} %."
    )


def rows(result: dict[str, Any]) -> list[tuple[str, float, list[str]]]:
    """Name, accuracy and modalities of the linear models of a result; of earlier releases there are none."""
    whole = [*result["target"], *result["auxiliary"]]
    described = {
        "target": ("linear model of", result["target"]),
        "all": ("linear model of", whole),
        "convolutions": ("linear model of random convolutions of", result["target"]),
        "convolutions_all": ("linear model of random convolutions of", whole),
    }
    found = result.get("linear") or {}
    return [
        (f"{what} {' + '.join(names)}", found[key]["accuracy"], list(names))
        for key, (what, names) in described.items()
        if key in found
    ]
