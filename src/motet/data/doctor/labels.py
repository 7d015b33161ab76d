"""Classes and lengths."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from motet.core.text import counted, pasted
from motet.data import splits
from motet.data.doctor.view import Finding, Severity, View
from motet.data.inspection import IMBALANCE, LISTED
from motet.data.inspection.remedies import NOTHING, made

SHORT_FRAMES, SHORT_SECONDS, SHORT_CLIPS = 8, 0.3, 0.1


def classes(view: View) -> Iterator[Finding]:
    labels, names = view.archive.labels, view.archive.class_names
    if not (labels >= 0).any():
        return
    counts = np.bincount(labels[labels >= 0], minlength=len(names))
    present = np.flatnonzero(counts)
    most, least = present[counts[present].argmax()], present[counts[present].argmin()]
    if counts[most] > IMBALANCE * counts[least]:
        evidence = f"{names[most]} has {counted(counts[most], 'clip')}, {names[least]} {counts[least]}"
        message = "accuracy would be that of the frequent classes, and few-label draws may miss the rare ones"
        remedy = f"{NOTHING} but to gather more of the rare ones; read accuracy per class, draw class-balanced labels"
        yield Finding("class imbalance", "warning", message, evidence, remedy)
    if view.split.name == "all":
        return
    sides = _classes_of(view.split, labels)
    for side, other in (("train", "test"), ("test", "train")):
        lacking = sorted(sides[other] - sides[side])
        if lacking:
            evidence = f"{', '.join(names[i] for i in lacking[:LISTED])}: no clip to {side} under {view.split.name}"
            message = "classes that cannot be learnt" if side == "train" else "classes that are never tested"
            severity: Severity = "warning" if side == "train" else "note"
            rule = view.rule_that(lambda other: len(set(map(frozenset, _classes_of(other, labels).values()))) == 1)
            name = f"classes without {side}"
            remedy = f"motet pretrain … --split {pasted(rule)}, which has every class on both sides"
            if not rule:
                command = made(view.archive, "select", "--drop-finding", name, *view.ruled)
                remedy = f"record these classes with more people, or leave them out: {command}"
            rows = np.flatnonzero(np.isin(labels, lacking)).tolist()
            yield Finding(name, severity, message, evidence, remedy, rows=tuple(rows), extra=tuple(rows))


def _classes_of(split: splits.Split, labels: npt.NDArray[np.int64]) -> dict[str, set[int]]:
    """Classes that have clips on each side."""
    return {n: set(labels[ids].tolist()) - {-1} for n, ids in (("train", split.train), ("test", split.test))}


def short(view: View) -> Iterator[Finding]:
    lengths, fps = view.archive.lengths, view.archive.fps
    limit = max(SHORT_FRAMES, 0 if fps is None else SHORT_SECONDS * fps)
    short = np.flatnonzero(lengths < limit)
    if not len(short):
        return
    severity: Severity = "warning" if len(short) > SHORT_CLIPS * len(lengths) else "note"
    evidence = (
        f"{len(short)} of {counted(len(lengths), 'clip')} have fewer than {limit:.0f} frames; the shortest "
        f"{lengths.min()}"
    )
    message = "crops of so short a clip are one and the same: nothing to contrast"
    remedy = f"cut longer clips, or leave these out: {made(view.archive, 'select', '--drop-finding', 'short clips')}"
    yield Finding("short clips", severity, message, evidence, remedy, **view.about(short.tolist()))
