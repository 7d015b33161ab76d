"""Will it help? What an auxiliary modality adds, estimated before anything is trained.

Linear probes of each modality and of all together, cross-validated by group, say what a teacher can know that the
target alone does not tell: the difference of their log losses estimates the conditional information I(label;
auxiliary | target) that a linear observer can use (V-information, Xu et al., ICLR 2020). Whether a student that never
sees the auxiliary can profit is another question, which a rehearsal asks: a linear student learns once from labels
alone and once from labels and the answers of the joint probe.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch
from torch import Tensor

from motet.core.errors import ConfigError, DataError
from motet.core.progress import working
from motet.core.text import counted, several
from motet.data.archive import MotionArchive
from motet.methods.distillation.folds import folds as divide
from motet.methods.distillation.layers import resampled
from motet.methods.distillation.motion import Motion, open_table, rule_of
from motet.methods.distillation.table import FeatureTable, usable

Sources = FeatureTable | MotionArchive | str | Path | Sequence[str | Path | MotionArchive]
_ROWS = 5000  # more would not change the answer
_COMPONENTS = 256
_FRAMES = 16
_PENALTIES = (1e-3, 1e-2, 1e-1)
_STEPS = 300
_SOFT = 2.0  # temperature of the teacher's answers in the rehearsal


def diagnose(
    table: Sources,
    target: str | Sequence[str],
    auxiliary: str | Sequence[str],
    *,
    parts: int = 5,
    split: str | None = None,
    folds: int = 5,
    validate: bool = False,
    motion: Motion | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Cross-validated probes and what follows from them; nothing is trained.

    Args:
        table: path of a table or archive, or several, as of :func:`motet.methods.distillation.run`: rows that only
        test are not
            looked at. Of an open table all rows may be learned from. Rows that lack a modality are left out.
        target, auxiliary: names of modalities.
        parts: of the cross-validation; a group stays together.
        split, folds, validate: which rows of a path train, as of :func:`motet.methods.distillation.run`.
        motion: how clips of motion archives become rows.
        progress: show that work is under way.

    Returns:
        ``probes``: name (each modality, ``target``, ``all``) → {"accuracy", "bits"}: accuracy and log loss in bits per
        row; ``information``: {"mean", "error"}: bits that the auxiliary adds to the target, with the standard error
        over the parts; ``rehearsal``: {"mean", "error"}: change of the linear student's accuracy by distillation;
        ``gap``: accuracy of all minus that of the target; ``forecast``: "unlikely", "possible" or "likely"; ``says``:
        one sentence; ``rows``, ``parts``; ``left_out``: what for → number of rows, which are those of ``total`` that
        are not in ``rows``.

    Raises:
        DataError: too few rows have every modality.
        ConfigError: no auxiliary was named.
    """
    target, auxiliary = several(target), several(auxiliary)
    if not auxiliary:
        raise ConfigError("the estimate of what an auxiliary adds needs an auxiliary modality")
    with working("estimating what the auxiliary adds", show=progress):
        rows, left_out, total = _rows_of(table, target, auxiliary, split, folds, validate, motion or Motion())
        return _estimate(rows, target, auxiliary, parts, left_out, total)


def _rows_of(
    table: Sources,
    target: tuple[str, ...],
    auxiliary: tuple[str, ...],
    split: str | None,
    count: int,
    validate: bool,
    motion: Motion,
) -> tuple[FeatureTable, dict[str, int], int]:
    """The rows that may be learned from, what others are left out for, and how many there are in all."""
    if isinstance(table, FeatureTable):
        return table, {}, len(table)
    several = [table] if isinstance(table, str | Path | MotionArchive) else table
    paths = [str(one.path) if isinstance(one, MotionArchive) else one for one in several]
    rule, archive_rule = rule_of(split, paths)
    opened = open_table(paths, (*target, *auxiliary), motion, archive_rule)
    part = usable(opened, target, auxiliary)
    left_out = {f"lack {' or '.join(target)}": len(opened) - len(part)}
    # what a training would refuse is refused here
    divided = divide(part, rule, count, validate=validate)
    rows = np.unique(np.concatenate([fold.train for fold in divided]))
    return part.rows(rows), left_out | {"do not train": len(part) - len(rows)}, len(opened)


