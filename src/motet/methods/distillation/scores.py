"""Test results of every replica: accuracy, recall per class, retrieval, and how far student and teacher are apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from motet.losses._rows import mean, unit
from motet.methods.distillation.networks import Inputs, Outputs
from motet.methods.distillation.replicas import Feeder, Replicas

Forward = Callable[[Inputs], Outputs]
_ROWS = 512


def outputs_on(forward: Forward, feeder: Feeder, rows: Tensor) -> Outputs:
    """Outputs on (G, m) rows, in pieces, without gradient."""
    found = []
    with torch.no_grad():
        for piece in torch.split(rows.to(feeder.device), _ROWS, dim=1):
            found.append(forward(feeder.inputs(piece)))

    def joined(name: str) -> Tensor | None:
        parts = [getattr(f, name) for f in found]
        return None if any(p is None for p in parts) else torch.cat(parts, dim=1)

    return Outputs(
        student=joined("student"),
        teacher=joined("teacher"),
        student_logits=joined("student_logits"),
        teacher_logits=joined("teacher_logits"),
    )


def curve(forward: Forward, networks: nn.Module, feeder: Feeder, replicas: Replicas) -> dict[str, list[float]]:
    """Accuracy of student and teacher on the test rows, and their mean cosine, of every replica; for charts only."""
    if not int(replicas.test_counts.min()):
        return {}
    found = outputs_on(forward, feeder, replicas.test)
    truth, rows = _truth(feeder, replicas)
    line = {}
    whole = rows & feeder.whole[replicas.test.to(feeder.device)]
    for who, seen in (("student", rows), ("teacher", whole)):
        logits = getattr(found, f"{who}_logits")
        if logits is not None:
            line[who] = mean((logits.argmax(dim=2) == truth).double(), seen).tolist()
    if found.teacher is not None and found.student is not None:
        cosine = (unit(found.teacher) * unit(found.student)).sum(dim=2)
        line["cosine"] = mean(cosine, whole).tolist()
    return line


def _truth(feeder: Feeder, replicas: Replicas) -> tuple[Tensor, Tensor]:
    """(G, m) classes of the test rows, and which of them are no padding."""
    rows = replicas.test.to(feeder.device)
    real = torch.arange(rows.shape[1], device=feeder.device) < replicas.test_counts.to(feeder.device)[:, None]
    return feeder.labels[rows], real


def evaluate(forward: Forward, feeder: Feeder, replicas: Replicas, classes: int) -> list[dict[str, Any]]:
    """Final results of every replica.

    Of student and teacher each: ``accuracy`` (WA, top-1), ``recall`` (UA, mean over the classes that are tested),
    ``confusion`` (C, C) counts, true class by predicted. Of the student's representation: ``retrieval_1`` and
    ``retrieval_5``, the share of test rows with a training row of their class among the 1 or 5 nearest by cosine.
    The teacher is tested on the rows that have every modality.
    """
    found = outputs_on(forward, feeder, replicas.test)
    truth, rows = _truth(feeder, replicas)
    whole = rows & feeder.whole[replicas.test.to(feeder.device)]
    scores: dict[str, Any] = {}
    for who, seen in (("student", rows), ("teacher", whole)):
        logits = getattr(found, f"{who}_logits")
        if logits is not None:
            scores[who] = _classified(logits.argmax(dim=2), truth, seen, classes)
    assert found.student is not None
    hits = _retrieved(found.student, forward, feeder, replicas, truth, rows)
    result = []
    for replica, (fold, seed) in enumerate(zip(replicas.replica_folds, replicas.replica_seeds, strict=True)):
        line: dict[str, Any] = {"fold": fold.name, "seed": seed, "train": len(fold.train), "test": len(fold.test)}
        for who, parts in scores.items():
            line[who] = {name: part[replica].tolist() for name, part in parts.items()}
        line["student"] |= {name: float(value[replica]) for name, value in hits.items()}
        result.append(line)
    return result


def _classified(predicted: Tensor, truth: Tensor, rows: Tensor, classes: int) -> dict[str, Tensor]:
    confusion = torch.zeros(len(truth), classes**2, dtype=torch.int64, device=truth.device)
    confusion.scatter_add_(1, truth * classes + predicted, rows.long())
    confusion = confusion.view(-1, classes, classes)
    right, count = confusion.diagonal(dim1=1, dim2=2), confusion.sum(dim=2)
    recall = right / count.clamp_min(1)
    tested = count > 0
    return {
        "accuracy": right.sum(dim=1).double() / rows.sum(dim=1).clamp_min(1),
        "recall": recall.double().sum(dim=1) / tested.sum(dim=1).clamp_min(1),
        "confusion": confusion,
    }


def _retrieved(
    queries: Tensor, forward: Forward, feeder: Feeder, replicas: Replicas, truth: Tensor, rows: Tensor
) -> dict[str, Tensor]:
    gallery_rows = replicas.train.to(feeder.device)
    gallery = outputs_on(forward, feeder, gallery_rows).student
    assert gallery is not None
    real = torch.arange(gallery_rows.shape[1], device=feeder.device) < replicas.train_counts.to(feeder.device)[:, None]
    hit = hits(queries, truth, gallery, feeder.labels[gallery_rows], real, 5)
    return {
        "retrieval_1": mean(hit[..., 0].double(), rows),
        "retrieval_5": mean(hit.any(dim=2).double(), rows),
    }


def hits(queries: Tensor, truth: Tensor, gallery: Tensor, labels: Tensor, real: Tensor, nearest: int) -> Tensor:
    """Which of the nearest gallery rows by cosine are of the query's class.

    Args:
        queries: (G, m, D); truth: (G, m) their classes.
        gallery: (G, n, D); labels: (G, n) their classes; real: (G, n) bool, False in padding.
        nearest: K, cut to n.

    Returns:
        (G, m, K) bool, the nearest first.
    """
    gallery, found = unit(gallery), []
    pieces = torch.split(unit(queries), _ROWS, dim=1), torch.split(truth, _ROWS, dim=1)
    for piece, wanted in zip(*pieces, strict=True):
        cosine = (piece @ gallery.transpose(1, 2)).masked_fill(~real[:, None], -2)
        near = cosine.topk(min(nearest, cosine.shape[2]), dim=2).indices
        classes = labels.gather(1, near.flatten(1)).view(near.shape)
        found.append(classes == wanted[..., None])
    return torch.cat(found, dim=1)