def _estimate(
    table: FeatureTable,
    target: tuple[str, ...],
    auxiliary: tuple[str, ...],
    parts: int,
    left_out: dict[str, int],
    total: int,
) -> dict[str, Any]:
    names = [*target, *auxiliary]
    whole = np.flatnonzero(np.logical_and.reduce([table.modalities[m].available for m in names]))
    left_out = left_out | {f"lack one of {', '.join(names)}": len(table) - len(whole)}
    if len(whole) > _ROWS:
        left_out |= {f"are more than the {_ROWS:,} that are enough": len(whole) - _ROWS}
        whole = whole[np.linspace(0, len(whole) - 1, _ROWS).astype(np.int64)]
    part = table.rows(whole)
    kept = np.isin(part.labels, np.flatnonzero(np.bincount(part.labels) >= parts))
    left_out |= {f"are of a class with fewer than {counted(parts, 'row')}": int((~kept).sum())}
    part = part.rows(np.flatnonzero(kept))
    if len(part) < 4 * parts or len(np.unique(part.labels)) < 2:
        raise DataError(
            f"{table.name}: only {counted(len(part), 'row')} with {', '.join(names)} and a class with at least "
            f"{parts} such rows; to estimate what the auxiliary adds takes {counted(4 * parts, 'row')} of 2 classes "
            f"(leave it out by --no-diagnose)"
        )
    train = _training_masks(part, parts)
    _, numbers = np.unique(part.labels, return_inverse=True)
    labels = torch.as_tensor(numbers)
    blocks = {m: block(part, m) for m in names}
    sets = {m: [blocks[m]] for m in names}
    sets |= {"target": [blocks[m] for m in target], "all": [blocks[m] for m in names]}
    fitted = {name: Probe(torch.cat(x, dim=1), labels, train) for name, x in sets.items()}
    probes = {name: {"accuracy": fmean(p.accuracy), "bits": fmean(p.bits)} for name, p in fitted.items()}
    information = [a - b for a, b in zip(fitted["target"].bits, fitted["all"].bits, strict=True)]
    taught = fitted["target"].taught(fitted["all"].logits)
    change = [a - b for a, b in zip(taught, fitted["target"].accuracy, strict=True)]
    found: dict[str, Any] = {
        "probes": probes,
        "information": _spread(information),
        "rehearsal": _spread(change),
        "gap": probes["all"]["accuracy"] - probes["target"]["accuracy"],
        "rows": len(part),
        "parts": len(train),
        "total": total,
        "left_out": {why: count for why, count in left_out.items() if count},
    }
    return found | _verdict(found, auxiliary)


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"mean": fmean(values), "error": stdev(values) / math.sqrt(len(values))}


def _verdict(found: dict[str, Any], auxiliary: Sequence[str]) -> dict[str, str]:
    adds, gain = found["information"], found["rehearsal"]
    if adds["mean"] <= adds["error"] or found["gap"] <= 0:
        forecast, meaning = "unlikely", "a teacher would know no more than the student"
    elif gain["mean"] > gain["error"]:
        forecast, meaning = "likely", "a linear student already profits from the teacher's answers"
    else:
        forecast, meaning = "possible", "a linear student does not profit from the answers of all modalities together"
    accuracy = {name: scores["accuracy"] for name, scores in found["probes"].items()}
    best = max(auxiliary, key=lambda name: accuracy[name])
    if accuracy[best] > accuracy["all"]:
        meaning += (
            f"; {best} alone is better ({100 * accuracy[best]:.1f} %) than all together "
            f"({100 * accuracy['all']:.1f} %), so a linear teacher does not use all that there is to know"
        )
    says = (
        f"the auxiliary adds {adds['mean']:.2f} ± {adds['error']:.2f} bits per row (accuracy {100 * found['gap']:+.1f} "
        f"points); rehearsed distillation changes the linear student by {100 * gain['mean']:+.1f} ± "
        f"{100 * gain['error']:.1f} points. Help is {forecast}: {meaning}"
    )
    return {"forecast": forecast, "says": says}


def _training_masks(part: FeatureTable, parts: int) -> Tensor:
    """(F, N) bool, whether a row trains in a part of the cross-validation."""
    grouped = part.group is not None and len(np.unique(part.group)) >= 2
    plain = FeatureTable(part.name, part.modalities, part.labels, part.class_names, part.ids)
    try:
        divided = divide(part, "group", parts) if grouped else divide(plain, "random", parts)
    except DataError as error:
        raise DataError(
            f"the estimate of what the auxiliary adds is divided, too: {error}; or --no-diagnose"
        ) from error
    train = torch.zeros(len(divided), len(part), dtype=torch.bool)
    for number, fold in enumerate(divided):
        train[number, torch.as_tensor(fold.train)] = True
    return train


def block(part: FeatureTable, name: str) -> Tensor:
    """(N, ≤ 256) principal components of a modality, of mean variance 1; a sequence is brought to 16 frames first."""
    modality = part.modalities[name]
    x = torch.as_tensor(modality.values)
    if modality.lengths is not None:
        x = resampled(x[None], torch.as_tensor(modality.lengths)[None], _FRAMES)[0].flatten(1)
    return components(x)


def components(x: Tensor) -> Tensor:
    """(N, F) → (N, ≤ 256) principal components of standardised numbers, of mean variance 1."""
    x = x.double()
    spread = x.std(dim=0)
    x = (x - x.mean(dim=0)) / torch.where(spread > 1e-5 * spread.median(), spread, torch.inf)
    if x.shape[1] > _COMPONENTS:
        x = x.clamp(-10, 10)
        x = _principal(x - x.mean(dim=0), _COMPONENTS)
    return (x / x.square().mean().sqrt().clamp_min(1e-12)).float()


def _principal(x: Tensor, count: int) -> Tensor:
    """(N, ≤ count) principal components of centred rows (N, F), from the smaller of x xᵀ and xᵀ x."""
    if len(x) <= x.shape[1]:
        values, vectors = torch.linalg.eigh(x @ x.T)
        found: Tensor = vectors[:, -count:] * values[-count:].clamp_min(0).sqrt()
        return found
    axes: Tensor = torch.linalg.eigh(x.T @ x).eigenvectors[:, -count:]
    return x @ axes


class Probe:
    """Softmax regressions on all parts and penalties at once; the penalty with the least log loss is kept.

    Args:
        x: (N, D) rows.
        labels: (N,) 0, 1, …
        train: (F, N) whether a row trains in a part; the others are tested.
        penalties: to choose among.

    Attributes:
        logits: (F, N, C) of all rows.
        accuracy, bits: of the rows that do not train, by part.
    """

    def __init__(self, x: Tensor, labels: Tensor, train: Tensor, penalties: Sequence[float] = _PENALTIES) -> None:
        self.x = torch.cat([x, torch.ones(len(x), 1)], dim=1)
        self.labels, self.train = labels, train
        self.classes = int(labels.max()) + 1
        self.onehot = torch.nn.functional.one_hot(labels, self.classes).to(x)
        targets = self.onehot.expand(len(train), -1, -1)
        choices = [self._fit(targets, penalty) for penalty in penalties]
        bits = [self._bits(logits) for logits in choices]
        best = min(range(len(choices)), key=lambda n: fmean(bits[n]))
        self.penalty, self.logits, self.bits = penalties[best], choices[best], bits[best]
        self.accuracy = self._accuracy(self.logits)

    def _fit(self, targets: Tensor, penalty: float) -> Tensor:
        """(F, N, C) logits of all rows after accelerated gradient descent on the training rows; targets (F, N, C)."""
        share = self.train / self.train.sum(dim=1, keepdim=True)
        gram = self.x.T @ self.x / len(self.x)
        rate = 1 / (float(torch.linalg.matrix_norm(gram, 2)) + penalty)  # the Hessian is at most half the first term
        weight = torch.zeros(len(self.train), self.x.shape[1], self.classes)
        ahead, before = weight, weight
        decay = torch.full_like(weight, penalty)
        decay[:, -1] = 0  # the bias
        for step in range(_STEPS):
            slope = self.x.T @ ((torch.softmax(self.x @ ahead, dim=-1) - targets) * share[..., None]) + decay * ahead
            weight = ahead - rate * slope
            ahead = weight + step / (step + 3) * (weight - before)
            before = weight
        return self.x @ weight

    def _bits(self, logits: Tensor) -> list[float]:
        loss = -torch.log_softmax(logits, dim=-1)[:, torch.arange(len(self.labels)), self.labels] / math.log(2)
        return [float(one[~seen].mean()) for one, seen in zip(loss, self.train, strict=True)]

    def _accuracy(self, logits: Tensor) -> list[float]:
        right = (logits.argmax(dim=-1) == self.labels).double()
        return [float(one[~seen].mean()) for one, seen in zip(right, self.train, strict=True)]

    def taught(self, teacher: Tensor) -> list[float]:
        """Accuracy in every part after learning from labels and a teacher's logits (F, N, C), half and half."""
        return self._accuracy(self._fit((self.onehot + torch.softmax(teacher / _SOFT, dim=-1)) / 2, self.penalty))
